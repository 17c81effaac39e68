/* The native runner: one candidate, one life.
 *
 * It loads a shared object, calls its `kw_entry` on memory that the broker gave, and answers with
 * frames of one size. It forms no verdict: the broker reads the outputs from the shared memory,
 * keeps the time, and treats everything said here as a claim. Nothing of value is in this
 * process: no seed, no expected output, no other candidate.
 *
 * usage: runner ARTIFACT CONTROL_FD TABLE_FD INPUT_FD OUTPUT_FD
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "signals.h"
#include "state.h"

enum { ALIGNMENT = 64 };
enum { FRESH = 32 << 20 };   /* from here on glibc maps every block anew */

typedef void (*entry_t)(void *const *tensors, const int64_t *axes);

static int64_t *addresses;   /* where the outputs are that lie in this process's own memory */
static entry_t entry;
static void **kept;          /* outputs that this process allocated, until they are collected */
static uint32_t kept_first, kept_count;
static int kept_heap;        /* whether they are blocks of exactly their size, with copied inputs */

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    char *at = info->si_addr;
    int64_t region = 0;
    if (at >= input_memory && at < input_memory + input_bytes) region = 1;
    if (at >= output_memory && at < output_memory + output_bytes) region = 2;
    answer(0, STATUS_SIGNAL, (uint32_t)number, region);
    signal(number, SIG_DFL);
    raise(number);
    _exit(128 + number);
}

/* Guard pages, and where to say which outputs lie elsewhere. */
static void prepare_memory(void) {
    for (int64_t i = 0; i < table[4]; i++) mprotect(input_memory + input_guards[i], PAGE, PROT_NONE);
    for (int64_t i = 0; i < table[5]; i++) mprotect(output_memory + output_guards[i], PAGE, PROT_NONE);
    addresses = (int64_t *)(output_memory + rows[n_calls * row_length]);
    kept = calloc((size_t)(n_calls * (n_inputs + n_outputs) + 1), sizeof *kept);
    if (kept == NULL) _exit(3);
}

static int load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) { fprintf(stderr, "%s\n", dlerror()); return 0; }
    *(void **)&entry = dlsym(library, "kw_entry");
    if (entry == NULL) fprintf(stderr, "%s\n", dlerror());
    return entry != NULL;
}

/* What a process that runs for a while gets from its allocator: a block from FRESH bytes comes as
 * untouched pages each time, a smaller one is the last that was freed, and warm. The smaller ones
 * lie in the memory that is shared with the broker; of a large one the broker gets the address, and
 * reads it from this process. */
static void *returned(int64_t size, char *slot, int64_t *address, void **keep) {
    if (size < FRESH) return slot;
    char *memory = mmap(NULL, (size_t)size + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) _exit(4);
    *keep = memory;
    *address = (int64_t)(intptr_t)(memory + ALIGNMENT);
    return memory + ALIGNMENT;
}

/* Exactly `size` bytes, so that a sanitizer sees the first byte past the end. */
static void *exact(int64_t size) {
    void *memory = malloc((size_t)size);
    if (memory == NULL) _exit(4);
    return memory;
}

static void call(uint32_t index, uint32_t op, uint32_t position) {
    const struct call at = call_at(index);
    void **outputs = kept + (int64_t)position * (n_inputs + n_outputs);
    void **copies = outputs + n_outputs;
    void *tensors[MAX_TENSORS];
    for (int64_t i = 0; i < n_inputs; i++) {
        tensors[i] = input_memory + at.in_offset[i];
        if (op == OP_HEAP) tensors[i] = memcpy(copies[i] = exact(at.in_size[i]), tensors[i], (size_t)at.in_size[i]);
    }
    for (int64_t i = 0; i < n_outputs; i++) {
        char *slot = output_memory + at.out_offset[i];
        outputs[i] = NULL;
        if (op == OP_BUFFER) tensors[n_inputs + i] = slot;
        else if (op == OP_HEAP) tensors[n_inputs + i] = outputs[i] = exact(at.out_size[i]);
        else tensors[n_inputs + i] = returned(at.out_size[i], slot, &addresses[index * n_outputs + i], &outputs[i]);
    }
    entry(tensors, at.axes);
}

static void run(const struct command *command) {
    if (entry == NULL || command->first + (uint64_t)command->count > (uint64_t)n_calls) {
        answer(command->op, STATUS_FAILED, 0, 0);
        return;
    }
    int64_t start = now_ns();
    for (uint32_t i = 0; i < command->count; i++) call(command->first + i, command->op, i);
    int64_t claimed = now_ns() - start;
    kept_first = command->first;
    kept_heap = command->op == OP_HEAP;
    kept_count = command->op == OP_BUFFER ? 0 : command->count;
    answer(command->op, STATUS_OK, command->count, claimed);
}

/* Copy what lies in blocks of its own to where the broker reads it, and free it. */
static void collect_heap(struct call at, void **outputs) {
    for (int64_t j = 0; j < n_outputs; j++)
        memcpy(output_memory + at.out_offset[j], outputs[j], (size_t)at.out_size[j]);
    for (int64_t j = 0; j < n_outputs + n_inputs; j++) free(outputs[j]);
}

/* Free what was returned, as a caller would. */
static void collect_returned(struct call at, void **outputs) {
    for (int64_t j = 0; j < n_outputs; j++)
        if (outputs[j] != NULL) munmap(outputs[j], (size_t)at.out_size[j] + PAGE);
}

static void collect(void) {
    for (uint32_t i = 0; i < kept_count; i++) {
        const struct call at = call_at(kept_first + i);
        void **outputs = kept + (int64_t)i * (n_inputs + n_outputs);
        if (kept_heap) collect_heap(at, outputs);
        else collect_returned(at, outputs);
    }
    answer(OP_COLLECT, STATUS_OK, kept_count, 0);
    kept_count = 0;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    control = atoi(argv[2]);
    mallopt(M_MMAP_THRESHOLD, FRESH);
    mallopt(M_TRIM_THRESHOLD, -1);
    input_memory = map(atoi(argv[4]), PROT_READ, &input_bytes);
    output_memory = map(atoi(argv[5]), PROT_READ | PROT_WRITE, &output_bytes);
    read_table(atoi(argv[3]));
    prepare_memory();
    catch_signals(on_signal);
    read_state(&before);
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        if (command.magic != MAGIC) return 3;
        switch (command.op) {
        case OP_LOAD:
            answer(OP_LOAD, load(argv[1]) ? STATUS_OK : STATUS_FAILED, 0, 0);
            break;
        case OP_BUFFER: case OP_RETURNED: case OP_HEAP: run(&command); break;
        case OP_COLLECT: collect(); break;
        case OP_STATE: answer(OP_STATE, STATUS_OK, 0, changes()); break;
        case OP_PING: answer(OP_PING, STATUS_OK, 0, 0); break;
        default: return 3;
        }
    }
    return 0;
}
