// Warp collectives: shuffles, votes, matches, reductions.
#pragma once
#include "scheduler.h"

namespace standin {
// lane `source` of the segment; `own` keeps the caller's value, as CUDA does for a source outside the segment
template <class T>
static inline T shuffle(unsigned mask, T value, int source, bool own, int line) {
    static_assert(sizeof(T) <= 32 && sizeof(T) % 4 == 0, "shuffles move 32-bit words");
    constexpr unsigned words = sizeof(T) / 4;
    uint32_t in[words];
    memcpy(in, &value, sizeof(T));
    const Table& table = collective(mask, Kind::shuffle, line, in, words);
    if (own) return value;
    if (!((mask >> source) & 1))
        fail(LAUNCH_FAILED, "line %d: shuffle reads lane %d, absent from mask %08x", line, source, mask);
    for (unsigned i = 0; i < words; i++) in[i] = table.word[i][source];
    memcpy(&value, in, sizeof(T));
    return value;
}
static inline uint32_t vote(unsigned mask, bool p, int line) {
    uint32_t in = p, bits = 0;
    const Table& table = collective(mask, Kind::vote, line, &in, 1);
    for (int i = 0; i < 32; i++) bits |= ((mask >> i) & table.word[0][i] & 1u) << i;
    return bits;
}
template <class T, class F>
static inline T reduce(unsigned mask, T value, int line, F f) {
    uint32_t in = (uint32_t)value;
    const Table& table = collective(mask, Kind::reduce, line, &in, 1);
    T r = 0;
    bool first = true;
    for (int i = 0; i < 32; i++)
        if ((mask >> i) & 1) {
            T v = (T)table.word[0][i];
            r = first ? v : f(r, v);
            first = false;
        }
    return r;
}
}  // namespace standin

static inline void __syncwarp(unsigned mask = 0xffffffffu, int line = __builtin_LINE()) {
    standin::collective(mask, standin::Kind::syncwarp, line, nullptr, 0);
}
template <class T>
static inline T __shfl_sync(unsigned m, T v, int source, int width = 32, int line = __builtin_LINE()) {
    int lane = (int)standin::cur->lane;
    return standin::shuffle(m, v, (lane & ~(width - 1)) | (source & (width - 1)), false, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned m, T v, int x, int width = 32, int line = __builtin_LINE()) {
    int lane = (int)standin::cur->lane, source = lane ^ x;
    return standin::shuffle(m, v, source, source >= 32 || source > (lane | (width - 1)), line);
}
template <class T>
static inline T __shfl_down_sync(unsigned m, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
    int lane = (int)standin::cur->lane;
    return standin::shuffle(m, v, lane + (int)d, (lane & (width - 1)) + (int)d >= width, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned m, T v, unsigned d, int width = 32, int line = __builtin_LINE()) {
    int lane = (int)standin::cur->lane;
    return standin::shuffle(m, v, lane - (int)d, (lane & (width - 1)) < (int)d, line);
}
static inline unsigned __ballot_sync(unsigned m, int p, int line = __builtin_LINE()) {
    return standin::vote(m, p != 0, line);
}
static inline int __any_sync(unsigned m, int p, int line = __builtin_LINE()) {
    return standin::vote(m, p != 0, line) != 0;
}
static inline int __all_sync(unsigned m, int p, int line = __builtin_LINE()) {
    return standin::vote(m, p == 0, line) == 0;
}
template <class T>
static inline unsigned __match_any_sync(unsigned m, T v, int line = __builtin_LINE()) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "match compares 32 or 64 bits");
    uint32_t in[2] = {0, 0}, bits = 0;
    memcpy(in, &v, sizeof(T));
    const standin::Table& t = standin::collective(m, standin::Kind::match, line, in, 2);
    for (int i = 0; i < 32; i++)
        if (((m >> i) & 1) && t.word[0][i] == in[0] && t.word[1][i] == in[1]) bits |= 1u << i;
    return bits;
}
static inline int __reduce_add_sync(unsigned m, int v, int line = __builtin_LINE()) {
    return standin::reduce(m, v, line, [](int a, int b) { return (int)((unsigned)a + (unsigned)b); });
}
static inline unsigned __reduce_add_sync(unsigned m, unsigned v, int line = __builtin_LINE()) {
    return standin::reduce(m, v, line, [](unsigned a, unsigned b) { return a + b; });
}
#define STANDIN_REDUCE(name, type, expression)                                                                        \
    static inline type name(unsigned m, type v, int line = __builtin_LINE()) {                                        \
        return standin::reduce(m, v, line, [](type a, type b) { return (type)(expression); });                        \
    }
STANDIN_REDUCE(__reduce_min_sync, int, a < b ? a : b)
STANDIN_REDUCE(__reduce_min_sync, unsigned, a < b ? a : b)
STANDIN_REDUCE(__reduce_max_sync, int, a > b ? a : b)
STANDIN_REDUCE(__reduce_max_sync, unsigned, a > b ? a : b)
STANDIN_REDUCE(__reduce_and_sync, unsigned, a & b)
STANDIN_REDUCE(__reduce_or_sync, unsigned, a | b)
STANDIN_REDUCE(__reduce_xor_sync, unsigned, a ^ b)
#undef STANDIN_REDUCE
// gpu.cuh's names for the reductions of a whole warp
static inline uint32_t warp_max(uint32_t v, int line = __builtin_LINE()) {
    return __reduce_max_sync(0xffffffffu, v, line);
}
static inline uint32_t warp_sum(uint32_t v, int line = __builtin_LINE()) {
    return __reduce_add_sync(0xffffffffu, v, line);
}
