/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device's inside: what blk.c, the device, and blk_request.c, its requests,
 * share.
 *
 * Requests come from one stock for all queues, which is made when the device is opened.
 * The last one given back is the next one taken, so memory is touched only as far as
 * requests were ever under way together. Most need few spans and have them in place;
 * large ones take a table of spans besides. Where either has run out, or as much is
 * under way as stop should have to wait for, the chain goes back to its queue until a
 * request is done: a guest that asks for more than that only waits.
 *
 * What must wait waits for all queues: a pass looks at each of them, beginning behind
 * the one at which the last pass ran dry, so that a busy queue cannot keep the others
 * from the disk.
 */
#ifndef MV_VIRTIO_BLK_H
#define MV_VIRTIO_BLK_H

#include "backing/disk.h"
#include "util/bytes.h"
#include "util/limit.h"
#include "virtio/devices.h"

/* Feature bits, 5.2.3. */
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_MQ           (1ull << 12)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

enum {
    BLK_SECTOR_BYTES = 512,
    BLK_QUEUE_SIZE = MV_VQ_SIZE_MAX,
    /* With header and status in descriptors of their own the chain is as long as the
     * queue, and longer ones may not be (2.7.5.3.1). 510 pages are more than Linux puts
     * into a request by itself (1280 KiB). */
    BLK_SEG_MAX = BLK_QUEUE_SIZE - 2,
    /* What one request may ask of the host: freeing 16 ranges of 2 GiB takes
     * milliseconds, writing 64 MiB of zeros, where the file system knows nothing
     * better, some tens of them. */
    BLK_DISCARD_RANGES = 16,
    BLK_DISCARD_SECTORS = 2u << 21,
    BLK_ZEROES_RANGES = 1,
    BLK_ZEROES_SECTORS = 64u << 11,

    /* Under way at once, from all queues: a full one. */
    BLK_REQUESTS = BLK_QUEUE_SIZE,
    /* Stop waits for all that is under way, so heavy requests wait in their queues
     * while others of so many bytes are with the disk. A transfer up to the second
     * number is light: all requests of that size are no more than the first. What is
     * freed weighs by the range, however long. */
    BLK_HEAVY_BYTES = 64u << 20,
    BLK_LIGHT_BYTES = BLK_HEAVY_BYTES / BLK_REQUESTS,
    BLK_DISCARD_WEIGHT = BLK_HEAVY_BYTES / BLK_DISCARD_RANGES,
    BLK_SPANS = 16,  /* in the request: 64 KiB in pages */
    BLK_TABLES = 64, /* for more; 16 MiB and more under way */
};

struct blk_range {
    uint64_t offset, length; /* bytes */
};

union blk_table {
    union blk_table *next; /* in the stock */
    struct mv_span span[BLK_QUEUE_SIZE];
};

struct blk_request {
    struct mv_disk_request disk;
    struct blk *blk;
    struct blk_request *next; /* in the stock */
    union blk_table *table;   /* NULL: the spans are in `span` */
    uint8_t *status;          /* in guest memory */
    uint64_t weight;          /* its part of blk->heavy_bytes */
    uint32_t written;         /* what the used ring says after success */
    uint16_t head;
    uint8_t queue;
    uint8_t ranges; /* of a discard or write zeroes request; not yet submitted */
    bool flush;     /* it is done only when it is on stable storage */
    union {
        struct mv_span span[BLK_SPANS];
        struct blk_range range[BLK_DISCARD_RANGES];
    };
};

struct blk {
    struct mv_vdev dev;
    struct mv_disk *disk;
    char id[MV_ID_MAX]; /* padded with zeros, not terminated */
    struct mv_limit limit;
    struct mv_limit_rates new_rates; /* for set_rates, under dev.config_lock */
    struct mv_call set_rates;
    uint64_t heavy_bytes; /* under way */
    bool held;            /* a chain waits for a request, a table or heavy ones */
    bool stopping;        /* what is held is left alone */
    bool refused;         /* since the last pass began, a chain was put back */
    uint8_t next_queue, last_queue; /* where a pass begins; which was served last */
    uint32_t touched; /* a bit for each queue with an answer not yet signalled */
    uint64_t flying[MV_BLK_QUEUES_MAX][BLK_QUEUE_SIZE / 64]; /* heads under way */

    /* The stock: those given back, and how many were ever taken. */
    struct blk_request *request_free;
    union blk_table *table_free;
    unsigned requests, tables;
    struct blk_request request[BLK_REQUESTS];
    union blk_table table[BLK_TABLES];
};

static inline struct blk *blk_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct blk, dev);
}

/* blk_request.c */

/* Serves a chain of queue q, for mv_vdev_serve: answers it, or submits it to the disk,
 * or puts it back and returns false, when it must wait. */
bool blk_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain);
/* Looks at all queues, in turn. */
void blk_serve_all(struct mv_vdev *dev);
/* What the disk calls after done functions: tells the driver. */
void blk_completed(void *owner);

#endif
