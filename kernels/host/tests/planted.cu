// The planted faults of the proof without a GPU: small kernels with the faults that real ones get. `fault` NONE is the
// control, whose result is right under every schedule and every sanitizer.
#include "gpu.cuh"

struct test_planted_params {
    const uint32_t* x;  // [blocks][2048], exactly that long
    uint32_t* out;      // [blocks + 1]
    uint32_t fault;
};

enum : uint32_t {
    NONE,
    MISSING_BARRIER,
    SCRATCH_REUSED,
    MISSING_SYNCWARP,
    LAX_WAIT,
    BUFFER_REFILLED_EARLY,
    OUT_OF_BOUNDS,
    STATIC_SHARED_OUT_OF_BOUNDS,
    DYNAMIC_SHARED_OUT_OF_BOUNDS,
    DIVERGENT_BARRIER,
    BLOCKS_RACE,
    UNINITIALISED_SHARED,
};

// Sum over the block, in every thread.
static __device__ uint32_t block_sum(uint32_t v, uint32_t* scratch, uint32_t fault) {
    v = warp_sum(v);
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = v;
    if (fault != MISSING_BARRIER) __syncthreads();
    uint32_t s = 0;
    for (unsigned i = 0; i < 4; i++) s += scratch[i];
    if (fault != SCRATCH_REUSED) __syncthreads();
    return s;
}

// Sum over the row: stages of cp.async, of which every lane reads what its neighbour brought.
static __device__ uint32_t thread_sum(const uint32_t* row, uint32_t (*stage)[128][4], uint32_t fault) {
    const unsigned t = threadIdx.x;
    uint32_t sum = 0;
    auto fetch = [&](unsigned i) {
        cp_async16(stage[i & 1][t], row + 512 * i + 4 * t);
        cp_async_commit();
    };
    fetch(0);
    for (unsigned i = 0; i < 4; i++) {
        if (i < 3) fetch(i + 1);
        if (i == 3) cp_async_wait<0>();
        else if (fault == LAX_WAIT) cp_async_wait<2>();
        else
            cp_async_wait<1>();
        __syncwarp();
        for (unsigned k = 0; k < 4; k++) sum += stage[i & 1][t ^ 1][k];
        if (fault != BUFFER_REFILLED_EARLY) __syncwarp();
    }
    return sum;
}

// out[block] = sum of x over the block's row; the differences of neighbours' sums around a warp add nothing.
// out[blocks] += 1 under BLOCKS_RACE only.
extern "C" __global__ void __launch_bounds__(128) test_planted(const __grid_constant__ test_planted_params p) {
    __shared__ uint32_t scratch[4], exchange[128];
    __shared__ __align__(16) uint32_t stage[2][128][4];
    DYNAMIC_SHARED(uint32_t, staged);
    const unsigned t = threadIdx.x, f = p.fault;
    const uint32_t* row = p.x + 2048 * blockIdx.x;
    const uint32_t sum = thread_sum(row, stage, f);

    if (f != UNINITIALISED_SHARED || t != 5) exchange[t] = sum;
    if (f != MISSING_SYNCWARP) __syncwarp();
    const uint32_t difference = exchange[t / 32 * 32 + (t + 1) % 32] - sum;
    if (f == DIVERGENT_BARRIER && t < 64) __syncthreads();
    staged[t] = difference;

    // accesses out of bounds whose values go nowhere
    const bool last = blockIdx.x + 1 == gridDim.x;
    if (f == OUT_OF_BOUNDS && last) (void)*(const volatile uint32_t*)&row[2048 + t];
    if (f == STATIC_SHARED_OUT_OF_BOUNDS) (void)*(const volatile uint32_t*)&scratch[4 + t / 128];
    if (f == DYNAMIC_SHARED_OUT_OF_BOUNDS) (void)*(const volatile uint32_t*)&staged[t + 1];

    const uint32_t total = block_sum(sum, scratch, f), zero = block_sum(staged[t], scratch, f);
    if (t != 0) return;
    p.out[blockIdx.x] = total + zero;
    if (f == BLOCKS_RACE) p.out[gridDim.x] += 1;
}
KERNEL(test_planted)
