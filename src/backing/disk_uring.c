/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A disk through io_uring: a batch of reads, writes and flushes is one system call, and
 * completions come through an eventfd that the loop polls.
 *
 * What is in the page cache completes inside the call that submits it. commit therefore
 * looks at once, and keeps the eventfd quiet meanwhile, so that such requests cost no
 * turn of the loop. Discarding and zeroing goes to the pool, whose thread starts at the
 * first such request: io_uring would only do it in a thread of the kernel's, and the
 * ways to do it differ by file system (os/file.c). The same for what is left of a
 * transfer that ended early, which is rare.
 */
#include "backing/disk_impl.h"
#include "backing/disk_pool.h"

#include "os/bell.h"
#include "os/error.h"
#include "util/bytes.h"

#include <liburing.h>
#include <stdlib.h>

/* Submitted in one call. A batch may be twice as long, and is two calls then: places
 * for it all would be 24 KiB more for each disk. Completions have twice the places,
 * room for all requests that a block device has under way. */
enum { RING_ENTRIES = 256, ROUNDS = 64 };

/* Calls that block, carried out by the disk's own thread where nothing else waits for
 * it. One that took longer than this was waiting for a device, and those after it had
 * better not keep others from the disk: so many of its kind go through the ring. */
enum { BLOCKED_NS = 3000000, WARY = 32 };

struct disk_uring {
    struct mv_disk disk;
    struct mv_file file;
    struct mv_disk_pool pool;
    struct io_uring ring;
    struct mv_bell bell;
    unsigned in_flight; /* in the ring, sent or not */
    bool busy;          /* uring_turn or uring_block runs, until nothing is left */
    struct mv_disk_request *alone;   /* the one of its batch so far, not in the ring */
    unsigned wary[MV_DISK_ZERO + 1]; /* of each kind: how many more shall not block */
    struct mv_call gone;
};

static struct disk_uring *uring_of(struct mv_disk *disk)
{
    return MV_CONTAINER(disk, struct disk_uring, disk);
}

/* -- submission -- */

static bool uring_prepare(struct disk_uring *uring, struct mv_disk_request *request)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (!sqe) {
        (void)io_uring_submit(&uring->ring);
        sqe = io_uring_get_sqe(&uring->ring);
        if (!sqe)
            return false;
    }
    const struct iovec *iov = (const void *)request->span; /* checked in os/posix */
    int fd = (int)mv_file_handle(&uring->file, request->offset, request->span,
                                 request->spans);
    if (request->op == MV_DISK_READ)
        io_uring_prep_readv(sqe, fd, iov, request->spans, request->offset);
    else if (request->op == MV_DISK_WRITE)
        io_uring_prep_writev(sqe, fd, iov, request->spans, request->offset);
    else
        io_uring_prep_fsync(sqe, (int)uring->file.handle, IORING_FSYNC_DATASYNC);
    io_uring_sqe_set_data(sqe, request);
    uring->in_flight++;
    return true;
}

static void uring_queue(struct disk_uring *uring, struct mv_disk_request *request)
{
    bool pool = request->op == MV_DISK_DISCARD || request->op == MV_DISK_ZERO;
    if (pool || !uring_prepare(uring, request))
        mv_disk_pool_submit(&uring->pool, request);
}

/* The request that was alone is so no longer, or must not block. */
static void uring_join(struct disk_uring *uring)
{
    struct mv_disk_request *request = uring->alone;
    uring->alone = NULL;
    if (request)
        uring_queue(uring, request);
}

/* What the ring would hand to a thread of the kernel's anyhow: writes into the page
 * cache on most file systems, and every flush. */
static bool uring_may_block(struct disk_uring *uring,
                            const struct mv_disk_request *request)
{
    if (request->op != MV_DISK_FLUSH &&
        (request->op != MV_DISK_WRITE || uring->file.direct != -1))
        return false;
    if (uring->in_flight || uring->pool.in_flight || uring->busy)
        return false;
    if (!uring->wary[request->op])
        return true;
    uring->wary[request->op]--;
    return false;
}

static void uring_submit(struct mv_disk *disk, struct mv_disk_request *request)
{
    struct disk_uring *uring = uring_of(disk);
    request->moved = 0;
    if (!uring->alone && uring_may_block(uring, request)) {
        uring->alone = request;
        return;
    }
    uring_join(uring);
    uring_queue(uring, request);
}

/* -- without the ring -- */

static int uring_perform(struct disk_uring *uring,
                         const struct mv_disk_request *request)
{
    if (request->op == MV_DISK_FLUSH)
        return mv_file_flush(&uring->file);
    int64_t n =
        mv_file_writev(&uring->file, request->offset, request->span, request->spans, 0);
    if (n < 0)
        return (int)n;
    return (uint64_t)n == request->length ? 0 : UV_EIO;
}

/* The batch is one request that may block. What its end submits goes into the ring. */
static void uring_block(struct disk_uring *uring)
{
    struct mv_disk_request *request = uring->alone;
    enum mv_disk_op op = request->op;
    uint64_t start = uv_hrtime();
    uring->alone = NULL;
    uring->busy = true;
    int result = uring_perform(uring, request);
    if (uv_hrtime() - start > BLOCKED_NS)
        uring->wary[op] = WARY;
    mv_disk_finish(&uring->disk, request, result);
    if (uring->disk.completed)
        uring->disk.completed(uring->disk.owner);
    uring->busy = false;
}

/* -- completion -- */

