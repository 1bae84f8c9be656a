// Devices and their primary contexts.
#include <stdio.h>
#include <string.h>

#include "state.h"

using namespace driver;

API CUresult cuInit(unsigned) {
    Locked l;
    if (!state().initialized) configure();
    state().initialized = true;
    return state().devices.empty() ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
}
// NVRTC looks for a driver in its process, calls this without asking whether it is there, and takes no for an answer.
API CUresult cuGetExportTable(const void**, const void*) { return CUDA_ERROR_NOT_FOUND; }
API CUresult cuDriverGetVersion(int* version) {
    Locked l;
    if (!state().initialized) configure();
    state().initialized = true;
    *version = state().version;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetCount(int* count) {
    Locked l;
    if (!state().initialized) return CUDA_ERROR_NOT_INITIALIZED;
    *count = (int)state().devices.size();
    return CUDA_SUCCESS;
}
static Device* device_at(int i) {
    return i >= 0 && (size_t)i < state().devices.size() ? state().devices[(size_t)i].get() : nullptr;
}
API CUresult cuDeviceGet(CUdevice* device, int ordinal) {
    Locked l;
    if (!device_at(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetName(char* name, int size, CUdevice device) {
    Locked l;
    if (!device_at(device)) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, (size_t)size, "stand-in %d (host)", device);
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetUuid_v2(void* uuid, CUdevice device) {
    memset(uuid, 0, 16);
    static_cast<char*>(uuid)[15] = (char)device;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetUuid(void* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }
API CUresult cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    Locked l;
    if (!device_at(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = device_at(device)->total_bytes;
    return CUDA_SUCCESS;
}
API CUresult cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    Locked l;
    if (!device_at(device)) return CUDA_ERROR_INVALID_DEVICE;
    const int arch = state().architecture, shared = arch >= 90 ? 232448 : arch == 80 ? 166912 : 101376;
    switch (attribute) {
        case ATTRIBUTE_MAX_THREADS_PER_BLOCK:
        case ATTRIBUTE_MAX_BLOCK_DIM_X:
        case ATTRIBUTE_MAX_BLOCK_DIM_Y: *value = 1024; break;
        case ATTRIBUTE_MAX_BLOCK_DIM_Z: *value = 64; break;
        case ATTRIBUTE_MAX_GRID_DIM_X: *value = 0x7fffffff; break;
        case ATTRIBUTE_MAX_GRID_DIM_Y:
        case ATTRIBUTE_MAX_GRID_DIM_Z: *value = 65535; break;
        case ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 49152; break;
        case ATTRIBUTE_TOTAL_CONSTANT_MEMORY: *value = 65536; break;
        case ATTRIBUTE_WARP_SIZE: *value = 32; break;
        case ATTRIBUTE_MAX_REGISTERS_PER_BLOCK:
        case ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR: *value = 65536; break;
        case ATTRIBUTE_CLOCK_RATE:
        case ATTRIBUTE_MEMORY_CLOCK_RATE: *value = 1000000; break;
        case ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 4; break;
        case ATTRIBUTE_CAN_MAP_HOST_MEMORY:
        case ATTRIBUTE_CONCURRENT_KERNELS:
        case ATTRIBUTE_UNIFIED_ADDRESSING:
        case ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
        case ATTRIBUTE_PCI_DEVICE_ID: *value = device; break;
        case ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH: *value = 128; break;
        case ATTRIBUTE_L2_CACHE_SIZE: *value = 4 << 20; break;
        case ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = arch == 80 || arch >= 90 ? 2048 : 1536; break;
        case ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = arch / 10; break;
        case ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = arch % 10; break;
        case ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR: *value = shared + 1024; break;
        case ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = shared; break;
        case ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: *value = arch == 80 || arch >= 90 ? 32 : 16; break;
        case ATTRIBUTE_RESERVED_SHARED_MEMORY_PER_BLOCK: *value = 1024; break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRetain(void** context, CUdevice device) {
    Locked l;
    if (!device_at(device)) return CUDA_ERROR_INVALID_DEVICE;
    *context = device_at(device);
    return CUDA_SUCCESS;
}
API CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
API CUresult cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }
API CUresult cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = *greatest = 0;
    return CUDA_SUCCESS;
}
API CUresult cuProfilerStart() { return CUDA_SUCCESS; }
API CUresult cuProfilerStop() { return CUDA_SUCCESS; }
