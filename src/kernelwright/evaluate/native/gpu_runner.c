/* The native runner for a GPU: one candidate, one life.
 *
 * As runner.c, but tensors lie in device memory. Without HANDLES that memory is this process's own:
 * "buffer" brings one call's inputs and poisoned outputs there, calls the candidate on a stream, and
 * brings back what the stream has when the candidate returned. What was launched elsewhere and is
 * not waited for on that stream is not there yet, as it would not be for a user.
 *
 * With HANDLES it is the memory of keeper.c, a process of ours that brings tensors and takes them
 * away. "queue" then queues calls behind a gate (gate.h) and answers at once, and "collect" waits
 * for them; "returned" calls with no gate. Input memory then holds numbers only, and the first page
 * of output memory the words of the gate.
 *
 * "heap" is as "buffer" without HANDLES, with each tensor in an allocation of exactly its size.
 * "profile" is as "buffer" without HANDLES, and tells a profiler that may watch this process which
 * part of it is the candidate's.
 *
 * usage: gpu_runner SCALARS HANDLES ARTIFACT CONTROL_FD TABLE_FD INPUT_FD OUTPUT_FD
 *
 * ARTIFACT is a shared object with `kw_entry_on`, or a file of launches (launches.h).
 * SCALARS has a 1 for each input that is a number, which is read on the host. HANDLES are two IPC
 * handles in hexadecimal, of the inputs and of the outputs, or - for none.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "device_memory.h"
#include "gate.h"
#include "launches.h"
#include "signals.h"
#include "state.h"

typedef int (*entry_t)(void *const *tensors, const int64_t *axes, CUstream stream);

static const char *scalars;
static int kept_elsewhere;
static entry_t entry;

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)info, (void)context;
    answer(0, STATUS_SIGNAL, (uint32_t)number, 0);
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

static void take_memory(const char *handles) {
    if (kept_elsewhere) {
        device_inputs = opened(handles);
        device_outputs = opened(handles + 2 * sizeof(CUipcMemHandle));
        prepare_gate(output_memory);
    } else {
        must(cuMemAlloc(&device_inputs, input_bytes), "cuMemAlloc");
        must(cuMemAlloc(&device_outputs, output_bytes), "cuMemAlloc");
    }
    must(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    must(cuCtxSynchronize(), "cuCtxSynchronize");
}

static int load(const char *path) {
    if (is_launches(path)) {
        CUresult error = load_launches();
        if (error != 0) fprintf(stderr, "%s (%d)\n", error_name(error), error);
        entry = run_launches;
        return error == 0;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) { fprintf(stderr, "%s\n", dlerror()); return 0; }
    *(void **)&entry = dlsym(library, "kw_entry_on");
    if (entry == NULL) fprintf(stderr, "%s\n", dlerror());
    return entry != NULL;
}

static CUresult call(int64_t index) {
    const struct call at = call_at(index);
    void *tensors[MAX_TENSORS];
    for (int64_t i = 0; i < n_inputs; i++)
        tensors[i] = scalars[i] == '1' ? input_memory + at.in_offset[i]
                                       : (void *)(uintptr_t)(device_inputs + at.in_offset[i]);
    for (int64_t i = 0; i < n_outputs; i++)
        tensors[n_inputs + i] = (void *)(uintptr_t)(device_outputs + at.out_offset[i]);
    return entry(tensors, at.axes, stream);
}

/* An error of the device ends what this process can do with it; the broker ends the life. */
static void failed(const struct command *command, CUresult error) {
    fprintf(stderr, "%s (%d)\n", error_name(error), error);
    answer(command->op, STATUS_DEVICE, (uint32_t)error, 0);
}

/* "cuProfilerStart" or "cuProfilerStop", which do nothing where nobody watches. */
static CUresult tell_profiler(const char *what) {
    CUresult (*tell)(void);
    *(void **)&tell = dlsym(RTLD_DEFAULT, what);
    return tell == NULL ? CUDA_ERROR_NOT_FOUND : tell();
}

static CUresult call_watched(int64_t index) {
    CUresult error = tell_profiler("cuProfilerStart");
    if (error == 0) error = call(index);
    if (error == 0) error = cuCtxSynchronize();
    return error == 0 ? tell_profiler("cuProfilerStop") : error;
}

/* A copy of `size` bytes in an allocation of exactly that size. */
static CUresult bring_apart(CUdeviceptr *at, const char *from, int64_t size) {
    CUresult error = size == 0 ? 0 : cuMemAlloc(at, (size_t)size);
    return error == 0 && size > 0 ? cuMemcpyHtoD(*at, from, (size_t)size, stream) : error;
}

static CUresult all_apart(struct call at, CUdeviceptr *own) {
    CUresult error = 0;
    for (int64_t i = 0; i < n_inputs && error == 0; i++)
        if (scalars[i] != '1') error = bring_apart(&own[i], input_memory + at.in_offset[i], at.in_size[i]);
    for (int64_t i = 0; i < n_outputs && error == 0; i++)
        error = bring_apart(&own[n_inputs + i], output_memory + at.out_offset[i], at.out_size[i]);
    return error == 0 ? cuStreamSynchronize(stream) : error;
}

