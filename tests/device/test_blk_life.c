/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device under load, and what happens to requests in flight when it is reset,
 * put to sleep, or loses its file; on both backings.
 */
#include "blk.h"

#include "util/bytes.h"

#include <stdlib.h>

/* -- many requests -- */

static uint32_t random_next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

enum { REGION_SECTORS = BLKRIG_DATA_BYTES / 512 };

struct pending {
    uint32_t type, length;
    uint64_t sector;
};

/* Each slot keeps to a region of its own, so that the order does not matter. */
static struct pending random_add(struct blkrig *b, unsigned slot, uint32_t *seed,
                                 uint8_t *shadow)
{
    uint32_t dice = random_next(seed) % 16;
    unsigned first = random_next(seed) % REGION_SECTORS;
    unsigned sectors = 1 + random_next(seed) % (REGION_SECTORS - first);
    struct pending p = {dice < 7 ? BLK_IN : BLK_OUT, sectors * 512,
                        slot * REGION_SECTORS + first};
    uint8_t *data = blkrig_data(b, slot);
    if (dice == 15) {
        p.type = BLK_FLUSH;
        p.length = 0;
    } else if (dice == 14) {
        p.type = BLK_ZEROES;
        p.length = 16;
        mv_store64(data, p.sector);
        mv_store32(data + 8, sectors);
        mv_store32(data + 12, random_next(seed) & 1);
        memset(shadow + p.sector * 512, 0, (size_t)sectors * 512);
    } else if (p.type == BLK_OUT) {
        for (uint32_t i = 0; i < p.length; i += 4)
            mv_store32(data + i, random_next(seed));
        memcpy(shadow + p.sector * 512, data, p.length);
    } else {
        memset(data, 0, p.length);
    }
    (void)blkrig_add(b, slot, p.type, p.sector, p.length);
    return p;
}

static void random_check(struct blkrig *b, unsigned slot, const struct pending *p,
                         const uint8_t *shadow)
{
    assert_int_equal(blkrig_status(b, slot), BLK_OK);
    if (p->type == BLK_IN)
        assert_memory_equal(blkrig_data(b, slot), shadow + p->sector * 512, p->length);
}

static void random_requests(void **state, struct mv_disk_config config)
{
    enum { REQUESTS = 10000, BATCH = IMAGE_SECTORS / REGION_SECTORS };
    struct blkrig *b = blk_start(state, ~0ull, config);
    struct mv_file file = MV_FILE_CLOSED;
    struct pending pending[BATCH];
    uint8_t *shadow = malloc(IMAGE_BYTES), *image = malloc(IMAGE_BYTES);
    uint32_t seed = 0x2545f491;
    microvm_error err;
    assert_true(shadow && image);
    assert_ok(mv_file_open(&file, "image", b->path, 0, &err), &err);
    assert_int_equal(mv_file_read(&file, 0, shadow, IMAGE_BYTES), IMAGE_BYTES);
    for (unsigned done = 0; done < REQUESTS;) {
        unsigned batch = 1 + random_next(&seed) % BATCH;
        for (unsigned i = 0; i < batch; i++)
            pending[i] = random_add(b, i, &seed, shadow);
        vdriver_kick(&b->rig.driver, 0);
        for (unsigned i = 0; i < batch; i++)
            (void)blkrig_wait(b, NULL);
        for (unsigned i = 0; i < batch; i++)
            random_check(b, i, &pending[i], shadow);
        done += batch;
    }
    assert_int_equal(mv_file_read(&file, 0, image, IMAGE_BYTES), IMAGE_BYTES);
    assert_memory_equal(image, shadow, IMAGE_BYTES);
    mv_file_close(&file);
    free(shadow);
    free(image);
    blk_finish(b);
}

static void random_requests_match_a_shadow(void **state)
{
    random_requests(state, (struct mv_disk_config){0});
}

