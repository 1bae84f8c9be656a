// A recorded launch is one file: "launch 1\n", then little-endian words and raw bytes:
//   u32 length of the name, name; u32 grid[3], block[3], dynamic bytes; u32 length of the parameters, parameters;
//   u32 number of allocations; for each u64 address, u64 length, the bytes before, the bytes after.
// Allocations are those that a word of the parameters points into, pinned host memory too: kernels reach no others.
//
// Files are few: of each kernel and shape the first STANDIN_RECORD_SHAPES (default 2) launches of a process, and none that
// reaches more than STANDIN_RECORD_BYTES (default 4 MiB).
#include "record.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

namespace driver {
namespace {
struct Region {
    uintptr_t base;
    std::string before;
};
size_t setting(const char* name, size_t otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, nullptr, 10) : otherwise;
}
void word32(std::string& out, uint32_t v) { out.append(reinterpret_cast<const char*>(&v), 4); }
void word64(std::string& out, uint64_t v) { out.append(reinterpret_cast<const char*>(&v), 8); }
void text(std::string& out, const std::string& v) {
    word32(out, (uint32_t)v.size());
    out += v;
}
}  // namespace

struct Recording {
    std::string head;
    std::vector<Region> regions;
    std::string file;
};

std::shared_ptr<Recording> begin_recording(Device& d, const standin::Launch& launch, size_t parameter_bytes) {
    static const char* folder = getenv("STANDIN_RECORD");
    static std::map<std::string, unsigned> shapes;
    static unsigned number = 0;
    if (!folder || !*folder) return nullptr;
    auto r = std::make_shared<Recording>();
    text(r->head, launch.name);
    const uint32_t shape[7] = {launch.grid.x,  launch.grid.y,  launch.grid.z,        launch.block.x,
                               launch.block.y, launch.block.z, (uint32_t)launch.dynamic_bytes};
    for (uint32_t v : shape) word32(r->head, v);
    if (shapes[r->head] >= setting("STANDIN_RECORD_SHAPES", 2)) return nullptr;
    std::string key = r->head;
    const char* parameters = static_cast<const char*>(launch.parameters);
    text(r->head, std::string(parameters, parameter_bytes));
    size_t total = 0;
    for (size_t i = 0; i + 8 <= parameter_bytes; i += 8) {
        uint64_t word;
        memcpy(&word, parameters + i, 8);
        uintptr_t base = 0;
        const Allocation* a = find(word, 1, &base);
        if (!a || (a->device && a->device != &d)) continue;
        bool known = false;
        for (const Region& region : r->regions) known |= region.base == base;
        if (known) continue;
        total += a->bytes;
        if (total > setting("STANDIN_RECORD_BYTES", 4u << 20)) return nullptr;
        r->regions.push_back({base, std::string(reinterpret_cast<const char*>(base), a->bytes)});
    }
    shapes[key]++;
    r->file = std::string(folder) + "/" + launch.name + "-" + std::to_string(getpid()) + "-" + std::to_string(number++) + ".launch";
    return r;
}

void end_recording(const std::shared_ptr<Recording>& r) {
    if (!r) return;
    std::string out = "launch 1\n" + r->head;
    word32(out, (uint32_t)r->regions.size());
    for (const Region& region : r->regions) {
        word64(out, region.base);
        word64(out, region.before.size());
        out += region.before;
        out.append(reinterpret_cast<const char*>(region.base), region.before.size());
    }
    FILE* file = fopen(r->file.c_str(), "wb");
    if (!file || fwrite(out.data(), 1, out.size(), file) != out.size() || fclose(file))
        fprintf(stderr, "standin: cannot write %s\n", r->file.c_str());
}
}  // namespace driver
