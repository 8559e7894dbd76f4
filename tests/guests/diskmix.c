/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * See diskmix.h. A sector's contents follow from its number and its generation (how
 * often it was written), so a table of one byte per sector is all that must be
 * remembered, and two sectors that changed places are found.
 */
#define _GNU_SOURCE
#include "diskmix.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, REQUEST_SECTORS_MAX = 512 };

static uint64_t next_random(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x * 0x2545f4914f6cdd1du;
}

static void sector_contents(uint64_t *words, uint64_t sector, unsigned generation)
{
    if (generation == 0) {
        memset(words, 0, SECTOR);
        return;
    }
    uint64_t x = (sector + 1) * 0x9e3779b97f4a7c15u + generation;
    for (int i = 0; i < SECTOR / 8; i++)
        words[i] = next_random(&x);
}

static int move_all(int fd, int writes, unsigned char *p, size_t length, uint64_t at)
{
    while (length) {
        ssize_t n =
            writes ? pwrite(fd, p, length, (off_t)at) : pread(fd, p, length, (off_t)at);
        if (n <= 0) {
            errno = n ? errno : ENODATA;
            return -1;
        }
        p += n;
        at += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

static int do_write(int fd, unsigned char *buffer, uint8_t *generations,
                    uint64_t sector, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        uint8_t *g = &generations[sector + i];
        *g = *g == 255 ? 1 : (uint8_t)(*g + 1);
        sector_contents((uint64_t *)(void *)(buffer + i * SECTOR), sector + i, *g);
    }
    return move_all(fd, 1, buffer, count * SECTOR, sector * SECTOR);
}

static int do_read(int fd, unsigned char *buffer, const uint8_t *generations,
                   uint64_t sector, uint64_t count, uint64_t *wrong)
{
    uint64_t expected[SECTOR / 8];
    if (move_all(fd, 0, buffer, count * SECTOR, sector * SECTOR))
        return -1;
    for (uint64_t i = 0; i < count; i++) {
        sector_contents(expected, sector + i, generations[sector + i]);
        *wrong += memcmp(buffer + i * SECTOR, expected, SECTOR) != 0;
    }
    return 0;
}

int diskmix_run(int fd, const struct diskmix *mix, struct diskmix_result *result)
{
    uint64_t sectors = mix->size_bytes / SECTOR, x = mix->seed | 1, moved = 0;
    uint8_t *generations = calloc(sectors, 1);
    unsigned char *buffer = NULL;
    int status = generations ? 0 : -1;
    memset(result, 0, sizeof *result);
    /* Page-aligned, so that the same buffer serves O_DIRECT. */
    if (posix_memalign((void **)&buffer, 4096, REQUEST_SECTORS_MAX * SECTOR))
        status = -1;
    while (status == 0 && moved < mix->total_bytes) {
        /* Half of the requests are small, as file systems make them. */
        uint64_t small = next_random(&x) & 1;
        uint64_t count = 1 + next_random(&x) % (small ? 8 : REQUEST_SECTORS_MAX);
        uint64_t sector = next_random(&x) % (sectors - count);
        uint64_t what = next_random(&x) % 16;
        if (what < 9) {
            status = do_write(fd, buffer, generations, sector, count);
            result->written_bytes += count * SECTOR;
        } else {
            status =
                do_read(fd, buffer, generations, sector, count, &result->wrong_sectors);
            result->read_bytes += count * SECTOR;
        }
        if (what == 0 && status == 0)
            status = fdatasync(fd);
        moved += count * SECTOR;
    }
    if (status == 0)
        status = fsync(fd);
    free(buffer);
    free(generations);
    return status;
}
