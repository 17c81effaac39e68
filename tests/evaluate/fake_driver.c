/* Stands in for NVIDIA's driver where there is no GPU: "device" memory is memory of the host, and an
 * IPC handle the name of a file that holds it. Everything is done at once, but for what is launched
 * behind a gate: that is done by a process of its own, as a device goes on by itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

typedef unsigned long long at_t;
enum { MOST = 256, LAUNCHES = 4096 };
static struct { at_t at; char name[512]; size_t size; } blocks[MOST];
static int count, made;

int cuInit(unsigned flags) { (void)flags; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetAttribute(int *value, int which, int device) { (void)which, (void)device; *value = 4096; return 0; }
/* How a device is broken, if it is: it makes no context, for ever or at once, or forgets. */
static int is_broken(const char *how) {
    const char *said = getenv("FAKE_DEVICE_BROKEN");
    return said != NULL && strcmp(said, how) == 0;
}
int cuDevicePrimaryCtxRetain(void **context, int device) {
    (void)device;
    while (is_broken("hangs")) usleep(1000);
    *context = blocks;
    return is_broken("context") ? 999 : 0;
}
int cuCtxSetCurrent(void *context) { (void)context; return 0; }
int cuGetErrorName(int error, const char **name) { *name = error == 2 ? "CUDA_ERROR_OUT_OF_MEMORY" : "FAKE_ERROR"; return 0; }
int cuStreamCreate(void **stream, unsigned flags) { (void)flags; *stream = blocks; return 0; }
int cuEventCreate(void **event, unsigned flags) { (void)flags; *event = blocks; return 0; }
int cuEventRecord(void *event, void *stream) { (void)event, (void)stream; return 0; }
int cuEventElapsedTime(float *ms, void *start, void *end) { (void)start, (void)end; *ms = 1e-3f; return 0; }

/* A device has as much as the test says, for one tensor. */
static int is_too_large(size_t size) {
    const char *most = getenv("FAKE_DEVICE_BYTES");
    return most != NULL && size > strtoull(most, NULL, 10);
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total_bytes) {
    *free_bytes = 3u << 30;
    *total_bytes = 4ull << 30;
    return 0;
}

int cuMemAlloc_v2(at_t *at, size_t size) {
    if (is_too_large(size)) return 2;
    snprintf(blocks[count].name, sizeof blocks->name, "%s/kw-%d-%d", getenv("FAKE_DEVICE"), getpid(), made++);
    int fd = open(blocks[count].name, O_RDWR | O_CREAT, 0600);
    if (fd < 0 || ftruncate(fd, (off_t)size) != 0) return 2;
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *at = blocks[count].at = (at_t)(uintptr_t)memory;
    blocks[count++].size = size;
    return memory == MAP_FAILED ? 2 : 0;
}

int cuMemFree_v2(at_t at) {
    for (int i = 0; i < count; i++)
        if (blocks[i].at == at) {
            munmap((void *)(uintptr_t)at, blocks[i].size);
            unlink(blocks[i].name);
            blocks[i] = blocks[--count];
            return 0;
        }
    return 1;
}

int cuMemGetAddressRange_v2(at_t *base, size_t *size, at_t at) {
    for (int i = 0; i < count; i++)
        if (blocks[i].at <= at && at < blocks[i].at + blocks[i].size) {
            *base = blocks[i].at;
            *size = blocks[i].size;
            return 0;
        }
    return 1;
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
    size_t size = (size_t)lseek(fd, 0, SEEK_END);
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    *at = blocks[count].at = (at_t)(uintptr_t)memory;
    memcpy(blocks[count].name, handle.reserved, sizeof blocks->name);
    blocks[count++].size = size;
    return memory == MAP_FAILED;
}
int cuIpcCloseMemHandle(at_t at) { (void)at; return 0; }

int cuMemcpyHtoDAsync_v2(at_t to, const void *from, size_t size, void *stream) { (void)stream; memcpy((void *)(uintptr_t)to, from, size); return 0; }
int cuMemcpyDtoHAsync_v2(void *to, at_t from, size_t size, void *stream) { (void)stream; memcpy(to, (void *)(uintptr_t)from, size); return 0; }
int cuMemcpyDtoDAsync_v2(at_t to, at_t from, size_t size, void *stream) { return cuMemcpyHtoDAsync_v2(to, (void *)(uintptr_t)from, size, stream); }
int cuMemsetD8Async(at_t at, unsigned char value, size_t size, void *stream) { (void)stream; memset((void *)(uintptr_t)at, value, size); return 0; }
int cuMemsetD16Async(at_t at, unsigned short value, size_t size, void *stream) {
    (void)stream;
    for (size_t i = 0; i < size; i++) ((unsigned short *)(uintptr_t)at)[i] = value;
    return 0;
}
int cuMemsetD32Async(at_t at, unsigned value, size_t size, void *stream) {
    (void)stream;
    for (size_t i = 0; i < size; i++) ((unsigned *)(uintptr_t)at)[i] = value;
    return 0;
}
int cuFuncSetAttribute(void *function, int attribute, int value) { (void)function, (void)attribute, (void)value; return 0; }
int cuMemHostRegister_v2(void *at, size_t size, unsigned flags) { (void)at, (void)size, (void)flags; return 0; }
int cuMemHostGetDevicePointer_v2(at_t *at, void *host, unsigned flags) { (void)flags; *at = (at_t)(uintptr_t)host; return 0; }
int cuProfilerStart(void) { puts("cuProfilerStart"); return fflush(stdout); }
int cuProfilerStop(void) { puts("cuProfilerStop"); return fflush(stdout); }
int cuModuleLoadData(void **module, const void *image) { (void)image; *module = blocks; return 0; }

