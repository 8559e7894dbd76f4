/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Threads on POSIX systems.
 */
#define _GNU_SOURCE
#include "os/thread.h"

#include <pthread.h>
#include <signal.h>

enum { STACK_BYTES = 256 << 10 };

int mv_thread_start(uv_thread_t *thread, uv_thread_cb fn, void *arg)
{
    uv_thread_options_t options = {.flags = UV_THREAD_HAS_STACK_SIZE,
                                   .stack_size = STACK_BYTES};
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before); /* inherited by the new thread */
    int rc = uv_thread_create_ex(thread, &options, fn, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void mv_thread_leave(uv_thread_t *thread)
{
    (void)pthread_detach(*thread);
}

void mv_thread_name(const char *name)
{
#ifdef __APPLE__
    (void)pthread_setname_np(name);
#else
    (void)pthread_setname_np(pthread_self(), name);
#endif
}
