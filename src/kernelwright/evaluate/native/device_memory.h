/* Device memory that mirrors the memory shared with the broker: same offsets, same guards. */
#pragma once

#include "calls.h"
#include "driver.h"

static CUdeviceptr device_inputs, device_outputs;
static CUstream stream;

/* A tensor with everything around it up to the next guard page, which is included. */
struct span { int64_t begin, end; };

static struct span around(const int64_t *guards, int64_t count, int64_t offset, int64_t size) {
    struct span found = {0, 0};
    for (int64_t i = 0; i < count; i++) {
        if (guards[i] <= offset) found.begin = guards[i] + PAGE;
        if (guards[i] >= offset + size) { found.end = guards[i] + PAGE; break; }
    }
    return found;
}

static struct span input_span(struct call at, int64_t i) {
    return around(input_guards, table[4], at.in_offset[i], at.in_size[i]);
}

static struct span output_span(struct call at, int64_t i) {
    return around(output_guards, table[5], at.out_offset[i], at.out_size[i]);
}

/* Bring a call's inputs, and its poisoned outputs with their surroundings, to the device. */
static CUresult bring(struct call at) {
    CUresult error = 0;
    for (int64_t i = 0; i < n_inputs && error == 0; i++) {
        struct span it = input_span(at, i);
        error = cuMemcpyHtoD(device_inputs + it.begin, input_memory + it.begin, it.end - it.begin, stream);
    }
    for (int64_t i = 0; i < n_outputs && error == 0; i++) {
        struct span it = output_span(at, i);
        error = cuMemcpyHtoD(device_outputs + it.begin, output_memory + it.begin, it.end - it.begin, stream);
    }
    return error;
}

/* Bring a call's outputs with their surroundings back, in the order of the stream. */
static CUresult bring_back(struct call at) {
    CUresult error = 0;
    for (int64_t i = 0; i < n_outputs && error == 0; i++) {
        struct span it = output_span(at, i);
        error = cuMemcpyDtoH(output_memory + it.begin, device_outputs + it.begin, it.end - it.begin, stream);
    }
    return error;
}
