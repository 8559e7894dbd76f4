/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device with several queues, with requests as large as it takes them, with
 * more of either than it has places for, and under a limit; on both backings.
 */
#include "blk.h"

#include "util/bytes.h"
#include "virtio/blk.h"

#define MS 1000000ull

/* A device with `queues` queues; a disk of the scratch file's, at work. */
static struct blkrig *open_queues(void **state, unsigned queues)
{
    struct mv_disk_config config = {0};
    struct blkrig *b = blk_start(state, ~0ull, config);
    microvm_error err;
    vrig_detach(&b->rig);
    vrig_turn(&b->rig);
    b->queues = queues;
    assert_ok(blkrig_open_device(b, &err), &err);
    assert_true(vdriver_start(&b->rig.driver, ~0ull));
    return b;
}

static uint16_t wait_queue(struct blkrig *b, unsigned q)
{
    uint16_t head;
    uint32_t written;
    while (!vdriver_reap(&b->rig.driver.queue[q], &head, &written))
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
    return head;
}

/* Request `i`, of many single pages in every second place of guest memory, so that no
 * two of them become one span; each request has its own. */
static void add_pages(struct blkrig *b, unsigned q, unsigned i, uint32_t type,
                      unsigned pages, uint32_t page_bytes)
{
    uint64_t at = 0x20000 + 32ull * i, data = 0x100000 + 2ull * page_bytes * pages * i;
    static struct vdriver_buffer buffer[BLK_QUEUE_SIZE];
    uint8_t *header = vrig_at(&b->rig, at, 17);
    mv_store32(header, type);
    mv_store64(header + 8, 0);
    header[16] = BLK_UNTOUCHED;
    buffer[0] = (struct vdriver_buffer){at, 16, false};
    for (unsigned k = 0; k < pages; k++)
        buffer[1 + k] = (struct vdriver_buffer){data + 2ull * page_bytes * k,
                                                page_bytes, type == BLK_IN};
    buffer[1 + pages] = (struct vdriver_buffer){at + 16, 1, true};
    (void)vdriver_add_indirect(&b->rig.driver.queue[q], &b->rig.driver.heap, buffer,
                               pages + 2);
}

/* -- several queues -- */

static void tells_how_many_queues(void **state)
{
    static const unsigned asked[] = {0, 1, 4, 8, 9, 64}, given[] = {1, 1, 4, 8, 8, 8};
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(asked); i++) {
        struct vrig rig;
        struct mv_disk *disk;
        struct mv_vdev *dev;
        char path[SCRATCH_PATH];
        const struct mv_disk_config config = {.path = path};
        microvm_error err;
        vrig_open(&rig);
        scratch_sparse(path, 1 << 20);
        assert_ok(mv_disk_open(&config, &rig.loop, &rig.log, &disk, &err), &err);
        assert_ok(mv_blk_open(&rig.host, disk, "vda", asked[i], &dev, &err), &err);
        assert_int_equal(dev->queues, given[i]);
        assert_int_equal(mv_load16(dev->config + 34), given[i] > 1 ? given[i] : 0);
        assert_int_equal((dev->features & BLK_F_MQ) != 0, given[i] > 1);
        vrig_attach(&rig, dev);
        vrig_close(&rig);
        scratch_remove(path);
    }
}

/* Each answer comes back in the queue that its request was put into. */
static void queues_keep_apart(void **state)
{
    struct blkrig *b = open_queues(state, 4);
    assert_int_equal(b->rig.driver.queues, 4);
    for (unsigned round = 0; round < 200; round++) {
        uint16_t head[4][8];
        unsigned n = 1 + round % 8;
        for (unsigned i = 0; i < 4 * n; i++)
            head[i % 4][i / 4] =
                blkrig_add_to(b, i % 4, i, BLK_IN, (i * 7 + round) % 1000, 512);
        for (unsigned q = 0; q < 4; q++)
            vdriver_kick(&b->rig.driver, (q + round) % 4);
        for (unsigned q = 0; q < 4; q++) {
            unsigned sum = 0, want = 0;
            for (unsigned i = 0; i < n; i++) {
                want += head[q][i];
                sum += wait_queue(b, q);
            }
            assert_int_equal(sum, want);
        }
        for (unsigned i = 0; i < 4 * n; i++) {
            assert_int_equal(blkrig_status(b, i), BLK_OK);
            assert_int_equal(*blkrig_data(b, i), sector_value((i * 7 + round) % 1000));
        }
    }
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
}

/* A driver that uses only some of the queues, 5.2.5. */
static void a_queue_may_be_left_out(void **state)
{
    struct blkrig *b = open_queues(state, 4);
    assert_true(vdriver_negotiate(&b->rig.driver, ~0ull));
    vdriver_setup_queue(&b->rig.driver, 2, 64);
    vdriver_write(&b->rig.driver, VREG_STATUS, 15);
    vdriver_write(&b->rig.driver, VREG_QUEUE_NOTIFY, 0);
    (void)blkrig_add_to(b, 2, 0, BLK_IN, 9, 512);
    vdriver_kick(&b->rig.driver, 2);
    (void)wait_queue(b, 2);
    assert_int_equal(*blkrig_data(b, 0), sector_value(9));
    blk_finish(b);
}

