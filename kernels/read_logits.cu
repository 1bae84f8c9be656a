// Reads given rows of logits as head.cu reads those it makes: chunk sums, candidates, greatest scores (chunk.cuh, NUMERICS 9 and 11).
//
// x: f32 [max_rows][stride], stride a multiple of 128, ids beyond the vocabulary may hold anything initialised. Where the mode stores
// logits, reading.logits may be x itself. Launch: gridDim = (slices, ceil(max_rows / 8)), 256 threads: a warp has one row and the
// chunks of one slice. slices <= chunks.
#include "chunk.cuh"

extern "C" __global__ void __launch_bounds__(256) read_logits(const __grid_constant__ read_logits_params p) {
    using namespace reading_of;
    const uint32_t row = blockIdx.y * HEAD_WARPS + (threadIdx.x >> 5), slice = blockIdx.x;
    if (row >= *p.reading.rows) return;
    const sampling s = *p.reading.sampling;
    for (uint32_t chunk = slice; chunk < p.reading.chunks; chunk += p.reading.slices) {
        const float4 v = *reinterpret_cast<const float4 *>(p.x + (size_t)row * p.stride + chunk * CHUNK + 4u * (threadIdx.x & 31u));
        const float x[4] = {v.x, v.y, v.z, v.w};
        read_chunk(p.reading, s, Place{row, chunk, slice, chunk == slice}, x);
    }
}
KERNEL(read_logits)
