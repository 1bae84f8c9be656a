// Kernels of the stand-in's own tests.
#include "host/shim.h"

struct test_axpy_params {
    const float* x;
    float* y;
    float a;
    uint32_t n;
};
extern "C" __global__ void __launch_bounds__(256) test_axpy(const __grid_constant__ test_axpy_params p) {
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < p.n) p.y[i] = fmaf(p.a, p.x[i], p.y[i]);
}
KERNEL(test_axpy)
