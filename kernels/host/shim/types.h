// Qualifiers, vector types and built-in variables of CUDA C++.
#pragma once
#include <float.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define STANDIN 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __restrict__ __restrict

// One block runs at a time, so a function's static is the block's shared memory. Each source file has a section of
// its own for them (the build defines STANDIN_UNIT), which is filled with 0xFF before every block.
#define STANDIN_TEXT2(x) #x
#define STANDIN_TEXT(x) STANDIN_TEXT2(x)
#define STANDIN_CAT2(a, b) a##b
#define STANDIN_CAT(a, b) STANDIN_CAT2(a, b)
#ifndef STANDIN_UNIT
#define STANDIN_UNIT unnamed
#endif
#define STANDIN_SECTION STANDIN_CAT(standin_shared_, STANDIN_UNIT)
#define __shared__ static __attribute__((section(STANDIN_TEXT(STANDIN_SECTION))))

#define STANDIN_VECTOR(type, name, align2, align4)                                                                    \
    struct name##1 { type x; };                                                                                       \
    struct alignas(align2) name##2 { type x, y; };                                                                    \
    struct name##3 { type x, y, z; };                                                                                 \
    struct alignas(align4) name##4 { type x, y, z, w; };                                                              \
    static inline name##1 make_##name##1(type x) { return {x}; }                                                      \
    static inline name##2 make_##name##2(type x, type y) { return {x, y}; }                                           \
    static inline name##3 make_##name##3(type x, type y, type z) { return {x, y, z}; }                                \
    static inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
STANDIN_VECTOR(signed char, char, 2, 4)
STANDIN_VECTOR(unsigned char, uchar, 2, 4)
STANDIN_VECTOR(short, short, 4, 8)
STANDIN_VECTOR(unsigned short, ushort, 4, 8)
STANDIN_VECTOR(int, int, 8, 16)
STANDIN_VECTOR(unsigned int, uint, 8, 16)
STANDIN_VECTOR(long long, longlong, 16, 16)
STANDIN_VECTOR(unsigned long long, ulonglong, 16, 16)
STANDIN_VECTOR(float, float, 8, 16)
STANDIN_VECTOR(double, double, 16, 16)
#undef STANDIN_VECTOR

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};

// What a kernel may read of half-precision formats: their bits, and their values as f32.
struct __nv_bfloat16 { uint16_t x; };
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };
struct __half { uint16_t x; };
struct alignas(4) __half2 { __half x, y; };
typedef __half half;

namespace standin {
struct Thread {
    uint3 tid;
    unsigned linear, lane, warp;
};
extern Thread* cur;  // the CUDA thread that runs now
extern uint3 block_index;
extern dim3 block_shape, grid_shape;
extern void* dynamic_shared;
}  // namespace standin

#define threadIdx (standin::cur->tid)
#define blockIdx (standin::block_index)
#define blockDim (standin::block_shape)
#define gridDim (standin::grid_shape)
#define warpSize 32
// The dynamic shared memory of a launch; every block gets it anew, filled with 0xFF, 128-byte aligned.
#define DYNAMIC_SHARED(T, name) T* name = reinterpret_cast<T*>(standin::dynamic_shared)
