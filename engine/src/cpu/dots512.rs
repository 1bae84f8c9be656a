//! The two products of attention: integer dot products of some rows with panels made at run time.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::super::ahead::Ahead;
use super::super::super::pack::PANEL;
use super::super::super::strip::{PAIR, shares};
use super::super::x86_512::*;
use super::between::{ASK, NOTHING};
use super::{Next, ROWS, dot_rows};

/// # Safety
/// As [`super::super::super::strip::Kernels::dots`].
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(in crate::cpu) unsafe fn dots(
    rows: usize,
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    panels: usize,
    w: *const i16,
    w_stride: usize,
    out: *mut i32,
    out_stride: usize,
    ahead: &mut Ahead,
) {
    for panel in (0..panels).step_by(PAIR) {
        let first = w.wrapping_add(panel * w_stride);
        let two = std::array::from_fn(|i| first.wrapping_add(i % PAIR * w_stride));
        // The panels that follow. What is read after the last of them, `ahead` knows.
        let next = Next {
            rows: a,
            ask: two.map(|w| w.wrapping_add(PAIR * w_stride).cast()),
            codes: [std::ptr::null(); PAIR],
            to: [std::ptr::null_mut(); PAIR],
        };
        let mut row = 0;
        let follow = panel + PAIR < panels;
        for (tile, height) in shares(rows, ROWS).enumerate() {
            let a = a.wrapping_add(row * a_stride);
            let out = out.wrapping_add(row * out_stride + panel * PANEL);
            ahead.ask((panels - panel).div_ceil(PAIR) * rows.div_ceil(ROWS) - tile);
            // SAFETY: the caller's pointers cover `rows` rows and `panels` panels.
            unsafe {
                match (panel + 1 < panels, follow && tile == 0) {
                    (true, true) => {
                        by_rows!(height, store_dots::<2, ASK>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                    (true, false) => {
                        by_rows!(height, store_dots::<2, NOTHING>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                    (false, _) => {
                        by_rows!(height, store_dots::<1, NOTHING>(a, a_stride, pairs, two, &next, out, out_stride))
                    }
                }
            }
            row += height;
        }
    }
}

/// # Safety
/// `a` and `out` cover `R` rows, `w` `P` panels.
#[inline(always)]
unsafe fn store_dots<const R: usize, const P: usize, const BETWEEN: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; PAIR],
    next: &Next,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, BETWEEN, PAIR>(a, a_stride, pairs, w, next);
        for row in 0..R {
            for panel in 0..P {
                _mm512_storeu_si512(out.add(row * out_stride + panel * PANEL).cast(), sums[row][panel]);
            }
        }
    }
}
