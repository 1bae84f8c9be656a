#include "fiber.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(STANDIN_ASAN)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
// This file and the scheduler are built without -fsanitize=thread, with STANDIN_TSAN instead: their own accesses are
// no kernel's.
#if defined(STANDIN_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

#if defined(__x86_64__) && !defined(STANDIN_UCONTEXT)
// Pushes the registers that a call preserves, swaps stacks, pops. The floating-point control words are nobody's to
// change, so they are left alone.
asm(R"(
.text
.p2align 4
.globl standin_switch
.hidden standin_switch
.type standin_switch,@function
standin_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size standin_switch,.-standin_switch
)");
extern "C" __attribute__((visibility("hidden"))) void standin_switch(void** save, void* to);
#else
#include <ucontext.h>
#define STANDIN_UCONTEXT 1
#endif

namespace standin {
void stack_allocate(Context& c, size_t bytes) {
    const size_t page = 4096;
    void* m = mmap(nullptr, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m == MAP_FAILED) abort();
    mprotect(m, page, PROT_NONE);
    c.stack = (char*)m + page;
    c.bytes = bytes;
}

#if !defined(STANDIN_UCONTEXT)
STANDIN_RAW void context_prepare(Context& c, void (*main)(), unsigned color) {
#if defined(STANDIN_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(c.stack, c.bytes);  // frames of the previous block were never unwound
#endif
    uintptr_t top = ((uintptr_t)c.stack + c.bytes - color % 32 * 128) & ~(uintptr_t)63;
    void** sp = (void**)top;
    *--sp = nullptr;
    *--sp = (void*)main;
    for (int i = 0; i < 6; i++) *--sp = nullptr;
    c.sp = sp;
    c.shadow = nullptr;
}
static inline void machine_switch(Context& from, Context& to) { standin_switch(&from.sp, to.sp); }
#else
void context_prepare(Context& c, void (*main)(), unsigned) {
#if defined(STANDIN_ASAN)
    ASAN_UNPOISON_MEMORY_REGION(c.stack, c.bytes);
#endif
    if (!c.machine) c.machine = new ucontext_t;
    ucontext_t* u = (ucontext_t*)c.machine;
    getcontext(u);
    u->uc_stack.ss_sp = c.stack;
    u->uc_stack.ss_size = c.bytes;
    u->uc_link = nullptr;
    makecontext(u, main, 0);
    c.shadow = nullptr;
}
static inline void machine_switch(Context& from, Context& to) {
    if (!from.machine) from.machine = new ucontext_t;
    swapcontext((ucontext_t*)from.machine, (ucontext_t*)to.machine);
}
#endif

STANDIN_RAW void context_switch(Context& from, Context& to, bool last) {
    (void)last;
#if defined(STANDIN_ASAN)
    __sanitizer_start_switch_fiber(last ? nullptr : &from.shadow, to.stack, to.bytes);
#endif
#if defined(STANDIN_TSAN)
    __tsan_switch_to_fiber(to.tsan, __tsan_switch_to_fiber_no_sync);
#endif
    machine_switch(from, to);
#if defined(STANDIN_ASAN)
    __sanitizer_finish_switch_fiber(from.shadow, nullptr, nullptr);
#endif
}
STANDIN_RAW void context_entered() {
#if defined(STANDIN_ASAN)
    __sanitizer_finish_switch_fiber(nullptr, nullptr, nullptr);
#endif
}
void context_adopt(Context& c) {
    (void)c;
#if defined(STANDIN_ASAN)
    pthread_attr_t attributes;
    void* stack;
    if (pthread_getattr_np(pthread_self(), &attributes)) abort();
    pthread_attr_getstack(&attributes, &stack, &c.bytes);
    pthread_attr_destroy(&attributes);
    c.stack = (char*)stack;
#endif
#if defined(STANDIN_TSAN)
    c.tsan = __tsan_get_current_fiber();
#endif
}
}  // namespace standin
