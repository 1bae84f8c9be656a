// cp.async: copies from global to shared memory that a thread waits for by groups.
// PTX manual, cp.async: 4, 8 or 16 bytes (.cg: 16 only), both addresses aligned to the size; with src-size below the
// size the rest is zeros. cp.async.wait_group N waits until at most the N most recent groups are pending; the copies
// are then visible to the thread that issued them, to others after a barrier.
#pragma once
#include "scheduler.h"

static inline void cp_async16(void* s, const void* g, int line = __builtin_LINE()) {
    standin::async_copy(s, g, 16, 16, line);
}
static inline void cp_async16_zfill(void* s, const void* g, unsigned source_bytes, int line = __builtin_LINE()) {
    standin::async_copy(s, g, 16, source_bytes, line);
}
static inline void cp_async8(void* s, const void* g, int line = __builtin_LINE()) {
    standin::async_copy(s, g, 8, 8, line);
}
static inline void cp_async4(void* s, const void* g, int line = __builtin_LINE()) {
    standin::async_copy(s, g, 4, 4, line);
}
static inline void cp_async_commit() { standin::async_commit(); }
template <int N>
static inline void cp_async_wait() {
    standin::async_wait(N);
}
static inline void cp_async_wait_all() { standin::async_wait(0); }
