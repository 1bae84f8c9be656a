// Device primitives: everything kernel sources may use beyond plain CUDA C++. Under nvcc and NVRTC these are the CUDA
// built-ins and the only inline PTX of the tree; a host compiler gets twins of the same names from host/shim.h.
//
// Names: KERNEL, DYNAMIC_SHARED, mma_s8 (two forms), mma_tf32, cp_async16, cp_async_commit, cp_async_wait, warp_max, warp_sum.
#pragma once

#ifdef __CUDACC__

#ifdef __CUDACC_RTC__ // NVRTC comes without the C library's headers
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#else
#include <stdint.h>
#endif

// The host build enters each kernel in a registry by name; a compiled image needs no such thing.
#define KERNEL(name)

// The CTA's dynamic shared memory, 16-byte aligned, whose size the launch gives.
#define DYNAMIC_SHARED(type, name)                                                                                     \
    extern __shared__ __align__(16) unsigned char name##_bytes[];                                                      \
    type *name = reinterpret_cast<type *>(name##_bytes)

// d += a * b over 16 rows, 32 k, 8 columns; integers wrap (no .satfinite). Fragments, g = lane / 4, t = lane % 4, lower k in
// the lower byte: a[0] = (row g, k 4t..), a[1] = (g + 8, 4t..), a[2] = (g, 16 + 4t..), a[3] = (g + 8, 16 + 4t..);
// b[0] = (k 4t.., column g), b[1] = (16 + 4t.., g); d[0], d[1] = (g, 2t), (g, 2t + 1), d[2], d[3] = the same of row g + 8.
__device__ __forceinline__ void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d = a * b + c.
__device__ __forceinline__ void mma_s8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const int (&c)[4]) {
    asm volatile("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
                 : "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
}

// d = a * b over 16 rows, 4 k, 8 columns of tf32 (f32 whose low 13 bits do not count): a[0] = (row g, k t), a[1] = (g + 8, t),
// b = (k t, column g), d as above. Used only where every product and every partial sum is a power of two, hence exact.
__device__ __forceinline__ void mma_tf32(float (&d)[4], float a0, float a1, float b) {
    asm volatile("mma.sync.aligned.m16n8k4.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%7,%7,%7,%7};"
                 : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
                 : "r"(__float_as_uint(a0)), "r"(__float_as_uint(a1)), "r"(__float_as_uint(b)), "f"(0.0f));
}

// Starts the copy of 16 bytes, both addresses 16-byte aligned. It is done, for the thread that asked, after the
// cp_async_wait that covers its group, and for others after a barrier that follows.
__device__ __forceinline__ void cp_async16(void *shared, const void *global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"((uint32_t)__cvta_generic_to_shared(shared)), "l"(global)
                 : "memory");
}

// Closes the group of copies started since the last commit.
__device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most N of this thread's groups are unfinished.
template <int N> __device__ __forceinline__ void cp_async_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory"); }

// Maximum and sum (wrapping) over a whole warp, in every lane.
__device__ __forceinline__ uint32_t warp_max(uint32_t v) { return __reduce_max_sync(0xffffffffu, v); }
__device__ __forceinline__ uint32_t warp_sum(uint32_t v) { return __reduce_add_sync(0xffffffffu, v); }

#else
#include "host/shim.h"
#endif
