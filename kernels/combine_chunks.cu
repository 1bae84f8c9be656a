// Joins the chunks of attend_chunks.cu in ascending order, divides by l and quantizes by R for the output projection (NUMERICS 6):
//   n' = max(n, n_c); A = 2^(n - n'), B = 2^(n_c - n'), 0 below -100; l = fma(l_c, B, l A); o = fma(o_c, B, o A); at the end o / l.
//
// One warp a (row, block of 128 columns of the concatenated heads), lane l with columns 4l..4l+3 of it: a block may hold several
// heads or a part of one; head_dim is a multiple of 16, so a lane's columns are of one head. Grid: x covers rows * blocks warps, 4 a CTA.
// Rows whose block no quantizer takes get zeros and the fault (ATTENTION_OUTPUT, QUANTIZER).
#include "attention.cuh"

#define WARPS 4
#define AHEAD 8 /* chunks whose partials are loaded before the first of them is joined */

namespace {

struct State {
    float n, l, o[4];
};

__device__ __forceinline__ void join(State &s, bool first, float2 nl, float4 o) {
    const float n = first ? nl.x : fmaxf(s.n, nl.x);
    const float a = first ? 0.0f : attention::decay(s.n - n), b = attention::decay(nl.x - n);
    const float add[4] = {o.x, o.y, o.z, o.w};
    // The first chunk meets +0, to which its sums, never -0, are added exactly.
    s.l = fmaf(nl.y, b, s.l * a);
#pragma unroll
    for (int i = 0; i < 4; i++) s.o[i] = fmaf(add[i], b, s.o[i] * a);
    s.n = n;
}

} // namespace

extern "C" __global__ void __launch_bounds__(32 * WARPS) combine_chunks(const __grid_constant__ combine_chunks_params p) {
    const uint32_t lane = threadIdx.x & 31u, columns = p.heads * p.head_dim, blocks = (columns + BLOCK - 1) / BLOCK;
    const uint32_t task = blockIdx.x * WARPS + (threadIdx.x >> 5), row = task / blocks, block = task % blocks;
    if (row >= (p.row_count ? min(*p.row_count, p.rows) : p.rows)) return;
    const uint32_t column = block * BLOCK + 4u * lane;
    float y[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (column < columns) {
        const uint32_t head = column / p.head_dim, chunks = p.position[row] / PAGE + 1u;
        const uint64_t at = ((uint64_t)row * p.heads + head) * p.max_chunks;
        const float2 *nl = reinterpret_cast<const float2 *>(p.nl) + at;
        const float *o = p.o + at * p.head_dim + column % p.head_dim;
        State s = {};
        for (uint32_t first = 0; first < chunks; first += AHEAD) {
            float2 some_nl[AHEAD];
            float4 some_o[AHEAD];
#pragma unroll
            for (uint32_t i = 0; i < AHEAD; i++) {
                const uint32_t chunk = min(first + i, chunks - 1u);
                some_nl[i] = __ldg(nl + chunk);
                some_o[i] = __ldg(reinterpret_cast<const float4 *>(o + (uint64_t)chunk * p.head_dim));
            }
#pragma unroll
            for (uint32_t i = 0; i < AHEAD; i++)
                if (first + i < chunks) join(s, first + i == 0, some_nl[i], some_o[i]);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) y[i] = s.o[i] / s.l;
        if (p.attention) *reinterpret_cast<float4 *>(p.attention + (uint64_t)row * columns + column) = make_float4(y[0], y[1], y[2], y[3]);
    }
    __syncwarp();
    const exact::Slices s = exact::quantize_right(y);
    const uint64_t tile = (uint64_t)(row / TILE_TOKENS) * blocks + block;
    exact::store_right(p.q + tile * ROWS_TILE_BYTES, row % TILE_TOKENS, s);
    if (lane == 0) {
        p.g[tile * TILE_TOKENS + row % TILE_TOKENS] = (int8_t)s.g;
        if (s.fault) exact::record_fault(p.fault + row, p.layer, STAGE_ATTENTION_OUTPUT, FAULT_QUANTIZER);
    }
}
KERNEL(combine_chunks)