/* -- large requests -- */

static void one_request_carries_two_mebibytes(void **state)
{
    struct blkrig *b = open_queues(state, 1);
    uint32_t seg_max = vdriver_read(&b->rig.driver, VREG_CONFIG + 12);
    assert_int_equal(seg_max, BLK_SEG_MAX);
    assert_true(seg_max * 4096ull >= MV_KIB(1280)); /* Linux's largest request */
    add_pages(b, 0, 0, BLK_IN, seg_max, 1024);
    vdriver_kick(&b->rig.driver, 0);
    (void)wait_queue(b, 0);
    assert_int_equal(*vrig_at(&b->rig, 0x20010, 1), BLK_OK);
    assert_int_equal(b->disk->requests, 1);
    for (unsigned i = 0; i < seg_max; i++) {
        assert_int_equal(*vrig_at(&b->rig, 0x100000 + 2048 * i, 1),
                         sector_value(2 * i));
        assert_int_equal(*vrig_at(&b->rig, 0x100000 + 2048 * i + 1023, 1),
                         sector_value(2 * i + 1));
    }
    memset(vrig_at(&b->rig, 0x100000, 1 << 20), 0xd1, 1 << 20);
    add_pages(b, 0, 0, BLK_OUT, seg_max, 1024);
    vdriver_kick(&b->rig.driver, 0);
    (void)wait_queue(b, 0);
    assert_int_equal(*vrig_at(&b->rig, 0x20010, 1), BLK_OK);
    check_file(b, 0, 2 * seg_max, 0xd1);
    check_file(b, 2 * seg_max, 1, -1);
    blk_finish(b);
}

/* More large requests than tables, in two queues: those that find none wait. */
static void large_requests_wait_for_a_table(void **state)
{
    enum { EACH = BLK_TABLES };
    struct blkrig *b = open_queues(state, 2);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t heap = b->rig.driver.heap.at;
        for (unsigned i = 0; i < 2 * EACH; i++)
            add_pages(b, i % 2, i, BLK_IN, BLK_SPANS + 1, 512);
        vdriver_kick(&b->rig.driver, 0);
        vdriver_kick(&b->rig.driver, 1);
        for (unsigned i = 0; i < 2 * EACH; i++)
            (void)wait_queue(b, i % 2);
        for (unsigned i = 0; i < 2 * EACH; i++)
            assert_int_equal(*vrig_at(&b->rig, 0x20010 + 32 * i, 1), BLK_OK);
        b->rig.driver.heap.at = heap;
    }
    assert_int_equal(b->disk->requests, 3 * 2 * EACH);
    blk_finish(b);
}

/* Full queues offer more than the stock holds. Every request is answered once. */
static void more_requests_than_places(void **state)
{
    enum { QUEUES = 3 };
    struct blkrig *b = open_queues(state, QUEUES);
    unsigned n = b->rig.driver.queue[0].free;
    assert_true(n * QUEUES > BLK_REQUESTS);
    for (unsigned i = 0; i < n * QUEUES; i++)
        add_pages(b, i % QUEUES, i, BLK_IN, 1, 512);
    for (unsigned q = 0; q < QUEUES; q++)
        vdriver_kick(&b->rig.driver, q);
    for (unsigned i = 0; i < n * QUEUES; i++)
        (void)wait_queue(b, i % QUEUES);
    for (unsigned i = 0; i < n * QUEUES; i++)
        assert_int_equal(*vrig_at(&b->rig, 0x20010 + 32 * i, 1), BLK_OK);
    assert_int_equal(b->disk->requests, n * QUEUES);
    vrig_turn(&b->rig);
    for (unsigned q = 0; q < QUEUES; q++)
        assert_int_equal(b->rig.driver.queue[q].free, n);
    blk_finish(b);
}

/* What waits for a place when the device stops stays in its queue, and is served when
 * it wakes up. */
static void what_waits_survives_a_sleep(void **state)
{
    enum { QUEUES = 3 };
    struct blkrig *b = open_queues(state, QUEUES);
    unsigned n = b->rig.driver.queue[0].free;
    for (unsigned i = 0; i < n * QUEUES; i++)
        add_pages(b, i % QUEUES, i, BLK_IN, 1, 512);
    for (unsigned q = 0; q < QUEUES; q++) {
        vdriver_kick(&b->rig.driver, q);
        mv_loop_turn(&b->rig.loop);
        mv_vdev_sleep(b->rig.dev);
        mv_vdev_wake(b->rig.dev);
    }
    for (unsigned i = 0; i < n * QUEUES; i++)
        (void)wait_queue(b, i % QUEUES);
    assert_int_equal(b->disk->requests, n * QUEUES);
    blk_finish(b);
}

/* -- limits -- */

