/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The end of a named machine's socket that answers (named.h tells the conversation).
 * control_posix.c moves bytes, inside the relay's poll loop; verbs.c knows what is
 * asked for and is the same on every system.
 *
 * Console output goes through one ring of history; everybody who follows it has a place
 * in the ring, so a slow reader costs no memory and is told what it missed.
 */
#ifndef CLI_CONTROL_H
#define CLI_CONTROL_H

#include "named.h"

#include <microvm/microvm.h>
#include <stdint.h>

/* ---- verbs.c --------------------------------------------------------------------- */

/* What a request leads to besides its answer. */
enum verb_then {
    THEN_NOTHING,
    THEN_LOGS,   /* send the history, then end */
    THEN_FOLLOW, /* send the history and go on */
    THEN_ATTACH, /* send what comes from now on, take input */
    THEN_STOP,   /* shut the machine down; the answer comes when it has ended */
    THEN_ASKED,  /* the same, and the guest has been asked already */
    THEN_WAIT,   /* the same, and only after the time it is shut down */
    THEN_END,    /* the answer comes when it has ended by itself */
    THEN_STREAM, /* hand `stream` to the client when it is connected */
    THEN_SOCKS   /* close the server at `socks` when the client has gone */
};

struct verb_machine {
    microvm *vm;
    microvm_config *config; /* its limits are those in force */
    const char *name;
    int64_t since; /* seconds since 1970 */
    long pid;
    json_t *ports; /* forwards, as they were asked for */
};

struct verb_result {
    enum verb_then then;
    uint64_t timeout_ms; /* THEN_STOP, THEN_WAIT: until more is done about it */
    intptr_t stream;     /* THEN_STREAM: the caller's */
    char socks[64];      /* the address of a SOCKS server that was opened */
};

/* Does what one line asks for; the answer, the caller's; NULL: no memory. */
json_t *verb_do(const struct verb_machine *machine, const char *line,
                struct verb_result *result);
/* The answer to those who wait for the end. */
json_t *verb_ended(const struct verb_machine *machine);

/* ---- control_posix.c ------------------------------------------------------------- */

enum { CONTROL_CLIENTS = 32, CONTROL_FDS = 1 + 2 * CONTROL_CLIENTS };

struct control;
struct pollfd;

/* `history_bytes` of console output are kept. NULL: no memory. The machine's strings
 * and the claim stay the caller's, and must outlive it. */
struct control *control_open(const struct claim *claim,
                             const struct verb_machine *machine, size_t history_bytes);
/* What to poll for, into fds; how many of CONTROL_FDS they are. */
int control_interest(struct control *control, struct pollfd *fds, bool input_wanted);
void control_turn(struct control *control, const struct pollfd *fds, int count);
/* The guest's output. */
void control_output(struct control *control, const char *data, size_t length);
/* Says the guest's last words: the last `lines` lines of the history, if there is one.
 */
void control_say_last(const struct control *control, unsigned lines);
/* Takes what was typed by one who is attached, up to `room` bytes. */
size_t control_input(struct control *control, char *to, size_t room);
/* A connection to the guest that was begun for a client has come, or has not. */
void control_connected(struct control *control, const microvm_event *event);
/* True once after somebody has asked the machine to stop within *timeout_ms, and maybe
 * the guest already. */
bool control_stop_asked(struct control *control, uint64_t *timeout_ms,
                        bool *guest_asked);
/* True once after somebody has asked for the machine's end within *timeout_ms. */
bool control_wait_asked(struct control *control, uint64_t *timeout_ms);
/* The machine has ended: answers those who wait, sends what is left for a short while,
 * frees everything. Accepts NULL. */
void control_close(struct control *control);

#endif
