// Attention of neighbouring rows of one sequence over all their keys (NUMERICS 6), chunks in ascending order with the combine in
// registers: nothing is stored that grows with rows x keys.
//
// Two kernels: attend_prefill for head_dim up to 128, attend_prefill_wide above (two blocks of channels).
// Grid: x = tiles, the last one first (it has the most chunks), y = kv head; 4 warps. A tile's columns are its rows times the query
// heads of the kv head, row by row, at most 64 (wide: 32); warp w owns the 16 (wide: 8) from 16 w on, alone from score to output, so
// that sums over keys stay in the warp. Lane (g, t) = (lane / 4, lane % 4) holds, of each tile of 8 columns,
//   queries   column g                 as operand B;
//   z, p, p'  columns 2t, 2t + 1       positions 16 i + g, 16 i + 8 + g, i < 8: S128's s = 64 to 8 join registers, s = 4, 2, 1 lanes;
//   u         column g                 as operand B, through the warp's own corner of shared memory;
//   o         columns 2t, 2t + 1       channels 16 i + g, 16 i + 8 + g.
// A chunk's keys are copied to shared memory while the chunk before is weighed, its values while its scores are made (cp.async);
// the copy is the page's own layout, which is operand A's.
// Output o / l: f32 (attention), or R (rows_q, head_dim 128 or 256, where a block of columns is of one head), or both.
// At launch: a tile's rows are of one sequence, at ascending positions, their columns at most 64 (wide: 32); head_dim a multiple of 16, at
// most 256; dynamic shared memory as attend_prefill.rs computes it. Keys and values beyond a row's position may hold any integers, and
// exponents that are R's of something, or 0.
// Faults: |n| > 2^20 -> ATTENTION; a p' that L does not take -> QUANTIZER, both at stage ATTENTION; an o / l that R does not take ->
// QUANTIZER at ATTENTION_OUTPUT, and zeros. A z is never NaN: it is one or two finite products.
#include "attention.cuh"

#define WARPS 4
#define THREADS (32 * WARPS)
#define CORNER_STRIDE (PAGE + 8) /* words: the 8 x 4 lanes of a tile store to 32 banks */

