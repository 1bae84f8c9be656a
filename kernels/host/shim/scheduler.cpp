// One block at a time: its threads as fibers, ready threads as a bit mask per warp. A thread that has to wait switches
// straight to the next ready one, so a warp collective costs 31 switches.
#include "registry.h"
#include "scheduler.h"

#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <vector>

#include "fault.h"
#include "fiber.h"
#include "product.h"
#include "race.h"

namespace standin {
Thread* cur;
uint3 block_index;
dim3 block_shape, grid_shape;
void* dynamic_shared;
Stats stats;
Kernel* kernels;
void (*describe_address)(const void*, char*, size_t);

namespace {
constexpr unsigned MAX_THREADS = 1024, MAX_WARPS = 32, BARRIERS = 16, MASKS = 8;
constexpr size_t MAX_DYNAMIC = 227 * 1024;
constexpr unsigned MAX_SPINS = 1u << 16;
#if defined(STANDIN_ASAN)
constexpr size_t STACK = 256 << 10;
#else
constexpr size_t STACK = 64 << 10;
#endif

struct Copy {
    void* to;
    const void* from;
    unsigned bytes, source_bytes, group;
};
struct Fiber : Thread {
    Context context;
    const char* waits_in = nullptr;
    int line = 0;
    std::vector<Copy> copies;
    unsigned groups = 0;
};
struct Meeting {
    uint32_t mask = 0, arrived = 0;
    Kind kind;
    int line;
    unsigned generation = 0;
    Table table[2];  // a fast lane may deposit for the next meeting while a slow one still reads
};
struct Warp {
    uint32_t live = 0, ready = 0, yielded = 0, lanes = 0;
    unsigned meetings = 0;
    Meeting all, some[MASKS];
};
struct Barrier {
    unsigned arrived, expected, generation;
    int line;
    unsigned predicates[2];
    uint32_t waiting[MAX_WARPS];
};
// Addresses that stand for an order between threads, fresh for every block.
struct RaceTags {
    // two each, by turns: who leaves late must not be ordered after who already waits in the next one
    char barrier[BARRIERS][2];
    struct {
        char all[2], some[MASKS][2];
    } warp[MAX_WARPS];
};
struct Block {
    Fiber fibers[MAX_THREADS];
    Warp warps[MAX_WARPS];
    Barrier barriers[BARRIERS];
    uint32_t ready_warps = 0, yielded_warps = 0;
    unsigned threads = 0, live = 0, spins = 0, prepared = 0;
    Context host;
    const Launch* launch = nullptr;
    Settings settings;
    uint64_t random = 1;
    Outcome outcome;
    bool failed = false;
    RaceTags* tags = nullptr;
    Context* contexts[MAX_THREADS];
    char fence_tag;
};
Block* b;
Fiber* running() { return static_cast<Fiber*>(cur); }

uint64_t random_bits() {
    uint64_t& s = b->random;
    s ^= s << 13;
    s ^= s >> 7;
    s ^= s << 17;
    return s * 0x2545f4914f6cdd1dull >> 16;
}
unsigned pick(uint32_t mask) {
    if (b->settings.order == Order::ascending) return (unsigned)__builtin_ctz(mask);
    if (b->settings.order == Order::descending) return 31u - (unsigned)__builtin_clz(mask);
    for (unsigned skip = (unsigned)(random_bits() % (unsigned)__builtin_popcount(mask)); skip; skip--) mask &= mask - 1;
    return (unsigned)__builtin_ctz(mask);
}
void make_ready(unsigned warp, uint32_t lanes) {
    if (!lanes) return;
    b->warps[warp].ready |= lanes;
    b->ready_warps |= 1u << warp;
}
void deadlock() {
    char text[400];
    size_t n = 0;
    int shown = 0;
    for (unsigned i = 0; i < b->threads && shown < 4; i++) {
        Fiber& f = b->fibers[i];
        if (!((b->warps[f.warp].live >> f.lane) & 1)) continue;
        if (shown && f.waits_in == b->fibers[i - 1].waits_in && f.line == b->fibers[i - 1].line) continue;
        n += (size_t)snprintf(text + n, sizeof text - n, "; thread %u waits in %s at line %d", i, f.waits_in, f.line);
        if (n >= sizeof text) break;
        shown++;
    }
    fail(LAUNCH_FAILED, "deadlock: threads wait for others that will never come%s", text);
}
// The next thread to run; null when all have returned.
Fiber* next() {
    if (!b->ready_warps) {
        if (!b->live) return nullptr;
        if (!b->yielded_warps) deadlock();
        if (++b->spins > MAX_SPINS) fail(LAUNCH_FAILED, "threads spin on something that never comes");
        for (uint32_t w = b->yielded_warps; w; w &= w - 1) {
            unsigned i = (unsigned)__builtin_ctz(w);
            make_ready(i, b->warps[i].yielded);
            b->warps[i].yielded = 0;
        }
        b->yielded_warps = 0;
    }
    unsigned w = pick(b->ready_warps);
    Warp& warp = b->warps[w];
    unsigned lane = pick(warp.ready);
    warp.ready &= ~(1u << lane);
    if (!warp.ready) b->ready_warps &= ~(1u << w);
    return &b->fibers[w * 32 + lane];
}
void go(Fiber* from, bool last) {
    Fiber* to = next();
    if (to == from) return;
    stats.switches++;
    if (to) cur = to;
    context_switch(from->context, to ? to->context : b->host, last);
}
void wait_in(const char* what, int line) {
    Fiber* f = running();
    f->waits_in = what;
    f->line = line;
    go(f, false);
}
const char* name_of(Kind k) {
    static const char* const names[] = {"__syncwarp", "shuffle", "vote", "match", "reduction", "mma", "mma_tf32"};
    return names[(int)k];
}

void open_barrier(Barrier& bar) {
    for (unsigned w = 0; w < MAX_WARPS; w++) {
        make_ready(w, bar.waiting[w]);
        bar.waiting[w] = 0;
    }
    bar.arrived = bar.expected = 0;
    bar.generation++;
    bar.predicates[bar.generation & 1] = 0;  // the other one is still being read
    b->spins = 0;
}
void thread_returns() {
    Fiber* f = running();
    if (!f->copies.empty()) fail(LAUNCH_FAILED, "returns with cp.async in flight");
    Warp& w = b->warps[f->warp];
    w.live &= ~(1u << f->lane);
    b->live--;
    b->spins = 0;
    race_thread_returns();
    // a thread that has returned counts as arrived, as on sm_70 and later
    Barrier& bar = b->barriers[0];
    if (bar.arrived && bar.arrived == b->live) open_barrier(bar);
    go(f, true);
    abort();
}
void fiber_main() {
    context_entered();
    race_thread_begins();
    b->launch->entry(b->launch->parameters);
    thread_returns();
}
}  // namespace

STANDIN_RAW void fail(Code code, const char* format, ...) {
    va_list a;
    va_start(a, format);
    char text[480];
    vsnprintf(text, sizeof text, format, a);
    va_end(a);
    if (!b || !cur) {
        fprintf(stderr, "standin: %s\n", text);
        abort();
    }
    Fiber* f = running();
    b->outcome.code = code;
    snprintf(b->outcome.message, sizeof b->outcome.message, "%s: block (%u,%u,%u) thread (%u,%u,%u): %s",
             b->launch->name, block_index.x, block_index.y, block_index.z, f->tid.x, f->tid.y, f->tid.z, text);
    b->failed = true;
    context_switch(f->context, b->host, true);
    abort();
}

unsigned barrier(unsigned id, unsigned count, int line, bool predicate, bool wait) {
    Fiber* f = running();
    if (id >= BARRIERS) fail(LAUNCH_FAILED, "line %d: barrier %u", line, id);
    if (count % 32 || count > b->threads) fail(LAUNCH_FAILED, "line %d: barrier over %u threads", line, count);
    Barrier& bar = b->barriers[id];
    if (bar.arrived && id == 0 && count == 0 && bar.line != line)
        fail(LAUNCH_FAILED, "__syncthreads at line %d while other threads wait in the one at line %d", line, bar.line);
    if (bar.arrived && bar.expected != count)
        fail(LAUNCH_FAILED, "line %d: barrier %u over %u threads, other threads said %u", line, id, count, bar.expected);
    bar.line = line;
    bar.expected = count;
    const unsigned parity = bar.generation & 1;
    bar.predicates[parity] += predicate;
    race_release(&b->tags->barrier[id][parity]);
    if (++bar.arrived == (count ? count : b->live)) {
        open_barrier(bar);
    } else if (wait) {
        bar.waiting[f->warp] |= 1u << f->lane;
        wait_in(id ? "bar.sync" : "__syncthreads", line);
    }
    if (wait) race_acquire(&b->tags->barrier[id][parity]);
    return bar.predicates[parity];
}

static Meeting& meeting_of(Warp& w, unsigned mask) {
    if (mask == 0xffffffffu) return w.all;
    Meeting* unused = nullptr;
    for (unsigned i = 0; i < w.meetings; i++) {
        if (w.some[i].mask == mask) return w.some[i];
        if (!w.some[i].arrived) unused = &w.some[i];
    }
    if (!unused) {
        if (w.meetings == MASKS) fail(LAUNCH_FAILED, "more than %u different warp masks at once", MASKS);
        unused = &w.some[w.meetings++];
    }
    unused->mask = mask;
    return *unused;
}

static char* tag_of(const Warp& w, const Meeting& m) {
    auto& tags = b->tags->warp[&w - b->warps];
    return (&m == &w.all ? tags.all : tags.some[&m - w.some]) + (m.generation & 1);
}

STANDIN_RAW const Table& collective(unsigned mask, Kind kind, int line, const uint32_t* words, unsigned count) {
    Fiber* f = running();
    Warp& w = b->warps[f->warp];
    const uint32_t me = 1u << f->lane;
    if (!(mask & me)) fail(LAUNCH_FAILED, "line %d: %s by a lane absent from its mask %08x", line, name_of(kind), mask);
    // lanes that the block never had (a partial last warp) may be named, lanes that have returned may not
    const uint32_t full = mask & w.lanes;
    if (full & ~w.live)
        fail(LAUNCH_FAILED, "line %d: %s waits for lanes %08x, which have returned", line, name_of(kind), full & ~w.live);
    Meeting& m = meeting_of(w, mask);
    if (m.arrived && (m.kind != kind || m.line != line))
        fail(LAUNCH_FAILED, "%s at line %d while other lanes of the warp wait in the %s at line %d", name_of(kind), line,
             name_of(m.kind), m.line);
    m.kind = kind;
    m.line = line;
    Table& table = m.table[m.generation & 1];
    for (unsigned i = 0; i < count; i++) table.word[i][f->lane] = words[i];
    char* tag = tag_of(w, m);
    if (kind == Kind::syncwarp) race_release(tag);
    m.arrived |= me;
    if (m.arrived == full) {
        m.arrived = 0;
        m.generation++;
        b->spins = 0;
        if (kind >= Kind::mma && full != 0xffffffffu)
            fail(LAUNCH_FAILED, "line %d: %s in a warp of fewer than 32 lanes", line, name_of(kind));
        if (kind == Kind::mma) product_m16n8k32(table.word, table.result);
        make_ready(f->warp, full & ~me);
    } else {
        wait_in(name_of(kind), line);
    }
    if (kind == Kind::syncwarp) race_acquire(tag);
    return table;
}

void yield_thread() {
    Fiber* f = running();
    b->warps[f->warp].yielded |= 1u << f->lane;
    b->yielded_warps |= 1u << f->warp;
    wait_in("__nanosleep", 0);
}
void fence(bool whole_device) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (whole_device) {
        race_acquire(&b->fence_tag);
        race_release(&b->fence_tag);
    }
}

