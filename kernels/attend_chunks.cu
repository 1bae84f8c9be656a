// Attention of decoding rows over one chunk of 128 keys at a time (NUMERICS 6): scores, softmax weights and weighted values of
// every query column that reads the same page, so that a page's integers are loaded once per item, however many rows share it.
//
// Two kernels: attend_chunks for head_dim up to 128, attend_chunks_wide above (two blocks of channels).
// Grid: x walks the items (any size: CTA x takes items x, x + gridDim.x, ...), y = kv head; 8 warps. An item is (page, chunk,
// rows); its columns are its rows times the query heads of the kv head, in groups of 32, in tiles of 8.
// Warp w has the keys of position tile w as operand A in registers, straight from the page, and the values of channel tiles w and
// w + 8; scores and weights pass from one product to the other through shared memory:
//   z[column][position]  by warps over positions,    fma by blocks of channels ascending, from exact integer dots;
//   n, p, l, u           by warps over columns,      lane l has positions 4l..4l+3, l_c = S128 in exact.cuh's mapping;
//   o[column][channel]   by warps over channels,     f32(exact sum) * 2^(g - 14).
// Results: o and (n, l) of (row, head, chunk), which combine_chunks.cu takes in order.
// At launch: head_dim is a multiple of 16, at most 256, and rows * heads < 2^32. A row that is before the chunk's first key (position <
// 128 chunk: its sequence has ended where others go on) sees none; what it leaves there is nobody's, and no fault. Keys and values beyond a row's position may hold any integers,
// and exponents that are R's of something, or 0: their scores are not read and their weight is 0.
// Faults: |n| > 2^20 -> ATTENTION; a p' that L does not take -> QUANTIZER; the chunk's partial is then n = 0, l = 1, o = 0. A z is
// never NaN: it is one or two finite products, |d| < 2^31 times at most 2^96.
#include "attention.cuh"

#define WARPS 8
#define COLUMNS 32             /* of a group */
#define Z_STRIDE (PAGE + 4)    /* floats: the 8 x 4 lanes of a tile store to 32 banks */
#define U_STRIDE (4 * KSTEPS + 4) /* uint4: two columns' fragments, read together, lie in different banks */

namespace {

struct Group {
    float z[COLUMNS * Z_STRIDE];
    uint4 u[2][COLUMNS * U_STRIDE]; // [block of channels][column][kstep][t]: lo b0, lo b1, hi b0, hi b1
    float scale[2][COLUMNS];        // 2^(g - 14) of u
    int query_g[2][COLUMNS];
    uint32_t key_g[2][PAGE / 4], value_g[2][PAGE / 4]; // four positions a word
    uint32_t row[COLUMNS], head[COLUMNS]; // head: row * heads + query head
    int keys[COLUMNS];              // that the column sees of the chunk, up to 128; none where it is not above 0
};

// What a group's columns are, and the page's exponents. Columns beyond the item's are its last one again.
__device__ __forceinline__ void describe(const attend_chunks_params &p, Group &s, const attention::PageHead &page, const attend_item &item,
                                         uint32_t kv_head, uint32_t group, uint32_t total) {
    if (threadIdx.x >= COLUMNS) return;
    const uint32_t per_kv = p.cache.heads / p.cache.kv_heads, column = min(group + threadIdx.x, total - 1u), blocks = attention::blocks_of(p.cache.head_dim);
    const uint32_t row = p.item_rows[item.first + column / per_kv], head = row * p.cache.heads + kv_head * per_kv + column % per_kv;
    s.row[threadIdx.x] = row;
    s.head[threadIdx.x] = head;
    s.keys[threadIdx.x] = min((int)(p.cache.position[row] + 1u - item.chunk * PAGE), PAGE);
    for (uint32_t block = 0; block < blocks; block++) {
        s.query_g[block][threadIdx.x] = __ldg(p.q_g + (uint64_t)head * blocks + block);
        s.key_g[block][threadIdx.x] = __ldg(reinterpret_cast<const uint32_t *>(page.key_g + block * PAGE) + threadIdx.x);
        s.value_g[block][threadIdx.x] = __ldg(reinterpret_cast<const uint32_t *>(page.value_g + block * PAGE) + threadIdx.x);
    }
}

struct Fragments {
    uint4 lo[KSTEPS], hi[KSTEPS];
};

__device__ __forceinline__ void load(Fragments &f, const uint8_t *tile, uint32_t ksteps) {
    const uint4 *from = reinterpret_cast<const uint4 *>(tile) + (threadIdx.x & 31u);
#pragma unroll
    for (uint32_t k = 0; k < KSTEPS; k++) {
        if (k >= ksteps) break;
        f.lo[k] = __ldg(from + k * 64u);
        f.hi[k] = __ldg(from + k * 64u + 32u);
    }
}

// Scores of this warp's 16 positions with block `block` of all columns, added to z.
__device__ __forceinline__ void scores(const attend_chunks_params &p, Group &s, const Fragments &keys, uint32_t block, uint32_t columns) {
    const uint32_t lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, g = lane >> 2, t = lane & 3u, d = p.cache.head_dim;
    const uint32_t ksteps = attention::ksteps_of(d, block);
    const int8_t *key_g = reinterpret_cast<const int8_t *>(s.key_g[block]) + 16u * warp + g;
    const int g0 = key_g[0], g1 = key_g[8];
#pragma unroll 1
    for (uint32_t first = 0; first < columns; first += 8u) {
        const uint32_t head = s.head[first + g];
        const uint8_t *q = p.q + (uint64_t)head * attention::query_bytes(d) + block * (2u * BLOCK) + t * 16u;
        uint4 b[KSTEPS];
#pragma unroll
        for (uint32_t k = 0; k < KSTEPS; k++)
            if (k < ksteps) b[k] = __ldg(reinterpret_cast<const uint4 *>(q + k * 64u));
        attention::Products dots;
        attention::clear(dots);
#pragma unroll
        for (uint32_t k = 0; k < KSTEPS; k++)
            if (k < ksteps) attention::multiply(dots, keys.lo[k], keys.hi[k], b[k]);
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t column = first + 2u * t + (i & 1u);
            float *z = s.z + column * Z_STRIDE + 16u * warp + g + 8u * (i >> 1);
            const float scale = exact::pow2(s.query_g[block][column] + (i < 2u ? g0 : g1));
            *z = fmaf(attention::dot(dots, i), scale, block == 0 ? 0.0f : *z);
        }
    }
}

