/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Figures of a disk, past the guest's page cache (O_DIRECT): 4 KiB at random places,
 * one at a time and 32 in flight; 1 MiB in order, one at a time; flushes. Random
 * writes stay in the first 16 MiB, so that a figure does not depend on how fast the
 * host's file grows.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    PAGE = 4096,
    LARGE = 1 << 20,
    DEPTH = 32,
    WARM = 100,
    COUNT_LEAST = 400,
    WRITE_PAGES = (16 << 20) / PAGE,
    SEQ_WRITE_BYTES = 64 << 20
};

static int disk = -1;
static uint64_t disk_bytes;
static char *buffer; /* DEPTH pages, or one large request */

static int disk_open(const char *name)
{
    struct stat st;
    int flags = O_RDWR | O_CLOEXEC | (bench_number("bdirect", "1") ? O_DIRECT : 0);
    if (disk >= 0)
        return 0;
    for (int i = 0; i < 100 && disk < 0; i++) {
        disk = open(bench_arg("bdisk", "/dev/vda"), flags);
        if (disk < 0)
            usleep(20000);
    }
    if (disk < 0 || fstat(disk, &st)) {
        bench_fail(name, "no disk");
        return -1;
    }
    disk_bytes = (uint64_t)st.st_size;
    if (S_ISBLK(st.st_mode) && ioctl(disk, BLKGETSIZE64, &disk_bytes))
        disk_bytes = 0;
    buffer = mmap(NULL, LARGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (disk_bytes < 2 * SEQ_WRITE_BYTES || buffer == MAP_FAILED) {
        bench_fail(name, "disk too small, or no memory");
        return -1;
    }
    memset(buffer, 0x5a, LARGE);
    return 0;
}

static off_t any_page(uint64_t pages)
{
    return (off_t)(bench_random() % pages * PAGE);
}

static int read_page(void)
{
    return pread(disk, buffer, PAGE, any_page(disk_bytes / PAGE)) == PAGE ? 0 : -1;
}

static int write_page(void)
{
    return pwrite(disk, buffer, PAGE, any_page(WRITE_PAGES)) == PAGE ? 0 : -1;
}

static int write_page_flush(void)
{
    return write_page() || fsync(disk) ? -1 : 0;
}

static int flush(void)
{
    return fsync(disk);
}

/* Times of `operation`, one after the other. */
static void one_by_one(const char *name, int (*operation)(void), double length)
{
    if (disk_open(name))
        return;
    for (int i = 0; i < WARM; i++) {
        if (operation()) {
            bench_fail(name, "I/O");
            return;
        }
    }
    bench_go(name);
    uint64_t end = bench_until(length);
    while (bench_taken() < BENCH_TIMES_MAX &&
           bench_more(end, bench_taken(), COUNT_LEAST)) {
        uint64_t at = bench_now_ns();
        if (operation()) {
            bench_fail(name, "I/O");
            return;
        }
        bench_took(bench_now_ns() - at);
    }
    bench_end();
    bench_times(name);
}

void disk_read_one(const char *name)
{
    one_by_one(name, read_page, bench_seconds() / 2);
}

void disk_write_one(const char *name)
{
    one_by_one(name, write_page, bench_seconds() / 2);
}

void disk_write_flush(const char *name)
{
    one_by_one(name, write_page_flush, bench_seconds() / 2);
}

void disk_flush_clean(const char *name)
{
    one_by_one(name, flush, bench_seconds() / 4);
}

/* -- many in flight: kernel AIO, one thread, batches of whatever has completed -- */

struct many {
    aio_context_t ring;
    struct iocb block[DEPTH], *next[DEPTH];
    unsigned ready; /* of next[] */
    unsigned flying;
};

static int many_begin(struct many *m)
{
    memset(m, 0, sizeof *m);
    for (unsigned i = 0; i < DEPTH; i++) {
        m->block[i] = (struct iocb){.aio_fildes = (uint32_t)disk,
                                    .aio_lio_opcode = IOCB_CMD_PREAD,
                                    .aio_buf = (uintptr_t)(buffer + i * PAGE),
                                    .aio_nbytes = PAGE,
                                    .aio_data = i};
        m->next[m->ready++] = &m->block[i];
    }
    return (int)syscall(SYS_io_setup, DEPTH, &m->ring);
}

/* Submits what is ready, waits for one or more; how many came back, or -1. */
static long many_turn(struct many *m)
{
    struct io_event event[DEPTH];
    struct timespec limit = {5, 0};
    for (unsigned i = 0; i < m->ready; i++)
        m->next[i]->aio_offset = any_page(disk_bytes / PAGE);
    if (m->ready && syscall(SYS_io_submit, m->ring, m->ready, m->next) != m->ready)
        return -1;
    m->flying += m->ready;
    m->ready = 0;
    long n = syscall(SYS_io_getevents, m->ring, 1, DEPTH, event, &limit);
    for (long i = 0; i < n; i++) {
        if (event[i].res != PAGE)
            return -1;
        m->next[m->ready++] = &m->block[event[i].data];
    }
    if (n > 0)
        m->flying -= (unsigned)n;
    return n > 0 ? n : -1;
}

static int64_t many_for(struct many *m, double length)
{
    int64_t done = 0;
    uint64_t end = bench_until(length);
    while (bench_more(end, (uint64_t)done, 50 * COUNT_LEAST)) {
        long n = many_turn(m);
        if (n < 0)
            return -1;
        done += n;
    }
    return done;
}

void disk_read_many(const char *name)
{
    struct many m;
    if (disk_open(name))
        return;
    if (many_begin(&m) || many_for(&m, 0.05) < 0) {
        bench_fail(name, "aio");
        return;
    }
    bench_go(name);
    uint64_t begin = bench_now_ns();
    int64_t done = many_for(&m, bench_seconds());
    double took = (double)(bench_now_ns() - begin);
    bench_end();
    syscall(SYS_io_destroy, m.ring); /* waits for what is still in flight */
    if (done < 0)
        bench_fail(name, "aio");
    else
        bench_rate(name, "IOPS", (double)done * 1e9 / took, (uint64_t)done);
}

/* -- large requests -- */

static void large(const char *name, int write, uint64_t span)
{
    uint64_t n = 0, offset = 0;
    bench_go(name);
    uint64_t begin = bench_now_ns(), end = bench_until(bench_seconds());
    for (; bench_more(end, n, COUNT_LEAST); n++, offset = (offset + LARGE) % span) {
        ssize_t r = write ? pwrite(disk, buffer, LARGE, (off_t)offset)
                          : pread(disk, buffer, LARGE, (off_t)offset);
        if (r != LARGE) {
            bench_fail(name, "I/O");
            return;
        }
    }
    double took = (double)(bench_now_ns() - begin);
    bench_end();
    bench_rate(name, "MB/s", (double)n * LARGE * 1e3 / took, n);
}

void disk_read_large(const char *name)
{
    if (!disk_open(name))
        large(name, 0, disk_bytes / LARGE * LARGE);
}

void disk_write_large(const char *name)
{
    if (disk_open(name))
        return;
    large(name, 1, SEQ_WRITE_BYTES);
    fsync(disk); /* or the next figure pays for it */
}
