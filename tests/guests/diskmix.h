/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Mixed disk I/O that is the same sequence wherever it runs: reads and writes of 512
 * bytes to 256 KiB at random places, some flushed, every read compared with what was
 * written before. The guest runs it on its disk; the host runs it on a scratch file and
 * compares the two files, so that what a guest believes to have written is proved from
 * outside.
 */
#ifndef DISKMIX_H
#define DISKMIX_H

#include <stdint.h>

struct diskmix {
    uint64_t seed;
    uint64_t size_bytes;  /* of the disk, a multiple of 512 */
    uint64_t total_bytes; /* to move, reads and writes together */
};

struct diskmix_result {
    uint64_t read_bytes, written_bytes;
    uint64_t wrong_sectors; /* read back with other contents than written */
};

/* 0, or -1 with errno when the disk refused; the disk must begin as zeroes. */
int diskmix_run(int fd, const struct diskmix *mix, struct diskmix_result *result);

#endif
