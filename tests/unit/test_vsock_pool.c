/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where bytes wait for slow sockets: order, promises that are kept for every number of
 * connections, nothing left behind. Many random steps beside a model that is an array.
 */
#include "check.h"

#include "util/bytes.h"
#include "virtio/vsock_pool.h"

#include <stdlib.h>

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525u + 1013904223u;
    return *seed >> 8;
}

static struct mv_vsock_pool *open_pool(void)
{
    struct mv_vsock_pool *pool = test_calloc(1, sizeof *pool);
    microvm_error err;
    assert_ok(mv_vsock_pool_open(pool, &err), &err);
    return pool;
}

static void close_pool(struct mv_vsock_pool *pool)
{
    assert_int_equal(pool->reserved, 0);
    assert_int_equal(pool->used, 0);
    mv_vsock_pool_close(pool);
    test_free(pool);
}

/* All that all connections were promised can be there at the same time. */
static void promises_are_kept(void **state)
{
    struct mv_vsock_pool *pool = open_pool();
    struct mv_vsock_fifo *fifo = test_calloc(MV_VSOCK_SLOTS, sizeof *fifo);
    uint32_t credit[MV_VSOCK_SLOTS], before = UINT32_MAX;
    static uint8_t data[MV_VSOCK_CREDIT];
    (void)state;
    for (unsigned i = 0; i < MV_VSOCK_SLOTS; i++) {
        credit[i] = mv_vsock_fifo_open(pool, &fifo[i], false, MV_VSOCK_SLOTS - 1 - i);
        assert_in_range(credit[i], MV_VSOCK_CREDIT_LEAST, before);
        before = credit[i];
        mv_vsock_fifo_put(pool, &fifo[i], data, 1000); /* begins inside a chunk */
        mv_vsock_fifo_drop(pool, &fifo[i], 999);
    }
    assert_int_equal(credit[0], MV_VSOCK_CREDIT);
    assert_int_equal(credit[24], MV_VSOCK_CREDIT);
    for (unsigned i = 0; i < MV_VSOCK_SLOTS; i++)
        mv_vsock_fifo_put(pool, &fifo[i], data, credit[i] - 1);
    assert_true(pool->used <= MV_VSOCK_CHUNKS);
    for (unsigned i = 0; i < MV_VSOCK_SLOTS; i++) {
        assert_int_equal(fifo[i].bytes, credit[i]);
        mv_vsock_fifo_close(pool, &fifo[i]);
    }
    assert_int_equal(pool->touched, 0); /* given back to the system */
    test_free(fifo);
    close_pool(pool);
}

struct model {
    uint8_t bytes[MV_VSOCK_CREDIT];
    size_t length;
};

static void check_bytes(const struct mv_vsock_pool *pool,
                        const struct mv_vsock_fifo *fifo, const struct model *m)
{
    struct mv_span span[MV_VSOCK_CREDIT / MV_VSOCK_CHUNK + 1];
    unsigned n = mv_vsock_fifo_spans(pool, fifo, fifo->bytes, span, MV_ARRAY_LEN(span));
    size_t at = 0;
    for (unsigned i = 0; i < n; i++) {
        assert_true(span[i].length > 0 && at + span[i].length <= m->length);
        assert_memory_equal(span[i].base, m->bytes + at, span[i].length);
        at += span[i].length;
    }
    assert_int_equal(at, m->length);
    assert_int_equal(fifo->bytes, m->length);
}

static void bytes_stay_in_order(void **state)
{
    enum { FIFOS = 3, STEPS = 3000 };
    struct mv_vsock_pool *pool = open_pool();
    struct model *m = test_calloc(FIFOS, sizeof *m);
    struct mv_vsock_fifo fifo[FIFOS];
    static uint8_t data[3 * MV_VSOCK_CHUNK];
    uint32_t seed = 1;
    (void)state;
    for (unsigned i = 0; i < FIFOS; i++)
        (void)mv_vsock_fifo_open(pool, &fifo[i], false, MV_VSOCK_SLOTS - 1 - i);
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = next_random(&seed) % FIFOS;
        size_t n = next_random(&seed) % (step % 3 ? 300 : sizeof data);
        if (next_random(&seed) % 2) {
            n = MV_MIN(n, sizeof m->bytes - m[i].length);
            for (size_t k = 0; k < n; k++)
                data[k] = (uint8_t)next_random(&seed);
            mv_vsock_fifo_put(pool, &fifo[i], data, n);
            memcpy(m[i].bytes + m[i].length, data, n);
            m[i].length += n;
        } else {
            n = MV_MIN(n, m[i].length);
            mv_vsock_fifo_drop(pool, &fifo[i], n);
            memmove(m[i].bytes, m[i].bytes + n, m[i].length - n);
            m[i].length -= n;
        }
        check_bytes(pool, &fifo[i], &m[i]);
    }
    for (unsigned i = 0; i < FIFOS; i++)
        mv_vsock_fifo_close(pool, &fifo[i]);
    test_free(m);
    close_pool(pool);
}

