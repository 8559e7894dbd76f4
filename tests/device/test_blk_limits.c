/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device under a limit, and what its queues get of that and of its places
 * when all want more; on both backings.
 */
#include "blk.h"

#include "util/bytes.h"
#include "virtio/blk.h"

#define MS 1000000ull

static void too_busy(struct blkrig *b)
{
    blk_finish(b);
    print_message("not judged: this host is too busy\n");
    skip();
}

/* Reads of `length` bytes, `depth` under way, each in its first descriptor's slot, for
 * about `ms`: how many were done, and in what time. */
static unsigned read_for(struct blkrig *b, unsigned depth, uint32_t length, uint64_t ms,
                         double *seconds)
{
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    uint64_t start = uv_hrtime(), end = start + ms * MS;
    unsigned done = 0;
    uint16_t head;
    uint32_t written;
    while (uv_hrtime() < end) {
        while (vdriver_reap(vq, &head, &written))
            done++;
        while (vq->free > vq->size - 3 * depth)
            (void)blkrig_add(b, vq->free_head, BLK_IN, 0, length);
        vdriver_kick(&b->rig.driver, 0);
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
    }
    *seconds = (double)(uv_hrtime() - start) / 1e9;
    return done;
}

static void set_limit(struct blkrig *b, uint64_t bytes, uint64_t ops, uint32_t burst_ms)
{
    const struct mv_limit_rates rates = {bytes, ops, burst_ms};
    mv_blk_set_limit(b->rig.dev, &rates);
    mv_loop_turn(&b->rig.loop);
}

/* From a moment at which the bucket is empty no more goes than the rate times the time,
 * the request that is let go on credit, and those already under way. Within a tenth of
 * that: on a busy host in one of some tries. False: it is too busy to empty the bucket.
 */
static bool keeps_rate(struct blkrig *b, uint32_t length, double rate)
{
    enum { DEPTH = 4, TRIES = 10 };
    const struct mv_limit *limit = &blk_of(b->rig.dev)->limit;
    double seconds, best = 0;
    for (unsigned i = 0; i < TRIES && best < 0.9; i++) {
        for (unsigned k = 0; !mv_limit_wait_ns(limit, uv_hrtime()); k++) {
            if (k == 200)
                return false;
            (void)read_for(b, DEPTH, length, 20, &seconds);
        }
        unsigned done = read_for(b, DEPTH, length, 500, &seconds);
        assert_true(done <= rate * seconds + 1 + (double)DEPTH);
        best = MV_MAX(best, done / (rate * seconds));
    }
    if (best < 0.9)
        fail_msg("%g of the rate", best);
    return true;
}

static void keeps_the_limit(void **state)
{
    struct blkrig *b = blk_start_queues(state, 1);
    double seconds;
    set_limit(b, 0, 500, 200);
    bool judged = keeps_rate(b, 4096, 500);
    set_limit(b, 4 << 20, 100000, 200);
    judged = keeps_rate(b, 16384, 256) && judged;
    set_limit(b, 0, 0, 0); /* changed while requests wait */
    unsigned done = read_for(b, 4, 4096, 300, &seconds);
    if (!judged || done <= 1000 * seconds)
        too_busy(b);
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
}

static void a_burst_goes_at_once(void **state)
{
    struct blkrig *b = blk_start_queues(state, 1);
    set_limit(b, 0, 100, 1000);
    uint64_t start = uv_hrtime();
    for (unsigned i = 0; i < 101; i++)
        assert_int_equal(blkrig_do(b, BLK_IN, i, 512, NULL), BLK_OK);
    if (uv_hrtime() - start >= 500 * MS) /* 1 s at the rate alone */
        too_busy(b);
    for (unsigned i = 0; i < 70; i++)
        assert_int_equal(blkrig_do(b, BLK_IN, i, 512, NULL), BLK_OK);
    /* 171 with a burst of 100, and one on credit, are paid for in 700 ms. */
    assert_true(uv_hrtime() - start >= 700 * MS);
    blk_finish(b);
}

/* What is zeroed by writing is charged for its length; what is freed is an operation.
 */
static void zeroes_are_charged(void **state)
{
    struct blkrig *b = blk_start_queues(state, 1);
    const struct mv_bucket *bytes = &blk_of(b->rig.dev)->limit.bytes;
    set_limit(b, IMAGE_BYTES, 0, 0);
    if (b->disk->can_discard) {
        blkrig_range(b, 0, 0, IMAGE_SECTORS, 0);
        assert_int_equal(blkrig_do(b, BLK_DISCARD, 0, 16, NULL), BLK_OK);
        blkrig_range(b, 0, 0, IMAGE_SECTORS, 1);
        assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
        assert_true(bytes->paid_ns <= uv_hrtime());
    }
    uint64_t start = uv_hrtime();
    blkrig_range(b, 0, 0, IMAGE_SECTORS, 0);
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
    assert_true(bytes->paid_ns >= start + 1000 * MS);
    check_file(b, 0, IMAGE_SECTORS, 0);
    blk_finish(b);
}

struct obstacle {
    uv_sem_t entered, go;
};

static void stand_in_the_way(void *arg)
{
    struct obstacle *o = arg;
    uv_sem_post(&o->entered);
    uv_sem_wait(&o->go);
}

