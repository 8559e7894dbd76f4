/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Block devices for tests.
 */
#include "blk.h"

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