// Greatest of the lanes' four floats, none of them NaN: redux.sync over bits that sort as the floats do.
__device__ __forceinline__ float warp_greatest(const float (&x)[4]) {
    const float m = fmaxf(fmaxf(x[0], x[1]), fmaxf(x[2], x[3]));
    const uint32_t bits = __float_as_uint(m);
    const uint32_t best = warp_max(bits & 0x80000000u ? ~bits : bits | 0x80000000u);
    return __uint_as_float(best & 0x80000000u ? best & 0x7fffffffu : ~best);
}

// n, l and u of one column, by a warp; z is left as it is.
template <int BLOCKS> __device__ __forceinline__ void weigh(const attend_chunks_params &p, Group &s, uint32_t chunk, uint32_t column) {
    const uint32_t lane = threadIdx.x & 31u;
    const uint32_t row = s.row[column];
    const int keys = s.keys[column];
    const float4 z4 = *reinterpret_cast<const float4 *>(s.z + column * Z_STRIDE + 4u * lane);
    float z[4] = {z4.x, z4.y, z4.z, z4.w};
#pragma unroll
    for (uint32_t i = 0; i < 4; i++)
        if ((int)(4u * lane + i) >= keys) z[i] = __uint_as_float(0xff800000u);
    const float n = ceilf(warp_greatest(z));
    const bool bad = !(fabsf(n) <= attention::N_MAX);
    float weight[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) weight[i] = attention::exp2_below(z[i] - (bad ? __uint_as_float(0x7f800000u) : n));
    const float l = exact::warp_s128(weight);
    if (lane == 0) {
        if (bad && keys > 0) exact::record_fault(p.fault + row, p.cache.layer, STAGE_ATTENTION, FAULT_ATTENTION);
        float *nl = p.nl + 2u * ((uint64_t)s.head[column] * p.max_chunks + chunk);
        *reinterpret_cast<float2 *>(nl) = bad ? make_float2(0.0f, 1.0f) : make_float2(n, l);
    }
#pragma unroll 1
    for (uint32_t block = 0; block < BLOCKS; block++) {
        const uint32_t exponents = s.value_g[block][lane];
        float weighted[4];
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            const int g = (int8_t)(exponents >> (8u * i));
            weighted[i] = weight[i] * exact::pow2(g + RIGHT_BITS);
        }
        const exact::Slices u = exact::quantize_left(weighted);
        uint32_t *to = reinterpret_cast<uint32_t *>(s.u[block] + column * U_STRIDE + 4u * (lane >> 3) + (lane & 3u)) + ((lane >> 2) & 1u);
        to[0] = u.lo;
        to[2] = u.hi;
        if (lane == 0) {
            s.scale[block][column] = exact::pow2(u.g - RIGHT_BITS);
            if (u.fault) exact::record_fault(p.fault + row, p.cache.layer, STAGE_ATTENTION, FAULT_QUANTIZER);
        }
    }
}

