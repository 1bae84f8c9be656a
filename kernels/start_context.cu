// A slot's table of first positions (NUMERICS 11) as another slot's is, or without any id: 0xffffffff everywhere.
//
// A rollout starts with its prompt's table; prompts are marked once (mark_context.cu). stride is a multiple of 128, both tables are
// 16-byte aligned and differ. Launch: any grid of 256 threads.
#include "abi.h"
#include "gpu.cuh"

extern "C" __global__ void __launch_bounds__(256) start_context(const __grid_constant__ start_context_params p) {
    const uint4 none = make_uint4(NO_TOKEN, NO_TOKEN, NO_TOKEN, NO_TOKEN);
    for (uint32_t i = 4u * (blockIdx.x * blockDim.x + threadIdx.x); i < p.stride; i += 4u * gridDim.x * blockDim.x)
        *reinterpret_cast<uint4 *>(p.context + i) = p.source != nullptr ? *reinterpret_cast<const uint4 *>(p.source + i) : none;
}
KERNEL(start_context)