/* True when it is done; else the pool carries on. */
static bool uring_complete(struct disk_uring *uring, struct mv_disk_request *request,
                           int result)
{
    uring->in_flight--;
    if (request->op == MV_DISK_FLUSH ||
        (result < 0 && result != UV_EAGAIN && result != UV_EINTR)) {
        mv_disk_finish(&uring->disk, request, result);
        return true;
    }
    request->moved = result > 0 ? (uint64_t)result : 0;
    if (request->moved < request->length) {
        mv_disk_pool_submit(&uring->pool, request);
        return false;
    }
    mv_disk_finish(&uring->disk, request, 0);
    return true;
}

/* True when there was something to reap. */
static bool uring_reap(struct disk_uring *uring)
{
    struct io_uring_cqe *cqe;
    bool any = false, done = false;
    while (io_uring_peek_cqe(&uring->ring, &cqe) == 0) {
        struct mv_disk_request *request = io_uring_cqe_get_data(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&uring->ring, cqe);
        done = uring_complete(uring, request, result) || done;
        any = true;
    }
    if (done && uring->disk.completed)
        uring->disk.completed(uring->disk.owner);
    return any;
}

/* Sends what is prepared and reaps what is complete, until neither finds anything. The
 * eventfd comes on again before the last look, so that no completion is missed. A guest
 * that always has more does not keep the loop: it is heard again after the others. */
static void uring_turn(struct disk_uring *uring)
{
    if (uring->busy)
        return;
    uring->busy = true;
    (void)io_uring_cq_eventfd_toggle(&uring->ring, false);
    bool quiet = true;
    unsigned rounds = 0;
    while (rounds++ < ROUNDS) {
        if (io_uring_sq_ready(&uring->ring))
            (void)io_uring_submit(&uring->ring);
        if (uring_reap(uring))
            continue;
        if (!quiet)
            break;
        (void)io_uring_cq_eventfd_toggle(&uring->ring, true);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the flag before the look */
        quiet = false;
    }
    uring->busy = false;
    if (rounds > ROUNDS || io_uring_sq_ready(&uring->ring))
        mv_bell_ring(&uring->bell); /* or the kernel was short of memory: again */
    mv_disk_pool_commit(&uring->pool);
}

static void uring_heard(void *arg)
{
    uring_turn(arg);
}

static void uring_commit(struct mv_disk *disk)
{
    struct disk_uring *uring = uring_of(disk);
    if (uring->busy)
        return;
    if (uring->alone)
        uring_block(uring);
    if (io_uring_sq_ready(&uring->ring))
        uring_turn(uring);
    else
        mv_disk_pool_commit(&uring->pool);
}

static void uring_drain(struct mv_disk *disk)
{
    struct disk_uring *uring = uring_of(disk);
    struct io_uring_cqe *cqe;
    uring_join(uring);
    while (uring->in_flight || uring->pool.in_flight) {
        uring_turn(uring);
        if (uring->in_flight > io_uring_sq_ready(&uring->ring))
            (void)io_uring_wait_cqe(&uring->ring, &cqe);
        else if (!uring->in_flight)
            mv_disk_pool_drain(&uring->pool);
    }
}

/* -- open and close -- */

static void uring_free(void *arg)
{
    free(arg);
}

static void uring_gone(void *arg)
{
    struct disk_uring *uring = arg;
    uring->bell.closed = uring_free;
    mv_bell_close(&uring->bell);
}

static void uring_close(struct mv_disk *disk)
{
    struct disk_uring *uring = uring_of(disk);
    struct mv_loop *loop = uring->pool.loop;
    disk->completed = NULL;
    uring->busy = true; /* for good: the bell may be heard once more */
    mv_disk_pool_close(&uring->pool);
    io_uring_queue_exit(&uring->ring);
    mv_file_close(&uring->file);
    /* After the pool's call, which may still be queued. */
    uring->gone = (struct mv_call){.fn = uring_gone, .arg = uring};
    mv_loop_post(loop, &uring->gone);
}

static const struct mv_disk_ops uring_ops = {
    .name = "io_uring",
    .submit = uring_submit,
    .commit = uring_commit,
    .drain = uring_drain,
    .close = uring_close,
};

static int uring_open_ring(struct disk_uring *uring, microvm_error *err)
{
    int rc = io_uring_queue_init(RING_ENTRIES, &uring->ring, 0);
    if (rc)
        return mv_fail_os_code(err, MICROVM_E_UNSUPPORTED, -rc,
                               "io_uring is not available here");
    rc = io_uring_register_eventfd(&uring->ring, (int)uring->bell.fd);
    /* The kernel must copy the spans before submit returns: Linux 5.5. */
    if (!rc && !(uring->ring.features & IORING_FEAT_SUBMIT_STABLE))
        rc = UV_ENOSYS;
    if (!rc)
        return 0;
    io_uring_queue_exit(&uring->ring);
    return mv_fail_os_code(err, MICROVM_E_UNSUPPORTED, -rc,
                           "io_uring is too old or restricted here");
}

int mv_disk_uring_open(struct mv_file *file, struct mv_loop *loop, struct mv_disk **out,
                       microvm_error *err)
{
    struct disk_uring *uring = calloc(1, sizeof *uring);
    if (!uring)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "disk '%s': no memory", file->path);
    uring->disk.ops = &uring_ops;
    uring->file = *file;
    int rc = mv_bell_open(&uring->bell, loop, uring_heard, uring, err);
    if (rc) {
        free(uring);
        return rc;
    }
    rc = uring_open_ring(uring, err);
    if (!rc) {
        rc = mv_disk_pool_open(&uring->pool, &uring->disk, &uring->file, loop, err);
        if (rc)
            io_uring_queue_exit(&uring->ring);
    }
    if (rc) {
        uring_gone(uring);
        return rc;
    }
    *file = (struct mv_file)MV_FILE_CLOSED;
    *out = &uring->disk;
    return 0;
}
