/* The frames that a broker and a process of its exchange over a socket, all of one size, and how
 * memory that they share is mapped.
 *
 * A command asks for `count` calls from row `first` of the table on. A reply repeats the operation,
 * says how it went, and may claim a time; what it says is checked by `running/life.py`. `token` is
 * what opens a gate (gate.h).
 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAGIC = 0x4B57524E, PAGE = 4096, MAX_TENSORS = 256 };
enum { OP_LOAD = 1, OP_BUFFER = 2, OP_RETURNED = 3, OP_HEAP = 4, OP_COLLECT = 5, OP_PING = 6 };
enum { OP_STAGE = 7, OP_STATE = 8, OP_SAMPLE = 9, OP_QUEUE = 10, OP_OPEN = 11 };
enum { OP_PROFILE = 12 };
enum { STATUS_OK = 0, STATUS_FAILED = 1, STATUS_SIGNAL = 2, STATUS_DEVICE = 5 };

struct command { uint32_t magic, op, first, count, subject, token; };
struct reply { uint32_t magic, op, status, count; int64_t claimed_ns; };

static int control;

static void answer(uint32_t op, uint32_t status, uint32_t count, int64_t claimed_ns) {
    struct reply reply = {MAGIC, op, status, count, claimed_ns};
    if (send(control, &reply, sizeof reply, MSG_NOSIGNAL) != sizeof reply) _exit(3);
}

static inline int64_t now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC_RAW, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static inline char *map(int fd, int protection, size_t *size) {
    struct stat status;
    if (fstat(fd, &status) != 0) _exit(3);
    *size = (size_t)status.st_size;
    /* Populated now, so that no call pays for page tables. */
    char *memory = mmap(NULL, *size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (memory == MAP_FAILED) { perror("mmap"); _exit(3); }
    return memory;
}
