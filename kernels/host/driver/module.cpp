// Modules, functions, launches. The image is ignored: kernels are linked in and found by name.
#include <stdlib.h>
#include <string.h>

#include "record.h"
#include "state.h"

using namespace driver;

namespace {
struct Module {
    std::map<std::string, std::unique_ptr<Function>> functions;
};
// Of all kernels of the source file, so at least that of this one; limits are checked without it.
size_t static_bytes(const standin::Kernel* k) { return (size_t)(k->shared_end - k->shared_begin); }
size_t shared_limit() { return state().architecture >= 90 ? 232448 : state().architecture == 80 ? 166912 : 101376; }

// A word of the parameters that is an address in another device's memory can only be that.
int foreign_pointer(Device& d, const standin::Kernel* k, const char* parameters) {
    for (size_t i = 0; i + 8 <= k->parameter_bytes; i += 8) {
        CUdeviceptr word;
        memcpy(&word, parameters + i, 8);
        const Allocation* a = find(word, 1);
        if (a && a->device && a->device != &d)
            return fail(d, standin::ILLEGAL_ADDRESS, std::string(k->name) + ": parameter at byte " + std::to_string(i) +
                                                         " is memory of device " + std::to_string(a->device->ordinal));
    }
    return CUDA_SUCCESS;
}
int run_kernel(Device& d, const standin::Kernel* k, const std::shared_ptr<void>& parameters, dim3 grid, dim3 block,
               size_t dynamic_bytes) {
    if (int e = injected(d, Fault::launch, ++d.launches))
        return fail(d, e, std::string(k->name) + ": injected fault of launch " + std::to_string(d.launches));
    if (int e = foreign_pointer(d, k, static_cast<const char*>(parameters.get()))) return e;
    standin::Launch launch{k->name, k->entry,         parameters.get(), grid,
                           block,   dynamic_bytes, k->shared_begin,  k->shared_end};
    auto recording = begin_recording(d, launch, k->parameter_bytes);
    standin::Outcome o = standin::run(launch, d.kernels);
    if (!o.code) end_recording(recording);
    return o.code ? fail(d, o.code, o.message) : CUDA_SUCCESS;
}
}  // namespace

// A fat binary, machine code or PTX: what a real driver would look at.
static bool looks_real(const void* image) {
    const char* text = static_cast<const char*>(image);
    return !memcmp(text, "\x50\xed\x55\xba", 4) || !memcmp(text, "\x7f" "ELF", 4) || strstr(text, ".version ");
}

API CUresult cuModuleLoadData(void** module, const void* image) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    if (!image) return CUDA_ERROR_INVALID_VALUE;
    const char* images = getenv("STANDIN_IMAGES");
    if (images && !strcmp(images, "real") && !looks_real(image)) return CUDA_ERROR_INVALID_IMAGE;
    *module = new Module;
    return CUDA_SUCCESS;
}
API CUresult cuModuleLoad(void** module, const char* path) { return cuModuleLoadData(module, path); }
API CUresult cuModuleUnload(void* module) {
    Locked l;
    delete static_cast<Module*>(module);
    return CUDA_SUCCESS;
}
API CUresult cuModuleGetFunction(void** out, void* module, const char* name) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    auto& slot = static_cast<Module*>(module)->functions[name];
    for (const standin::Kernel* k = standin::kernels; k && !slot; k = k->next)
        if (!strcmp(k->name, name)) slot.reset(new Function{k});
    if (!slot) return CUDA_ERROR_NOT_FOUND;
    *out = slot.get();
    return CUDA_SUCCESS;
}
API CUresult cuModuleGetGlobal_v2(CUdeviceptr*, size_t*, void*, const char*) { return CUDA_ERROR_NOT_FOUND; }

API CUresult cuFuncSetAttribute(void* function, int attribute, int value) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Function* f = static_cast<Function*>(function);
    if (attribute == 9) return CUDA_SUCCESS;  // preferred carve-out: a hint
    if (attribute != 8) return CUDA_ERROR_NOT_SUPPORTED;
    if (value < 0 || (size_t)value > shared_limit()) return CUDA_ERROR_INVALID_VALUE;
    f->dynamic_limit = (size_t)value;
    return CUDA_SUCCESS;
}
API CUresult cuFuncGetAttribute(int* value, int attribute, void* function) {
    Locked l;
    Function* f = static_cast<Function*>(function);
    switch (attribute) {
        case 0: *value = 1024; break;                             // threads per block
        case 1: *value = (int)static_bytes(f->kernel); break;     // shared
        case 4: *value = 32; break;                               // registers: nothing here knows
        case 5: case 6: *value = state().architecture; break;     // PTX and binary version
        case 8: *value = (int)f->dynamic_limit; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
API CUresult cuFuncGetParamInfo(void* function, size_t index, size_t* offset, size_t* bytes) {
    if (index) return CUDA_ERROR_INVALID_VALUE;
    *offset = 0;
    *bytes = static_cast<Function*>(function)->kernel->parameter_bytes;
    return CUDA_SUCCESS;
}
API CUresult cuFuncSetCacheConfig(void*, int) { return CUDA_SUCCESS; }

API CUresult cuLaunchKernel(void* function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                            unsigned dynamic_bytes, void* stream, void** parameters, void** extra) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Function* f = static_cast<Function*>(function);
    const standin::Kernel* k = f->kernel;
    if (!parameters || extra) return CUDA_ERROR_INVALID_VALUE;
    if (!gx || !gy || !gz || gx > 0x7fffffffu || gy > 65535 || gz > 65535) return CUDA_ERROR_INVALID_VALUE;
    if (!bx || !by || !bz || bz > 64 || (uint64_t)bx * by * bz > 1024) return CUDA_ERROR_INVALID_VALUE;
    if (dynamic_bytes > f->dynamic_limit) return CUDA_ERROR_INVALID_VALUE;
    size_t align = k->parameter_alignment < 16 ? 16 : k->parameter_alignment;
    std::shared_ptr<void> copy(aligned_alloc(align, (k->parameter_bytes + align - 1) / align * align), free);
    memcpy(copy.get(), parameters[0], k->parameter_bytes);
    dim3 grid(gx, gy, gz), block(bx, by, bz);
    return submit(stream_of(stream),
                  [=](Device& d) { return run_kernel(d, k, copy, grid, block, dynamic_bytes); });
}
API CUresult cuLaunchCooperativeKernel(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*,
                                       void**) {
    return CUDA_ERROR_NOT_SUPPORTED;  // one block runs at a time
}
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* function, int threads, size_t dynamic_bytes) {
    Locked l;
    size_t shared = static_bytes(static_cast<Function*>(function)->kernel) + dynamic_bytes + 1024;
    size_t by_shared = (shared_limit() + 1024) / shared, by_threads = threads > 0 ? 2048u / (unsigned)threads : 0;
    *blocks = (int)(by_shared < by_threads ? by_shared : by_threads);
    return CUDA_SUCCESS;
}
API CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, void* function, int threads,
                                                                  size_t dynamic_bytes, unsigned) {
    return cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, threads, dynamic_bytes);
}
