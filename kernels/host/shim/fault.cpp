#include "fault.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "fiber.h"

namespace standin {
namespace {
constexpr size_t ARENA = 256 << 10, PAGE = 4096;
char* arena_end;

// not memset: the sanitizers' interceptors would check it as if it were the kernel's
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
    end_shared(l);
    if (!l.dynamic_bytes) return;
#if defined(STANDIN_ASAN)
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
void end_shared(const Launch&) {
#if defined(STANDIN_ASAN)
    free(dynamic_shared);
#endif
    dynamic_shared = nullptr;
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
    fail(MISALIGNED, "%s:%u: misaligned access: %p is not a multiple of %u", at->file, at->line, p, 1u << at->log_alignment);
}
#endif

void begin_faults() {}
void end_faults() {}
void check_access(const void* p, unsigned bytes, bool write) {
    (void)p;
    (void)bytes;
    (void)write;
}
}  // namespace standin
