// Capture, and graphs as lists of operations.
#include "state.h"

using namespace driver;

API CUresult cuStreamBeginCapture_v2(void* handle, int mode) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    if (s == d->null_stream.get() || s->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    s->capture = std::make_shared<Capture>();
    s->capture->origin = s;
    s->capture->mode = mode;
    return CUDA_SUCCESS;
}
API CUresult cuStreamEndCapture(void* handle, void** graph) {
    Locked l;
    *graph = nullptr;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    if (!s->capture || s->capture->origin != s) return CUDA_ERROR_STREAM_CAPTURE_UNMATCHED;
    std::shared_ptr<Capture> c = std::move(s->capture);
    s->capture = nullptr;
    bool unjoined = false;
    for (Stream* other : c->joined) {
        unjoined |= other->unjoined;
        other->unjoined = false;
        other->capture = nullptr;
    }
    if (c->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (unjoined) return CUDA_ERROR_STREAM_CAPTURE_UNJOINED;
    *graph = new Graph{std::make_shared<std::vector<Operation>>(std::move(c->operations))};
    return CUDA_SUCCESS;
}
API CUresult cuStreamIsCapturing(void* handle, int* status) {
    Locked l;
    Stream* s = stream_of(handle);
    *status = !s || !s->capture ? 0 : s->capture->invalidated ? 2 : 1;
    return CUDA_SUCCESS;
}
API CUresult cuGraphInstantiateWithFlags(void** exec, void* graph, unsigned long long) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    *exec = new Graph(*static_cast<Graph*>(graph));
    return CUDA_SUCCESS;
}
API CUresult cuGraphLaunch(void* exec, void* handle) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    auto operations = static_cast<Graph*>(exec)->operations;
    return submit(stream_of(handle), [operations](Device& d) {
        for (const Operation& op : *operations)
            if (int e = op.run(d)) return e;
        return (int)CUDA_SUCCESS;
    });
}
API CUresult cuGraphUpload(void*, void*) {
    Locked l;
    Device* d;
    return ready(d);
}
API CUresult cuGraphDestroy(void* graph) {
    Locked l;
    delete static_cast<Graph*>(graph);
    return CUDA_SUCCESS;
}
API CUresult cuGraphExecDestroy(void* exec) { return cuGraphDestroy(exec); }