uintptr_t stack_top() {
    const Context& c = running()->context;
    return ((uintptr_t)c.stack + c.bytes) & ~(uintptr_t)63;
}

STANDIN_RAW static void copy_now(const Copy& c) {
    // volatile: a call of memcpy would be checked as the kernel's, at the wrong time
    const volatile uint8_t* s = (const volatile uint8_t*)c.from;
    volatile uint8_t* d = (volatile uint8_t*)c.to;
    unsigned i = 0;
    for (; i + 8 <= c.source_bytes; i += 8) *(volatile uint64_t*)(d + i) = *(const volatile uint64_t*)(s + i);
    for (; i < c.source_bytes; i++) d[i] = s[i];
    for (; i < c.bytes; i++) d[i] = 0;
}
void async_copy(void* shared, const void* global, unsigned bytes, unsigned source_bytes, int line) {
    Fiber* f = running();
    if (((uintptr_t)shared | (uintptr_t)global) & (bytes - 1))
        fail(MISALIGNED, "line %d: cp.async of %u bytes, misaligned: to %p from %p", line, bytes, shared, global);
    if (source_bytes > bytes) fail(LAUNCH_FAILED, "line %d: cp.async of %u bytes from %u", line, bytes, source_bytes);
    check_access(shared, bytes, true);
    check_access(global, source_bytes, false);
    race_touch(shared, global, source_bytes);
    Copy c{shared, global, bytes, source_bytes, f->groups};
    const Copies mode = b->settings.copies;
    if (mode == Copies::eager || (mode == Copies::coin && (random_bits() & 1)))
        copy_now(c);
    else
        f->copies.push_back(c);
}
void async_commit() { running()->groups++; }
void async_wait(unsigned keep) {
    Fiber* f = running();
    size_t kept = 0;
    for (const Copy& c : f->copies) {
        // copies that no commit closed belong to no group yet: wait_all covers them, wait_group does not
        if (c.group + keep < f->groups) copy_now(c);
        else f->copies[kept++] = c;
    }
    f->copies.resize(kept);
}

