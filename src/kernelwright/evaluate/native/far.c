/* The far runner: one call on tensors of more than 2^31 elements, in little memory.
 *
 * An index that is worked out in 32 bits is right on every size that is tested in earnest and
 * wraps on larger ones. Here a small tile of a tensor is mapped over and over, so that gigabytes
 * of addresses cost megabytes; in front of every tensor lies as much address space again that
 * cannot be touched. An index that wraps comes out below the tensor and ends in a fault, which is
 * reported with the region it fell into. Values are not looked at: what is written lies in the
 * same tile over and over.
 *
 * usage: far ARTIFACT CONTROL_FD TABLE_FD INPUT_FD OUTPUT_FD
 *
 * It speaks the frames of runner.c (load, buffer, ping). The table is an array of int64:
 *   inputs, outputs, axes, then for each tensor the offset of its tile in the input or the output
 *   memory, the bytes of the tile, the bytes of the whole and the address where it begins, then the
 *   axes. The addresses are the broker's choice, so that it can see which pages were touched.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "frames.h"
#include "signals.h"

enum { INPUT = 1, OUTPUT = 2, ROW = 4 };
/* What a kernel may allocate of its own: a workspace as long as the tensors would fill the machine. */
static const struct rlimit workspace = {2ull << 30, 2ull << 30};

struct region { char *begin, *end; int kind; };

typedef void (*entry_t)(void *const *tensors, const int64_t *axes);

static const int64_t *table;
static int64_t n_inputs, n_outputs;
static struct region regions[MAX_TENSORS];
static void *tensors[MAX_TENSORS];
static entry_t entry;

static void on_signal(int number, siginfo_t *info, void *context) {
    (void)context;
    char *at = info->si_addr;
    int64_t region = 0;
    for (int64_t i = 0; i < n_inputs + n_outputs; i++)
        if (at >= regions[i].begin && at < regions[i].end) region = regions[i].kind;
    answer(0, STATUS_SIGNAL, (uint32_t)number, region);
    _exit(128 + number);
}

/* `whole` bytes made of one tile, behind as many that cannot be touched. A page in front of these
 * belongs to nobody: it stops what runs over the end of a buffer of the candidate's own. */
static void *repeat(int fd, int protection, const int64_t *row, struct region *region, int kind) {
    int64_t offset = row[0], tile = row[1], whole = row[2];
    int64_t before = (whole + PAGE - 1) / PAGE * PAGE, size = PAGE + 2 * before + PAGE;
    char *begin = (char *)(intptr_t)row[3], *all = begin - before - PAGE;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE;
    if (mmap(all, (size_t)size, PROT_NONE, flags, -1, 0) != all) { perror("mmap"); _exit(4); }
    for (int64_t at = 0; at < whole; at += tile) {
        int64_t part = whole - at < tile ? whole - at : tile;
        void *here = mmap(begin + at, (size_t)part, protection, MAP_SHARED | MAP_FIXED, fd, offset);
        if (here == MAP_FAILED) { perror("mmap"); _exit(4); }
    }
    *region = (struct region){all + PAGE, all + size, kind};
    return begin;
}

static void map_tensors(int table_fd, int input_fd, int output_fd) {
    struct stat status;
    if (fstat(table_fd, &status) != 0) _exit(3);
    table = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, table_fd, 0);
    if (table == MAP_FAILED || table[0] + table[1] > MAX_TENSORS) _exit(3);
    n_inputs = table[0];
    n_outputs = table[1];
    for (int64_t i = 0; i < n_inputs + n_outputs; i++) {
        int given = i < n_inputs;
        tensors[i] = repeat(given ? input_fd : output_fd, given ? PROT_READ : PROT_READ | PROT_WRITE,
                            table + 3 + ROW * i, &regions[i], given ? INPUT : OUTPUT);
    }
}

static int load(const char *path) {
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) { fprintf(stderr, "%s\n", dlerror()); return 0; }
    *(void **)&entry = dlsym(library, "kw_entry");
    if (entry == NULL) fprintf(stderr, "%s\n", dlerror());
    return entry != NULL;
}

int main(int argc, char **argv) {
    if (argc != 6) return 2;
    control = atoi(argv[2]);
    map_tensors(atoi(argv[3]), atoi(argv[4]), atoi(argv[5]));
    catch_signals(on_signal);
    setrlimit(RLIMIT_DATA, &workspace);
    struct command command;
    while (recv(control, &command, sizeof command, 0) == sizeof command) {
        if (command.magic != MAGIC) return 3;
        if (command.op == OP_LOAD) {
            answer(OP_LOAD, load(argv[1]) ? STATUS_OK : STATUS_FAILED, 0, 0);
        } else if (command.op == OP_BUFFER) {
            if (entry != NULL) entry(tensors, table + 3 + ROW * (n_inputs + n_outputs));
            answer(OP_BUFFER, entry != NULL ? STATUS_OK : STATUS_FAILED, command.count, 0);
        } else {
            answer(command.op, STATUS_OK, 0, 0);
        }
    }
    return 0;
}
