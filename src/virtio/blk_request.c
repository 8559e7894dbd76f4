/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device's requests, virtio 1.2, 5.2.6: what a chain asks for is checked and
 * goes to the disk, and what the disk says goes back, in whatever order it completes.
 * Payload moves between the file and guest memory; only headers, ranges and status
 * bytes pass through here. How the driver cuts a request into buffers does not matter
 * (2.7.4.2): the header is the first 16 bytes that the device reads, the status the
 * last byte that it writes, the rest is data.
 */
#include "virtio/blk.h"

#include <stdio.h>

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

enum { HEADER_BYTES = 16, RANGE_BYTES = 16 };

/* A request as it came: its chain and a copy of its header. */
struct blk_asked {
    const struct mv_chain *chain;
    unsigned queue;
    uint32_t type;
    uint64_t sector;
};

/* -- the stock of requests -- */

static bool stock_has(const struct blk *blk, const struct mv_chain *chain)
{
    if (!blk->request_free && blk->requests == BLK_REQUESTS)
        return false;
    return blk->table_free || blk->tables < BLK_TABLES ||
           MV_MAX(chain->readable, chain->writable) <= BLK_SPANS;
}

static struct blk_request *stock_take(struct blk *blk)
{
    struct blk_request *request = blk->request_free;
    if (!request)
        return &blk->request[blk->requests++];
    blk->request_free = request->next;
    return request;
}

static union blk_table *stock_take_table(struct blk *blk)
{
    union blk_table *table = blk->table_free;
    if (!table)
        return &blk->table[blk->tables++];
    blk->table_free = table->next;
    return table;
}

static void stock_put(struct blk *blk, struct blk_request *request)
{
    if (request->table) {
        request->table->next = blk->table_free;
        blk->table_free = request->table;
    }
    blk->heavy_bytes -= request->weight;
    request->next = blk->request_free;
    blk->request_free = request;
}

/* -- answers -- */

static uint8_t *blk_status_byte(const struct mv_chain *chain)
{
    const struct mv_span *last = &chain->span[chain->readable + chain->writable - 1];
    return (uint8_t *)last->base + last->length - 1;
}

/* Answers at once. `data` bytes were written before the status. */
static void blk_answer(struct blk *blk, const struct blk_asked *asked, uint8_t status,
                       uint32_t data)
{
    *blk_status_byte(asked->chain) = status;
    mv_vq_push(&blk->dev.vq[asked->queue], asked->chain->head, data + 1);
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
    mv_vq_push(&blk->dev.vq[request->queue], request->head,
               result ? 1 : request->written);
    blk->touched |= 1u << request->queue;
    blk->flying[request->queue][request->head / 64] &= ~(1ull << request->head % 64);
    stock_put(blk, request);
}

void blk_completed(void *owner)
{
    struct blk *blk = owner;
    for (unsigned q = 0; q < blk->dev.queues; q++) {
        if (blk->touched & 1u << q)
            mv_vdev_signal(&blk->dev, q);
    }
    blk->touched = 0;
    if (!blk->held || blk->stopping)
        return;
    blk->held = false;
    blk_serve_all(&blk->dev);
}

/* -- requests -- */

/* The chain's request; NULL: the device has failed, because a head that is still in
 * flight was made available again. */
static struct blk_request *blk_take(struct blk *blk, const struct blk_asked *asked,
                                    enum mv_disk_op op)
{
    uint16_t head = asked->chain->head;
    uint64_t *flying = &blk->flying[asked->queue][head / 64], bit = 1ull << head % 64;
    if (*flying & bit) {
        mv_vdev_fail(&blk->dev, "a request was made available twice");
        return NULL;
    }
    *flying |= bit;
    struct blk_request *request = stock_take(blk);
    request->disk =
        (struct mv_disk_request){.op = op, .done = blk_done, .owner = request};
    request->blk = blk;
    request->table = NULL;
    request->weight = 0;
    request->status = blk_status_byte(asked->chain);
    request->written = 1;
    request->head = head;
    request->queue = (uint8_t)asked->queue;
    request->ranges = 0;
    request->flush = false;
    return request;
}

static void blk_weigh(struct blk *blk, struct blk_request *request, uint64_t bytes)
{
    request->weight += bytes;
    blk->heavy_bytes += bytes;
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
    return mv_inside(sector, sectors, 0, blk->disk->size_bytes / BLK_SECTOR_BYTES);
}

