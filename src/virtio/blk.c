/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block device, virtio 1.2, 5.2: one queue, requests answered in whatever order the
 * disk completes them. Payload moves between the file and guest memory; only headers,
 * ranges and status bytes pass through here. How the driver cuts a request into
 * buffers does not matter (2.7.4.2): the header is the first 16 bytes that the device
 * reads, the status the last byte that it writes, the rest is data.
 *
 * Each descriptor head has a place for its request from the beginning, so a request
 * allocates nothing. Nothing is in flight once stop returns, so the state is the
 * queue's, which mv_vdev_save has.
 *
 * Absent on purpose: several queues (one loop thread serves them all), lifetime and
 * zoned commands, secure erase (no file can promise it). The logical block is always
 * 512 bytes, whatever the host's disk has: an image must not depend on where it lies.
 */
#include "backing/disk.h"
#include "util/bytes.h"
#include "virtio/devices.h"

#include <stdio.h>

/* Feature bits, 5.2.3. */
#define BLK_F_SEG_MAX      (1ull << 2)
#define BLK_F_RO           (1ull << 5)
#define BLK_F_BLK_SIZE     (1ull << 6)
#define BLK_F_FLUSH        (1ull << 9)
#define BLK_F_TOPOLOGY     (1ull << 10)
#define BLK_F_DISCARD      (1ull << 13)
#define BLK_F_WRITE_ZEROES (1ull << 14)

/* Request types and status, 5.2.6. */
enum {
    BLK_T_IN = 0,
    BLK_T_OUT = 1,
    BLK_T_FLUSH = 4,
    BLK_T_GET_ID = 8,
    BLK_T_DISCARD = 11,
    BLK_T_WRITE_ZEROES = 13
};
enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };
enum { BLK_RANGE_UNMAP = 1 }; /* flags of a discard or write zeroes range */

/* Offsets in the configuration space, 5.2.4. */
enum {
    CONFIG_CAPACITY = 0,
    CONFIG_SEG_MAX = 12,
    CONFIG_BLK_SIZE = 20,
    CONFIG_PHYSICAL_EXPONENT = 24,
    CONFIG_MIN_IO = 26,
    CONFIG_DISCARD_SECTORS = 36,
    CONFIG_DISCARD_RANGES = 40,
    CONFIG_DISCARD_ALIGNMENT = 44,
    CONFIG_ZEROES_SECTORS = 48,
    CONFIG_ZEROES_RANGES = 52,
    CONFIG_ZEROES_MAY_UNMAP = 56,
    CONFIG_BYTES = 60
};

enum {
    BLK_ID = 2,
    BLK_HEADER_BYTES = 16,
    BLK_RANGE_BYTES = 16,
    SECTOR_BYTES = 512,
    /* A full queue of single pages is 1 MiB, and so is one request with its header and
     * status in descriptors of their own. */
    BLK_QUEUE_SIZE = MV_VQ_SIZE_MAX,
    BLK_SEG_MAX = BLK_QUEUE_SIZE - 2,
    /* What a request may ask of the host is limited because stop waits for it: freeing
     * 16 ranges of 2 GiB takes milliseconds, writing 64 MiB of zeros, where the file
     * system knows nothing better, some tens of them. */
    BLK_DISCARD_RANGES = 16,
    BLK_DISCARD_SECTORS = 2u << 21,
    BLK_ZEROES_RANGES = 1,
    BLK_ZEROES_SECTORS = 64u << 11
};

struct blk_range {
    uint64_t offset, length; /* bytes */
};

/* A request under way. */
struct blk_request {
    struct mv_disk_request disk;
    struct blk *blk;
    uint8_t *status;  /* in guest memory */
    uint32_t written; /* what the used ring says after success */
    uint16_t head;
    uint8_t ranges; /* of a discard or write zeroes request; not yet submitted */
    bool busy;
    bool flush; /* it is done only when it is on stable storage */
    union {
        struct mv_span span[BLK_QUEUE_SIZE];
        struct blk_range range[BLK_DISCARD_RANGES];
    };
};

struct blk {
    struct mv_vdev dev;
    struct mv_disk *disk;
    char id[MV_DISK_ID_MAX]; /* padded with zeros, not terminated */
    struct blk_request request[BLK_QUEUE_SIZE];
};

/* A request's header, copied. */
struct blk_header {
    uint32_t type;
    uint64_t sector;
};

static struct blk *blk_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct blk, dev);
}

/* -- answers -- */

