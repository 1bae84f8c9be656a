// Between the qkv product and attention, per (row, head) (NUMERICS 5 and 6):
//   queries: RMSNorm, RoPE, times scale, L -> query columns of abi.h;
//   keys:    RMSNorm, RoPE, R -> the row's page;
//   values:  R -> the row's page.
//
// One warp a (row, head), but one for the values of four neighbouring rows that are four positions of a sequence from a multiple of
// 4 on: their bytes fill words together, which are stored two at a time. Lane l with channels 128 b + 4 l.. of block b: the mapping of exact.cuh, so S128 over the padded head
// is P[j] by ascending blocks and the tree. Grid: x covers rows * (heads + 2 kv_heads) warps, 8 a CTA.
// At launch: head_dim a multiple of 16, at most 256; rotary rows for every position; the page table names a page for each row's
// position, and no other row of the launch has the same (page, position % 128). Bytes of other positions in shared words are
// left alone: every store is of bytes of rows of the launch.
// A head that cannot be normed or quantized is stored as zeros. `rotated`, where given, is in the layout of qkv.
#include "attention.cuh"

#define WARPS 8

namespace {

struct Head {
    float x[2][4]; // channels 128 b + 4 lane + i; +0 beyond head_dim
};

__device__ __forceinline__ Head load(const float *x, uint32_t head_dim) {
    Head h = {};
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
        const uint32_t i = BLOCK * b + 4u * (threadIdx.x & 31u);
        if (i >= head_dim) continue;
        const float4 v = *reinterpret_cast<const float4 *>(x + i);
        h.x[b][0] = v.x, h.x[b][1] = v.y, h.x[b][2] = v.z, h.x[b][3] = v.w;
    }
    return h;
}

__device__ __forceinline__ void store(float *x, uint32_t head_dim, const Head &h) {
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
        const uint32_t i = BLOCK * b + 4u * (threadIdx.x & 31u);
        if (i < head_dim) *reinterpret_cast<float4 *>(x + i) = make_float4(h.x[b][0], h.x[b][1], h.x[b][2], h.x[b][3]);
    }
}

// RMSNorm of the head; false, and zeros, where the sum of squares is not finite.
__device__ __forceinline__ bool norm(Head &h, const float *weight, uint32_t head_dim, float eps) {
    float partial[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int b = 0; b < 2; b++)
#pragma unroll
        for (int i = 0; i < 4; i++) partial[i] = fmaf(h.x[b][i], h.x[b][i], partial[i]);
    const float sum = exact::warp_s128(partial);
    const bool ok = exact::is_finite(sum);
    const float r = 1.0f / sqrtf(sum / (float)head_dim + eps);
    const Head w = load(weight, head_dim);
#pragma unroll
    for (int b = 0; b < 2; b++)
#pragma unroll
        for (int i = 0; i < 4; i++) h.x[b][i] = ok ? (h.x[b][i] * r) * w.x[b][i] : 0.0f;
    return ok;
}

// Pairs (a, b) = (i, i + head_dim / 2). head_dim / 2 is a multiple of 8, so a lane's four channels lie in one half and their
// partners are four neighbours, fetched through `buffer`, the warp's own.
__device__ __forceinline__ void rotate(Head &h, float *buffer, const float *cos, const float *sin, uint32_t head_dim) {
    const uint32_t half = head_dim / 2u;
    store(buffer, head_dim, h);
    __syncwarp();
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
        const uint32_t i = BLOCK * b + 4u * (threadIdx.x & 31u);
        if (i >= head_dim) continue;
        const bool first = i < half;
        const uint32_t k = first ? i : i - half;
        const float4 other = *reinterpret_cast<const float4 *>(buffer + (first ? i + half : k));
        const float4 c = *reinterpret_cast<const float4 *>(cos + k), s = *reinterpret_cast<const float4 *>(sin + k);
        const float o[4] = {other.x, other.y, other.z, other.w}, cs[4] = {c.x, c.y, c.z, c.w}, sn[4] = {s.x, s.y, s.z, s.w};
#pragma unroll
        for (int e = 0; e < 4; e++) {
            const float x = h.x[b][e];
            h.x[b][e] = fmaf(x, cs[e], first ? -(o[e] * sn[e]) : o[e] * sn[e]);
        }
    }
}

