/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A disk whose requests are all carried out by the pool. Works on every system.
 */
#include "backing/disk_impl.h"
#include "backing/disk_pool.h"

#include "util/bytes.h"

#include <stdlib.h>

struct disk_threads {
    struct mv_disk disk;
    struct mv_file file;
    struct mv_disk_pool pool;
    struct mv_call gone;
};

static struct disk_threads *threads_of(struct mv_disk *disk)
{
    return MV_CONTAINER(disk, struct disk_threads, disk);
}

static void threads_submit(struct mv_disk *disk, struct mv_disk_request *request)
{
    mv_disk_pool_submit(&threads_of(disk)->pool, request);
}

static void threads_commit(struct mv_disk *disk)
{
    mv_disk_pool_commit(&threads_of(disk)->pool);
}

static void threads_drain(struct mv_disk *disk)
{
    mv_disk_pool_drain(&threads_of(disk)->pool);
}

static void threads_free(void *arg)
{
    free(arg);
}

static void threads_close(struct mv_disk *disk)
{
    struct disk_threads *threads = threads_of(disk);
    struct mv_loop *loop = threads->pool.loop;
    disk->completed = NULL;
    mv_disk_pool_close(&threads->pool);
    mv_file_close(&threads->file);
    /* Calls run in order: the pool's, if it is still queued, before this one. */
    threads->gone = (struct mv_call){.fn = threads_free, .arg = threads};
    mv_loop_post(loop, &threads->gone);
}

static const struct mv_disk_ops threads_ops = {
    .name = "threads",
    .submit = threads_submit,
    .commit = threads_commit,
    .drain = threads_drain,
    .close = threads_close,
};

int mv_disk_threads_open(struct mv_file *file, struct mv_loop *loop,
                         struct mv_disk **out, microvm_error *err)
{
    struct disk_threads *threads = calloc(1, sizeof *threads);
    if (!threads)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "disk '%s': no memory", file->path);
    threads->disk.ops = &threads_ops;
    threads->file = *file;
    int rc =
        mv_disk_pool_open(&threads->pool, &threads->disk, &threads->file, loop, err);
    if (!rc) {
        rc = mv_disk_pool_start(&threads->pool, err);
        if (!rc) {
            *file = (struct mv_file)MV_FILE_CLOSED;
            *out = &threads->disk;
            return 0;
        }
        mv_disk_pool_close(&threads->pool);
    }
    free(threads);
    return rc;
}