namespace {

constexpr uint32_t ALL = 0xffffffffu;

// Dynamic shared memory: keys and values of a chunk, exponents of two chunks, one corner a warp.
struct Places {
    uint8_t *keys, *values;
    int8_t *exponents; // [2][keys, values][blocks][PAGE]
    uint32_t *corner;  // [4 pairs of columns][CORNER_STRIDE], this warp's
};

// Shape of one kernel: blocks of channels and tiles of 8 columns a warp.
template <int BLOCKS, int TILES> struct Prefill {
    static constexpr int CHANNEL_TILES = 8 * BLOCKS;
    typedef float Scores[TILES][8][4];

    // What the lane's columns 2t, 2t + 1 of each tile are at.
    struct Columns {
        int position[TILES][2]; // -1: no such column
        float n[TILES][2], l[TILES][2];
        int query_g[TILES][2][BLOCKS];
    };

    const attend_prefill_params &p;
    const Places &places;
    const uint32_t kv_head, lane, g, t, per_kv, total; // total: columns of the tile
    const attend_tile tile;
    uint32_t first; // column of the warp
    uint4 q[TILES][4 * BLOCKS];
    float o[TILES][CHANNEL_TILES][4];
    Columns columns;

    __device__ __forceinline__ Prefill(const attend_prefill_params &params, const Places &shared, attend_tile rows, uint32_t head)
        : p(params), places(shared), kv_head(head), lane(threadIdx.x & 31u), g(lane >> 2), t(lane & 3u),
          per_kv(params.cache.heads / params.cache.kv_heads), total(rows.count * per_kv), tile(rows) {
        first = (threadIdx.x >> 5) * (8u * TILES);
    }

    __device__ __forceinline__ uint32_t row_of(uint32_t column) const { return tile.first + column / per_kv; }

    __device__ __forceinline__ uint32_t head_of(uint32_t column) const { return kv_head * per_kv + column % per_kv; }

    __device__ __forceinline__ uint64_t place_of(uint32_t column) const {
        return (uint64_t)row_of(column) * p.cache.heads + head_of(column);
    }

    // Queries, fetched again for every chunk: there are no registers to keep them in.
    __device__ __forceinline__ void load_queries() {
        const uint32_t d = p.cache.head_dim, ksteps = attention::padded(d) / 32u;
#pragma unroll
        for (uint32_t c = 0; c < TILES; c++) {
            const uint8_t *from = p.q + place_of(min(first + 8u * c + g, total - 1u)) * attention::query_bytes(d) + 16u * t;
#pragma unroll
            for (uint32_t k = 0; k < 4 * BLOCKS; k++)
                q[c][k] = k < ksteps ? __ldg(reinterpret_cast<const uint4 *>(from + 64u * k)) : make_uint4(0, 0, 0, 0);
        }
    }

    // Positions and exponents; o and n, l at nothing (l at 1, so that a column that only met faults divides).
    __device__ __forceinline__ void begin() {
        const uint32_t blocks = attention::blocks_of(p.cache.head_dim);
#pragma unroll
        for (uint32_t c = 0; c < TILES; c++) {
#pragma unroll
            for (uint32_t i = 0; i < 2; i++) {
                const uint32_t column = first + 8u * c + 2u * t + i, known = min(column, total - 1u);
                columns.position[c][i] = column < total ? (int)p.cache.position[row_of(column)] : -1;
                columns.n[c][i] = 0.0f;
                columns.l[c][i] = 1.0f;
#pragma unroll
                for (uint32_t b = 0; b < BLOCKS; b++) columns.query_g[c][i][b] = p.q_g[place_of(known) * blocks + b];
            }
#pragma unroll
            for (int i = 0; i < CHANNEL_TILES; i++) o[c][i][0] = o[c][i][1] = o[c][i][2] = o[c][i][3] = 0.0f;
        }
    }

    // z of the chunk in `places`, blocks of channels ascending.
    __device__ __forceinline__ void scores(Scores &z, const int8_t *key_g) {
        const uint32_t d = p.cache.head_dim;
#pragma unroll
        for (uint32_t i = 0; i < 8; i++) {
#pragma unroll
            for (uint32_t b = 0; b < BLOCKS; b++) {
                const uint4 *keys = reinterpret_cast<const uint4 *>(places.keys + attention::key_tile(d, b, i)) + lane;
                const uint32_t ksteps = attention::ksteps_of(d, b);
                attention::Products dots[TILES];
#pragma unroll
                for (int c = 0; c < TILES; c++) attention::clear(dots[c]);
#pragma unroll
                for (uint32_t k = 0; k < 4; k++) {
                    if (k >= ksteps) break;
                    const uint4 lo = keys[64u * k], hi = keys[64u * k + 32u];
#pragma unroll
                    for (int c = 0; c < TILES; c++) attention::multiply(dots[c], lo, hi, q[c][4 * b + k]);
                }
                const int g0 = key_g[b * PAGE + 16u * i + g], g1 = key_g[b * PAGE + 16u * i + 8u + g];
#pragma unroll
                for (int c = 0; c < TILES; c++)
#pragma unroll
                    for (int e = 0; e < 4; e++) {
                        const float scale = exact::pow2(columns.query_g[c][e & 1][b] + (e < 2 ? g0 : g1));
                        z[c][i][e] = fmaf(attention::dot(dots[c], e), scale, b == 0 ? 0.0f : z[c][i][e]);
                    }
            }
        }
    }

    // -inf for keys that a column does not see, `start` the chunk's first position.
    __device__ __forceinline__ void mask(Scores &z, int start) const {
#pragma unroll
        for (int c = 0; c < TILES; c++)
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int e = 0; e < 4; e++)
                    if (start + 16 * i + (int)g + 8 * (e >> 1) > columns.position[c][e & 1]) z[c][i][e] = __uint_as_float(0xff800000u);
    }

    __device__ __forceinline__ void fault(uint32_t c, uint32_t i, uint32_t stage, uint32_t kind) const {
        exact::record_fault(p.fault + row_of(first + 8u * c + 2u * t + i), p.cache.layer, stage, kind);
    }

    // Maximum over a column's lanes.
    static __device__ __forceinline__ uint32_t over_lanes_max(uint32_t v) {
        v = max(v, __shfl_xor_sync(ALL, v, 16));
        v = max(v, __shfl_xor_sync(ALL, v, 8));
        return max(v, __shfl_xor_sync(ALL, v, 4));
    }

    static __device__ __forceinline__ uint32_t over_lanes_sum(uint32_t v) {
        v += __shfl_xor_sync(ALL, v, 16);
        v += __shfl_xor_sync(ALL, v, 8);
        return v + __shfl_xor_sync(ALL, v, 4);
    }

