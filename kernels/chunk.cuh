// One chunk of a row's logits, read by a warp: the epilogue of head.cu and read_logits.cu (NUMERICS 9 and 11).
//
// Lane l holds the logits of ids 128 c + 4 l + 0..3; those beyond the vocabulary may be anything. Nothing here depends on who
// reads which chunk: sums and greatest scores are kept per chunk, and a list only drops what cannot be among the first top_k.
#pragma once
#include "reading.cuh"

namespace reading_of {

struct Place {
    uint32_t row, chunk, slice;
    bool fresh; // the slice's first chunk of this row
};

// Four values of a lane without a dynamic index.
__device__ __forceinline__ float pick(const float (&v)[4], uint32_t i) { return i == 0u ? v[0] : i == 1u ? v[1] : i == 2u ? v[2] : v[3]; }

// Greatest key of the chunk with the raw logit and the y there.
__device__ __forceinline__ void store_best(const reading &p, size_t at, const uint64_t (&key)[4], const float (&x)[4], const float (&y)[4]) {
    const uint64_t mine = greater(greater(key[0], key[1]), greater(key[2], key[3]));
    if (warp_greatest(mine) != mine) return;
    const uint32_t i = id_of(mine) & 3u;
    p.best_key[at] = mine;
    p.best_raw[at] = pick(x, i);
    p.best_y[at] = pick(y, i);
}

// How many of a warp's keys reach `floor`.
__device__ __forceinline__ uint32_t reaching(const uint64_t (&a)[4], const uint64_t (&b)[4], uint64_t floor) {
    uint32_t count = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) count += (a[i] >= floor ? 1u : 0u) + (b[i] >= floor ? 1u : 0u);
    return warp_sum(count);
}

// A floor that between k and `most` of the keys (0: none) reach; more than `most` do now. Keys differ, so halving ends at exactly k.
__device__ __forceinline__ uint64_t raised_floor(const uint64_t (&a)[4], const uint64_t (&b)[4], uint32_t k, uint32_t most) {
    uint32_t least_high = 0xffffffffu, greatest_high = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (a[i] != 0) least_high = min(least_high, (uint32_t)(a[i] >> 32));
        if (b[i] != 0) least_high = min(least_high, (uint32_t)(b[i] >> 32));
        greatest_high = max(greatest_high, max((uint32_t)(a[i] >> 32), (uint32_t)(b[i] >> 32)));
    }
    uint64_t low = (uint64_t)~warp_max(~least_high) << 32;
    uint64_t high = ((uint64_t)warp_max(greatest_high) << 32) + 0x100000000ull; // 0 stands for 2^64
    while (high - low > 1) {
        const uint64_t middle = low + (high - low) / 2;
        const uint32_t count = reaching(a, b, middle);
        if (count < k) high = middle;
        else low = middle;
        if (count >= k && count <= most) break;
    }
    return low;
}

// Writes a warp's keys that reach `floor` behind the `count` entries there are; returns how many there are then. At most LIST.
__device__ __forceinline__ uint32_t append_entries(uint64_t *keys, float *raws, uint32_t count, const uint64_t (&key)[4], const float (&raw)[4],
                                                   uint64_t floor) {
    const uint32_t below = (1u << (threadIdx.x & 31u)) - 1u;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const bool in = key[i] != 0 && key[i] >= floor;
        const uint32_t lanes = __ballot_sync(ALL_LANES, in);
        if (in) {
            const uint32_t at = count + (uint32_t)__popc(lanes & below);
            keys[at] = key[i];
            raws[at] = raw[i];
        }
        count += (uint32_t)__popc(lanes);
    }
    return count;
}

// Adds a chunk's keys to the list of its slice. The first k ids of the slice's chunks so far, by rank, are in it.
__device__ __forceinline__ void extend_list(const reading &p, const Place &at, uint32_t k, const uint64_t (&key)[4], const float (&raw)[4]) {
    const uint32_t lane = threadIdx.x & 31u;
    const size_t list = (size_t)at.row * p.slices + at.slice;
    uint64_t *keys = p.list_key + list * LIST;
    float *raws = p.list_raw + list * LIST;
    uint32_t count = at.fresh ? 0u : p.list_count[list];
    uint64_t floor = at.fresh ? 0 : p.list_floor[list];
    uint64_t found[4];
    uint32_t mine = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        found[i] = key[i] >= floor ? key[i] : 0;
        mine += found[i] != 0 ? 1u : 0u;
    }
    if (count + warp_sum(mine) > LIST) {
        uint64_t old[4];
        float old_raw[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const uint32_t e = lane + 32u * i;
            old[i] = e < count ? keys[e] : 0;
            old_raw[i] = e < count ? raws[e] : 0.0f;
        }
        floor = raised_floor(old, found, k, (LIST + k) / 2u);
        __syncwarp(); // every lane has read what is written now
        count = append_entries(keys, raws, 0u, old, old_raw, floor);
    }
    count = append_entries(keys, raws, count, found, raw, floor);
    __syncwarp(); // another lane reads the entry in the slice's next chunk
    if (lane == 0u) {
        p.list_count[list] = count;
        p.list_floor[list] = floor;
    }
    __syncwarp();
}

