/* The keeper: device memory that others compute in, in a process that no candidate has a part in.
 *
 * It holds the secret inputs, and lends two blocks of memory by IPC handles: one for the inputs of
 * calls and one for their outputs. What it does with them is what `timing/keeper.py` writes into
 * SCRIPT: "stage" copies and fills; "open" takes in memory of a candidate's own, that holds outputs
 * which it returned; "sample" notes words of outputs, before whoever is not done could be.
 *
 * usage: keeper CONTROL_FD SCRIPT_FD WINDOW_FD INPUT_BYTES OUTPUT_BYTES POOL_BYTES
 *
 * It first prints the two IPC handles in hexadecimal on a line.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver.h"
#include "frames.h"

enum { CHOOSE = 1, FLUSH = 2, CHOOSE_NONE = 4 };
enum { THREADS = 128, BLOCK = 2 << 20, SAMPLES = 4096, STEPS = 16384, NAMES = 4096 };
/* Where a step finds bytes: our window on the host, and memory on the device. Behind these come the
 * outputs that were opened. */
enum { WINDOW, POOL, INPUTS, OUTPUTS, SCRATCH, OPENED };

/* Copy `nbytes` from one place to another; or fill them with the byte `from` where `from_in` < 0. */
struct step { int64_t to_in, to, from_in, from, nbytes; };
struct name { CUipcMemHandle handle; int64_t offset, nbytes; };
struct place { int64_t in, at; };
struct script {
    struct step steps[STEPS];
    struct name names[NAMES];
    struct place places[SAMPLES];
    uint32_t words[SAMPLES];
};

/* From addresses to the words that lie there: one thread each. */
static const char gather_ptx[] =
    ".version 6.4\n.target sm_70\n.address_size 64\n"
    ".visible .entry gather(.param .u64 at, .param .u64 to, .param .u32 count)\n"
    "{\n"
    ".reg .pred %p; .reg .b32 %r<6>; .reg .b64 %d<8>;\n"
    "ld.param.u64 %d2, [at]; ld.param.u64 %d3, [to]; ld.param.u32 %r1, [count];\n"
    "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;\n"
    "mad.lo.u32 %r5, %r2, %r3, %r4;\n"
    "setp.ge.u32 %p, %r5, %r1;\n"
    "@%p ret;\n"
    "mul.wide.u32 %d4, %r5, 8; add.u64 %d5, %d2, %d4; ld.global.u64 %d6, [%d5];\n"
    "ld.volatile.global.u32 %r2, [%d6];\n"
    "mul.wide.u32 %d4, %r5, 4; add.u64 %d7, %d3, %d4; st.global.u32 [%d7], %r2;\n"
    "ret;\n"
    "}\n";

struct space { CUdeviceptr at; size_t nbytes; };

static CUstream stream;
static CUfunction gather;
static CUdeviceptr addresses, words;
static struct script *script;
static char *window;
static struct space spaces[OPENED + NAMES];
static struct { CUipcMemHandle handle; struct space space; } known[NAMES];
static int n_known;

static void print_handle(CUdeviceptr at) {
    CUipcMemHandle handle;
    must(cuIpcGetMemHandle(&handle, at), "cuIpcGetMemHandle");
    for (size_t i = 0; i < sizeof handle; i++) printf("%02x", (unsigned char)handle.reserved[i]);
}

static void allocate(int which, size_t nbytes) {
    /* Smaller blocks share an allocation of the driver's, which a handle would lend as a whole. */
    spaces[which].nbytes = nbytes;
    must(cuMemAlloc(&spaces[which].at, (nbytes + BLOCK) / BLOCK * BLOCK), "cuMemAlloc");
}

static void take_memory(CUdevice device, size_t inputs, size_t outputs, size_t pool) {
    int l2_bytes = 0;
    must(cuDeviceGetAttribute(&l2_bytes, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, device), "L2 size");
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    allocate(INPUTS, inputs);
    allocate(OUTPUTS, outputs);
    allocate(POOL, pool);
    allocate(SCRATCH, 2 * (size_t)l2_bytes);
    must(cuMemAlloc(&addresses, SAMPLES * sizeof(CUdeviceptr)), "cuMemAlloc");
    must(cuMemAlloc(&words, SAMPLES * sizeof(uint32_t)), "cuMemAlloc");
    /* Copies are several times as fast from memory that cannot be paged out. */
    cuMemHostRegister(window, spaces[WINDOW].nbytes, 0);
    must(cuMemHostRegister(script, sizeof *script, 0), "cuMemHostRegister");
    CUmodule module;
    must(cuModuleLoadData(&module, gather_ptx), "cuModuleLoadData");
    must(cuModuleGetFunction(&gather, module, "gather"), "cuModuleGetFunction");
}

static void settle(const char *what) { must(cuStreamSynchronize(stream), what); }

/* An address of the device, checked against the memory that it must lie in. */
static CUdeviceptr address(int64_t in, int64_t at, int64_t nbytes) {
    if (in < 0 || in >= OPENED + NAMES || at < 0 || nbytes < 0 || (uint64_t)(at + nbytes) > spaces[in].nbytes) {
        fprintf(stderr, "a step leaves its memory: %ld, %ld, %ld\n", (long)in, (long)at, (long)nbytes);
        _exit(5);
    }
    return in == WINDOW ? (CUdeviceptr)(uintptr_t)window + at : spaces[in].at + at;
}

