/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block devices for tests.
 */
#include "blk.h"

#include "util/bytes.h"
#include "virtio/blk.h"

#include <stdlib.h>
#include <string.h>

static struct blkrig *blk_new(void **state)
{
    struct blkrig *b = calloc(1, sizeof *b);
    const char *backing = *state;
    assert_non_null(b);
    b->make = *backing == 'u' ? mv_disk_uring_open : mv_disk_threads_open;
    return b;
}

static struct blkrig *blk_start_image(struct blkrig *b, uint64_t features)
{
    microvm_error err;
    vrig_open(&b->rig);
    int rc = blkrig_open_device(b, &err);
    if (rc == MICROVM_E_UNSUPPORTED) {
        print_message("not run: %s\n", err.message);
        blk_finish(b);
        skip();
    }
    assert_ok(rc, &err);
    assert_true(vdriver_start(&b->rig.driver, features));
    return b;
}

struct blkrig *blk_start(void **state, uint64_t features, struct mv_disk_config config)
{
    struct blkrig *b = blk_new(state);
    uint8_t *image = calloc(1, IMAGE_BYTES);
    assert_non_null(image);
    for (unsigned i = 0; i < IMAGE_SECTORS; i++)
        memset(image + 512 * i, sector_value(i), 512);
    scratch_file(b->path, image, IMAGE_BYTES);
    free(image);
    b->config = config;
    return blk_start_image(b, features);
}

struct blkrig *blk_start_empty(void **state)
{
    struct blkrig *b = blk_new(state);
    scratch_sparse(b->path, IMAGE_BYTES);
    return blk_start_image(b, ~0ull);
}

struct blkrig *blk_start_queues(void **state, unsigned queues)
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

void blk_add_pages(struct blkrig *b, unsigned q, unsigned i, uint32_t type,
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

void blk_finish(struct blkrig *b)
{
    blkrig_close(b);
    scratch_remove(b->path);
    free(b);
}

uint8_t sector_value(unsigned sector)
{
    return (uint8_t)(sector % 255 + 1);
}

void check_file(struct blkrig *b, uint64_t sector, unsigned sectors, int value)
{
    struct mv_file file = MV_FILE_CLOSED;
    uint8_t got[512];
    microvm_error err;
    assert_ok(mv_file_open(&file, "image", b->path, 0, &err), &err);
    for (unsigned i = 0; i < sectors; i++) {
        assert_int_equal(mv_file_read(&file, (sector + i) * 512, got, 512), 512);
        int want = value < 0 ? sector_value((unsigned)sector + i) : value;
        for (unsigned k = 0; k < 512; k++)
            assert_int_equal(got[k], want);
    }
    mv_file_close(&file);
}