static void direct_requests_match_a_shadow(void **state)
{
    random_requests(state, (struct mv_disk_config){.direct = true});
}

/* As many requests as the queue holds, each one descriptor of the queue. */
static void a_full_queue_comes_back(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    for (unsigned round = 0; round < 3; round++) {
        unsigned n = vq->free;
        assert_int_equal(n, 512);
        for (unsigned i = 0; i < n; i++) {
            uint64_t at = 0x40000 + 32 * i;
            uint8_t *header = vrig_at(&b->rig, at, 17);
            mv_store32(header, BLK_IN);
            mv_store64(header + 8, i);
            header[16] = BLK_UNTOUCHED;
            const struct vdriver_buffer buffer[] = {
                {at, 16, false}, {0x100000 + 512 * i, 512, true}, {at + 16, 1, true}};
            (void)vdriver_add_indirect(vq, &b->rig.driver.heap, buffer, 3);
        }
        vdriver_kick(&b->rig.driver, 0);
        for (unsigned i = 0; i < n; i++)
            (void)blkrig_wait(b, NULL);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(*vrig_at(&b->rig, 0x40000 + 32 * i + 16, 1), BLK_OK);
            assert_int_equal(*vrig_at(&b->rig, 0x100000 + 512 * i, 1), sector_value(i));
        }
    }
    blk_finish(b);
}

/* -- life -- */

static void start_reads(struct blkrig *b, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        memset(blkrig_data(b, i), 0, BLKRIG_DATA_BYTES);
        (void)blkrig_add(b, i, BLK_IN, 8 * i, BLKRIG_DATA_BYTES);
    }
    vdriver_kick(&b->rig.driver, 0);
}

/* After a reset nothing writes to the memory of requests that were in flight. */
static void a_reset_ends_what_is_in_flight(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    for (unsigned round = 0; round < 50; round++) {
        start_reads(b, 60);
        if (round % 2)
            mv_loop_turn(&b->rig.loop);
        vdriver_reset(&b->rig.driver);
        uint8_t *data = blkrig_data(b, 0);
        memset(data, 0x99, 60 * BLKRIG_DATA_BYTES);
        vrig_turn(&b->rig);
        for (size_t i = 0; i < 60 * BLKRIG_DATA_BYTES; i++)
            assert_int_equal(data[i], 0x99);
        b->rig.driver.heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_start(&b->rig.driver, ~0ull));
    }
    assert_int_equal(blkrig_do(b, BLK_IN, 3, 512, NULL), BLK_OK);
    blk_finish(b);
}

/* Put to sleep with requests in flight, saved, loaded into a new device, woken up: each
 * request is answered exactly once. */
static void survives_save_and_load(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    struct mv_writer w;
    microvm_error err;
    start_reads(b, 20);
    mv_loop_turn(&b->rig.loop);
    mv_vdev_sleep(b->rig.dev);
    for (unsigned i = 20; i < 30; i++) /* nobody hears these yet */
        (void)blkrig_add(b, i, BLK_IN, 8 * i, 4096);
    vdriver_kick(&b->rig.driver, 0);
    mv_writer_open(&w, 1 << 16);
    mv_vdev_save(b->rig.dev, &w);
    assert_false(w.failed);
    struct vdriver driver = b->rig.driver;
    vrig_detach(&b->rig);
    vrig_turn(&b->rig);

    assert_ok(blkrig_open_device(b, &err), &err);
    struct mv_reader r = {w.data, w.length, 0, false};
    assert_ok(mv_vdev_load(b->rig.dev, &r, &err), &err);
    assert_true(mv_reader_done(&r));
    mv_writer_close(&w);
    driver.chip = b->rig.driver.chip;
    b->rig.driver = driver;
    mv_vdev_wake(b->rig.dev);
    for (unsigned i = 0; i < 30; i++)
        (void)blkrig_wait(b, NULL);
    for (unsigned i = 0; i < 30; i++) {
        assert_int_equal(blkrig_status(b, i), BLK_OK);
        assert_int_equal(*blkrig_data(b, i), sector_value(8 * i));
    }
    assert_int_equal(b->rig.driver.queue[0].free, 512);
    assert_int_equal(blkrig_do(b, BLK_IN, 3, 512, NULL), BLK_OK);
    blk_finish(b);
}

