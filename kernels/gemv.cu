// Matrix products of 1 to 64 rows (NUMERICS 4): decode. The weights pass through the chip once; they are all the time it takes.
//
// In   w, w_g: packed weights, x, x_g: quantized rows of at most 64 rows, with the same number of blocks (abi.h).
// Out  y: [rows][ld] f32, stored, added to, or silu(gate) * up; columns below `features`, rows below `rows`.
// Sum  per element: the integers of a block exactly, then y = fma(f32(d), 2^(gL + gR), y) for ascending blocks from +0. Warps of a CTA
//      take turns at the blocks of a feature tile and hand f32(d) * 2^(gL + gR), which is exact, through shared memory to one owner,
//      who adds them in order of their blocks: the same roundings as that fma.
// Launch  persistent: any number of CTAs of 256 threads, GEMV*_SHARED_BYTES of dynamic shared memory.
//
// Weights go from memory straight to registers, 16 bytes a lane and consecutive, one block ahead of their use: 32 KiB MT are in flight
// per CTA. A weight fragment serves all row tiles from registers.
#include "dot.cuh"
#include "product.cuh"

namespace {

constexpr uint32_t WARPS = 8;
constexpr uint32_t GROUP = 4; // row tiles between two barriers

// A block of MT weight tiles, as a lane holds it.
template <int MT> struct Weights {
    uint4 q[MT][2 * KSTEPS];
    int g[MT][2]; // of rows lane / 4 and 8 + lane / 4
};

// A block of a row tile.
struct Rows {
    uint4 q[KSTEPS];
    int g[2]; // of columns 2 (lane % 4) + 0, 1
};

template <int MT> __device__ __forceinline__ void load_weights(Weights<MT> &to, const product_params &p, uint32_t group, uint32_t tiles, uint32_t block) {
    const uint32_t lane = threadIdx.x & 31u;
#pragma unroll
    for (int i = 0; i < MT; i++) {
        const size_t place = (size_t)min(group * MT + i, tiles - 1) * p.blocks + block; // a tile beyond the end is not stored
        const uint4 *q = reinterpret_cast<const uint4 *>(p.w + place * WEIGHT_TILE_BYTES) + lane;
#pragma unroll
        for (int s = 0; s < 2 * KSTEPS; s++) to.q[i][s] = __ldg(q + 32 * s);
        const int8_t *g = p.w_g + place * TILE_FEATURES + lane / 4;
        to.g[i][0] = g[0], to.g[i][1] = g[8];
    }
}

__device__ __forceinline__ void load_rows(Rows &to, const product_params &p, uint32_t tile, uint32_t block) {
    const uint32_t lane = threadIdx.x & 31u;
    const size_t place = (size_t)tile * p.blocks + block;
    const uint4 *q = reinterpret_cast<const uint4 *>(p.x + place * ROWS_TILE_BYTES) + lane;
#pragma unroll
    for (int s = 0; s < KSTEPS; s++) to.q[s] = __ldg(q + 32 * s);
    const char2 g = *reinterpret_cast<const char2 *>(p.x_g + place * TILE_TOKENS + 2 * (lane & 3u));
    to.g[0] = g.x, to.g[1] = g.y;
}

// f32(d) * 2^(gL + gR) of a lane's four elements.
template <int MT> __device__ __forceinline__ float4 block_term(const Weights<MT> &w, int i, const Rows &x) {
    int d[4];
    dot_block(d, w.q[i], x.q);
    return make_float4((float)d[0] * exact::pow2(w.g[i][0] + x.g[0]), (float)d[1] * exact::pow2(w.g[i][0] + x.g[1]),
                       (float)d[2] * exact::pow2(w.g[i][1] + x.g[0]), (float)d[3] * exact::pow2(w.g[i][1] + x.g[1]));
}

__device__ __forceinline__ void add(float (&y)[4], const float4 &term) {
    y[0] = y[0] + term.x;
    y[1] = y[1] + term.y;
    y[2] = y[2] + term.z;
    y[3] = y[3] + term.w;
}

// Which block of which group of feature tiles a warp takes.
struct Place {
    uint32_t group, block;
};

// One round: warp w has block first + w of the group's weights in `w`, and its first row tile in `x`. When the last row tile has met
// the weights, those at `then` take their place, asked for at once if MT = 1 and a round before if MT = 2; where `more`.
// Tile (i of features, j of rows) is owned by warp j if MT = 1, and by warp 4 i + j % 4 if MT = 2, in y[j / 4].
template <int MT>
__device__ __forceinline__ void round_product(float (&y)[MT][4], const product_params &p, Weights<MT> &w, Rows &x, uint32_t first, const Place &then,
                                              bool more, uint32_t row_tiles, uint32_t tiles, float4 *exchange, uint32_t &buffer) {
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u, block = first + warp, present = min(p.blocks - first, WARPS);
    Weights<MT> next;
    if (MT > 1 && more) load_weights(next, p, then.group, tiles, then.block);
#pragma unroll 1
    for (uint32_t j = 0; j < row_tiles; j++) {
        float4 *part = exchange + buffer * (WARPS * GROUP * MT * 32);
        const bool last = j + 1 == row_tiles;
        if (block < p.blocks) {
            const Rows now = x;
            if (!last) load_rows(x, p, j + 1, block);
#pragma unroll
            for (int i = 0; i < MT; i++) part[((warp * GROUP + j % GROUP) * MT + i) * 32 + lane] = block_term(w, i, now);
        }
        if (last && more) {
            if (MT > 1) w = next;
            else load_weights(w, p, then.group, tiles, then.block);
            load_rows(x, p, 0, then.block);
        }
        if (j % GROUP != GROUP - 1 && !last) continue;
        __syncthreads(); // before the next barrier every warp has read this buffer, so the one after may be written
        const uint32_t own = MT == 1 ? warp : warp % GROUP + (j / GROUP) * GROUP; // row tile
        if (own / GROUP == j / GROUP && own <= j) {
            const float4 *mine = part + (own % GROUP * MT + (MT == 1 ? 0 : warp / GROUP)) * 32 + lane;
            const bool second = MT > 1 && own >= GROUP;
            float sum[4];
#pragma unroll
            for (int e = 0; e < 4; e++) sum[e] = second ? y[MT - 1][e] : y[0][e];
#pragma unroll
            for (uint32_t c = 0; c < WARPS; c++) {
                if (c < present) add(sum, mine[c * (GROUP * MT * 32)]);
            }
#pragma unroll
            for (int e = 0; e < 4; e++) {
                if (second) y[MT - 1][e] = sum[e];
                else y[0][e] = sum[e];
            }
        }
        buffer ^= 1;
    }
}

template <int MT> __device__ __forceinline__ void gemv_tiles(const product_params &p, float4 *exchange) {
    const uint32_t warp = threadIdx.x >> 5;
    const uint32_t rows = product_rows(p), row_tiles = (rows + TILE_TOKENS - 1) / TILE_TOKENS, tiles = feature_tiles(p);
    const uint32_t groups = (tiles + MT - 1) / MT;
    uint32_t buffer = 0;
    if (row_tiles == 0 || blockIdx.x >= groups) return; // the whole CTA
    Weights<MT> w = {};
    Rows x = {};
    if (warp < p.blocks) {
        load_weights(w, p, blockIdx.x, tiles, warp);
        load_rows(x, p, 0, warp);
    }
    for (uint32_t at = blockIdx.x; at < groups; at += gridDim.x) {
        float y[MT][4] = {};
        for (uint32_t first = 0; first < p.blocks; first += WARPS) {
            const bool last = first + WARPS >= p.blocks;
            const Place then = {last ? at + gridDim.x : at, last ? warp : first + WARPS + warp};
            round_product<MT>(y, p, w, x, first, then, then.block < p.blocks && then.group < groups, row_tiles, tiles, exchange, buffer);
        }
#pragma unroll
        for (int k = 0; k < MT; k++) {
            const uint32_t own = MT == 1 ? warp : warp % GROUP + k * GROUP, tile = at * MT + (MT == 1 ? 0 : warp / GROUP);
            if (own < row_tiles && tile < tiles) store_fragment(p, y[k], tile, own * TILE_TOKENS, rows);
        }
    }
}

} // namespace

constexpr uint32_t bytes_of(uint32_t tiles) { return 2 * WARPS * GROUP * tiles * 32 * 16; }
static_assert(bytes_of(1) == GEMV_SHARED_BYTES && bytes_of(2) == GEMV_WIDE_SHARED_BYTES, "what launches give");

// One feature tile at a time: up to 16 rows, or where few CTAs would be left otherwise.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) gemv(const __grid_constant__ product_params p) {
    DYNAMIC_SHARED(float4, exchange);
    gemv_tiles<1>(p, exchange);
}
KERNEL(gemv)

// Two feature tiles at a time: rows are read half as often from the second-level cache.
extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) gemv_wide(const __grid_constant__ product_params p) {
    DYNAMIC_SHARED(float4, exchange);
    gemv_tiles<2>(p, exchange);
}
KERNEL(gemv_wide)
