// Matrix products of many rows (NUMERICS 4): prefill and large batches. Few rows are gemv.cu's.
//
// In   w, w_g: packed weights, x, x_g: quantized rows, with the same number of blocks (abi.h).
// Out  y: [rows][ld] f32, stored, added to, or silu(gate) * up; columns below `features`, rows below `rows`.
// Sum  per element: the integers of a block exactly (four products of slices, joined by shifts, modulo 2^32), then
//      y = fma(f32(d), 2^(gL + gR), y) for ascending blocks from +0. Nothing about tiles or warps can change a bit.
// Launch  persistent: any number of CTAs up to the tiles there are, 64 WM threads and GEMM*_SHARED_BYTES of dynamic shared memory,
//      which fit 99 KiB. p.blocks > 0.
//
// A CTA makes 32 WM features x 16 NT rows, a warp 32 features x 8 NT rows. Operands lie in fragment order, so a fragment is
// one 16-byte access per lane at consecutive addresses, free of bank conflicts. A warp's weights of a block stay in 64 registers
// while its row tiles pass; so the weights' buffer is refilled as soon as all warps have read it, and needs to be single. The copy
// of a block, also of the next tile's first, runs while the one before is multiplied.
#include "product.cuh"

namespace {

template <int WM, int NT> struct Layout {
    static_assert(NT == 2 * WM, "every warp copies one weight tile and two row tiles of a block");
    static constexpr int WARPS = 2 * WM, THREADS = 32 * WARPS;
    static constexpr int A_TILES = 2 * WM, B_TILES = 2 * NT;
    static constexpr int A = 0, B = A + A_TILES * WEIGHT_TILE_BYTES, SCALES = B + 2 * B_TILES * ROWS_TILE_BYTES;
    static constexpr int COLUMN = NT + NT / 8 * 4; // floats from the scales of a column of the tiles to the next: free of bank conflicts
    static constexpr int BLOCK_SCALES = TILE_FEATURES * A_TILES + 2 * 8 * COLUMN;
    static constexpr int WORK = SCALES + 2 * 4 * BLOCK_SCALES, BYTES = WORK + 4 * WARPS;
    static_assert(BYTES <= 99 * 1024, "fits every device from sm_80 on");
    static_assert(THREADS == TILE_FEATURES * A_TILES + TILE_TOKENS * B_TILES, "every thread makes one scale of a block");
};

// Where a thread's share of the next block comes from: a weight tile and two row tiles, 16 bytes a lane, and an exponent, of the
// weights for the first half of the threads and of the rows for the others.
struct Source {
    const uint8_t *a, *b0, *b1;
    uint32_t g;
};

// Which tile `at` is, if there is one. Found anew where it is needed, for registers are short in between.
template <int WM, int NT> struct Tile {
    uint32_t rows, tiles, row_tiles, m, n;
    bool exists;
    __device__ __forceinline__ Tile(const product_params &p, uint32_t at) {
        rows = product_rows(p), tiles = feature_tiles(p), row_tiles = (rows + TILE_TOKENS - 1) / TILE_TOKENS;
        const uint32_t across = (row_tiles + Layout<WM, NT>::B_TILES - 1) / Layout<WM, NT>::B_TILES;
        exists = at < (tiles + Layout<WM, NT>::A_TILES - 1) / Layout<WM, NT>::A_TILES * across;
        m = exists ? at / across : 0, n = at - m * across;
    }
};

// The first block of tile `at`; false if there is no such tile.
template <int WM, int NT> __device__ __forceinline__ bool source(Source &s, const product_params &p, uint32_t at) {
    using L = Layout<WM, NT>;
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    const Tile<WM, NT> tile(p, at);
    if (!tile.exists) return false;
    const uint32_t m = tile.m, n = tile.n, tiles = tile.tiles, row_tiles = tile.row_tiles;
    // Tiles beyond the end repeat the last; what they give is not stored.
    const uint32_t a = min(m * L::A_TILES + warp, tiles - 1);
    const uint32_t b0 = min(n * L::B_TILES + 2 * warp, row_tiles - 1), b1 = min(n * L::B_TILES + 2 * warp + 1, row_tiles - 1);
    s.a = p.w + (size_t)a * p.blocks * WEIGHT_TILE_BYTES + lane * 16;
    s.b0 = p.x + (size_t)b0 * p.blocks * ROWS_TILE_BYTES + lane * 16;
    s.b1 = p.x + (size_t)b1 * p.blocks * ROWS_TILE_BYTES + lane * 16;
    const uint32_t i = threadIdx.x, j = i - TILE_FEATURES * L::A_TILES;
    if (i < TILE_FEATURES * L::A_TILES) {
        s.g = min(m * L::A_TILES + i / TILE_FEATURES, tiles - 1) * p.blocks * TILE_FEATURES + i % TILE_FEATURES;
    } else {
        s.g = min(n * L::B_TILES + j / TILE_TOKENS, row_tiles - 1) * p.blocks * TILE_TOKENS + j % TILE_TOKENS;
    }
    return true;
}

// A warp's share of a block: one weight tile, and two row tiles into one of the two buffers.
__device__ __forceinline__ void copy_a(uint8_t *mine, const Source &from) {
#pragma unroll
    for (int i = 0; i < WEIGHT_TILE_BYTES / 512; i++) cp_async16(mine + 512 * i, from.a + 512 * i);
}
template <class L> __device__ __forceinline__ void copy_b(uint8_t *mine, const Source &from, uint32_t buffer) {
    uint8_t *to = mine + L::B + buffer * (L::B_TILES * ROWS_TILE_BYTES);
#pragma unroll
    for (int i = 0; i < ROWS_TILE_BYTES / 512; i++) {
        cp_async16(to + 512 * i, from.b0 + 512 * i);
        cp_async16(to + ROWS_TILE_BYTES + 512 * i, from.b1 + 512 * i);
    }
}

// Index among a block's scales of this thread's: the four of a lane's rows lie together, and the NT of a lane's column.
template <int WM, int NT> __device__ __forceinline__ uint32_t scale_place() {
    const uint32_t i = threadIdx.x, j = i - 32u * WM;
    if (i < 32u * WM) return (i / 32u) * 32u + (i % 8u) * 4u + (i / 8u) % 4u;
    return 32u * WM + (j / (8u * NT) * 8u + j % 8u) * Layout<WM, NT>::COLUMN + (j / 8u) % NT;
}

// The scale that this thread makes of its exponent. mma_tf32 adds four equal products of powers of two, four times what is wanted:
// both factors are halved.
__device__ __forceinline__ float scale_of(int exponent) { return exact::pow2(exponent - 1); }

template <int WM> __device__ __forceinline__ int exponent_at(const product_params &p, uint32_t g) {
    return (threadIdx.x < 32u * WM ? p.w_g : p.x_g)[g];
}

__device__ __forceinline__ void multiply(int (&d)[4], const uint4 &w, uint32_t x0, uint32_t x1) { mma_s8(d, {w.x, w.y, w.z, w.w}, {x0, x1}); }
__device__ __forceinline__ void start(int (&d)[4], const uint4 &w, uint32_t x0, uint32_t x1) {
    mma_s8(d, {w.x, w.y, w.z, w.w}, {x0, x1}, {0, 0, 0, 0});
}

// One block: y += d * scale for the warp's 2 x NT tiles. Weights are read while the first row tile is multiplied; then every warp
// calls `weights_read`, which has a barrier.
template <int WM, int NT, class F>
__device__ __forceinline__ void block_product(float (&y)[2][NT][4], const uint4 *weights, const uint4 *rows, const float *row_scales,
                                              const float *column_scales, F weights_read) {
    const float4 scales = *reinterpret_cast<const float4 *>(row_scales);
    float4 columns;
    uint4 a[2][2 * KSTEPS];
#pragma unroll
    for (int j = 0; j < NT; j++) {
        if (j % 4 == 0) columns = *reinterpret_cast<const float4 *>(column_scales + j);
        const float column = j % 4 == 0 ? columns.x : j % 4 == 1 ? columns.y : j % 4 == 2 ? columns.z : columns.w;
        uint4 x[KSTEPS];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            int d[4], low[4];
#pragma unroll
            for (int s = 0; s < KSTEPS; s++) {
                if (i == 0) x[s] = rows[j * (ROWS_TILE_BYTES / 16) + s * 32];
                if (j == 0) {
                    a[i][2 * s] = weights[i * (WEIGHT_TILE_BYTES / 16) + 2 * s * 32];
                    a[i][2 * s + 1] = weights[i * (WEIGHT_TILE_BYTES / 16) + (2 * s + 1) * 32];
                }
                if (s == 0) {
                    start(d, a[i][1], x[0].z, x[0].w);
                    start(low, a[i][0], x[0].x, x[0].y);
                } else {
                    multiply(d, a[i][2 * s + 1], x[s].z, x[s].w);
                    multiply(low, a[i][2 * s], x[s].x, x[s].y);
                }
            }
#pragma unroll
            for (int e = 0; e < 4; e++) d[e] = (int)((uint32_t)d[e] << 8); // high with high; the low products come apart, not to wait
#pragma unroll
            for (int s = 0; s < KSTEPS; s++) {
                multiply(d, a[i][2 * s + 1], x[s].x, x[s].y);
                multiply(d, a[i][2 * s], x[s].z, x[s].w);
            }
            float scale[4];
            mma_tf32(scale, i == 0 ? scales.x : scales.z, i == 0 ? scales.y : scales.w, column);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const int sum = (int)(((uint32_t)d[e] << 8) + (uint32_t)low[e]);
                y[i][j][e] = fmaf((float)sum, scale[e], y[i][j][e]);
            }
        }
        if (j == 0) weights_read();
    }
}

