//! The two products of attention: integer dot products of some rows with panels made at run time.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::super::pack::PANEL;
use super::super::super::strip::{Dots, PAIR, shares};
use super::super::x86_512::*;
use super::between::{ASK, NOTHING};
use super::{Next, ROWS, dot_rows};

/// # Safety
/// As [`super::super::super::strip::Kernels::dots`].
#[inline(always)]
pub(in crate::cpu) unsafe fn dots(d: Dots<'_>) {
    for panel in (0..d.panels).step_by(PAIR) {
        let first = d.w.wrapping_add(panel * d.w_stride);
        let two = std::array::from_fn(|i| first.wrapping_add(i % PAIR * d.w_stride));
        // The panels that follow. What is read after the last of them, `ahead` knows.
        let next = Next {
            rows: d.a,
            ask: two.map(|w| w.wrapping_add(PAIR * d.w_stride).cast()),
            codes: [std::ptr::null(); PAIR],
            to: [std::ptr::null_mut(); PAIR],
        };
        let mut row = 0;
        let follow = panel + PAIR < d.panels;
        for (tile, height) in shares(d.rows, ROWS).enumerate() {
            d.ahead.ask((d.panels - panel).div_ceil(PAIR) * d.rows.div_ceil(ROWS) - tile);
            let from = d.a.wrapping_add(row * d.a_stride);
            let to = d.out.wrapping_add(row * d.out_stride + panel * PANEL);
            // SAFETY: the caller's pointers cover these rows and panels.
            unsafe {
                match (panel + 1 < d.panels, follow && tile == 0) {
                    (true, true) => by_rows!(height, store_dots::<2, ASK>(&d, from, two, &next, to)),
                    (true, false) => by_rows!(height, store_dots::<2, NOTHING>(&d, from, two, &next, to)),
                    (false, _) => by_rows!(height, store_dots::<1, NOTHING>(&d, from, two, &next, to)),
                }
            }
            row += height;
        }
    }
}

/// # Safety
/// `a` and `out` cover `R` rows of `d`, `w` `P` panels.
#[inline(always)]
unsafe fn store_dots<const R: usize, const P: usize, const BETWEEN: usize>(
    d: &Dots<'_>,
    a: *const i16,
    w: [*const i16; PAIR],
    next: &Next,
    out: *mut i32,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, BETWEEN, PAIR>(a, d.a_stride, d.pairs, w, next);
        for row in 0..R {
            for panel in 0..P {
                _mm512_storeu_si512(out.add(row * d.out_stride + panel * PANEL).cast(), sums[row][panel]);
            }
        }
    }
}
