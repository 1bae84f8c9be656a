// What becomes of a finished 16 x 8 tile of a product (PRODUCT_* of abi.h), the same for gemm.cu and gemv.cu.
#pragma once
#include "exact.cuh"

// Feature tiles of a product whose y has p.features columns.
__device__ __forceinline__ uint32_t feature_tiles(const product_params &p) {
    const uint32_t each = p.epilogue == PRODUCT_SILU_MUL ? TILE_FEATURES / 2 : TILE_FEATURES;
    return (p.features + each - 1) / each;
}

// Rows there are.
__device__ __forceinline__ uint32_t product_rows(const product_params &p) { return p.row_count ? min(*p.row_count, p.rows) : p.rows; }

// Writes a lane's fragment of feature tile `tile`, rows `row` + 0..7 of y: y[0], y[1] are feature lane / 4 at rows 2 (lane % 4) + 0, 1; y[2],
// y[3] the same of feature 8 + lane / 4, or `up` where y[0], y[1] are the gate. Eight lanes write 32 neighbouring bytes: whole sectors.
__device__ __forceinline__ void store_fragment(const product_params &p, const float (&y)[4], uint32_t tile, uint32_t row, uint32_t rows) {
    const uint32_t lane = threadIdx.x & 31u;
#pragma unroll
    for (int e = 0; e < 2; e++) {
        const uint32_t t = row + 2 * (lane & 3u) + e;
        if (t >= rows) continue;
        float *out = p.y + (size_t)t * p.ld;
        if (p.epilogue == PRODUCT_SILU_MUL) {
            const uint32_t f = tile * (TILE_FEATURES / 2) + lane / 4;
            if (f < p.features) out[f] = exact::silu(y[e]) * y[e + 2];
            continue;
        }
#pragma unroll
        for (int h = 0; h < 2; h++) {
            const uint32_t f = tile * TILE_FEATURES + 8 * h + lane / 4;
            if (f >= p.features) continue;
            out[f] = p.epilogue == PRODUCT_ADD ? out[f] + y[e + 2 * h] : y[e + 2 * h];
        }
    }
}
