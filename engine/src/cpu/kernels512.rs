//! Integer tiles for AVX-512 VNNI: `vpdpwssd` adds 32 products of i16 to a register of a panel's 16 rows.
//!
//! A tile of 12 activation rows by two panels keeps 24 sums in registers, two for weights and one for the
//! broadcast pair: fourteen loads feed 24 multiply-adds. Its sums leave the registers once a block, straight into the
//! f32 accumulators; the loops over rows are by index so that the compiler unrolls them and no sum goes through memory.
//!
//! This file is compiled twice: over `core::arch` (`avx512.rs`) and, in tests, over a software model of
//! the intrinsics named here (`model512.rs`), so that its logic runs to the bit on every machine. Hence the
//! `#[inline(always)]` bodies without target features: the file that includes this one decides about them.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use super::super::gemm::{PAIR, QUAD, STRIP, Strip, shares};
use super::super::pack::{PANEL, PANEL_BLOCK};
use super::super::quantize::{BLOCK, STRIDE};
use super::x86_512::*;

/// Rows of a tile at most.
pub(in crate::cpu) const ROWS: usize = 12;

/// Pairs of elements of a block.
const PAIRS: usize = BLOCK / 2;

/// Pairs of one turn of a tile's loop: few turns, so that the processor foresees the last one.
const UNROLL: usize = 4;

/// Rows of a tile of four panels.
const QUAD_ROWS: usize = 6;

/// Rows up to which strips of four panels are taken: weights then come as four streams.
pub(in crate::cpu) const WIDE_ROWS: usize = 3 * QUAD_ROWS;

/// What a tile asks for while it works: nothing, or the next tile's rows and the next block of 0, 1, 2 or 4 panels.
const NOTHING: usize = usize::MAX;

macro_rules! by_rows {
    ($rows:expr, $f:ident::<$($const:tt),*>($($arg:expr),*)) => {
        match $rows {
            1 => $f::<1, $($const),*>($($arg),*),
            2 => $f::<2, $($const),*>($($arg),*),
            3 => $f::<3, $($const),*>($($arg),*),
            4 => $f::<4, $($const),*>($($arg),*),
            5 => $f::<5, $($const),*>($($arg),*),
            6 => $f::<6, $($const),*>($($arg),*),
            7 => $f::<7, $($const),*>($($arg),*),
            8 => $f::<8, $($const),*>($($arg),*),
            9 => $f::<9, $($const),*>($($arg),*),
            10 => $f::<10, $($const),*>($($arg),*),
            11 => $f::<11, $($const),*>($($arg),*),
            _ => $f::<12, $($const),*>($($arg),*),
        }
    };
}

/// One block of some rows and panels.
struct Tile {
    a: *const i16,
    /// The rows to ask for meanwhile; never dereferenced.
    a_ahead: *const i16,
    a_shift: *const i32,
    w: [*const i16; QUAD],
    w_g: [*const i8; QUAD],
    /// The blocks to ask for meanwhile; never dereferenced.
    w_ahead: [*const i16; QUAD],
    acc: *mut f32,
}

/// # Safety
/// As [`super::super::gemm::Kernels::strip`].
#[inline(always)]
pub(in crate::cpu) unsafe fn strip(s: &Strip) {
    // SAFETY: passed on.
    unsafe {
        match s.panels {
            1 => blocks::<1>(s),
            2 => blocks::<2>(s),
            _ => blocks::<4>(s),
        }
    }
}

