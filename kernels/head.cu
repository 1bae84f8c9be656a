// The head: logits of rows of quantized hidden states, and at once what can be read off a chunk of 128 of them (chunk.cuh).
//
//   logit[row][id] = fma over blocks ascending of f32(d) * 2^(g_w + g_x), d the exact integer dot (NUMERICS 4, 7)
//
// Weight and rows: layouts of abi.h. head_R holds R rows in a CTA: gridDim.x = groups * slices with groups = ceil(max_rows / R); CTA b
// has rows R * (b % groups).. and the chunks of slice b / groups: neighbours read the same weights at about the same time. Rows at
// and beyond *reading.rows are passed over, whole groups of them at once. slices <= chunks.
// Warp w of the 8 makes ids 16 w.. of a chunk for all R rows; then warp w reads rows w, w + 8, ... of the chunk. No logits are
// stored unless the mode asks for them. Blocks come through shared memory by cp.async, STAGES - 1 ahead and across chunks, so that
// memory works while a chunk is read. Order: blocks ascending in registers; the rest as chunk.cuh says (NUMERICS 9, 11).
// Launch: 256 threads, dynamic shared memory of shared_bytes in ops/head.rs, which picks the forms that a device has room for.
#include "chunk.cuh"
#include "dot.cuh"

namespace {

using namespace reading_of;

constexpr uint32_t STAGE_WEIGHT_BYTES = HEAD_WARPS * (WEIGHT_TILE_BYTES + TILE_FEATURES);
constexpr uint32_t LOGITS_STRIDE = CHUNK + 4; // fragments of a warp then fall on 32 banks

// Where a CTA is in its chunks and their blocks.
struct Cursor {
    uint32_t chunk, block;

    __device__ __forceinline__ void next(uint32_t blocks, uint32_t slices) {
        if (++block < blocks) return;
        block = 0;
        chunk += slices;
    }
};

template <int TILES> constexpr uint32_t STAGE_BYTES = STAGE_WEIGHT_BYTES + TILES * ROWS_TILE_BYTES;

// Starts the copies of one block: a weight tile per warp, the rows' tiles by all. Tiles beyond the end are the last one: what comes of
// them is read by nobody.
template <int TILES>
__device__ __forceinline__ void load_block(const head_params &p, uint8_t *stage, const Cursor &at, uint32_t first_tile, uint32_t last_tile) {
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    const uint32_t tiles = (p.reading.vocabulary + TILE_FEATURES - 1u) / TILE_FEATURES;
    const size_t tile = (size_t)min(at.chunk * (CHUNK / TILE_FEATURES) + warp, tiles - 1u) * p.blocks + at.block;
    const uint8_t *weight = p.weight + tile * WEIGHT_TILE_BYTES + 16u * lane;
    uint8_t *to = stage + warp * WEIGHT_TILE_BYTES + 16u * lane;
#pragma unroll
    for (uint32_t j = 0; j < WEIGHT_TILE_BYTES; j += WEIGHT_PLANE_BYTES) cp_async16(to + j, weight + j);
    if (lane == 0u) cp_async16(stage + HEAD_WARPS * WEIGHT_TILE_BYTES + TILE_FEATURES * warp, p.weight_g + tile * TILE_FEATURES);
#pragma unroll
    for (uint32_t j = threadIdx.x; j < TILES * (ROWS_TILE_BYTES / 16u); j += 32u * HEAD_WARPS) {
        const uint32_t mine = j / (ROWS_TILE_BYTES / 16u), piece = 16u * (j % (ROWS_TILE_BYTES / 16u));
        const uint8_t *rows = p.x + ((size_t)min(first_tile + mine, last_tile) * p.blocks + at.block) * ROWS_TILE_BYTES;
        cp_async16(stage + STAGE_WEIGHT_BYTES + mine * ROWS_TILE_BYTES + piece, rows + piece);
    }
}

// Adds one block to the logits of a warp's 16 ids and all rows. `x_g`: exponents [tile][block][8].
template <int TILES>
__device__ __forceinline__ void add_block(const uint8_t *stage, const int8_t *x_g, uint32_t block, uint32_t blocks, float (&acc)[TILES][4]) {
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    uint4 w[2 * KSTEPS];
#pragma unroll
    for (int j = 0; j < 2 * KSTEPS; j++)
        w[j] = *reinterpret_cast<const uint4 *>(stage + warp * WEIGHT_TILE_BYTES + j * WEIGHT_PLANE_BYTES + 16u * lane);
    const int8_t *w_g = reinterpret_cast<const int8_t *>(stage) + HEAD_WARPS * WEIGHT_TILE_BYTES + TILE_FEATURES * warp + (lane >> 2);
    const int g0 = w_g[0], g8 = w_g[8];
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        uint4 x[KSTEPS];
#pragma unroll
        for (int s = 0; s < KSTEPS; s++)
            x[s] = *reinterpret_cast<const uint4 *>(stage + STAGE_WEIGHT_BYTES + tile * ROWS_TILE_BYTES + s * ROWS_KSTEP_BYTES + 16u * lane);
        const int8_t *g = x_g + (tile * blocks + block) * TILE_TOKENS + 2u * (lane & 3u);
        const int ga = g[0], gb = g[1];
        int d[4];
        dot_block(d, w, x);
        acc[tile][0] = fmaf((float)d[0], exact::pow2(g0 + ga), acc[tile][0]);
        acc[tile][1] = fmaf((float)d[1], exact::pow2(g0 + gb), acc[tile][1]);
        acc[tile][2] = fmaf((float)d[2], exact::pow2(g8 + ga), acc[tile][2]);
        acc[tile][3] = fmaf((float)d[3], exact::pow2(g8 + gb), acc[tile][3]);
    }
}