static CUresult perform(const struct step *step) {
    CUdeviceptr to = address(step->to_in, step->to, step->nbytes);
    if (step->nbytes == 0) return 0;
    if (step->from_in < 0) return cuMemsetD8(to, (unsigned char)step->from, step->nbytes, stream);
    CUdeviceptr from = address(step->from_in, step->from, step->nbytes);
    if (step->from_in == WINDOW) return cuMemcpyHtoD(to, (void *)(uintptr_t)from, step->nbytes, stream);
    if (step->to_in == WINDOW) return cuMemcpyDtoH((void *)(uintptr_t)to, from, step->nbytes, stream);
    return cuMemcpyDtoD(to, from, step->nbytes, stream);
}

/* The words to be sampled from now on; nobody's when `places` is NULL. */
static void choose(const struct place *places) {
    static CUdeviceptr chosen[SAMPLES];
    for (int i = 0; i < SAMPLES; i++)
        chosen[i] = places ? address(places[i].in, places[i].at, sizeof(uint32_t)) : spaces[SCRATCH].at;
    must(cuMemcpyHtoD(addresses, chosen, sizeof chosen, stream), "choose");
}

/* The steps; then `subject` says whether the words to be sampled are new ones, and whether all that
 * was brought is to be pushed out of the cache, from which a user's inputs may not come either. */
static void stage(uint32_t count, uint32_t subject) {
    if (count > STEPS) _exit(5);
    for (uint32_t i = 0; i < count; i++) must(perform(&script->steps[i]), "stage");
    if (subject & (CHOOSE | CHOOSE_NONE)) choose(subject & CHOOSE ? script->places : NULL);
    if (subject & FLUSH) must(cuMemsetD8(spaces[SCRATCH].at, 0, spaces[SCRATCH].nbytes, stream), "flush");
    settle("stage");
}

static void sample(void) {
    uint32_t count = SAMPLES;
    void *arguments[] = {&addresses, &words, &count};
    must(cuLaunchKernel(gather, SAMPLES / THREADS, 1, 1, THREADS, 1, 1, 0, stream, arguments, NULL), "sample");
    must(cuMemcpyDtoH(script->words, words, sizeof script->words, stream), "sample");
    settle("sample");
}

/* The memory of another process that a handle names; an allocation is opened once. */
static CUresult opened_space(const CUipcMemHandle *handle, struct space *space) {
    for (int i = 0; i < n_known; i++)
        if (memcmp(&known[i].handle, handle, sizeof *handle) == 0) { *space = known[i].space; return 0; }
    if (n_known == NAMES) return 1;
    CUdeviceptr base;
    CUresult error = cuIpcOpenMemHandle(&space->at, *handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
    if (error == 0) error = cuMemGetAddressRange(&base, &space->nbytes, space->at);
    if (error != 0) return error;
    known[n_known].handle = *handle;
    known[n_known++].space = *space;
    return 0;
}

/* Take in outputs by their names, as `count` places from `first` on. Whether all of them are what
 * they are said to be. */
static int open_names(uint32_t first, uint32_t count) {
    if (first > NAMES || count > NAMES - first) return 0;
    for (uint32_t i = first; i < first + count; i++) {
        struct name *name = &script->names[i];
        struct space whole;
        CUresult error = opened_space(&name->handle, &whole);
        if (error != 0 || name->offset < 0 || name->nbytes < 0 || (uint64_t)name->offset > whole.nbytes
            || (uint64_t)name->nbytes > whole.nbytes - (uint64_t)name->offset) {
            fprintf(stderr, "output %u cannot be opened: %s\n", i, error ? error_name(error) : "too short");
            return 0;
        }
        spaces[OPENED + i] = (struct space){whole.at + (CUdeviceptr)name->offset, (size_t)name->nbytes};
    }
    return 1;
}

/* Forget the memory of a process that is gone, or will be. */
static void close_names(void) {
    choose(NULL);
    settle("choose");
    for (int i = 0; i < n_known; i++) cuIpcCloseMemHandle(known[i].space.at);
    memset(&spaces[OPENED], 0, NAMES * sizeof *spaces);
    n_known = 0;
}

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    size_t script_bytes;
    control = atoi(argv[1]);
    script = (struct script *)map(atoi(argv[2]), PROT_READ | PROT_WRITE, &script_bytes);
    window = map(atoi(argv[3]), PROT_READ | PROT_WRITE, &spaces[WINDOW].nbytes);
    if (script_bytes < sizeof *script) return 2;
    take_memory(open_device(), strtoull(argv[4], NULL, 10), strtoull(argv[5], NULL, 10), strtoull(argv[6], NULL, 10));
    choose(NULL);
    settle("choose");
    print_handle(spaces[INPUTS].at);
    print_handle(spaces[OUTPUTS].at);
    printf("\n");
    fflush(stdout);
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        uint32_t status = STATUS_OK;
        if (command.magic != MAGIC) return 3;
        switch (command.op) {
        case OP_LOAD: close_names(); break;
        case OP_STAGE: stage(command.count, command.subject); break;
        case OP_OPEN: status = open_names(command.first, command.count) ? STATUS_OK : STATUS_FAILED; break;
        case OP_SAMPLE: sample(); break;
        case OP_PING: break;
        default: return 3;
        }
        answer(command.op, status, command.count, 0);
    }
    return 0;
}
