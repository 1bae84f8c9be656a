#include "race.h"

#if defined(STANDIN_TSAN)
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

#include <vector>

extern "C" void __tsan_write_range(void*, unsigned long);
extern "C" void __tsan_read_range(void*, unsigned long);
// Made for virtual machines that manage memory of their own: the one way to say that a range is memory anew.
extern "C" void __tsan_java_init(unsigned long begin, unsigned long bytes);
extern "C" void __tsan_java_alloc(unsigned long begin, unsigned long bytes);

namespace standin {
namespace {
void* host;
void* creator;  // gives birth to threads and memory, and has seen nothing of any launch
char launched, born, returned;
// Identities, taken in turn. One that comes round again is ordered after the block that it was in before, so a race
// with that block would not show: there are enough for several blocks.
std::vector<void*> identities;
size_t next_identity, in_turn;
constexpr size_t BLOCKS = 4, MOST = 2048;

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
void race_begin_launch(unsigned threads) {
    host = __tsan_get_current_fiber();
    if (!creator) creator = __tsan_create_fiber(0);
    in_turn = BLOCKS * threads < MOST ? BLOCKS * threads : MOST;
    next_identity = 0;
    __tsan_release(&launched);
}
// Shadow memory of all of a stack would take most of the time.
static const char* used_from(const Context& c) {
    const uint64_t* p = (const uint64_t*)c.stack;
    const uint64_t* const end = (const uint64_t*)(c.stack + c.bytes);
    while (p < end && !*p) p++;
    return (const char*)p - c.stack < 4096 ? c.stack : (const char*)p - 4096;
}
void race_begin_block(Context* const* threads, unsigned count, char* shared_begin, char* shared_end) {
    __tsan_switch_to_fiber(creator, __tsan_switch_to_fiber_no_sync);
    if (shared_begin) forget(shared_begin, shared_end);
    for (unsigned i = 0; i < count; i++) {
        forget(used_from(*threads[i]), threads[i]->stack + threads[i]->bytes);
        if (next_identity == identities.size()) identities.push_back(__tsan_create_fiber(0));
        threads[i]->tsan = identities[next_identity];
        next_identity = (next_identity + 1) % in_turn;
    }
    __tsan_release(&born);
    __tsan_switch_to_fiber(host, __tsan_switch_to_fiber_no_sync);
}
void race_thread_begins() {
    __tsan_acquire(&launched);
    __tsan_acquire(&born);
}
void race_thread_returns() { __tsan_release(&returned); }
void race_end_block() { __tsan_acquire(&returned); }
}  // namespace standin
#endif
