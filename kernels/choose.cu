// From what head.cu left of the chunks to an answer per question (NUMERICS 9 and 11), for every mode but MODE_ROW.
//
// Sums over chunks in the order of S128; the greatest of the chunks' keys; or, from the lists of a row, the kept set: the first top_k by
// key, then top-p over their masses, then noise for the kept alone. The kept set is made once a row, for all of its questions.
// Launch: a CTA of 512 threads per row, max_rows of them; slices <= SLICES_MAX. Shared memory is static.
#include "row.cuh"

namespace {

using namespace reading_of;

constexpr uint32_t THREADS = 512;
constexpr uint32_t HELD = SLICES_MAX * LIST / THREADS;
constexpr uint32_t CANDIDATES = 256; // of a row when its lists are cut down; at least LIST

struct Kept {
    uint64_t candidate[CANDIDATES];
    uint32_t candidate_entry[CANDIDATES];
    uint32_t candidates;
    uint64_t key[LIST];   // by rank
    uint32_t entry[LIST]; // index within the row's lists
    uint64_t mass[LIST];
    uint32_t count;
    uint64_t total; // mass of the kept
};

__device__ __forceinline__ uint32_t count_reaching(const uint64_t (&held)[HELD], uint64_t floor, Scratch &scratch) {
    uint32_t count = 0;
#pragma unroll
    for (uint32_t i = 0; i < HELD; i++) count += held[i] >= floor ? 1u : 0u;
    return (uint32_t)cta_sum(count, scratch);
}

// Leaves k to CANDIDATES of the lists' entries in `kept`, all of the first k among them.
__device__ __forceinline__ void gather_candidates(const reading &p, uint32_t row, uint32_t k, Kept &kept, Scratch &scratch) {
    const size_t lists = (size_t)row * p.slices;
    uint64_t held[HELD], floor = 1; // no key is 0, and an absent one is
#pragma unroll
    for (uint32_t i = 0; i < HELD; i++) {
        const uint32_t e = threadIdx.x + THREADS * i, slice = e / LIST;
        held[i] = slice < p.slices && e % LIST < p.list_count[lists + slice] ? p.list_key[lists * LIST + e] : 0;
    }
    if (threadIdx.x < p.slices) floor = greater(floor, p.list_floor[lists + threadIdx.x]);
    uint64_t low = cta_greatest(floor, scratch), high = 0; // 0 stands for 2^64
    uint32_t count = count_reaching(held, low, scratch);
    while (count > CANDIDATES) { // at least k reach low, fewer reach high; keys differ
        const uint64_t middle = low + (high - low) / 2;
        const uint32_t reached = count_reaching(held, middle, scratch);
        if (reached < k) {
            high = middle;
        } else {
            low = middle;
            count = reached;
        }
    }
    if (threadIdx.x == 0u) kept.candidates = 0;
    __syncthreads();
#pragma unroll
    for (uint32_t i = 0; i < HELD; i++) {
        if (held[i] < low) continue;
        const uint32_t at = atomicAdd(&kept.candidates, 1u); // any order: ranks are made of keys
        kept.candidate[at] = held[i];
        kept.candidate_entry[at] = threadIdx.x + THREADS * i;
    }
    __syncthreads();
}

// The kept set in the order of ranks, and its mass.
__device__ __forceinline__ void keep(const reading &p, const sampling &s, uint32_t row, float n, Kept &kept, Scratch &scratch) {
    const uint32_t k = min(s.top_k, p.vocabulary), j = threadIdx.x;
    gather_candidates(p, row, k, kept, scratch);
    if (j < kept.candidates) {
        const uint64_t key = kept.candidate[j];
        uint32_t rank = 0;
        for (uint32_t i = 0; i < kept.candidates; i++) rank += kept.candidate[i] > key ? 1u : 0u;
        if (rank < k) {
            kept.key[rank] = key;
            kept.entry[rank] = kept.candidate_entry[j];
            kept.mass[rank] = mass(value_of(key), n);
        }
    }
    __syncthreads();
    if (j < k) {
        uint64_t ahead = 0, total = 0;
        for (uint32_t i = 0; i < k; i++) {
            ahead += i < j ? kept.mass[i] : 0;
            total += kept.mass[i];
        }
        const uint64_t limit = s.top_p_on ? mass_limit(s, total) : ~(uint64_t)0;
        const uint64_t with = ahead + kept.mass[j];
        if (ahead < limit && (j + 1u == k || with >= limit)) { // one j: the last kept
            kept.count = j + 1u;
            kept.total = with;
        }
    }
    __syncthreads();
}

// The best of a lane's candidates for a question.
struct Drawn {
    uint64_t key;
    float raw, y;
};

__device__ __forceinline__ Drawn draw_kept(const reading &p, uint32_t row, const question &asked, const Kept &kept) {
    const uint32_t seed[4] = {asked.seed[0], asked.seed[1], asked.seed[2], asked.seed[3]};
    uint64_t best = 0;
    uint32_t at = 0;
    for (uint32_t j = threadIdx.x & 31u; j < kept.count; j += 32u) {
        const uint32_t id = id_of(kept.key[j]);
        const uint64_t key = key_of(score(value_of(kept.key[j]), word_of(random_words(seed, asked.position, id >> 2), id)), id);
        if (key <= best) continue;
        best = key;
        at = j;
    }
    if (best == 0) return Drawn{0, 0.0f, 0.0f};
    return Drawn{best, p.list_raw[(size_t)row * p.slices * LIST + kept.entry[at]], value_of(kept.key[at])};
}

// The greatest of the chunks' keys at `index`.
__device__ __forceinline__ Drawn draw_best(const reading &p, uint32_t index) {
    const size_t first = (size_t)index * p.chunks;
    uint64_t best = 0;
    size_t at = first;
    for (uint32_t c = threadIdx.x & 31u; c < p.chunks; c += 32u) {
        if (p.best_key[first + c] <= best) continue;
        best = p.best_key[first + c];
        at = first + c;
    }
    return best == 0 ? Drawn{0, 0.0f, 0.0f} : Drawn{best, p.best_raw[at], p.best_y[at]};
}

} // namespace

extern "C" __global__ void __launch_bounds__(512) choose(const __grid_constant__ choose_params p) {
    __shared__ Scratch scratch;
    __shared__ Kept kept;
    const uint32_t row = blockIdx.x;
    if (row >= *p.reading.rows || answer_fault(p, row)) return;
    const sampling s = *p.reading.sampling;
    RowSums sums = row_sums(p.reading, s, row, scratch);
    if (s.mode == MODE_LIST) {
        keep(p.reading, s, row, sums.n, kept, scratch);
        sums.l = mass_as_sum(kept.total);
    }
    const uint32_t first = p.reading.first_question[row], end = p.reading.first_question[row + 1u];
    for (uint32_t q = first + (threadIdx.x >> 5); q < end; q += THREADS / 32u) {
        const question &asked = p.reading.questions[q];
        const Drawn mine = s.mode == MODE_LIST ? draw_kept(p.reading, row, asked, kept) : draw_best(p.reading, s.mode == MODE_GREEDY ? row : q);
        if (warp_greatest(mine.key) != mine.key) continue;
        const bool claims = asked.claimed != NO_TOKEN && s.logprobs;
        const float raw = claims ? p.reading.claimed_raw[q] : mine.raw, y = claims ? p.reading.claimed_y[q] : mine.y;
        p.answers[q] = answer_of(s, sums, id_of(mine.key), raw, y);
    }
}
KERNEL(choose)