static void begin_block(const Launch& l) {
    fill_shared(l);
    for (Barrier& bar : b->barriers) bar = Barrier{};
    const unsigned n = b->threads, warps = (n + 31) / 32;
    for (unsigned w = 0; w < warps; w++) {
        Warp& warp = b->warps[w];
        const unsigned in = n - w * 32;
        warp.lanes = warp.live = in >= 32 ? 0xffffffffu : (1u << in) - 1;
        warp.ready = warp.yielded = 0;
        warp.all.arrived = 0;
        for (unsigned i = 0; i < warp.meetings; i++) warp.some[i].arrived = 0;
        make_ready(w, warp.live);
    }
    const dim3 s = l.block;
    for (unsigned i = 0; i < n; i++) {
        Fiber& f = b->fibers[i];
        static_cast<Thread&>(f) = {{i % s.x, i / s.x % s.y, i / (s.x * s.y)}, i, i & 31, i >> 5};
        f.copies.clear();
        f.groups = 0;
        context_prepare(f.context, fiber_main, i);
    }
    b->live = n;
    b->spins = 0;
    stats.blocks++;
    stats.threads += n;
}

static void run_block(const Launch& l) {
    b->ready_warps = b->yielded_warps = 0;
    begin_block(l);
    b->tags = new RaceTags;
    race_begin_block(b->contexts, b->threads, l.shared_begin, l.shared_end);
    Fiber* first = next();
    cur = first;
    stats.switches++;
    context_switch(b->host, first->context, false);
    cur = nullptr;
    race_end_block();
    delete b->tags;
}

