// RMSNorm fused with quantizer R: rows of activations to the right operand of the next product (NUMERICS 5, 2, 3).
//
// In   x: [rows][ld] f32, ld a multiple of 4, 16-byte aligned; weight: [n] f32, 16-byte aligned.
// Out  q, g: quantized rows (abi.h), columns from n to the end of the last block zero. normed, unless null: [rows][n] f32.
//      The normed row is made nowhere else.
// Sum  S128 of the squares: thread j adds the squares of x[128c + j] for ascending c, then the tree s = 64 .. 1.
// Faults  a sum that is not finite; a value no quantizer takes (its block only becomes zeros, the row is void either way).
// Launch  one CTA of 256 threads a row; 4 * n rounded up to 128 floats of dynamic shared memory.
#include "exact.cuh"

namespace {
constexpr uint32_t THREADS = 256;

// Weights of columns 4 * lane.. of a block, zeros beyond the row.
__device__ __forceinline__ float4 weights(const norm_quantize_params &p, uint32_t column) {
    if (column + 4 <= p.n) return *reinterpret_cast<const float4 *>(p.weight + column);
    const float *w = p.weight + column;
    return make_float4(column < p.n ? w[0] : 0.0f, column + 1 < p.n ? w[1] : 0.0f, column + 2 < p.n ? w[2] : 0.0f, 0.0f);
}

__device__ __forceinline__ void store_copy(const norm_quantize_params &p, size_t at, uint32_t column, const float (&y)[4]) {
    if (p.n % 4 == 0 && column < p.n) {
        *reinterpret_cast<float4 *>(p.normed + at) = make_float4(y[0], y[1], y[2], y[3]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (column + i < p.n) p.normed[at + i] = y[i];
    }
}

} // namespace

extern "C" __global__ void __launch_bounds__(THREADS) norm_quantize(const __grid_constant__ norm_quantize_params p) {
    DYNAMIC_SHARED(float, row);
    __shared__ float scratch[BLOCK];
    const uint32_t t = blockIdx.x, lane = threadIdx.x & 31u, warp = threadIdx.x >> 5;
    if (p.row_count && t >= *p.row_count) return; // the whole CTA
    const uint32_t blocks = (p.n + BLOCK - 1) / BLOCK;
    const float *x = p.x + (size_t)t * p.ld;
    for (uint32_t i = 4 * threadIdx.x; i < blocks * BLOCK; i += 4 * THREADS) {
        float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        if (i < p.n) v = *reinterpret_cast<const float4 *>(x + i); // within ld, which is a multiple of 4
        if (i + 1 >= p.n) v.y = 0.0f;
        if (i + 2 >= p.n) v.z = 0.0f;
        if (i + 3 >= p.n) v.w = 0.0f;
        *reinterpret_cast<float4 *>(row + i) = v;
    }
    __syncthreads();
    float sum = 0.0f;
    if (threadIdx.x < BLOCK) {
        for (uint32_t c = 0; c < blocks; c++) sum = fmaf(row[c * BLOCK + threadIdx.x], row[c * BLOCK + threadIdx.x], sum);
    }
    sum = exact::cta_s128(sum, scratch);
    const bool finite = exact::is_finite(sum);
    const float r = finite ? 1.0f / sqrtf(sum / (float)p.n + p.eps) : 0.0f;
    if (!finite && threadIdx.x == 0) exact::record_fault(p.fault + t, p.layer, p.stage, FAULT_SUM_OF_SQUARES);
    for (uint32_t c = warp; c < blocks; c += THREADS / 32) {
        const uint32_t column = c * BLOCK + 4 * lane;
        const float4 v = *reinterpret_cast<const float4 *>(row + column);
        const float4 w = weights(p, column);
        float y[4] = {(v.x * r) * w.x, (v.y * r) * w.y, (v.z * r) * w.z, (v.w * r) * w.w};
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const bool inside = column + i < p.n;
            if (!inside || !finite) y[i] = 0.0f;
        }
        if (p.normed) store_copy(p, (size_t)t * p.n + column, column, y);
        const exact::Slices s = exact::quantize_right(y);
        const size_t place = (size_t)(t / TILE_TOKENS) * blocks + c;
        exact::store_right(p.q + place * ROWS_TILE_BYTES, t % TILE_TOKENS, s);
        if (lane == 0) {
            p.g[place * TILE_TOKENS + t % TILE_TOKENS] = (int8_t)s.g;
            if (s.fault) exact::record_fault(p.fault + t, p.layer, p.stage, FAULT_QUANTIZER);
        }
    }
}
KERNEL(norm_quantize)