/* Messages of all lengths, put in pieces, come out one by one as they went in; what has
 * not ended does not come out. */
static void messages_stay_apart(void **state)
{
    enum { STEPS = 20000, MESSAGES = 1 << 16 };
    struct mv_vsock_pool *pool = open_pool();
    struct model *m = test_calloc(1, sizeof *m);
    uint32_t *length = test_calloc(MESSAGES, sizeof *length);
    static uint8_t data[5000];
    struct mv_vsock_fifo fifo;
    uint32_t seed = 7, begun = 0, first = 0, next = 0;
    (void)state;
    uint32_t credit = mv_vsock_fifo_open(pool, &fifo, true, MV_VSOCK_SLOTS - 1);
    assert_int_equal(credit, MV_VSOCK_MESSAGE);
    for (unsigned step = 0; step < STEPS; step++) {
        size_t n = next_random(&seed) % (step % 5 ? 3 : sizeof data);
        n = MV_MIN(n, credit - m->length);
        for (size_t k = 0; k < n; k++)
            data[k] = (uint8_t)next_random(&seed);
        mv_vsock_fifo_put(pool, &fifo, data, n);
        memcpy(m->bytes + m->length, data, n);
        m->length += n;
        begun += (uint32_t)n;
        assert_int_equal(fifo.begun, begun);
        if (next_random(&seed) % 3 == 0 || m->length == credit) {
            mv_vsock_fifo_end(pool, &fifo);
            if (begun)
                length[next++ % MESSAGES] = begun;
            begun = 0;
        }
        check_bytes(pool, &fifo, m);
        uint32_t one = first == next ? 0 : length[first % MESSAGES];
        assert_int_equal(mv_vsock_fifo_first(pool, &fifo), one);
        if (one && (next_random(&seed) % 4 == 0 || m->length > credit / 2)) {
            mv_vsock_fifo_drop(pool, &fifo, one);
            memmove(m->bytes, m->bytes + one, m->length - one);
            m->length -= one;
            first++;
        }
    }
    assert_true(next > STEPS / 8);
    mv_vsock_fifo_close(pool, &fifo);
    test_free(length);
    test_free(m);
    close_pool(pool);
}

/* A message of one byte needs no more than its byte: all of the credit is there. */
static void bytes_are_messages(void **state)
{
    struct mv_vsock_pool *pool = open_pool();
    struct mv_vsock_fifo fifo;
    (void)state;
    uint32_t credit = mv_vsock_fifo_open(pool, &fifo, true, MV_VSOCK_SLOTS - 1);
    for (uint32_t i = 0; i < credit; i++) {
        mv_vsock_fifo_put(pool, &fifo, "x", 1);
        mv_vsock_fifo_end(pool, &fifo);
        mv_vsock_fifo_end(pool, &fifo); /* of nothing */
    }
    assert_true(pool->used <= fifo.reserved);
    for (uint32_t i = 0; i < credit; i++) {
        assert_int_equal(mv_vsock_fifo_first(pool, &fifo), 1);
        mv_vsock_fifo_drop(pool, &fifo, 1);
    }
    assert_int_equal(mv_vsock_fifo_first(pool, &fifo), 0);
    mv_vsock_fifo_put(pool, &fifo, "half", 4);
    mv_vsock_fifo_drop(pool, &fifo, 4); /* with its connection */
    assert_int_equal(mv_vsock_fifo_first(pool, &fifo), 0);
    assert_int_equal(fifo.begun, 0);
    mv_vsock_fifo_close(pool, &fifo);
    close_pool(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(promises_are_kept),
        cmocka_unit_test(bytes_stay_in_order),
        cmocka_unit_test(messages_stay_apart),
        cmocka_unit_test(bytes_are_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
