/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * How much a stop of the block device may have to wait for: how much of what a driver
 * offers is given to the disk at once. The disk is one that does nothing until it is
 * told to, so the cases count requests, and no clock decides.
 */
#include "blk.h"

#include "util/bytes.h"
#include "virtio/blk.h"

#include <stdlib.h>

enum { STILL_BYTES = 128 << 20, OFFERED = 60 };

struct still {
    struct mv_disk disk;
    struct mv_disk_request *first;
    unsigned under_way, submitted;
};

static struct still *still_of(struct mv_disk *disk)
{
    return MV_CONTAINER(disk, struct still, disk);
}

static void still_submit(struct mv_disk *disk, struct mv_disk_request *request)
{
    struct still *still = still_of(disk);
    request->next = still->first;
    still->first = request;
    still->under_way++;
    still->submitted++;
}

static void still_commit(struct mv_disk *disk)
{
    (void)disk;
}

/* Ends what is under way now. */
static void still_turn(struct mv_disk *disk)
{
    struct still *still = still_of(disk);
    struct mv_disk_request *request = still->first, *next;
    still->first = NULL;
    for (; request; request = next) {
        next = request->next;
        still->under_way--;
        mv_disk_finish(disk, request, 0);
    }
    disk->completed(disk->owner);
}

static void still_drain(struct mv_disk *disk)
{
    while (still_of(disk)->first)
        still_turn(disk);
}

static void still_close(struct mv_disk *disk)
{
    free(still_of(disk));
}

static const struct mv_disk_ops still_ops = {
    .name = "still",
    .submit = still_submit,
    .commit = still_commit,
    .drain = still_drain,
    .close = still_close,
};

static int still_open(struct mv_file *file, struct mv_loop *loop, struct mv_disk **out,
                      microvm_error *err)
{
    struct still *still = calloc(1, sizeof *still);
    (void)loop, (void)err;
    assert_non_null(still);
    still->disk.ops = &still_ops;
    mv_file_close(file);
    *out = &still->disk;
    return 0;
}

static struct blkrig *start_still(void)
{
    struct blkrig *b = calloc(1, sizeof *b);
    assert_non_null(b);
    scratch_sparse(b->path, STILL_BYTES);
    b->make = still_open;
    b->queues = 2;
    blkrig_open(b, ~0ull);
    return b;
}

/* The request in place `slot`, each range as long as it may be here. */
static void add_ranges(struct blkrig *b, unsigned q, unsigned slot, uint32_t type,
                       unsigned ranges)
{
    uint8_t *range = blkrig_data(b, slot);
    for (unsigned i = 0; i < ranges; i++, range += 16) {
        mv_store64(range, 0);
        mv_store32(range + 8, BLK_ZEROES_SECTORS);
        mv_store32(range + 12, 0);
    }
    (void)blkrig_add_to(b, q, slot, type, 0, 16 * ranges);
}

/* Stop ends what is under way, `each` steps of the disk for a request, and begins
 * nothing. All of it is done in the end, never more than `most` at once. */
static void check_offered(struct blkrig *b, unsigned most, unsigned each)
{
    struct still *still = still_of(b->disk);
    unsigned turns = 0;
    vdriver_kick(&b->rig.driver, 0);
    vrig_turn(&b->rig);
    assert_int_equal(still->under_way, most);
    mv_vdev_sleep(b->rig.dev);
    assert_int_equal(still->submitted, most * each);
    mv_vdev_wake(b->rig.dev);
    vrig_turn(&b->rig);
    for (; still->under_way; turns++) {
        assert_in_range(still->under_way, 1, most);
        still_turn(b->disk);
    }
    assert_int_equal(turns, (OFFERED / most - 1) * each);
    assert_int_equal(still->submitted, OFFERED * each);
    for (unsigned i = 0; i < OFFERED; i++) {
        (void)blkrig_wait(b, NULL);
        assert_int_equal(blkrig_status(b, i), BLK_OK);
    }
    assert_int_equal(blk_of(b->rig.dev)->heavy_bytes, 0);
    blk_finish(b);
}

static void zeroes_go_one_after_another(void **state)
{
    struct blkrig *b = start_still();
    (void)state;
    for (unsigned i = 0; i < OFFERED; i++)
        add_ranges(b, 0, i, BLK_ZEROES, 1);
    check_offered(b, 1, 1);
}

static void discards_go_one_after_another(void **state)
{
    struct blkrig *b = start_still();
    (void)state;
    if (!b->disk->can_discard) {
        blk_finish(b);
        print_message("not run: the file system has no discards\n");
        skip();
    }
    for (unsigned i = 0; i < OFFERED; i++)
        add_ranges(b, 0, i, BLK_DISCARD, BLK_DISCARD_RANGES);
    check_offered(b, 1, BLK_DISCARD_RANGES);
}

/* A driver may name the same memory again and again. */
static void transfers_are_counted_by_their_bytes(void **state)
{
    enum { SPANS = 4, SPAN_BYTES = 4 << 20, MOST = 4 };
    struct blkrig *b = start_still();
    struct vdriver_buffer buffer[SPANS + 2];
    (void)state;
    for (unsigned i = 0; i < OFFERED; i++) {
        uint64_t at = BLKRIG_HEADERS + 32ull * i;
        uint8_t *header = vrig_at(&b->rig, at, 17);
        mv_store32(header, BLK_OUT);
        mv_store64(header + 8, 0);
        header[16] = BLK_UNTOUCHED;
        buffer[0] = (struct vdriver_buffer){at, 16, false};
        for (unsigned k = 1; k <= SPANS; k++)
            buffer[k] = (struct vdriver_buffer){BLKRIG_DATA, SPAN_BYTES, false};
        buffer[SPANS + 1] = (struct vdriver_buffer){at + 16, 1, true};
        (void)vdriver_add_indirect(&b->rig.driver.queue[0], &b->rig.driver.heap, buffer,
                                   SPANS + 2);
    }
    check_offered(b, MOST, 1);
}

/* Another queue's small requests need not wait for heavy ones; its heavy ones do. */
static void small_requests_pass(void **state)
{
    struct blkrig *b = start_still();
    const struct still *still = still_of(b->disk);
    (void)state;
    add_ranges(b, 0, 0, BLK_ZEROES, 1);
    add_ranges(b, 0, 1, BLK_ZEROES, 1);
    vdriver_kick(&b->rig.driver, 0);
    vrig_turn(&b->rig);
    assert_int_equal(still->under_way, 1);
    (void)blkrig_add_to(b, 1, 2, BLK_IN, 0, BLKRIG_DATA_BYTES);
    (void)blkrig_add_to(b, 1, 3, BLK_FLUSH, 0, 0);
    add_ranges(b, 1, 4, BLK_ZEROES, 1);
    vdriver_kick(&b->rig.driver, 1);
    vrig_turn(&b->rig);
    assert_int_equal(still->under_way, 3);
    still_drain(b->disk);
    assert_int_equal(still->submitted, 5);
    blk_finish(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeroes_go_one_after_another),
        cmocka_unit_test(discards_go_one_after_another),
        cmocka_unit_test(transfers_are_counted_by_their_bytes),
        cmocka_unit_test(small_requests_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
