// NUMERICS on a device: elementary functions (8), sums (5), block exponent and quantizers (2, 3), faults (1).
//
// A block of 128 elements is held by a warp, lane l with elements 4l..4l+3 (one float4). The same mapping serves S128: the tree's
// s = 64, 32, 16, 8, 4 then joins lanes 16, 8, 4, 2, 1 apart, and s = 2, 1 elements of one lane.
// Everything named warp_* or *_block is called by all 32 lanes together.
#pragma once
#include "abi.h"
#include "gpu.cuh"

namespace exact {

// 1.5 * 2^23: x + MAGIC rounds |x| < 2^22 to the nearest integer, ties to even, which then lies in the low bits.
constexpr float MAGIC = 12582912.0f;
constexpr uint32_t MAGIC_BITS = 0x4b400000u;

__device__ __forceinline__ float from_bits(uint32_t bits) { return __uint_as_float(bits); }

// 2^e for a normal power of two, -126 <= e <= 127.
__device__ __forceinline__ float pow2(int e) { return __int_as_float((e + 127) << 23); }

__device__ __forceinline__ float add_exponent(float v, float t) {
    return from_bits(__float_as_uint(v) + ((__float_as_uint(t) & 0x1ffu) << 23));
}

// ---- Section 8 ------------------------------------------------------------------------------------------------------
// A NaN argument need not give NaN (the added exponent can carry out of it, and a GPU's NaN has other bits than a CPU's):
// whoever must see NaN looks at the argument. silu(NaN) is NaN, by its numerator.

// 2^x.
__device__ __forceinline__ float exp2(float x) {
    const float c = x > 127.0f ? 127.0f : x;
    const float t = c + MAGIC;
    const float n = t - MAGIC;
    const float r = c - n;
    float p = from_bits(0x3920fdde);
    p = fmaf(p, r, from_bits(0x3aaf9f2a));
    p = fmaf(p, r, from_bits(0x3c1d96a6));
    p = fmaf(p, r, from_bits(0x3d635774));
    p = fmaf(p, r, from_bits(0x3e75fdee));
    p = fmaf(p, r, from_bits(0x3f317218));
    p = fmaf(p, r, 1.0f);
    return x < -125.0f ? 0.0f : add_exponent(p, t);
}

// e^x.
__device__ __forceinline__ float exp(float x) {
    const float c = x > 88.0f ? 88.0f : x;
    const float t = fmaf(c, from_bits(0x3fb8aa3b), MAGIC);
    const float n = t - MAGIC;
    float r = fmaf(n, -from_bits(0x3f317200), c);
    r = fmaf(n, -from_bits(0x35bfbe8e), r);
    float p = from_bits(0x3ab5121a);
    p = fmaf(p, r, from_bits(0x3c091cf1));
    p = fmaf(p, r, from_bits(0x3d2aac79));
    p = fmaf(p, r, from_bits(0x3e2aaa49));
    p = fmaf(p, r, from_bits(0x3efffffe));
    const float v = fmaf(p, r * r, r) + 1.0f;
    return x < -86.0f ? 0.0f : add_exponent(v, t);
}

// ln((1 + r) * 2^n): the end of ln. Section 11's noise evaluates it from r = -v, n = 0.
__device__ __forceinline__ float ln_reduced(float r, float n) {
    float p = from_bits(0xbd9c5abb);
    p = fmaf(p, r, from_bits(0x3e02adb4));
    p = fmaf(p, r, from_bits(0xbe06c2a1));
    p = fmaf(p, r, from_bits(0x3e116d0f));
    p = fmaf(p, r, from_bits(0xbe2a3922));
    p = fmaf(p, r, from_bits(0x3e4cd004));
    p = fmaf(p, r, from_bits(0xbe800113));
    p = fmaf(p, r, from_bits(0x3eaaaaaa));
    const float r2 = r * r;
    float t = fmaf(r2 * r, p, n * from_bits(0x35bfbe8e));
    t = fmaf(r2, -0.5f, t);
    return fmaf(n, from_bits(0x3f317200), t + r);
}

// ln x for normal positive x.
__device__ __forceinline__ float ln(float x) {
    const uint32_t bits = __float_as_uint(x);
    const uint32_t k = (bits - 0x3f3504f3u) & 0xff800000u;
    return ln_reduced(from_bits(bits - k) - 1.0f, (float)((int)k >> 23));
}

// x / (1 + exp(-x)).
__device__ __forceinline__ float silu(float x) { return x / (1.0f + exp(-x)); }

// ---- Checkpoint elements: exact, and NaN or Inf stay what they are ---------------------------------------------------

__device__ __forceinline__ float from_bf16(uint32_t h) { return from_bits(h << 16); }

// Moving the bits and scaling by 2^112 is right for subnormals too; exponent 31 is Inf or NaN and is set apart.
__device__ __forceinline__ float from_f16(uint32_t h) {
    const float magnitude = from_bits((h & 0x7fffu) << 13) * from_bits(0x77800000u);
    const uint32_t special = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
    return from_bits(__float_as_uint(magnitude) | special | ((h & 0x8000u) << 16));
}

// ---- Section 5: S128 -------------------------------------------------------------------------------------------------

// Tree of S128 over P[j], j = 4 * lane + i in p[i]; the result in every lane. Each step exchanges halves, so that eight
// shuffles do: a lane keeps the elements i of its half, and s = 2, 1 find theirs in the lanes that kept the others.
__device__ __forceinline__ float warp_s128(const float (&p)[4]) {
    const uint32_t lane = threadIdx.x & 31u;
    const bool upper = lane & 16u, odd = lane & 8u;
    float a = upper ? p[2] : p[0], b = upper ? p[3] : p[1];                      // i = 0, 1 below lane 16; 2, 3 from there on
    a = a + __shfl_xor_sync(0xffffffffu, upper ? p[0] : p[2], 16);               // s = 64
    b = b + __shfl_xor_sync(0xffffffffu, upper ? p[1] : p[3], 16);
    float v = odd ? b : a;
    v = v + __shfl_xor_sync(0xffffffffu, odd ? a : b, 8);                        // s = 32
    v = v + __shfl_xor_sync(0xffffffffu, v, 4);                                  // s = 16
    v = v + __shfl_xor_sync(0xffffffffu, v, 2);                                  // s = 8
    v = v + __shfl_xor_sync(0xffffffffu, v, 1);                                  // s = 4
    v = v + __shfl_xor_sync(0xffffffffu, v, 16);                                 // s = 2: i and i + 2
    return v + __shfl_xor_sync(0xffffffffu, v, 8);                               // s = 1: i and i + 1
}

// Tree of S128 over P[j] in thread j < 128 of the CTA; the result in every thread. All threads call, `scratch` holds 128
// floats, and a barrier must lie before its next use.
__device__ __forceinline__ float cta_s128(float p, float *scratch) {
    const uint32_t lane = threadIdx.x & 31u;
    if (threadIdx.x < 128u) scratch[threadIdx.x] = p;
    __syncthreads();
    float v = (scratch[lane] + scratch[lane + 64]) + (scratch[lane + 32] + scratch[lane + 96]); // s = 64, s = 32
    v = v + __shfl_xor_sync(0xffffffffu, v, 16);
    v = v + __shfl_xor_sync(0xffffffffu, v, 8);
    v = v + __shfl_xor_sync(0xffffffffu, v, 4);
    v = v + __shfl_xor_sync(0xffffffffu, v, 2);
    return v + __shfl_xor_sync(0xffffffffu, v, 1);
}

// Neither NaN nor infinite.
__device__ __forceinline__ bool is_finite(float x) { return (__float_as_uint(x) & 0x7f800000u) != 0x7f800000u; }

// ---- Section 2 -------------------------------------------------------------------------------------------------------

// Greatest magnitude of a lane's four elements, as bits.
__device__ __forceinline__ uint32_t magnitude(const float (&x)[4]) {
    const uint32_t a = max(__float_as_uint(x[0]) & 0x7fffffffu, __float_as_uint(x[1]) & 0x7fffffffu);
    const uint32_t b = max(__float_as_uint(x[2]) & 0x7fffffffu, __float_as_uint(x[3]) & 0x7fffffffu);
    return max(a, b);
}

// Whether a block with greatest magnitude m (as bits) is a fault: NaN, Inf, or 2^60 and more.
__device__ __forceinline__ bool is_fault(uint32_t m) { return m >= (187u << 23); }

// E of a block with greatest magnitude m (as bits): -40 to 60.
__device__ __forceinline__ int block_exponent(uint32_t m) { return max((int)(m >> 23) - 126, -40); }

// ---- Section 3 -------------------------------------------------------------------------------------------------------

// RNE(x * scale) within +-limit, for a power of two `scale` and |x * scale| <= 2^15.
__device__ __forceinline__ int round_scaled(float x, float scale, int limit) {
    const int q = (int)(__float_as_uint(fmaf(x, scale, MAGIC)) - MAGIC_BITS);
    return max(min(q, limit), -limit);
}

// A lane's four elements of a quantized block: byte i of `lo` and `hi` are the slices of element 4 * lane + i.
struct Slices {
    uint32_t lo, hi;
    int g;      // exponent of the block, the same in every lane
    bool fault; // the same in every lane; then q is zero and g the least exponent
};

// q = 256 hi + lo: lo is the low byte as it is, hi what is left after rounding to 256s.
__device__ __forceinline__ void slice4(const int (&q)[4], uint32_t &lo, uint32_t &hi) {
    const uint32_t l01 = __byte_perm((uint32_t)q[0], (uint32_t)q[1], 0x0040), l23 = __byte_perm((uint32_t)q[2], (uint32_t)q[3], 0x0040);
    lo = __byte_perm(l01, l23, 0x5410);
    const uint32_t h01 = __byte_perm((uint32_t)(q[0] + 128), (uint32_t)(q[1] + 128), 0x0051);
    const uint32_t h23 = __byte_perm((uint32_t)(q[2] + 128), (uint32_t)(q[3] + 128), 0x0051);
    hi = __byte_perm(h01, h23, 0x5410);
}

// R of one block: lane l holds x[4l..4l+3].
__device__ __forceinline__ Slices quantize_right(const float (&x)[4]) {
    const uint32_t m = warp_max(magnitude(x));
    const bool fault = is_fault(m);
    const int e = block_exponent(fault ? 0u : m);
    const float scale = pow2(RIGHT_BITS - e);
    int q[4];
#pragma unroll
    for (int i = 0; i < 4; i++) q[i] = fault ? 0 : round_scaled(x[i], scale, RIGHT_MAX);
    Slices s;
    slice4(q, s.lo, s.hi);
    s.g = e - RIGHT_BITS;
    s.fault = fault;
    return s;
}

// Sum of the lane's |q| at b bits.
__device__ __forceinline__ uint32_t round_left(const float (&x)[4], int e, int b, int (&q)[4]) {
    const float scale = pow2(b - e);
    const int limit = (1 << b) - 1;
    uint32_t sum = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        q[i] = round_scaled(x[i], scale, limit);
        sum += (uint32_t)abs(q[i]);
    }
    return sum;
}

