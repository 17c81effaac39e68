/* The native runner: one candidate, one life.
 *
 * It loads a shared object, calls its `kw_entry` on memory that the broker gave, and answers with
 * frames of one size. It forms no verdict: the broker reads the outputs from the shared memory,
 * keeps the time, and treats everything said here as a claim. Nothing of value is in this
 * process: no seed, no expected output, no other candidate.
 *
 * usage: runner ARTIFACT CONTROL_FD TABLE_FD INPUT_FD OUTPUT_FD
 *
 * The table is an array of int64:
 *   inputs, outputs, axes, calls, input guards, output guards,
 *   then the offset of each guard page in the input and the output memory,
 *   then for each call: input offsets, input sizes, output offsets, output sizes, axes.
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
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0x4B57524E, PAGE = 4096, ALIGNMENT = 64, MAX_TENSORS = 256 };
enum { OP_LOAD = 1, OP_BUFFER = 2, OP_RETURNED = 3, OP_HEAP = 4, OP_COLLECT = 5, OP_PING = 6 };
enum { FRESH = 32 << 20 };   /* from here on glibc maps every block anew */
enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_SIGNAL = 2 };

struct command { uint32_t magic, op, first, count, subject, unused; };
struct reply { uint32_t magic, op, status, count; int64_t claimed_ns; };

typedef void (*entry_t)(void *const *tensors, const int64_t *axes);

static int control;
static const int64_t *table, *rows;
static int64_t n_inputs, n_outputs, n_axes, n_calls, row_length;
static char *input_memory, *output_memory;
static size_t input_bytes, output_bytes;
static entry_t entry;
static void **kept;          /* outputs that this process allocated, until they are collected */
static uint32_t kept_first, kept_count;
static int kept_heap;        /* whether they are blocks of exactly their size, with copied inputs */
static void **pool;          /* blocks that were returned and freed, by output, for the next call */
static int64_t *pooled;      /* how many of each output's blocks are there */

static void answer(uint32_t op, uint32_t status, uint32_t count, int64_t claimed_ns) {
    struct reply reply = {MAGIC, op, status, count, claimed_ns};
    if (send(control, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) _exit(3);
}

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

static void catch_signals(void) {
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}

static char *map(int fd, int protection, size_t *size) {
    struct stat status;
    if (fstat(fd, &status) != 0) _exit(3);
    *size = (size_t)status.st_size;
    /* Populated now, so that no call pays for page tables. */
    char *memory = mmap(NULL, *size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) { perror("mmap"); _exit(3); }
    return memory;
}

static void read_table(int fd) {
    size_t size;
    table = (const int64_t *)map(fd, PROT_READ, &size);
    n_inputs = table[0]; n_outputs = table[1]; n_axes = table[2]; n_calls = table[3];
    const int64_t *guards = table + 6;
    for (int64_t i = 0; i < table[4]; i++) mprotect(input_memory + guards[i], PAGE, PROT_NONE);
    guards += table[4];
    for (int64_t i = 0; i < table[5]; i++) mprotect(output_memory + guards[i], PAGE, PROT_NONE);
    rows = guards + table[5];
    row_length = 2 * n_inputs + 2 * n_outputs + n_axes;
    kept = calloc((size_t)(n_calls * (n_inputs + n_outputs) + 1), sizeof *kept);
    pool = calloc((size_t)(n_calls * n_outputs + 1), sizeof *pool);
    pooled = calloc((size_t)(n_outputs + 1), sizeof *pooled);
    if (kept == NULL || pool == NULL || pooled == NULL || n_inputs + n_outputs > MAX_TENSORS) _exit(3);
}

static int load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) { fprintf(stderr, "%s\n", dlerror()); return 0; }
    *(void **)&entry = dlsym(library, "kw_entry");
    if (entry == NULL) fprintf(stderr, "%s\n", dlerror());
    return entry != NULL;
}

static void *allocate(int64_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, ALIGNMENT, size > 0 ? (size_t)size : 1) != 0) _exit(4);
    return memory;
}

