/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device with several queues, with requests as large as it takes them, and
 * with more of either than it has places for; on both backings.
 */
#include "blk.h"

#include "util/bytes.h"
#include "virtio/blk.h"

static uint16_t wait_queue(struct blkrig *b, unsigned q)
{
    uint16_t head;
    uint32_t written;
    while (!vdriver_reap(&b->rig.driver.queue[q], &head, &written))
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
    return head;
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
    struct blkrig *b = blk_start_queues(state, 4);
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
    struct blkrig *b = blk_start_queues(state, 4);
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
    struct blkrig *b = blk_start_queues(state, 1);
    uint32_t seg_max = vdriver_read(&b->rig.driver, VREG_CONFIG + 12);
    assert_int_equal(seg_max, BLK_SEG_MAX);
    assert_true(seg_max * 4096ull >= MV_KIB(1280)); /* Linux's largest request */
    blk_add_pages(b, 0, 0, BLK_IN, seg_max, 1024);
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
    blk_add_pages(b, 0, 0, BLK_OUT, seg_max, 1024);
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
    struct blkrig *b = blk_start_queues(state, 2);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t heap = b->rig.driver.heap.at;
        for (unsigned i = 0; i < 2 * EACH; i++)
            blk_add_pages(b, i % 2, i, BLK_IN, BLK_SPANS + 1, 512);
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
    struct blkrig *b = blk_start_queues(state, QUEUES);
    unsigned n = b->rig.driver.queue[0].free;
    assert_true(n * QUEUES > BLK_REQUESTS);
    for (unsigned i = 0; i < n * QUEUES; i++)
        blk_add_pages(b, i % QUEUES, i, BLK_IN, 1, 512);
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
    struct blkrig *b = blk_start_queues(state, QUEUES);
    unsigned n = b->rig.driver.queue[0].free;
    for (unsigned i = 0; i < n * QUEUES; i++)
        blk_add_pages(b, i % QUEUES, i, BLK_IN, 1, 512);
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