// The first b of L below 15, given the sum of |q| at 15: |S_b - x 2^b| <= 128 whatever the clamp does and <= 64 upwards, so
// most widths are known to fail or to qualify without a trial. The lane's q at that b is left in `q`.
__device__ __forceinline__ int narrow_left(const float (&x)[4], int e, uint32_t sum15, int (&q)[4]) {
    for (int b = 14; b > 10; b--) {
        const int s = 15 - b;
        if (sum15 > ((uint32_t)(LEFT_SUM + 128) << s) + 128u) continue;
        const uint32_t sum = round_left(x, e, b, q);
        if (sum15 + (64u << s) + 128u <= ((uint32_t)LEFT_SUM << s) || warp_sum(sum) <= (uint32_t)LEFT_SUM) return b;
    }
    round_left(x, e, 10, q);
    return 10;
}

// L of one block: lane l holds x[4l..4l+3]. Control flow is the same in every lane.
__device__ __forceinline__ Slices quantize_left(const float (&x)[4]) {
    const uint32_t m = warp_max(magnitude(x));
    int q[4] = {0, 0, 0, 0};
    int e = -40, b = 15;
    const bool fault = is_fault(m);
    if (!fault) {
        e = block_exponent(m);
        const uint32_t sum = warp_sum(round_left(x, e, 15, q));
        const int greatest = round_scaled(from_bits(m), pow2(15 - e), 32767);
        if (sum > (uint32_t)LEFT_SUM || greatest > LEFT_MAX) b = narrow_left(x, e, sum, q);
    }
    Slices s;
    slice4(q, s.lo, s.hi);
    s.g = e - b;
    s.fault = fault;
    return s;
}