/* One call on tensors that lie in allocations of their own, so that a tool that watches this process
 * sees the first byte past an end. */
static CUresult call_apart(int64_t index) {
    struct call at = call_at(index);
    CUdeviceptr own[MAX_TENSORS] = {0};
    void *tensors[MAX_TENSORS];
    CUresult error = all_apart(at, own);
    for (int64_t i = 0; i < n_inputs + n_outputs; i++)
        tensors[i] = i < n_inputs && scalars[i] == '1' ? input_memory + at.in_offset[i] : (void *)(uintptr_t)own[i];
    if (error == 0) error = entry(tensors, at.axes, stream);
    for (int64_t i = 0; i < n_outputs && error == 0; i++)
        if (at.out_size[i] > 0) error = cuMemcpyDtoH(output_memory + at.out_offset[i], own[n_inputs + i], (size_t)at.out_size[i], stream);
    if (error == 0) error = cuCtxSynchronize();
    for (int64_t i = 0; i < n_inputs + n_outputs && error == 0; i++)
        if (own[i] != 0) error = cuMemFree(own[i]);
    return error;
}

/* One call, its tensors brought there and back. */
static CUresult call_alone(int64_t index, int watched) {
    struct call at = call_at(index);
    CUresult error = bring(at);
    if (error == 0) error = cuStreamSynchronize(stream);
    if (error == 0) error = watched ? call_watched(index) : call(index);
    if (error == 0) error = bring_back(at);
    for (int64_t i = 0; i < n_inputs && error == 0; i++) {
        /* Where the broker can be shown what became of the inputs, it is. */
        error = cuMemcpyDtoH(input_memory + at.in_offset[i], device_inputs + at.in_offset[i], (size_t)at.in_size[i], stream);
    }
    if (error == 0) error = cuStreamSynchronize(stream);
    return error == 0 ? cuCtxSynchronize() : error;
}

static CUresult calls(uint32_t first, uint32_t count) {
    CUresult error = 0;
    for (uint32_t i = 0; i < count && error == 0; i++) error = call(first + i);
    return error;
}

static CUresult queue(const struct command *command) {
    CUresult error = close_gate(stream, command->token);
    if (error == 0) error = calls(command->first, command->count);
    return error == 0 ? say_done(stream, command->token) : error;
}

static CUresult returned(const struct command *command) {
    CUresult error = calls(command->first, command->count);
    return error == 0 ? cuStreamSynchronize(stream) : error;
}

static CUresult all_alone(const struct command *command) {
    CUresult error = 0;
    for (uint32_t i = 0; i < command->count && error == 0; i++)
        error = command->op == OP_HEAP ? call_apart(command->first + i)
            : call_alone(command->first + i, command->op == OP_PROFILE);
    return error;
}

static void run(const struct command *command) {
    if ((entry == NULL && command->count > 0) || command->first + (uint64_t)command->count > (uint64_t)n_calls) {
        answer(command->op, STATUS_FAILED, 0, 0);
        return;
    }
    CUresult error = command->op == OP_QUEUE ? queue(command)
        : kept_elsewhere ? returned(command) : all_alone(command);
    if (error != 0) failed(command, error);
    else answer(command->op, STATUS_OK, command->count, 0);
}

/* Wait for what was queued; whatever else this process started must have ended too. */
static void settle(const struct command *command) {
    CUresult error = cuCtxSynchronize();
    if (error != 0) failed(command, error);
    else answer(command->op, STATUS_OK, command->count, claimed_ns());
}

int main(int argc, char **argv) {
    if (argc != 8) return 2;
    scalars = argv[1];
    kept_elsewhere = strcmp(argv[2], "-") != 0;
    control = atoi(argv[4]);
    input_memory = map(atoi(argv[6]), kept_elsewhere ? PROT_READ : PROT_READ | PROT_WRITE, &input_bytes);
    output_memory = map(atoi(argv[7]), PROT_READ | PROT_WRITE, &output_bytes);
    read_table(atoi(argv[5]));
    open_device();
    take_memory(argv[2]);
    catch_signals(on_signal);
    read_state(&before);
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        if (command.magic != MAGIC) return 3;
        switch (command.op) {
        case OP_LOAD:
            answer(OP_LOAD, load(argv[3]) ? STATUS_OK : STATUS_FAILED, 0, 0);
            break;
        case OP_BUFFER: case OP_RETURNED: case OP_HEAP: case OP_QUEUE: case OP_PROFILE: run(&command); break;
        case OP_COLLECT: settle(&command); break;
        case OP_STATE: answer(OP_STATE, STATUS_OK, 0, changes()); break;
        case OP_PING: answer(OP_PING, STATUS_OK, 0, 0); break;
        default: return 3;
        }
    }
    return 0;
}
