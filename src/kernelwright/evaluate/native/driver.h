/* The part of NVIDIA's driver API that our programs use, found at run time.
 *
 * Nothing of CUDA is needed to build them, and nothing but the driver (libcuda.so.1) to run them.
 * Names, types and numbers are those of NVIDIA's CUDA Driver API reference.
 */
#pragma once

#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int CUresult, CUdevice;
typedef unsigned long long CUdeviceptr;
typedef void *CUcontext, *CUstream, *CUevent, *CUmodule, *CUfunction;
typedef struct { char reserved[64]; } CUipcMemHandle;

enum { CU_STREAM_NON_BLOCKING = 1, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS = 1 };
enum { CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE = 38 };
enum { CU_MEMHOSTREGISTER_DEVICEMAP = 2 };
enum { CUDA_ERROR_NOT_FOUND = 500 };

#define DRIVER(X)                                                                            \
    X(cuInit, "cuInit", (unsigned flags))                                                    \
    X(cuDeviceGet, "cuDeviceGet", (CUdevice * device, int ordinal))                          \
    X(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int which, CUdevice device))\
    X(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain", (CUcontext * context, CUdevice device)) \
    X(cuCtxSetCurrent, "cuCtxSetCurrent", (CUcontext context))                               \
    X(cuCtxSynchronize, "cuCtxSynchronize", (void))                                          \
    X(cuGetErrorName, "cuGetErrorName", (CUresult error, const char **name))                 \
    X(cuStreamCreate, "cuStreamCreate", (CUstream * stream, unsigned flags))                 \
    X(cuStreamSynchronize, "cuStreamSynchronize", (CUstream stream))                         \
    X(cuEventCreate, "cuEventCreate", (CUevent * event, unsigned flags))                     \
    X(cuEventRecord, "cuEventRecord", (CUevent event, CUstream stream))                      \
    X(cuEventElapsedTime, "cuEventElapsedTime", (float *ms, CUevent start, CUevent end))     \
    X(cuMemGetInfo, "cuMemGetInfo_v2", (size_t *free_bytes, size_t *total_bytes))           \
    X(cuMemAlloc, "cuMemAlloc_v2", (CUdeviceptr * at, size_t nbytes))                        \
    X(cuMemFree, "cuMemFree_v2", (CUdeviceptr at))                                           \
    X(cuMemcpyHtoD, "cuMemcpyHtoDAsync_v2", (CUdeviceptr to, const void *from, size_t nbytes, CUstream stream)) \
    X(cuMemcpyDtoH, "cuMemcpyDtoHAsync_v2", (void *to, CUdeviceptr from, size_t nbytes, CUstream stream)) \
    X(cuMemcpyDtoD, "cuMemcpyDtoDAsync_v2", (CUdeviceptr to, CUdeviceptr from, size_t nbytes, CUstream stream)) \
    X(cuMemGetAddressRange, "cuMemGetAddressRange_v2", (CUdeviceptr * base, size_t *nbytes, CUdeviceptr at)) \
    X(cuMemsetD8, "cuMemsetD8Async", (CUdeviceptr at, unsigned char value, size_t nbytes, CUstream stream)) \
    X(cuMemsetD16, "cuMemsetD16Async", (CUdeviceptr at, unsigned short value, size_t count, CUstream stream)) \
    X(cuMemsetD32, "cuMemsetD32Async", (CUdeviceptr at, unsigned value, size_t count, CUstream stream)) \
    X(cuMemHostRegister, "cuMemHostRegister_v2", (void *at, size_t nbytes, unsigned flags))  \
    X(cuMemHostGetDevicePointer, "cuMemHostGetDevicePointer_v2", (CUdeviceptr * at, void *host, unsigned flags)) \
    X(cuIpcGetMemHandle, "cuIpcGetMemHandle", (CUipcMemHandle * handle, CUdeviceptr at))     \
    X(cuIpcOpenMemHandle, "cuIpcOpenMemHandle_v2", (CUdeviceptr * at, CUipcMemHandle handle, unsigned flags)) \
    X(cuIpcCloseMemHandle, "cuIpcCloseMemHandle", (CUdeviceptr at))                          \
    X(cuModuleLoadData, "cuModuleLoadData", (CUmodule * module, const void *image))          \
    X(cuModuleGetFunction, "cuModuleGetFunction", (CUfunction * function, CUmodule module, const char *name)) \
    X(cuFuncSetAttribute, "cuFuncSetAttribute", (CUfunction function, int attribute, int value)) \
    X(cuLaunchKernel, "cuLaunchKernel", (CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z, unsigned shared_bytes, CUstream stream, void **arguments, void **extra))

#define DECLARE(name, symbol, arguments) static CUresult (*name) arguments;
DRIVER(DECLARE)
#undef DECLARE

static const char *error_name(CUresult error) {
    const char *name = NULL;
    return cuGetErrorName != NULL && cuGetErrorName(error, &name) == 0 && name ? name : "CUDA error";
}

/* Ours must work: what goes wrong here is no candidate's doing. */
static void must(CUresult error, const char *what) {
    if (error == 0) return;
    fprintf(stderr, "%s: %s (%d)\n", what, error_name(error), error);
    _exit(5);
}

/* The driver's functions, and the primary context of device 0, which the runtime library of a
 * candidate uses too. Returns the device. */
static CUdevice open_device(void) {
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL);
    if (driver == NULL) { fprintf(stderr, "%s\n", dlerror()); _exit(5); }
#define FIND(name, symbol, arguments)                                              \
    *(void **)&name = dlsym(driver, symbol);                                       \
    if (name == NULL) { fprintf(stderr, "the driver has no %s\n", symbol); _exit(5); }
    DRIVER(FIND)
#undef FIND
    CUdevice device;
    CUcontext context;
    must(cuInit(0), "cuInit");
    must(cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
    must(cuCtxSetCurrent(context), "cuCtxSetCurrent");
    return device;
}

/* The address of memory that another process lends by `hex`, an IPC handle in hexadecimal. */
static inline CUdeviceptr opened(const char *hex) {
    CUipcMemHandle handle;
    CUdeviceptr at;
    for (size_t i = 0; i < sizeof handle; i++) {
        unsigned byte;
        if (sscanf(hex + 2 * i, "%2x", &byte) != 1) _exit(2);
        handle.reserved[i] = (char)byte;
    }
    must(cuIpcOpenMemHandle(&at, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS), "cuIpcOpenMemHandle");
    return at;
}
