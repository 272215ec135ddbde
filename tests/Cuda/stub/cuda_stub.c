// A CUDA driver that does nothing but record: each call logs its arguments, sets its outputs to numbers of its own, and succeeds unless
// stub_fail named it. Handles and addresses use all 64 bits, so that a cut one shows.
#include "prototypes.h"
#include "recorder.h"
#include <stdint.h>
#include <stdlib.h>

#define P(x) ((unsigned long long)(uintptr_t)(x))
#define HANDLE(n) ((void *)(uintptr_t)(0xF1F2F3F400000000ull + (n)))

// Bytes as hexadecimal digits; the text stands until the next call.
static const char *hex(const void *bytes, size_t count) {
    static char text[129];
    if (count > 64) {
        count = 64;
    }
    for (size_t i = 0; i < count; i++) {
        snprintf(text + 2 * i, 3, "%02x", ((const unsigned char *)bytes)[i]);
    }
    text[2 * count] = 0;
    return text;
}

CUresult cuInit(unsigned int flags) { return record("cuInit", " %u", flags); }

CUresult cuDriverGetVersion(int *version) {
    *version = 12040;
    return record("cuDriverGetVersion", "");
}

CUresult cuGetErrorName(CUresult error, const char **name) {
    switch ((int)error) {
    case 2: *name = "CUDA_ERROR_OUT_OF_MEMORY"; break;
    case 100: *name = "CUDA_ERROR_NO_DEVICE"; break;
    case 101: *name = "CUDA_ERROR_INVALID_DEVICE"; break;
    case 222: *name = "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"; break;
    default: *name = "CUDA_ERROR_UNKNOWN"; break;
    }
    return record("cuGetErrorName", " %d", (int)error);
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    *text = "a text from the stub";
    return record("cuGetErrorString", " %d", (int)error);
}

CUresult cuDeviceGetCount(int *count) {
    *count = 2;
    return record("cuDeviceGetCount", "");
}

CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = 40 + ordinal;
    return record("cuDeviceGet", " %d", ordinal);
}

CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    snprintf(name, (size_t)length, "stub card %d", device);
    return record("cuDeviceGetName", " %d %d", length, device);
}

CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    *value = attribute == 75 ? 8 : attribute == 76 ? 6 : 100 + (int)attribute;
    return record("cuDeviceGetAttribute", " %d %d", (int)attribute, device);
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
    *bytes = 0x0000000280000001ull;
    return record("cuDeviceTotalMem_v2", " %d", device);
}

CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = HANDLE(1);
    return record("cuDevicePrimaryCtxRetain", " %d", device);
}

CUresult cuDevicePrimaryCtxRelease_v2(CUdevice device) { return record("cuDevicePrimaryCtxRelease_v2", " %d", device); }

CUresult cuCtxSetCurrent(CUcontext context) { return record("cuCtxSetCurrent", " 0x%llx", P(context)); }

CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
    *free = 0xA1A2A3A400000001ull;
    *total = 0xB1B2B3B400000002ull;
    return record("cuMemGetInfo_v2", "");
}

// Logs the options with their values, and the image's length and last byte before its NUL; writes into an error log that it is given.
CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int option_count, CUjit_option *options, void **option_values) {
    const char *text = image;
    char *log = NULL;
    size_t log_bytes = 0;
    char values[256] = "";
    *module = HANDLE(2);
    for (unsigned int i = 0; i < option_count; i++) {
        size_t used = strlen(values);
        if (options[i] == CU_JIT_ERROR_LOG_BUFFER) {
            log = option_values[i];
            snprintf(values + used, sizeof values - used, " %d=buffer", (int)options[i]);
        } else {
            log_bytes = options[i] == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES ? (size_t)option_values[i] : log_bytes;
            snprintf(values + used, sizeof values - used, " %d=%llu", (int)options[i], P(option_values[i]));
        }
    }
    int result = record("cuModuleLoadDataEx", " %zu %u%s", strlen(text), option_count, values);
    if (log) {
        snprintf(log, log_bytes, "%s", result ? "line 7: a complaint from the stub" : "");
    }
    return result;
}

