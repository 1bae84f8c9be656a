// CUDA C++ on a host compiler: what kernels/gpu.cuh includes where nvcc would bring its own headers.
//
// Every CUDA thread is a stackful fiber, and one block runs at a time. Threads meet only where CUDA lets them meet:
// barriers, warp collectives, atomics. Between two meetings a thread runs on alone, as far ahead of its mates as it
// can get, so that a missing barrier shows. The order in which threads are let run is a setting (shim/scheduler.h).
// C++17; g++ 12 or newer, clang 14 or newer; x86-64 has its own stack switch, other machines use ucontext.
//
// What this is not: a model of time, of weak memory order, or of the instructions that nvcc emits. The device branch
// of gpu.cuh is not compiled here; the interpreter in kernels/ptx executes that.
#pragma once
#include "shim/types.h"
#include "shim/scheduler.h"
#include "shim/math.h"
#include "shim/atomics.h"
#include "shim/warp.h"
#include "shim/async.h"
#include "shim/mma.h"
#include "shim/registry.h"