static uint32_t blk_payload(const struct blk_asked *asked)
{
    if (asked->type == BLK_T_IN)
        return asked->chain->write_bytes - 1;
    return asked->type == BLK_T_OUT ? asked->chain->read_bytes - HEADER_BYTES : 0;
}

static void blk_transfer(struct blk *blk, const struct blk_asked *asked)
{
    const struct mv_chain *chain = asked->chain;
    bool read = asked->type == BLK_T_IN;
    uint32_t length = blk_payload(asked);
    if (length % BLK_SECTOR_BYTES ||
        !blk_inside(blk, asked->sector, length / BLK_SECTOR_BYTES) ||
        (!read && blk->disk->read_only)) {
        blk_answer(blk, asked, BLK_S_IOERR, 0);
        return;
    }
    struct blk_request *request =
        blk_take(blk, asked, read ? MV_DISK_READ : MV_DISK_WRITE);
    if (!request)
        return;
    const struct mv_span *from = chain->span + (read ? chain->readable : 0);
    unsigned count = read ? chain->writable : chain->readable;
    struct mv_span *to = request->span;
    if (count > BLK_SPANS) {
        request->table = stock_take_table(blk);
        to = request->table->span;
    }
    request->disk.offset = asked->sector * BLK_SECTOR_BYTES;
    request->disk.length = length;
    request->disk.span = to;
    request->disk.spans = blk_cut(to, from, count, read ? 0 : HEADER_BYTES, length);
    request->written = read ? length + 1 : 1;
    request->flush = !read && blk_writes_through(blk);
    if (length > BLK_LIGHT_BYTES)
        blk_weigh(blk, request, length);
    blk_submit(blk, request);
}

static void blk_flush(struct blk *blk, const struct blk_asked *asked)
{
    struct blk_request *request = blk_take(blk, asked, MV_DISK_FLUSH);
    if (request)
        blk_submit(blk, request);
}

static void blk_get_id(struct blk *blk, const struct blk_asked *asked)
{
    if (asked->chain->write_bytes < sizeof blk->id + 1) {
        blk_answer(blk, asked, BLK_S_IOERR, 0);
        return;
    }
    (void)mv_chain_write(asked->chain, 0, blk->id, sizeof blk->id);
    blk_answer(blk, asked, BLK_S_OK, sizeof blk->id);
}

/* Copies range `i` (struct virtio_blk_discard_write_zeroes) and checks the copy. */
static uint8_t blk_read_range(const struct blk *blk, const struct mv_chain *chain,
                              unsigned i, bool zeroes, struct blk_range *range,
                              bool *unmap)
{
    uint8_t raw[RANGE_BYTES];
    (void)mv_chain_read(chain, HEADER_BYTES + i * sizeof raw, raw, sizeof raw);
    uint64_t sector = mv_load64(raw);
    uint32_t sectors = mv_load32(raw + 8), flags = mv_load32(raw + 12);
    if (flags & ~(zeroes ? (uint32_t)BLK_RANGE_UNMAP : 0u))
        return BLK_S_UNSUPP;
    if (sectors > (zeroes ? BLK_ZEROES_SECTORS : BLK_DISCARD_SECTORS) ||
        !blk_inside(blk, sector, sectors))
        return BLK_S_IOERR;
    *range = (struct blk_range){sector * BLK_SECTOR_BYTES,
                                (uint64_t)sectors * BLK_SECTOR_BYTES};
    *unmap = flags & BLK_RANGE_UNMAP;
    return BLK_S_OK;
}

