// Rows of a checkpoint's matrix to packed weights: quantizer L of NUMERICS 3, once, at load.
//
// In   w, up: [rows][k] f32, f16 or bf16, row-major as in the checkpoint; any k, any alignment of an element.
// Out  q, g: packed weights (abi.h) of a matrix that these rows are a part of: row r of w is packed row first + r. With `up`, tile i
//      of the part holds rows 8i..8i+7 of w (gate) and then those of up, so that one lane of a product meets both.
//      Only words and exponents of these rows are written; padding rows are what the buffers were allocated with, zero.
//      A row that holds NaN, Inf or 2^60 becomes zeros; *fault gets the least such row (of up: rows + row).
// Launch  grid: packed tiles the part touches x ceil(k / 128), in x; 128 threads. A CTA makes one block of one tile.
#include "exact.cuh"

namespace {

constexpr int WARPS = 4;
constexpr uint32_t PAD = 64; // between k32 steps of the staged tile: a warp's words fall on twice as many banks

__device__ __forceinline__ float widen(const void *w, uint32_t element, size_t i) {
    if (element == ELEMENT_F32) return static_cast<const float *>(w)[i];
    const uint32_t h = static_cast<const uint16_t *>(w)[i];
    return element == ELEMENT_BF16 ? exact::from_bf16(h) : exact::from_f16(h);
}

// Elements 4 * lane.. of one block of a row; `wide` when the row can be read in whole lanes.
__device__ __forceinline__ void load4(const quantize_weights_params &p, const void *w, size_t at, uint32_t left, bool wide, float (&x)[4]) {
    if (wide && left >= 4) {
        if (p.element == ELEMENT_F32) {
            const float4 v = *reinterpret_cast<const float4 *>(static_cast<const float *>(w) + at);
            x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
            return;
        }
        const uint2 v = *reinterpret_cast<const uint2 *>(static_cast<const uint16_t *>(w) + at);
        const uint32_t h[4] = {v.x & 0xffffu, v.x >> 16, v.y & 0xffffu, v.y >> 16};
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = p.element == ELEMENT_BF16 ? exact::from_bf16(h[i]) : exact::from_f16(h[i]);
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) x[i] = (uint32_t)i < left ? widen(w, p.element, at + i) : 0.0f;
}

// Where packed row `row` of the whole matrix comes from; false if it is not of this part.
__device__ __forceinline__ bool source(const quantize_weights_params &p, uint32_t row, uint32_t &from, bool &is_up) {
    if (row < p.first) return false;
    const uint32_t local = row - p.first;
    is_up = p.up && (local & 8u);
    from = p.up ? (local / 16u) * 8u + (local & 7u) : local;
    return from < p.rows;
}

} // namespace

extern "C" __global__ void __launch_bounds__(32 * WARPS) quantize_weights(const __grid_constant__ quantize_weights_params p) {
    __shared__ __align__(16) uint8_t staged[WEIGHT_TILE_BYTES + KSTEPS * PAD];
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    const uint32_t blocks = (p.k + BLOCK - 1) / BLOCK;
    const uint32_t tile = p.first / TILE_FEATURES + blockIdx.x / blocks, block = blockIdx.x % blocks;
    const size_t place = (size_t)tile * blocks + block;
    const uint32_t size = p.element == ELEMENT_F32 ? 4 : 2, column = block * BLOCK + 4 * lane;
    const size_t base = (size_t)(p.up ? p.up : p.w) | (size_t)p.w;
    const bool wide = p.k % 4 == 0 && base % (4 * size) == 0;
    for (uint32_t r = warp; r < TILE_FEATURES; r += WARPS) {
        uint32_t from;
        bool is_up;
        const bool present = source(p, tile * TILE_FEATURES + r, from, is_up); // the same for the whole warp
        exact::Slices s = {0, 0, 0, false};
        if (present) {
            float x[4];
            load4(p, is_up ? p.up : p.w, (size_t)from * p.k + column, column < p.k ? p.k - column : 0, wide, x);
            s = exact::quantize_left(x);
        }
        uint8_t *word = staged + exact::weight_word(r, lane) + lane / 8 * PAD;
        *reinterpret_cast<uint32_t *>(word) = s.lo;
        *reinterpret_cast<uint32_t *>(word + WEIGHT_PLANE_BYTES) = s.hi;
        if (present && lane == 0) {
            p.g[place * TILE_FEATURES + r] = (int8_t)s.g;
            if (s.fault) atomicMin(p.fault, is_up ? p.rows + from : from);
        }
    }
    __syncthreads();
    for (uint32_t chunk = threadIdx.x; chunk < WEIGHT_TILE_BYTES / 16; chunk += 32 * WARPS) {
        const uint32_t row = tile * TILE_FEATURES + (chunk & 31u) / 4; // words 0 and 2 are of this row, 1 and 3 of row + 8
        uint32_t from;
        bool is_up;
        const bool upper = source(p, row, from, is_up), lower = source(p, row + 8, from, is_up);
        const uint4 v = upper || lower ? *reinterpret_cast<const uint4 *>(staged + 16 * chunk + 16 * chunk / WEIGHT_KSTEP_BYTES * PAD) : make_uint4(0, 0, 0, 0);
        uint4 *out = reinterpret_cast<uint4 *>(p.q + place * WEIGHT_TILE_BYTES) + chunk;
        if (upper && lower) {
            *out = v;
        } else if (upper) {
            out->x = v.x, out->z = v.z;
        } else if (lower) {
            out->y = v.y, out->w = v.w;
        }
    }
}
KERNEL(quantize_weights)
