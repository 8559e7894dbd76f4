/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A small pool of threads that carries out disk requests by blocking calls. All of
 * disk_threads.c, and what io_uring has no good operation for. Used on the loop only.
 */
#ifndef MV_BACKING_DISK_POOL_H
#define MV_BACKING_DISK_POOL_H

#include "backing/disk.h"
#include "os/file.h"

/* Requests that block at the same time. More were no faster: docs/adr/0003. */
enum { MV_DISK_WORKERS = 4 };

struct mv_disk_list {
    struct mv_disk_request *first, *last;
};

struct mv_disk_pool {
    struct mv_disk *disk;
    const struct mv_file *file;
    struct mv_loop *loop;
    struct mv_disk_list batch; /* submitted, not yet committed */
    unsigned in_flight;        /* submitted, not yet done */
    struct mv_call reap;

    uv_mutex_t lock; /* guards what follows */
    uv_cond_t work;  /* something waits, or the pool ends */
    uv_cond_t idle;  /* something is finished, for drain */
    struct mv_disk_list waiting, finished;
    unsigned waiting_count;
    unsigned workers, busy;
    bool end, draining;
    uv_thread_t thread[MV_DISK_WORKERS];
};

int mv_disk_pool_open(struct mv_disk_pool *pool, struct mv_disk *disk,
                      const struct mv_file *file, struct mv_loop *loop,
                      microvm_error *err);
/* Nothing is in flight. `reap` may still be queued: free the memory by a call posted
 * afterwards. */
void mv_disk_pool_close(struct mv_disk_pool *pool);

/* Starts one worker now instead of at the first request. */
int mv_disk_pool_start(struct mv_disk_pool *pool, microvm_error *err);

void mv_disk_pool_submit(struct mv_disk_pool *pool, struct mv_disk_request *request);
void mv_disk_pool_commit(struct mv_disk_pool *pool);
void mv_disk_pool_drain(struct mv_disk_pool *pool);

#endif
