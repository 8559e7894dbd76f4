/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A process of this program's: what it prints is kept, and its end is told. It ends
 * with this program, however that ends. No shell is in between.
 */
#ifndef VPND_TASK_H
#define VPND_TASK_H

#include "guest/lib/loop.h"

#include <stddef.h>
#include <sys/types.h>

struct task {
    struct watch process, output; /* `process` first: WATCH_NONE both, at first */
    pid_t pid;                    /* 0: there is none */
    char *text;                   /* what it printed, of `room` bytes at most */
    size_t length, room;
    /* Its exit status, -1 of one that was killed. The task may be begun again. */
    void (*ended)(int status);
};
#define TASK_NONE(text, room, ended)                    \
    {                                                   \
        WATCH_NONE, WATCH_NONE, 0, text, 0, room, ended \
    }

/* `in` becomes its standard input. A program with its words; NULL: this function, in a
 * process of its own, for the exit status. False: errno. */
bool task_begin(struct task *task, int in, const char *const words[],
                int (*function)(void));
/* Kills it; nothing is told. */
void task_end(struct task *task);

#endif