static uint8_t *blk_status_byte(const struct mv_chain *chain)
{
    const struct mv_span *last = &chain->span[chain->readable + chain->writable - 1];
    return (uint8_t *)last->base + last->length - 1;
}

/* Answers at once. `data` bytes were written before the status. */
static void blk_answer(struct blk *blk, const struct mv_chain *chain, uint8_t status,
                       uint32_t data)
{
    *blk_status_byte(chain) = status;
    mv_vq_push(&blk->dev.vq[0], chain->head, data + 1);
}

static void blk_log_error(struct blk *blk, const struct mv_disk_request *disk,
                          int result)
{
    static const char *const names[] = {[MV_DISK_READ] = "reading",
                                        [MV_DISK_WRITE] = "writing",
                                        [MV_DISK_FLUSH] = "flushing",
                                        [MV_DISK_DISCARD] = "discarding",
                                        [MV_DISK_ZERO] = "zeroing"};
    char words[96];
    mv_log_limited(blk->dev.host.log, &blk->dev.log_limit, MICROVM_LOG_WARNING,
                   "%s: %s %llu bytes at %llu failed: %s", blk->dev.name,
                   names[disk->op], (unsigned long long)disk->length,
                   (unsigned long long)disk->offset,
                   uv_strerror_r(result, words, sizeof words));
}

/* Submits the request's next step: another range, or the flush behind it. */
static bool blk_next_step(struct blk_request *request)
{
    struct mv_disk_request *disk = &request->disk;
    if (request->ranges > 0) {
        const struct blk_range *range = &request->range[--request->ranges];
        disk->offset = range->offset;
        disk->length = range->length;
    } else if (request->flush) {
        request->flush = false;
        disk->op = MV_DISK_FLUSH;
    } else {
        return false;
    }
    request->blk->disk->ops->submit(request->blk->disk, disk);
    return true;
}

static void blk_done(struct mv_disk_request *disk, int result)
{
    struct blk_request *request = disk->owner;
    struct blk *blk = request->blk;
    if (result == 0 && blk_next_step(request))
        return;
    if (result)
        blk_log_error(blk, disk, result);
    *request->status = result ? BLK_S_IOERR : BLK_S_OK;
    request->busy = false;
    mv_vq_push(&blk->dev.vq[0], request->head, result ? 1 : request->written);
}

static void blk_completed(void *owner)
{
    struct blk *blk = owner;
    mv_vdev_signal(&blk->dev, 0);
}

/* -- requests -- */

/* The place of the chain's request; NULL: the device has failed, because a head that
 * is still in flight was made available again. */
static struct blk_request *blk_take(struct blk *blk, const struct mv_chain *chain,
                                    enum mv_disk_op op)
{
    struct blk_request *request = &blk->request[chain->head];
    if (request->busy) {
        mv_vdev_fail(&blk->dev, "a request was made available twice");
        return NULL;
    }
    request->disk =
        (struct mv_disk_request){.op = op, .done = blk_done, .owner = request};
    request->blk = blk;
    request->status = blk_status_byte(chain);
    request->written = 1;
    request->head = chain->head;
    request->ranges = 0;
    request->busy = true;
    request->flush = false;
    return request;
}

static void blk_submit(struct blk *blk, struct blk_request *request)
{
    blk->disk->ops->submit(blk->disk, &request->disk);
}

/* 5.2.6.2: without FLUSH the driver takes a write for stable when it is done. */
static bool blk_writes_through(const struct blk *blk)
{
    return !(blk->dev.negotiated & BLK_F_FLUSH);
}

/* The `length` bytes of the spans after `skip`. */
static unsigned blk_cut(struct mv_span *to, const struct mv_span *from, unsigned count,
                        size_t skip, size_t length)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count && length > 0; i++) {
        if (skip >= from[i].length) {
            skip -= from[i].length;
            continue;
        }
        size_t piece = MV_MIN(from[i].length - skip, length);
        to[n++] = (struct mv_span){(uint8_t *)from[i].base + skip, piece};
        length -= piece;
        skip = 0;
    }
    return n;
}

static bool blk_inside(const struct blk *blk, uint64_t sector, uint64_t sectors)
{
    return mv_inside(sector, sectors, 0, blk->disk->size_bytes / SECTOR_BYTES);
}

