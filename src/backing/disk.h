/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What stands behind a block device: requests go in, completions come back on the loop.
 * Implementations: disk_uring.c (io_uring, where the kernel lets us), disk_threads.c (a
 * small pool of our own, everywhere). Both read and write straight from and into guest
 * memory. Raw images only: other formats are recognised and refused.
 */
#ifndef MV_BACKING_DISK_H
#define MV_BACKING_DISK_H

#include "core/config.h"
#include "core/log.h"
#include "os/loop.h"
#include "util/span.h"

#include <stdbool.h>

struct mv_disk;

enum mv_disk_op {
    MV_DISK_READ,
    MV_DISK_WRITE,
    MV_DISK_FLUSH,   /* everything completed before is on stable storage */
    MV_DISK_DISCARD, /* the range's content does not matter any more */
    MV_DISK_ZERO     /* the range reads as zero; may free its space */
};

/* One request; the device's memory, untouched by it until done is called. */
struct mv_disk_request {
    enum mv_disk_op op;
    bool may_unmap;             /* ZERO: freeing the space is welcome */
    uint64_t offset;            /* bytes, checked by the device against size_bytes */
    uint64_t length;            /* bytes, all operations but FLUSH; READ and WRITE:
                                   what the spans hold */
    const struct mv_span *span; /* READ, WRITE */
    unsigned spans;
    /* On the loop, never from inside submit. result: 0, or a negative libuv code. May
     * submit again; what it submits is sent without a commit. */
    void (*done)(struct mv_disk_request *request, int result);
    void *owner;                  /* the device's */
    struct mv_disk_request *next; /* the backing's, while it has the request */
    uint64_t moved;               /* the backing's: bytes done so far */
    int result;                   /* the backing's */
};

struct mv_disk_ops {
    const char *name; /* "io_uring", "threads" */
    void (*submit)(struct mv_disk *disk, struct mv_disk_request *request);
    /* What was submitted since is sent to the kernel together; end of a batch. Done
     * functions may run inside. */
    void (*commit)(struct mv_disk *disk);
    /* Waits until nothing is in flight; the done functions run inside. */
    void (*drain)(struct mv_disk *disk);
    /* Nothing is in flight. On the loop, which frees the memory a little later. */
    void (*close)(struct mv_disk *disk);
};

struct mv_disk {
    const struct mv_disk_ops *ops;
    /* The device's: called after one or several done functions, so that it tells the
     * guest once; NULL: nobody wants to know. */
    void (*completed)(void *owner);
    void *owner;
    uint64_t size_bytes;  /* multiple of 512 */
    uint32_t block_bytes; /* what direct I/O wants to be aligned to; 512 otherwise */
    bool read_only;
    bool can_discard; /* the file system or device can free ranges */
    _Atomic uint64_t read_bytes, write_bytes, requests; /* counters */
};

/* Opens the image or block device and locks it: one writer or many readers. Images
 * whose size is not a multiple of 512 are refused with a sentence, and so are files
 * that look like qcow2, VMDK, VHD(X) or compressed. On the loop, or before it has a
 * thread.
 */
int mv_disk_open(const struct mv_disk_config *config, struct mv_loop *loop,
                 const struct mv_log *log, struct mv_disk **out, microvm_error *err);

#endif
