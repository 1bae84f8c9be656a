//! What a device does at most: bytes of a copy, and byte products of `mma.sync` with everything in registers.

use super::timer::Timer;
use super::{KernelBench, operations};
use crate::cuda::{Device, DeviceBuffer, Kernel, LaunchShape, abi};
use crate::{Error, Result};

/// Blocks on a multiprocessor: 32 warps.
const RESIDENT: u32 = 4;

/// The two limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Bytes a second that a copy within the device reads and writes.
    pub bytes_per_s: f64,
    /// Operations a second of int8 `mma.sync`, two for each product of two bytes.
    pub operations_per_s: f64,
}

/// Medians.
pub(super) fn measure(bench: &KernelBench) -> Result<Limits> {
    let (device, timer, loops) = (&bench.device, &bench.timer, bench.options.mma_loops);
    let words = bench.options.copy_bytes.div_ceil(8);
    let bytes_per_s = (2 * 8 * words) as f64 / median(copy(device, timer, words)?);
    let blocks = RESIDENT * device.multiprocessors()?;
    let chains = u64::from(blocks * (abi::MMA_PEAK_THREADS / 32)) * u64::from(abi::MMA_PEAK_CHAINS);
    let seconds = median(products(device, timer, blocks, loops)?);
    Ok(Limits { bytes_per_s, operations_per_s: operations(chains * u64::from(loops)) as f64 / seconds })
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn wrong(device: &Device, what: &str, problem: String) -> Error {
    Error::Device { device: device.label(), what: what.into(), problem }
}

/// Copies `words` words of 8 bytes.
fn copy(device: &Device, timer: &Timer, words: u64) -> Result<Vec<f64>> {
    let value = |i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let from = DeviceBuffer::from_slice(device, &(0..words).map(value).collect::<Vec<_>>())?;
    let mut to = DeviceBuffer::<u64>::zeroed(device, words as usize)?;
    let seconds = timer.time(1, |_| to.copy_from(&from))?;
    match to.to_vec()?.into_iter().zip(0..).find(|&(found, i)| found != value(i)) {
        None => Ok(seconds),
        Some((found, i)) => Err(wrong(device, "copying", format!("word {i} is {found:#x}, expected {:#x}", value(i)))),
    }
}

/// Operand A of 16 rows of 32 bytes and B of 32 rows of 8 as lanes hold them, of values that are all different.
#[derive(Debug, Clone)]
pub(in crate::cuda) struct Operands {
    pub a: [[i8; 32]; 16],
    pub b: [[i8; 8]; 32],
}

impl Operands {
    pub fn new() -> Self {
        let value = |i: usize, j: usize| (37 * i + 11 * j + 5) as u8 as i8;
        Self {
            a: std::array::from_fn(|i| std::array::from_fn(|k| value(i, k))),
            b: std::array::from_fn(|k| std::array::from_fn(|j| value(k + 16, j))),
        }
    }

    /// The words of all lanes: PTX, fragments of m16n8k32.
    fn fragments(&self) -> (Vec<u32>, Vec<u32>) {
        let word = |bytes: [i8; 4]| u32::from_le_bytes(bytes.map(|b| b as u8));
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for (group, t) in (0..32).map(|lane| (lane / 4, lane % 4)) {
            for i in 0..4 {
                a.push(word(std::array::from_fn(|k| self.a[group + 8 * (i & 1)][4 * t + 16 * (i >> 1) + k])));
            }
            for i in 0..2 {
                b.push(word(std::array::from_fn(|k| self.b[4 * t + 16 * i + k][group])));
            }
        }
        (a, b)
    }

    /// `times` (A B) modulo 2^32, as lanes hold operand D.
    fn product(&self, times: u32) -> Vec<u32> {
        let element = |i: usize, j: usize| {
            let sum: i32 = (0..32).map(|k| i32::from(self.a[i][k]) * i32::from(self.b[k][j])).sum();
            (sum as u32).wrapping_mul(times)
        };
        let lane = |lane: usize| {
            let (group, t) = (lane / 4, lane % 4);
            [(group, 2 * t), (group, 2 * t + 1), (group + 8, 2 * t), (group + 8, 2 * t + 1)]
        };
        (0..32).flat_map(lane).map(|(i, j)| element(i, j)).collect()
    }
}

fn products(device: &Device, timer: &Timer, blocks: u32, loops: u32) -> Result<Vec<f64>> {
    let operands = Operands::new();
    let (a, b) = operands.fragments();
    let (a, b) = (DeviceBuffer::from_slice(device, &a)?, DeviceBuffer::from_slice(device, &b)?);
    let threads = blocks * abi::MMA_PEAK_THREADS;
    let mut out = DeviceBuffer::<u32>::zeroed(device, 4 * threads as usize)?;
    let kernel: Kernel<abi::mma_peak_params> = device.kernel("mma_peak", 0)?;
    let params = abi::mma_peak_params { a: a.as_ptr(), b: b.as_ptr(), out: out.as_mut_ptr(), loops, reserved: 0 };
    let shape = LaunchShape::linear(blocks, abi::MMA_PEAK_THREADS);
    // SAFETY: operands of 32 lanes, and four words for each thread of the launch; all live until the results are read.
    let seconds = timer.time(1, |_| unsafe { kernel.launch(shape, &params) })?;
    let expected = operands.product(abi::MMA_PEAK_CHAINS.wrapping_mul(loops));
    match out.to_vec()?.chunks_exact(expected.len()).position(|warp| warp != expected) {
        None => Ok(seconds),
        Some(warp) => Err(wrong(device, "int8 products", format!("those of warp {warp} are wrong"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_that_of_the_matrices() {
        let mut operands = Operands { a: [[0; 32]; 16], b: [[0; 8]; 32] };
        (operands.a[9][17], operands.b[17][5]) = (-3, 7);
        let product = operands.product(1000);
        // Row 9, column 5: the third register of lane (1, 2), the second of its columns.
        let at = 4 * (4 + 2) + 3;
        assert_eq!(product[at], (-21_000i32) as u32);
        assert_eq!(product.iter().filter(|v| **v != 0).count(), 1);
        let (a, b) = operands.fragments();
        // k 17 is the second byte of the upper half of lane t = 0.
        assert_eq!((a[4 * 4 + 3], b[2 * 20 + 1]), (u32::from_le_bytes([0, 253, 0, 0]), 7 << 8));
        assert_eq!((a.iter().filter(|v| **v != 0).count(), b.iter().filter(|v| **v != 0).count()), (1, 1));
    }
}
