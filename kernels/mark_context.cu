// Notes tokens of a sequence in its slot's table of first positions (NUMERICS 11: the set of ids already in the sequence).
//
// context[id] = the least of what it is and start + i over the i with tokens[i] = id; the table begins as 0xffffffff everywhere.
// Ids are below the table's length. Launch: any grid of 256 threads.
#include "abi.h"
#include "gpu.cuh"

extern "C" __global__ void __launch_bounds__(256) mark_context(const __grid_constant__ mark_context_params p) {
    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.count; i += gridDim.x * blockDim.x)
        atomicMin(p.context + p.tokens[i], p.start + i);
}
KERNEL(mark_context)
