#include "race.h"

#if defined(STANDIN_TSAN)
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

extern "C" void __tsan_write_range(void*, unsigned long);
extern "C" void __tsan_read_range(void*, unsigned long);
// Made for virtual machines that manage memory of their own: the one way to say that a range is memory anew.
extern "C" void __tsan_java_init(unsigned long begin, unsigned long bytes);
extern "C" void __tsan_java_alloc(unsigned long begin, unsigned long bytes);

namespace standin {
namespace {
void* host;
void* creator;  // gives birth to threads, and has seen nothing since the begin of the launch
char returned;

// Shared memory of one block is no memory of the next.
void forget(char* begin, char* end) {
    static bool initialized;
    const uintptr_t low = (uintptr_t)begin & ~(uintptr_t)7, high = ((uintptr_t)end + 7) & ~(uintptr_t)7;
    constexpr uintptr_t AROUND = 1 << 24;  // the sections lie in one library
    if (!initialized) __tsan_java_init(low - AROUND, 2 * AROUND);
    initialized = true;
    __tsan_java_alloc(low, high - low);
}
}  // namespace

void race_release(void* tag) { __tsan_release(tag); }
void race_acquire(void* tag) { __tsan_acquire(tag); }
void race_touch(void* written, const void* read, size_t bytes) {
    __tsan_write_range(written, bytes);
    __tsan_read_range(const_cast<void*>(read), bytes);
}
void race_begin_launch() {
    host = __tsan_get_current_fiber();
    creator = __tsan_create_fiber(0);
}
void race_end_launch() { __tsan_destroy_fiber(creator); }
void race_begin_block(Context* const* threads, unsigned count, char* shared_begin, char* shared_end) {
    __tsan_switch_to_fiber(creator, __tsan_switch_to_fiber_no_sync);
    if (shared_begin) forget(shared_begin, shared_end);
    for (unsigned i = 0; i < count; i++) threads[i]->tsan = __tsan_create_fiber(0);
    __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);
}
void race_end_block(Context* const* threads, unsigned count) {
    __tsan_acquire(&returned);
    for (unsigned i = 0; i < count; i++) __tsan_destroy_fiber(threads[i]->tsan);
}
void race_thread_returns() { __tsan_release(&returned); }
}  // namespace standin
#endif