// ---- Places in the layouts of abi.h ----------------------------------------------------------------------------------

// Byte offset, within a tile and block of packed weights, of the 4 bytes k = 4 * lane.. of tile row `row`, low plane; the high
// plane lies WEIGHT_PLANE_BYTES further.
__device__ __forceinline__ uint32_t weight_word(uint32_t row, uint32_t lane) {
    const uint32_t kstep = lane >> 3, half = (lane >> 2) & 1u, t = lane & 3u;
    return kstep * WEIGHT_KSTEP_BYTES + (4u * (row & 7u) + t) * 16u + 8u * half + 4u * (row >> 3);
}

// Writes a lane's slices of one block of tile row `row` (0-7) to quantized rows; `tile` points at the tile and block. Lanes 4 apart
// hold the k of b0 and b1: they trade a word, and the lower writes both low slices, the upper both high ones, 8 bytes each.
__device__ __forceinline__ void store_right(uint8_t *tile, uint32_t row, const Slices &s) {
    const uint32_t lane = threadIdx.x & 31u, kstep = lane >> 3, t = lane & 3u;
    const bool second = lane & 4u;
    const uint32_t other = __shfl_xor_sync(0xffffffffu, second ? s.lo : s.hi, 4);
    const uint2 v = second ? make_uint2(other, s.hi) : make_uint2(s.lo, other);
    *reinterpret_cast<uint2 *>(tile + kstep * ROWS_KSTEP_BYTES + (4u * row + t) * 16u + (second ? 8u : 0u)) = v;
}

// ---- Section 1 -------------------------------------------------------------------------------------------------------

// Keeps the first fault of a row in the order of the pass. One lane calls.
__device__ __forceinline__ void record_fault(uint32_t *fault, uint32_t layer, uint32_t stage, uint32_t kind) {
    atomicMin(fault, (layer << 16) | (stage << 8) | kind);
}

} // namespace exact
