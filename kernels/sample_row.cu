// Answers from whole rows of logits (NUMERICS 9 and 11), MODE_ROW: top_k = 0 with top_p < 1, or a top_k that lists do not serve.
//
// Reads what head.cu stored: raw logits, n_c and l_c. The kept set is a prefix of the order (y descending, id ascending), so its end
// is enough: find_end looks for the token at which a weight (1 for top-k, the mass for top-p) summed from the first reaches a limit, by
// a histogram over N - y, then by halving the values of one bin, then the ids of one value. All of it in integers, in any order.
// Launch: a CTA of 1024 threads per row, max_rows of them. Shared memory is static.
#include "row.cuh"

namespace {

using namespace reading_of;

constexpr uint32_t THREADS = 1024;
constexpr uint32_t BINS = 2 * THREADS;
constexpr float BINS_PER_UNIT = 32.0f; // 41 units below N a mass is 0: the last bin takes what lies 64 below and more
constexpr uint32_t CANDIDATES = 3072;

struct Shared {
    Scratch scratch;
    uint64_t bin[BINS];
    uint64_t candidate[CANDIDATES]; // ordered(y), id
    uint32_t candidates;
    uint32_t bin_at; // the bin in which the limit is reached
    uint64_t ahead;  // the weight of the bins before it
};

struct Row {
    const float *logits;
    const uint32_t *context; // null without a penalty
    uint32_t vocabulary, position;
    float penalty, scale, n;

    __device__ __forceinline__ float y_of(float logit, uint32_t first) const {
        return (context != nullptr && first < position ? penalized(logit, penalty) : logit) * scale;
    }

    __device__ __forceinline__ float y(uint32_t id) const { return y_of(logits[id], context != nullptr ? context[id] : NO_TOKEN); }

    // f(id, y) for every id, in the threads of the CTA.
    template <class F> __device__ __forceinline__ void each(F f) const {
        for (uint32_t id = 4u * threadIdx.x; id < vocabulary; id += 4u * THREADS) {
            const float4 v = *reinterpret_cast<const float4 *>(logits + id);
            const uint4 c = context != nullptr ? *reinterpret_cast<const uint4 *>(context + id) : make_uint4(NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN);
            f(id, y_of(v.x, c.x));
            if (id + 1u < vocabulary) f(id + 1u, y_of(v.y, c.y));
            if (id + 2u < vocabulary) f(id + 2u, y_of(v.z, c.z));
            if (id + 3u < vocabulary) f(id + 3u, y_of(v.w, c.w));
        }
    }
};

// The last token of a prefix of the order.
struct End {
    uint32_t value; // ordered(y)
    uint32_t id;

