/* The health probe of a GPU: does it still make a context, lend memory, compute and remember?
 *
 * Trusted, and run by the broker alone, after a candidate ended badly. It marks every word of a block
 * of memory by a kernel and reads them back, then has another kernel turn every bit around and reads
 * them back again. The work takes some milliseconds; the context some hundred.
 *
 * usage: probe
 *
 * Prints "well CONTEXT_MS WORK_MS FREE_BYTES TOTAL_BYTES" and ends with 0; what is wrong goes to
 * standard error.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "driver.h"

enum { WORDS = 4 << 20, BLOCKS = 256, THREADS = 256 };
static const uint32_t factor = 0x9E3779B1u;

/* One thread for many words, a grid apart. */
#define WALK(step)                                                                           \
    ".reg .pred %p; .reg .b32 %r<8>; .reg .b64 %d<4>;\n"                                     \
    "ld.param.u64 %d1, [at]; ld.param.u32 %r1, [count]; ld.param.u32 %r2, [seed];\n"         \
    "mov.u32 %r3, %ctaid.x; mov.u32 %r4, %ntid.x; mov.u32 %r5, %tid.x;\n"                    \
    "mad.lo.u32 %r3, %r3, %r4, %r5;\n"                                                       \
    "mov.u32 %r5, %nctaid.x; mul.lo.u32 %r4, %r4, %r5;\n"                                    \
    "WALK:\n"                                                                                \
    "setp.ge.u32 %p, %r3, %r1;\n"                                                            \
    "@%p ret;\n"                                                                             \
    "mul.wide.u32 %d2, %r3, 4; add.u64 %d3, %d1, %d2;\n"                                     \
    step                                                                                     \
    "st.global.u32 [%d3], %r6;\n"                                                            \
    "add.u32 %r3, %r3, %r4;\n"                                                               \
    "bra WALK;\n"

static const char probe_ptx[] =
    ".version 6.4\n.target sm_70\n.address_size 64\n"
    ".visible .entry mark(.param .u64 at, .param .u32 count, .param .u32 seed)\n{\n"
    WALK("mul.lo.u32 %r6, %r3, 0x9E3779B1; xor.b32 %r6, %r6, %r2;\n")
    "}\n"
    ".visible .entry turn(.param .u64 at, .param .u32 count, .param .u32 seed)\n{\n"
    WALK("ld.global.u32 %r6, [%d3]; not.b32 %r6, %r6;\n")
    "}\n";

static CUstream stream;
static CUdeviceptr memory;
static uint32_t seed;

static double now_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec * 1e-6;
}

static void launch(CUmodule module, const char *name) {
    CUfunction kernel;
    uint32_t count = WORDS;
    void *arguments[] = {&memory, &count, &seed};
    must(cuModuleGetFunction(&kernel, module, name), "cuModuleGetFunction");
    must(cuLaunchKernel(kernel, BLOCKS, 1, 1, THREADS, 1, 1, 0, stream, arguments, NULL), "cuLaunchKernel");
}

/* Whether every word is what the kernel `name` must have made of it. */
static void compare(uint32_t *found, uint32_t turned, const char *name) {
    must(cuMemcpyDtoH(found, memory, WORDS * sizeof *found, stream), "cuMemcpyDtoH");
    must(cuStreamSynchronize(stream), name);
    for (uint32_t i = 0; i < WORDS; i++) {
        uint32_t right = (i * factor) ^ seed ^ turned;
        if (found[i] == right) continue;
        fprintf(stderr, "%s: word %u is %08x and must be %08x\n", name, i, found[i], right);
        _exit(6);
    }
}

int main(void) {
    double start = now_ms();
    open_device();
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    double ready = now_ms();
    CUmodule module;
    uint32_t *found = malloc(WORDS * sizeof *found);
    if (found == NULL) return 7;
    seed = (uint32_t)getpid() * factor;
    must(cuMemAlloc(&memory, WORDS * sizeof *found), "cuMemAlloc");
    must(cuModuleLoadData(&module, probe_ptx), "cuModuleLoadData");
    launch(module, "mark");
    compare(found, 0, "mark");
    launch(module, "turn");
    compare(found, ~0u, "turn");
    must(cuMemFree(memory), "cuMemFree");
    double done = now_ms();
    size_t free_bytes, total_bytes;
    must(cuMemGetInfo(&free_bytes, &total_bytes), "cuMemGetInfo");
    printf("well %.1f %.1f %zu %zu\n", ready - start, done - ready, free_bytes, total_bytes);
    return 0;
}
