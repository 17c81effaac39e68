/* Telling the broker of a signal that a candidate brings about. */
#pragma once

#include <signal.h>
#include <stddef.h>

typedef void (*on_signal_t)(int number, siginfo_t *info, void *context);

/* On a stack of its own, since the candidate's may be what ran out. */
static void catch_signals(on_signal_t handler) {
    static char stack[65536];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternate, NULL);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaction(numbers[i], &action, NULL);
}