// Weighted values of one channel tile for all columns.
__device__ __forceinline__ void values(const attend_chunks_params &p, const Group &s, const Fragments &v, uint32_t chunk, uint32_t tile,
                                       uint32_t columns) {
    const uint32_t lane = threadIdx.x & 31u, g = lane >> 2, t = lane & 3u, block = tile / 8u;
#pragma unroll 1
    for (uint32_t first = 0; first < columns; first += 8u) {
        const uint4 *u = s.u[block] + min(first + g, columns - 1u) * U_STRIDE + t;
        attention::Products sums;
        attention::clear(sums);
#pragma unroll
        for (uint32_t k = 0; k < KSTEPS; k++) attention::multiply(sums, v.lo[k], v.hi[k], u[4u * k]);
#pragma unroll
        for (uint32_t i = 0; i < 2; i++) {
            const uint32_t column = first + 2u * t + i;
            if (column >= columns) continue;
            float *o = p.o + ((uint64_t)s.head[column] * p.max_chunks + chunk) * p.cache.head_dim + 16u * tile + g;
            o[0] = attention::dot(sums, i) * s.scale[block][column];
            o[8] = attention::dot(sums, i + 2) * s.scale[block][column];
        }
    }
}

// One item for one kv head. With one block of channels the page's fragments stay in registers over all groups of columns.
template <int BLOCKS> __device__ __forceinline__ void run(const attend_chunks_params &p, Group &s, const attend_item &item, uint32_t kv_head) {
    const uint32_t warp = threadIdx.x >> 5, d = p.cache.head_dim, total = item.count * (p.cache.heads / p.cache.kv_heads);
    const attention::PageHead page = attention::page_head(p.cache, item.page, kv_head);
    Fragments keys, v;
    if (BLOCKS == 1) {
        load(keys, page.keys + attention::key_tile(d, 0, warp), attention::ksteps_of(d, 0));
        if (warp < d / 16u) load(v, page.values + attention::value_tile(warp), KSTEPS);
    }
    for (uint32_t group = 0; group < total; group += COLUMNS) {
        const uint32_t columns = min(total - group, (uint32_t)COLUMNS);
        describe(p, s, page, item, kv_head, group, total);
        __syncthreads();
#pragma unroll 1 // or both blocks' keys are loaded at once, more registers than there are
        for (uint32_t block = 0; block < BLOCKS; block++) {
            if (BLOCKS == 1) {
                scores(p, s, keys, block, columns);
            } else {
                Fragments some;
                load(some, page.keys + attention::key_tile(d, block, warp), attention::ksteps_of(d, block));
                scores(p, s, some, block, columns);
            }
        }
        __syncthreads();
        for (uint32_t column = warp; column < columns; column += WARPS) weigh<BLOCKS>(p, s, item.chunk, column);
        __syncthreads();
#pragma unroll 1
        for (uint32_t tile = warp; tile < d / 16u; tile += WARPS) {
            if (BLOCKS == 1) {
                values(p, s, v, item.chunk, tile, columns);
            } else {
                Fragments some;
                load(some, page.values + attention::value_tile(tile), KSTEPS);
                values(p, s, some, item.chunk, tile, columns);
            }
        }
        __syncthreads();
    }
}

} // namespace

extern "C" __global__ void __launch_bounds__(32 * WARPS, 2) attend_chunks(const __grid_constant__ attend_chunks_params p) {
    __shared__ __align__(16) Group s;
    const uint32_t count = *p.item_count;
    for (uint32_t i = blockIdx.x; i < count; i += gridDim.x) run<1>(p, s, p.items[i], blockIdx.y);
}
KERNEL(attend_chunks)

extern "C" __global__ void __launch_bounds__(32 * WARPS, 1) attend_chunks_wide(const __grid_constant__ attend_chunks_params p) {
    __shared__ __align__(16) Group s;
    const uint32_t count = *p.item_count;
    for (uint32_t i = blockIdx.x; i < count; i += gridDim.x) run<2>(p, s, p.items[i], blockIdx.y);
}
KERNEL(attend_chunks_wide)
