/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The block device's requests on both backings: every one, and every refusal.
 */
#include "blk.h"

#include "allocations.h"
#include "util/bytes.h"

static void reads_and_writes(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    uint32_t written;
    assert_int_equal(blkrig_do(b, BLK_IN, 7, 1024, &written), BLK_OK);
    assert_int_equal(written, 1025);
    assert_int_equal(blkrig_data(b, 0)[511], sector_value(7));
    assert_int_equal(blkrig_data(b, 0)[512], sector_value(8));
    memset(blkrig_data(b, 0), 0xfe, 8192);
    assert_int_equal(blkrig_do(b, BLK_OUT, 100, 8192, &written), BLK_OK);
    assert_int_equal(written, 1);
    assert_int_equal(blkrig_do(b, BLK_FLUSH, 0, 0, NULL), BLK_OK);
    check_file(b, 0, 100, -1);
    check_file(b, 100, 16, 0xfe);
    check_file(b, 116, IMAGE_SECTORS - 116, -1);
    assert_int_equal(blkrig_do(b, BLK_IN, IMAGE_SECTORS - 1, 512, NULL), BLK_OK);
    assert_int_equal(b->disk->read_bytes, 1536);
    assert_int_equal(b->disk->write_bytes, 8192);
    assert_true(b->disk->requests == 4);
    blk_finish(b);
}

/* 2.7.4.2: descriptors may cut a request anywhere. */
static void cuts_do_not_matter(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    uint8_t *p = vrig_at(&b->rig, 0x20000, 8192);
    const struct vdriver_buffer write[] = {{0x20000, 3, false},
                                           {0x20003, 14, false},
                                           {0x20011, 600, false},
                                           {0x20011 + 600, 423, false},
                                           {0x21000, 1, true}};
    mv_store32(p, BLK_OUT);
    mv_store32(p + 4, 0);
    mv_store64(p + 8, 20);
    memset(p + 16, 0xab, 1024);
    p[0x1000] = BLK_UNTOUCHED;
    (void)vdriver_add(vq, write, 5);
    vdriver_kick(&b->rig.driver, 0);
    (void)blkrig_wait(b, NULL);
    assert_int_equal(p[0x1000], BLK_OK);
    check_file(b, 20, 2, 0xab);
    check_file(b, 22, 1, -1);

    /* Data and status in one piece, and an odd place in memory. */
    const struct vdriver_buffer read[] = {
        {0x20000, 16, false}, {0x20101, 100, true}, {0x20301, 925, true}};
    mv_store32(p, BLK_IN);
    p[0x301 + 924] = BLK_UNTOUCHED;
    (void)vdriver_add_indirect(vq, &b->rig.driver.heap, read, 3);
    uint32_t written;
    vdriver_kick(&b->rig.driver, 0);
    (void)blkrig_wait(b, &written);
    assert_int_equal(written, 1025);
    assert_int_equal(p[0x301 + 924], BLK_OK);
    assert_int_equal(p[0x101], 0xab);
    assert_int_equal(p[0x301], 0xab);
    assert_int_equal(p[0x301 + 923], 0xab);
    blk_finish(b);
}