static char gather[] = "gather", gate[] = "gate", say[] = "say", plus[] = "plus", mark[] = "mark", turn[] = "turn";
int cuModuleGetFunction(void **function, void *module, const char *name) {
    (void)module;
    char *known[] = {gather, gate, say, plus, mark, turn};
    for (int i = 0; i < 6; i++)
        if (strcmp(name, known[i]) == 0) { *function = known[i]; return 0; }
    return 500;
}

/* What waits behind the gate, and the process that does it. */
static struct { void (*kernel)(void *); void *data; } launches[LAUNCHES];
static int n_launches, recording;
static volatile uint32_t *gate_word;
static uint32_t gate_token;
static pid_t device;

/* How the kernels of a test, which are functions here, are launched. */
void fakeLaunch(void (*kernel)(void *), void *data) {
    if (!recording) { kernel(data); return; }
    launches[n_launches].kernel = kernel;
    launches[n_launches++].data = data;
}

static void begin(volatile uint32_t *word, uint32_t token) {
    gate_word = word;
    gate_token = token;
    recording = 1;
    n_launches = 0;
}

static void go_on(volatile uint32_t *done, uint32_t token) {
    recording = 0;
    device = fork();
    if (device != 0) return;
    for (int turns = 0; *gate_word != gate_token && turns < 200000; turns++) usleep(50);
    for (int i = 0; i < n_launches; i++) launches[i].kernel(launches[i].data);
    *done = token;
    _exit(0);
}

int cuCtxSynchronize(void) {
    if (device > 0) waitpid(device, NULL, 0);
    device = 0;
    return 0;
}
int cuStreamSynchronize(void *stream) { (void)stream; return cuCtxSynchronize(); }

/* The one kernel that files of launches have here: out = x + more[0] + value, for n elements. */
struct sum { const float *x, *more; float *out; int64_t n; float value; };
static void add(void *data) {
    const struct sum *it = data;
    for (int64_t i = 0; i < it->n; i++) it->out[i] = it->x[i] + it->more[0] + it->value;
}

/* The kernels of the health probe. */
static void probe(const char *name, void **arguments) {
    uint32_t *words = (uint32_t *)(uintptr_t)*(at_t *)arguments[0];
    uint32_t count = *(uint32_t *)arguments[1], seed = *(uint32_t *)arguments[2];
    for (uint32_t i = 0; i < count; i++) words[i] = name == mark ? (i * 0x9E3779B1u) ^ seed : ~words[i];
    if (is_broken(name)) words[count / 2] ^= 0x100;
}

static struct sum *sum_of(void **arguments) {
    struct sum *made = malloc(sizeof *made);
    made->x = *(const float **)arguments[0];
    made->more = *(const float **)arguments[1];
    made->out = *(float **)arguments[2];
    made->n = *(int64_t *)arguments[3];
    made->value = *(float *)arguments[4];
    return made;
}

int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **arguments, void **extra) {
    (void)gx, (void)gy, (void)gz, (void)bx, (void)by, (void)bz, (void)shared, (void)stream, (void)extra;
    if (function == gate) {
        begin((uint32_t *)(uintptr_t)*(at_t *)arguments[0], *(uint32_t *)arguments[1]);
    } else if (function == say) {
        go_on((uint32_t *)(uintptr_t)*(at_t *)arguments[0], *(uint32_t *)arguments[1]);
    } else if (function == mark || function == turn) {
        probe(function, arguments);
    } else if (function == plus) {
        fakeLaunch(add, sum_of(arguments));
    } else {
        const at_t *at = (const at_t *)(uintptr_t)*(at_t *)arguments[0];
        uint32_t *words = (uint32_t *)(uintptr_t)*(at_t *)arguments[1];
        for (uint32_t i = 0; i < *(uint32_t *)arguments[2]; i++) memcpy(&words[i], (void *)(uintptr_t)at[i], 4);
    }
    return 0;
}
