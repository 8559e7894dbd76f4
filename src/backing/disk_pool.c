/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The pool: requests wait in one list, workers take them in order, what is finished
 * goes to a second list that the loop empties. Workers are started when all others are
 * busy, and then stay, asleep: an idle disk wakes nobody. Requests may overtake each
 * other, as on any disk with a queue.
 */
#include "backing/disk_pool.h"

#include "backing/disk_impl.h"
#include "os/error.h"
#include "os/thread.h"
#include "util/assert.h"
#include "util/bytes.h"

static void list_append(struct mv_disk_list *list, struct mv_disk_request *request)
{
    request->next = NULL;
    if (list->last)
        list->last->next = request;
    else
        list->first = request;
    list->last = request;
}

static struct mv_disk_request *list_take(struct mv_disk_list *list)
{
    struct mv_disk_request *request = list->first;
    if (!request)
        return NULL;
    list->first = request->next;
    if (!list->first)
        list->last = NULL;
    return request;
}

/* -- workers -- */

/* All bytes or an error: a transfer that ends early has met the end of the file, which
 * is inside the disk when somebody made the image shorter. */
static int pool_moved_all(int64_t n, const struct mv_disk_request *request)
{
    if (n < 0)
        return (int)n;
    return (uint64_t)n == request->length ? 0 : UV_EIO;
}

static int pool_perform(const struct mv_file *file, const struct mv_disk_request *r)
{
    switch (r->op) {
    case MV_DISK_READ:
        return pool_moved_all(
            mv_file_readv(file, r->offset, r->span, r->spans, r->moved), r);
    case MV_DISK_WRITE:
        return pool_moved_all(
            mv_file_writev(file, r->offset, r->span, r->spans, r->moved), r);
    case MV_DISK_FLUSH:
        return mv_file_flush(file);
    case MV_DISK_DISCARD:
        return mv_file_discard(file, r->offset, r->length);
    case MV_DISK_ZERO:
        return mv_file_zero(file, r->offset, r->length, r->may_unmap);
    }
    return UV_EINVAL;
}

/* Under the lock. True: the loop must be told; once for all that is finished by the
 * time it looks, and not at all where drain looks already. */
static bool pool_put_finished(struct mv_disk_pool *pool,
                              struct mv_disk_request *request)
{
    bool first = !pool->finished.first;
    list_append(&pool->finished, request);
    if (pool->draining)
        uv_cond_signal(&pool->idle);
    return first && !pool->draining;
}

/* Entered and left with the lock held. */
static void pool_work(struct mv_disk_pool *pool, struct mv_disk_request *request)
{
    pool->waiting_count--;
    pool->busy++;
    uv_mutex_unlock(&pool->lock);
    request->result = pool_perform(pool->file, request);
    uv_mutex_lock(&pool->lock);
    pool->busy--;
    bool tell = pool_put_finished(pool, request);
    if (!tell)
        return;
    uv_mutex_unlock(&pool->lock);
    mv_loop_post(pool->loop, &pool->reap);
    uv_mutex_lock(&pool->lock);
}

static void pool_worker(void *arg)
{
    struct mv_disk_pool *pool = arg;
    mv_thread_name("mv-disk");
    uv_mutex_lock(&pool->lock);
    for (;;) {
        struct mv_disk_request *request = list_take(&pool->waiting);
        if (request)
            pool_work(pool, request);
        else if (pool->end)
            break;
        else
            uv_cond_wait(&pool->work, &pool->lock);
    }
    uv_mutex_unlock(&pool->lock);
}

/* Under the lock. */
static int pool_add_worker(struct mv_disk_pool *pool)
{
    int rc = mv_thread_start(&pool->thread[pool->workers], pool_worker, pool);
    if (!rc)
        pool->workers++;
    return rc;
}

/* -- the loop's side -- */