// Hands the chunk's logits to the warps that read them, and starts anew.
template <int TILES> __device__ __forceinline__ void spread(float *logits, float (&acc)[TILES][4]) {
    const uint32_t id = TILE_FEATURES * (threadIdx.x >> 5) + ((threadIdx.x & 31u) >> 2), row = 2u * (threadIdx.x & 3u);
#pragma unroll
    for (int tile = 0; tile < TILES; tile++) {
        float *to = logits + (TILE_TOKENS * tile + row) * LOGITS_STRIDE + id;
        to[0] = acc[tile][0];
        to[LOGITS_STRIDE] = acc[tile][1];
        to[8] = acc[tile][2];
        to[LOGITS_STRIDE + 8u] = acc[tile][3];
#pragma unroll
        for (int i = 0; i < 4; i++) acc[tile][i] = 0.0f;
    }
}

template <int TILES, int STAGES> __device__ __forceinline__ void head(const head_params &p) {
    DYNAMIC_SHARED(uint8_t, shared);
    float *logits = reinterpret_cast<float *>(shared + STAGES * STAGE_BYTES<TILES>);
    int8_t *x_g = reinterpret_cast<int8_t *>(logits + TILES * TILE_TOKENS * LOGITS_STRIDE);
    const uint32_t rows = *p.reading.rows, slice = blockIdx.x / p.groups, slices = p.reading.slices;
    const uint32_t first_tile = blockIdx.x % p.groups * TILES, first_row = first_tile * TILE_TOKENS;
    if (first_row >= rows) return;
    const uint32_t last_tile = (rows - 1u) / TILE_TOKENS;
    const sampling s = *p.reading.sampling;
    for (uint32_t j = threadIdx.x; j < TILES * p.blocks; j += 32u * HEAD_WARPS) {
        const uint32_t tile = min(first_tile + j / p.blocks, last_tile);
        *reinterpret_cast<uint2 *>(x_g + j * TILE_TOKENS) =
            *reinterpret_cast<const uint2 *>(p.x_g + ((size_t)tile * p.blocks + j % p.blocks) * TILE_TOKENS);
    }
    Cursor load = {slice, 0}, at = {slice, 0};
#pragma unroll
    for (int stage = 0; stage < STAGES - 1; stage++) {
        if (load.chunk < p.reading.chunks) load_block<TILES>(p, shared + stage * STAGE_BYTES<TILES>, load, first_tile, last_tile);
        load.next(p.blocks, slices);
        cp_async_commit();
    }
    float acc[TILES][4] = {};
    uint32_t stage = 0;
    while (at.chunk < p.reading.chunks) {
        cp_async_wait<STAGES - 2>();
        __syncthreads(); // the block is here for all, and all are done with the one before it and with the logits of the last chunk
        const uint32_t free_stage = stage == 0u ? STAGES - 1u : stage - 1u;
        if (load.chunk < p.reading.chunks) load_block<TILES>(p, shared + free_stage * STAGE_BYTES<TILES>, load, first_tile, last_tile);
        load.next(p.blocks, slices);
        cp_async_commit();
        add_block<TILES>(shared + stage * STAGE_BYTES<TILES>, x_g, at.block, p.blocks, acc);
        stage = stage + 1u == STAGES ? 0u : stage + 1u;
        if (at.block + 1u == p.blocks) {
            spread<TILES>(logits, acc);
            __syncthreads();
            for (uint32_t row = threadIdx.x >> 5; row < TILES * TILE_TOKENS && first_row + row < rows; row += HEAD_WARPS) {
                const float4 v = *reinterpret_cast<const float4 *>(logits + row * LOGITS_STRIDE + 4u * (threadIdx.x & 31u));
                const float x[4] = {v.x, v.y, v.z, v.w};
                read_chunk(p.reading, s, Place{first_row + row, at.chunk, slice, at.chunk == slice}, x);
            }
        }
        at.next(p.blocks, slices);
    }
    cp_async_wait<0>();
}

} // namespace

extern "C" __global__ void __launch_bounds__(256, 1) head_8(const __grid_constant__ head_params p) { head<1, 4>(p); }
KERNEL(head_8)

extern "C" __global__ void __launch_bounds__(256, 1) head_16(const __grid_constant__ head_params p) { head<2, 4>(p); }
KERNEL(head_16)

extern "C" __global__ void __launch_bounds__(256, 1) head_32(const __grid_constant__ head_params p) { head<4, 3>(p); }
KERNEL(head_32)

extern "C" __global__ void __launch_bounds__(256, 1) head_64(const __grid_constant__ head_params p) { head<8, 2>(p); }
KERNEL(head_64)

// For devices whose blocks have 99 KB of shared memory: one block of channels ahead.
extern "C" __global__ void __launch_bounds__(256, 1) head_8_small(const __grid_constant__ head_params p) { head<1, 2>(p); }
KERNEL(head_8_small)

extern "C" __global__ void __launch_bounds__(256, 1) head_16_small(const __grid_constant__ head_params p) { head<2, 2>(p); }
KERNEL(head_16_small)

extern "C" __global__ void __launch_bounds__(256, 1) head_32_small(const __grid_constant__ head_params p) { head<4, 2>(p); }
KERNEL(head_32_small)