    // One column of a tile: p in the place of z, n and l of the chunk. False, and p = 0, where the column sees nothing or has a fault.
    __device__ __forceinline__ bool soften(Scores &z, int c, int i, bool seen, float &n, float &l) const {
        float m = fmaxf(z[c][0][i], z[c][0][i + 2]);
#pragma unroll
        for (int k = 1; k < 8; k++) m = fmaxf(m, fmaxf(z[c][k][i], z[c][k][i + 2]));
        m = fmaxf(m, __shfl_xor_sync(ALL, m, 16));
        m = fmaxf(m, __shfl_xor_sync(ALL, m, 8));
        m = fmaxf(m, __shfl_xor_sync(ALL, m, 4));
        n = ceilf(m);
        const bool use = seen && fabsf(n) <= attention::N_MAX;
        if (seen && !use && g == 0) fault(c, i, STAGE_ATTENTION, FAULT_ATTENTION);
        if (!use) n = __uint_as_float(0x7f800000u);
        float s[2][4]; // S128 from s = 64 on: s[half][position tile mod 4]
#pragma unroll
        for (int k = 0; k < 8; k++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float x = attention::exp2_below(z[c][k][i + 2 * half] - n);
                z[c][k][i + 2 * half] = x;
                s[half][k & 3] = k < 4 ? x : s[half][k & 3] + x;
            }
#pragma unroll
        for (int half = 0; half < 2; half++) s[half][0] = (s[half][0] + s[half][2]) + (s[half][1] + s[half][3]); // s = 32, 16
        l = s[0][0] + s[1][0];                                                                                 // s = 8
        l = l + __shfl_xor_sync(ALL, l, 16);
        l = l + __shfl_xor_sync(ALL, l, 8);
        l = l + __shfl_xor_sync(ALL, l, 4);
        return use;
    }

    // Width b of L for a column, given S_15 (not clamped: a clamped |q| is beyond LEFT_MAX anyway) and whether max |q| fits; `open` where
    // b may still be one too wide. The bounds are those of exact::narrow_left.
    static __device__ __forceinline__ int width(uint32_t sum15, bool fits, bool &open) {
        open = false;
        if (sum15 <= (uint32_t)LEFT_SUM && fits) return 15;
        int b = 14;
#pragma unroll
        for (int s = 1; s <= 4; s++) b -= sum15 > ((uint32_t)(LEFT_SUM + 128) << s) + 128u;
        const int s = 15 - b;
        open = b > 10 && sum15 + (64u << s) + 128u > (uint32_t)LEFT_SUM << s;
        return b;
    }

    // L of the p' of one tile's two columns: u as operand B, and 2^(g - 14) of each column. p' = x * scale of its position.
    __device__ __forceinline__ void quantize(const float (&x)[8][4], const int8_t *value_g, int c, uint4 (&u)[4], float (&scale)[2]) const {
        float w[8][4];
        uint32_t greatest[2] = {0, 0};
#pragma unroll
        for (int k = 0; k < 8; k++)
#pragma unroll
            for (int e = 0; e < 4; e++) {
                w[k][e] = x[k][e] * exact::pow2(value_g[16 * k + 8 * (e >> 1) + (int)g] + RIGHT_BITS);
                greatest[e & 1] = max(greatest[e & 1], __float_as_uint(w[k][e]));
            }
        int exponent[2], b[2];
        bool open[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const uint32_t m = over_lanes_max(greatest[i]);
            if (exact::is_fault(m) && g == 0) fault(c, i, STAGE_ATTENTION, FAULT_QUANTIZER);
            exponent[i] = exact::block_exponent(m);
            const float to15 = exact::pow2(15 - exponent[i]);
            uint32_t sum = 0;
#pragma unroll
            for (int k = 0; k < 8; k++)
                sum += __float_as_uint(fmaf(w[k][i], to15, exact::MAGIC)) + __float_as_uint(fmaf(w[k][i + 2], to15, exact::MAGIC));
            sum = over_lanes_sum(sum - 16u * exact::MAGIC_BITS);
            b[i] = width(sum, exact::round_scaled(__uint_as_float(m), to15, 32767) <= LEFT_MAX, open[i]);
        }
        if (__any_sync(ALL, open[0] || open[1])) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                const float to = exact::pow2(b[i] - exponent[i]), most = exact::MAGIC + (float)((1 << b[i]) - 1);
                uint32_t sum = 0;
#pragma unroll
                for (int k = 0; k < 8; k++)
                    sum += __float_as_uint(fminf(fmaf(w[k][i], to, exact::MAGIC), most)) + __float_as_uint(fminf(fmaf(w[k][i + 2], to, exact::MAGIC), most));
                if (over_lanes_sum(sum - 16u * exact::MAGIC_BITS) > (uint32_t)LEFT_SUM && open[i]) b[i]--;
            }
        }
        float to[2], limit[2];
