// Kernels of the stand-in's own tests: what works. Each stays within `n` elements of its buffers.
#include "gpu.cuh"

struct test_params {
    const float* x;
    float* y;
    uint32_t* out;
    uint32_t n, which;
};

// y += 3 x
extern "C" __global__ void __launch_bounds__(256) test_axpy(const __grid_constant__ test_params p) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < p.n) p.y[i] = fmaf(3.0f, p.x[i], p.y[i]);
}
KERNEL(test_axpy)

// out[thread][k]: what every collective gives thread `thread` of one warp
extern "C" __global__ void __launch_bounds__(32) test_collectives(const __grid_constant__ test_params p) {
    const uint32_t lane = threadIdx.x, all = 0xffffffffu, v = 100 + lane;
    uint32_t* o = p.out + 24 * lane;
    o[0] = __shfl_sync(all, v, 5);
    o[1] = __shfl_sync(all, v, (int)lane + 1, 8);
    o[2] = __shfl_xor_sync(all, v, 3);
    o[3] = __shfl_xor_sync(all, v, 16, 16);
    o[4] = __shfl_down_sync(all, v, 4);
    o[5] = __shfl_up_sync(all, v, 4, 16);
    o[6] = __ballot_sync(all, lane % 3 == 0);
    o[7] = (uint32_t)__any_sync(all, lane == 7);
    o[8] = (uint32_t)__all_sync(all, lane != 7);
    o[9] = __match_any_sync(all, lane / 5);
    o[10] = __reduce_add_sync(all, v);
    o[11] = __reduce_min_sync(all, v ^ 21u);
    o[12] = __reduce_max_sync(all, v ^ 21u);
    o[13] = (uint32_t)(__shfl_xor_sync(all, (unsigned long long)v << 33, 1) >> 32);
    o[14] = (uint32_t)__shfl_down_sync(all, (float)v, 1);
    // the odd and the even lanes on their own
    const uint32_t half = lane & 1 ? 0xaaaaaaaau : 0x55555555u;
    o[15] = lane & 1 ? __shfl_sync(half, v, 31) : __reduce_add_sync(half, v);
    o[16] = warp_max(v);
    o[17] = warp_sum(v);
    o[18] = (uint32_t)__reduce_min_sync(all, (int)lane - 16);
    o[19] = __reduce_xor_sync(all, v);
}
KERNEL(test_collectives)

// out[0..]: a counter of all threads, the largest and smallest id, a lock's worth of exchanges, barrier counts
extern "C" __global__ void test_atomics(const __grid_constant__ test_params p) {
    const uint32_t id = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&p.out[0], 1u);
    atomicMax(&p.out[1], id);
    atomicMin(&p.out[2], id + 10);
    atomicOr(&p.out[3], 1u << (id & 31));
    atomicExch(&p.out[4], 77u);
    atomicCAS(&p.out[5], 0u, 1u);
    atomicAdd(reinterpret_cast<unsigned long long*>(&p.out[6]), 0x100000001ull);
    __shared__ uint32_t count;
    DYNAMIC_SHARED(uint32_t, several);
    if (threadIdx.x == 0) count = 0;
    for (uint32_t i = threadIdx.x; i < 64; i += blockDim.x) several[i] = i;
    __syncthreads();
    atomicAdd(&count, several[threadIdx.x % 64]);
    const int votes = __syncthreads_count(threadIdx.x % 2 == 0);
    if (threadIdx.x == 0) {
        p.out[8 + 4 * blockIdx.x] = count;
        p.out[9 + 4 * blockIdx.x] = (uint32_t)votes;
    }
    p.out[10 + 4 * blockIdx.x] = (uint32_t)__syncthreads_or(threadIdx.x == 3);
    p.out[11 + 4 * blockIdx.x] = (uint32_t)__syncthreads_and(threadIdx.x != 3);
}
KERNEL(test_atomics)

// Two warps hand numbers to each other through named barriers; a third waits for a flag. out[0] = 55, out[1] = 9.
extern "C" __global__ void __launch_bounds__(96) test_handing(const __grid_constant__ test_params p) {
    __shared__ uint32_t box, flag;
    if (threadIdx.x == 0) flag = 0;
    __syncthreads();
    uint32_t sum = 0;
    if (threadIdx.x < 64) {
        for (uint32_t i = 1; i <= 10; i++) {
            if (threadIdx.x == 0) box = i;
            bar_sync(1, 64);
            if (threadIdx.x >= 32) sum += box;
            bar_sync(2, 64);
        }
        if (threadIdx.x == 32) {
            p.out[0] = sum;
            atomicExch(&flag, 9u);
        }
    } else {
        uint32_t seen;
        while ((seen = atomicAdd(&flag, 0u)) == 0) __nanosleep(20);
        if (threadIdx.x == 64) p.out[1] = seen;
    }
}
KERNEL(test_handing)

