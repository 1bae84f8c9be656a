//! Integer tiles in plain Rust: the path of every machine without AVX2. Correct first; the compiler
//! vectorises the inner loop with what the target's baseline has.

use super::compact::{COMPACT_BLOCK, decode};
use super::pack::PANEL;
use super::quantize::{BLOCK, STRIDE};
use super::strip::{Dots, PAIR, Strip};

/// Rows of a tile at most.
pub(super) const ROWS: usize = 4;

/// See [`super::strip::Kernels::strip`].
///
/// # Safety
/// As there.
pub(super) unsafe fn strip(s: &Strip) {
    // SAFETY: the accumulators have a column pair for each row.
    unsafe { s.acc.write_bytes(0, s.rows * 2 * PANEL) };
    let mut patched = [0; PAIR];
    for block in 0..s.blocks {
        let place = (block & s.w_mask) * s.w_stride;
        if let Some(codes) = &s.codes {
            for panel in 0..s.panels {
                // SAFETY: the panels have this block, and memory where it is to be.
                unsafe {
                    let to = s.w[panel].add(place);
                    decode(&*codes[panel].first.add(block * COMPACT_BLOCK).cast(), &mut *to.cast());
                    codes[panel].patch(block, to, &mut patched[panel]);
                }
            }
        }
        for (panel, row) in (0..s.panels).flat_map(|panel| (0..s.rows).map(move |row| (panel, row))) {
            // SAFETY: the caller's pointers cover these rows, panels and blocks.
            unsafe {
                let at = block * s.a_stride + row;
                let d = dot_panel(s.a.add(at * STRIDE), s.w[panel].add(place), BLOCK / 2);
                for (lane, d) in d.into_iter().enumerate() {
                    let g = i32::from(*s.w_g[panel].add(block * PANEL + lane));
                    let scale = f32::from_bits((((g + 127) << 23) + *s.a_shift.add(at)) as u32);
                    // The product is exact, so this is the fused form without needing the instruction.
                    *s.acc.add(row * 2 * PANEL + panel * PANEL + lane) += d as f32 * scale;
                }
            }
        }
    }
}

/// See [`super::strip::Kernels::dots`].
///
/// # Safety
/// As there.
pub(super) unsafe fn dots(d: Dots<'_>) {
    for (panel, row) in (0..d.panels).flat_map(|panel| (0..d.rows).map(move |row| (panel, row))) {
        // SAFETY: the caller's pointers cover these rows and panels.
        unsafe {
            let sums = dot_panel(d.a.add(row * d.a_stride), d.w.add(panel * d.w_stride), d.pairs);
            std::ptr::copy_nonoverlapping(sums.as_ptr(), d.out.add(row * d.out_stride + panel * PANEL), PANEL);
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
