/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The loop thread and its mailbox: a linked list of calls under a lock and one uv_async
 * to wake the loop. uv_async_send coalesces, so the list, not the wake-up, carries
 * the calls.
 */
#include "os/loop.h"

#include "os/error.h"
#include "os/thread.h"
#include "util/assert.h"

static struct mv_call *loop_pop(struct mv_loop *loop)
{
    uv_mutex_lock(&loop->lock);
    struct mv_call *call = loop->first;
    if (call) {
        loop->first = call->next;
        loop->last = loop->first ? loop->last : NULL;
        loop->calls--;
        call->queued = false;
    }
    uv_mutex_unlock(&loop->lock);
    return call;
}

/* Only as many calls as there were at the start: what they post waits for the next
 * turn, so the loop's other handles are never starved. */
static void loop_drain(struct mv_loop *loop)
{
    uv_mutex_lock(&loop->lock);
    unsigned calls = loop->calls;
    uv_mutex_unlock(&loop->lock);
    while (calls-- > 0) {
        struct mv_call *call = loop_pop(loop);
        if (call)
            call->fn(call->arg); /* may post `call` again, or free it */
    }
}

static void loop_woken(uv_async_t *wake)
{
    struct mv_loop *loop = wake->data;
    loop_drain(loop);
    uv_mutex_lock(&loop->lock);
    bool more = loop->calls > 0;
    uv_mutex_unlock(&loop->lock);
    if (more)
        (void)uv_async_send(&loop->wake);
    else if (atomic_load(&loop->stop))
        uv_stop(&loop->uv);
}

int mv_loop_open(struct mv_loop *loop, microvm_error *err)
{
    *loop = (struct mv_loop){.threaded = false};
    int rc = uv_loop_init(&loop->uv);
    if (rc)
        return mv_fail_uv(err, rc, "event loop");
    rc = uv_async_init(&loop->uv, &loop->wake, loop_woken);
    if (!rc) {
        loop->wake.data = loop;
        rc = uv_mutex_init(&loop->lock);
        if (!rc)
            return 0;
        uv_close((uv_handle_t *)&loop->wake, NULL);
        (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    }
    (void)uv_loop_close(&loop->uv);
    return mv_fail_uv(err, rc, "event loop");
}

struct start {
    struct mv_loop *loop;
    const char *name;
    uv_sem_t running;
};

static void loop_main(void *arg)
{
    struct start *start = arg;
    struct mv_loop *loop = start->loop;
    mv_thread_name(start->name);
    uv_sem_post(&start->running); /* start is gone from here on */
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
}

int mv_loop_start(struct mv_loop *loop, const char *name, microvm_error *err)
{
    struct start start = {.loop = loop, .name = name};
    MV_ASSERT(!loop->threaded);
    int rc = uv_sem_init(&start.running, 0);
    if (rc)
        return mv_fail_uv(err, rc, "event loop");
    rc = mv_thread_start(&loop->thread, loop_main, &start);
    if (!rc) {
        uv_sem_wait(&start.running);
        loop->threaded = true;
    }
    uv_sem_destroy(&start.running);
    return rc ? mv_fail_uv(err, rc, "starting the device thread") : 0;
}

void mv_loop_close(struct mv_loop *loop)
{
    if (loop->threaded) {
        atomic_store(&loop->stop, true);
        (void)uv_async_send(&loop->wake);
        (void)uv_thread_join(&loop->thread);
        loop->threaded = false;
    }
    while (loop->calls)
        loop_drain(loop);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    (void)uv_run(&loop->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&loop->uv);
    MV_ASSERT(rc == 0); /* else a handle was left open */
    uv_mutex_destroy(&loop->lock);
}

void mv_loop_post(struct mv_loop *loop, struct mv_call *call)
{
    bool wake = false;
    uv_mutex_lock(&loop->lock);
    if (!call->queued) {
        call->queued = true;
        call->next = NULL;
        wake = loop->calls++ == 0;
        if (loop->last)
            loop->last->next = call;
        else
            loop->first = call;
        loop->last = call;
    }
    uv_mutex_unlock(&loop->lock);
    if (wake)
        (void)uv_async_send(&loop->wake);
}

void mv_loop_cancel(struct mv_loop *loop, struct mv_call *call)
{
    uv_mutex_lock(&loop->lock);
    if (call->queued) {
        struct mv_call *before = NULL;
        for (struct mv_call *c = loop->first; c != call; c = c->next)
            before = c;
        if (before)
            before->next = call->next;
        else
            loop->first = call->next;
        if (loop->last == call)
            loop->last = before;
        loop->calls--;
        call->queued = false;
    }
    uv_mutex_unlock(&loop->lock);
}

struct run {
    void (*fn)(void *arg);
    void *arg;
    uv_sem_t done;
};

static void run_call(void *arg)
{
    struct run *run = arg;
    run->fn(run->arg);
    uv_sem_post(&run->done);
}

void mv_loop_run(struct mv_loop *loop, void (*fn)(void *arg), void *arg)
{
    uv_thread_t self = uv_thread_self();
    if (!loop->threaded || uv_thread_equal(&self, &loop->thread)) {
        fn(arg);
        return;
    }
    struct run run = {.fn = fn, .arg = arg};
    struct mv_call call = {.fn = run_call, .arg = &run};
    int rc = uv_sem_init(&run.done, 0);
    MV_ASSERT(rc == 0); /* unnamed semaphores need no resource that can run out */
    mv_loop_post(loop, &call);
    uv_sem_wait(&run.done);
    uv_sem_destroy(&run.done);
}

void mv_loop_turn(struct mv_loop *loop)
{
    MV_ASSERT(!loop->threaded);
    (void)uv_run(&loop->uv, UV_RUN_NOWAIT);
}
