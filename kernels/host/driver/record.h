// Launches written to files, for the interpreter of compiled code (kernels/ptx) to run again and compare.
#pragma once
#include <memory>

#include "state.h"

namespace driver {
struct Recording;  // null: not recorded
// Before a kernel runs: what its parameters point at. STANDIN_RECORD names the folder; without it nothing is recorded.
std::shared_ptr<Recording> begin_recording(Device&, const standin::Launch&, size_t parameter_bytes);
// After it has run without failure.
void end_recording(const std::shared_ptr<Recording>&);
}  // namespace driver
