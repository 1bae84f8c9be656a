//! Exact integer dot products of a few rows with panels made at run time: the two products of attention.
//!
//! q K^T: a panel is 16 keys, pairs run over channels. u V: a panel is 16 channels, pairs run over keys.
//! Scaling is the caller's ([`super::ops`]); block bounds of NUMERICS section 3 keep every sum in i32.

use super::ahead::Ahead;
use super::isa::Isa;
use super::pack::PANEL;
use super::strip::{Dots, kernels};

/// Rows, and panels whose products with them are asked for.
#[derive(Debug, Clone, Copy)]
pub struct Factors<'a> {
    /// Row i begins at `a[i * a_stride]`.
    pub a: &'a [i16],
    /// Elements from one row to the next.
    pub a_stride: usize,
    /// How many rows.
    pub rows: usize,
    /// Pairs of elements of a row and of a panel's lanes.
    pub pairs: usize,
    /// Panel i begins at `panels[i * panel_stride]`, laid out `[pairs][16][2]`.
    pub panels: &'a [i16],
    /// Elements from one panel to the next.
    pub panel_stride: usize,
    /// How many panels.
    pub count: usize,
}

/// Sums, into `out[row * out_stride + 16 * panel + lane]`, the products of a row's elements with those of a panel's lane. Sums
/// wrap. Meanwhile `ahead` is asked for.
///
/// # Panics
/// When a slice is shorter than the strides and counts say or strides overlap.
pub fn dot_panels(isa: Isa, factors: &Factors<'_>, out: &mut [i32], out_stride: usize, ahead: &mut Ahead) {
    let &Factors { a, a_stride, rows, pairs, panels, panel_stride, count } = factors;
    if rows == 0 || count == 0 {
        return;
    }
    let reach = |n: usize, stride: usize, last: usize| (n - 1).checked_mul(stride).and_then(|x| x.checked_add(last));
    assert!(reach(rows, a_stride, 2 * pairs).is_some_and(|n| n <= a.len()), "rows of a");
    assert!(reach(count, panel_stride, 2 * PANEL * pairs).is_some_and(|n| n <= panels.len()), "panels");
    assert!(out_stride >= PANEL * count, "stride of the output");
    assert!(reach(rows, out_stride, PANEL * count).is_some_and(|n| n <= out.len()), "rows of the output");
    let (a, w, out) = (a.as_ptr(), panels.as_ptr(), out.as_mut_ptr());
    let dots = Dots { rows, a, a_stride, pairs, panels: count, w, w_stride: panel_stride, out, out_stride, ahead };
    // SAFETY: the checks above; the `Isa` vouches for the path.
    unsafe { (kernels(isa).dots)(dots) }
}
