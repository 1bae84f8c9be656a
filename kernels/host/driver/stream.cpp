// Streams as queues, events as positions in them.
#include <algorithm>
#include <chrono>

#include "state.h"

namespace driver {
static int run_one(Stream* s) {
    Operation op = std::move(s->queue.front());
    s->queue.pop_front();
    s->running = true;
    int e = s->device->sticky ? s->device->sticky : op.run(*s->device);
    s->running = false;
    s->done++;
    return e;
}
int run_until(Stream* s, uint64_t position) {
    int e = CUDA_SUCCESS;
    while (s->done < position && !s->queue.empty()) {
        if (s->running) return e;  // an operation waits for a later one of its own stream: an event recorded anew
        int r = run_one(s);
        if (r && !e) e = r;
    }
    return s->device->sticky ? s->device->sticky : e;
}
int drain(Stream* s) { return run_until(s, s->issued); }
int drain(Device& d) {
    int e = drain(d.null_stream.get());
    for (size_t i = 0; i < d.streams.size(); i++) {
        int r = drain(d.streams[i].get());
        if (r && !e) e = r;
    }
    d.streams.erase(std::remove_if(d.streams.begin(), d.streams.end(),
                                   [](const std::shared_ptr<Stream>& s) { return s->destroyed && !s->running; }),
                    d.streams.end());
    return e;
}
static void queue(Stream* s, std::function<int(Device&)> run) {
    s->queue.push_back({std::move(run)});
    s->issued++;
}
static void wait_for(Stream* s, const std::shared_ptr<Stream>& other) {
    const uint64_t position = other->issued;
    if (other->done < position) queue(s, [other, position](Device&) { return run_until(other.get(), position); });
}
int submit(Stream* s, std::function<int(Device&)> run) {
    if (s->capture) {
        if (s->capture->invalidated) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
        s->capture->operations.push_back({std::move(run)});
        s->unjoined = s->capture->origin != s;
        return CUDA_SUCCESS;
    }
    // the null stream and the blocking streams wait for one another
    if (s == s->device->null_stream.get()) {
        for (auto& other : s->device->streams)
            if (other->blocking) wait_for(s, other);
    } else if (s->blocking) {
        wait_for(s, s->device->null_stream);
    }
    queue(s, std::move(run));
    // what fails in a stream is told by the next call, as by the real thing
    if (!s->device->deferred) drain(s);
    return CUDA_SUCCESS;
}
static void invalidate(Stream* s) { s->capture->invalidated = true; }
int ready_outside_capture(Device*& device) {
    if (int e = ready(device)) return e;
    auto check = [](Stream* s) {
        if (!s->capture || s->capture->mode == 2) return false;
        // What a capture of one thread does not hear of is what other threads do.
        if (s->capture->mode == 1 && s->capture->thread != std::this_thread::get_id()) return false;
        invalidate(s);
        return true;
    };
    for (auto& s : device->streams)
        if (check(s.get())) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return check(device->null_stream.get()) ? CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED : CUDA_SUCCESS;
}
static double now_ms() {
    using namespace std::chrono;
    return duration<double, std::milli>(steady_clock::now().time_since_epoch()).count();
}
}  // namespace driver

using namespace driver;

API CUresult cuStreamCreate(void** out, unsigned flags) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    d->streams.push_back(std::make_shared<Stream>());
    Stream* s = d->streams.back().get();
    s->device = d;
    s->blocking = !(flags & 1);
    *out = s;
    return CUDA_SUCCESS;
}
API CUresult cuStreamCreateWithPriority(void** out, unsigned flags, int) { return cuStreamCreate(out, flags); }
API CUresult cuStreamDestroy_v2(void* handle) {
    Locked l;
    Stream* s = stream_of(handle);
    if (!s) return CUDA_ERROR_INVALID_HANDLE;
    s->destroyed = true;  // its queue stays until somebody waits for it
    if (s->queue.empty() && s->device->sticky == 0) return CUDA_SUCCESS;
    return s->device->sticky;
}
API CUresult cuStreamSynchronize(void* handle) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    if (s->capture) {
        invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    return drain(s);
}
API CUresult cuStreamQuery(void* handle) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    if (s->done == s->issued) return CUDA_SUCCESS;
    int e = run_until(s, s->done + 1);
    return e ? e : CUDA_ERROR_NOT_READY;
}
API CUresult cuCtxSynchronize() {
    Locked l;
    Device* d;
    if (int e = ready_outside_capture(d)) return e;
    return drain(*d);
}
API CUresult cuStreamWaitEvent(void* handle, void* event, unsigned) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    Event* v = static_cast<Event*>(event);
    if (v->capture) {
        if (s->capture && s->capture != v->capture) return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
        if (!s->capture) {
            s->capture = v->capture;
            s->capture->joined.push_back(s);
        }
        if (s->capture->origin == s && v->stream.get() != s) v->stream->unjoined = false;
        return CUDA_SUCCESS;  // the order in which a capture is issued is one of those it allows
    }
    if (s->capture) {
        invalidate(s);
        return CUDA_ERROR_STREAM_CAPTURE_ISOLATION;
    }
    if (!v->stream) return CUDA_SUCCESS;
    auto other = v->stream;
    uint64_t position = v->position;
    return submit(s, [=](Device&) { return run_until(other.get(), position); });
}
API CUresult cuEventCreate(void** out, unsigned flags) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Event* v = new Event;
    v->device = d;
    v->timed = !(flags & 2);
    *out = v;
    return CUDA_SUCCESS;
}
API CUresult cuEventDestroy_v2(void* event) {
    Locked l;
    delete static_cast<Event*>(event);
    return CUDA_SUCCESS;
}
API CUresult cuEventRecord(void* event, void* handle) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Stream* s = stream_of(handle);
    Event* v = static_cast<Event*>(event);
    v->stream = s->shared_from_this();
    v->capture = s->capture;
    if (s->capture) return CUDA_SUCCESS;
    v->position = s->issued + 1;
    auto ms = v->milliseconds = std::make_shared<double>(0);
    return submit(s, [ms](Device&) {
        *ms = now_ms();
        return CUDA_SUCCESS;
    });
}
API CUresult cuEventSynchronize(void* event) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Event* v = static_cast<Event*>(event);
    if (v->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    return v->stream ? run_until(v->stream.get(), v->position) : CUDA_SUCCESS;
}
API CUresult cuEventQuery(void* event) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    Event* v = static_cast<Event*>(event);
    if (v->capture) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (!v->stream || v->stream->done >= v->position) return CUDA_SUCCESS;
    int e = run_until(v->stream.get(), v->stream->done + 1);
    return e ? e : CUDA_ERROR_NOT_READY;
}
API CUresult cuEventElapsedTime_v2(float* ms, void* start, void* end) {
    Locked l;
    Event *a = static_cast<Event*>(start), *b = static_cast<Event*>(end);
    if (!a->timed || !b->timed || !a->stream || !b->stream) return CUDA_ERROR_INVALID_HANDLE;
    if (a->stream->done < a->position || b->stream->done < b->position) return CUDA_ERROR_NOT_READY;
    *ms = (float)(*b->milliseconds - *a->milliseconds);
    return CUDA_SUCCESS;
}
API CUresult cuEventElapsedTime(float* ms, void* start, void* end) { return cuEventElapsedTime_v2(ms, start, end); }
API CUresult cuLaunchHostFunc(void* handle, void (*f)(void*), void* data) {
    Locked l;
    Device* d;
    if (int e = ready(d)) return e;
    return submit(stream_of(handle), [=](Device&) {
        f(data);
        return CUDA_SUCCESS;
    });
}
