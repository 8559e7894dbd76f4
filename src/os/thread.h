/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What libuv's threads lack: names, small stacks, and all signals blocked, because
 * signals are for the application's own threads.
 */
#ifndef MV_OS_THREAD_H
#define MV_OS_THREAD_H

#include <uv.h>

/* As uv_thread_create, with a stack of 256 KiB and every signal blocked from the
 * thread's first instruction on. 0 or a negative libuv code. */
int mv_thread_start(uv_thread_t *thread, uv_thread_cb fn, void *arg);

/* Lets go of a thread that was started: it is not joined, and ends by itself. */
void mv_thread_leave(uv_thread_t *thread);

/* Names the calling thread for debuggers and `top -H`. */
void mv_thread_name(const char *name);

#endif
