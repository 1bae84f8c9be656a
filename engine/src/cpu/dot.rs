//! Exact integer dot products of a few rows with panels made at run time: the two products of attention.
//!
//! q K^T: a panel is 16 keys, pairs run over channels. u V: a panel is 16 channels, pairs run over keys.
//! Scaling is the caller's ([`super::ops`]); block bounds of NUMERICS section 3 keep every sum in i32.

use super::ahead::Ahead;
use super::isa::Isa;
use super::pack::PANEL;
use super::strip::kernels;

/// Sums `out[row * out_stride + 16 * panel + lane]` over the `2 * pairs` elements of `a[row * a_stride ..]` and of lane
/// `lane` of `panels[panel * panel_stride ..]`, laid out `[pairs][16][2]`. Sums wrap. Meanwhile `ahead` is asked
/// for.
///
/// # Panics
/// When a slice is shorter than the strides and counts say or strides overlap.
#[allow(clippy::too_many_arguments)]
pub fn dot_panels(
    isa: Isa,
    a: &[i16],
    a_stride: usize,
    rows: usize,
    pairs: usize,
    panels: &[i16],
    panel_stride: usize,
    count: usize,
    out: &mut [i32],
    out_stride: usize,
    ahead: &mut Ahead,
) {
    if rows == 0 || count == 0 {
        return;
    }
    let reach = |n: usize, stride: usize, last: usize| (n - 1).checked_mul(stride).and_then(|x| x.checked_add(last));
    assert!(reach(rows, a_stride, 2 * pairs).is_some_and(|n| n <= a.len()), "rows of a");
    assert!(reach(count, panel_stride, 2 * PANEL * pairs).is_some_and(|n| n <= panels.len()), "panels");
    assert!(out_stride >= PANEL * count, "stride of the output");
    assert!(reach(rows, out_stride, PANEL * count).is_some_and(|n| n <= out.len()), "rows of the output");
    // SAFETY: the checks above; the `Isa` vouches for the path.
    unsafe {
        (kernels(isa).dots)(
            rows,
            a.as_ptr(),
            a_stride,
            pairs,
            count,
            panels.as_ptr(),
            panel_stride,
            out.as_mut_ptr(),
            out_stride,
            ahead,
        );
    }
}
