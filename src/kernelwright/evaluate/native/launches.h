/* A candidate that is a file of launches (see running/launches.py) instead of a shared object.
 *
 * What is in the file was made by a process that ran the candidate's code, so nothing in it is
 * believed further than this process's own memory reaches.
 */
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "device_memory.h"

enum { MOST_ARGUMENTS = 256, MOST_SCRATCH = 64 };
static const int64_t LAUNCHES = 0x534548434E55414C;
enum { VALUE, OF_TENSOR, OF_SCRATCH };
enum { STEP_LAUNCH, STEP_FILL };
enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8, PLAIN_SHARED = 48 << 10 };

struct kernel { int64_t image, size, name, shared, threads; };

static const char *file;
static int64_t file_bytes, n_kernels, n_programs;
static const struct kernel *kernels;
static CUfunction *functions;            /* of each kernel, NULL while it is not loaded */
static const int64_t **programs;         /* where each begins */
static CUdeviceptr (*scratch)[MOST_SCRATCH];

/* The word after the last one of the file ends whoever reads it. */
static int64_t word(const int64_t *at) {
    if ((const char *)at < file || (const char *)(at + 1) > file + file_bytes) {
        fprintf(stderr, "the file of launches ends too early\n");
        _exit(4);
    }
    return *at;
}

/* Whether `path` is such a file, which is then mapped. */
static int is_launches(const char *path) {
    struct stat found;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &found) != 0 || found.st_size < 40) return 0;
    void *at = mmap(NULL, (size_t)found.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (at == MAP_FAILED) return 0;
    file = at, file_bytes = found.st_size;
    return *(const int64_t *)at == LAUNCHES;
}

static const int64_t *after_step(const int64_t *at) {
    return word(at) == STEP_FILL ? at + 7 : at + 6 + 3 * word(at + 5);
}

static const int64_t *steps_of(int64_t program) {
    const int64_t *at = programs[program] + n_axes;
    return at + 1 + word(at);
}

static CUresult load_kernel(int64_t number) {
    if (number < 0 || number >= n_kernels) return CUDA_ERROR_NOT_FOUND;
    if (functions[number] != NULL) return 0;
    const struct kernel *kernel = &kernels[number];
    if (kernel->image < 0 || kernel->size < 0 || kernel->name < 0 || kernel->name >= file_bytes
        || kernel->image + kernel->size > file_bytes) return CUDA_ERROR_NOT_FOUND;
    CUmodule module;
    CUresult error = cuModuleLoadData(&module, file + kernel->image);
    if (error == 0) error = cuModuleGetFunction(&functions[number], module, file + kernel->name);
    if (error == 0 && kernel->shared > PLAIN_SHARED)
        error = cuFuncSetAttribute(functions[number], CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)kernel->shared);
    return error;
}

/* The kernels and the memory of one program. The memory holds NaNs, as fresh memory might. */
static CUresult load_program(int64_t number) {
    const int64_t *at = programs[number] + n_axes;
    int64_t count = word(at);
    CUresult error = count < 0 || count > MOST_SCRATCH ? CUDA_ERROR_NOT_FOUND : 0;
    for (int64_t i = 0; i < count && error == 0; i++) {
        size_t nbytes = (size_t)word(at + 1 + i);
        if (nbytes == 0 || scratch[number][i] != 0) continue;
        error = cuMemAlloc(&scratch[number][i], nbytes);
        if (error == 0) error = cuMemsetD8(scratch[number][i], 0xFF, nbytes, stream);
    }
    const int64_t *steps = steps_of(number);
    int64_t left = word(steps);
    for (const int64_t *step = steps + 1; left > 0 && error == 0; left--, step = after_step(step))
        if (word(step) == STEP_LAUNCH) error = load_kernel(word(step + 1));
    return error;
}

static int64_t program_for(const int64_t *axes) {
    for (int64_t i = 0; i < n_programs; i++)
        if (memcmp(programs[i], axes, (size_t)n_axes * sizeof *axes) == 0) return i;
    return -1;
}

