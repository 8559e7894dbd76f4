/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A loop thread: a libuv loop in a thread of its own, plus a way for other threads to
 * have a function run there. A machine has one for control and devices, and each disk
 * one of its own (docs/adr/0006). Everything a device does happens on its loop's
 * thread, which is why devices have no locks.
 */
#ifndef MV_OS_LOOP_H
#define MV_OS_LOOP_H

#include "util/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <uv.h>

/* A function to be run on the loop. Lives in its owner, so posting allocates nothing;
 * fn and arg are set once. Posting what is already queued does nothing. */
struct mv_call {
    void (*fn)(void *arg);
    void *arg;
    struct mv_call *next; /* the loop's */
    bool queued;          /* the loop's, under its lock */
};

struct mv_loop {
    uv_loop_t uv;
    uv_async_t wake;
    uv_mutex_t lock; /* guards first, last, calls and the calls' fields */
    struct mv_call *first, *last;
    unsigned calls; /* in the list */
    uv_thread_t thread;
    bool threaded;    /* mv_loop_start has been called */
    atomic_bool stop; /* the thread shall end */
};

/* Opens a loop without a thread; handles may be added until it is started. */
int mv_loop_open(struct mv_loop *loop, microvm_error *err);

/* Gives the loop its thread. `name` is cut to 15 bytes by Linux. */
int mv_loop_start(struct mv_loop *loop, const char *name, microvm_error *err);

/* Ends the thread after the calls already posted, then runs what close callbacks are
 * left. All handles other than the loop's own must be closing. Not on the loop thread.
 */
void mv_loop_close(struct mv_loop *loop);

/* Queues `call`. Any thread; never blocks beyond a short lock. */
void mv_loop_post(struct mv_loop *loop, struct mv_call *call);

/* Takes a call back that may be queued: on the loop's thread it will not run any more,
 * and its memory may go. */
void mv_loop_cancel(struct mv_loop *loop, struct mv_call *call);

/* Runs fn(arg) on the loop's thread and returns when it has returned. On the loop's
 * thread, or where the loop has no thread, it is called directly. */
void mv_loop_run(struct mv_loop *loop, void (*fn)(void *arg), void *arg);

/* For loops without a thread (tests): handles what is ready, without waiting. */
void mv_loop_turn(struct mv_loop *loop);

#endif
