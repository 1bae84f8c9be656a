// Matrix products of many rows (NUMERICS 4): prefill and large batches. Few rows are gemv.cu's.
//
// In   w, w_g: packed weights, x, x_g: quantized rows, with the same number of blocks (abi.h).
// Out  y: [rows][ld] f32, stored, added to, or silu(gate) * up; columns below `features`, rows below `rows`.
// Sum  per element: the integers of a block exactly (four products of slices, joined by shifts, modulo 2^32), then
//      y = fma(f32(d), 2^(gL + gR), y) for ascending blocks from +0. Nothing about tiles or warps can change a bit.
// Launch  persistent: any number of CTAs, 64 WM threads and Layout<WM, NT>::BYTES of dynamic shared memory. It fits 99 KiB.
//
// A CTA makes 32 WM features x 16 NT rows, a warp 32 features x 8 NT rows. Operands lie in fragment order, so a fragment is
// one 16-byte access per lane at consecutive addresses, free of bank conflicts. A warp's weights of a block stay in 64 registers
// while its row tiles pass; so the weights' buffer is refilled as soon as all warps have read it, and needs to be single.
#include "product.cuh"

namespace {

template <int WM, int NT> struct Layout {
    static_assert(NT == 2 * WM, "every warp copies one weight tile and two row tiles of a block");
    static constexpr int WARPS = 2 * WM, THREADS = 32 * WARPS;
    static constexpr int A_TILES = 2 * WM, B_TILES = 2 * NT;
    static constexpr int A = 0, B = A + A_TILES * WEIGHT_TILE_BYTES, SCALES = B + 2 * B_TILES * ROWS_TILE_BYTES;
    static constexpr int SCALE_BYTES = 4 * (TILE_FEATURES * A_TILES + TILE_TOKENS * B_TILES);
    static constexpr int BYTES = SCALES + 2 * SCALE_BYTES;
    static_assert(BYTES <= 99 * 1024, "fits every device from sm_80 on");
    static_assert(THREADS == SCALE_BYTES / 4, "every thread makes one scale of a block");
};

// Where a thread's share of the next block comes from: a weight tile and two row tiles, 16 bytes a lane, and an exponent.
struct Source {
    const uint8_t *a, *b0, *b1;
    const int8_t *g;
};

template <int WM, int NT>
__device__ __forceinline__ Source source(const product_params &p, uint32_t tiles, uint32_t row_tiles, uint32_t m, uint32_t n) {
    using L = Layout<WM, NT>;
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    // Tiles beyond the end repeat the last; what they give is not stored.
    const uint32_t a = min(m * L::A_TILES + warp, tiles - 1);
    const uint32_t b0 = min(n * L::B_TILES + 2 * warp, row_tiles - 1), b1 = min(n * L::B_TILES + 2 * warp + 1, row_tiles - 1);
    Source s;
    s.a = p.w + (size_t)a * p.blocks * WEIGHT_TILE_BYTES + lane * 16;
    s.b0 = p.x + (size_t)b0 * p.blocks * ROWS_TILE_BYTES + lane * 16;
    s.b1 = p.x + (size_t)b1 * p.blocks * ROWS_TILE_BYTES + lane * 16;
    const uint32_t i = threadIdx.x, j = i - TILE_FEATURES * L::A_TILES;
    if (i < TILE_FEATURES * L::A_TILES) {
        s.g = p.w_g + (size_t)min(m * L::A_TILES + i / TILE_FEATURES, tiles - 1) * p.blocks * TILE_FEATURES + i % TILE_FEATURES;
    } else {
        s.g = p.x_g + (size_t)min(n * L::B_TILES + j / TILE_TOKENS, row_tiles - 1) * p.blocks * TILE_TOKENS + j % TILE_TOKENS;
    }
    return s;
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
    return 32u * WM + (j / (8u * NT)) * 8u * NT + (j % 8u) * NT + (j / 8u) % NT;
}

__device__ __forceinline__ void multiply(int (&d)[4], const uint4 &w, uint32_t x0, uint32_t x1) { mma_s8(d, {w.x, w.y, w.z, w.w}, {x0, x1}); }
__device__ __forceinline__ void start(int (&d)[4], const uint4 &w, uint32_t x0, uint32_t x1) {
    mma_s8(d, {w.x, w.y, w.z, w.w}, {x0, x1}, {0, 0, 0, 0});
}

// One block: y += d * scale for the warp's 2 x NT tiles.
template <int WM, int NT>
__device__ __forceinline__ void block_product(float (&y)[2][NT][4], const uint4 (&a)[2][2 * KSTEPS], const uint4 *b, const float *scales) {
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    const float4 row_scale = *reinterpret_cast<const float4 *>(scales + (warp % WM) * 32u + (lane / 4) * 4u);
    const float rows[2][2] = {{row_scale.x, row_scale.y}, {row_scale.z, row_scale.w}};
    float4 columns;
#pragma unroll
    for (int j = 0; j < NT; j++) {
        if (j % 4 == 0) columns = *reinterpret_cast<const float4 *>(scales + 32u * WM + (warp / WM) * 8u * NT + (lane / 4) * NT + j);
        const float column = j % 4 == 0 ? columns.x : j % 4 == 1 ? columns.y : j % 4 == 2 ? columns.z : columns.w;
        uint4 x[KSTEPS];
#pragma unroll
        for (int s = 0; s < KSTEPS; s++) x[s] = b[j * (ROWS_TILE_BYTES / 16) + s * 32 + lane];
        int d[2][4], low[2][4];
#pragma unroll
        for (int s = 0; s < KSTEPS; s++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                if (s == 0) {
                    start(d[i], a[i][1], x[0].z, x[0].w);
                    start(low[i], a[i][0], x[0].x, x[0].y);
                } else {
                    multiply(d[i], a[i][2 * s + 1], x[s].z, x[s].w);
                    multiply(low[i], a[i][2 * s], x[s].x, x[s].y);
                }
            }
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
#pragma unroll
            for (int e = 0; e < 4; e++) d[i][e] = (int)((uint32_t)d[i][e] << 8);
        }
#pragma unroll
        for (int s = 0; s < KSTEPS; s++) {
#pragma unroll
            for (int i = 0; i < 2; i++) multiply(d[i], a[i][2 * s + 1], x[s].x, x[s].y);
#pragma unroll
            for (int i = 0; i < 2; i++) multiply(d[i], a[i][2 * s], x[s].z, x[s].w);
        }
#pragma unroll
        for (int i = 0; i < 2; i++) {
            float scale[4];
            mma_tf32(scale, rows[i][0], rows[i][1], column);
#pragma unroll
            for (int e = 0; e < 4; e++) {
                const uint32_t sum = ((uint32_t)d[i][e] << 8) + (uint32_t)low[i][e];
                y[i][j][e] = fmaf((float)(int)sum, scale[e], y[i][j][e]);
            }
        }
    }
}