/// # Safety
/// As [`strip`], with `P` panels.
#[inline(always)]
unsafe fn blocks<const P: usize>(s: &Strip) {
    for pair in 0..P.div_ceil(PAIR) {
        for panel in 0..PAIR * s.rows {
            let to = s.acc.wrapping_add(pair * STRIP * PAIR * PANEL + panel * PANEL);
            // SAFETY: the accumulators have a column pair for each row and pair of panels.
            unsafe { _mm512_storeu_ps(to, _mm512_setzero_ps()) }
        }
    }
    for block in 0..s.blocks {
        // The next block of these panels, or the first of those that follow.
        let last = block + 1 == s.blocks;
        let next = |panel: usize| match last {
            true => s.ahead[panel],
            false => s.w[panel].wrapping_add((block + 1) * PANEL_BLOCK),
        };
        let a = s.a.wrapping_add(block * s.a_stride * STRIDE);
        let a_shift = s.a_shift.wrapping_add(block * s.a_stride);
        for row in block * s.rows / s.blocks..(block + 1) * s.rows / s.blocks {
            for panel in 0..P {
                // SAFETY: a hint, for any address.
                unsafe { _mm_prefetch::<_MM_HINT_ET0>(s.out.wrapping_add(row * s.out_stride + panel * PANEL).cast()) }
            }
        }
        let most = if P == QUAD { QUAD_ROWS } else { ROWS };
        let (tiles, mut row, mut asked) = (s.rows.div_ceil(most), 0, 0);
        for (i, height) in shares(s.rows, most).enumerate() {
            let a_ahead = match row + height < s.rows {
                true => a.wrapping_add((row + height) * STRIDE),
                false => s.a.wrapping_add((block + 1) * s.a_stride * STRIDE),
            };
            // Each tile its share of the panels: evenly, so that none waits for the memory.
            let ahead = (P * (i + 1)).div_ceil(tiles) - asked;
            let tile = Tile {
                a: a.wrapping_add(row * STRIDE),
                a_ahead,
                a_shift: a_shift.wrapping_add(row),
                w: s.w.map(|w| w.wrapping_add(block * PANEL_BLOCK)),
                w_g: s.w_g.map(|g| g.wrapping_add(block * PANEL)),
                w_ahead: std::array::from_fn(|i| next((asked + i) % P)),
                acc: s.acc.wrapping_add(row * PAIR * PANEL),
            };
            // SAFETY: block < blocks and row + height <= rows of what the strip's pointers cover.
            unsafe {
                match ahead {
                    0 => by_rows!(height, fold::<P, 0>(&tile)),
                    1 => by_rows!(height, fold::<P, 1>(&tile)),
                    2 => by_rows!(height, fold::<P, 2>(&tile)),
                    _ => by_rows!(height, fold::<P, 4>(&tile)),
                }
            }
            asked += ahead;
            row += height;
        }
    }
}

/// Adds a tile's dot products, scaled, to its accumulators.
///
/// # Safety
/// The tile's pointers cover `R` rows and `P` panels of one block.
#[inline(always)]
unsafe fn fold<const R: usize, const P: usize, const AHEAD: usize>(t: &Tile) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, AHEAD>(t.a, STRIDE, PAIRS, t.w, t.w_ahead, t.a_ahead);
        let mut left = [_mm512_setzero_si512(); P];
        for panel in 0..P {
            left[panel] = powers(t.w_g[panel]);
        }
        for row in 0..R {
            let right = _mm512_set1_epi32(*t.a_shift.add(row));
            for panel in 0..P {
                let acc = t.acc.add(panel / PAIR * STRIP * PAIR * PANEL + row * PAIR * PANEL + panel % PAIR * PANEL);
                // Powers of two between 2^-55 and 2^50: their product, a normal one, is a sum of exponents, which other
                // units add than those that multiply.
                let scale = _mm512_castsi512_ps(_mm512_add_epi32(left[panel], right));
                _mm512_storeu_ps(
                    acc,
                    _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[row][panel]), scale, _mm512_loadu_ps(acc)),
                );
            }
        }
    }
}

