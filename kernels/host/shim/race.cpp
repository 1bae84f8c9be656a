#include "race.h"

#if defined(STANDIN_TSAN)
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

#include <deque>

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
// Threads that have returned. ThreadSanitizer gives the number of a destroyed thread to a new one and takes the two for
// one, so that a race between them would not show: they stay for as long as there is room.
std::deque<void*> past;
constexpr size_t PAST = 2048;

void destroy_until(size_t left) {
    for (; past.size() > left; past.pop_front()) __tsan_destroy_fiber(past.front());
}

// Shared memory and stacks of one block are no memory of the next.
void forget(const char* begin, const char* end) {
    static bool initialized;
    const uintptr_t low = (uintptr_t)begin & ~(uintptr_t)7, high = ((uintptr_t)end + 7) & ~(uintptr_t)7;
    // one range for all: mapped memory is close together, and no more is touched than is told of
    constexpr uintptr_t AROUND = (uintptr_t)1 << 36, TOP = (uintptr_t)1 << 47;
    const uintptr_t first = low - AROUND;
    if (!initialized) __tsan_java_init(first, (first + 2 * AROUND < TOP ? 2 * AROUND : TOP - first) - 4096);
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
void race_end_launch() {
    destroy_until(0);
    __tsan_destroy_fiber(creator);
}
void race_begin_block(Context* const* threads, unsigned count, char* shared_begin, char* shared_end) {
    __tsan_switch_to_fiber(creator, __tsan_switch_to_fiber_no_sync);
    if (shared_begin) forget(shared_begin, shared_end);
    for (unsigned i = 0; i < count; i++) {
        forget(threads[i]->stack, threads[i]->stack + threads[i]->bytes);
        threads[i]->tsan = __tsan_create_fiber(0);
    }
    __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);
}
void race_end_block(Context* const* threads, unsigned count) {
    __tsan_acquire(&returned);
    for (unsigned i = 0; i < count; i++) past.push_back(threads[i]->tsan);
    destroy_until(PAST);
}
void race_thread_returns() { __tsan_release(&returned); }
}  // namespace standin
#endif
