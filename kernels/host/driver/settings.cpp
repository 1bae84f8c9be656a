// Settings of the stand-in, from the environment and from the tests; what they are is told in lib.rs.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sstream>

#include "state.h"

namespace driver {
template <class T>
static bool choose(const std::string& value, T& out, std::initializer_list<const char*> names) {
    int i = 0;
    for (const char* name : names) {
        if (value == name) {
            out = static_cast<T>(i);
            return true;
        }
        i++;
    }
    return false;
}
static bool number(const std::string& text, uint64_t& out) {
    char* end;
    out = strtoull(text.c_str(), &end, 0);
    return !text.empty() && !*end;
}
// "launch:3:700": the third launch fails with CUDA error 700; several, with commas between them.
static bool read_faults(const std::string& text, std::vector<Fault>& out) {
    out.clear();
    std::istringstream all(text);
    for (std::string one; std::getline(all, one, ',');) {
        std::istringstream parts(one);
        std::string where, nth, error;
        std::getline(parts, where, ':');
        std::getline(parts, nth, ':');
        std::getline(parts, error);
        Fault f{};
        uint64_t code;
        if (!choose(where, f.where, {"launch", "copy", "allocation"}) || !number(nth, f.number) || !number(error, code))
            return false;
        f.error = (int)code;
        out.push_back(f);
    }
    return true;
}
static void reset(Device& d) {
    d.sticky = 0;
    d.message.clear();
    d.faults.clear();
    d.launches = d.copies = d.allocations = 0;
    d.null_stream->queue.clear();
    d.null_stream->done = d.null_stream->issued;
    for (auto& s : d.streams) {
        s->queue.clear();
        s->done = s->issued;
        s->capture = nullptr;
    }
}
bool set(Device& d, const std::string& name, const std::string& value) {
    uint64_t n;
    if (name == "order") return choose(value, d.kernels.order, {"ascending", "descending", "random"});
    if (name == "copies") return choose(value, d.kernels.copies, {"lazy", "eager", "coin"});
    if (name == "mode") {
        if (!choose(value, d.deferred, {"eager", "deferred"})) return false;
        return d.deferred || !drain(d);
    }
    if (name == "fault") {
        d.launches = d.copies = d.allocations = 0;
        return read_faults(value, d.faults);
    }
    if (name == "reset") return reset(d), true;
    if (!number(value, n)) return false;
    if (name == "seed") return d.kernels.seed = n, true;
    if (name == "memory") return d.total_bytes = (size_t)n, true;
    return false;
}

static const char* from_environment(const char* name, const char* otherwise) {
    const char* v = getenv(name);
    return v && *v ? v : otherwise;
}
static void set_or_abort(Device& d, const char* name, const char* variable, const char* otherwise) {
    const char* value = from_environment(variable, otherwise);
    if (set(d, name, value)) return;
    fprintf(stderr, "standin: %s=%s is no setting\n", variable, value);
    abort();
}
void configure() {
    State& s = state();
    const int count = atoi(from_environment("STANDIN_DEVICES", "2"));
    const char* capability = from_environment("STANDIN_CAPABILITY", "8.0");
    const char* point = strchr(capability, '.');
    s.architecture = 10 * atoi(capability) + (point ? atoi(point + 1) : 0);
    s.version = atoi(from_environment("STANDIN_DRIVER", "13000"));
    for (int i = 0; i < count; i++) {
        s.devices.push_back(std::make_unique<Device>());
        Device& d = *s.devices.back();
        d.ordinal = i;
        d.null_stream->device = &d;
        d.null_stream->blocking = true;
        set_or_abort(d, "order", "STANDIN_ORDER", "ascending");
        set_or_abort(d, "copies", "STANDIN_COPIES", "lazy");
        set_or_abort(d, "seed", "STANDIN_SEED", "1");
        set_or_abort(d, "mode", "STANDIN_MODE", "eager");
        set_or_abort(d, "memory", "STANDIN_MEMORY", "2147483648");
        // "1/launch:3:700" is for device 1 alone
        std::string faults = from_environment("STANDIN_FAULT", "");
        const size_t slash = faults.find('/');
        if (slash != std::string::npos && atoi(faults.c_str()) != i) continue;
        if (!set(d, "fault", slash == std::string::npos ? faults : faults.substr(slash + 1))) {
            fprintf(stderr, "standin: STANDIN_FAULT=%s is no setting\n", faults.c_str());
            abort();
        }
    }
}
static Device* device_at(int i) {
    if (!state().initialized) {
        configure();
        state().initialized = true;
    }
    return i >= 0 && (size_t)i < state().devices.size() ? state().devices[(size_t)i].get() : nullptr;
}
}  // namespace driver

using namespace driver;

API int standin_set(int device, const char* name, const char* value) {
    Locked l;
    Device* d = device_at(device);
    return d && set(*d, name, value);
}
// Why the device failed; empty while it has not.
API void standin_message(int device, char* text, size_t size) {
    Locked l;
    Device* d = device_at(device);
    snprintf(text, size, "%s", d ? d->message.c_str() : "");
}
// Launches run, operations queued and not run, switches between threads, blocks run.
API void standin_counts(int device, uint64_t out[4]) {
    Locked l;
    memset(out, 0, 4 * sizeof *out);
    Device* d = device_at(device);
    if (!d) return;
    out[0] = d->launches;
    out[1] = d->null_stream->queue.size();
    for (auto& s : d->streams) out[1] += s->queue.size();
    out[2] = standin::stats.switches;
    out[3] = standin::stats.blocks;
}
