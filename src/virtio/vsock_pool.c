/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Chunks in lists. A fifo holds at most its credit, and may begin and end in the middle
 * of a chunk: so one chunk more than the credit is reserved.
 */
#include "virtio/vsock_pool.h"

#include "os/mem.h"
#include "util/assert.h"
#include "util/bytes.h"

enum {
    NONE = MV_VSOCK_CHUNKS, /* no chunk */
    MOST = MV_VSOCK_CREDIT / MV_VSOCK_CHUNK,
    MESSAGE = MV_VSOCK_MESSAGE / MV_VSOCK_CHUNK,
    LEAST = MV_VSOCK_CREDIT_LEAST / MV_VSOCK_CHUNK,
    SHARE = 16, /* a connection gets at most this part of what is not promised yet */
    TRIM = 64,  /* chunks that may stay touched */
    MARKS = MV_VSOCK_CHUNK / 8, /* bytes of a chunk's marks */
    DATA = MV_VSOCK_CHUNKS * MV_VSOCK_CHUNK
};
_Static_assert(MV_VSOCK_SLOTS *(LEAST + 1) <= MV_VSOCK_CHUNKS, "the least for all");

static void pool_renew(struct mv_vsock_pool *pool)
{
    pool->free = NONE;
    pool->used = pool->touched = 0;
}

int mv_vsock_pool_open(struct mv_vsock_pool *pool, microvm_error *err)
{
    void *data;
    int rc = mv_mem_map(DATA + MV_VSOCK_CHUNKS * MARKS, 0, &data, err);
    if (rc)
        return rc;
    pool->data = data;
    pool->reserved = 0;
    pool_renew(pool);
    return 0;
}

void mv_vsock_pool_close(struct mv_vsock_pool *pool)
{
    mv_mem_unmap(pool->data, DATA + MV_VSOCK_CHUNKS * MARKS);
    pool->data = NULL;
}

static uint8_t *pool_at(const struct mv_vsock_pool *pool, uint16_t chunk)
{
    return pool->data + (size_t)chunk * MV_VSOCK_CHUNK;
}

static uint64_t *pool_marks(const struct mv_vsock_pool *pool, uint16_t chunk)
{
    return (void *)(pool->data + DATA + (size_t)chunk * MARKS);
}

/* Those that have been touched come first. */
static uint16_t pool_take(struct mv_vsock_pool *pool)
{
    uint16_t chunk = pool->free;
    if (chunk == NONE) {
        MV_ASSERT(pool->touched < MV_VSOCK_CHUNKS);
        chunk = (uint16_t)pool->touched++;
    } else {
        pool->free = pool->next[chunk];
    }
    pool->used++;
    pool->next[chunk] = NONE;
    return chunk;
}

static void pool_give(struct mv_vsock_pool *pool, uint16_t chunk)
{
    pool->next[chunk] = pool->free;
    pool->free = chunk;
    if (--pool->used > 0 || pool->touched <= TRIM)
        return;
    size_t page = mv_mem_page_size(), touched = pool->touched;
    (void)mv_mem_discard(pool->data, mv_align_up(touched * MV_VSOCK_CHUNK, page));
    (void)mv_mem_discard(pool->data + DATA, mv_align_up(touched * MARKS, page));
    pool_renew(pool);
}

uint32_t mv_vsock_fifo_open(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                            bool messages, unsigned slots_left)
{
    const uint32_t most = messages ? MESSAGE : MOST;
    uint32_t owed = (slots_left + 1) * (LEAST + 1);
    uint32_t spare = MV_VSOCK_CHUNKS - pool->reserved;
    MV_ASSERT(spare >= owed);
    uint32_t chunks = MV_MIN(LEAST + (spare - owed) / SHARE, most);
    *fifo = (struct mv_vsock_fifo){.reserved = chunks + 1,
                                   .messages = messages,
                                   .first = NONE,
                                   .last = NONE,
                                   .end = MV_VSOCK_CHUNK};
    pool->reserved += fifo->reserved;
    return chunks * MV_VSOCK_CHUNK;
}