// Bytes 4 lane.. of a block to the query column, 8 bytes a lane: lanes 4 apart trade a word as in exact::store_right.
__device__ __forceinline__ void store_query(uint8_t *column, uint32_t channels, const exact::Slices &s) {
    const uint32_t lane = threadIdx.x & 31u;
    const bool second = lane & 4u;
    const uint32_t other = __shfl_xor_sync(0xffffffffu, second ? s.lo : s.hi, 4);
    const uint2 v = second ? make_uint2(other, s.hi) : make_uint2(s.lo, other);
    if (4u * lane < channels)
        *reinterpret_cast<uint2 *>(column + (lane >> 3) * 64u + (lane & 3u) * 16u + (second ? 8u : 0u)) = v;
}

__device__ __forceinline__ void store_key(uint8_t *block, uint32_t channels, uint32_t ksteps, uint32_t at, const exact::Slices &s) {
    const uint32_t lane = threadIdx.x & 31u;
    if (4u * lane >= channels) return;
    uint8_t *to = block + (at >> 4) * ksteps * (2u * FRAGMENT_BYTES) + exact::weight_word(at & 15u, lane);
    *reinterpret_cast<uint32_t *>(to) = s.lo;
    *reinterpret_cast<uint32_t *>(to + FRAGMENT_BYTES) = s.hi;
}

// A value's channels are rows of operand A: each is a byte of its own word, which neighbouring positions share.
__device__ __forceinline__ void store_value(uint8_t *values, uint32_t channel, uint32_t at, const exact::Slices &s) {
    const uint32_t k = at & 31u;
    uint8_t *to = values + attention::value_tile(channel >> 4) + (at >> 5) * (2u * FRAGMENT_BYTES) + 8u * (k >> 4) + (k & 3u);
    to += 4u * ((channel >> 3) & 1u) + 16u * ((k & 15u) >> 2);
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) {
        uint8_t *byte = to + 64u * ((channel + i) & 7u);
        byte[0] = (uint8_t)(s.lo >> (8u * i));
        byte[FRAGMENT_BYTES] = (uint8_t)(s.hi >> (8u * i));
    }
}

// Whether a row is one of four as above; `first` is the first of them.
__device__ __forceinline__ bool is_of_four(const cache_view &c, uint32_t rows, uint32_t row, uint32_t position, uint32_t &first) {
    const uint32_t before = position & 3u;
    first = row - before;
    if (row < before || first + 3u >= rows) return false;
    bool together = true;
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) together &= c.position[first + i] == position - before + i && c.sequence[first + i] == c.sequence[row];
    return together;
}

// Words w[i] hold bytes c of position i; on return w[c] holds bytes i of channel c.
__device__ __forceinline__ void transpose(uint32_t (&w)[4]) {
    const uint32_t a = __byte_perm(w[0], w[1], 0x5140), b = __byte_perm(w[2], w[3], 0x5140);
    const uint32_t c = __byte_perm(w[0], w[1], 0x7362), d = __byte_perm(w[2], w[3], 0x7362);
    w[0] = __byte_perm(a, b, 0x5410);
    w[1] = __byte_perm(a, b, 0x7632);
    w[2] = __byte_perm(c, d, 0x5410);
    w[3] = __byte_perm(c, d, 0x7632);
}

// The values of rows row .. row + 3 at positions at .. at + 3 of a page. Channels 8 apart lie in neighbouring words: the lanes that have
// them trade one, and the lower stores both low slices, the upper both high ones.
__device__ __forceinline__ void store_four_values(const rotate_store_params &p, const attention::PageHead &to, uint32_t row, uint64_t offset,
                                                  uint32_t at) {
    const uint32_t lane = threadIdx.x & 31u, d = p.cache.head_dim, k = at & 31u;
    const bool second = lane & 2u;
    Head h[4];
#pragma unroll
    for (uint32_t i = 0; i < 4; i++) h[i] = load(p.qkv + offset + (uint64_t)i * p.ld, d);
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
        if (b >= attention::blocks_of(d)) break;
        uint32_t lo[4], hi[4], g = 0;
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            const exact::Slices s = exact::quantize_right(h[i].x[b]);
            lo[i] = s.lo;
            hi[i] = s.hi;
            g |= (uint32_t)(uint8_t)s.g << (8u * i);
            if (s.fault && lane == 0) exact::record_fault(p.fault + row + i, p.cache.layer, STAGE_KEY_VALUE, FAULT_QUANTIZER);
        }
        if (lane == 0) *reinterpret_cast<uint32_t *>(to.value_g + b * PAGE + at) = g;
        transpose(lo);
        transpose(hi);
        const uint32_t channel = BLOCK * b + 4u * lane;
        uint8_t *word = to.values + attention::value_tile(channel >> 4) + (at >> 5) * (2u * FRAGMENT_BYTES) + 8u * (k >> 4) + 16u * ((k & 15u) >> 2);
        if (second) word += FRAGMENT_BYTES;
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t other = __shfl_xor_sync(0xffffffffu, second ? lo[i] : hi[i], 2);
            if (channel < d) *reinterpret_cast<uint2 *>(word + 64u * ((channel + i) & 7u)) = second ? make_uint2(other, hi[i]) : make_uint2(lo[i], other);
        }
    }
}

} // namespace

