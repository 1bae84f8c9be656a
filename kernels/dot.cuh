// The exact integer dot products of one block (NUMERICS 3, 4): a packed weight tile of 16 features with 8 quantized rows.
//
// Every sum is taken modulo 2^32; the end value of section 3's bounds fits int32, so what the parts do on the way does not matter.
// Four chains of mma that do not wait for each other: one would be as slow as sixteen latencies.
#pragma once
#include "abi.h"
#include "gpu.cuh"

// d[i] of fragment position i (mma_s8): q of the weight's row with q of the activation's column over 128 k. `w` holds a lane's
// 16 bytes of (kstep, plane) at index 2 * kstep + plane, `x` those of each kstep: lo b0, lo b1, hi b0, hi b1.
__device__ __forceinline__ void dot_block(int (&d)[4], const uint4 (&w)[2 * KSTEPS], const uint4 (&x)[KSTEPS]) {
    int hh[4] = {0, 0, 0, 0}, hl[4] = {0, 0, 0, 0}, lh[4] = {0, 0, 0, 0}, ll[4] = {0, 0, 0, 0};
#pragma unroll
    for (int s = 0; s < KSTEPS; s++) {
        const uint32_t low[4] = {w[2 * s].x, w[2 * s].y, w[2 * s].z, w[2 * s].w};
        const uint32_t high[4] = {w[2 * s + 1].x, w[2 * s + 1].y, w[2 * s + 1].z, w[2 * s + 1].w};
        const uint32_t xlow[2] = {x[s].x, x[s].y}, xhigh[2] = {x[s].z, x[s].w};
        mma_s8(hh, high, xhigh);
        mma_s8(hl, high, xlow);
        mma_s8(lh, low, xhigh);
        mma_s8(ll, low, xlow);
    }
#pragma unroll
    for (int i = 0; i < 4; i++)
        d[i] = (int)(((uint32_t)hh[i] << 16) + (((uint32_t)hl[i] + (uint32_t)lh[i]) << 8) + (uint32_t)ll[i]);
}