/// # Safety
/// As [`super::super::gemm::Kernels::dots`].
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
) {
    for panel in (0..panels).step_by(PAIR) {
        let first = w.wrapping_add(panel * w_stride);
        let two = std::array::from_fn(|i| first.wrapping_add(i % PAIR * w_stride));
        // What follows in memory, at the end too: there the values follow the keys.
        let next = two.map(|w| w.wrapping_add(PAIR * w_stride));
        let mut row = 0;
        for height in shares(rows, ROWS) {
            let a = a.wrapping_add(row * a_stride);
            let out = out.wrapping_add(row * out_stride + panel * PANEL);
            // SAFETY: the caller's pointers cover `rows` rows and `panels` panels.
            unsafe {
                match (panel + 1 < panels, row == 0) {
                    (true, true) => {
                        by_rows!(height, store_dots::<2, 2>(a, a_stride, pairs, two, next, out, out_stride))
                    }
                    (true, false) => {
                        by_rows!(height, store_dots::<2, NOTHING>(a, a_stride, pairs, two, next, out, out_stride))
                    }
                    (false, _) => {
                        by_rows!(height, store_dots::<1, NOTHING>(a, a_stride, pairs, two, next, out, out_stride))
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
unsafe fn store_dots<const R: usize, const P: usize, const AHEAD: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; QUAD],
    next: [*const i16; QUAD],
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, P, AHEAD>(a, a_stride, pairs, w, next, a);
        for row in 0..R {
            for panel in 0..P {
                _mm512_storeu_si512(out.add(row * out_stride + panel * PANEL).cast(), sums[row][panel]);
            }
        }
    }
}

/// Dot products of `R` rows with `P` panels, asking for what is `AHEAD`.
///
/// # Safety
/// `a` is readable for `2 * pairs` elements at each of `R` strides, each of `P` pointers in `w` for `32 * pairs`.
#[inline(always)]
unsafe fn dot_rows<const R: usize, const P: usize, const AHEAD: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; QUAD],
    w_ahead: [*const i16; QUAD],
    a_ahead: *const i16,
) -> [[__m512i; P]; R] {
    // SAFETY: by the function's contract.
    unsafe {
        let mut sums = [[_mm512_setzero_si512(); P]; R];
        if R == 1 {
            // One row has too few sums to hide the latency of the multiply-add; integers allow any split.
            let mut odd = [[_mm512_setzero_si512(); P]; R];
            for pair in (0..pairs & !1).step_by(2) {
                add_pair::<R, P, AHEAD>(&mut sums, pair, a, a_stride, w, w_ahead);
                add_pair::<R, P, AHEAD>(&mut odd, pair + 1, a, a_stride, w, w_ahead);
            }
            if pairs & 1 == 1 {
                add_pair::<R, P, AHEAD>(&mut sums, pairs - 1, a, a_stride, w, w_ahead);
            }
            for panel in 0..P {
                sums[0][panel] = _mm512_add_epi32(sums[0][panel], odd[0][panel]);
            }
            return sums;
        }
        let whole = pairs / UNROLL;
        for turn in 0..whole {
            for i in 0..UNROLL {
                add_pair::<R, P, AHEAD>(&mut sums, turn * UNROLL + i, a, a_stride, w, w_ahead);
            }
            // Four lines a row, in a block's sixteen turns.
            for line in 0..if AHEAD == NOTHING { 0 } else { R.div_ceil(4) } {
                _mm_prefetch::<_MM_HINT_T0>(a_ahead.wrapping_add((line * 16 + turn) * 32).cast());
            }
        }
        for pair in whole * UNROLL..pairs {
            add_pair::<R, P, AHEAD>(&mut sums, pair, a, a_stride, w, w_ahead);
        }
        sums
    }
}

/// One pair of elements of every row times every panel.
///
/// # Safety
/// As [`dot_rows`], for this pair.
#[inline(always)]
unsafe fn add_pair<const R: usize, const P: usize, const AHEAD: usize>(
    sums: &mut [[__m512i; P]; R],
    pair: usize,
    a: *const i16,
    a_stride: usize,
    w: [*const i16; QUAD],
    ahead: [*const i16; QUAD],
) {
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let mut weights = [_mm512_setzero_si512(); P];
        for panel in 0..P {
            if AHEAD != NOTHING && panel < AHEAD {
                _mm_prefetch::<_MM_HINT_T0>(ahead[panel].wrapping_add(32 * pair).cast());
            }
            weights[panel] = _mm512_loadu_si512(w[panel].add(32 * pair).cast());
        }
        for row in 0..R {
            let both = broadcast(a.add(row * a_stride + 2 * pair));
            for panel in 0..P {
                sums[row][panel] = _mm512_dpwssd_epi32(sums[row][panel], weights[panel], both);
            }
        }
    }
}

/// A pair of elements in all 16 lanes.
///
/// # Safety
/// `pair` is readable for two elements.
#[inline(always)]
unsafe fn broadcast(pair: *const i16) -> __m512i {
    // SAFETY: by the function's contract.
    unsafe { _mm512_set1_epi32(pair.cast::<i32>().read_unaligned()) }
}

/// The bits of 2^g of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline(always)]
unsafe fn powers(w_g: *const i8) -> __m512i {
    // SAFETY: by the function's contract.
    unsafe {
        let g = _mm512_cvtepi8_epi32(_mm_loadu_si128(w_g.cast()));
        _mm512_slli_epi32::<23>(_mm512_add_epi32(g, _mm512_set1_epi32(127)))
    }
}
