// What the tensor cores do at most: products of bytes with everything in registers, the limit that `grail bench kernels` holds the
// other kernels against. No pass launches it.
//
// Every warp multiplies the same two operands `loops` times in each of MMA_PEAK_CHAINS chains, d += A B, all integer and modulo 2^32;
// out is the sum over a warp's chains, so that no product can be left out: chains * loops * (A B).
// Grid: x CTAs of MMA_PEAK_THREADS threads. No shared memory.
#include "abi.h"
#include "gpu.cuh"

extern "C" __global__ void __launch_bounds__(MMA_PEAK_THREADS) mma_peak(const __grid_constant__ mma_peak_params p) {
    const uint32_t lane = threadIdx.x & 31u;
    uint32_t a[4], b[2];
#pragma unroll
    for (int i = 0; i < 4; i++) a[i] = p.a[4u * lane + i];
#pragma unroll
    for (int i = 0; i < 2; i++) b[i] = p.b[2u * lane + i];
    int d[MMA_PEAK_CHAINS][4] = {};
#pragma unroll 4
    for (uint32_t n = 0; n < p.loops; n++)
#pragma unroll
        for (int c = 0; c < MMA_PEAK_CHAINS; c++) mma_s8(d[c], a, b);
    uint32_t *out = p.out + 4u * ((size_t)blockIdx.x * MMA_PEAK_THREADS + threadIdx.x);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        uint32_t sum = 0;
#pragma unroll
        for (int c = 0; c < MMA_PEAK_CHAINS; c++) sum += (uint32_t)d[c][i];
        out[i] = sum;
    }
}
KERNEL(mma_peak)