// Writes the warp's part of a finished tile.
template <int WM, int NT>
__device__ __forceinline__ void store_tile(const product_params &p, const float (&y)[2][NT][4], uint32_t rows, uint32_t m, uint32_t n) {
    const uint32_t warp = threadIdx.x >> 5;
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int j = 0; j < NT; j++) {
            store_fragment(p, y[i][j], m * (2 * WM) + 2 * (warp % WM) + i, n * (16 * NT) + (warp / WM) * 8 * NT + 8 * j, rows);
        }
    }
}

template <int WM, int NT> __device__ __forceinline__ void gemm_tiles(const product_params &p, uint8_t *shared) {
    using L = Layout<WM, NT>;
    const uint32_t warp = threadIdx.x >> 5, lane = threadIdx.x & 31u;
    const uint32_t rows = product_rows(p), tiles = feature_tiles(p), row_tiles = (rows + TILE_TOKENS - 1) / TILE_TOKENS;
    const uint32_t across = (row_tiles + L::B_TILES - 1) / L::B_TILES, total = (tiles + L::A_TILES - 1) / L::A_TILES * across;

    uint8_t *const mine = shared + warp * WEIGHT_TILE_BYTES + lane * 16; // of A and, as two row tiles are as large, of B
    const uint4 *const a_warp = reinterpret_cast<const uint4 *>(shared + L::A) + 2 * (warp % WM) * (WEIGHT_TILE_BYTES / 16) + lane;
    const uint4 *const b_warp = reinterpret_cast<const uint4 *>(shared + L::B) + (warp / WM) * NT * (ROWS_TILE_BYTES / 16);
    float *const scales = reinterpret_cast<float *>(shared + L::SCALES);
    // The four equal products of mma_tf32 add up to four times what is wanted: the rows' exponents are lowered by two.
    const int bias = threadIdx.x < 32 * WM ? -2 : 0, g_step = threadIdx.x < 32 * WM ? TILE_FEATURES : TILE_TOKENS;
    float *const scale_mine = scales + scale_place<WM, NT>();

    for (uint32_t at = blockIdx.x; at < total; at += gridDim.x) {
        Source from = source<WM, NT>(p, tiles, row_tiles, at / across, at % across);
        __syncthreads(); // the tile before has been read
        copy_b<L>(mine, from, 0);
        copy_a(mine, from);
        cp_async_commit();
        *scale_mine = exact::pow2(*from.g + bias);
        float y[2][NT][4] = {};
        uint32_t buffer = 0;
#pragma unroll 1
        for (uint32_t left = p.blocks; left > 0; left--, buffer ^= 1) {
            cp_async_wait<0>();
            __syncthreads(); // this block is there, and nobody reads the other buffer any more
            from.a += WEIGHT_TILE_BYTES, from.b0 += ROWS_TILE_BYTES, from.b1 += ROWS_TILE_BYTES, from.g += g_step;
            int exponent = 0;
            if (left > 1) {
                copy_b<L>(mine, from, buffer ^ 1);
                exponent = *from.g;
            }
            uint4 a[2][2 * KSTEPS];
#pragma unroll
            for (int i = 0; i < 2; i++) {
#pragma unroll
                for (int s = 0; s < 2 * KSTEPS; s++) a[i][s] = a_warp[i * (WEIGHT_TILE_BYTES / 16) + s * 32];
            }
            __syncthreads(); // the weights are in registers
            if (left > 1) copy_a(mine, from);
            cp_async_commit();
            block_product<WM, NT>(y, a, b_warp + buffer * (L::B_TILES * ROWS_TILE_BYTES / 16), scales + buffer * L::THREADS);
            scale_mine[(buffer ^ 1) * L::THREADS] = exact::pow2(exponent + bias);
        }
        store_tile<WM, NT>(p, y, rows, at / across, at % across);
    }
}

} // namespace

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