static void tells_its_id_and_shape(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    uint32_t written;
    memset(blkrig_data(b, 0), 0xff, 32);
    assert_int_equal(blkrig_do(b, BLK_GET_ID, 0, 20, &written), BLK_OK);
    assert_int_equal(written, 21);
    assert_memory_equal(blkrig_data(b, 0), "vda\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    assert_int_equal(blkrig_data(b, 0)[20], 0xff);
    assert_int_equal(blkrig_do(b, BLK_GET_ID, 0, 19, NULL), BLK_IOERR);
    assert_int_equal(vdriver_read(&b->rig.driver, VREG_DEVICE_ID), 2);
    assert_int_equal(vdriver_read(&b->rig.driver, VREG_CONFIG), IMAGE_SECTORS);
    assert_int_equal(vdriver_read(&b->rig.driver, VREG_CONFIG + 4), 0);
    assert_int_equal(vdriver_read(&b->rig.driver, VREG_CONFIG + 12), 510);
    assert_int_equal(vdriver_read(&b->rig.driver, VREG_CONFIG + 20), 512);
    blk_finish(b);
}

/* Without FLUSH each write is on stable storage when it is done, 5.2.6.2. */
static void writes_through_without_flush(void **state)
{
    struct blkrig *b = blk_start(state, ~BLK_FEATURE_FLUSH, (struct mv_disk_config){0});
    memset(blkrig_data(b, 0), 0x55, 512);
    assert_int_equal(blkrig_do(b, BLK_OUT, 3, 512, NULL), BLK_OK);
    assert_true(b->disk->requests == 2); /* the write and a flush */
    assert_int_equal(blkrig_do(b, BLK_IN, 3, 512, NULL), BLK_OK);
    assert_true(b->disk->requests == 3);
    blkrig_range(b, 0, 8, 8, 0);
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
    assert_true(b->disk->requests == 5);
    check_file(b, 3, 1, 0x55);
    check_file(b, 8, 8, 0);
    blk_finish(b);
}

static void zeroes_and_discards(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    blkrig_range(b, 0, 64, 65, 1);
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
    blkrig_range(b, 0, 201, 9, 0);
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
    check_file(b, 0, 64, -1);
    check_file(b, 64, 65, 0);
    check_file(b, 129, 72, -1);
    check_file(b, 201, 9, 0);
    check_file(b, 210, 100, -1);
    blkrig_range(b, 0, 0, 0, 0); /* of nothing */
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
    check_file(b, 0, 8, -1);
    if (b->rig.driver.features & BLK_FEATURE_DISCARD) {
        for (unsigned i = 0; i < 16; i++)
            blkrig_range(b, i, 1024 + 16 * i, i == 5 ? 0 : 8, 0);
        uint64_t before = b->disk->requests;
        assert_int_equal(blkrig_do(b, BLK_DISCARD, 0, 16 * 16, NULL), BLK_OK);
        assert_true(b->disk->requests - before == 15);
        check_file(b, 1016, 8, -1);
        check_file(b, 1032, 8, -1);
        check_file(b, 1024 + 16 * 5, 16, -1);
        check_file(b, 1280, 8, -1);
    }
    blk_finish(b);
}

static void refuses_ranges(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    const struct {
        uint32_t type, sectors, flags, length;
        uint64_t sector;
        uint8_t status;
    } cases[] = {
        {BLK_ZEROES, 8, 2, 16, 0, BLK_UNSUPP},
        {BLK_ZEROES, 8, 0x80000000, 16, 0, BLK_UNSUPP},
        {BLK_DISCARD, 8, 1, 16, 0, BLK_UNSUPP}, /* unmap is write zeroes' */
        {BLK_ZEROES, 8, 0, 16, IMAGE_SECTORS - 7, BLK_IOERR},
        {BLK_DISCARD, 8, 0, 16, UINT64_MAX - 3, BLK_IOERR},
        {BLK_DISCARD, UINT32_MAX, 0, 16, 0, BLK_IOERR},
        {BLK_ZEROES, 8, 0, 15, 0, BLK_IOERR},
        {BLK_ZEROES, 8, 0, 17, 0, BLK_IOERR},
        {BLK_ZEROES, 8, 0, 32, 0, BLK_IOERR}, /* more ranges than max_..._seg */
        {BLK_DISCARD, 8, 0, 17 * 16, 0, BLK_IOERR},
        {BLK_DISCARD, 8, 0, 0, 0, BLK_IOERR},
    };
    if (!(b->rig.driver.features & BLK_FEATURE_DISCARD))
        print_message("discards not looked at: the file system has none\n");
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        if (!(b->rig.driver.features & 1ull << cases[i].type) &&
            cases[i].type == BLK_DISCARD)
            continue;
        memset(blkrig_data(b, 0), 0, 512);
        blkrig_range(b, 0, cases[i].sector, cases[i].sectors, cases[i].flags);
        assert_int_equal(blkrig_do(b, cases[i].type, 0, cases[i].length, NULL),
                         cases[i].status);
    }
    check_file(b, 0, IMAGE_SECTORS, -1);
    assert_int_equal(b->rig.failures, 0);
    blk_finish(b);
}

static void refuses_requests(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    const struct {
        uint32_t type, length;
        uint64_t sector;
        uint8_t status;
    } cases[] = {
        {2, 512, 0, BLK_UNSUPP},
        {0x80000000, 512, 0, BLK_UNSUPP},
        {BLK_IN, 512, IMAGE_SECTORS, BLK_IOERR},
        {BLK_IN, 1024, IMAGE_SECTORS - 1, BLK_IOERR},
        {BLK_OUT, 1024, IMAGE_SECTORS - 1, BLK_IOERR},
        {BLK_IN, 512, UINT64_MAX, BLK_IOERR},
        {BLK_OUT, 512, UINT64_MAX / 512, BLK_IOERR},
        {BLK_OUT, 512, (1ull << 55), BLK_IOERR}, /* times 512 is 0 */
        {BLK_IN, 511, 0, BLK_IOERR},
        {BLK_OUT, 513, 0, BLK_IOERR},
        {BLK_IN, 0, IMAGE_SECTORS + 1, BLK_IOERR},
        {BLK_IN, 0, 0, BLK_OK}, /* of nothing */
        {BLK_OUT, 0, 0, BLK_OK},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(cases); i++) {
        uint32_t written;
        memset(blkrig_data(b, 0), 0x77, 1024);
        assert_int_equal(
            blkrig_do(b, cases[i].type, cases[i].sector, cases[i].length, &written),
            cases[i].status);
        assert_int_equal(written, 1);
        assert_int_equal(blkrig_data(b, 0)[0], 0x77);
    }
    check_file(b, 0, IMAGE_SECTORS, -1);
    assert_int_equal(b->rig.failures, 0);
    assert_true(b->disk->requests == 2);
    blk_finish(b);
}