void mv_vsock_fifo_close(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo)
{
    mv_vsock_fifo_drop(pool, fifo, fifo->bytes);
    pool->reserved -= fifo->reserved;
    fifo->reserved = 0;
}

void mv_vsock_fifo_put(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                       const void *data, size_t length)
{
    const uint8_t *from = data;
    if (fifo->messages)
        fifo->begun += (uint32_t)length;
    while (length > 0) {
        if (fifo->end == MV_VSOCK_CHUNK) {
            uint16_t chunk = pool_take(pool);
            if (fifo->first == NONE)
                fifo->first = chunk;
            else
                pool->next[fifo->last] = chunk;
            if (fifo->messages)
                memset(pool_marks(pool, chunk), 0, MARKS);
            fifo->last = chunk;
            fifo->end = 0;
        }
        size_t n = MV_MIN(length, (size_t)(MV_VSOCK_CHUNK - fifo->end));
        memcpy(pool_at(pool, fifo->last) + fifo->end, from, n);
        fifo->end = (uint16_t)(fifo->end + n);
        fifo->bytes += (uint32_t)n;
        from += n;
        length -= n;
    }
}

void mv_vsock_fifo_end(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo)
{
    unsigned at = fifo->end - 1u;
    if (fifo->begun > 0)
        pool_marks(pool, fifo->last)[at / 64] |= 1ull << at % 64;
    fifo->begun = 0;
}

/* The first mark from bit `at` on; past all of them: there is none. */
static unsigned marks_find(const uint64_t *marks, unsigned at)
{
    while (at < MV_VSOCK_CHUNK) {
        uint64_t word = marks[at / 64] >> at % 64;
        if (word)
            return at + (unsigned)__builtin_ctzll(word);
        at += 64 - at % 64;
    }
    return at;
}

uint32_t mv_vsock_fifo_first(const struct mv_vsock_pool *pool,
                             const struct mv_vsock_fifo *fifo)
{
    uint32_t length = 0;
    unsigned start = fifo->start;
    if (!fifo->messages || fifo->begun == fifo->bytes)
        return fifo->bytes - fifo->begun;
    for (uint16_t at = fifo->first;; at = pool->next[at]) {
        unsigned mark = marks_find(pool_marks(pool, at), start);
        length += mark - start;
        if (mark < MV_VSOCK_CHUNK)
            return length + 1;
        MV_ASSERT(at != fifo->last);
        start = 0;
    }
}

unsigned mv_vsock_fifo_spans(const struct mv_vsock_pool *pool,
                             const struct mv_vsock_fifo *fifo, uint32_t length,
                             struct mv_span *span, unsigned most)
{
    unsigned n = 0;
    size_t start = fifo->start, left = length;
    MV_ASSERT(length <= fifo->bytes);
    for (uint16_t at = fifo->first; left > 0 && n < most; at = pool->next[at]) {
        size_t bytes = MV_MIN(MV_VSOCK_CHUNK - start, left);
        span[n++] = (struct mv_span){pool_at(pool, at) + start, bytes};
        left -= bytes;
        start = 0;
    }
    return n;
}

void mv_vsock_fifo_drop(struct mv_vsock_pool *pool, struct mv_vsock_fifo *fifo,
                        size_t length)
{
    MV_ASSERT(length <= fifo->bytes);
    fifo->bytes -= (uint32_t)length;
    fifo->begun = MV_MIN(fifo->begun, fifo->bytes);
    while (length > 0 && fifo->first != fifo->last) {
        size_t n = MV_MIN(length, (size_t)(MV_VSOCK_CHUNK - fifo->start));
        length -= n;
        fifo->start = (uint16_t)(fifo->start + n);
        if (fifo->start < MV_VSOCK_CHUNK)
            return;
        uint16_t chunk = fifo->first;
        fifo->first = pool->next[chunk];
        fifo->start = 0;
        pool_give(pool, chunk);
    }
    fifo->start = (uint16_t)(fifo->start + length);
    if (fifo->bytes > 0 || fifo->first == NONE)
        return;
    pool_give(pool, fifo->first);
    fifo->first = fifo->last = NONE;
    fifo->start = 0;
    fifo->end = MV_VSOCK_CHUNK;
}
