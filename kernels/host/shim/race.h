// What ThreadSanitizer is told, so that it sees every CUDA thread as a thread and only CUDA's own means as order:
// barriers and __syncwarp among threads of a block, __threadfence among all, nothing else. Blocks of a launch are not
// ordered, although they run one after another. All of it is nothing in other builds.
#pragma once
#include <stddef.h>

#include "fiber.h"

namespace standin {
#if defined(STANDIN_TSAN)
void race_release(void* tag);
void race_acquire(void* tag);
void race_touch(void* written, const void* read, size_t bytes);
void race_begin_launch(unsigned threads);
// Identities for the threads of a block, which are ordered after the begin of the launch and after nothing later.
void race_begin_block(Context* const* threads, unsigned count, char* shared_begin, char* shared_end);
void race_end_block();
void race_thread_begins();
void race_thread_returns();
#else
inline void race_release(void*) {}
inline void race_acquire(void*) {}
inline void race_touch(void*, const void*, size_t) {}
inline void race_begin_launch(unsigned) {}
inline void race_begin_block(Context* const*, unsigned, char*, char*) {}
inline void race_end_block() {}
inline void race_thread_begins() {}
inline void race_thread_returns() {}
#endif
}  // namespace standin