/* -- the host's trouble -- */

static void a_shortened_image_is_an_error(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    scratch_truncate(b->path, 4096 + 512);
    assert_int_equal(blkrig_do(b, BLK_IN, 8, 512, NULL), BLK_OK);
    assert_int_equal(blkrig_do(b, BLK_IN, 8, 1024, NULL), BLK_IOERR); /* the edge */
    assert_int_equal(blkrig_do(b, BLK_IN, 9, 512, NULL), BLK_IOERR);
    assert_int_equal(blkrig_do(b, BLK_IN, IMAGE_SECTORS - 64, 32768, NULL), BLK_IOERR);
    assert_int_equal(blkrig_do(b, BLK_IN, 0, 4096, NULL), BLK_OK);
    assert_int_equal(blkrig_do(b, BLK_OUT, 16, 512, NULL), BLK_OK); /* grows again */
    assert_int_equal(blkrig_do(b, BLK_IN, 9, 512, NULL), BLK_OK);
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
}

/* A sparse image on a file system that is full. */
static void no_space_is_an_error(void **state)
{
    if (!scratch_small_begin(256 << 10)) {
        print_message("not run: a small file system cannot be mounted here\n");
        skip();
    }
    struct blkrig *b = blk_start_empty(state);
    unsigned failed = 0;
    memset(blkrig_data(b, 0), 0x33, BLKRIG_DATA_BYTES);
    for (uint64_t sector = 0; sector < IMAGE_SECTORS; sector += 64) {
        uint8_t status = blkrig_do(b, BLK_OUT, sector, BLKRIG_DATA_BYTES, NULL);
        if (status == BLK_IOERR)
            failed++;
        else
            assert_int_equal(status, BLK_OK);
    }
    assert_true(failed > 0 && failed < IMAGE_SECTORS / 64);
    if (b->rig.driver.features & BLK_FEATURE_DISCARD) {
        blkrig_range(b, 0, 0, IMAGE_SECTORS / 2, 0); /* the guest makes room */
        assert_int_equal(blkrig_do(b, BLK_DISCARD, 0, 16, NULL), BLK_OK);
        assert_int_equal(blkrig_do(b, BLK_OUT, 0, BLKRIG_DATA_BYTES, NULL), BLK_OK);
    }
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
    scratch_small_end();
}

/* The guest would go on with the old capacity. */
static void a_disk_of_another_size_is_refused(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    struct mv_writer w;
    microvm_error err;
    mv_vdev_sleep(b->rig.dev);
    mv_writer_open(&w, 1 << 16);
    mv_vdev_save(b->rig.dev, &w);
    assert_false(w.failed);
    vrig_detach(&b->rig);
    vrig_turn(&b->rig);
    scratch_truncate(b->path, 2 * IMAGE_BYTES);
    assert_ok(blkrig_open_device(b, &err), &err);
    struct mv_reader r = {w.data, w.length, 0, false};
    assert_error(mv_vdev_load(b->rig.dev, &r, &err), &err, MICROVM_E_DEVICE,
                 "vda: the saved device had other settings");
    mv_writer_close(&w);
    blk_finish(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(random_requests_match_a_shadow), BOTH(direct_requests_match_a_shadow),
        BOTH(a_full_queue_comes_back),        BOTH(a_reset_ends_what_is_in_flight),
        BOTH(survives_save_and_load),         BOTH(a_disk_of_another_size_is_refused),
        BOTH(a_shortened_image_is_an_error),  BOTH(no_space_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