/* A header cut short can be answered; without a status byte there is no answer. */
static void refuses_malformed_requests(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    uint8_t *p = vrig_at(&b->rig, 0x20000, 4096);
    const struct vdriver_buffer short_header[] = {{0x20000, 15, false},
                                                  {0x20100, 513, true}};
    (void)vdriver_add(vq, short_header, 2);
    const struct vdriver_buffer no_header = {0x20400, 1, true};
    (void)vdriver_add(vq, &no_header, 1);
    vdriver_kick(&b->rig.driver, 0);
    (void)blkrig_wait(b, NULL);
    (void)blkrig_wait(b, NULL);
    assert_int_equal(p[0x100 + 512], BLK_IOERR);
    assert_int_equal(p[0x400], BLK_IOERR);
    assert_int_equal(b->rig.failures, 0);

    const struct vdriver_buffer no_status = {0x20000, 528, false};
    mv_store32(p, BLK_OUT);
    (void)vdriver_add(vq, &no_status, 1);
    vdriver_kick(&b->rig.driver, 0);
    vrig_turn(&b->rig);
    assert_int_equal(b->rig.failures, 1);
    assert_string_equal(b->rig.why, "a request without a status byte");
    assert_true(vdriver_read(&b->rig.driver, VREG_STATUS) & 64);
    check_file(b, 0, IMAGE_SECTORS, -1);

    assert_true(vdriver_start(&b->rig.driver, ~0ull)); /* a reset cures it */
    assert_int_equal(blkrig_do(b, BLK_IN, 1, 512, NULL), BLK_OK);
    blk_finish(b);
}

/* What is in flight belongs to the device; offering it again is nonsense. */
static void refuses_a_head_twice(void **state)
{
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    uint16_t head = blkrig_add(b, 0, BLK_IN, 1, 512);
    vdriver_offer(&b->rig.driver.queue[0], head);
    vdriver_kick(&b->rig.driver, 0);
    vrig_turn(&b->rig);
    assert_int_equal(b->rig.failures, 1);
    assert_true(vdriver_start(&b->rig.driver, ~0ull));
    assert_int_equal(blkrig_do(b, BLK_IN, 1, 512, NULL), BLK_OK);
    blk_finish(b);
}

static void read_only_means_it(void **state)
{
    struct mv_disk_config config = {.read_only = true};
    struct blkrig *b = blk_start(state, ~0ull, config);
    assert_true(b->rig.driver.features & BLK_FEATURE_RO);
    assert_false(b->rig.driver.features & (BLK_FEATURE_DISCARD | BLK_FEATURE_ZEROES));
    memset(blkrig_data(b, 0), 0xcc, 512);
    assert_int_equal(blkrig_do(b, BLK_OUT, 0, 512, NULL), BLK_IOERR);
    assert_true(b->disk->requests == 0); /* the device's own refusal */
    blkrig_range(b, 0, 0, 8, 0);
    assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_UNSUPP);
    assert_int_equal(blkrig_do(b, BLK_DISCARD, 0, 16, NULL), BLK_UNSUPP);
    assert_int_equal(blkrig_do(b, BLK_FLUSH, 0, 0, NULL), BLK_OK);
    assert_int_equal(blkrig_do(b, BLK_IN, 5, 512, NULL), BLK_OK);
    check_file(b, 0, IMAGE_SECTORS, -1);
    blk_finish(b);
}

static void asks_for_no_memory_at_work(void **state)
{
    ALLOCATIONS_OR_SKIP();
    struct blkrig *b = blk_start(state, ~0ull, (struct mv_disk_config){0});
    unsigned long started = allocations();
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned slot = 0; slot < 8; slot++)
            (void)blkrig_add(b, slot, slot % 2 ? BLK_IN : BLK_OUT, 8 * slot, 4096);
        vdriver_kick(&b->rig.driver, 0);
        for (unsigned slot = 0; slot < 8; slot++)
            (void)blkrig_wait(b, NULL);
        assert_int_equal(blkrig_do(b, BLK_FLUSH, 0, 0, NULL), BLK_OK);
        blkrig_range(b, 0, 64, 65, 0);
        assert_int_equal(blkrig_do(b, BLK_ZEROES, 0, 16, NULL), BLK_OK);
        assert_int_equal(blkrig_do(b, BLK_DISCARD, 0, 16, NULL), BLK_OK);
    }
    assert_int_equal(allocations() - started, 0);
    blk_finish(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(reads_and_writes),           BOTH(cuts_do_not_matter),
        BOTH(tells_its_id_and_shape),     BOTH(writes_through_without_flush),
        BOTH(zeroes_and_discards),        BOTH(refuses_ranges),
        BOTH(refuses_requests),           BOTH(refuses_malformed_requests),
        BOTH(refuses_a_head_twice),       BOTH(read_only_means_it),
        BOTH(asks_for_no_memory_at_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
