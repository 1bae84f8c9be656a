// Runs blocks of fibers. The kernel side of it: barriers, collectives, cp.async. The launch side: `run`.
#pragma once
#include "types.h"

namespace standin {
// Error codes are CUDA's, because a driver hands them on.
enum Code { OK = 0, ILLEGAL_ADDRESS = 700, ASSERT = 710, MISALIGNED = 716, LAUNCH_FAILED = 719 };

enum class Order { ascending, descending, random };
// When cp.async copies, between issue and the wait that covers it: lazy shows a wait that is missing, eager a buffer
// that was overwritten too early.
enum class Copies { lazy, eager, coin };
struct Settings {
    Order order = Order::ascending;
    Copies copies = Copies::lazy;
    uint64_t seed = 1;
};
struct Stats {
    uint64_t switches, blocks, threads;
};

struct Launch {
    const char* name;
    void (*entry)(const void*);
    const void* parameters;
    dim3 grid, block;
    size_t dynamic_bytes;
    char *shared_begin, *shared_end;
};
struct Outcome {
    int code;
    char message[640];
};
// Runs a kernel to its end, or until the first thing that CUDA leaves undefined.
Outcome run(const Launch&, const Settings&);
extern Stats stats;
// Says where an address lies, for messages; set by the owner of device memory.
extern void (*describe_address)(const void*, char* text, size_t size);

[[noreturn]] void fail(Code code, const char* format, ...) __attribute__((format(printf, 2, 3)));

enum class Kind { syncwarp, shuffle, vote, match, reduce, mma, mma_tf32 };
// What the lanes of a warp left for one another: word[i][lane]. For mma the product is in result[i][lane].
struct Table {
    alignas(64) uint32_t word[8][32];
    alignas(64) int32_t result[4][32];
};
// Deposits this lane's words and waits for every lane in the mask. The table stays valid until the lane's next
// collective but one. Only __syncwarp orders memory.
const Table& collective(unsigned mask, Kind kind, int line, const uint32_t* words, unsigned count);

// Barrier `id` over `count` threads (0: all live threads of the block); returns how many of them brought a true
// predicate. `wait` false is bar.arrive.
unsigned barrier(unsigned id, unsigned count, int line, bool predicate, bool wait);
void yield_thread();
void fence(bool whole_device);

void async_copy(void* shared, const void* global, unsigned bytes, unsigned source_bytes, int line);
void async_commit();
void async_wait(unsigned keep);
}  // namespace standin

static inline void __syncthreads(int line = __builtin_LINE()) { standin::barrier(0, 0, line, false, true); }
static inline int __syncthreads_or(int p, int line = __builtin_LINE()) {
    return standin::barrier(0, 0, line, p != 0, true) != 0;
}
static inline int __syncthreads_and(int p, int line = __builtin_LINE()) {
    return standin::barrier(0, 0, line, p == 0, true) == 0;
}
static inline int __syncthreads_count(int p, int line = __builtin_LINE()) {
    return (int)standin::barrier(0, 0, line, p != 0, true);
}
// bar.sync id, count and bar.arrive id, count
static inline void bar_sync(unsigned id, unsigned count, int line = __builtin_LINE()) {
    standin::barrier(id, count, line, false, true);
}
static inline void bar_arrive(unsigned id, unsigned count, int line = __builtin_LINE()) {
    standin::barrier(id, count, line, false, false);
}
// A loop that waits for another thread must sleep in every turn: fibers are not preempted.
static inline void __nanosleep(unsigned) { standin::yield_thread(); }
static inline void __threadfence() { standin::fence(true); }
static inline void __threadfence_block() { standin::fence(false); }
static inline void __threadfence_system() { standin::fence(true); }
[[noreturn]] static inline void __trap() { standin::fail(standin::LAUNCH_FAILED, "__trap()"); }