static void pool_take_finished(struct mv_disk_pool *pool)
{
    uv_mutex_lock(&pool->lock);
    struct mv_disk_list finished = pool->finished;
    pool->finished = (struct mv_disk_list){NULL, NULL};
    uv_mutex_unlock(&pool->lock);
    if (!finished.first)
        return;
    struct mv_disk_request *request;
    while ((request = list_take(&finished))) {
        pool->in_flight--;
        mv_disk_finish(pool->disk, request, request->result);
    }
    if (pool->disk->completed)
        pool->disk->completed(pool->disk->owner);
    pool->disk->ops->commit(pool->disk); /* what done functions submitted */
}

static void pool_reap(void *arg)
{
    struct mv_disk_pool *pool = arg;
    if (!pool->end) /* a call that was still queued when the pool was closed */
        pool_take_finished(pool);
}

void mv_disk_pool_submit(struct mv_disk_pool *pool, struct mv_disk_request *request)
{
    pool->in_flight++;
    list_append(&pool->batch, request);
}

/* Nobody is there to do the work, and nobody can be had. Under the lock. */
static void pool_refuse_waiting(struct mv_disk_pool *pool, int result)
{
    struct mv_disk_request *request;
    while ((request = list_take(&pool->waiting))) {
        request->result = result;
        (void)pool_put_finished(pool, request);
    }
    pool->waiting_count = 0;
    mv_loop_post(pool->loop, &pool->reap);
}

void mv_disk_pool_commit(struct mv_disk_pool *pool)
{
    if (!pool->batch.first)
        return;
    uv_mutex_lock(&pool->lock);
    struct mv_disk_request *request;
    unsigned added = 0;
    int rc = 0;
    for (; (request = list_take(&pool->batch)); added++)
        list_append(&pool->waiting, request);
    pool->waiting_count += added;
    while (pool->waiting_count > pool->workers - pool->busy &&
           pool->workers < MV_DISK_WORKERS && !rc)
        rc = pool_add_worker(pool);
    if (!pool->workers)
        pool_refuse_waiting(pool, rc);
    unsigned wake = MV_MIN(added, pool->workers);
    uv_mutex_unlock(&pool->lock);
    while (wake--) /* without the lock, which those that wake up take at once */
        uv_cond_signal(&pool->work);
}

void mv_disk_pool_drain(struct mv_disk_pool *pool)
{
    while (pool->in_flight) {
        mv_disk_pool_commit(pool);
        uv_mutex_lock(&pool->lock);
        pool->draining = true;
        while (!pool->finished.first)
            uv_cond_wait(&pool->idle, &pool->lock);
        pool->draining = false;
        uv_mutex_unlock(&pool->lock);
        pool_take_finished(pool);
    }
}

/* -- open and close -- */

int mv_disk_pool_open(struct mv_disk_pool *pool, struct mv_disk *disk,
                      const struct mv_file *file, struct mv_loop *loop,
                      microvm_error *err)
{
    *pool = (struct mv_disk_pool){.disk = disk, .file = file, .loop = loop};
    pool->reap = (struct mv_call){.fn = pool_reap, .arg = pool};
    int rc = uv_mutex_init(&pool->lock);
    if (rc)
        return mv_fail_uv(err, rc, "disk threads");
    rc = uv_cond_init(&pool->work);
    if (!rc) {
        rc = uv_cond_init(&pool->idle);
        if (!rc)
            return 0;
        uv_cond_destroy(&pool->work);
    }
    uv_mutex_destroy(&pool->lock);
    return mv_fail_uv(err, rc, "disk threads");
}

int mv_disk_pool_start(struct mv_disk_pool *pool, microvm_error *err)
{
    uv_mutex_lock(&pool->lock);
    int rc = pool_add_worker(pool);
    uv_mutex_unlock(&pool->lock);
    return rc ? mv_fail_uv(err, rc, "starting a disk thread") : 0;
}

void mv_disk_pool_close(struct mv_disk_pool *pool)
{
    MV_ASSERT(pool->in_flight == 0);
    uv_mutex_lock(&pool->lock);
    pool->end = true;
    uv_cond_broadcast(&pool->work);
    uv_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->workers; i++)
        (void)uv_thread_join(&pool->thread[i]);
    uv_cond_destroy(&pool->idle);
    uv_cond_destroy(&pool->work);
    uv_mutex_destroy(&pool->lock);
}
