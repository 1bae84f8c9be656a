// What a whole CTA does with one row: reductions, the sums over all chunks (NUMERICS 9) and the answer to a question.
#pragma once
#include "reading.cuh"

namespace reading_of {

constexpr uint32_t WARPS_MAX = 32;

// Shared memory of the reductions below; each leaves it free for the next.
struct Scratch {
    uint64_t wide[WARPS_MAX];
    float partial[CHUNK];
};

template <class F> __device__ __forceinline__ uint64_t cta_reduce(uint64_t v, Scratch &scratch, F join) {
    if ((threadIdx.x & 31u) == 0u) scratch.wide[threadIdx.x >> 5] = v;
    __syncthreads();
    uint64_t all = scratch.wide[0];
    for (uint32_t w = 1; w < blockDim.x / 32u; w++) all = join(all, scratch.wide[w]);
    __syncthreads();
    return all;
}

// Greatest key and sum (of 64 bits) over a CTA, in every thread.
__device__ __forceinline__ uint64_t cta_greatest(uint64_t key, Scratch &scratch) {
    return cta_reduce(warp_greatest(key), scratch, [](uint64_t a, uint64_t b) { return greater(a, b); });
}

__device__ __forceinline__ uint64_t cta_sum(uint64_t v, Scratch &scratch) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) v += __shfl_xor_sync(ALL_LANES, v, d);
    return cta_reduce(v, scratch, [](uint64_t a, uint64_t b) { return a + b; });
}

// N of all chunks.
__device__ __forceinline__ float row_ceiling(const float *n, uint32_t chunks, Scratch &scratch) {
    uint32_t greatest = 0;
    for (uint32_t c = threadIdx.x; c < chunks; c += blockDim.x) greatest = max(greatest, ordered(n[c]));
    return from_ordered((uint32_t)cta_greatest(greatest, scratch));
}

// l of all chunks.
__device__ __forceinline__ float row_sum(const float *n, const float *l, uint32_t chunks, float ceiling, Scratch &scratch) {
    float p = 0.0f;
    if (threadIdx.x < CHUNK)
        for (uint32_t c = threadIdx.x; c < chunks; c += CHUNK) p = p + l[c] * decay(n[c] - ceiling);
    const float sum = exact::cta_s128(p, scratch.partial);
    __syncthreads();
    return sum;
}

// What every question of a row needs.
struct RowSums {
    float raw_n, raw_l; // of the raw logits
    float n, l;         // of the penalized ones; l is M * 2^-40 where top-k or top-p is on
};

__device__ __forceinline__ RowSums row_sums(const reading &p, const sampling &s, uint32_t row, Scratch &scratch) {
    const size_t at = (size_t)row * p.chunks;
    RowSums sums = {0.0f, 1.0f, 0.0f, 1.0f};
    if (s.logprobs) {
        sums.raw_n = row_ceiling(p.raw_n + at, p.chunks, scratch);
        sums.raw_l = row_sum(p.raw_n + at, p.raw_l + at, p.chunks, sums.raw_n, scratch);
    }
    if (s.mode != MODE_GREEDY) sums.n = row_ceiling(p.n + at, p.chunks, scratch);
    if (s.mode == MODE_ALL && s.logprobs) sums.l = row_sum(p.n + at, p.l + at, p.chunks, sums.n, scratch);
    return sums;
}

// The drawn token, and the log-probabilities of the token with raw logit `raw` and this y.
__device__ __forceinline__ answer answer_of(const sampling &s, const RowSums &sums, uint32_t token, float raw, float y) {
    answer a = {token, 0.0f, 0.0f, NO_FAULT};
    if (!s.logprobs) return a;
    a.raw = log_probability(raw * s.raw_scale, sums.raw_n, sums.raw_l);
    if (s.mode != MODE_GREEDY) a.sampling = log_probability(y, sums.n, sums.l);
    return a;
}

// A row with a fault has no other answer. True if it is one.
__device__ __forceinline__ bool answer_fault(const choose_params &p, uint32_t row) {
    const uint32_t fault = p.reading.fault[row];
    if (fault == NO_FAULT) return false;
    const uint32_t first = p.reading.first_question[row], end = p.reading.first_question[row + 1u];
    for (uint32_t q = first + threadIdx.x; q < end; q += blockDim.x) p.answers[q] = answer{0u, 0.0f, 0.0f, fault};
    return true;
}

} // namespace reading_of
