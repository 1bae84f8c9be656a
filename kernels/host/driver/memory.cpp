// Device and pinned memory: host memory that is tracked, filled with 0xFF at allocation, fenced by a page that faults,
// and out of reach once freed.
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "state.h"

namespace driver {
#if defined(__SANITIZE_ADDRESS__)
constexpr bool FENCED = false;  // AddressSanitizer fences by the byte
#else
constexpr bool FENCED = true;
#endif
constexpr size_t PAGE = 4096, ALIGNMENT = 256;

static void* map(Allocation& a) {
    void* p = nullptr;
    if (!FENCED) {
        if (posix_memalign(&p, ALIGNMENT, a.bytes)) return nullptr;
    } else {
        const size_t room = (a.bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        const size_t pages = (room + PAGE - 1) / PAGE * PAGE;
        a.mapping_bytes = pages + PAGE;
        void* m = mmap(nullptr, a.mapping_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m == MAP_FAILED) return nullptr;
        a.mapping = static_cast<char*>(m);
        mprotect(a.mapping + pages, PAGE, PROT_NONE);
        p = a.mapping + pages - room;
    }
    memset(p, 0xff, FENCED ? (a.bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : a.bytes);
    return p;
}
static void unmap(void* p, const Allocation& a) {
    if (a.registered) return;
    if (!FENCED) {
        free(p);
        return;
    }
    // the addresses are not given out again, so that a late access faults; only the memory behind them goes back
    mmap(a.mapping, a.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}
static int allocate(Device* owner, Device& d, size_t bytes, void** out) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    if (owner) {
        if (int e = injected(d, Fault::allocation, ++d.allocations)) return e;
        if (bytes > d.total_bytes - d.used_bytes) return CUDA_ERROR_OUT_OF_MEMORY;
    }
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
        memset(reinterpret_cast<void*>(to), value, bytes);
        return (int)CUDA_SUCCESS;
    });
}
// The synchronous forms go through the null stream, which waits for all blocking streams.
static int through_null_stream(int submitted, Device* d) {
    if (submitted) return submitted;
    for (auto& s : d->streams)
        if (s->blocking && !s->capture)
            if (int e = drain(s.get())) return e;
    return drain(&d->null_stream);
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
