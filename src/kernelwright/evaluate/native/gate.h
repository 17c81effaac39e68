/* A gate on a stream: what is queued behind it waits on the device until the broker opens it.
 *
 * A clock that starts when a gate opens sees the device's work alone, and none of the host's. The
 * gate is a kernel that polls a word of memory shared with the broker; behind the work another
 * kernel says in a second word that it is done. Both words lie in that memory's first page.
 */
#pragma once

#include "driver.h"

enum { GATE_AT = 0, DONE_AT = 64, FIRST_PAGE = 4096 };
/* A gate that nobody opens gives up, so that no device is lost to it. */
static unsigned long long gate_limit_ns = 20000000000ull;

static const char gate_ptx[] =
    ".version 6.4\n.target sm_70\n.address_size 64\n"
    ".visible .entry gate(.param .u64 word, .param .u32 token, .param .u64 limit)\n"
    "{\n"
    ".reg .pred %p<3>; .reg .b32 %r<3>; .reg .b64 %d<6>;\n"
    "ld.param.u64 %d1, [word]; ld.param.u32 %r1, [token]; ld.param.u64 %d2, [limit];\n"
    "mov.u64 %d3, %globaltimer;\n"
    "WAIT:\n"
    "ld.volatile.global.u32 %r2, [%d1];\n"
    "setp.eq.u32 %p1, %r2, %r1;\n"
    "@%p1 bra OPEN;\n"
    "mov.u64 %d4, %globaltimer; sub.u64 %d5, %d4, %d3;\n"
    "setp.lt.u64 %p2, %d5, %d2;\n"
    "@%p2 bra WAIT;\n"
    "OPEN:\n"
    "ret;\n"
    "}\n"
    ".visible .entry say(.param .u64 word, .param .u32 token)\n"
    "{\n"
    ".reg .b32 %r1; .reg .b64 %d1;\n"
    "ld.param.u64 %d1, [word]; ld.param.u32 %r1, [token];\n"
    "membar.sys; st.volatile.global.u32 [%d1], %r1; membar.sys;\n"
    "ret;\n"
    "}\n";

static CUfunction gate_kernel, say_kernel;
static CUdeviceptr gate_word, done_word;
static CUevent opened_at, done_at;

/* `page` is the first page of memory that the broker maps too. */
static void prepare_gate(void *page) {
    CUdeviceptr at;
    CUmodule module;
    must(cuMemHostRegister(page, FIRST_PAGE, CU_MEMHOSTREGISTER_DEVICEMAP), "cuMemHostRegister");
    must(cuMemHostGetDevicePointer(&at, page, 0), "cuMemHostGetDevicePointer");
    gate_word = at + GATE_AT;
    done_word = at + DONE_AT;
    must(cuModuleLoadData(&module, gate_ptx), "cuModuleLoadData");
    must(cuModuleGetFunction(&gate_kernel, module, "gate"), "cuModuleGetFunction");
    must(cuModuleGetFunction(&say_kernel, module, "say"), "cuModuleGetFunction");
    must(cuEventCreate(&opened_at, 0), "cuEventCreate");
    must(cuEventCreate(&done_at, 0), "cuEventCreate");
}

static CUresult close_gate(CUstream stream, uint32_t token) {
    void *arguments[] = {&gate_word, &token, &gate_limit_ns};
    CUresult error = cuLaunchKernel(gate_kernel, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL);
    return error == 0 ? cuEventRecord(opened_at, stream) : error;
}

static CUresult say_done(CUstream stream, uint32_t token) {
    void *arguments[] = {&done_word, &token};
    CUresult error = cuEventRecord(done_at, stream);
    return error == 0 ? cuLaunchKernel(say_kernel, 1, 1, 1, 1, 1, 1, 0, stream, arguments, NULL) : error;
}

/* What the events on the stream say about the last block; it is a claim. */
static int64_t claimed_ns(void) {
    float milliseconds = 0;
    if (cuEventElapsedTime(&milliseconds, opened_at, done_at) != 0) return 0;
    return (int64_t)(milliseconds * 1e6);
}