// out = the integer intrinsics of x's bits; y = the conversions and minima of x
extern "C" __global__ void test_intrinsics(const __grid_constant__ test_params p) {
    const unsigned i = threadIdx.x;
    if (i >= p.n) return;
    const float f = p.x[i];
    const uint32_t u = __float_as_uint(f);
    uint32_t* o = p.out + 16 * i;
    o[0] = (uint32_t)__popc(u);
    o[1] = (uint32_t)__clz((int)u);
    o[2] = (uint32_t)__ffs((int)u);
    o[3] = __brev(u);
    o[4] = __umulhi(u, 0x9e3779b9u);
    o[5] = __byte_perm(u, ~u, 0x91b4);
    o[6] = (uint32_t)__float2int_rn(f);
    o[7] = (uint32_t)__float2int_rz(f);
    o[8] = (uint32_t)__float2uint_rn(f);
    o[9] = __float_as_uint(fmaxf(f, -0.0f));
    o[10] = __float_as_uint(fminf(0.0f, f));
    o[11] = __float_as_uint(__half2float(__half{(uint16_t)u}));
    o[12] = __float_as_uint(__bfloat162float(__nv_bfloat16{(uint16_t)u}));
    o[13] = __float_as_uint(__fmaf_rn(f, f, -f));
    o[14] = __float_as_uint(__fdiv_rn(__fsqrt_rn(fabsf(f)), 3.0f));
    o[15] = (uint32_t)__dp4a((int)u, (int)0x80ff7f01u, 5);
}
KERNEL(test_intrinsics)

struct test_mma_params {
    const int8_t* a;  // [16][32]
    const int8_t* b;  // [32][8]
    const int32_t* c; // [16][8]
    int32_t* d;
    uint32_t swapped; // a planted fault: registers 1 and 2 of A the wrong way round
};
extern "C" __global__ void __launch_bounds__(32) test_mma(const __grid_constant__ test_mma_params p) {
    const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    uint32_t a[4], b[2];
    auto bytes = [](const int8_t* q, unsigned step) {
        uint32_t r = 0;
        for (unsigned i = 0; i < 4; i++) r |= (uint32_t)(uint8_t)q[i * step] << (8 * i);
        return r;
    };
    for (unsigned i = 0; i < 4; i++) a[i] = bytes(p.a + 32 * (g + 8 * (i & 1)) + 4 * t + 16 * (i / 2), 1);
    for (unsigned i = 0; i < 2; i++) b[i] = bytes(p.b + 8 * (4 * t + 16 * i) + g, 8);
    if (p.swapped) {
        const uint32_t kept = a[1];
        a[1] = a[2];
        a[2] = kept;
    }
    int c[4], d[4];
    for (unsigned i = 0; i < 4; i++) c[i] = p.c[8 * (g + 8 * (i / 2)) + 2 * t + i % 2];
    mma_s8(d, a, b, c);
    for (unsigned i = 0; i < 4; i++) p.d[8 * (g + 8 * (i / 2)) + 2 * t + i % 2] = d[i];
}
KERNEL(test_mma)

// y[16][8] = x[16][4] (x + 64)[4][8] on tf32
extern "C" __global__ void __launch_bounds__(32) test_mma_tf32(const __grid_constant__ test_params p) {
    const unsigned g = threadIdx.x / 4, t = threadIdx.x % 4;
    float d[4];
    mma_tf32(d, p.x[4 * g + t], p.x[4 * (g + 8) + t], p.x[64 + 8 * t + g]);
    for (unsigned i = 0; i < 4; i++) p.y[8 * (g + 8 * (i / 2)) + 2 * t + i % 2] = d[i];
}
KERNEL(test_mma_tf32)

// out[0..n]: order in which the threads of one block came by; out[n..2n]: order after a barrier
extern "C" __global__ void test_order(const __grid_constant__ test_params p) {
    __shared__ uint32_t next[2];
    if (threadIdx.x == 0) next[0] = next[1] = 0;
    __syncthreads();
    p.out[atomicAdd(&next[0], 1u)] = threadIdx.x;
    __syncthreads();
    p.out[p.n + atomicAdd(&next[1], 1u)] = threadIdx.x;
}
KERNEL(test_order)
