//! The AVX-512 VNNI kernels of `kernels512.rs` over the real intrinsics.

#[path = "kernels512.rs"]
mod kernels;

use super::gemm::Tile;

/// The intrinsics the kernels use; `model512.rs` has a model of each.
mod x86_512 {
    pub(super) use std::arch::x86_64::{
        __m512, __m512i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm512_add_epi32, _mm512_castsi512_ps,
        _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_dpwssd_epi32, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32,
        _mm512_storeu_ps, _mm512_storeu_si512,
    };
}

/// Rows of a tile at most.
pub(super) const ROWS: usize = 12;

/// See [`super::gemm::Kernels::tile`].
///
/// # Safety
/// As there; AVX-512 F, BW, DQ, VL, VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn tile(rows: usize, tile: &Tile) {
    // SAFETY: passed on.
    unsafe { kernels::tile(rows, tile) }
}

/// See [`super::gemm::Kernels::stream`].
///
/// # Safety
/// As there; AVX-512 F, BW, DQ, VL, VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn stream(
    blocks: usize,
    a: *const i16,
    a_g: *const i8,
    w: *const i16,
    w_g: *const i8,
    acc: *mut f32,
) {
    // SAFETY: passed on.
    unsafe { kernels::stream(blocks, a, a_g, w, w_g, acc) }
}

/// See [`super::gemm::Kernels::dots`].
///
/// # Safety
/// As there; AVX-512 F, BW, DQ, VL, VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
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
    unsafe { kernels::dots(rows, a, a_stride, pairs, w, out, out_stride) }
}
