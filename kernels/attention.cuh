// What the kernels of attention share: places in a page, the sliced product of a tile, pieces of NUMERICS 6.
#pragma once
#include "exact.cuh"

namespace attention {

// Bound on |n_c|: NUMERICS 6.
constexpr float N_MAX = 1048576.0f;

__device__ __forceinline__ uint32_t padded(uint32_t head_dim) { return (head_dim + 31u) & ~31u; }

__device__ __forceinline__ uint32_t blocks_of(uint32_t head_dim) { return (head_dim + BLOCK - 1) / BLOCK; }

// k32 steps of a block of channels.
__device__ __forceinline__ uint32_t ksteps_of(uint32_t head_dim, uint32_t block) {
    return min(padded(head_dim) / 32u - block * KSTEPS, (uint32_t)KSTEPS);
}

// One kv head's part of a page (abi.h).
struct PageHead {
    uint8_t *keys, *values;
    int8_t *key_g, *value_g; // [blocks][PAGE]
};

__device__ __forceinline__ PageHead page_head(const cache_view &c, uint32_t page, uint32_t kv_head) {
    const uint32_t integers = 2u * PAGE * padded(c.head_dim);
    uint8_t *base = c.pool + page * c.page_bytes + (uint64_t)(c.layer * c.kv_heads + kv_head) * c.head_bytes;
    int8_t *g = reinterpret_cast<int8_t *>(base + 2u * integers);
    return {base, base + integers, g, g + blocks_of(c.head_dim) * PAGE};
}

// Fragments of the keys of position tile `tile` and block `block`: the low plane of kstep 0; further ksteps lie 2 FRAGMENT_BYTES
// apart, the high plane FRAGMENT_BYTES behind the low one.
__device__ __forceinline__ uint32_t key_tile(uint32_t head_dim, uint32_t block, uint32_t tile) {
    return block * (2u * PAGE * BLOCK) + tile * ksteps_of(head_dim, block) * (2u * FRAGMENT_BYTES);
}

// Fragments of the values of channel tile `tile`, likewise.
__device__ __forceinline__ uint32_t value_tile(uint32_t tile) { return tile * (KSTEPS * 2u * FRAGMENT_BYTES); }

// Bytes of the query column of one (row, head).
__device__ __forceinline__ uint32_t query_bytes(uint32_t head_dim) { return 2u * padded(head_dim); }

// Products of 8-bit slices of a tile of 16 x 8, by weight 2^16, 2^8 and 1. Three chains hide the latency of mma; all wrap, and
// their sum is the exact dot product, which NUMERICS 3 bounds to int32.
struct Products {
    int high[4], middle[4], low[4];
};

__device__ __forceinline__ void clear(Products &p) {
#pragma unroll
    for (int i = 0; i < 4; i++) p.high[i] = p.middle[i] = p.low[i] = 0;
}

// One k32 step: planes of operand A and (lo b0, lo b1, hi b0, hi b1) of operand B.
__device__ __forceinline__ void multiply(Products &p, const uint4 &lo, const uint4 &hi, const uint4 &b) {
    const uint32_t a_lo[4] = {lo.x, lo.y, lo.z, lo.w}, a_hi[4] = {hi.x, hi.y, hi.z, hi.w};
    const uint32_t b_lo[2] = {b.x, b.y}, b_hi[2] = {b.z, b.w};
    mma_s8(p.high, a_hi, b_hi);
    mma_s8(p.middle, a_hi, b_lo);
    mma_s8(p.low, a_lo, b_lo);
    mma_s8(p.middle, a_lo, b_hi);
}

__device__ __forceinline__ float dot(const Products &p, int i) {
    const uint32_t high = (uint32_t)p.high[i], middle = (uint32_t)p.middle[i], low = (uint32_t)p.low[i];
    return (float)(int)((((high << 8) + middle) << 8) + low);
}

// exact::exp2 for x <= 0, and 0 for NaN: of a column that sees nothing or has a fault n is +inf, and p comes out as 0.
__device__ __forceinline__ float exp2_below(float x) {
    const float t = x + exact::MAGIC;
    const float r = x - (t - exact::MAGIC);
    float p = exact::from_bits(0x3920fdde);
    p = fmaf(p, r, exact::from_bits(0x3aaf9f2a));
    p = fmaf(p, r, exact::from_bits(0x3c1d96a6));
    p = fmaf(p, r, exact::from_bits(0x3d635774));
    p = fmaf(p, r, exact::from_bits(0x3e75fdee));
    p = fmaf(p, r, exact::from_bits(0x3f317218));
    p = fmaf(p, r, 1.0f);
    // Of the low bits of t only nine stay in the word.
    return x >= -125.0f ? exact::from_bits(__float_as_uint(p) + (__float_as_uint(t) << 23)) : 0.0f;
}

// 2^e for an integer-valued e <= 0, or 0 when e is below -100.
__device__ __forceinline__ float decay(float e) { return e < -100.0f ? 0.0f : exact::pow2((int)e); }

} // namespace attention
