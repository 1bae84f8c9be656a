//! Laws of the kernels: on every instruction set, the modelled AVX-512 included, the bits of scalar
//! oracles written straight from NUMERICS. Each law has a control: an oracle with one rounding or one
//! order changed must be told apart by the same inputs.

mod elementwise;
mod oracle;
mod products;
mod quantizers;

/// A stream of test values (xorshift64*), the same in every run.
struct Draw(u64);

impl Draw {
    fn bits(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.bits() >> 33) as usize % n
    }

    /// Uniform in (-1, 1).
    fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    /// Roughly normal, with outliers.
    fn normal(&mut self) -> f32 {
        let x = (0..4).map(|_| self.unit()).sum::<f32>();
        if self.below(200) == 0 { x * 300.0 } else { x }
    }

    fn normals(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.normal()).collect()
    }

    /// A row whose blocks differ in kind: outliers, zeros, subnormals, huge, flat, tiny beside one large.
    fn row(&mut self, n: usize) -> Vec<f32> {
        let mut x = self.normals(n);
        for block in x.chunks_mut(128) {
            let factor = [1.0, 1.0, 1e-3, 0.0, f32::from_bits(77), 1e14, 3e-12][self.below(7)];
            block.iter_mut().for_each(|x| *x *= factor);
            if self.below(5) == 0 {
                let level = self.unit();
                block.iter_mut().for_each(|x| *x = level.copysign(*x));
            }
        }
        x
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