static void blk_transfer(struct blk *blk, const struct mv_chain *chain,
                         struct blk_header header)
{
    bool read = header.type == BLK_T_IN;
    uint32_t length =
        read ? chain->write_bytes - 1 : chain->read_bytes - BLK_HEADER_BYTES;
    if (length % SECTOR_BYTES ||
        !blk_inside(blk, header.sector, length / SECTOR_BYTES) ||
        (!read && blk->disk->read_only)) {
        blk_answer(blk, chain, BLK_S_IOERR, 0);
        return;
    }
    struct blk_request *request =
        blk_take(blk, chain, read ? MV_DISK_READ : MV_DISK_WRITE);
    if (!request)
        return;
    request->disk.offset = header.sector * SECTOR_BYTES;
    request->disk.length = length;
    request->disk.span = request->span;
    if (read)
        request->disk.spans = blk_cut(request->span, chain->span + chain->readable,
                                      chain->writable, 0, length);
    else
        request->disk.spans = blk_cut(request->span, chain->span, chain->readable,
                                      BLK_HEADER_BYTES, length);
    request->written = read ? length + 1 : 1;
    request->flush = !read && blk_writes_through(blk);
    blk_submit(blk, request);
}

static void blk_flush(struct blk *blk, const struct mv_chain *chain)
{
    struct blk_request *request = blk_take(blk, chain, MV_DISK_FLUSH);
    if (request)
        blk_submit(blk, request);
}

static void blk_get_id(struct blk *blk, const struct mv_chain *chain)
{
    if (chain->write_bytes < sizeof blk->id + 1) {
        blk_answer(blk, chain, BLK_S_IOERR, 0);
        return;
    }
    (void)mv_chain_write(chain, 0, blk->id, sizeof blk->id);
    blk_answer(blk, chain, BLK_S_OK, sizeof blk->id);
}

/* Copies range `i` (struct virtio_blk_discard_write_zeroes) and checks the copy. */
static uint8_t blk_read_range(const struct blk *blk, const struct mv_chain *chain,
                              unsigned i, bool zeroes, struct blk_range *range,
                              bool *unmap)
{
    uint8_t raw[BLK_RANGE_BYTES];
    (void)mv_chain_read(chain, BLK_HEADER_BYTES + i * sizeof raw, raw, sizeof raw);
    uint64_t sector = mv_load64(raw);
    uint32_t sectors = mv_load32(raw + 8), flags = mv_load32(raw + 12);
    if (flags & ~(zeroes ? (uint32_t)BLK_RANGE_UNMAP : 0u))
        return BLK_S_UNSUPP;
    if (sectors > (zeroes ? BLK_ZEROES_SECTORS : BLK_DISCARD_SECTORS) ||
        !blk_inside(blk, sector, sectors))
        return BLK_S_IOERR;
    *range =
        (struct blk_range){sector * SECTOR_BYTES, (uint64_t)sectors * SECTOR_BYTES};
    *unmap = flags & BLK_RANGE_UNMAP;
    return BLK_S_OK;
}

static void blk_ranges(struct blk *blk, const struct mv_chain *chain, bool zeroes)
{
    struct blk_range range[BLK_DISCARD_RANGES];
    uint32_t bytes = chain->read_bytes - BLK_HEADER_BYTES;
    uint32_t count = bytes / BLK_RANGE_BYTES;
    bool unmap = false;
    uint8_t status = BLK_S_OK;
    if (bytes == 0 || bytes % BLK_RANGE_BYTES ||
        count > (zeroes ? BLK_ZEROES_RANGES : BLK_DISCARD_RANGES))
        status = BLK_S_IOERR;
    for (unsigned i = 0; i < count && status == BLK_S_OK; i++)
        status = blk_read_range(blk, chain, i, zeroes, &range[i], &unmap);
    if (status != BLK_S_OK) {
        blk_answer(blk, chain, status, 0);
        return;
    }
    struct blk_request *request =
        blk_take(blk, chain, zeroes ? MV_DISK_ZERO : MV_DISK_DISCARD);
    if (!request)
        return;
    request->disk.may_unmap = unmap;
    for (unsigned i = 0; i < count; i++) {
        if (range[i].length > 0)
            request->range[request->ranges++] = range[i];
    }
    request->flush = zeroes && blk_writes_through(blk);
    if (!blk_next_step(request))
        blk_done(&request->disk, 0); /* nothing but empty ranges */
}

static void blk_dispatch(struct blk *blk, const struct mv_chain *chain,
                         struct blk_header header)
{
    uint64_t negotiated = blk->dev.negotiated;
    if (header.type == BLK_T_IN || header.type == BLK_T_OUT)
        blk_transfer(blk, chain, header);
    else if (header.type == BLK_T_FLUSH)
        blk_flush(blk, chain);
    else if (header.type == BLK_T_GET_ID)
        blk_get_id(blk, chain);
    else if (header.type == BLK_T_DISCARD && negotiated & BLK_F_DISCARD)
        blk_ranges(blk, chain, false);
    else if (header.type == BLK_T_WRITE_ZEROES && negotiated & BLK_F_WRITE_ZEROES)
        blk_ranges(blk, chain, true);
    else
        blk_answer(blk, chain, BLK_S_UNSUPP, 0);
}

