// From logits to tokens (NUMERICS 9 and 11): what head.cu, read_logits.cu, choose.cu and sample_row.cu share.
//
// A key orders candidates as section 11 does: greatest value first, -0 equal to +0, lowest id on ties; as an integer, all keys of a
// row are different and greater is better. Whatever is kept of a row is decided by integers alone.
#pragma once
#include "abi.h"
#include "exact.cuh"
#include "gpu.cuh"

namespace reading_of {

constexpr uint32_t ALL_LANES = 0xffffffffu;
constexpr float N_MAX = 1048576.0f; // section 9's bound on |n_c|

__device__ __forceinline__ float ln2() { return exact::from_bits(0x3f317218u); }
__device__ __forceinline__ float minus_infinity() { return exact::from_bits(0xff800000u); }

// ---- Keys ------------------------------------------------------------------------------------------------------------

// Ascends with v, which is not NaN; -0 and +0 give the same.
__device__ __forceinline__ uint32_t ordered(float v) {
    const uint32_t bits = __float_as_uint(v + 0.0f);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ float from_ordered(uint32_t o) {
    return exact::from_bits(o & 0x80000000u ? o & 0x7fffffffu : ~o);
}

// Never 0 where v is no NaN.
__device__ __forceinline__ uint64_t key_of(float v, uint32_t id) { return ((uint64_t)ordered(v) << 32) | (uint32_t)~id; }

__device__ __forceinline__ uint32_t id_of(uint64_t key) { return ~(uint32_t)key; }

// -0 comes back as +0: no mass, no score and no log-probability shows it.
__device__ __forceinline__ float value_of(uint64_t key) { return from_ordered((uint32_t)(key >> 32)); }

__device__ __forceinline__ uint64_t greater(uint64_t a, uint64_t b) { return a > b ? a : b; }

// Greatest key of a warp, in every lane.
__device__ __forceinline__ uint64_t warp_greatest(uint64_t key) {
    const uint32_t high = warp_max((uint32_t)(key >> 32));
    const uint32_t low = warp_max((uint32_t)(key >> 32) == high ? (uint32_t)key : 0u);
    return ((uint64_t)high << 32) | low;
}

// ---- Section 11 ------------------------------------------------------------------------------------------------------

__device__ __forceinline__ float penalized(float logit, float penalty) {
    return logit > 0.0f ? logit / penalty : logit * penalty;
}

// Philox4x32-10 of counter (index, position, seed 2, seed 3) and key (seed 0, seed 1): the words of ids 4 * index + 0 to 3.
__device__ __forceinline__ uint4 random_words(const uint32_t (&seed)[4], uint32_t position, uint32_t index) {
    uint32_t c0 = index, c1 = position, c2 = seed[2], c3 = seed[3], k0 = seed[0], k1 = seed[1];
#pragma unroll
    for (int round = 0; round < 10; round++) {
        const uint64_t a = (uint64_t)c0 * 0xd2511f53u, b = (uint64_t)c2 * 0xcd9e8d57u;
        c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)b;
        c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)a;
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    return make_uint4(c0, c1, c2, c3);
}

// ln(e) of a random word. ln(1 - v) ends like ln itself, from other arguments where v is small.
__device__ __forceinline__ float ln_noise(uint32_t u) {
    const float scaled = (float)(u | 1u) * exact::from_bits(0x2f800000u); // 2^-32
    const float below = exact::from_bits(0x3f7fffffu);                    // 1 - 2^-24
    const float v = scaled < below ? scaled : below;
    const bool small = v < exact::from_bits(0x3e947ae1u);
    const float x = 1.0f - v;
    const uint32_t bits = __float_as_uint(x);
    const uint32_t k = (bits - 0x3f3504f3u) & 0xff800000u;
    const float r = small ? -v : exact::from_bits(bits - k) - 1.0f;
    const float n = small ? 0.0f : (float)((int)k >> 23);
    return exact::ln(-exact::ln_reduced(r, n));
}

__device__ __forceinline__ float score(float y, uint32_t word) { return y * ln2() - ln_noise(word); }

__device__ __forceinline__ uint32_t word_of(const uint4 &words, uint32_t id) {
    const uint32_t i = id & 3u;
    return i == 0u ? words.x : i == 1u ? words.y : i == 2u ? words.z : words.w;
}

// floor(exp2(y - N) * 2^40): exp2 gives 0 or a normal number of at most 1.
__device__ __forceinline__ uint64_t mass(float y, float n) {
    const uint32_t bits = __float_as_uint(exact::exp2(y - n));
    if (bits == 0u) return 0;
    const uint64_t mantissa = (bits & 0x007fffffu) | 0x00800000u;
    const int shift = (int)(bits >> 23) - 127 - 23 + 40;
    if (shift >= 0) return mantissa << shift;
    return shift > -24 ? mantissa >> -shift : 0;
}

// The mass ahead of a token decides below this: floor(top_p * total) in 128 bits, and at least 1, for the first token, whose mass is
// at least 2^39, is always kept and alone where top_p keeps no other.
__device__ __forceinline__ uint64_t mass_limit(const sampling &s, uint64_t total) {
    const uint64_t low = s.top_p * total, high = __umul64hi(s.top_p, total);
    const uint32_t shift = s.top_p_shift;
    uint64_t limit = 0;
    if (shift < 64u) limit = (low >> shift) | (high << (64u - shift));
    else if (shift < 128u) limit = high >> (shift - 64u);
    return limit > 0 ? limit : 1;
}

// ---- Section 9 -------------------------------------------------------------------------------------------------------

// + 0: a log-probability is never -0. Whether N is +0 or -0 where it is a zero, and the sign of a y that is one, could show only there.
__device__ __forceinline__ float log_probability(float y, float n, float l) { return fmaf(y - n, ln2(), -exact::ln(l)) + 0.0f; }

// M as the l of section 11's second formula.
__device__ __forceinline__ float mass_as_sum(uint64_t m) { return (float)m * exact::from_bits(0x2b800000u); } // 2^-40

// 2^e for an integer e <= 0, 0 below -100.
__device__ __forceinline__ float decay(float e) { return e < -100.0f ? 0.0f : exact::pow2((int)e); }

// n_c of the y of a warp's chunk, absent ones -inf; false where it is a fault.
__device__ __forceinline__ bool chunk_ceiling(const float (&y)[4], float &n) {
    bool nan = false;
    uint32_t greatest = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        nan |= y[i] != y[i];
        greatest = max(greatest, ordered(y[i]));
    }
    n = ceilf(from_ordered(warp_max(greatest)));
    return !__any_sync(ALL_LANES, nan) && fabsf(n) <= N_MAX;
}

// l_c.
__device__ __forceinline__ float chunk_sum(const float (&y)[4], float n) {
    const float e[4] = {exact::exp2(y[0] - n), exact::exp2(y[1] - n), exact::exp2(y[2] - n), exact::exp2(y[3] - n)};
    return exact::warp_s128(e);
}

} // namespace reading_of
