//! From counts to the least time a device would take: what its memory, its tensor cores, its schedulers and its shared
//! memory each need. A roofline, not a simulation: latencies, clocks under load and imperfect overlap come on top.

use crate::{Class, Counters};

/// What a device can do at most, from its data sheet.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub name: &'static str,
    pub multiprocessors: f64,
    pub hertz: f64,
    pub bytes_per_second: f64,
    /// Byte products of `mma.sync` per cycle and multiprocessor.
    pub products_per_cycle: f64,
}

/// A100 SXM 80 GB: 624 Tops of bytes.
pub const A100: Limits = Limits {
    name: "A100",
    multiprocessors: 108.0,
    hertz: 1.41e9,
    bytes_per_second: 2.039e12,
    products_per_cycle: 2048.0,
};

/// H100 SXM: 1979 Tops of bytes by wgmma; of that, mma.sync reaches about 60 %.
pub const H100: Limits = Limits {
    name: "H100",
    multiprocessors: 132.0,
    hertz: 1.83e9,
    bytes_per_second: 3.35e12,
    products_per_cycle: 0.6 * 4096.0,
};

/// What work needs, of everything that may bound it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Bytes to and from memory, each counted once.
    pub bytes: f64,
    /// Products of m16n8k32.
    pub imma: f64,
    /// Instructions of warps, moves apart.
    pub issued: f64,
    /// Passes through the banks of shared memory.
    pub wavefronts: f64,
}

/// The time each limit asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seconds {
    pub memory: f64,
    pub tensor: f64,
    pub issue: f64,
    pub shared: f64,
}

impl Seconds {
    /// The greatest: no device of these limits is faster.
    pub fn bound(&self) -> f64 {
        self.memory.max(self.tensor).max(self.issue).max(self.shared)
    }
}

impl Counters {
    pub fn cost(&self) -> Cost {
        let bytes: u64 = self.traffic.iter().map(|t| t.distinct_read + t.distinct_written).sum();
        let total = self.total();
        Cost {
            bytes: bytes as f64,
            imma: self.class(Class::Imma).issued as f64,
            issued: (total.issued - self.class(Class::Move).issued) as f64,
            wavefronts: total.wavefronts as f64,
        }
    }
}

impl Cost {
    /// The same work so many times, on other data.
    pub fn times(self, n: f64) -> Self {
        Self { bytes: n * self.bytes, imma: n * self.imma, issued: n * self.issued, wavefronts: n * self.wavefronts }
    }

    pub fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes + other.bytes,
            imma: self.imma + other.imma,
            issued: self.issued + other.issued,
            wavefronts: self.wavefronts + other.wavefronts,
        }
    }

    /// On a device whose multiprocessors all share the work; each issues four instructions and makes one pass a cycle.
    pub fn on(&self, limits: &Limits) -> Seconds {
        let cycles = limits.multiprocessors * limits.hertz;
        Seconds {
            memory: self.bytes / limits.bytes_per_second,
            tensor: self.imma * f64::from(16 * 8 * 32) / limits.products_per_cycle / cycles,
            issue: self.issued / 4.0 / cycles,
            shared: self.wavefronts / cycles,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_of_each_limit_takes_a_second() {
        let cycles = A100.multiprocessors * A100.hertz;
        let cost = Cost {
            bytes: A100.bytes_per_second,
            imma: cycles * A100.products_per_cycle / 4096.0,
            issued: 4.0 * cycles,
            wavefronts: 0.5 * cycles,
        };
        let Seconds { memory, tensor, issue, shared } = cost.on(&A100);
        assert_eq!((memory, tensor, issue, shared), (1.0, 1.0, 1.0, 0.5));
        assert_eq!(cost.times(3.0).plus(cost).on(&A100).bound(), 4.0);
    }
}
