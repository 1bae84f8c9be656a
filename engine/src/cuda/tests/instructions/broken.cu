// Kernels that break one rule each, the one in their name: the negative controls of the instruction checks.

extern "C" __global__ void clean(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x] * x[threadIdx.x] + 1.0f; }

extern "C" __global__ void local_memory(const int *x, int *y) {
    int list[64];
    for (int i = 0; i < 64; i++) list[i] = x[i];
    for (int i = 0; i < 64; i++) list[x[i] & 63] += i;
    y[threadIdx.x] = list[x[threadIdx.x] & 63];
}

extern "C" __global__ void many_registers(const float *x, float *y) {
    float v[128];
#pragma unroll
    for (int i = 0; i < 128; i++) v[i] = x[threadIdx.x * 128 + i];
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 128; i++) y[threadIdx.x * 128 + i] = v[127 - i];
}

extern "C" __global__ void much_shared(const float *x, float *y) {
    __shared__ float row[256];
    row[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = row[255 - threadIdx.x];
}

extern "C" __global__ void narrow_loads(const float *x, float *y) { y[threadIdx.x] = x[threadIdx.x]; }

extern "C" __global__ void explicit_fma(const float *x, float *y) { y[threadIdx.x] = fmaf(x[0], x[1], x[threadIdx.x]); }

extern "C" __global__ void approximate_exp(const float *x, float *y) { y[threadIdx.x] = __expf(x[threadIdx.x]); }

extern "C" __global__ void approximate_division(const float *x, float *y) { y[threadIdx.x] = __fdividef(x[0], x[threadIdx.x]); }

extern "C" __global__ void unrecorded_division(const float *x, float *y) { y[threadIdx.x] = x[0] / x[threadIdx.x]; }

extern "C" __global__ void float_atomic(const float *x, float *y) { atomicAdd(y, x[threadIdx.x]); }