CUresult cuModuleUnload(CUmodule module) { return record("cuModuleUnload", " 0x%llx", P(module)); }

CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    *function = HANDLE(3);
    return record("cuModuleGetFunction", " 0x%llx %s", P(module), name);
}

CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    return record("cuFuncSetAttribute", " 0x%llx %d %d", P(function), (int)attribute, value);
}

CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    *address = 0xC1C2C3C400000100ull;
    return record("cuMemAlloc_v2", " %zu", bytes);
}

CUresult cuMemFree_v2(CUdeviceptr address) { return record("cuMemFree_v2", " 0x%llx", address); }

// Real memory for as much as a test writes into, else a number.
CUresult cuMemAllocHost_v2(void **host, size_t bytes) {
    *host = bytes <= 64u << 20 ? malloc(bytes) : HANDLE(4);
    return record("cuMemAllocHost_v2", " %zu", bytes);
}

CUresult cuMemFreeHost(void *host) { return record("cuMemFreeHost", " 0x%llx", P(host)); }

CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr destination, const void *source, size_t bytes, CUstream stream) {
    return record("cuMemcpyHtoDAsync_v2", " 0x%llx %s %zu 0x%llx", destination, hex(source, bytes), bytes, P(stream));
}

CUresult cuMemcpyDtoHAsync_v2(void *destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    memset(destination, 0x5A, bytes);
    return record("cuMemcpyDtoHAsync_v2", " 0x%llx %zu 0x%llx", source, bytes, P(stream));
}

CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr destination, CUdeviceptr source, size_t bytes, CUstream stream) {
    return record("cuMemcpyDtoDAsync_v2", " 0x%llx 0x%llx %zu 0x%llx", destination, source, bytes, P(stream));
}

CUresult cuMemsetD32Async(CUdeviceptr destination, unsigned int value, size_t count, CUstream stream) {
    return record("cuMemsetD32Async", " 0x%llx %u %zu 0x%llx", destination, value, count, P(stream));
}

CUresult cuStreamCreate(CUstream *stream, unsigned int flags) {
    *stream = HANDLE(5);
    return record("cuStreamCreate", " %u", flags);
}

CUresult cuStreamDestroy_v2(CUstream stream) { return record("cuStreamDestroy_v2", " 0x%llx", P(stream)); }

CUresult cuStreamSynchronize(CUstream stream) { return record("cuStreamSynchronize", " 0x%llx", P(stream)); }

CUresult cuEventCreate(CUevent *event, unsigned int flags) {
    *event = HANDLE(6);
    return record("cuEventCreate", " %u", flags);
}

CUresult cuEventDestroy_v2(CUevent event) { return record("cuEventDestroy_v2", " 0x%llx", P(event)); }

CUresult cuEventRecord(CUevent event, CUstream stream) { return record("cuEventRecord", " 0x%llx 0x%llx", P(event), P(stream)); }

CUresult cuEventSynchronize(CUevent event) { return record("cuEventSynchronize", " 0x%llx", P(event)); }

CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    *milliseconds = 1.5f;
    return record("cuEventElapsedTime", " 0x%llx 0x%llx", P(start), P(end));
}

// Parameters have no count here: the driver knows it from the kernel. The test's kernel takes one of 8 bytes and one of 4.
CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z, unsigned int block_x,
    unsigned int block_y, unsigned int block_z, unsigned int shared_bytes, CUstream stream, void **parameters, void **extra) {
    unsigned long long first;
    unsigned int second;
    memcpy(&first, parameters[0], sizeof first);
    memcpy(&second, parameters[1], sizeof second);
    return record("cuLaunchKernel", " 0x%llx %u %u %u %u %u %u %u 0x%llx [0x%llx 0x%x] 0x%llx", P(function), grid_x, grid_y, grid_z, block_x,
        block_y, block_z, shared_bytes, P(stream), first, second, P(extra));
}
