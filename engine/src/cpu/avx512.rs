//! The AVX-512 VNNI kernels of `kernels512.rs` over the real intrinsics.

#[path = "kernels512.rs"]
mod kernels;

use std::arch::x86_64::__cpuid;
use std::sync::LazyLock;

use super::strip::{Dots, Strip};
pub(super) use kernels::ROWS;
use kernels::{DIRECT, DIRECT_WHOLE};

/// See [`super::strip::Kernels::direct`].
pub(super) fn direct() -> usize {
    static HALVES: LazyLock<bool> = LazyLock::new(halves);
    if *HALVES { DIRECT } else { DIRECT_WHOLE }
}

/// Whether this processor takes 512-bit operations in two halves, as AMD's Zen 4 does.
fn halves() -> bool {
    const EXTENDED: u32 = 0x8000_0000;
    // AMD's "performance optimization identifiers": bits 2 and 3 of EAX say that units are 256 and 512 bits wide.
    const WIDTHS: u32 = 0x8000_001a;
    // SAFETY: every x86-64 processor has the instruction; older compilers do not count on that.
    #[allow(unused_unsafe)]
    let eax = |leaf| unsafe { __cpuid(leaf).eax };
    eax(EXTENDED) >= WIDTHS && eax(WIDTHS) >> 2 & 3 == 1
}

/// The intrinsics the kernels use; `model512.rs` has a model of each.
mod x86_512 {
    pub(super) use std::arch::x86_64::{
        __m512i, _MM_HINT_ET0, _MM_HINT_T0, _MM_HINT_T1, _mm_loadu_si128, _mm_prefetch, _mm256_loadu_si256,
        _mm512_add_epi32, _mm512_castsi512_ps, _mm512_cvtepi8_epi16, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps,
        _mm512_fmadd_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_permutexvar_epi16, _mm512_set1_epi32,
        _mm512_setzero_ps, _mm512_setzero_si512, _mm512_slli_epi32, _mm512_sllv_epi16, _mm512_srli_epi16,
        _mm512_storeu_ps, _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_xor_si512,
    };

    /// `vpdpwssd` as written: left to itself the compiler splits it into a multiply and an add, at half the
    /// rate, wherever it believes one sum's latency to matter.
    ///
    /// # Safety
    /// AVX-512 F and VNNI.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn _mm512_dpwssd_epi32(mut sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: arithmetic on the three registers named.
        unsafe {
            std::arch::asm!("vpdpwssd {0}, {1}, {2}", inout(zmm_reg) sum, in(zmm_reg) a, in(zmm_reg) b,
                options(pure, nomem, nostack, preserves_flags));
        }
        sum
    }

    /// `vpdpwssd` with a pair from memory in all lanes.
    ///
    /// # Safety
    /// AVX-512 F and VNNI; `pair` is readable for two elements.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(super) unsafe fn dpwssd_pair(mut sum: __m512i, a: __m512i, pair: *const i16) -> __m512i {
        // SAFETY: reads the pair; arithmetic on the two registers named.
        unsafe {
            std::arch::asm!("vpdpwssd {0}, {1}, dword ptr [{2}]{{1to16}}", inout(zmm_reg) sum, in(zmm_reg) a,
                in(reg) pair, options(pure, readonly, nostack, preserves_flags));
        }
        sum
    }
}

/// See [`super::strip::Kernels::strip`].
///
/// # Safety
/// As there; AVX-512 F, BW, DQ, VL, VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn strip(s: &Strip) {
    // SAFETY: passed on.
    unsafe { kernels::strip(s) }
}

/// See [`super::strip::Kernels::dots`].
///
/// # Safety
/// As there; AVX-512 F, BW, DQ, VL, VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")]
pub(super) unsafe fn dots(d: Dots<'_>) {
    // SAFETY: passed on.
    unsafe { kernels::dots(d) }
}
