/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A block device in a test: a rig (vrig.h) with a scratch image, either backing, and
 * the requests of a driver (virtio 1.2, 5.2.6).
 */
#ifndef TESTS_LIB_BLKRIG_H
#define TESTS_LIB_BLKRIG_H

#include "scratch.h"
#include "vrig.h"

#include "backing/disk_impl.h"

/* Guest memory of a request in place `slot`: header, status and up to 32 KiB of data.
 */
enum {
    BLKRIG_SLOTS = 64,
    BLKRIG_HEADERS = 0x10000,
    BLKRIG_DATA = 0x100000,
    BLKRIG_DATA_BYTES = 32 << 10
};

enum {
    BLK_IN = 0,
    BLK_OUT = 1,
    BLK_FLUSH = 4,
    BLK_GET_ID = 8,
    BLK_DISCARD = 11,
    BLK_ZEROES = 13
};
enum { BLK_OK = 0, BLK_IOERR = 1, BLK_UNSUPP = 2, BLK_UNTOUCHED = 0xee };
#define BLK_FEATURE_RO      (1ull << 5)
#define BLK_FEATURE_FLUSH   (1ull << 9)
#define BLK_FEATURE_DISCARD (1ull << 13)
#define BLK_FEATURE_ZEROES  (1ull << 14)

struct blkrig {
    struct vrig rig;
    char path[SCRATCH_PATH];
    struct mv_disk_config config;
    mv_disk_make *make;
    unsigned queues; /* 0: one */
    struct mv_disk *disk;
};

/* Opens the image at b->path as b->config says, and a driver with these features. */
void blkrig_open(struct blkrig *b, uint64_t features);
/* Only the disk and its device, into a rig that is open. */
int blkrig_open_device(struct blkrig *b, microvm_error *err);
void blkrig_close(struct blkrig *b);

uint8_t *blkrig_data(struct blkrig *b, unsigned slot);
/* Puts a request into the queue, not yet published. `length` of data, which the device
 * reads for OUT, DISCARD and ZEROES and writes for the others. Returns its head. */
uint16_t blkrig_add(struct blkrig *b, unsigned slot, uint32_t type, uint64_t sector,
                    uint32_t length);
/* The same in queue `q`. */
uint16_t blkrig_add_to(struct blkrig *b, unsigned q, unsigned slot, uint32_t type,
                       uint64_t sector, uint32_t length);
uint8_t blkrig_status(struct blkrig *b, unsigned slot);
/* Sleeps until the next chain comes back. */
uint16_t blkrig_wait(struct blkrig *b, uint32_t *written);
/* One request in slot 0, from beginning to end: its status. */
uint8_t blkrig_do(struct blkrig *b, uint32_t type, uint64_t sector, uint32_t length,
                  uint32_t *written);
/* A range as DISCARD and ZEROES have it, number `i` of slot 0's data. */
void blkrig_range(struct blkrig *b, unsigned i, uint64_t sector, uint32_t sectors,
                  uint32_t flags);

#endif
