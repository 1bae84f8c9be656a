// Kernels that do what CUDA leaves undefined, one way for each value of `which`; 0 does nothing of it. Every check of
// the shim has one that it must refuse.
#include "gpu.cuh"

struct test_check_params {
    uint8_t* bytes;  // 4096 of them, 16-byte aligned
    uint32_t* out;
    uint32_t which;
};

enum : uint32_t {
    CLEAN,
    DIVERGENT_BARRIER,
    TWO_BARRIERS,
    MISSING_ARRIVAL,
    DIFFERENT_COLLECTIVES,
    ABSENT_LANE,
    RETURNED_LANE,
    OUTSIDE_MASK,
    MISALIGNED_VECTOR,
    MISALIGNED_COPY,
    COPY_IN_FLIGHT,
    PAST_THE_END,
    NULL_POINTER,
    PAST_DYNAMIC_SHARED,
    SPIN,
    TRAP,
    DIVISION,
    STACK_OVERFLOW,
    WILD_POINTER,
    HALF_A_WARP_MMA,
};

__noinline__ uint32_t deep(volatile uint32_t* out, uint32_t n) {
    volatile uint32_t room[256];
    room[n % 256] = out[0];
    return n == 0 ? room[0] : deep(out, n - 1) + room[n % 256];
}

extern "C" __global__ void test_check(const __grid_constant__ test_check_params p) {
    __shared__ __align__(16) uint8_t buffer[4096];
    DYNAMIC_SHARED(uint32_t, several);
    const uint32_t t = threadIdx.x, all = 0xffffffffu;
    uint32_t r = t;
    switch (p.which) {
        case CLEAN:
            buffer[t] = 1;
            __syncthreads();
            r = buffer[(t + 1) % blockDim.x] + __shfl_xor_sync(all, t, 1) * 0;
            break;
        case DIVERGENT_BARRIER:
            if (t < 40) __syncthreads();
            else r = __shfl_xor_sync(all, t, 1);
            __syncthreads();
            break;
        case TWO_BARRIERS:
            if (t < 32) __syncthreads();
            else
                __syncthreads();
            break;
        case MISSING_ARRIVAL:
            if (t < 32) bar_sync(3, 64);
            break;
        case DIFFERENT_COLLECTIVES:
            if (t % 2) r = __shfl_sync(all, t, 0);
            else
                r = __ballot_sync(all, 1);
            break;
        case ABSENT_LANE:
            if (t < 16) r = __shfl_sync(0xffffu, t, 20);
            break;
        case RETURNED_LANE:
            if (t % 32 == 31) return;
            __syncwarp();
            break;
        case OUTSIDE_MASK: r = __shfl_sync(0xffff0000u, t, 20); break;
        case MISALIGNED_VECTOR: r = reinterpret_cast<const uint4*>(p.bytes + 8)->x; break;
        case MISALIGNED_COPY:
            cp_async16(buffer + 4 * t, p.bytes);
            cp_async_commit();
            cp_async_wait<0>();
            break;
        case COPY_IN_FLIGHT:
            cp_async16(buffer + 16 * (t % 32), p.bytes);
            cp_async_commit();
            break;
        case PAST_THE_END: r = p.bytes[4096 + t]; break;
        case NULL_POINTER: r = *reinterpret_cast<uint32_t*>((uintptr_t)(p.which - NULL_POINTER)); break;
        case PAST_DYNAMIC_SHARED: r = several[64]; break;
        case SPIN:
            while (*(volatile uint32_t*)p.out != 12345) __nanosleep(10);
            break;
        case TRAP:
            if (t == 33) __trap();
            break;
        case DIVISION: r = (uint32_t)((int)t / *(volatile int*)p.out); break;
        case STACK_OVERFLOW: r = deep(p.out, 1000); break;
        case WILD_POINTER: {
            uint64_t poison;  // what unwritten memory gives for a pointer, with a bit of arithmetic
            memcpy(&poison, p.bytes, 8);
            r = *reinterpret_cast<uint32_t*>(poison & 0x7ffffffffffffffcull);
            break;
        }
        case HALF_A_WARP_MMA: {
            int d[4] = {0, 0, 0, 0};
            const uint32_t a[4] = {1, 2, 3, 4}, b[2] = {5, 6};
            mma_s8(d, a, b);
            r = (uint32_t)d[0];
            break;
        }
    }
    if (p.which != SPIN) p.out[t] = r;
}
KERNEL(test_check)
