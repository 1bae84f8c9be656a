//! Integer tiles with AVX2: `vpmaddwd` multiplies 16 pairs of i16, two registers hold a panel's 16 rows.
//!
//! A tile of 4 activation rows by one panel keeps 8 sums in registers. Six rows would fit too, and ran at 68 % of
//! the multiply rate where four run at 88 % (Zen 1). The f32 accumulators live in the caller's cache-resident scratch.

use std::arch::x86_64::*;

use super::gemm::Tile;
use super::pack::PANEL;

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

/// See [`super::gemm::Kernels::tile`].
///
/// # Safety
/// As there; AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
    for panel in 0..tile.panels {
        // SAFETY: passed on.
        unsafe { by_rows!(rows, tile_rows(tile, panel)) }
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
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: passed on.
    unsafe { by_rows!(rows, store_dots(a, a_stride, pairs, w, out, out_stride)) }
}

/// # Safety
/// As [`dots`] with `R` rows.
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
    // SAFETY: the caller's pointers cover `R` rows of `a` and `out` and one panel.
    unsafe {
        let sums = dot_rows::<R, false>(a, a_stride, pairs, w, w);
        for (row, [low, high]) in sums.into_iter().enumerate() {
            let out = out.add(row * out_stride);
            _mm256_storeu_si256(out.cast(), low);
            _mm256_storeu_si256(out.add(8).cast(), high);
        }
    }
}

/// # Safety
/// As [`tile`] with `R` rows.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn tile_rows<const R: usize>(tile: &Tile, panel: usize) {
    // SAFETY: the caller's pointers cover `R` rows and this panel of one block.
    unsafe {
        let sums = if tile.ahead[panel].is_null() {
            dot_rows::<R, false>(tile.a, 128, 64, tile.w[panel], tile.w[panel])
        } else {
            dot_rows::<R, true>(tile.a, 128, 64, tile.w[panel], tile.ahead[panel])
        };
        for (row, d) in sums.into_iter().enumerate() {
            let scale = scales(tile.w_g[panel], *tile.a_g.add(row));
            for half in 0..2 {
                let acc = tile.acc.add(row * 2 * PANEL + panel * PANEL + half * 8);
                let sum = _mm256_fmadd_ps(_mm256_cvtepi32_ps(d[half]), scale[half], _mm256_loadu_ps(acc));
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
    for pair in 0..pairs {
        if AHEAD {
            _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(32 * pair).cast());
        }
        // SAFETY: by the function's contract; the loads have no alignment to keep.
        unsafe {
            let low = _mm256_loadu_si256(w.add(32 * pair).cast());
            let high = _mm256_loadu_si256(w.add(32 * pair + 16).cast());
            for (row, sum) in sums.iter_mut().enumerate() {
                let both = a.add(row * a_stride + 2 * pair).cast::<i32>().read_unaligned();
                let both = _mm256_set1_epi32(both);
                sum[0] = _mm256_add_epi32(sum[0], _mm256_madd_epi16(low, both));
                sum[1] = _mm256_add_epi32(sum[1], _mm256_madd_epi16(high, both));
            }
        }
    }
    sums
}

/// 2^(gL + gR) of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn scales(w_g: *const i8, a_g: i8) -> [__m256; 2] {
    // SAFETY: by the function's contract.
    let g = unsafe { _mm_loadu_si128(w_g.cast()) };
    let right = _mm256_set1_epi32(i32::from(a_g) + 127);
    let power = |g| _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(_mm256_cvtepi8_epi32(g), right)));
    [power(g), power(_mm_srli_si128::<8>(g))]
}