extern "C" __global__ void __launch_bounds__(32 * WARPS) rotate_store(const __grid_constant__ rotate_store_params p) {
    __shared__ __align__(16) float buffers[WARPS][MAX_HEAD_DIM];
    const cache_view &c = p.cache;
    const uint32_t lane = threadIdx.x & 31u, warp = threadIdx.x >> 5, d = c.head_dim, per_row = c.heads + 2u * c.kv_heads;
    const uint32_t task = blockIdx.x * WARPS + warp, row = task / per_row, head = task % per_row;
    const uint32_t rows = p.row_count ? min(*p.row_count, p.rows) : p.rows;
    if (row >= rows) return;
    const uint32_t position = c.position[row], at = position % PAGE;
    const uint64_t offset = (uint64_t)row * p.ld + head * d;
    const bool query = head < c.heads, value = head >= c.heads + c.kv_heads;
    Head h = load(p.qkv + offset, d);
    if (!value) {
        if (!norm(h, query ? p.q_norm : p.k_norm, d, p.eps) && lane == 0)
            exact::record_fault(p.fault + row, c.layer, STAGE_QK_NORM, FAULT_SUM_OF_SQUARES);
        rotate(h, buffers[warp], p.cos + (uint64_t)position * (d / 2u), p.sin + (uint64_t)position * (d / 2u), d);
    }
    if (p.rotated) store(p.rotated + offset, d, h);
    const uint32_t kv_head = value ? head - c.heads - c.kv_heads : head - c.heads; // of a key or value
    const uint32_t page = query ? 0u : c.page_table[(uint64_t)c.sequence[row] * c.max_pages + position / PAGE];
    const attention::PageHead to = attention::page_head(c, page, query ? 0u : kv_head);
    uint32_t first;
    if (value && is_of_four(c, rows, row, position, first)) {
        if (row == first) store_four_values(p, to, row, offset, at);
        return;
    }
    const uint32_t blocks = attention::blocks_of(d);
    const uint64_t column = (uint64_t)row * c.heads + head; // of a query
#pragma unroll
    for (uint32_t b = 0; b < 2; b++) {
        if (b >= blocks) break;
        const uint32_t ksteps = attention::ksteps_of(d, b), channels = 32u * ksteps;
        exact::Slices s;
        if (query) {
#pragma unroll
            for (int i = 0; i < 4; i++) h.x[b][i] = h.x[b][i] * p.scale;
            s = exact::quantize_left(h.x[b]);
            store_query(p.q + column * attention::query_bytes(d) + b * (2u * BLOCK), channels, s);
            if (lane == 0) p.q_g[column * blocks + b] = (int8_t)s.g;
        } else {
            s = exact::quantize_right(h.x[b]);
            if (!value) store_key(to.keys + attention::key_tile(d, b, 0), channels, ksteps, at, s);
            if (value && BLOCK * b + 4u * lane < d) store_value(to.values, BLOCK * b + 4u * lane, at, s);
            if (lane == 0) (value ? to.value_g : to.key_g)[b * PAGE + at] = (int8_t)s.g;
        }
        if (s.fault && lane == 0)
            exact::record_fault(p.fault + row, c.layer, query ? STAGE_QUERY : STAGE_KEY_VALUE, FAULT_QUANTIZER);
    }
}
KERNEL(rotate_store)
