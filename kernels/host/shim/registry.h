// Kernels by name. KERNEL(f) after an extern "C" __global__ function with one parameter struct by value.
#pragma once
#include "scheduler.h"

namespace standin {
struct Kernel {
    const char* name;
    void (*entry)(const void* parameters);
    size_t parameter_bytes, parameter_alignment;
    char *shared_begin, *shared_end;  // static shared memory of the source file
    Kernel* next;
};
extern Kernel* kernels;
template <auto F>
struct Entry;
template <class P, void (*F)(P)>
struct Entry<F> {
    static_assert(__is_trivially_copyable(P), "a kernel's parameter is a plain struct by value");
    static void call(const void* p) { F(*static_cast<const P*>(p)); }
    static constexpr size_t bytes = sizeof(P), alignment = alignof(P);
};
struct Registration {
    Kernel kernel;
    Registration(const char* name, void (*entry)(const void*), size_t bytes, size_t align, char* begin, char* end)
        : kernel{name, entry, bytes, align, begin, end, kernels} {
        kernels = &kernel;
    }
};
}  // namespace standin

extern "C" __attribute__((weak, visibility("hidden"))) char STANDIN_CAT(__start_, STANDIN_SECTION)[];
extern "C" __attribute__((weak, visibility("hidden"))) char STANDIN_CAT(__stop_, STANDIN_SECTION)[];
#define KERNEL(f)                                                                                                     \
    static standin::Registration STANDIN_CAT(standin_registration_, f)(                                               \
        #f, &standin::Entry<&f>::call, standin::Entry<&f>::bytes, standin::Entry<&f>::alignment,                      \
        STANDIN_CAT(__start_, STANDIN_SECTION), STANDIN_CAT(__stop_, STANDIN_SECTION));
