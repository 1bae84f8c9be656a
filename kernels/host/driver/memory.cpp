// Device and pinned memory: host memory that is tracked, filled with 0xFF at allocation, fenced by a page that faults,
// and out of reach once freed.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "state.h"

namespace driver {
#if defined(__SANITIZE_ADDRESS__)
constexpr bool FENCED = false;  // AddressSanitizer fences by the byte
#else
constexpr bool FENCED = true;
#endif
constexpr size_t PAGE = 4096, ALIGNMENT = 256, CHUNK = 16 << 20, REMEMBERED = 8192;

static size_t rounded(size_t bytes, size_t to) { return (bytes + to - 1) / to * to; }

// A file of 0xFF, mapped privately again and again: large allocations are filled without taking memory.
static int filled_file() {
    static int file = -1;
    if (file >= 0) return file;
    file = memfd_create("standin", MFD_CLOEXEC);
    if (file < 0 || ftruncate(file, CHUNK)) abort();
    void* p = mmap(nullptr, CHUNK, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (p == MAP_FAILED) abort();
    memset(p, 0xff, CHUNK);
    munmap(p, CHUNK);
    return file;
}
static void* map(Allocation& a) {
    if (!FENCED) {
        void* p = nullptr;
        if (posix_memalign(&p, ALIGNMENT, a.bytes)) return nullptr;
        return memset(p, 0xff, a.bytes);
    }
    // against a page that faults: an access past the end shows
    const size_t room = rounded(a.bytes, ALIGNMENT), pages = rounded(room, PAGE);
    a.mapping_bytes = pages + PAGE;
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* m = mmap(nullptr, a.mapping_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (m == MAP_FAILED) return nullptr;
    a.mapping = static_cast<char*>(m);
    if (pages < CHUNK) {
        memset(a.mapping, 0xff, pages);
    } else {
        for (size_t at = 0; at < pages; at += CHUNK) {
            const size_t n = pages - at < CHUNK ? pages - at : CHUNK;
            if (mmap(a.mapping + at, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED, filled_file(), 0) ==
                MAP_FAILED)
                abort();
        }
    }
    mprotect(a.mapping + pages, PAGE, PROT_NONE);
    return a.mapping + pages - room;
}
static std::deque<std::pair<uintptr_t, Allocation>>& freed() {
    static auto* list = new std::deque<std::pair<uintptr_t, Allocation>>;
    return *list;
}
static void unmap(void* p, const Allocation& a) {
    if (a.registered) return;
    if (!FENCED) {
        free(p);
        return;
    }
    // the addresses are not given out again for a while, so that a late access faults; the memory goes back at once
    mmap(a.mapping, a.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    freed().emplace_back(reinterpret_cast<uintptr_t>(p), a);
    if (freed().size() <= REMEMBERED) return;
    munmap(freed().front().second.mapping, freed().front().second.mapping_bytes);
    freed().pop_front();
}
static void zero(char* p, size_t bytes) {
    const uintptr_t first = rounded(reinterpret_cast<uintptr_t>(p), PAGE), last = (reinterpret_cast<uintptr_t>(p) + bytes) / PAGE * PAGE;
    if (!FENCED || bytes < CHUNK) {
        memset(p, 0, bytes);
        return;
    }
    memset(p, 0, first - reinterpret_cast<uintptr_t>(p));
    memset(reinterpret_cast<char*>(last), 0, reinterpret_cast<uintptr_t>(p) + bytes - last);
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
    if (mmap(reinterpret_cast<void*>(first), last - first, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) abort();
}

// Under the lock: the driver holds it while kernels run.
static void describe(const void* address, char* text, size_t size) {
    const uintptr_t p = reinterpret_cast<uintptr_t>(address);
    for (const auto& [base, a] : freed())
        if (p >= reinterpret_cast<uintptr_t>(a.mapping) && p < reinterpret_cast<uintptr_t>(a.mapping) + a.mapping_bytes) {
            snprintf(text, size, ", in the freed allocation %llu of %zu bytes", (unsigned long long)a.serial, a.bytes);
            return;
        }
    auto i = state().memory.upper_bound(p);
    if (i == state().memory.begin()) return;
    --i;
    const uintptr_t end = i->first + i->second.bytes;
    if (p < end || p - end > (1u << 30)) return;
    snprintf(text, size, ", %zu bytes past the end of allocation %llu of %zu bytes", (size_t)(p - end),
             (unsigned long long)i->second.serial, i->second.bytes);
}
static int allocate(Device* owner, Device& d, size_t bytes, void** out) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (owner) {
        if (bytes > d.total_bytes - d.used_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    }
    standin::describe_address = describe;
    Allocation a{owner, bytes, ++state().serial, nullptr, 0};
    void* p = map(a);
    if (!p) return CUDA_ERROR_OUT_OF_MEMORY;
    if (owner) d.used_bytes += bytes;
    state().memory.emplace(reinterpret_cast<uintptr_t>(p), a);
    *out = p;
    return CUDA_SUCCESS;
}
static int release(uintptr_t p, bool device) {
    auto i = state().memory.find(p);
    if (i == state().memory.end() || (i->second.device != nullptr) != device) return CUDA_ERROR_INVALID_VALUE;
    if (i->second.device) i->second.device->used_bytes -= i->second.bytes;
    unmap(reinterpret_cast<void*>(p), i->second);
    state().memory.erase(i);
    return CUDA_SUCCESS;
}
const Allocation* find(CUdeviceptr p, size_t bytes, uintptr_t* base) {
    auto i = state().memory.upper_bound(p);
    if (i == state().memory.begin()) return nullptr;
    --i;
    if (p - i->first > i->second.bytes || bytes > i->second.bytes - (p - i->first)) return nullptr;
    if (base) *base = i->first;
    return &i->second;
}
bool is_pinned(const void* p, size_t bytes) {
    const Allocation* a = find(reinterpret_cast<uintptr_t>(p), bytes);
    return a && !a->device;
}
bool on_device(Device& d, CUdeviceptr p, size_t bytes) {
    const Allocation* a = find(p, bytes);
    return a && a->device == &d;
}
static bool is_device_memory(const void* p) {
    const Allocation* a = find(reinterpret_cast<uintptr_t>(p), 1);
    return a && a->device;
}

// `snapshot`: pageable host memory is read at the call, as by the real thing
static int copy(Stream* s, void* to, const void* from, size_t bytes, bool snapshot) {
    std::shared_ptr<void> held;
    if (snapshot && !s->capture) {
        held.reset(malloc(bytes ? bytes : 1), free);
        memcpy(held.get(), from, bytes);
        from = held.get();
    }
    return submit(s, [=](Device& d) {
        (void)held;
        if (int e = injected(d, Fault::copy, ++d.copies)) return fail(d, e, "injected fault of a copy");
        memmove(to, from, bytes);
        return (int)CUDA_SUCCESS;
    });
}
}  // namespace driver

using namespace driver;

API CUresult cuMemAlloc_v2(CUdeviceptr* out, size_t bytes) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    if (int e = injected(*d, Fault::allocation, ++d->allocations)) return e;
    return allocate(d, *d, bytes, reinterpret_cast<void**>(out));
}
API CUresult cuMemFree_v2(CUdeviceptr p) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    if (!p) return CUDA_SUCCESS;
    if (int e = drain(*d)) return e;  // cuMemFree waits for the device
    return release(p, true);
}
API CUresult cuMemAllocAsync(CUdeviceptr* out, size_t bytes, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(stream);
    if (s->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (int e = injected(*d, Fault::allocation, ++d->allocations)) return e;
    int e = allocate(d, *d, bytes, reinterpret_cast<void**>(out));
    if (e == CUDA_ERROR_OUT_OF_MEMORY && !drain(s)) e = allocate(d, *d, bytes, reinterpret_cast<void**>(out));
    return e;
}
API CUresult cuMemFreeAsync(CUdeviceptr p, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(stream);
    if (s->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!on_device(*d, p, 1)) return CUDA_ERROR_INVALID_VALUE;
    return submit(s, [=](Device&) { return release(p, true); });
}
API CUresult cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return allocate(nullptr, *d, bytes, out);
}
API CUresult cuMemFreeHost(void* p) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    if (int e = drain(*d)) return e;
    return release(reinterpret_cast<uintptr_t>(p), false);
}
API CUresult cuMemHostRegister_v2(void* p, size_t bytes, unsigned) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    if (!p || !bytes) return CUDA_ERROR_INVALID_VALUE;
    if (find(reinterpret_cast<uintptr_t>(p), 1)) return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    state().memory.emplace(reinterpret_cast<uintptr_t>(p), Allocation{nullptr, bytes, ++state().serial, nullptr, 0, true});
    return CUDA_SUCCESS;
}
API CUresult cuMemHostUnregister(void* p) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    if (!is_pinned(p, 1)) return CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    if (int e = drain(*d)) return e;
    return release(reinterpret_cast<uintptr_t>(p), false);
}
API CUresult cuMemHostGetDevicePointer_v2(CUdeviceptr* out, void* p, unsigned) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!is_pinned(p, 1)) return CUDA_ERROR_INVALID_VALUE;
    *out = reinterpret_cast<CUdeviceptr>(p);
    return CUDA_SUCCESS;
}
API CUresult cuMemGetInfo_v2(size_t* available, size_t* total) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    *total = d->total_bytes;
    *available = d->total_bytes - d->used_bytes;
    return CUDA_SUCCESS;
}

API CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!bytes) return CUDA_SUCCESS;
    if (!from || !on_device(*d, to, bytes) || is_device_memory(from)) return CUDA_ERROR_INVALID_VALUE;
    return copy(stream_of(stream), reinterpret_cast<void*>(to), from, bytes, !is_pinned(from, bytes));
}
API CUresult cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!bytes) return CUDA_SUCCESS;
    if (!to || !on_device(*d, from, bytes) || is_device_memory(to)) return CUDA_ERROR_INVALID_VALUE;
    Stream* s = stream_of(stream);
    int e = copy(s, to, reinterpret_cast<void*>(from), bytes, false);
    // a copy to pageable memory returns when it is done
    return e || s->capture || is_pinned(to, bytes) ? e : drain(s);
}
API CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!bytes) return CUDA_SUCCESS;
    if (!on_device(*d, to, bytes) || !on_device(*d, from, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return copy(stream_of(stream), reinterpret_cast<void*>(to), reinterpret_cast<void*>(from), bytes, false);
}
API CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t bytes, void* stream) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!bytes) return CUDA_SUCCESS;
    if (!on_device(*d, to, bytes)) return CUDA_ERROR_INVALID_VALUE;
    return submit(stream_of(stream), [=](Device&) {
        if (value) memset(reinterpret_cast<void*>(to), value, bytes);
        else zero(reinterpret_cast<char*>(to), bytes);
        return (int)CUDA_SUCCESS;
    });
}
// The synchronous forms go through the null stream, which waits for all blocking streams.
static int through_null_stream(int submitted, Device* d) {
    if (submitted) return submitted;
    return drain(d->null_stream.get());
}
API CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return through_null_stream(cuMemcpyHtoDAsync_v2(to, from, bytes, nullptr), d);
}
API CUresult cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return through_null_stream(cuMemcpyDtoHAsync_v2(to, from, bytes, nullptr), d);
}
API CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return through_null_stream(cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr), d);
}
API CUresult cuMemsetD8_v2(CUdeviceptr to, unsigned char value, size_t bytes) {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return through_null_stream(cuMemsetD8Async(to, value, bytes, nullptr), d);
}
