#include "fault.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "fiber.h"

// A sanitizer handles signals itself; elsewhere a faulting thread needs its registers set.
#if !defined(STANDIN_ASAN) && !defined(STANDIN_TSAN) && (defined(__x86_64__) || defined(__aarch64__))
#define STANDIN_SIGNALS 1
#endif
#if defined(STANDIN_ASAN)
extern "C" void __asan_loadN(void*, size_t);
extern "C" void __asan_storeN(void*, size_t);
#endif

namespace standin {
namespace {
constexpr size_t ARENA = 256 << 10, PAGE = 4096, SIGNAL_STACK = 64 << 10;
char* arena_end;

// not memset: the sanitizers' interceptors would take it for an access of the kernel's
STANDIN_RAW void fill(char* p, size_t n) {
#if defined(__x86_64__)
    asm volatile("rep stosb" : "+D"(p), "+c"(n) : "a"(0xff) : "memory");
#else
    for (volatile char* q = p; n; n--) *q++ = (char)0xff;
#endif
}
}  // namespace

void fill_shared(const Launch& l) {
    if (l.shared_begin) fill(l.shared_begin, (size_t)(l.shared_end - l.shared_begin));
    end_shared();
    if (!l.dynamic_bytes) return;
#if defined(STANDIN_ASAN) || defined(STANDIN_TSAN)
    void* p = nullptr;
    if (posix_memalign(&p, 128, l.dynamic_bytes)) abort();
    dynamic_shared = p;
#else
    // against a page that faults, so that the end shows without a sanitizer too
    if (!arena_end) {
        char* m = (char*)mmap(nullptr, ARENA + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (m == MAP_FAILED) abort();
        arena_end = m + ARENA;
        mprotect(arena_end, PAGE, PROT_NONE);
    }
    dynamic_shared = arena_end - (l.dynamic_bytes + 127) / 128 * 128;
#endif
    fill((char*)dynamic_shared, l.dynamic_bytes);
}
void end_shared() {
#if defined(STANDIN_ASAN) || defined(STANDIN_TSAN)
    free(dynamic_shared);
#endif
    dynamic_shared = nullptr;
}

void check_access(const void* p, unsigned bytes, bool write) {
#if defined(STANDIN_ASAN)
    if (write) __asan_storeN(const_cast<void*>(p), bytes);
    else __asan_loadN(const_cast<void*>(p), bytes);
#else
    (void)p, (void)bytes, (void)write;
#endif
}

#if !defined(STANDIN_ASAN)
// What -fsanitize=alignment calls, so that a misaligned access is told without the sanitizer's runtime.
struct TypeMismatch {
    const char* file;
    uint32_t line, column;
    const void* type;
    unsigned char log_alignment, kind;
};
extern "C" __attribute__((visibility("hidden"))) void __ubsan_handle_type_mismatch_v1(TypeMismatch* at, void* p) {
    if (!p) fail(ILLEGAL_ADDRESS, "%s:%u: access through a null pointer", at->file, at->line);
    fail(MISALIGNED, "%s:%u: misaligned access: %p is not a multiple of %u", at->file, at->line, p,
         1u << at->log_alignment);
}
#endif

#if defined(STANDIN_SIGNALS)
namespace {
constexpr int SIGNALS[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL}, COUNT = 4;
struct sigaction previous[COUNT];
pthread_t executor;
volatile bool executing;
int fault_signal;
bool fault_known;
void* fault_address;

// Where the faulting fiber goes on, at the top of its stack: nothing on that is needed any more.
void landing() {
    if (fault_signal == SIGFPE) fail(LAUNCH_FAILED, "integer division by zero, or its overflow");
    if (fault_signal == SIGILL) fail(LAUNCH_FAILED, "a place that the compiler holds to be undefined");
    if (!fault_known) fail(ILLEGAL_ADDRESS, "access to an address that cannot be one");
    char text[200] = "";
    const char* p = (const char*)fault_address;
    if ((uintptr_t)p < PAGE)
        snprintf(text, sizeof text, ", through a null pointer");
    else if (arena_end && p >= arena_end && p < arena_end + PAGE)
        snprintf(text, sizeof text, ", %zd bytes past the dynamic shared memory", (ssize_t)(p - arena_end));
    else if (describe_address)
        describe_address(p, text, sizeof text);
    fail(ILLEGAL_ADDRESS, "illegal access to %p%s", fault_address, text);
}
void on_signal(int number, siginfo_t* info, void* context) {
    if (executing && cur && pthread_equal(executor, pthread_self())) {
        fault_signal = number;
        fault_address = info->si_addr;
        fault_known = info->si_code > 0 && info->si_code != SI_KERNEL;
        ucontext_t* u = (ucontext_t*)context;
        const uintptr_t top = stack_top() - 64;
#if defined(__x86_64__)
        u->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)&landing;
        u->uc_mcontext.gregs[REG_RSP] = (greg_t)(top - 8);  // as after a call
#else
        u->uc_mcontext.pc = (uintptr_t)&landing;
        u->uc_mcontext.sp = top;
#endif
        return;
    }
    for (int i = 0; i < COUNT; i++) {
        if (SIGNALS[i] != number) continue;
        const struct sigaction& old = previous[i];
        if (old.sa_flags & SA_SIGINFO) return old.sa_sigaction(number, info, context);
        if (old.sa_handler != SIG_DFL && old.sa_handler != SIG_IGN) return old.sa_handler(number);
        sigaction(number, &old, nullptr);  // the access is made again and ends the process
    }
}
void install() {
    struct sigaction action = {};
    action.sa_sigaction = on_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (int i = 0; i < COUNT; i++) sigaction(SIGNALS[i], &action, &previous[i]);
}
}  // namespace

void begin_faults() {
    static bool installed;
    if (!installed) install();
    installed = true;
    stack_t stack;
    // a fiber that has overflowed its stack cannot run a handler on it
    if (!sigaltstack(nullptr, &stack) && (stack.ss_flags & SS_DISABLE)) {
        stack = stack_t{};
        stack.ss_sp = malloc(SIGNAL_STACK);
        stack.ss_size = SIGNAL_STACK;
        sigaltstack(&stack, nullptr);
    }
    executor = pthread_self();
    executing = true;
}
void end_faults() { executing = false; }
#else
void begin_faults() {}
void end_faults() {}
#endif
}  // namespace standin