static void blk_ranges(struct blk *blk, const struct blk_asked *asked, bool zeroes)
{
    struct blk_range range[BLK_DISCARD_RANGES];
    uint32_t bytes = asked->chain->read_bytes - HEADER_BYTES;
    uint32_t count = bytes / RANGE_BYTES;
    bool unmap = false;
    uint8_t status = BLK_S_OK;
    if (bytes == 0 || bytes % RANGE_BYTES ||
        count > (zeroes ? BLK_ZEROES_RANGES : BLK_DISCARD_RANGES))
        status = BLK_S_IOERR;
    for (unsigned i = 0; i < count && status == BLK_S_OK; i++)
        status = blk_read_range(blk, asked->chain, i, zeroes, &range[i], &unmap);
    if (status != BLK_S_OK) {
        blk_answer(blk, asked, status, 0);
        return;
    }
    struct blk_request *request =
        blk_take(blk, asked, zeroes ? MV_DISK_ZERO : MV_DISK_DISCARD);
    if (!request)
        return;
    request->disk.may_unmap = unmap;
    bool writes = zeroes && !(unmap && blk->disk->can_discard);
    for (unsigned i = 0; i < count; i++) {
        if (writes) /* not what is freed: that moves no bytes */
            mv_limit_take(&blk->limit, uv_hrtime(), 0, (uint32_t)range[i].length);
        if (range[i].length == 0)
            continue;
        request->range[request->ranges++] = range[i];
        blk_weigh(blk, request, zeroes ? range[i].length : BLK_DISCARD_WEIGHT);
    }
    request->flush = zeroes && blk_writes_through(blk);
    if (!blk_next_step(request))
        blk_done(&request->disk, 0); /* nothing but empty ranges */
}

static void blk_dispatch(struct blk *blk, const struct blk_asked *asked)
{
    uint64_t negotiated = blk->dev.negotiated;
    if (asked->type == BLK_T_IN || asked->type == BLK_T_OUT)
        blk_transfer(blk, asked);
    else if (asked->type == BLK_T_FLUSH)
        blk_flush(blk, asked);
    else if (asked->type == BLK_T_GET_ID)
        blk_get_id(blk, asked);
    else if (asked->type == BLK_T_DISCARD && negotiated & BLK_F_DISCARD)
        blk_ranges(blk, asked, false);
    else if (asked->type == BLK_T_WRITE_ZEROES && negotiated & BLK_F_WRITE_ZEROES)
        blk_ranges(blk, asked, true);
    else
        blk_answer(blk, asked, BLK_S_UNSUPP, 0);
}

static bool blk_is_heavy(const struct blk_asked *asked)
{
    return asked->type == BLK_T_DISCARD || asked->type == BLK_T_WRITE_ZEROES ||
           blk_payload(asked) > BLK_LIGHT_BYTES;
}

/* Whether the chain may be served now; if not, something brings the device back. */
static bool blk_may_serve(struct blk *blk, const struct blk_asked *asked)
{
    if (!stock_has(blk, asked->chain) ||
        (blk->heavy_bytes >= BLK_HEAVY_BYTES && blk_is_heavy(asked))) {
        blk->held = true;
        return false;
    }
    if (!mv_limit_on(&blk->limit))
        return true;
    uint64_t wait_ns = mv_limit_wait_ns(&blk->limit, uv_hrtime());
    if (wait_ns)
        mv_vdev_wait(&blk->dev, wait_ns);
    return wait_ns == 0;
}

/* The first queue of a pass that gets no more says where the next one begins: behind
 * it, or with it if it got nothing. Others are still looked at, because a small request
 * needs no table. */
static void blk_refuse(struct blk *blk, unsigned q)
{
    mv_vq_unpop(&blk->dev.vq[q]);
    if (blk->refused)
        return;
    blk->refused = true;
    unsigned next = blk->last_queue == q ? q + 1 : q;
    blk->next_queue = (uint8_t)(next % blk->dev.queues);
}

void blk_serve_all(struct mv_vdev *dev)
{
    struct blk *blk = blk_of(dev);
    unsigned first = blk->next_queue;
    blk->refused = false;
    for (unsigned i = 0; i < dev->queues; i++)
        mv_vdev_serve(dev, (first + i) % dev->queues, blk_serve);
}

bool blk_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    struct blk *blk = blk_of(dev);
    uint8_t raw[HEADER_BYTES];
    struct blk_asked asked = {.chain = chain, .queue = q};
    if (chain->write_bytes == 0) {
        mv_vdev_fail(dev, "a request without a status byte");
        return false;
    }
    if (mv_chain_read(chain, 0, raw, sizeof raw) < sizeof raw) {
        blk_answer(blk, &asked, BLK_S_IOERR, 0);
        return true;
    }
    asked.type = mv_load32(raw);
    asked.sector = mv_load64(raw + 8);
    if (!blk_may_serve(blk, &asked)) {
        blk_refuse(blk, q);
        return false;
    }
    blk->last_queue = (uint8_t)q;
    if (mv_limit_on(&blk->limit))
        mv_limit_take(&blk->limit, uv_hrtime(), 1, blk_payload(&asked));
    blk_dispatch(blk, &asked);
    return true;
}
