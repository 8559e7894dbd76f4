/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * disk [BACKING CACHE PATTERN]: reads through the block device, driven by a virtqueue
 * in the same thread, without a VM: what the device and its backing cost. Prints
 * requests per second, CPU time of the process and its context switches per request.
 * Without arguments every combination, one second each; one of them under `strace -f
 * -c` gives the system calls per request.
 *
 *     BACKING io_uring, threads   CACHE cached, direct   PATTERN 4k-1, 4k-32, 1m-2
 */
#include "blkrig.h"

#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { IMAGE_MIB = 128, SECONDS = 1, HEADERS = 0x10000, DATA = 0x100000 };

static const struct pattern {
    const char *name;
    unsigned depth;
    uint32_t length;
    bool random;
} patterns[] = {
    {"4k-1", 1, 4096, true}, {"4k-32", 32, 4096, true}, {"1m-2", 2, 1 << 20, false}};

static const struct backing {
    const char *name;
    mv_disk_make *make;
} backings[] = {{"io_uring", mv_disk_uring_open}, {"threads", mv_disk_threads_open}};

static const char *const caches[] = {"cached", "direct"};

struct cost {
    double seconds, cpu_us, switches;
    uint64_t requests;
};

static double usage_us(const struct rusage *u)
{
    return (double)(u->ru_utime.tv_sec + u->ru_stime.tv_sec) * 1e6 +
           (double)(u->ru_utime.tv_usec + u->ru_stime.tv_usec);
}

/* The requests' headers and buffers never change place, so only the sector does. */
static void add(struct blkrig *b, const struct pattern *p, unsigned slot, uint64_t n)
{
    const uint64_t header = HEADERS + 32ull * slot;
    const uint64_t count = ((uint64_t)IMAGE_MIB << 20) / p->length;
    uint64_t index = p->random ? n * 2654435761u % count : n % count;
    mv_store32(vrig_at(&b->rig, header, 16), BLK_IN);
    mv_store64(vrig_at(&b->rig, header, 16) + 8, index * (p->length / 512));
    const struct vdriver_buffer buffer[] = {
        {header, 16, false},
        {DATA + (uint64_t)slot * p->length, p->length, true},
        {header + 16, 1, true}};
    (void)vdriver_add(&b->rig.driver.queue[0], buffer, 3);
}

/* Takes back what there is and offers as much again, as a guest under load does. */
static void run(struct blkrig *b, const struct pattern *p, struct cost *cost)
{
    struct vdriver_queue *vq = &b->rig.driver.queue[0];
    unsigned slot_of[256];
    struct rusage before, after;
    uint64_t n = 0, done = 0, start = uv_hrtime();
    (void)getrusage(RUSAGE_SELF, &before);
    for (unsigned i = 0; i < p->depth; i++) {
        slot_of[vq->free_head] = i;
        add(b, p, i, n++);
    }
    while (uv_hrtime() - start < SECONDS * 1000000000ull) {
        uint16_t head;
        uint32_t written;
        vdriver_kick(&b->rig.driver, 0);
        (void)uv_run(&b->rig.loop.uv, UV_RUN_ONCE);
        while (vdriver_reap(vq, &head, &written)) {
            MV_ASSERT(written == p->length + 1);
            unsigned slot = slot_of[head];
            slot_of[vq->free_head] = slot;
            add(b, p, slot, n++);
            done++;
        }
    }
    (void)getrusage(RUSAGE_SELF, &after);
    cost->requests = done;
    cost->seconds = (double)(uv_hrtime() - start) / 1e9;
    cost->cpu_us = usage_us(&after) - usage_us(&before);
    cost->switches = (double)(after.ru_nvcsw - before.ru_nvcsw);
}

static void measure(struct blkrig *b, const struct backing *backing, bool direct,
                    const struct pattern *p)
{
    struct cost cost;
    microvm_error err;
    b->make = backing->make;
    b->config = (struct mv_disk_config){.read_only = true, .direct = direct};
    vrig_open(&b->rig);
    if (blkrig_open_device(b, &err)) {
        printf("%-8s %-6s %-5s not measured: %s\n", backing->name, caches[direct],
               p->name, err.message);
    } else {
        bool ok = vdriver_start(&b->rig.driver, ~0ull);
        MV_ASSERT(ok);
        run(b, p, &cost);
        double n = (double)cost.requests;
        printf("%-8s %-6s %-5s %9.0f requests/s %8.2f us CPU %6.2f switches\n",
               backing->name, caches[direct], p->name, n / cost.seconds,
               cost.cpu_us / n, cost.switches / n);
    }
    (void)fflush(stdout);
    blkrig_close(b);
}

static bool wanted(int argc, char **argv, int at, const char *name)
{
    return argc <= at || strcmp(argv[at], name) == 0;
}

int main(int argc, char **argv)
{
    struct blkrig *b = calloc(1, sizeof *b);
    uint8_t *image = malloc((size_t)IMAGE_MIB << 20);
    MV_ASSERT(b && image);
    memset(image, 0x5a, (size_t)IMAGE_MIB << 20);
    scratch_file(b->path, image, (size_t)IMAGE_MIB << 20);
    free(image);
    for (unsigned i = 0; i < MV_ARRAY_LEN(patterns); i++) {
        for (unsigned k = 0; k < 2 * MV_ARRAY_LEN(backings); k++) {
            const struct backing *backing = &backings[k % 2];
            if (wanted(argc, argv, 1, backing->name) &&
                wanted(argc, argv, 2, caches[k / 2]) &&
                wanted(argc, argv, 3, patterns[i].name))
                measure(b, backing, k / 2, &patterns[i]);
        }
    }
    scratch_remove(b->path);
    free(b);
    return 0;
}