Outcome run(const Launch& l, const Settings& settings) {
    if (!b) b = new Block();  // all zero where no initialiser says otherwise
    b->outcome = Outcome{};
    const uint64_t threads = (uint64_t)l.block.x * l.block.y * l.block.z;
    if (!threads || threads > MAX_THREADS || l.dynamic_bytes > MAX_DYNAMIC) {
        b->outcome.code = 1;
        snprintf(b->outcome.message, sizeof b->outcome.message, "%s: %llu threads, %zu bytes of dynamic shared memory",
                 l.name, (unsigned long long)threads, l.dynamic_bytes);
        return b->outcome;
    }
    b->launch = &l;
    b->settings = settings;
    b->random = settings.seed * 0x9e3779b97f4a7c15ull | 1;
    b->threads = (unsigned)threads;
    b->failed = false;
    block_shape = l.block;
    grid_shape = l.grid;
    context_adopt(b->host);
    for (; b->prepared < threads; b->prepared++) {
        b->contexts[b->prepared] = &b->fibers[b->prepared].context;
        stack_allocate(*b->contexts[b->prepared], STACK);
    }
    race_begin_launch(b->threads);
    begin_faults();
    for (unsigned z = 0; z < l.grid.z && !b->failed; z++)
        for (unsigned y = 0; y < l.grid.y && !b->failed; y++)
            for (unsigned x = 0; x < l.grid.x && !b->failed; x++) {
                block_index = {x, y, z};
                run_block(l);
            }
    end_faults();
    end_shared();
    return b->outcome;
}
}  // namespace standin
