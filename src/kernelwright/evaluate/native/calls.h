/* The table of calls, and the memory that is shared with the broker.
 *
 * The table is an array of int64:
 *   inputs, outputs, axes, calls, input guards, output guards,
 *   then the offset of each guard page in the input and the output memory,
 *   then for each call: input offsets, input sizes, output offsets, output sizes, axes,
 *   then the offset in the output memory at which addresses of returned outputs go.
 */
#pragma once

#include "frames.h"

static const int64_t *table, *rows, *input_guards, *output_guards;
static int64_t n_inputs, n_outputs, n_axes, n_calls, row_length;
static char *input_memory, *output_memory;
static size_t input_bytes, output_bytes;

/* What one call is made on: offsets and sizes in bytes, then the sizes of the axes. */
struct call { const int64_t *in_offset, *in_size, *out_offset, *out_size, *axes; };

static void read_table(int fd) {
    size_t size;
    table = (const int64_t *)map(fd, PROT_READ, &size);
    n_inputs = table[0]; n_outputs = table[1]; n_axes = table[2]; n_calls = table[3];
    input_guards = table + 6;
    output_guards = input_guards + table[4];
    rows = output_guards + table[5];
    row_length = 2 * n_inputs + 2 * n_outputs + n_axes;
    if (n_inputs + n_outputs > MAX_TENSORS) _exit(3);
}

static struct call call_at(int64_t index) {
    const int64_t *row = rows + index * row_length, *out = row + 2 * n_inputs;
    return (struct call){row, row + n_inputs, out, out + n_outputs, out + 2 * n_outputs};
}