/* Reads of `length` bytes, `depth` under way, for about `ms`; how many a second. */
static double read_for(struct blkrig *b, unsigned depth, uint32_t length, uint64_t ms)
{
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    uint64_t start = uv_hrtime(), end = start + ms * MS;
    unsigned done = 0;
    uint16_t head;
    uint32_t written;
    while (vq->free > vq->size - 3 * depth)
        (void)blkrig_add(b, vq->avail_at % 32, BLK_IN, 0, length);
    vdriver_kick(&b->rig.driver, 0);
    while (uv_hrtime() < end) {
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
        for (; vdriver_reap(vq, &head, &written); done++)
            (void)blkrig_add(b, vq->avail_at % 32, BLK_IN, 0, length);
        vdriver_kick(&b->rig.driver, 0);
    }
    return done * 1e9 / (double)(uv_hrtime() - start);
}

static void set_limit(struct blkrig *b, uint64_t bytes, uint64_t ops, uint32_t burst_ms)
{
    const struct mv_limit_rates rates = {bytes, ops, burst_ms};
    mv_blk_set_limit(b->rig.dev, &rates);
}

/* Within a tenth; on a busy host in one of some tries, and never above. */
static void check_rate(struct blkrig *b, uint32_t length, double rate)
{
    double got = 0;
    (void)read_for(b, 4, length, 300); /* the burst, and what was left of it */
    for (unsigned i = 0; i < 10 && got < 0.9 * rate; i++) {
        got = read_for(b, 4, length, 500);
        assert_true(got < 1.1 * rate + 2 * 0.2 * rate); /* it may be full again */
    }
    if (got < 0.9 * rate)
        fail_msg("%g a second instead of %g", got, rate);
}

static void keeps_the_limit(void **state)
{
    struct blkrig *b = open_queues(state, 1);
    set_limit(b, 0, 500, 200);
    check_rate(b, 4096, 500);
    set_limit(b, 4 << 20, 100000, 200);
    check_rate(b, 16384, 256);
    set_limit(b, 0, 0, 0); /* changed while requests wait */
    assert_true(read_for(b, 4, 4096, 300) > 1000);
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
}

static void a_burst_goes_at_once(void **state)
{
    struct blkrig *b = open_queues(state, 1);
    set_limit(b, 0, 100, 1000);
    uint64_t start = uv_hrtime();
    for (unsigned i = 0; i < 101; i++)
        assert_int_equal(blkrig_do(b, BLK_IN, i, 512, NULL), BLK_OK);
    bool at_once = uv_hrtime() - start < 500 * MS; /* 1 s at the rate alone */
    start = uv_hrtime();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(blkrig_do(b, BLK_IN, i, 512, NULL), BLK_OK);
    if (at_once)
        assert_true(uv_hrtime() - start > 100 * MS);
    else
        print_message("not judged: this host is too busy\n");
    blk_finish(b);
}

/* A request that would wait for hours does not keep stop, and is there afterwards. */
static void stop_does_not_wait_for_the_limit(void **state)
{
    struct blkrig *b = open_queues(state, 1);
    set_limit(b, 1, 0, 10);
    assert_int_equal(blkrig_do(b, BLK_IN, 0, 32768, NULL), BLK_OK); /* on credit */
    (void)blkrig_add(b, 1, BLK_IN, 5, 512);
    vdriver_kick(&b->rig.driver, 0);
    vrig_turn(&b->rig);
    assert_int_equal(b->disk->requests, 1);
    assert_true(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    uint64_t start = uv_hrtime();
    mv_vdev_sleep(b->rig.dev);
    assert_true(uv_hrtime() - start < 500 * MS);
    assert_false(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    mv_vdev_wake(b->rig.dev);
    assert_true(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    set_limit(b, 0, 0, 0);
    (void)blkrig_wait(b, NULL);
    assert_int_equal(*blkrig_data(b, 1), sector_value(5));
    vdriver_reset(&b->rig.driver);
    assert_false(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    blk_finish(b);
}

/* With a limit and nothing to do there is no timer. */
static void an_idle_limit_wakes_nobody(void **state)
{
    struct blkrig *b = open_queues(state, 1);
    set_limit(b, 1 << 20, 1000, 10);
    assert_int_equal(blkrig_do(b, BLK_IN, 0, 32768, NULL), BLK_OK);
    assert_int_equal(blkrig_do(b, BLK_IN, 0, 512, NULL), BLK_OK); /* waits 22 ms */
    vrig_turn(&b->rig);
    assert_false(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    blk_finish(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_how_many_queues),
        BOTH(queues_keep_apart),
        BOTH(a_queue_may_be_left_out),
        BOTH(one_request_carries_two_mebibytes),
        BOTH(large_requests_wait_for_a_table),
        BOTH(more_requests_than_places),
        BOTH(what_waits_survives_a_sleep),
        BOTH(keeps_the_limit),
        BOTH(a_burst_goes_at_once),
        BOTH(stop_does_not_wait_for_the_limit),
        BOTH(an_idle_limit_wakes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
