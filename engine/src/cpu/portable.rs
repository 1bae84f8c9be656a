//! Integer tiles in plain Rust: the path of every machine without AVX2. Correct first; the compiler
//! vectorises the inner loop with what the target's baseline has.

use super::gemm::Tile;
use super::pack::PANEL;

/// Rows of a tile at most.
pub(super) const ROWS: usize = 4;

/// See [`super::gemm::Kernels::tile`].
///
/// # Safety
/// As there.
pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
    for panel in 0..tile.panels {
        for row in 0..rows {
            // SAFETY: the caller's pointers cover `rows` rows and `panels` panels of one block.
            unsafe {
                let d = dot_panel(tile.a.add(row * 128), tile.w[panel], 64);
                let g_right = i32::from(*tile.a_g.add(row));
                for (lane, d) in d.into_iter().enumerate() {
                    let g = i32::from(*tile.w_g[panel].add(lane)) + g_right;
                    let scale = f32::from_bits(((g + 127) as u32) << 23);
                    // The product is exact, so this is the fused form without needing the instruction.
                    *tile.acc.add(row * 2 * PANEL + panel * PANEL + lane) += d as f32 * scale;
                }
            }
        }
    }
}

/// See [`super::gemm::Kernels::dots`].
///
/// # Safety
/// As there.
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn dots(
    rows: usize,
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    for row in 0..rows {
        // SAFETY: the caller's pointers cover `rows` rows of `a` and `out` and one panel.
        unsafe {
            let d = dot_panel(a.add(row * a_stride), w, pairs);
            std::ptr::copy_nonoverlapping(d.as_ptr(), out.add(row * out_stride), PANEL);
        }
    }
}

/// # Safety
/// `a` is readable for `2 * pairs` and `w` for `32 * pairs` elements.
#[inline(always)]
unsafe fn dot_panel(a: *const i16, w: *const i16, pairs: usize) -> [i32; PANEL] {
    let mut sums = [0i32; PANEL];
    for pair in 0..pairs {
        // SAFETY: by the function's contract.
        let (w, a) = unsafe { (&*w.add(32 * pair).cast::<[[i16; 2]; PANEL]>(), &*a.add(2 * pair).cast::<[i16; 2]>()) };
        for (sum, w) in sums.iter_mut().zip(w) {
            let both = i32::from(w[0]) * i32::from(a[0]) + i32::from(w[1]) * i32::from(a[1]);
            *sum = sum.wrapping_add(both);
        }
    }
    sums
}
