// Atomics on global and shared memory. All relaxed, as in CUDA.
#pragma once
#include "types.h"

namespace standin {
template <class T, class F>
static inline T atomic_apply(T* p, F f) {
    T old = __atomic_load_n(p, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(p, &old, f(old), false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
    return old;
}
}  // namespace standin

#define STANDIN_ATOMICS(T)                                                                                            \
    static inline T atomicAdd(T* p, T v) { return __atomic_fetch_add(p, v, __ATOMIC_RELAXED); }                       \
    static inline T atomicSub(T* p, T v) { return __atomic_fetch_sub(p, v, __ATOMIC_RELAXED); }                       \
    static inline T atomicAnd(T* p, T v) { return __atomic_fetch_and(p, v, __ATOMIC_RELAXED); }                       \
    static inline T atomicOr(T* p, T v) { return __atomic_fetch_or(p, v, __ATOMIC_RELAXED); }                         \
    static inline T atomicXor(T* p, T v) { return __atomic_fetch_xor(p, v, __ATOMIC_RELAXED); }                       \
    static inline T atomicExch(T* p, T v) { return __atomic_exchange_n(p, v, __ATOMIC_RELAXED); }                     \
    static inline T atomicMin(T* p, T v) {                                                                            \
        return standin::atomic_apply(p, [v](T o) { return v < o ? v : o; });                                          \
    }                                                                                                                 \
    static inline T atomicMax(T* p, T v) {                                                                            \
        return standin::atomic_apply(p, [v](T o) { return v > o ? v : o; });                                          \
    }                                                                                                                 \
    static inline T atomicCAS(T* p, T expected, T v) {                                                                \
        __atomic_compare_exchange_n(p, &expected, v, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);                      \
        return expected;                                                                                              \
    }
STANDIN_ATOMICS(int)
STANDIN_ATOMICS(unsigned)
STANDIN_ATOMICS(unsigned long long)
STANDIN_ATOMICS(long long)
#undef STANDIN_ATOMICS
static inline unsigned atomicInc(unsigned* p, unsigned v) {
    return standin::atomic_apply(p, [v](unsigned o) { return o >= v ? 0 : o + 1; });
}
static inline unsigned atomicDec(unsigned* p, unsigned v) {
    return standin::atomic_apply(p, [v](unsigned o) { return o == 0 || o > v ? v : o - 1; });
}