// Writes the warp's part of finished tile `at`.
template <int WM, int NT>
__device__ __forceinline__ void store_tile(const product_params &p, const float (&y)[2][NT][4], uint32_t at) {
    const uint32_t warp = threadIdx.x >> 5;
    const Tile<WM, NT> tile(p, at);
    const uint32_t m = tile.m, n = tile.n, rows = tile.rows;
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < NT; j++) {
            store_fragment(p, y[i][j], m * (2 * WM) + 2 * (warp % WM) + i, n * (16 * NT) + (warp / WM) * 8 * NT + 8 * j, rows);
        }
    }
}

// Where a thread reads and writes in shared memory.
template <int WM, int NT> struct Places {
    uint8_t *mine; // of its copies: of A and, as two row tiles are as large, of B
    const uint4 *a, *b;
    const float *row_scales, *column_scales;
    float *scale;
    uint32_t *at; // tile of the warp
    __device__ __forceinline__ explicit Places(uint8_t *shared) {
        using L = Layout<WM, NT>;
        const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
        float *const scales = reinterpret_cast<float *>(shared + L::SCALES);
        mine = shared + warp * WEIGHT_TILE_BYTES + lane * 16;
        a = reinterpret_cast<const uint4 *>(shared + L::A) + 2 * (warp % WM) * (WEIGHT_TILE_BYTES / 16) + lane;
        b = reinterpret_cast<const uint4 *>(shared + L::B) + (warp / WM) * NT * (ROWS_TILE_BYTES / 16) + lane;
        row_scales = scales + (warp % WM) * 32 + (lane / 4) * 4;
        column_scales = scales + 32 * WM + ((warp / WM) * 8 + lane / 4) * L::COLUMN;
        scale = scales + scale_place<WM, NT>();
        at = reinterpret_cast<uint32_t *>(shared + L::WORK) + warp;
    }
};

