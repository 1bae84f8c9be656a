#include "state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace driver {
static thread_local Device* thread_device;

State& state() {
    static State* s = new State;  // never destroyed: streams may be used while the process exits
    return *s;
}
Device* current() { return thread_device; }

Stream* stream_of(void* handle) {
    if (reinterpret_cast<uintptr_t>(handle) > 2) return static_cast<Stream*>(handle);
    Device* d = current();
    return d ? d->null_stream.get() : nullptr;
}

int ready(Device*& device) {
    device = current();
    if (!device) return state().initialized ? CUDA_ERROR_INVALID_CONTEXT : CUDA_ERROR_NOT_INITIALIZED;
    return device->sticky;
}

int fail(Device& d, int error, const std::string& message) {
    if (!d.sticky) {
        d.sticky = error;
        d.message = message;
        fprintf(stderr, "standin: device %d: %s\n", d.ordinal, message.c_str());
    }
    return error;
}

int injected(Device& d, Fault::Where where, uint64_t number) {
    for (const Fault& f : d.faults)
        if (f.where == where && f.number == number) return f.error;
    return CUDA_SUCCESS;
}
}  // namespace driver

using namespace driver;

API CUresult cuCtxSetCurrent(void* context) {
    Locked l;
    thread_device = static_cast<Device*>(context);
    return CUDA_SUCCESS;
}
API CUresult cuCtxGetCurrent(void** context) {
    *context = current();
    return CUDA_SUCCESS;
}
