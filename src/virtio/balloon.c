/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Traditional memory balloon, virtio 1.2, 5.5: the driver gives pages away (inflate)
 * and takes them back (deflate) until it has as few as the host asks for in num_pages,
 * and with free page reporting (5.5.6.7) it names memory it does not use at the moment,
 * asked or not. Either way the host's pages are discarded and come back, zeroed, when
 * the guest touches them; nothing is to be done for deflation.
 *
 * Deliberately absent: the statistics queue, free page hinting (for live migration) and
 * page poisoning: a guest that poisons free pages must not negotiate reporting, and
 * Linux does not (5.5.6.7.1).
 */
#include "os/mem.h"
#include "util/bytes.h"
#include "virtio/devices.h"

/* Feature bits, 5.5.3. */
#define BALLOON_F_DEFLATE_ON_OOM (1ull << 2)
#define BALLOON_F_REPORTING      (1ull << 5)

enum {
    BALLOON_ID = 5,
    /* Linux reports up to 32 ranges in a chain. */
    BALLOON_QUEUE_SIZE = 64,
    /* Pages in one request. Linux sends 256, Windows 1024; a queue full of these keeps
     * the loop for some 100 ms at worst, if no two pages are neighbours. */
    BALLOON_REQUEST_PAGES = 1024,
    BALLOON_PAGE_SHIFT = 12 /* of the interface, whatever guest and host use: 5.5.6 */
};

/* 5.5.2 numbers the queues with gaps where features are missing; Linux closes the gaps.
 * Reporting is thus queue 4 or 2, and what is between them is not used. */
enum {
    BALLOON_INFLATE = 0,
    BALLOON_DEFLATE = 1,
    BALLOON_REPORT_OLD = 2,
    BALLOON_REPORT = 4,
    BALLOON_QUEUES = 5
};

/* struct virtio_balloon_config, 5.5.4. */
enum { CONFIG_NUM_PAGES = 0, CONFIG_ACTUAL = 4, CONFIG_BYTES = 8 };

struct balloon {
    struct mv_vdev dev;
    _Atomic uint64_t inflated_pages, reported_bytes;
};

/* Adjacent pages on their way to be discarded together. */
struct balloon_run {
    uint64_t first, count; /* page numbers */
};

static struct balloon *balloon_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct balloon, dev);
}

static const struct balloon *balloon_seen(const struct mv_vdev *dev)
{
    return (const struct balloon *)(const void *)dev; /* its first member */
}

/* The whole host pages in guest memory [base, base + length); bytes given back. */
static uint64_t balloon_discard(void *base, uint64_t length)
{
    uint64_t page = mv_mem_page_size();
    uint64_t start = mv_align_up((uintptr_t)base, page);
    uint64_t end = mv_align_down((uintptr_t)base + length, page);
    if (start >= end)
        return 0;
    uint8_t *at = (uint8_t *)base + (start - (uintptr_t)base);
    return mv_mem_discard(at, (size_t)(end - start)) ? 0 : end - start;
}

static bool balloon_flush(const struct mv_vdev *dev, struct balloon_run *run)
{
    uint64_t length = run->count << BALLOON_PAGE_SHIFT;
    void *base = mv_ram_at(dev->host.ram, run->first << BALLOON_PAGE_SHIFT, length);
    if (base)
        (void)balloon_discard(base, length);
    run->count = 0;
    return base != NULL;
}

/* Drivers walk up or down through their pages. */
static bool balloon_page(const struct mv_vdev *dev, struct balloon_run *run,
                         uint32_t pfn)
{
    if (run->count > 0 && pfn == run->first + run->count) {
        run->count++;
        return true;
    }
    if (run->count > 0 && pfn + 1ull == run->first) {
        run->first = pfn;
        run->count++;
        return true;
    }
    bool ok = run->count == 0 || balloon_flush(dev, run);
    *run = (struct balloon_run){pfn, 1};
    return ok;
}

static bool balloon_give(const struct mv_vdev *dev, const struct mv_chain *chain)
{
    uint32_t pfn[256];
    struct balloon_run run = {0, 0};
    size_t bytes;
    for (size_t at = 0; at < chain->read_bytes; at += bytes) {
        bytes = mv_chain_read(chain, at, pfn, sizeof pfn);
        for (size_t i = 0; i < bytes / sizeof pfn[0]; i++) {
            if (!balloon_page(dev, &run, pfn[i]))
                return false;
        }
    }
    return run.count == 0 || balloon_flush(dev, &run);
}

