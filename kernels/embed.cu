// Rows of the checkpoint's embedding to f32: x[row][i] = embedding[token[row]][i] (NUMERICS 4, exact).
//
// Grid: x = rows, y = parts of a row; each thread makes 8 elements at a time. The embedding is row-major as in the checkpoint,
// 16-byte aligned; rows of x have ld floats, a multiple of 4. Rows whose start is not 16-byte aligned (hidden not a multiple of
// 8, or of 4 for f32) are read element by element.
#include "exact.cuh"

static __device__ __forceinline__ float element(const void *row, uint32_t type, uint32_t i) {
    if (type == ELEMENT_F32) return static_cast<const float *>(row)[i];
    const uint32_t h = static_cast<const uint16_t *>(row)[i];
    return type == ELEMENT_F16 ? exact::from_f16(h) : exact::from_bf16(h);
}

static __device__ __forceinline__ void two(uint32_t type, uint32_t word, float &a, float &b) {
    a = type == ELEMENT_F16 ? exact::from_f16(word & 0xffffu) : exact::from_bf16(word & 0xffffu);
    b = type == ELEMENT_F16 ? exact::from_f16(word >> 16) : exact::from_bf16(word >> 16);
}

extern "C" __global__ void __launch_bounds__(128) embed(const __grid_constant__ embed_params p) {
    const uint32_t row = blockIdx.x;
    if (row >= (p.row_count ? min(*p.row_count, p.rows) : p.rows)) return;
    const uint32_t bytes = p.element == ELEMENT_F32 ? 4u : 2u;
    const uint8_t *from = static_cast<const uint8_t *>(p.embedding) + (uint64_t)p.token[row] * p.hidden * bytes;
    float *x = p.x + (uint64_t)row * p.ld;
    const bool wide = p.hidden % (16u / bytes) == 0;
    for (uint32_t i = (blockIdx.y * blockDim.x + threadIdx.x) * 8u; i < p.hidden; i += gridDim.y * blockDim.x * 8u) {
        if (!wide) {
            for (uint32_t k = i; k < min(i + 8u, p.hidden); k++) x[k] = element(from, p.element, k);
        } else if (p.element == ELEMENT_F32) {
            for (uint32_t k = i; k < min(i + 8u, p.hidden); k += 4u)
                *reinterpret_cast<float4 *>(x + k) = *reinterpret_cast<const float4 *>(from + k * 4u);
        } else {
            const uint4 w = *reinterpret_cast<const uint4 *>(from + i * 2u);
            float4 a, b;
            two(p.element, w.x, a.x, a.y);
            two(p.element, w.y, a.z, a.w);
            two(p.element, w.z, b.x, b.y);
            two(p.element, w.w, b.z, b.w);
            *reinterpret_cast<float4 *>(x + i) = a;
            *reinterpret_cast<float4 *>(x + i + 4u) = b;
        }
    }
}
KERNEL(embed)