/* What a process that runs for a while gets from its allocator: a block from FRESH bytes comes as
 * untouched pages each time, a smaller one is the last that was freed. glibc itself drifts to
 * other addresses for its first few blocks, and a life is too short to wait for that to end. */
static void *take(int64_t output, int64_t size) {
    if (size >= FRESH || pooled[output] == 0) return allocate(size);
    return pool[output * n_calls + --pooled[output]];
}

static void give_back(int64_t output, int64_t size, void *memory) {
    if (size >= FRESH) free(memory);
    else pool[output * n_calls + pooled[output]++] = memory;
}

/* Exactly `size` bytes, so that a sanitizer sees the first byte past the end. */
static void *exact(int64_t size) {
    void *memory = malloc((size_t)size);
    if (memory == NULL) _exit(4);
    return memory;
}

static void call(uint32_t index, uint32_t op, uint32_t position) {
    const int64_t *row = rows + (int64_t)index * row_length;
    const int64_t *in_offset = row, *in_size = row + n_inputs;
    const int64_t *out_offset = in_size + n_inputs, *out_size = out_offset + n_outputs;
    void **outputs = kept + (int64_t)position * (n_inputs + n_outputs);
    void **copies = outputs + n_outputs;
    void *tensors[MAX_TENSORS];
    for (int64_t i = 0; i < n_inputs; i++) {
        tensors[i] = input_memory + in_offset[i];
        if (op == OP_HEAP) tensors[i] = memcpy(copies[i] = exact(in_size[i]), tensors[i], (size_t)in_size[i]);
    }
    for (int64_t i = 0; i < n_outputs; i++) {
        if (op == OP_BUFFER) tensors[n_inputs + i] = output_memory + out_offset[i];
        else tensors[n_inputs + i] = outputs[i] = op == OP_HEAP ? exact(out_size[i]) : take(i, out_size[i]);
    }
    entry(tensors, out_size + n_outputs);
}

/* Have the heap hold the outputs of the largest block, touched, so that no timed call is the
 * first to need them. Blocks from 32 MiB come as fresh pages in any case. */
static void touch_heap(uint32_t calls) {
    const int64_t *out_size = rows + 2 * n_inputs + n_outputs;
    for (int64_t i = 0; i < (int64_t)calls * n_outputs; i++) {
        int64_t size = out_size[i % n_outputs];
        if (size < FRESH) give_back(i % n_outputs, size, memset(allocate(size), 1, (size_t)size));
    }
}

static int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
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

/* Copy what was returned to where the broker reads it, and free it, as a caller would. */
static void collect(void) {
    for (uint32_t i = 0; i < kept_count; i++) {
        const int64_t *row = rows + (int64_t)(kept_first + i) * row_length;
        const int64_t *out_offset = row + 2 * n_inputs, *out_size = out_offset + n_outputs;
        void **outputs = kept + (int64_t)i * (n_inputs + n_outputs);
        for (int64_t j = 0; j < n_outputs; j++)
            memcpy(output_memory + out_offset[j], outputs[j], (size_t)out_size[j]);
        for (int64_t j = 0; j < n_outputs; j++) {
            if (kept_heap) free(outputs[j]);
            else give_back(j, out_size[j], outputs[j]);
        }
        for (int64_t j = n_outputs; kept_heap && j < n_outputs + n_inputs; j++) free(outputs[j]);
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
    catch_signals();
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        if (command.magic != MAGIC) return 3;
        switch (command.op) {
        case OP_LOAD:
            if (command.count <= (uint64_t)n_calls) touch_heap(command.count);
            answer(OP_LOAD, load(argv[1]) ? STATUS_OK : STATUS_FAILED, 0, 0);
            break;
        case OP_BUFFER: case OP_RETURNED: case OP_HEAP: run(&command); break;
        case OP_COLLECT: collect(); break;
        case OP_PING: answer(OP_PING, STATUS_OK, 0, 0); break;
        default: return 3;
        }
    }
    return 0;
}
