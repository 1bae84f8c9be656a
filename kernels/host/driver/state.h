// The stand-in's state: devices, their memory, streams as queues of operations, events, captures.
//
// One lock over everything, held while kernels run. Operations of a stream run in order. When they run is the mode:
// eager, at the call; deferred, when the program asks for it (a synchronisation, a copy that waits, a query), and then
// only as much as was asked for.
#pragma once
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "../shim/registry.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim
#include "api.h"

namespace driver {
struct Device;
struct Stream;

struct Operation {
    std::function<int(Device&)> run;  // a CUDA error
};
struct Capture {
    std::vector<Operation> operations;
    Stream* origin;
    std::vector<Stream*> joined;  // streams that entered by waiting for an event of this capture
    int mode;  // 0: global, 1: of a thread, 2: relaxed
    std::thread::id thread = std::this_thread::get_id();
    bool invalidated = false;
};
struct Stream : std::enable_shared_from_this<Stream> {
    Device* device;
    bool blocking;  // waits for the null stream, and the null stream for it
    std::deque<Operation> queue;
    uint64_t issued = 0, done = 0;  // operations ever queued, ever run
    bool running = false, destroyed = false;
    std::shared_ptr<Capture> capture;
    bool unjoined = false;  // captured something that the origin has not waited for
};
struct Event {
    Device* device;
    bool timed;
    std::shared_ptr<Stream> stream;  // of the last record
    uint64_t position = 0;     // done >= position: it has happened
    std::shared_ptr<Capture> capture;
    std::shared_ptr<double> milliseconds = std::make_shared<double>(0);
};
struct Graph {
    std::shared_ptr<const std::vector<Operation>> operations;
};
struct Function {
    const standin::Kernel* kernel;
    size_t dynamic_limit = 48 * 1024;
};
struct Allocation {
    Device* device;  // null: pinned host memory
    size_t bytes;
    uint64_t serial;
    char* mapping;
    size_t mapping_bytes;
    bool registered = false;  // the program's own memory, pinned afterwards
};
struct Fault {
    enum Where { launch, copy, allocation } where;
    uint64_t number;  // counts from 1
    int error;
};
struct Device {
    int ordinal;
    std::shared_ptr<Stream> null_stream = std::make_shared<Stream>();
    std::vector<std::shared_ptr<Stream>> streams;
    standin::Settings kernels;
    bool deferred = false;
    size_t total_bytes = 0, used_bytes = 0;
    int sticky = 0;  // as on the real thing, a context that has failed stays failed
    std::string message;
    uint64_t launches = 0, copies = 0, allocations = 0;
    std::vector<Fault> faults;
};
struct State {
    std::recursive_mutex lock;
    bool initialized = false;
    std::vector<std::unique_ptr<Device>> devices;
    std::map<uintptr_t, Allocation> memory;  // by base address
    uint64_t serial = 0;
    int architecture = 80, version = 13000;
};
State& state();
void configure();  // from the environment
// False: no such setting, or no such value. The names are those of lib.rs.
bool set(Device&, const std::string& name, const std::string& value);

struct Locked {
    std::lock_guard<std::recursive_mutex> guard{state().lock};
};

Device* current();  // null: this thread has no context
Stream* stream_of(void* handle);
// Refuses what the thread may not call: no context, a failed context. 0: go on.
int ready(Device*& device);
// The same for calls that a capture under way in this thread forbids.
int ready_outside_capture(Device*& device);

// Queues an operation, or runs it, or captures it.
int submit(Stream*, std::function<int(Device&)>);
int run_until(Stream*, uint64_t position);
int drain(Stream*);
int drain(Device&);
int fail(Device&, int error, const std::string& message);
int injected(Device&, Fault::Where, uint64_t number);

const Allocation* find(CUdeviceptr, size_t bytes, uintptr_t* base = nullptr);
bool is_pinned(const void*, size_t bytes);
bool on_device(Device&, CUdeviceptr, size_t bytes);
}  // namespace driver
