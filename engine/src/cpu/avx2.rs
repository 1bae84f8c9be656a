//! Integer tiles with AVX2: `vpmaddwd` multiplies 16 pairs of i16, two registers hold a panel's 16 rows.
//!
//! A tile of 4 activation rows by one panel keeps 8 sums in registers. Six rows would fit too, and ran at 68 % of
//! the multiply rate where four run at 88 % (Zen 1). The f32 accumulators live in the caller's cache-resident scratch.

// Loops by index are unrolled, and what they index stays in registers.
#![allow(clippy::needless_range_loop)]

use std::arch::x86_64::*;

use super::gemm::{Strip, shares};
use super::pack::{PANEL, PANEL_BLOCK};
use super::quantize::{BLOCK, STRIDE};

/// Rows of a tile at most.
pub(super) const ROWS: usize = 4;

macro_rules! by_rows {
    ($rows:expr, $f:ident($($arg:expr),*)) => {
        match $rows {
            1 => $f::<1>($($arg),*),
            2 => $f::<2>($($arg),*),
            3 => $f::<3>($($arg),*),
            _ => $f::<4>($($arg),*),
        }
    };
}

/// One block of some rows and one panel.
struct Tile {
    a: *const i16,
    a_shift: *const i32,
    w: *const i16,
    w_g: *const i8,
    /// The block to ask for meanwhile, or null; never dereferenced.
    w_ahead: *const i16,
    acc: *mut f32,
}

/// See [`super::gemm::Kernels::strip`].
///
/// # Safety
/// As there; AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn strip(s: &Strip) {
    // SAFETY: the accumulators have a column pair for each row.
    unsafe { s.acc.write_bytes(0, s.rows * 2 * PANEL) };
    for block in 0..s.blocks {
        for panel in 0..s.panels {
            let w = s.w[panel].wrapping_add(block * PANEL_BLOCK);
            let next = if block + 1 == s.blocks { s.ahead[panel] } else { w.wrapping_add(PANEL_BLOCK) };
            let mut row = 0;
            for height in shares(s.rows, ROWS) {
                let at = block * s.a_stride + row;
                let tile = Tile {
                    a: s.a.wrapping_add(at * STRIDE),
                    a_shift: s.a_shift.wrapping_add(at),
                    w,
                    w_g: s.w_g[panel].wrapping_add(block * PANEL),
                    w_ahead: if row == 0 { next } else { std::ptr::null() },
                    acc: s.acc.wrapping_add(row * 2 * PANEL + panel * PANEL),
                };
                // SAFETY: block < blocks and row + height <= rows of what the strip's pointers cover.
                unsafe { by_rows!(height, fold(&tile)) }
                row += height;
            }
        }
    }
}

/// See [`super::gemm::Kernels::dots`].
///
/// # Safety
/// As there; AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
#[allow(clippy::too_many_arguments)]
pub(super) unsafe fn dots(
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
    for panel in 0..panels {
        let mut row = 0;
        for height in shares(rows, ROWS) {
            let a = a.wrapping_add(row * a_stride);
            let out = out.wrapping_add(row * out_stride + panel * PANEL);
            // SAFETY: the caller's pointers cover `rows` rows and `panels` panels.
            unsafe {
                by_rows!(height, store_dots(a, a_stride, pairs, w.wrapping_add(panel * w_stride), out, out_stride))
            }
            row += height;
        }
    }
}

/// # Safety
/// `a` and `out` cover `R` rows, `w` one panel.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn store_dots<const R: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = dot_rows::<R, false>(a, a_stride, pairs, w, w);
        for row in 0..R {
            for half in 0..2 {
                _mm256_storeu_si256(out.add(row * out_stride + half * 8).cast(), sums[row][half]);
            }
        }
    }
}

/// Adds a tile's dot products, scaled, to its accumulators.
///
/// # Safety
/// The tile's pointers cover `R` rows and one panel of one block.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn fold<const R: usize>(t: &Tile) {
    // SAFETY: by the function's contract.
    unsafe {
        let sums = match t.w_ahead.is_null() {
            true => dot_rows::<R, false>(t.a, STRIDE, BLOCK / 2, t.w, t.w),
            false => dot_rows::<R, true>(t.a, STRIDE, BLOCK / 2, t.w, t.w_ahead),
        };
        let left = powers(t.w_g);
        for row in 0..R {
            let right = _mm256_set1_epi32(*t.a_shift.add(row));
            for half in 0..2 {
                let acc = t.acc.add(row * 2 * PANEL + half * 8);
                // Powers of two between 2^-55 and 2^50: their product, a normal one, is a sum of exponents.
                let scale = _mm256_castsi256_ps(_mm256_add_epi32(left[half], right));
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sums[row][half]), scale, _mm256_loadu_ps(acc));
                _mm256_storeu_ps(acc, sum);
            }
        }
    }
}

/// Dot products of `R` rows with a panel; with `AHEAD` the panel at `ahead` is asked for meanwhile.
///
/// # Safety
/// `a` is readable for `2 * pairs` elements at each of `R` strides, `w` for `32 * pairs`.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn dot_rows<const R: usize, const AHEAD: bool>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    ahead: *const i16,
) -> [[__m256i; 2]; R] {
    let mut sums = [[_mm256_setzero_si256(); 2]; R];
    let mut pair = 0;
    // SAFETY: by the function's contract.
    unsafe {
        while pair + 2 <= pairs {
            add_pair::<R, AHEAD>(&mut sums, pair, a, a_stride, w, ahead);
            add_pair::<R, AHEAD>(&mut sums, pair + 1, a, a_stride, w, ahead);
            pair += 2;
        }
        if pair < pairs {
            add_pair::<R, AHEAD>(&mut sums, pair, a, a_stride, w, ahead);
        }
    }
    sums
}

/// One pair of elements of every row.
///
/// # Safety
/// As [`dot_rows`], for this pair.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn add_pair<const R: usize, const AHEAD: bool>(
    sums: &mut [[__m256i; 2]; R],
    pair: usize,
    a: *const i16,
    a_stride: usize,
    w: *const i16,
    ahead: *const i16,
) {
    if AHEAD {
        _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(32 * pair).cast());
    }
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let low = _mm256_loadu_si256(w.add(32 * pair).cast());
        let high = _mm256_loadu_si256(w.add(32 * pair + 16).cast());
        for row in 0..R {
            let both = a.add(row * a_stride + 2 * pair).cast::<i32>().read_unaligned();
            let both = _mm256_set1_epi32(both);
            sums[row][0] = _mm256_add_epi32(sums[row][0], _mm256_madd_epi16(low, both));
            sums[row][1] = _mm256_add_epi32(sums[row][1], _mm256_madd_epi16(high, both));
        }
    }
}

/// The bits of 2^g of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn powers(w_g: *const i8) -> [__m256i; 2] {
    // SAFETY: by the function's contract.
    let g = unsafe { _mm_loadu_si128(w_g.cast()) };
    let bias = _mm256_set1_epi32(127);
    let power = |g| _mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtepi8_epi32(g), bias));
    [power(g), power(_mm_srli_si128::<8>(g))]
}
