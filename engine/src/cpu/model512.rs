//! Test only: the kernels of `kernels512.rs` over a software model of the intrinsics they use.
//!
//! Each function does to arrays of lanes what Intel's guide says the instruction does, so the kernels' own
//! logic (addresses, tails, order of accumulation) is executed on machines without AVX-512. What it cannot
//! show is that the compiler emits the right instruction; machines that have them run the real kernels.

#[allow(clippy::duplicate_mod)] // the point of this module
#[path = "kernels512.rs"]
mod kernels;

pub(super) use kernels::{DIRECT, DIRECT_WHOLE, ROWS, dots, strip};

/// Lane by lane what `core::arch::x86_64` does under the same names.
#[allow(non_camel_case_types, clippy::missing_safety_doc)]
mod x86_512 {
    #[derive(Clone, Copy)]
    pub(super) struct __m512i([i32; 16]);
    #[derive(Clone, Copy)]
    pub(super) struct __m512([f32; 16]);
    #[derive(Clone, Copy)]
    pub(super) struct __m128i([i8; 16]);
    #[derive(Clone, Copy)]
    pub(super) struct __m256i([i8; 32]);

    /// 16-bit lane `i` of a register.
    fn word(x: &__m512i, i: usize) -> u16 {
        (x.0[i / 2] >> (16 * (i % 2))) as u16
    }

    fn words(lane: impl Fn(usize) -> u16) -> __m512i {
        __m512i(std::array::from_fn(|i| (u32::from(lane(2 * i + 1)) << 16 | u32::from(lane(2 * i))) as i32))
    }

    pub(super) const _MM_HINT_T0: i32 = 3;
    pub(super) const _MM_HINT_T1: i32 = 2;
    pub(super) const _MM_HINT_ET0: i32 = 7;

    pub(super) unsafe fn _mm_prefetch<const HINT: i32>(_: *const i8) {}

    pub(super) unsafe fn _mm512_setzero_si512() -> __m512i {
        __m512i([0; 16])
    }

    pub(super) unsafe fn _mm512_setzero_ps() -> __m512 {
        __m512([0.0; 16])
    }

    pub(super) unsafe fn _mm512_set1_epi32(x: i32) -> __m512i {
        __m512i([x; 16])
    }

    pub(super) unsafe fn _mm512_loadu_si512(from: *const __m512i) -> __m512i {
        // SAFETY: the kernel promises 64 readable bytes.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm512_loadu_ps(from: *const f32) -> __m512 {
        // SAFETY: the kernel promises 64 readable bytes.
        unsafe { from.cast::<__m512>().read_unaligned() }
    }

    pub(super) unsafe fn _mm_loadu_si128(from: *const __m128i) -> __m128i {
        // SAFETY: the kernel promises 16 readable bytes.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm256_loadu_si256(from: *const __m256i) -> __m256i {
        // SAFETY: the kernel promises 32 readable bytes.
        unsafe { from.read_unaligned() }
    }

    pub(super) unsafe fn _mm512_cvtepi8_epi16(a: __m256i) -> __m512i {
        words(|i| i16::from(a.0[i]) as u16)
    }

    pub(super) unsafe fn _mm512_srli_epi16<const BITS: u32>(a: __m512i) -> __m512i {
        words(|i| word(&a, i) >> BITS)
    }

    /// Zero where the count is 16 or more.
    pub(super) unsafe fn _mm512_sllv_epi16(a: __m512i, count: __m512i) -> __m512i {
        words(|i| word(&a, i).checked_shl(u32::from(word(&count, i))).unwrap_or(0))
    }

    /// Lane i of the result is the lane of `a` that the low five bits of lane i of `index` name.
    pub(super) unsafe fn _mm512_permutexvar_epi16(index: __m512i, a: __m512i) -> __m512i {
        words(|i| word(&a, usize::from(word(&index, i) & 31)))
    }

    pub(super) unsafe fn _mm512_xor_si512(a: __m512i, b: __m512i) -> __m512i {
        __m512i(std::array::from_fn(|i| a.0[i] ^ b.0[i]))
    }

    /// Bit by bit, the bit of `TABLE` that the bits of a (4), b (2) and c (1) name.
    pub(super) unsafe fn _mm512_ternarylogic_epi32<const TABLE: i32>(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
        let bit = |x: &__m512i, i: usize, bit: u32| x.0[i] as u32 >> bit & 1;
        let at = |i, n| (TABLE as u32 >> (bit(&a, i, n) << 2 | bit(&b, i, n) << 1 | bit(&c, i, n)) & 1) << n;
        __m512i(std::array::from_fn(|i| (0..32).fold(0, |x, n| x | at(i, n)) as i32))
    }

    pub(super) unsafe fn _mm512_storeu_si512(to: *mut __m512i, x: __m512i) {
        // SAFETY: the kernel promises 64 writable bytes.
        unsafe { to.write_unaligned(x) }
    }

    pub(super) unsafe fn _mm512_storeu_ps(to: *mut f32, x: __m512) {
        // SAFETY: the kernel promises 64 writable bytes.
        unsafe { to.cast::<__m512>().write_unaligned(x) }
    }

    pub(super) unsafe fn _mm512_add_epi32(a: __m512i, b: __m512i) -> __m512i {
        __m512i(std::array::from_fn(|i| a.0[i].wrapping_add(b.0[i])))
    }

    pub(super) unsafe fn _mm512_slli_epi32<const BITS: u32>(a: __m512i) -> __m512i {
        __m512i(a.0.map(|x| x << BITS))
    }

    pub(super) unsafe fn _mm512_cvtepi8_epi32(a: __m128i) -> __m512i {
        __m512i(a.0.map(i32::from))
    }

    pub(super) unsafe fn _mm512_cvtepi32_ps(a: __m512i) -> __m512 {
        __m512(a.0.map(|x| x as f32))
    }

    pub(super) unsafe fn _mm512_castsi512_ps(a: __m512i) -> __m512 {
        __m512(a.0.map(|x| f32::from_bits(x as u32)))
    }

    pub(super) unsafe fn _mm512_fmadd_ps(a: __m512, b: __m512, c: __m512) -> __m512 {
        __m512(std::array::from_fn(|i| a.0[i].mul_add(b.0[i], c.0[i])))
    }

    pub(super) unsafe fn dpwssd_pair(sum: __m512i, a: __m512i, pair: *const i16) -> __m512i {
        // SAFETY: the kernel promises two readable elements.
        unsafe { _mm512_dpwssd_epi32(sum, a, _mm512_set1_epi32(pair.cast::<i32>().read_unaligned())) }
    }

    /// Products of the signed 16-bit halves of a 32-bit lane, both added to `sum`, without saturation.
    pub(super) unsafe fn _mm512_dpwssd_epi32(sum: __m512i, a: __m512i, b: __m512i) -> __m512i {
        let low = |x: i32| i32::from(x as i16);
        __m512i(std::array::from_fn(|i| {
            let (a, b) = (a.0[i], b.0[i]);
            sum.0[i].wrapping_add(low(a) * low(b)).wrapping_add((a >> 16) * (b >> 16))
        }))
    }
}
