/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * While the machine runs: its console to standard output, standard input to its
 * console, signals and window sizes to the machine. relay_posix.c is one poll loop and
 * starts no thread; relay_win.c needs one for standard input.
 */
#ifndef CLI_RELAY_H
#define CLI_RELAY_H

#include "named.h"

#include <microvm/microvm.h>

struct relay {
    microvm *vm;
    microvm_config *config;
    struct claim *claim; /* the machine's name; without one, it gets one of two words */
    intptr_t console;    /* -1: none */
    bool input;          /* standard input goes to the console */
    bool output;         /* the console goes to standard output */
    bool quiet;
    /* For whom the machine runs: its end of a pipe that we write to; when nobody reads
     * it any more, the machine is killed. -1: for itself. */
    int life;
    /* MICROVM_EVENT_CONNECT; NULL: nobody connects. */
    void (*connected)(void *ctx, const microvm_event *event);
    void *ctx;
    void (*running)(
        const char *name); /* all vCPUs are in the guest; NULL: never mind */
};

/* Starts the machine, catches signals, and returns when the machine has ended and its
 * last output is written. False: a failure of ours was said. */
bool relay_run(struct relay *relay);

/* ---- shared by both, relay.c ---------------------------------------------------- */

enum { ESCAPE = 0x1d /* Ctrl-] */, SHUTDOWN_GRACE_MS = 10000 };

/* What the user types, watched for the escape key: Ctrl-] twice leaves. Once is held
 * back until the next key. */
struct escape {
    bool on, held;
};
/* Copies `length` bytes to `to` (room for one more), without an escape; *leave is set
 * when it was complete, and nothing after it is copied. */
unsigned escape_filter(struct escape *escape, const char *from, unsigned length,
                       char *to, bool *leave);

/* Takes all events: says what the user must know. False when the machine has ended. */
bool relay_events(struct relay *relay);

/* The user wants it to end: the power button first, then, or where there is none, its
 * plug. Returns true when the button was pressed and time should be given. */
bool relay_stop(struct relay *relay, bool *asked);

#endif