#pragma unroll
        for (int i = 0; i < 2; i++) {
            to[i] = exact::pow2(b[i] - exponent[i]);
            limit[i] = (exact::MAGIC + 128.0f) + (float)((1 << b[i]) - 1);
            scale[i] = exact::pow2(exponent[i] - b[i] - RIGHT_BITS);
        }
        slice(w, to, limit, u);
    }

    // RNE(x * to[column]), at most limit - (MAGIC + 128), to slices of operand B: lane (g, t) gets column g, elements 32 k + 16 b + 4t.. of it.
    // With 128 in the sum, bits 8-15 are the high slice, and bits 0-7 the low one with its top bit turned.
    __device__ __forceinline__ void slice(const float (&x)[8][4], const float (&to)[2], const float (&limit)[2], uint4 (&out)[4]) const {
#pragma unroll
        for (int k = 0; k < 8; k++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const float a = fminf(fmaf(x[k][2 * half], to[0], exact::MAGIC + 128.0f), limit[0]);
                const float b = fminf(fmaf(x[k][2 * half + 1], to[1], exact::MAGIC + 128.0f), limit[1]);
                const uint32_t both = __byte_perm(__float_as_uint(a), __float_as_uint(b), 0x5410) ^ 0x00800080u;
                places.corner[t * CORNER_STRIDE + 16 * k + 8 * half + g] = both;
            }
        __syncwarp();
        const uint4 *from = reinterpret_cast<const uint4 *>(places.corner + (g >> 1) * CORNER_STRIDE + 4u * t);
        const uint32_t mine = g & 1u ? 0x7632u : 0x5410u;
#pragma unroll
        for (int k = 0; k < 4; k++) {
            uint32_t lo[2], hi[2];
#pragma unroll
            for (int b = 0; b < 2; b++) {
                const uint4 v = from[8 * k + 4 * b];
                const uint32_t xy = __byte_perm(v.x, v.y, mine), zw = __byte_perm(v.z, v.w, mine);
                lo[b] = __byte_perm(xy, zw, 0x6420);
                hi[b] = __byte_perm(xy, zw, 0x7531);
            }
            out[k] = make_uint4(lo[0], lo[1], hi[0], hi[1]);
        }
        __syncwarp();
    }

    // Adds the chunk's weighted values of one block of channels to o.
    __device__ __forceinline__ void add(const uint4 (&u)[TILES][4], uint32_t block, const float (&scale)[TILES][2], const float (&a)[TILES][2],
                                        const float (&b)[TILES][2], const bool (&use)[TILES][2]) {
#pragma unroll
        for (uint32_t i = 0; i < 8; i++) {
            if (8u * block + i >= p.cache.head_dim / 16u) break;
            const uint4 *values = reinterpret_cast<const uint4 *>(places.values + attention::value_tile(8u * block + i)) + lane;
            attention::Products sums[TILES];
#pragma unroll
            for (int c = 0; c < TILES; c++) attention::clear(sums[c]);
#pragma unroll
            for (uint32_t k = 0; k < 4; k++) {
                const uint4 lo = values[64u * k], hi = values[64u * k + 32u];
#pragma unroll
                for (int c = 0; c < TILES; c++) attention::multiply(sums[c], lo, hi, u[c][k]);
            }
#pragma unroll
            for (int c = 0; c < TILES; c++)
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float &to = o[c][8 * block + i][e];
                    const float chunk = attention::dot(sums[c], e) * scale[c][e & 1];
                    if (use[c][e & 1]) to = fmaf(chunk, b[c][e & 1], to * a[c][e & 1]);
                }
        }
    }

    // Moves n and l of a column and gives the factors of o: A of what there was, B of the chunk. The first chunk, which every column
    // sees, meets o = +0, to which its sums, never -0, are added exactly.
    __device__ __forceinline__ void move(int c, int i, bool initial, bool use, float n, float l, float &a, float &b) {
        a = 1.0f, b = 0.0f;
        if (!use) return;
        const float next = initial ? n : fmaxf(columns.n[c][i], n);
        a = initial ? 0.0f : attention::decay(columns.n[c][i] - next);
        b = attention::decay(n - next);
        columns.l[c][i] = fmaf(l, b, columns.l[c][i] * a);
        columns.n[c][i] = next;
    }

    // o / l of all columns to `attention` and `rows_q`.
    __device__ __forceinline__ void finish() {
        const uint32_t d = p.cache.head_dim;
#pragma unroll
        for (uint32_t c = 0; c < TILES; c++) {
#pragma unroll
            for (int i = 0; i < CHANNEL_TILES; i++)
#pragma unroll
                for (int e = 0; e < 4; e++) o[c][i][e] = o[c][i][e] / columns.l[c][e & 1];
#pragma unroll
            for (uint32_t i = 0; i < 2; i++) {
                if (!p.attention || columns.position[c][i] < 0) continue;
                float *to = p.attention + place_of(first + 8u * c + 2u * t + i) * d + g;
#pragma unroll
                for (uint32_t k = 0; k < CHANNEL_TILES; k++)
                    if (k < d / 16u) to[16u * k] = o[c][k][i], to[16u * k + 8u] = o[c][k][i + 2];
            }
            if (!p.rows_q) continue;
#pragma unroll
            for (uint32_t b = 0; b < BLOCKS; b++) emit(c, b);
        }
    }

    // R of one block of channels of a tile's columns.
    __device__ __forceinline__ void emit(uint32_t c, uint32_t block) {
        const uint32_t blocks = p.cache.heads * BLOCKS;
        float x[8][4], to[2], limit[2];
#pragma unroll
        for (uint32_t i = 0; i < 2; i++) {
            uint32_t m = 0;
#pragma unroll
            for (uint32_t k = 0; k < 8; k++)
                m = max(m, max(__float_as_uint(o[c][8u * block + k][i]) & 0x7fffffffu, __float_as_uint(o[c][8u * block + k][i + 2u]) & 0x7fffffffu));
            m = over_lanes_max(m);
            const bool bad = exact::is_fault(m), there = columns.position[c][i] >= 0;
            const int e = exact::block_exponent(bad ? 0u : m);
            to[i] = exact::pow2(RIGHT_BITS - e);
            limit[i] = (exact::MAGIC + 128.0f) + (float)RIGHT_MAX;
#pragma unroll
            for (uint32_t k = 0; k < 8; k++) {
                // fminf in slice() bounds from above; below, RNE(x * 2^(14-E)) is -16384 where it is beyond -16383.5.
                x[k][i] = bad ? 0.0f : fmaxf(o[c][8u * block + k][i], -exact::pow2(e - RIGHT_BITS) * (float)RIGHT_MAX);
                x[k][i + 2u] = bad ? 0.0f : fmaxf(o[c][8u * block + k][i + 2u], -exact::pow2(e - RIGHT_BITS) * (float)RIGHT_MAX);
            }
            if (!there || g != 0) continue;
            const uint32_t column = first + 8u * c + 2u * t + i, row = row_of(column);
            p.rows_g[((uint64_t)(row / TILE_TOKENS) * blocks + head_of(column) * BLOCKS + block) * TILE_TOKENS + row % TILE_TOKENS] =
                (int8_t)(e - RIGHT_BITS);
            if (bad) fault(c, i, STAGE_ATTENTION_OUTPUT, FAULT_QUANTIZER);
        }
        uint4 out[4];
        slice(x, to, limit, out);
        const uint32_t column = first + 8u * c + g;
        if (column >= total) return;
        const uint32_t row = row_of(column);
        uint8_t *at = p.rows_q + ((uint64_t)(row / TILE_TOKENS) * blocks + head_of(column) * BLOCKS + block) * ROWS_TILE_BYTES;
#pragma unroll
        for (uint32_t k = 0; k < 4; k++)
            *reinterpret_cast<uint4 *>(at + k * ROWS_KSTEP_BYTES + (4u * (row % TILE_TOKENS) + t) * 16u) = out[k];
    }
};