// The penalized logits of a lane's ids, -inf beyond the vocabulary.
__device__ __forceinline__ void process(const reading &p, const sampling &s, const Place &at, const question &asked, const float (&x)[4],
                                        float (&logit)[4]) {
    const uint32_t id = at.chunk * CHUNK + 4u * (threadIdx.x & 31u);
#pragma unroll
    for (int i = 0; i < 4; i++) logit[i] = id + i < p.vocabulary ? x[i] : minus_infinity();
    if (s.penalty == 1.0f) return;
    const uint4 first = *reinterpret_cast<const uint4 *>(p.context + (size_t)asked.slot * p.context_stride + id);
    const uint32_t firsts[4] = {first.x, first.y, first.z, first.w};
#pragma unroll
    for (int i = 0; i < 4; i++)
        if (id + i < p.vocabulary && firsts[i] < asked.position) logit[i] = penalized(logit[i], s.penalty);
}

// n_c, and l_c where it is wanted, of one scale.
__device__ __forceinline__ bool store_sums(float *n_out, float *l_out, size_t at, const float (&y)[4], bool sum) {
    float n;
    const bool good = chunk_ceiling(y, n);
    const float l = sum ? chunk_sum(y, n) : 0.0f;
    if ((threadIdx.x & 31u) == 0u) {
        n_out[at] = n;
        if (sum) l_out[at] = l;
    }
    return good;
}

// The greatest score of the chunk for every question of the row.
__device__ __forceinline__ void score_chunk(const reading &p, const Place &at, uint32_t first, uint32_t end, const float (&x)[4], const float (&y)[4]) {
    const uint32_t id = at.chunk * CHUNK + 4u * (threadIdx.x & 31u);
    for (uint32_t q = first; q < end; q++) {
        const question &asked = p.questions[q];
        const uint32_t seed[4] = {asked.seed[0], asked.seed[1], asked.seed[2], asked.seed[3]};
        const uint4 words = random_words(seed, asked.position, id >> 2);
        const uint32_t word[4] = {words.x, words.y, words.z, words.w};
        uint64_t key[4];
#pragma unroll
        for (int i = 0; i < 4; i++) key[i] = id + i < p.vocabulary ? key_of(score(y[i], word[i]), id + i) : 0;
        store_best(p, (size_t)q * p.chunks + at.chunk, key, x, y);
    }
}

// The claimed tokens that lie in the chunk.
__device__ __forceinline__ void store_claimed(const reading &p, const Place &at, uint32_t first, uint32_t end, const float (&x)[4], const float (&y)[4]) {
    const uint32_t lane = threadIdx.x & 31u;
    for (uint32_t q = first; q < end; q++) {
        const uint32_t claimed = p.questions[q].claimed;
        if (claimed / CHUNK != at.chunk || (claimed & (CHUNK - 1u)) >> 2 != lane) continue;
        p.claimed_raw[q] = pick(x, claimed & 3u);
        p.claimed_y[q] = pick(y, claimed & 3u);
    }
}

// Reads one chunk of one row; `x` are raw logits.
__device__ __forceinline__ void read_chunk(const reading &p, const sampling &s, const Place &at, const float (&x)[4]) {
    const uint32_t lane = threadIdx.x & 31u, id = at.chunk * CHUNK + 4u * lane;
    const size_t part = (size_t)at.row * p.chunks + at.chunk;
    if (s.mode == MODE_ROW || s.store_logits)
        *reinterpret_cast<float4 *>(p.logits + (size_t)at.row * p.logits_stride + id) = make_float4(x[0], x[1], x[2], x[3]);
    bool good = true;
    float y[4];
    if (s.logprobs) {
#pragma unroll
        for (int i = 0; i < 4; i++) y[i] = id + i < p.vocabulary ? x[i] * s.raw_scale : minus_infinity();
        good = store_sums(p.raw_n, p.raw_l, part, y, true);
    }
    const uint32_t first = p.first_question[at.row], end = p.first_question[at.row + 1u];
    float logit[4];
    process(p, s, at, p.questions[first], x, logit);
#pragma unroll
    for (int i = 0; i < 4; i++) y[i] = id + i < p.vocabulary ? logit[i] * s.scale : minus_infinity();
    if (s.mode != MODE_GREEDY) good = store_sums(p.n, p.l, part, y, s.mode == MODE_ALL && s.logprobs) && good;
    if (!good && lane == 0u) exact::record_fault(p.fault + at.row, p.layer, STAGE_LOGITS, FAULT_LOGITS);
    if (s.mode == MODE_ROW) return;
    if (s.mode == MODE_ALL) {
        score_chunk(p, at, first, end, x, y);
    } else {
        uint64_t key[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            // NaN is a fault where it is looked for; else it is never the greatest.
            const float greedy = logit[i] != logit[i] ? minus_infinity() : logit[i];
            key[i] = id + i < p.vocabulary ? key_of(s.mode == MODE_GREEDY ? greedy : y[i], id + i) : 0;
        }
        if (s.mode == MODE_GREEDY) store_best(p, part, key, x, y);
        else extend_list(p, at, min(s.top_k, p.vocabulary), key, x);
    }
    if (s.logprobs) store_claimed(p, at, first, end, x, y);
}

} // namespace reading_of
