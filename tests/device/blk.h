/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the block device's tests share: a device with a known image, on the backing that
 * the test's state names.
 */
#ifndef TESTS_DEVICE_BLK_H
#define TESTS_DEVICE_BLK_H

#include "blkrig.h"
#include "check.h"

enum { IMAGE_BYTES = 1 << 20, IMAGE_SECTORS = IMAGE_BYTES / 512 };

/* Lists a test once for each backing. */
#define BOTH(test)                                                    \
    {#test ", threads", test, NULL, NULL, (void *)(uintptr_t) "t"},   \
    {                                                                 \
#test ", io_uring", test, NULL, NULL, (void *)(uintptr_t) "u" \
    }

/* A device that is at work. Its image's sectors hold their numbers (sector_value); an
 * `empty` one is a hole. The test is skipped, in words, where this host or build has no
 * io_uring or the image's file system no direct I/O. */
struct blkrig *blk_start(void **state, uint64_t features, struct mv_disk_config config);
struct blkrig *blk_start_empty(void **state);
/* The same with `queues` queues. */
struct blkrig *blk_start_queues(void **state, unsigned queues);
void blk_finish(struct blkrig *b);

/* Request `i` in queue `q`, of many single pages in every second place of guest memory,
 * so that no two of them become one span; each request has its own. */
void blk_add_pages(struct blkrig *b, unsigned q, unsigned i, uint32_t type,
                   unsigned pages, uint32_t page_bytes);

uint8_t sector_value(unsigned sector);
/* Compares with the file itself, not with what the device says. value < 0: the sectors
 * hold their numbers. */
void check_file(struct blkrig *b, uint64_t sector, unsigned sectors, int value);

#endif
