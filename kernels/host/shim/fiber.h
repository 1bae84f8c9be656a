// Stacks and the switch between them, with what the sanitizers want to be told.
#pragma once
#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define STANDIN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define STANDIN_ASAN 1
#endif
#endif
// For accesses of the scheduler, which are not the kernel's.
#define STANDIN_RAW __attribute__((no_sanitize("address"), no_sanitize("undefined"), noinline))

namespace standin {
// A place that can be switched away from and back to.
struct Context {
    void* sp = nullptr;
    char* stack = nullptr;  // lowest usable address; unknown (null) for a host thread's own stack under no sanitizer
    size_t bytes = 0;
    void* shadow = nullptr;  // ASan's fake stack while switched away
    void* tsan = nullptr;
    void* machine = nullptr;  // ucontext_t where there is no switch of our own
};
// A fresh stack with a guard page below.
void stack_allocate(Context&, size_t bytes);
// Makes the context start with `main`, which never returns. `color` spreads the stacks over cache sets.
void context_prepare(Context&, void (*main)(), unsigned color);
// Leaves `from`, whose thread is over when `last`, and goes on in `to`.
void context_switch(Context& from, Context& to, bool last);
// First thing in a new fiber; `from` is where it was entered from.
void context_entered();
// The context of the thread that calls run().
void context_adopt(Context&);
}  // namespace standin