/* Both queues take an array of little-endian page numbers. */
static bool balloon_serve_pages(struct mv_vdev *dev, unsigned q,
                                const struct mv_chain *chain)
{
    struct balloon *balloon = balloon_of(dev);
    uint64_t pages = chain->read_bytes / sizeof(uint32_t);
    if (chain->read_bytes % sizeof(uint32_t) || pages > BALLOON_REQUEST_PAGES) {
        mv_vdev_fail(dev, "a list of pages is too long or not of whole numbers");
        return false;
    }
    if (q == BALLOON_DEFLATE) {
        balloon->inflated_pages -= MV_MIN(pages, balloon->inflated_pages);
    } else if (balloon_give(dev, chain)) {
        balloon->inflated_pages += pages;
    } else {
        mv_vdev_fail(dev, "a page for the balloon is not in its memory");
        return false;
    }
    mv_vq_push(&dev->vq[q], chain->head, 0);
    return true;
}

/* The free memory is the buffers themselves; the queue has checked where they lie. */
static bool balloon_serve_report(struct mv_vdev *dev, unsigned q,
                                 const struct mv_chain *chain)
{
    const struct mv_span *span = chain->span + chain->readable;
    for (unsigned i = 0; i < chain->writable; i++)
        balloon_of(dev)->reported_bytes +=
            balloon_discard(span[i].base, span[i].length);
    mv_vq_push(&dev->vq[q], chain->head, 0);
    return true;
}

static void balloon_kick(struct mv_vdev *dev, unsigned q)
{
    if (q == BALLOON_INFLATE || q == BALLOON_DEFLATE)
        mv_vdev_serve(dev, q, balloon_serve_pages);
    else if (dev->negotiated & BALLOON_F_REPORTING &&
             (q == BALLOON_REPORT || q == BALLOON_REPORT_OLD))
        mv_vdev_serve(dev, q, balloon_serve_report);
}

/* A driver that starts anew owns all of its memory. */
static void balloon_reset(struct mv_vdev *dev)
{
    const uint32_t none = 0;
    balloon_of(dev)->inflated_pages = 0;
    mv_vdev_set_config(dev, CONFIG_ACTUAL, &none, sizeof none);
}

static void balloon_save(const struct mv_vdev *dev, struct mv_writer *w)
{
    mv_put64(w, balloon_seen(dev)->inflated_pages);
}

static int balloon_load(struct mv_vdev *dev, struct mv_reader *r, uint32_t version,
                        microvm_error *err)
{
    (void)version;
    (void)err;
    uint64_t pages = mv_get64(r);
    if (!r->failed)
        balloon_of(dev)->inflated_pages = pages;
    return 0;
}

static const struct mv_vdev_class balloon_class = {
    .name = "virtio-balloon",
    .id = BALLOON_ID,
    .queues = BALLOON_QUEUES,
    .queue_size = BALLOON_QUEUE_SIZE,
    .config_size = CONFIG_BYTES,
    .writable_offset = CONFIG_ACTUAL,
    .writable_size = 4,
    .live_size = CONFIG_BYTES,
    .state_version = 1,
    .kick = balloon_kick,
    .reset = balloon_reset,
    .save = balloon_save,
    .load = balloon_load,
};

int mv_balloon_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                    microvm_error *err)
{
    struct mv_vdev *dev;
    int rc =
        mv_vdev_open(&balloon_class, sizeof(struct balloon), NULL, host, &dev, err);
    if (rc)
        return rc;
    dev->features |= BALLOON_F_DEFLATE_ON_OOM | BALLOON_F_REPORTING;
    *out = dev;
    return 0;
}

void mv_balloon_set_target(struct mv_vdev *dev, uint32_t pages)
{
    mv_vdev_set_config(dev, CONFIG_NUM_PAGES, &pages, sizeof pages);
}

uint64_t mv_balloon_bytes(const struct mv_vdev *dev)
{
    return balloon_seen(dev)->inflated_pages << BALLOON_PAGE_SHIFT;
}

uint64_t mv_balloon_reported_bytes(const struct mv_vdev *dev)
{
    return balloon_seen(dev)->reported_bytes;
}