// Starts copying `bytes` (a multiple of 16) from a page.
__device__ __forceinline__ void copy(void *to, const void *from, uint32_t bytes) {
    for (uint32_t i = 16u * threadIdx.x; i < bytes; i += 16u * THREADS)
        cp_async16(static_cast<uint8_t *>(to) + i, static_cast<const uint8_t *>(from) + i);
}

template <int BLOCKS, int TILES> __device__ __forceinline__ void run(const attend_prefill_params &p, uint8_t *shared) {
    const attend_tile tile = p.tiles[gridDim.x - 1u - blockIdx.x];
    const uint32_t d = p.cache.head_dim, integers = 2u * PAGE * attention::padded(d), exponents = 2u * BLOCKS * PAGE;
    Places places;
    places.keys = shared;
    places.values = shared + integers;
    places.exponents = reinterpret_cast<int8_t *>(shared + 2u * integers);
    places.corner = reinterpret_cast<uint32_t *>(shared + 2u * integers + 2u * exponents) + (threadIdx.x >> 5) * (4u * CORNER_STRIDE);
    Prefill<BLOCKS, TILES> work(p, places, tile, blockIdx.y);
    const uint32_t *pages = p.cache.page_table + (uint64_t)p.cache.sequence[tile.first] * p.cache.max_pages;
    const uint32_t last = p.cache.position[tile.first + tile.count - 1u] / PAGE;
    auto fetch_keys = [&](uint32_t chunk) {
        const attention::PageHead page = attention::page_head(p.cache, pages[chunk], blockIdx.y);
        copy(places.keys, page.keys, integers);
        copy(places.exponents + (chunk & 1u) * exponents, page.key_g, exponents);
        cp_async_commit();
    };
    auto fetch_values = [&](uint32_t chunk) {
        copy(places.values, attention::page_head(p.cache, pages[chunk], blockIdx.y).values, integers);
        cp_async_commit();
    };
    fetch_keys(0);
    fetch_values(0);
    work.begin();
    // The warp's first column sees the least. A warp without columns, or in a chunk that none of them sees, goes along: branches
    // around its work would cost registers that there are not.
    const int least = work.first < work.total ? (int)p.cache.position[work.row_of(work.first)] : -1;
    for (uint32_t chunk = 0; chunk <= last; chunk++) {
        const int start = (int)(chunk * PAGE);
        const int8_t *key_g = places.exponents + (chunk & 1u) * exponents, *value_g = key_g + BLOCKS * PAGE;
        float a[TILES][2], b[TILES][2], scale[TILES][2];
        bool use[TILES][2];
        typename Prefill<BLOCKS, TILES>::Scores z;
        uint4 u[TILES][4];
        work.load_queries();
        cp_async_wait<1>(); // this chunk's keys; its values may be on their way
        __syncthreads();
        work.scores(z, key_g);
        __syncthreads();
        if (chunk < last)
            fetch_keys(chunk + 1u);
        else
            cp_async_commit(); // an empty group keeps the count
        if (start + PAGE - 1 > least) work.mask(z, start);
#pragma unroll
        for (int c = 0; c < TILES; c++) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                float n, l;
                use[c][i] = work.soften(z, c, i, start <= work.columns.position[c][i], n, l);
                work.move(c, i, chunk == 0, use[c][i], n, l, a[c][i], b[c][i]);
            }
            work.quantize(z[c], value_g, c, u[c], scale[c]);
        }
        cp_async_wait<1>(); // this chunk's values
        __syncthreads();
        work.add(u, 0, scale, a, b, use);
#pragma unroll
        for (int block = 1; block < BLOCKS; block++) {
#pragma unroll
            for (int c = 0; c < TILES; c++) work.quantize(z[c], value_g + block * PAGE, c, u[c], scale[c]);
            work.add(u, block, scale, a, b, use);
        }
        __syncthreads();
        if (chunk < last)
            fetch_values(chunk + 1u);
        else
            cp_async_commit();
    }
    cp_async_wait<0>();
    work.finish();
}

} // namespace

extern "C" __global__ void __launch_bounds__(THREADS, 2) attend_prefill(const __grid_constant__ attend_prefill_params p) {
    DYNAMIC_SHARED(uint8_t, shared);
    run<1, 2>(p, shared);
}
KERNEL(attend_prefill)

extern "C" __global__ void __launch_bounds__(THREADS) attend_prefill_wide(const __grid_constant__ attend_prefill_params p) {
    DYNAMIC_SHARED(uint8_t, shared);
    run<2, 1>(p, shared);
}
KERNEL(attend_prefill_wide)