static void nothing(void *arg)
{
    (void)arg;
}

/* The device's thread may be in a write: who sets a limit does not wait for it, the
 * last one counts, and one that is under way when the device is closed is forgotten. */
static void setting_a_limit_waits_for_nobody(void **state)
{
    struct mv_disk_config config = {.read_only = true}; /* and so it may be shared */
    struct blkrig *b = blk_start(state, ~0ull, config);
    const struct mv_limit_rates first = {1000, 0, 0}, second = {2000, 0, 0};
    struct mv_vdev_host host = b->rig.host;
    struct mv_loop loop;
    struct mv_disk *disk[2];
    struct mv_vdev *dev[2];
    struct obstacle o;
    struct mv_call call = {.fn = stand_in_the_way, .arg = &o};
    assert_int_equal(uv_sem_init(&o.entered, 0) | uv_sem_init(&o.go, 0), 0);
    assert_int_equal(mv_loop_open(&loop, NULL), 0);
    host.loop = &loop;
    config.path = b->path;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(mv_disk_open_by(b->make, &config, &loop, &disk[i], NULL), 0);
        assert_int_equal(mv_blk_open(&host, disk[i], "vda", 1, &dev[i], NULL), 0);
    }
    mv_blk_set_limit(dev[1], &first);
    mv_vdev_close(dev[1]);
    assert_int_equal(mv_loop_start(&loop, "test", NULL), 0);
    mv_loop_post(&loop, &call);
    uv_sem_wait(&o.entered);
    mv_blk_set_limit(dev[0], &first);
    mv_blk_set_limit(dev[0], &second);
    assert_int_equal(blk_of(dev[0])->limit.bytes.rate, 0);
    uv_sem_post(&o.go);
    mv_loop_run(&loop, nothing, NULL);
    assert_int_equal(blk_of(dev[0])->limit.bytes.rate, 2000);
    mv_vdev_close(dev[0]);
    mv_loop_close(&loop);
    uv_sem_destroy(&o.entered);
    uv_sem_destroy(&o.go);
    blk_finish(b);
}

/* -- fair shares -- */

enum { RIVALS = 3 };

/* Keeps `depth` requests in each of the queues until `total` are done. Queue 0 is rung
 * all the time, whether the device asks for it or not: being loud gains nothing. True
 * if each queue had its share. */
static bool shares(struct blkrig *b, unsigned depth, unsigned pages, unsigned total)
{
    unsigned done[RIVALS] = {0}, under_way[RIVALS] = {0}, sum = 0;
    bool fair = true;
    uint64_t heap = b->rig.driver.heap.at;
    uint16_t head;
    uint32_t written;
    while (sum < total) {
        for (unsigned q = 0; q < RIVALS; q++) {
            for (; vdriver_reap(&b->rig.driver.queue[q], &head, &written); sum++) {
                done[q]++;
                under_way[q]--;
            }
            for (; under_way[q] < depth; under_way[q]++) {
                b->rig.driver.heap.at = heap; /* all are the same: none may be a read */
                blk_add_pages(b, q, 0, BLK_OUT, pages, 512);
            }
            vdriver_kick(&b->rig.driver, q);
        }
        mv_vdev_notify(b->rig.dev, 0);
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
    }
    for (unsigned q = 0; q < RIVALS; q++) {
        print_message("queue %u was served %u times of %u\n", q, done[q], sum);
        fair = fair && done[q] >= sum / (RIVALS + 1);
    }
    return fair;
}

static void queues_share_the_limit(void **state)
{
    bool fair = false;
    /* What a busy host's pause has left in the bucket is for whoever comes first. */
    for (unsigned tries = 0; !fair && tries < 5; tries++) {
        struct blkrig *b = blk_start_queues(state, RIVALS);
        set_limit(b, 0, 500, 10);
        fair = shares(b, 16, 1, 500);
        blk_finish(b);
    }
    assert_true(fair);
}

/* Any one of the queues could use all tables, and there is never one left. */
static void queues_share_the_stock(void **state)
{
    struct blkrig *b = blk_start_queues(state, RIVALS);
    assert_true(shares(b, BLK_TABLES + 16, BLK_SPANS + 1, 30000));
    blk_finish(b);
}

/* A request that would wait for hours does not keep stop, and is there afterwards. */
static void stop_does_not_wait_for_the_limit(void **state)
{
    struct blkrig *b = blk_start_queues(state, 1);
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
    assert_false(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    assert_int_equal(blkrig_do(b, BLK_IN, 0, 512, NULL), BLK_OK); /* rings are heard */
    vdriver_reset(&b->rig.driver);
    assert_false(uv_is_active((uv_handle_t *)&b->rig.dev->timer));
    blk_finish(b);
}

/* With a limit and nothing to do there is no timer. */
static void an_idle_limit_wakes_nobody(void **state)
{
    struct blkrig *b = blk_start_queues(state, 1);
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
        BOTH(keeps_the_limit),
        BOTH(a_burst_goes_at_once),
        BOTH(zeroes_are_charged),
        BOTH(setting_a_limit_waits_for_nobody),
        BOTH(queues_share_the_limit),
        BOTH(queues_share_the_stock),
        BOTH(stop_does_not_wait_for_the_limit),
        BOTH(an_idle_limit_wakes_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
