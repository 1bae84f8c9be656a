// The end of the pass, per row: final RMSNorm (NUMERICS 5), hidden state in f32, sketch (NUMERICS 10), R for the head.
//
// One CTA a row, 8 warps. Every warp forms the same S128 of the squares (lane l has P[4l..4l+3], chunks ascending, the tree of
// exact.cuh), then the warps share out the blocks of 128. Grid: x = rows. Rows of x are 16-byte aligned and ld floats apart.
// Sketch: v = RNE(1024 h) and r are taken mod Q = 2^31 - 1 to non-negative numbers below 2^31 and 2^32, each product is folded at
// bit 31 to below 2^33, and a 64-bit sum of such is reduced once: exact for every v and r of 32 bits and any n below 2^31.
// Faults: SUM_OF_SQUARES at FINAL_NORM (the row is then zeros); SKETCH where |1024 h| >= 2^31 or NaN (only with a projection; sketch 0);
// QUANTIZER at HEAD (only with q; the block is zeros).
#include "exact.cuh"

#define WARPS 8
#define MODULUS 0x7fffffffu

namespace {

// Elements i.. of n, zeros beyond; `Four` is the vector of T.
template <class Four, class T> __device__ __forceinline__ void load(T (&x)[4], const T *from, uint32_t i, uint32_t n) {
    x[0] = x[1] = x[2] = x[3] = 0;
    if (i + 4u <= n) {
        const Four v = *reinterpret_cast<const Four *>(from + i);
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
#pragma unroll
        for (uint32_t k = 0; k < 3; k++)
            if (i + k < n) x[k] = from[i + k];
    }
}

__device__ __forceinline__ void store(float *to, uint32_t i, uint32_t n, const float (&x)[4]) {
    if (n % 4u == 0 && i + 4u <= n) {
        *reinterpret_cast<float4 *>(to + i) = make_float4(x[0], x[1], x[2], x[3]);
    } else {
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            if (i + k < n) to[i + k] = x[k];
    }
}

// v r mod Q, folded once: below 2^33. `bad` where h does not fit.
__device__ __forceinline__ uint64_t term(float h, int32_t r, bool &bad) {
    const float x = 1024.0f * h;
    if (!(fabsf(x) < 2147483648.0f)) {
        bad = true;
        return 0;
    }
    const int v = __float2int_rn(x); // |v| <= 2^31 - 128
    const uint32_t a = v < 0 ? (uint32_t)v + MODULUS : (uint32_t)v;
    const uint32_t b = r < 0 ? (uint32_t)r + 2u * MODULUS : (uint32_t)r;
    const uint64_t product = (uint64_t)a * b;
    return (product & MODULUS) + (product >> 31);
}

} // namespace

extern "C" __global__ void __launch_bounds__(32 * WARPS) final_norm(const __grid_constant__ final_norm_params p) {
    __shared__ uint64_t sums[WARPS];
    __shared__ uint32_t faults[WARPS];
    const uint32_t lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, row = blockIdx.x, n = p.n, blocks = (n + BLOCK - 1) / BLOCK;
    if (row >= (p.row_count ? min(*p.row_count, p.rows) : p.rows)) return;
    const uint32_t source = p.source ? p.source[row] : row;
    const float *x = p.x + (uint64_t)source * p.ld;
    float partial[4] = {0.0f, 0.0f, 0.0f, 0.0f}, y[4];
    for (uint32_t b = 0; b < blocks; b++) {
        load<float4>(y, x, b * BLOCK + 4u * lane, n);
#pragma unroll
        for (int i = 0; i < 4; i++) partial[i] = fmaf(y[i], y[i], partial[i]);
    }
    const float sum = exact::warp_s128(partial);
    const bool ok = exact::is_finite(sum);
    const float r = 1.0f / sqrtf(sum / (float)n + p.eps);
    if (!ok && threadIdx.x == 0) exact::record_fault(p.fault + source, p.layer, STAGE_FINAL_NORM, FAULT_SUM_OF_SQUARES);
    uint64_t sketch = 0;
    bool bad = false;
    for (uint32_t b = warp; b < blocks; b += WARPS) {
        const uint32_t first = b * BLOCK + 4u * lane;
        float w[4];
        load<float4>(y, x, first, n);
        load<float4>(w, p.weight, first, n);
#pragma unroll
        for (int i = 0; i < 4; i++) y[i] = ok ? (y[i] * r) * w[i] : 0.0f;
        if (p.hidden) store(p.hidden + (uint64_t)row * n, first, n, y);
        if (p.projection) {
            int32_t r4[4]; // columns beyond n are 0 times 0
            load<int4>(r4, p.projection, first, n);
#pragma unroll
            for (int i = 0; i < 4; i++) sketch += term(y[i], r4[i], bad);
        }
        if (p.q) {
            const exact::Slices s = exact::quantize_right(y);
            const uint64_t tile = (uint64_t)(row / TILE_TOKENS) * blocks + b;
            exact::store_right(p.q + tile * ROWS_TILE_BYTES, row % TILE_TOKENS, s);
            if (lane == 0) {
                p.g[tile * TILE_TOKENS + row % TILE_TOKENS] = (int8_t)s.g;
                if (s.fault) exact::record_fault(p.fault + source, p.layer, STAGE_HEAD, FAULT_QUANTIZER);
            }
        }
    }
    if (!p.projection) return;
#pragma unroll
    for (int s = 16; s > 0; s /= 2) sketch += __shfl_xor_sync(0xffffffffu, sketch, s);
    const bool any = __any_sync(0xffffffffu, bad);
    if (lane == 0) sums[warp] = sketch, faults[warp] = any;
    __syncthreads();
    if (threadIdx.x == 0) {
        uint64_t total = 0;
        uint32_t fault = 0;
#pragma unroll
        for (int w = 0; w < WARPS; w++) total += sums[w], fault |= faults[w];
        p.sketch[row] = fault ? 0u : (uint32_t)(total % MODULUS);
        if (fault) exact::record_fault(p.fault + source, p.layer, STAGE_SKETCH, FAULT_SKETCH);
    }
}
KERNEL(final_norm)
