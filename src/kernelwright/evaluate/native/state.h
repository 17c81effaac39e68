/* What calls must leave of the process as it was. */
#pragma once

#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

/* The numbers of the bits are read by `process_state.py`. */
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
