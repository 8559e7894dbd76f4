/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device's side of a split virtqueue (virtio 1.2, 2.7): taking chains of buffers
 * that the driver made available, giving them back as used, and deciding when the other
 * side must be told (EVENT_IDX, 2.7.7 and 2.7.10).
 *
 * The driver is hostile: every index and descriptor is copied once and then checked. A
 * chain that loops, leaves guest memory or is longer than the queue makes pop return an
 * error, upon which the device fails (mv_vdev_fail); nothing of the host is touched.
 * At most `size` chains can be in flight, so a device can have a slot for each.
 *
 * A queue that is not live is empty: nothing is popped from it, and what is pushed to
 * it is forgotten. So a device that has failed needs no checks of its own.
 *
 * Deliberately absent: packed rings, VIRTIO_F_IN_ORDER.
 */
#ifndef MV_VIRTIO_VQUEUE_H
#define MV_VIRTIO_VQUEUE_H

#include "core/ram.h"
#include "util/span.h"

#include <stdbool.h>

enum { MV_VQ_SIZE_MAX = 512 }; /* descriptors; lets one request carry 2 MiB in pages */

/* One request: first what the device reads, then what it writes (2.7.4.2). The spans
 * are checked pieces of guest memory; buffers that lie one behind the other are one. */
struct mv_chain {
    uint16_t head;                    /* to be given to mv_vq_push */
    uint16_t readable, writable;      /* number of spans of each kind */
    uint32_t read_bytes, write_bytes; /* sums; a chain of more than 4 GiB is an error */
    struct mv_span span[MV_VQ_SIZE_MAX]; /* readable ones, then writable ones */
};

/* What the transport sets and a snapshot holds. */
struct mv_vq_config {
    uint16_t size; /* power of two up to the class's maximum */
    bool ready;
    uint64_t desc, driver, device; /* gpa of descriptor table, available, used ring */
};

struct mv_vq {
    struct mv_vq_config config;
    uint16_t avail_at; /* next available entry to take */
    uint16_t used_at;  /* next used entry to write; both wrap at 65536 */

    /* Valid between mv_vq_start and mv_vq_stop. */
    const struct mv_ram *ram;
    uint8_t *desc, *avail, *used;
    bool live, event_idx, indirect;
    uint16_t signalled_at; /* used_at when the driver was last told */
};

/* Checks size, alignment and place of the rings, all of them; false: the driver's
 * nonsense. Every chain that was popped has been pushed since. */
bool mv_vq_start(struct mv_vq *vq, const struct mv_ram *ram, uint64_t features);
void mv_vq_stop(struct mv_vq *vq);
/* Forgets everything, as a reset does. */
void mv_vq_reset(struct mv_vq *vq);

/* 1: *chain is the next request; 0: none; negative: the driver's nonsense. Chains may
 * be pushed in another order than they were popped. */
int mv_vq_pop(struct mv_vq *vq, struct mv_chain *chain);

/* Puts the chain that was popped last back, to be popped again; none after it, and it
 * has not been pushed. The driver may have changed it by then. */
void mv_vq_unpop(struct mv_vq *vq);

/* Gives the chain back with `written` bytes in its writable part. */
void mv_vq_push(struct mv_vq *vq, uint16_t head, uint32_t written);
/* The same in two steps, for chains that the driver must see together or not at all:
 * each is filled in, then all are published. */
void mv_vq_fill(struct mv_vq *vq, uint16_t head, uint32_t written);
void mv_vq_publish(struct mv_vq *vq);

/* Whether the driver wants to hear about what was pushed since the last time this was
 * asked. Ask once per batch. */
bool mv_vq_wants_signal(struct mv_vq *vq);

/* Asks the driver not to kick while a batch is worked on; and to kick again: true when
 * more has become available meanwhile, so that the device must look once more. */
void mv_vq_hush(struct mv_vq *vq);
bool mv_vq_listen(struct mv_vq *vq);
/* There is something to pop; asks for nothing. */
bool mv_vq_pending(const struct mv_vq *vq);

/* Copy between a chain's spans and a buffer, from `offset` bytes into the readable or
 * writable part on; the number of bytes copied. */
size_t mv_chain_read(const struct mv_chain *chain, size_t offset, void *to,
                     size_t length);
size_t mv_chain_write(const struct mv_chain *chain, size_t offset, const void *from,
                      size_t length);

#endif
