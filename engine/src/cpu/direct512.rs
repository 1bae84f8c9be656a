//! Strips of a few rows: weights of eleven bits go from memory through registers into the sums, and are never stored.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::super::compact::{COMPACT_BLOCK, LANES, Patch};
use super::super::super::pack::{PANEL, PANEL_BLOCK};
use super::super::super::quantize::STRIDE;
use super::super::super::strip::{Codes, PAIR, Strip};
use super::super::x86_512::*;
use super::decode::{TURNS, ask_turn, decode_turn};
use super::{UNROLL, add_scaled, ask_rows, broadcast};

/// Rows of such a strip at most: as many sums as leave registers to decode in, where 512-bit operations come in halves.
/// There a store costs more of the multipliers' time than decoding again for another strip does.
pub(in crate::cpu) const DIRECT: usize = 22;

/// The same where operations are whole, and loads limit what one panel at a time can do.
pub(in crate::cpu) const DIRECT_WHOLE: usize = 10;

/// Adds the products of a strip to its accumulators. Up to five rows two panels at a time are faster, beyond them one.
///
/// # Safety
/// As [`super::strip`], with `P` panels whose codes are `codes`, and at most [`DIRECT`] rows.
#[inline(always)]
pub(super) unsafe fn strip<const P: usize>(s: &Strip, codes: &[Codes; PAIR]) {
    // SAFETY: passed on.
    unsafe {
        match s.rows {
            1 => direct::<1, P>(s, codes, 0),
            2 => direct::<2, P>(s, codes, 0),
            3 => direct::<3, P>(s, codes, 0),
            4 => direct::<4, P>(s, codes, 0),
            5 => direct::<5, P>(s, codes, 0),
            rows => {
                for panel in 0..P {
                    match rows {
                        6 => direct::<6, 1>(s, codes, panel),
                        7 => direct::<7, 1>(s, codes, panel),
                        8 => direct::<8, 1>(s, codes, panel),
                        9 => direct::<9, 1>(s, codes, panel),
                        10 => direct::<10, 1>(s, codes, panel),
                        11 => direct::<11, 1>(s, codes, panel),
                        12 => direct::<12, 1>(s, codes, panel),
                        13 => direct::<13, 1>(s, codes, panel),
                        14 => direct::<14, 1>(s, codes, panel),
                        15 => direct::<15, 1>(s, codes, panel),
                        16 => direct::<16, 1>(s, codes, panel),
                        17 => direct::<17, 1>(s, codes, panel),
                        18 => direct::<18, 1>(s, codes, panel),
                        19 => direct::<19, 1>(s, codes, panel),
                        20 => direct::<20, 1>(s, codes, panel),
                        21 => direct::<21, 1>(s, codes, panel),
                        _ => direct::<DIRECT, 1>(s, codes, panel),
                    }
                }
            }
        }
    }
}

/// Panels `first` and on of the strip of a few rows: each block's weights go from their codes through registers into the
/// sums.
///
/// # Safety
/// As [`strip`], with `R` rows and `P` panels from `first` on; `codes` are those of the strip's panels.
#[inline(always)]
unsafe fn direct<const R: usize, const P: usize>(s: &Strip, codes: &[Codes; PAIR], first: usize) {
    let mut patched = [0; P];
    for block in 0..s.blocks {
        let a = s.a.wrapping_add(block * s.a_stride * STRIDE);
        let from: [*const u8; P] =
            std::array::from_fn(|panel| codes[first + panel].first.wrapping_add(block * COMPACT_BLOCK));
        // Panels one after the other are one stream of codes; of two at a time each is a stream until its end.
        let ask: [*const u8; P] = std::array::from_fn(|panel| match (P, block + 1 == s.blocks) {
            (1, _) => from[panel].wrapping_add(2 * COMPACT_BLOCK),
            (_, true) => s.ahead[panel],
            (_, false) => from[panel].wrapping_add(COMPACT_BLOCK),
        });
        let rows = s.a.wrapping_add((block + 1) % s.blocks * s.a_stride * STRIDE);
        // SAFETY: the strip's pointers cover this block; the rest are hints.
        unsafe {
            let mut sums = [[_mm512_setzero_si512(); P]; R];
            for turn in 0..TURNS {
                for panel in 0..P {
                    let weights = decode_turn(from[panel], turn);
                    for i in 0..UNROLL {
                        for row in 0..R {
                            let pair = a.add(row * STRIDE + 2 * (turn * UNROLL + i));
                            sums[row][panel] = match P {
                                // A pair that is used once: as a part of the multiply-add its broadcast is a load and no more.
                                1 => dpwssd_pair(sums[row][panel], weights[i], pair),
                                _ => _mm512_dpwssd_epi32(sums[row][panel], weights[i], broadcast(pair)),
                            };
                        }
                    }
                    ask_turn(ask[panel], turn);
                }
                ask_rows::<R>(rows, turn);
            }
            for panel in 0..P {
                let patches = codes[first + panel].patches_of(block, &mut patched[panel]);
                if !patches.is_empty() {
                    // A copy: the sums themselves never have an address.
                    let mut all = sums;
                    for patch in patches {
                        add_patch(&mut all, panel, a, patch);
                    }
                    sums = all;
                }
            }
            let w_g = std::array::from_fn(|i| s.w_g[first + i % P].wrapping_add(block * PANEL));
            let a_shift = s.a_shift.wrapping_add(block * s.a_stride);
            add_scaled::<R, P>(&sums, w_g, a_shift, s.acc.wrapping_add(first * PANEL));
        }
    }
}

/// Adds the products of a weight kept apart to the sums of its block: its code is that of 0.
///
/// # Safety
/// `a` is readable for `R` rows of the block.
#[inline(never)]
unsafe fn add_patch<const R: usize, const P: usize>(
    sums: &mut [[__m512i; P]; R],
    panel: usize,
    a: *const i16,
    patch: &Patch,
) {
    let (pair, lane) = (patch.at as usize % PANEL_BLOCK / LANES, patch.at as usize % LANES);
    for row in 0..R {
        // SAFETY: by the function's contract; a register has the size of its lanes.
        unsafe {
            let product = i32::from(patch.q) * i32::from(*a.add(row * STRIDE + 2 * pair + lane % 2));
            let sum = (&raw mut sums[row][panel]).cast::<i32>().add(lane / 2);
            *sum = (*sum).wrapping_add(product);
        }
    }
}
