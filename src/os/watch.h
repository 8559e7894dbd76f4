/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Watching many sockets on the loop, for those who read and write until the socket has
 * no more. Who has been told MV_SOCKET_AGAIN (or got less than it asked for) calls
 * mv_watch_again, and is told when there is more. Before that it may be told again, as
 * often as something happens; if it does not want to hear it, mv_watch_mute. So on
 * Linux (epoll, edge-triggered) a connection that is at work costs no system call, and
 * one that waits for something else one.
 *
 * Everything here happens on the loop's thread.
 */
#ifndef MV_OS_WATCH_H
#define MV_OS_WATCH_H

#include "os/loop.h"

enum {
    MV_WATCH_READ = 1,  /* bytes, or an end, can be read */
    MV_WATCH_WRITE = 2, /* there is room */
    MV_WATCH_END = 4,   /* the peer has ended its writing: read until the end comes */
    MV_WATCH_GONE = 8   /* the peer has closed both directions; bytes may be left */
};

struct mv_watch_set;

/* Lives in its owner; its memory may go after mv_watch_remove. */
struct mv_watch {
    void (*ready)(struct mv_watch *watch, unsigned events); /* set by the owner */
    struct mv_watch_set *set;                               /* NULL: not watched */
    intptr_t socket;
    unsigned wanted; /* READ, WRITE */
    void *poll;      /* the system's */
};

/* Opens a set. `turned` is called after all that was ready has been reported: where the
 * owner sends what it has collected. */
int mv_watch_open(struct mv_loop *loop, void (*turned)(void *ctx), void *ctx,
                  struct mv_watch_set **out, microvm_error *err);
/* All watches are removed. The memory goes a little later. Accepts NULL. */
void mv_watch_close(struct mv_watch_set *set);

/* Watches for reading from now on; what is ready already is reported too. 0 or -1: the
 * system has no more room for it. */
int mv_watch_add(struct mv_watch_set *set, struct mv_watch *watch, intptr_t socket);
/* Before the socket is closed. Nothing is reported any more, also of what is being
 * reported now. Accepts one that is not watched. */
void mv_watch_remove(struct mv_watch *watch);
/* Reports of these events, READ and WRITE, are welcome: from now on, what is ready
 * already too; and: are not. */
void mv_watch_again(struct mv_watch *watch, unsigned events);
void mv_watch_mute(struct mv_watch *watch, unsigned events);

#endif