    __device__ __forceinline__ bool keeps(float y, uint32_t other) const {
        const uint32_t o = ordered(y);
        return o > value || (o == value && other <= id);
    }
};

// Never ascends with y.
__device__ __forceinline__ uint32_t bin_of(const Row &row, float y) {
    const float b = (row.n - y) * BINS_PER_UNIT;
    return b < (float)(BINS - 1u) ? (uint32_t)b : BINS - 1u;
}

// Finds the bin in which the weights reach `limit`.
template <class W> __device__ __forceinline__ void find_bin(const Row &row, W weight, uint64_t limit, Shared &shared) {
    shared.bin[threadIdx.x] = 0;
    shared.bin[threadIdx.x + THREADS] = 0;
    if (threadIdx.x == 0u) shared.candidates = 0;
    __syncthreads();
    row.each([&](uint32_t, float y) {
        atomicAdd(reinterpret_cast<unsigned long long *>(&shared.bin[bin_of(row, y)]), (unsigned long long)weight(y));
    });
    __syncthreads();
    // Inclusive sums over threads, each with two bins.
    const uint32_t lane = threadIdx.x & 31u;
    const uint64_t one = shared.bin[2u * threadIdx.x], two = shared.bin[2u * threadIdx.x + 1u];
    uint64_t through = one + two;
#pragma unroll
    for (uint32_t d = 1; d < 32u; d *= 2u) {
        const uint64_t before = __shfl_sync(ALL_LANES, through, (int)(lane - d) & 31);
        through += lane >= d ? before : 0;
    }
    if (lane == 31u) shared.scratch.wide[threadIdx.x >> 5] = through;
    __syncthreads();
    for (uint32_t w = 0; w < threadIdx.x >> 5; w++) through += shared.scratch.wide[w];
    const uint64_t ahead = through - one - two;
    if (ahead < limit && limit <= through) { // one thread
        const bool second = ahead + one < limit;
        shared.bin_at = 2u * threadIdx.x + (second ? 1u : 0u);
        shared.ahead = second ? ahead + one : ahead;
    }
    __syncthreads();
}

// The token at which the weights, summed in order, reach `limit`, at least 1 and at most their sum.
template <class W> __device__ __forceinline__ End find_end(const Row &row, W weight, uint64_t limit, Shared &shared) {
    find_bin(row, weight, limit, shared);
    const uint32_t bin = shared.bin_at;
    const uint64_t need = limit - shared.ahead;
    uint64_t least = 0, greatest = 0; // complement of the least, and the greatest, of the bin's ordered values
    row.each([&](uint32_t id, float y) {
        if (bin_of(row, y) != bin) return;
        const uint32_t o = ordered(y), at = atomicAdd(&shared.candidates, 1u);
        if (at < CANDIDATES) shared.candidate[at] = ((uint64_t)o << 32) | id;
        least = greater(least, (uint32_t)~o);
        greatest = greater(greatest, o);
    });
    uint64_t low = (uint32_t)~(uint32_t)cta_greatest(least, shared.scratch), high = cta_greatest(greatest, shared.scratch) + 1u;
    const uint32_t candidates = shared.candidates;
    // f summed over the bin. One that is too full for shared memory is read from the row again.
    const auto sum = [&](auto f) {
        uint64_t mine = 0;
        if (candidates <= CANDIDATES) {
            for (uint32_t j = threadIdx.x; j < candidates; j += THREADS)
                mine += f((uint32_t)(shared.candidate[j] >> 32), (uint32_t)shared.candidate[j]);
        } else {
            row.each([&](uint32_t id, float y) {
                if (bin_of(row, y) == bin) mine += f(ordered(y), id);
            });
        }
        return cta_sum(mine, shared.scratch);
    };
    while (high - low > 1) { // the values from low on reach `need`, those from high on do not
        const uint64_t middle = low + (high - low) / 2;
        const uint64_t reached = sum([&](uint32_t o, uint32_t) { return o >= middle ? weight(from_ordered(o)) : (uint64_t)0; });
        if (reached >= need) low = middle;
        else high = middle;
    }
    const uint32_t value = (uint32_t)low;
    const uint64_t above = sum([&](uint32_t o, uint32_t) { return o > value ? weight(from_ordered(o)) : (uint64_t)0; });
    const uint64_t one = weight(from_ordered(value)), wanted = (need - above + one - 1u) / one;
    uint32_t before = 0, last = row.vocabulary; // ids below `last` are enough of that value, those below `before` are not
    while (last - before > 1u) {
        const uint32_t middle = before + (last - before) / 2u;
        const uint64_t found = sum([&](uint32_t o, uint32_t id) { return o == value && id < middle ? (uint64_t)1 : (uint64_t)0; });
        if (found >= wanted) last = middle;
        else before = middle;
    }
    return End{value, last - 1u};
}

// The last token that top-k and top-p keep.
__device__ __forceinline__ End find_kept(const Row &row, const sampling &s, Shared &shared) {
    End end = {0u, NO_TOKEN};
    if (s.top_k != 0u && s.top_k < row.vocabulary)
        end = find_end(row, [](float) { return (uint64_t)1; }, s.top_k, shared);
    if (!s.top_p_on) return end;
    const auto weight = [&](float y) { return mass(y, row.n); };
    uint64_t total = 0;
    row.each([&](uint32_t id, float y) { total += end.keeps(y, id) ? weight(y) : 0; });
    // The limit is at most the mass of what top-k keeps, so the end lies there.
    return find_end(row, weight, mass_limit(s, cta_sum(total, shared.scratch)), shared);
}

} // namespace

extern "C" __global__ void __launch_bounds__(1024) sample_row(const __grid_constant__ choose_params p) {
    __shared__ Shared shared;
    const uint32_t at = blockIdx.x;
    if (at >= *p.reading.rows || answer_fault(p, at)) return;
    const sampling s = *p.reading.sampling;
    RowSums sums = row_sums(p.reading, s, at, shared.scratch);
    const uint32_t first = p.reading.first_question[at], end_question = p.reading.first_question[at + 1u];
    const question &any = p.reading.questions[first];
    const Row row = {p.reading.logits + (size_t)at * p.reading.logits_stride,
                     s.penalty == 1.0f ? nullptr : p.reading.context + (size_t)any.slot * p.reading.context_stride,
                     p.reading.vocabulary,
                     any.position,
                     s.penalty,
                     s.scale,
                     sums.n};
    const End end = find_kept(row, s, shared);
    uint64_t kept_mass = 0;
    row.each([&](uint32_t id, float y) { kept_mass += end.keeps(y, id) ? mass(y, sums.n) : 0; });
    sums.l = mass_as_sum(cta_sum(kept_mass, shared.scratch));
    for (uint32_t q = first; q < end_question; q++) {
        const question &asked = p.reading.questions[q];
        const uint32_t seed[4] = {asked.seed[0], asked.seed[1], asked.seed[2], asked.seed[3]};
        uint64_t best = 0;
        row.each([&](uint32_t id, float y) {
            if (end.keeps(y, id)) best = greater(best, key_of(score(y, word_of(random_words(seed, asked.position, id >> 2), id)), id));
        });
        const uint32_t token = id_of(cta_greatest(best, shared.scratch));
        const uint32_t told = asked.claimed == NO_TOKEN ? token : asked.claimed;
        if (threadIdx.x == 0u) p.answers[q] = answer_of(s, sums, token, row.logits[told], row.y(told));
    }
}
KERNEL(sample_row)
