// Rows of activations to the right operand of a product: quantizer R (NUMERICS 2, 3).
//
// In   x: [rows][ld] f32, ld a multiple of 4, 16-byte aligned; the first k of each row count.
// Out  q, g: quantized rows (abi.h), columns from k to the end of the last block zero. Row t writes its own column of tile t / 8 only.
// Faults  a value no quantizer takes; its block becomes zeros.
// Launch  grid: rows * ceil(ceil(k / 128) / 4) CTAs of 128 threads; a warp takes one block of one row.
#include "exact.cuh"

namespace {
constexpr uint32_t WARPS = 4;
}

extern "C" __global__ void __launch_bounds__(32 * WARPS) quantize_rows(const __grid_constant__ quantize_rows_params p) {
    const uint32_t blocks = (p.k + BLOCK - 1) / BLOCK, groups = (blocks + WARPS - 1) / WARPS;
    const uint32_t t = blockIdx.x / groups, c = blockIdx.x % groups * WARPS + (threadIdx.x >> 5), lane = threadIdx.x & 31u;
    if (c >= blocks || (p.row_count && t >= *p.row_count)) return; // a whole warp; there is no barrier below
    const uint32_t column = c * BLOCK + 4 * lane;
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (column < p.k) v = *reinterpret_cast<const float4 *>(p.x + (size_t)t * p.ld + column);
    const float x[4] = {v.x, column + 1 < p.k ? v.y : 0.0f, column + 2 < p.k ? v.z : 0.0f, column + 3 < p.k ? v.w : 0.0f};
    const exact::Slices s = exact::quantize_right(x);
    const size_t place = (size_t)(t / TILE_TOKENS) * blocks + c;
    exact::store_right(p.q + place * ROWS_TILE_BYTES, t % TILE_TOKENS, s);
    if (lane != 0) return;
    p.g[place * TILE_TOKENS + t % TILE_TOKENS] = (int8_t)s.g;
    if (s.fault) exact::record_fault(p.fault + t, p.layer, p.stage, FAULT_QUANTIZER);
}
KERNEL(quantize_rows)