/* What the calls of the table need of the file. */
static CUresult load_launches(void) {
    const int64_t *at = (const int64_t *)file;
    n_kernels = word(at + 2), n_programs = word(at + 3);
    if (word(at + 1) != n_axes || n_kernels < 0 || n_programs < 0 || n_kernels > (file_bytes - 40) / 40
        || n_programs > file_bytes / 8) return CUDA_ERROR_NOT_FOUND;
    kernels = (const struct kernel *)(at + 5);
    functions = calloc((size_t)n_kernels + 1, sizeof *functions);
    programs = calloc((size_t)n_programs + 1, sizeof *programs);
    scratch = calloc((size_t)n_programs + 1, sizeof *scratch);
    if (functions == NULL || programs == NULL || scratch == NULL) _exit(5);
    at += 5 + 5 * n_kernels;
    for (int64_t i = 0; i < n_programs; i++) {
        programs[i] = at;
        word(at + n_axes);
        const int64_t *steps = steps_of(i);
        int64_t left = word(steps);
        for (at = steps + 1; left > 0; left--) at = after_step(at);
    }
    CUresult error = 0;
    for (int64_t i = 0; i < n_calls && error == 0; i++) {
        int64_t program = program_for(call_at(i).axes);
        if (program >= 0) error = load_program(program);
    }
    return error == 0 ? cuStreamSynchronize(stream) : error;
}

/* The address that three words stand for. */
static CUdeviceptr address(const int64_t *at, int64_t program, void *const *tensors) {
    int64_t index = word(at + 1), most = word(at) == OF_TENSOR ? n_inputs + n_outputs : MOST_SCRATCH;
    if (index < 0 || index >= most) return 0;
    CUdeviceptr base = word(at) == OF_TENSOR ? (CUdeviceptr)(uintptr_t)tensors[index] : scratch[program][index];
    return base + (CUdeviceptr)word(at + 2);
}

static CUresult launch(const int64_t *step, int64_t program, void *const *tensors, CUstream on) {
    int64_t kernel = word(step + 1), count = word(step + 5);
    uint64_t values[MOST_ARGUMENTS + 2] = {0};
    void *arguments[MOST_ARGUMENTS + 2];
    if (kernel < 0 || kernel >= n_kernels || functions[kernel] == NULL) return CUDA_ERROR_NOT_FOUND;
    if (count < 0 || count > MOST_ARGUMENTS) return CUDA_ERROR_NOT_FOUND;
    /* Behind its own arguments a kernel of Triton takes two addresses, which are not used. */
    for (int64_t i = 0; i < count + 2; i++) arguments[i] = &values[i];
    for (int64_t i = 0; i < count; i++) {
        const int64_t *at = step + 6 + 3 * i;
        values[i] = word(at) == VALUE ? (uint64_t)word(at + 2) : address(at, program, tensors);
    }
    return cuLaunchKernel(
        functions[kernel], (unsigned)word(step + 2), (unsigned)word(step + 3), (unsigned)word(step + 4),
        (unsigned)kernels[kernel].threads, 1, 1, (unsigned)kernels[kernel].shared, on, arguments, NULL);
}

static CUresult fill(const int64_t *step, int64_t program, void *const *tensors, CUstream on) {
    CUdeviceptr at = address(step + 1, program, tensors);
    size_t count = (size_t)word(step + 4);
    int64_t pattern = word(step + 6);
    switch (word(step + 5)) {
    case 1: return cuMemsetD8(at, (unsigned char)pattern, count, on);
    case 2: return cuMemsetD16(at, (unsigned short)pattern, count, on);
    default: return cuMemsetD32(at, (unsigned)pattern, count, on);
    }
}

/* One call, as `kw_entry_on` of a shared object makes it. */
static int run_launches(void *const *tensors, const int64_t *axes, CUstream on) {
    int64_t program = program_for(axes);
    if (program < 0) return CUDA_ERROR_NOT_FOUND;
    const int64_t *steps = steps_of(program), *step = steps + 1;
    CUresult error = 0;
    for (int64_t left = word(steps); left > 0 && error == 0; left--, step = after_step(step))
        error = word(step) == STEP_FILL ? fill(step, program, tensors, on) : launch(step, program, tensors, on);
    return error;
}
