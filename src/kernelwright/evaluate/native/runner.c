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
 *   then for each call: input offsets, input sizes, output offsets, output sizes, axes,
 *   then the offset in the output memory at which addresses of returned outputs go.
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

enum { MAGIC = 0x4B57524E, PAGE = 4096, ALIGNMENT = 64, MAX_TENSORS = 256 };
enum { OP_LOAD = 1, OP_BUFFER = 2, OP_RETURNED = 3, OP_HEAP = 4, OP_COLLECT = 5, OP_PING = 6 };
enum { OP_STATE = 8 };
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
static int64_t *addresses;   /* where the outputs are that lie in this process's own memory */
static entry_t entry;
static void **kept;          /* outputs that this process allocated, until they are collected */
static uint32_t kept_first, kept_count;
static int kept_heap;        /* whether they are blocks of exactly their size, with copied inputs */

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
    addresses = (int64_t *)(output_memory + rows[n_calls * row_length]);
    kept = calloc((size_t)(n_calls * (n_inputs + n_outputs) + 1), sizeof *kept);
    if (kept == NULL || n_inputs + n_outputs > MAX_TENSORS) _exit(3);
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
        char *slot = output_memory + out_offset[i];
        outputs[i] = NULL;
        if (op == OP_BUFFER) tensors[n_inputs + i] = slot;
        else if (op == OP_HEAP) tensors[n_inputs + i] = outputs[i] = exact(out_size[i]);
        else tensors[n_inputs + i] = returned(out_size[i], slot, &addresses[index * n_outputs + i], &outputs[i]);
    }
    entry(tensors, out_size + n_outputs);
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

/* Copy what lies in blocks of its own to where the broker reads it, and free it. */
static void collect_heap(const int64_t *row, void **outputs) {
    const int64_t *out_offset = row + 2 * n_inputs, *out_size = out_offset + n_outputs;
    for (int64_t j = 0; j < n_outputs; j++)
        memcpy(output_memory + out_offset[j], outputs[j], (size_t)out_size[j]);
    for (int64_t j = 0; j < n_outputs + n_inputs; j++) free(outputs[j]);
}

/* Free what was returned, as a caller would. */
static void collect_returned(const int64_t *row, void **outputs) {
    const int64_t *out_size = row + 2 * n_inputs + n_outputs;
    for (int64_t j = 0; j < n_outputs; j++)
        if (outputs[j] != NULL) munmap(outputs[j], (size_t)out_size[j] + PAGE);
}

static void collect(void) {
    for (uint32_t i = 0; i < kept_count; i++) {
        const int64_t *row = rows + (int64_t)(kept_first + i) * row_length;
        void **outputs = kept + (int64_t)i * (n_inputs + n_outputs);
        if (kept_heap) collect_heap(row, outputs);
        else collect_returned(row, outputs);
    }
    answer(OP_COLLECT, STATUS_OK, kept_count, 0);
    kept_count = 0;
}

/* What calls must leave as it was. The numbers of the bits are read by `process_state.py`. */
struct state {
    uint64_t flushing, masks, environment;
    int rounding, timers;
    struct sigaction handlers[32];
    sigset_t blocked;
    mode_t umask;
    char folder[512];
};
static struct state before;

static uint64_t environment_hash(void) {
    extern char **environ;
    uint64_t hash = 14695981039346656037u;
    for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
        for (const char *at = *entry; ; at++) {
            hash = (hash ^ (unsigned char)*at) * 1099511628211u;
            if (*at == 0) break;
        }
    return hash;
}

static int running_timers(void) {
    int running = 0;
    for (int which = ITIMER_REAL; which <= ITIMER_PROF; which++) {
        struct itimerval timer;
        if (getitimer(which, &timer) == 0 && (timer.it_value.tv_sec || timer.it_value.tv_usec)) running++;
    }
    return running;
}

static void read_state(struct state *state) {
    memset(state, 0, sizeof *state);
#if defined(__x86_64__)
    uint32_t control_word = __builtin_ia32_stmxcsr();
    uint16_t x87;
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    state->flushing = control_word & 0x8040u;
    state->rounding = control_word >> 13 & 3;
    /* The low six bits of the x87 word mask exceptions, the next two set its precision. */
    state->masks = (control_word & 0x1F80u) | (uint64_t)(x87 & 0x33Fu) << 32;
#elif defined(__aarch64__)
    uint64_t control_word;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control_word));
    state->flushing = control_word & (3u << 24);
    state->rounding = control_word >> 22 & 3;
    state->masks = control_word & 0x9F00u;
#endif
    for (int number = 1; number < 32; number++) sigaction(number, NULL, &state->handlers[number]);
    sigprocmask(SIG_BLOCK, NULL, &state->blocked);
    state->umask = umask(0);
    umask(state->umask);
    if (getcwd(state->folder, sizeof state->folder) == NULL) state->folder[0] = 0;
    state->environment = environment_hash();
    state->timers = running_timers();
}

static int64_t changes(void) {
    struct state now;
    read_state(&now);
    int64_t handlers = 0;
    for (int number = 1; number < 32; number++)
        handlers |= now.handlers[number].sa_sigaction != before.handlers[number].sa_sigaction;
    return (now.flushing != before.flushing) | (now.rounding != before.rounding) << 1
        | (now.masks != before.masks) << 2 | handlers << 3
        | (int64_t)(memcmp(&now.blocked, &before.blocked, sizeof now.blocked) != 0) << 4
        | (int64_t)(strcmp(now.folder, before.folder) != 0) << 5
        | (int64_t)(now.umask != before.umask) << 6
        | (int64_t)(now.environment != before.environment) << 7
        | (int64_t)(now.timers != before.timers) << 8;
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