static bool blk_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    struct blk *blk = blk_of(dev);
    uint8_t raw[BLK_HEADER_BYTES];
    (void)q;
    if (chain->write_bytes == 0) {
        mv_vdev_fail(dev, "a request without a status byte");
        return false;
    }
    if (mv_chain_read(chain, 0, raw, sizeof raw) == sizeof raw)
        blk_dispatch(blk, chain,
                     (struct blk_header){mv_load32(raw), mv_load64(raw + 8)});
    else
        blk_answer(blk, chain, BLK_S_IOERR, 0);
    return true;
}

/* -- the device -- */

static void blk_kick(struct mv_vdev *dev, unsigned q)
{
    struct blk *blk = blk_of(dev);
    mv_vdev_serve(dev, q, blk_serve);
    blk->disk->ops->commit(blk->disk);
}

/* Everything in flight is completed and pushed, also for a reset: the driver's memory
 * is its own again when this returns. */
static void blk_stop(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    blk->disk->ops->drain(blk->disk);
}

static void blk_close(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    if (blk->disk)
        blk->disk->ops->close(blk->disk);
}

static const struct mv_vdev_class blk_class = {
    .name = "virtio-blk",
    .id = BLK_ID,
    .queues = 1,
    .queue_size = BLK_QUEUE_SIZE,
    .config_size = CONFIG_BYTES,
    .state_version = 1,
    .close = blk_close,
    .kick = blk_kick,
    .stop = blk_stop,
};

/* Where the host's disk has larger blocks than ours, the driver is told (TOPOLOGY), so
 * that partitions and file systems are laid out in them. */
static void blk_describe(struct blk *blk)
{
    const struct mv_disk *disk = blk->disk;
    uint8_t *config = blk->dev.config;
    uint64_t features = BLK_F_SEG_MAX | BLK_F_BLK_SIZE | BLK_F_FLUSH;
    mv_store64(config + CONFIG_CAPACITY, disk->size_bytes / SECTOR_BYTES);
    mv_store32(config + CONFIG_SEG_MAX, BLK_SEG_MAX);
    mv_store32(config + CONFIG_BLK_SIZE, SECTOR_BYTES);
    if (disk->block_bytes > SECTOR_BYTES) {
        features |= BLK_F_TOPOLOGY;
        uint32_t sectors = disk->block_bytes / SECTOR_BYTES;
        config[CONFIG_PHYSICAL_EXPONENT] = (uint8_t)__builtin_ctz(sectors);
        mv_store16(config + CONFIG_MIN_IO, (uint16_t)sectors);
    }
    if (disk->read_only) {
        features |= BLK_F_RO;
    } else {
        features |= BLK_F_WRITE_ZEROES;
        mv_store32(config + CONFIG_ZEROES_SECTORS, BLK_ZEROES_SECTORS);
        mv_store32(config + CONFIG_ZEROES_RANGES, BLK_ZEROES_RANGES);
        config[CONFIG_ZEROES_MAY_UNMAP] = disk->can_discard;
    }
    if (!disk->read_only && disk->can_discard) {
        features |= BLK_F_DISCARD;
        mv_store32(config + CONFIG_DISCARD_SECTORS, BLK_DISCARD_SECTORS);
        mv_store32(config + CONFIG_DISCARD_RANGES, BLK_DISCARD_RANGES);
        mv_store32(config + CONFIG_DISCARD_ALIGNMENT, 4096 / SECTOR_BYTES);
    }
    blk->dev.features |= features;
}

int mv_blk_open(const struct mv_vdev_host *host, struct mv_disk *disk, const char *id,
                struct mv_vdev **out, microvm_error *err)
{
    struct mv_vdev *dev;
    int rc = mv_vdev_open(&blk_class, sizeof(struct blk), id, host, &dev, err);
    if (rc) {
        disk->ops->close(disk);
        return rc;
    }
    struct blk *blk = blk_of(dev);
    size_t length = strlen(id);
    memcpy(blk->id, id, MV_MIN(length, sizeof blk->id));
    blk->disk = disk;
    disk->completed = blk_completed;
    disk->owner = blk;
    blk_describe(blk);
    *out = dev;
    return 0;
}
