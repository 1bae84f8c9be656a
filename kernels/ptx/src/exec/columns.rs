//! The register file of a warp: one column of 32 values per register.

use crate::inst::R;

pub(crate) const LANES: usize = 32;
pub(crate) type Column = [u64; LANES];

#[derive(Debug, Default)]
pub(crate) struct Columns(pub Vec<Column>);

/// The lanes of a mask, ascending.
pub(crate) fn lanes(mut mask: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let lane = mask.trailing_zeros() as usize;
        mask &= mask.wrapping_sub(1);
        (lane < LANES).then_some(lane)
    })
}

impl Columns {
    #[inline]
    pub fn get(&self, r: R) -> &Column {
        &self.0[r as usize]
    }

    #[inline]
    pub fn put(&mut self, r: R, lane: usize, value: u64) {
        self.0[r as usize][lane] = value;
    }

    /// Writes a whole result, in the lanes of the mask.
    #[inline(always)]
    pub fn write(&mut self, mask: u32, d: R, values: &Column) {
        let column = &mut self.0[d as usize];
        if mask == u32::MAX {
            *column = *values;
        } else {
            for lane in lanes(mask) {
                column[lane] = values[lane];
            }
        }
    }

    #[inline(always)]
    pub fn map1(&mut self, mask: u32, d: R, a: R, f: impl Fn(u64) -> u64) {
        let mut out = [0; LANES];
        let a = self.get(a);
        for lane in 0..LANES {
            out[lane] = f(a[lane]);
        }
        self.write(mask, d, &out);
    }

    #[inline(always)]
    pub fn map2(&mut self, mask: u32, d: R, [a, b]: [R; 2], f: impl Fn(u64, u64) -> u64) {
        let mut out = [0; LANES];
        let (a, b) = (self.get(a), self.get(b));
        for lane in 0..LANES {
            out[lane] = f(a[lane], b[lane]);
        }
        self.write(mask, d, &out);
    }

    #[inline(always)]
    pub fn map3(&mut self, mask: u32, d: R, [a, b, c]: [R; 3], f: impl Fn(u64, u64, u64) -> u64) {
        let mut out = [0; LANES];
        let (a, b, c) = (self.get(a), self.get(b), self.get(c));
        for lane in 0..LANES {
            out[lane] = f(a[lane], b[lane], c[lane]);
        }
        self.write(mask, d, &out);
    }

    /// The lanes of `mask` where a predicate holds.
    #[inline]
    pub fn predicate(&self, mask: u32, p: R) -> u32 {
        let column = self.get(p);
        let mut set = 0;
        for (lane, value) in column.iter().enumerate() {
            set |= ((*value & 1) as u32) << lane;
        }
        set & mask
    }
}