template <int WM, int NT> __device__ __forceinline__ void gemm_tiles(const product_params &p, uint8_t *shared) {
    using L = Layout<WM, NT>;
    const uint32_t lane = threadIdx.x & 31u, g_step = threadIdx.x < 32 * WM ? TILE_FEATURES : TILE_TOKENS;
    const Places<WM, NT> place(shared);
    Source from;
    if (!source<WM, NT>(from, p, blockIdx.x)) return; // the whole CTA
    if (lane == 0) *place.at = blockIdx.x;
    copy_b<L>(place.mine, from, 0);
    copy_a(place.mine, from);
    cp_async_commit();
    *place.scale = scale_of(exponent_at<WM>(p, from.g));
    uint32_t buffer = 0;
    bool more = true;
    while (more) {
        float y[2][NT][4] = {};
#pragma unroll 1
        for (uint32_t left = p.blocks; left > 0; left--) {
            cp_async_wait<0>();
            __syncthreads(); // this block is there, and nobody reads the other buffer any more
            int exponent = 0;
            const auto ask_for_next = [&] {
                __syncthreads(); // the weights are in registers
                from.a += WEIGHT_TILE_BYTES, from.b0 += ROWS_TILE_BYTES, from.b1 += ROWS_TILE_BYTES, from.g += g_step;
                if (left == 1) more = source<WM, NT>(from, p, *place.at + gridDim.x);
                if (more) {
                    copy_b<L>(place.mine, from, buffer ^ 1);
                    copy_a(place.mine, from);
                }
                cp_async_commit();
                if (more) exponent = exponent_at<WM>(p, from.g);
            };
            block_product<WM, NT>(y, place.a, place.b + buffer * (L::B_TILES * ROWS_TILE_BYTES / 16), place.row_scales + buffer * L::BLOCK_SCALES,
                                  place.column_scales + buffer * L::BLOCK_SCALES, ask_for_next);
            buffer ^= 1;
            place.scale[buffer * L::BLOCK_SCALES] = scale_of(exponent);
        }
        store_tile<WM, NT>(p, y, *place.at);
        __syncwarp();
        if (lane == 0) *place.at += gridDim.x;
        __syncwarp();
    }
}

} // namespace

static_assert(Layout<4, 8>::BYTES == GEMM_SHARED_BYTES && Layout<2, 4>::BYTES == GEMM_NARROW_SHARED_BYTES, "what launches give");

// 128 features x 128 rows a CTA.
extern "C" __global__ void __launch_bounds__(Layout<4, 8>::THREADS) gemm(const __grid_constant__ product_params p) {
    DYNAMIC_SHARED(uint8_t, shared);
    gemm_tiles<4, 8>(p, shared);
}
KERNEL(gemm)

// 64 features x 64 rows a CTA, where the larger tile would leave processors idle.
extern "C" __global__ void __launch_bounds__(Layout<2, 4>::THREADS) gemm_narrow(const __grid_constant__ product_params p) {
    DYNAMIC_SHARED(uint8_t, shared);
    gemm_tiles<2, 4>(p, shared);
}
KERNEL(gemm_narrow)
