/* Stands in for NVIDIA's driver where there is no GPU: "device" memory is memory of the host, an IPC
 * handle the name of a file that holds it, and everything is done at once. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

typedef unsigned long long at_t;
enum { MOST = 64 };
static struct { at_t at; char name[64]; size_t size; } blocks[MOST];
static int count;

int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { (void)which, (void)device; *value = 4096; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int device) { (void)device; *context = blocks; return 0; }
int cuCtxSetCurrent(void *context) { (void)context; return 0; }
int cuCtxSynchronize(void) { return 0; }
int cuGetErrorName(int error, const char **name) { (void)error; *name = "FAKE_ERROR"; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = blocks; return 0; }
int cuStreamSynchronize(void *stream) { (void)stream; return 0; }
int cuEventCreate(void **event, unsigned flags) { (void)flags; *event = blocks; return 0; }
int cuEventRecord(void *event, void *stream) { (void)event, (void)stream; return 0; }
int cuEventElapsedTime(float *ms, void *start, void *end) { (void)start, (void)end; *ms = 1e-3f; return 0; }

int cuMemAlloc_v2(at_t *at, size_t size) {
    snprintf(blocks[count].name, sizeof blocks->name, "%s/kw-%d-%d", getenv("FAKE_DEVICE"), getpid(), count);
    int fd = open(blocks[count].name, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) return 2;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *at = blocks[count].at = (at_t)(uintptr_t)memory;
    blocks[count++].size = size;
    return memory == MAP_FAILED ? 2 : 0;
}

int cuIpcGetMemHandle(char *handle, at_t at) {
    for (int i = 0; i < count; i++)
        if (blocks[i].at == at) { memcpy(handle, blocks[i].name, 64); return 0; }
    return 1;
}

typedef struct { char reserved[64]; } handle_t;
int cuIpcOpenMemHandle_v2(at_t *at, handle_t handle, unsigned flags) {
    (void)flags;
    int fd = open(handle.reserved, O_RDWR);
    if (fd < 0) return 1;
    void *memory = mmap(NULL, (size_t)lseek(fd, 0, SEEK_END), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *at = (at_t)(uintptr_t)memory;
    return memory == MAP_FAILED;
}

int cuMemcpyHtoDAsync_v2(at_t to, const void *from, size_t size, void *stream) { (void)stream; memcpy((void *)(uintptr_t)to, from, size); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, at_t from, size_t size, void *stream) { (void)stream; memcpy(to, (void *)(uintptr_t)from, size); return 0; }
int cuMemsetD8Async(at_t at, unsigned char value, size_t size, void *stream) { (void)stream; memset((void *)(uintptr_t)at, value, size); return 0; }
int cuMemHostRegister_v2(void *at, size_t size, unsigned flags) { (void)at, (void)size, (void)flags; return 0; }
int cuModuleLoadData(void **module, const void *image) { (void)image; *module = blocks; return 0; }
int cuModuleGetFunction(void **function, void *module, const char *name) { (void)module, (void)name; *function = blocks; return 0; }

/* The only kernel that is launched by name: the keeper's. */
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    (void)function, (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)stream, (void)extra;
    const char *base = (const char *)(uintptr_t)*(at_t *)arguments[0];
    const int64_t *offsets = (const int64_t *)(uintptr_t)*(at_t *)arguments[1];
    uint32_t *words = (uint32_t *)(uintptr_t)*(at_t *)arguments[2];
    for (uint32_t i = 0; i < *(uint32_t *)arguments[3]; i++) memcpy(&words[i], base + offsets[i], 4);
    return 0;
}
