//! Integer tiles for AVX-512 VNNI: `vpdpwssd` adds 32 products of i16 to a register of a panel's 16 rows.
//!
//! A tile of 12 activation rows by two panels keeps 24 sums in registers, two for weights and one for the
//! broadcast pair: fourteen loads feed 24 multiply-adds.
//!
//! This file is compiled twice: over `core::arch` (`avx512.rs`) and, in tests, over a software model of
//! the intrinsics named here (`model512.rs`), so that its logic runs to the bit on every machine. Hence the
//! `#[inline(always)]` bodies without target features: the file that includes this one decides about them.

use super::super::gemm::Tile;
use super::super::pack::PANEL;
use super::x86_512::*;

macro_rules! by_rows {
    ($rows:expr, $panels:literal, $f:ident($($arg:expr),*)) => {
        match $rows {
            1 => $f::<1, $panels>($($arg),*),
            2 => $f::<2, $panels>($($arg),*),
            3 => $f::<3, $panels>($($arg),*),
            4 => $f::<4, $panels>($($arg),*),
            5 => $f::<5, $panels>($($arg),*),
            6 => $f::<6, $panels>($($arg),*),
            7 => $f::<7, $panels>($($arg),*),
            8 => $f::<8, $panels>($($arg),*),
            9 => $f::<9, $panels>($($arg),*),
            10 => $f::<10, $panels>($($arg),*),
            11 => $f::<11, $panels>($($arg),*),
            _ => $f::<12, $panels>($($arg),*),
        }
    };
}

/// # Safety
/// As [`super::super::gemm::Kernels::tile`].
#[inline(always)]
pub(in crate::cpu) unsafe fn tile(rows: usize, tile: &Tile) {
    // SAFETY: passed on.
    unsafe { if tile.panels == 2 { by_rows!(rows, 2, tile_rows(tile)) } else { by_rows!(rows, 1, tile_rows(tile)) } }
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
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: passed on.
    unsafe { by_rows!(rows, 1, store_dots(a, a_stride, pairs, w, out, out_stride)) }
}

/// # Safety
/// As [`dots`] with `R` rows; `P` is 1.
#[inline(always)]
unsafe fn store_dots<const R: usize, const P: usize>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: *const i16,
    out: *mut i32,
    out_stride: usize,
) {
    // SAFETY: the caller's pointers cover `R` rows of `a` and `out` and one panel.
    unsafe {
        let sums = dot_rows::<R, P, false>(a, a_stride, pairs, [w; 2], [w; 2]);
        for (row, d) in sums.into_iter().enumerate() {
            _mm512_storeu_si512(out.add(row * out_stride).cast(), d[0]);
        }
    }
}

/// # Safety
/// As [`tile`] with `R` rows and `P` panels.
#[inline(always)]
unsafe fn tile_rows<const R: usize, const P: usize>(tile: &Tile) {
    // SAFETY: the caller's pointers cover `R` rows and `P` panels of one block.
    unsafe {
        let sums = if tile.ahead[0].is_null() {
            dot_rows::<R, P, false>(tile.a, 128, 64, tile.w, tile.w)
        } else {
            dot_rows::<R, P, true>(tile.a, 128, 64, tile.w, tile.ahead)
        };
        for (row, d) in sums.into_iter().enumerate() {
            for (panel, d) in d.into_iter().enumerate() {
                let scale = scales(tile.w_g[panel], *tile.a_g.add(row));
                let acc = tile.acc.add(row * 2 * PANEL + panel * PANEL);
                _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_cvtepi32_ps(d), scale, _mm512_loadu_ps(acc)));
            }
        }
    }
}

/// Dot products of `R` rows with `P` panels; with `AHEAD` the panels at `ahead` are asked for meanwhile.
///
/// # Safety
/// `a` is readable for `2 * pairs` elements at each of `R` strides, each of `P` pointers in `w` for `32 * pairs`.
#[inline(always)]
unsafe fn dot_rows<const R: usize, const P: usize, const AHEAD: bool>(
    a: *const i16,
    a_stride: usize,
    pairs: usize,
    w: [*const i16; 2],
    ahead: [*const i16; 2],
) -> [[__m512i; P]; R] {
    // SAFETY: by the function's contract.
    unsafe {
        if R > 1 {
            let mut sums = [[_mm512_setzero_si512(); P]; R];
            for pair in 0..pairs {
                add_pair::<R, P, AHEAD>(&mut sums, pair, a, a_stride, w, ahead);
            }
            return sums;
        }
        // One row has too few sums to hide the latency of the multiply-add; integers allow any split.
        let (mut even, mut odd) = ([[_mm512_setzero_si512(); P]; R], [[_mm512_setzero_si512(); P]; R]);
        for pair in (0..pairs & !1).step_by(2) {
            add_pair::<R, P, AHEAD>(&mut even, pair, a, a_stride, w, ahead);
            add_pair::<R, P, AHEAD>(&mut odd, pair + 1, a, a_stride, w, ahead);
        }
        if pairs & 1 == 1 {
            add_pair::<R, P, AHEAD>(&mut even, pairs - 1, a, a_stride, w, ahead);
        }
        for (even, odd) in even.iter_mut().zip(odd) {
            for (even, odd) in even.iter_mut().zip(odd) {
                *even = _mm512_add_epi32(*even, odd);
            }
        }
        even
    }
}

/// One pair of elements of every row times every panel.
///
/// # Safety
/// As [`dot_rows`], for this pair.
#[inline(always)]
unsafe fn add_pair<const R: usize, const P: usize, const AHEAD: bool>(
    sums: &mut [[__m512i; P]; R],
    pair: usize,
    a: *const i16,
    a_stride: usize,
    w: [*const i16; 2],
    ahead: [*const i16; 2],
) {
    // SAFETY: by the function's contract; the loads have no alignment to keep.
    unsafe {
        let mut weights = [_mm512_setzero_si512(); P];
        for (panel, weights) in weights.iter_mut().enumerate() {
            if AHEAD {
                _mm_prefetch::<_MM_HINT_T0>(ahead[panel].wrapping_add(32 * pair).cast());
            }
            *weights = _mm512_loadu_si512(w[panel].add(32 * pair).cast());
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let both = broadcast(a.add(row * a_stride + 2 * pair));
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = _mm512_dpwssd_epi32(*sum, weights, both);
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

/// 2^(gL + gR) of a panel's 16 rows.
///
/// # Safety
/// `w_g` is readable for 16 elements.
#[inline(always)]
unsafe fn scales(w_g: *const i8, a_g: i8) -> __m512 {
    // SAFETY: by the function's contract.
    unsafe {
        let left = _mm512_cvtepi8_epi32(_mm_loadu_si128(w_g.cast()));
        let right = _mm512_set1_epi32(i32::from(a_g) + 127);
        _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(left, right)))
    }
}
