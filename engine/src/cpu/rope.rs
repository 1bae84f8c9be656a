//! The rotary table, for the positions in use (NUMERICS sections 6 and 12).

use crate::config::Config;

/// cos and sin per position, `[position][head_dim / 2]`, grown as sequences grow.
pub struct RopeTable {
    inverse: Vec<f32>,
    cos: Vec<f32>,
    sin: Vec<f32>,
}

impl RopeTable {
    /// An empty table.
    pub fn new(config: &Config) -> Self {
        let d = config.head_dim;
        let frequency = |i: usize| libm::pow(config.rope_theta, -((2 * i) as f64) / d as f64) as f32;
        Self { inverse: (0..d / 2).map(frequency).collect(), cos: Vec::new(), sin: Vec::new() }
    }

    /// Makes rows for positions below `positions`.
    pub fn grow(&mut self, positions: usize) {
        let half = self.inverse.len();
        for position in self.cos.len() / half..positions {
            for inverse in &self.inverse {
                let angle = f64::from(position as f32 * inverse);
                self.cos.push(libm::cos(angle) as f32);
                self.sin.push(libm::sin(angle) as f32);
            }
        }
    }

    /// (cos, sin) of a position.
    ///
    /// # Panics
    /// If the table was not grown that far.
    pub fn row(&self, position: usize) -> (&[f32], &[f32]) {
        let range = position * self.inverse.len()..(position + 1) * self.inverse.len();
        (&self.cos[range.clone()], &self.sin[range])
    }

    /// All of cos and of sin.
    #[cfg(feature = "cuda")]
    pub(crate) fn tables(&self) -> (&[f32], &[f32]) {
        (&self.cos, &self.sin)
    }
}
