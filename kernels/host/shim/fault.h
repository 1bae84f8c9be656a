// Memory that a kernel must not touch, and what is told of it.
#pragma once
#include "scheduler.h"

namespace standin {
// Fills static and dynamic shared memory with 0xFF (NaN, and -1): a read of what was never written shows.
void fill_shared(const Launch&);
void end_shared();
// Between these, a fault of the processor ends the launch, not the process.
void begin_faults();
void end_faults();
// For accesses that the shim makes for a kernel, which no sanitizer would see.
void check_access(const void*, unsigned bytes, bool write);
// Of the fiber that runs.
uintptr_t stack_top();
}  // namespace standin
