/* The keeper: device memory that a candidate computes in, in a process that the candidate has no
 * part in.
 *
 * It mirrors the memory of `timing/staging.py` on the device and lends it to gpu_runner.c by IPC
 * handles. Before a block it brings the inputs and poisoned outputs there ("stage"); right behind
 * the last reply it notes a few words of every output ("sample"), before whoever is not done could
 * be; and afterwards it takes the outputs away ("collect"). What was noted must be what is found.
 *
 * usage: keeper CONTROL_FD TABLE_FD INPUT_FD OUTPUT_FD SAMPLES_FD
 *
 * It first prints the two IPC handles in hexadecimal on a line. SAMPLES is shared memory: as many
 * int64 offsets in the output memory as there are samples, then the words that were found there.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_memory.h"

enum { WIPED = 0xEE, THREADS = 128, BLOCK = 2 << 20 };

/* From a base and offsets to the words that lie there: one thread each. */
static const char gather_ptx[] =
    ".version 6.4\n.target sm_70\n.address_size 64\n"
    ".visible .entry gather(.param .u64 base, .param .u64 at, .param .u64 to, .param .u32 count)\n"
    "{\n"
    ".reg .pred %p; .reg .b32 %r<6>; .reg .b64 %d<8>;\n"
    "ld.param.u64 %d1, [base]; ld.param.u64 %d2, [at]; ld.param.u64 %d3, [to];\n"
    "ld.param.u32 %r1, [count];\n"
    "mov.u32 %r2, %ctaid.x; mov.u32 %r3, %ntid.x; mov.u32 %r4, %tid.x;\n"
    "mad.lo.u32 %r5, %r2, %r3, %r4;\n"
    "setp.ge.u32 %p, %r5, %r1;\n"
    "@%p ret;\n"
    "mul.wide.u32 %d4, %r5, 8; add.u64 %d5, %d2, %d4; ld.global.u64 %d6, [%d5];\n"
    "add.u64 %d6, %d1, %d6; ld.volatile.global.u32 %r2, [%d6];\n"
    "mul.wide.u32 %d4, %r5, 4; add.u64 %d7, %d3, %d4; st.global.u32 [%d7], %r2;\n"
    "ret;\n"
    "}\n";

static CUfunction gather;
static CUdeviceptr offsets, words, scratch;
static size_t scratch_bytes, sample_bytes;
static char *samples;
static uint32_t n_samples;

static void print_handle(CUdeviceptr at) {
    CUipcMemHandle handle;
    must(cuIpcGetMemHandle(&handle, at), "cuIpcGetMemHandle");
    for (size_t i = 0; i < sizeof handle; i++) printf("%02x", (unsigned char)handle.reserved[i]);
}

/* Smaller blocks share an allocation of the driver's, which a handle would lend as a whole. */
static size_t whole_blocks(size_t nbytes) { return (nbytes + BLOCK - 1) / BLOCK * BLOCK; }

static void take_memory(CUdevice device) {
    int l2_bytes = 0;
    must(cuDeviceGetAttribute(&l2_bytes, CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, device), "L2 size");
    scratch_bytes = 2 * (size_t)l2_bytes;
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    must(cuMemAlloc(&device_inputs, whole_blocks(input_bytes)), "cuMemAlloc of the inputs");
    must(cuMemAlloc(&device_outputs, whole_blocks(output_bytes)), "cuMemAlloc of the outputs");
    must(cuMemAlloc(&scratch, scratch_bytes), "cuMemAlloc");
    must(cuMemAlloc(&offsets, n_samples * 8), "cuMemAlloc");
    must(cuMemAlloc(&words, n_samples * 4), "cuMemAlloc");
    /* Copies are several times as fast from memory that cannot be paged out. */
    cuMemHostRegister(input_memory, input_bytes, CU_MEMHOSTREGISTER_READ_ONLY);
    cuMemHostRegister(output_memory, output_bytes, 0);
    must(cuMemHostRegister(samples, sample_bytes, 0), "cuMemHostRegister");
    CUmodule module;
    must(cuModuleLoadData(&module, gather_ptx), "cuModuleLoadData");
    must(cuModuleGetFunction(&gather, module, "gather"), "cuModuleGetFunction");
}

static void settle(const char *what) { must(cuStreamSynchronize(stream), what); }

/* Leave nothing of an earlier life. */
static void wipe(void) {
    must(cuMemsetD8(device_inputs, WIPED, input_bytes, stream), "cuMemsetD8");
    must(cuMemsetD8(device_outputs, WIPED, output_bytes, stream), "cuMemsetD8");
    settle("wipe");
}

/* Bring the tensors of some calls, and where samples are taken; then push all that out of the
 * cache, from which a user's inputs may not come either. */
static void stage(uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) must(bring(call_at(first + i)), "stage");
    must(cuMemcpyHtoD(offsets, samples, n_samples * 8, stream), "stage");
    must(cuMemsetD8(scratch, WIPED, scratch_bytes, stream), "flush");
    settle("stage");
}

static void sample(void) {
    uint32_t blocks = (n_samples + THREADS - 1) / THREADS;
    void *arguments[] = {&device_outputs, &offsets, &words, &n_samples};
    must(cuLaunchKernel(gather, blocks, 1, 1, THREADS, 1, 1, 0, stream, arguments, NULL), "sample");
    must(cuMemcpyDtoH(samples + 8 * (size_t)n_samples, words, n_samples * 4, stream), "sample");
    settle("sample");
}

static void collect(uint32_t first, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) must(bring_back(call_at(first + i)), "collect");
    settle("collect");
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    control = atoi(argv[1]);
    input_memory = map(atoi(argv[3]), PROT_READ, &input_bytes);
    output_memory = map(atoi(argv[4]), PROT_READ | PROT_WRITE, &output_bytes);
    samples = map(atoi(argv[5]), PROT_READ | PROT_WRITE, &sample_bytes);
    read_table(atoi(argv[2]));
    n_samples = (uint32_t)(sample_bytes / 12);
    CUdevice device = open_device();
    take_memory(device);
    print_handle(device_inputs);
    print_handle(device_outputs);
    printf("\n");
    fflush(stdout);
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        if (command.magic != MAGIC) return 3;
        switch (command.op) {
        case OP_LOAD: wipe(); break;
        case OP_STAGE: stage(command.first, command.count); break;
        case OP_SAMPLE: sample(); break;
        case OP_COLLECT: collect(command.first, command.count); break;
        case OP_PING: break;
        default: return 3;
        }
        answer(command.op, STATUS_OK, command.count, 0);
    }
    return 0;
}
