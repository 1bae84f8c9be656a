// Arithmetic intrinsics. Rounding is IEEE's to nearest even, nothing is contracted (-ffp-contract=off) and nothing is
// flushed; conversions saturate as PTX cvt does.
#pragma once
#include "types.h"

static inline float __uint_as_float(unsigned i) { float f; memcpy(&f, &i, 4); return f; }
static inline float __int_as_float(int i) { float f; memcpy(&f, &i, 4); return f; }
static inline unsigned __float_as_uint(float f) { unsigned i; memcpy(&i, &f, 4); return i; }
static inline int __float_as_int(float f) { int i; memcpy(&i, &f, 4); return i; }
static inline long long __double_as_longlong(double f) { long long i; memcpy(&i, &f, 8); return i; }
static inline double __longlong_as_double(long long i) { double f; memcpy(&f, &i, 8); return f; }

static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

namespace standin {
// PTX min and max: the operand that is no NaN, and -0 below +0
static inline float max_f32(float a, float b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
    return a > b ? a : b;
}
static inline float min_f32(float a, float b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return __uint_as_float(__float_as_uint(a) | __float_as_uint(b));
    return a < b ? a : b;
}
template <class I, class F>
static inline I convert(F rounded, double low, double high) {  // to 32 bits; high is exclusive
    if (rounded != rounded) return 0;
    if ((double)rounded < low) return (I)low;
    if ((double)rounded >= high) return (I)(high - 1);
    return (I)rounded;
}
}  // namespace standin
#define fmaxf standin::max_f32
#define fminf standin::min_f32

static inline int __float2int_rn(float f) { return standin::convert<int>(rintf(f), -0x1p31, 0x1p31); }
static inline int __float2int_rz(float f) { return standin::convert<int>(truncf(f), -0x1p31, 0x1p31); }
static inline int __float2int_rd(float f) { return standin::convert<int>(floorf(f), -0x1p31, 0x1p31); }
static inline int __float2int_ru(float f) { return standin::convert<int>(ceilf(f), -0x1p31, 0x1p31); }
static inline unsigned __float2uint_rn(float f) { return standin::convert<unsigned>(rintf(f), 0, 0x1p32); }
static inline unsigned __float2uint_rz(float f) { return standin::convert<unsigned>(truncf(f), 0, 0x1p32); }
static inline float __int2float_rn(int i) { return (float)i; }
static inline float __uint2float_rn(unsigned i) { return (float)i; }
static inline float __ll2float_rn(long long i) { return (float)i; }
static inline float __ull2float_rn(unsigned long long i) { return (float)i; }
static inline double __int2double_rn(int i) { return (double)i; }

static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)(((uint64_t)a * b) >> 32); }
static inline int __mulhi(int a, int b) { return (int)(((int64_t)a * b) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline long long __mul64hi(long long a, long long b) { return (long long)(((__int128)a * b) >> 64); }
static inline unsigned __brev(unsigned x) {
    unsigned r = 0;
    for (int i = 0; i < 32; i++) r |= ((x >> i) & 1u) << (31 - i);
    return r;
}
static inline unsigned __funnelshift_l(unsigned lo, unsigned hi, unsigned s) {
    return (unsigned)(((((uint64_t)hi << 32) | lo) << (s & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned lo, unsigned hi, unsigned s) {
    return (unsigned)((((uint64_t)hi << 32) | lo) >> (s & 31));
}
// prmt: byte i of the result is the byte of {y, x} that nibble i of the selector names; bit 3 spreads that byte's sign
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned s) {
    uint64_t both = ((uint64_t)y << 32) | x;
    unsigned r = 0;
    for (int i = 0; i < 4; i++) {
        unsigned n = (s >> (4 * i)) & 15, b = (unsigned)(both >> (8 * (n & 7))) & 255;
        if (n & 8) b = (b & 128) ? 255 : 0;
        r |= b << (8 * i);
    }
    return r;
}
static inline int __dp4a(int a, int b, int c) {
    for (int i = 0; i < 4; i++) c = (int)((unsigned)c + (unsigned)((int8_t)(a >> (8 * i)) * (int8_t)(b >> (8 * i))));
    return c;
}

#define STANDIN_MINMAX(A, B, R)                                                                                       \
    static inline R min(A a, B b) { return (R)a < (R)b ? (R)a : (R)b; }                                               \
    static inline R max(A a, B b) { return (R)a > (R)b ? (R)a : (R)b; }
STANDIN_MINMAX(int, int, int)
STANDIN_MINMAX(unsigned, unsigned, unsigned)
STANDIN_MINMAX(int, unsigned, unsigned)
STANDIN_MINMAX(unsigned, int, unsigned)
STANDIN_MINMAX(long, long, long)
STANDIN_MINMAX(unsigned long, unsigned long, unsigned long)
STANDIN_MINMAX(long long, long long, long long)
STANDIN_MINMAX(unsigned long long, unsigned long long, unsigned long long)
#undef STANDIN_MINMAX
static inline float min(float a, float b) { return fminf(a, b); }
static inline float max(float a, float b) { return fmaxf(a, b); }

template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
template <class T> static inline T __ldcs(const T* p) { return *p; }
template <class T> static inline T __ldca(const T* p) { return *p; }
template <class T> static inline void __stcg(T* p, T v) { *p = v; }
template <class T> static inline void __stcs(T* p, T v) { *p = v; }
template <class T> static inline void __stwt(T* p, T v) { *p = v; }

static inline float __bfloat162float(__nv_bfloat16 h) { return __uint_as_float((unsigned)h.x << 16); }
static inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {__bfloat162float(v.x), __bfloat162float(v.y)}; }
// exact: every f16, subnormals included, is an f32
static inline float __half2float(__half h) {
    unsigned sign = (unsigned)(h.x & 0x8000) << 16, e = (h.x >> 10) & 31, m = h.x & 1023;
    if (e == 31) return __uint_as_float(sign | 0x7f800000u | (m << 13));
    if (e == 0) return __uint_as_float(sign | __float_as_uint((float)m * 0x1p-24f));
    return __uint_as_float(sign | ((e + 112) << 23) | (m << 13));
}
static inline float2 __half22float2(__half2 v) { return {__half2float(v.x), __half2float(v.y)}; }
