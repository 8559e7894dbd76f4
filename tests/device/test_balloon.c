/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The balloon: that pages named by the guest are really given back and no others, the
 * count of them, the target, and page numbers that are nonsense.
 */
#if defined(__linux__)
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include "check.h"
#include "vrig.h"

#include "os/mem.h"
#include "util/bytes.h"
#include "virtio/devices.h"

enum { LIST = 0x1000, NEEDS_RESET = 64, CONFIG = 2 };
enum { INFLATE = 0, DEFLATE = 1, REPORT_OLD = 2, UNUSED = 3, REPORT = 4 };

static int setup(void **state)
{
    struct vrig *rig = test_calloc(1, sizeof *rig);
    struct mv_vdev *dev = NULL;
    microvm_error err;
    vrig_open(rig);
    assert_ok(mv_balloon_open(&rig->host, &dev, &err), &err);
    vrig_attach(rig, dev);
    assert_true(vdriver_start(&rig->driver, UINT64_MAX));
    memset(vrig_at(rig, 0, VRIG_LOW_BYTES / 2), 0xee, VRIG_LOW_BYTES / 2);
    memset(vrig_at(rig, VRIG_HIGH, VRIG_HIGH_BYTES), 0xee, VRIG_HIGH_BYTES);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct vrig *rig = *state;
    vrig_close(rig);
    test_free(rig);
    return 0;
}

/* Whether the host has memory behind the page at gpa. Elsewhere than on Linux the only
 * sign is what it reads as. */
static bool present(struct vrig *rig, uint64_t gpa)
{
    uint8_t *p = vrig_at(rig, gpa, 4096);
#if defined(__linux__)
    unsigned char resident = 0;
    assert_int_equal(mincore(p, 4096, &resident), 0);
    return resident & 1;
#else
    return p[0] == 0xee;
#endif
}

static void offer_pages(struct vrig *rig, unsigned q, const uint32_t *pfn, unsigned n)
{
    const struct vdriver_buffer buffer = {LIST, 4 * n, false};
    memcpy(vrig_at(rig, LIST, 4ull * n), pfn, 4ull * n);
    (void)vdriver_add(&rig->driver.queue[q], &buffer, 1);
    vdriver_kick(&rig->driver, q);
    vrig_turn(rig);
}

static void take_back(struct vrig *rig, unsigned q)
{
    uint16_t head;
    uint32_t written;
    assert_true(vdriver_reap(&rig->driver.queue[q], &head, &written));
    assert_int_equal(written, 0);
}

/* Host pages larger than the interface's: a single page cannot be given back. */
static bool host_pages_are_larger(void)
{
    return mv_mem_page_size() != 4096;
}

static void inflating_gives_pages_back(void **state)
{
    struct vrig *rig = *state;
    const uint32_t pfn[] = {0x300, 0x301, 0x302,    0x3ff,
                            0x200, 0x1ff, 0x100000, 0x100002};
    if (host_pages_are_larger())
        skip();
    offer_pages(rig, INFLATE, pfn, MV_ARRAY_LEN(pfn));
    take_back(rig, INFLATE);
    for (unsigned i = 0; i < MV_ARRAY_LEN(pfn); i++)
        assert_false(present(rig, (uint64_t)pfn[i] << 12));
    const uint32_t others[] = {0x2ff, 0x303, 0x3fe,    0x400,
                               0x201, 0x1fe, 0x100001, 0x100003};
    for (unsigned i = 0; i < MV_ARRAY_LEN(others); i++)
        assert_true(present(rig, (uint64_t)others[i] << 12));
    assert_int_equal(mv_balloon_bytes(rig->dev), MV_ARRAY_LEN(pfn) << 12);
    offer_pages(rig, DEFLATE, pfn, 3);
    take_back(rig, DEFLATE);
    assert_int_equal(mv_balloon_bytes(rig->dev), (MV_ARRAY_LEN(pfn) - 3) << 12);
    assert_int_equal(*vrig_at(rig, 0x300000, 1), 0); /* and it comes back as zeros */
    vrig_at(rig, 0x300000, 1)[0] = 1;
    assert_true(present(rig, 0x300000));
}

static void a_list_may_be_scattered(void **state)
{
    struct vrig *rig = *state;
    const uint32_t pfn[] = {0x300, 0x301};
    const struct vdriver_buffer piece[] = {
        {LIST, 3, false}, {LIST + 100, 1, false}, {LIST + 200, 4, false}};
    const uint8_t *bytes = (const uint8_t *)pfn;
    if (host_pages_are_larger())
        skip();
    memcpy(vrig_at(rig, LIST, 3), bytes, 3);
    memcpy(vrig_at(rig, LIST + 100, 1), bytes + 3, 1);
    memcpy(vrig_at(rig, LIST + 200, 4), bytes + 4, 4);
    (void)vdriver_add(&rig->driver.queue[INFLATE], piece, 3);
    vdriver_kick(&rig->driver, INFLATE);
    vrig_turn(rig);
    take_back(rig, INFLATE);
    assert_false(present(rig, 0x300000) || present(rig, 0x301000));
    assert_true(present(rig, 0x302000));
}

static void nonsense_fails_the_device(void **state)
{
    struct vrig *rig = *state;
    static const uint32_t bad[][3] = {
        {0x300, 0x800, 0x301}, /* the first page of the hole */
        {0x300, 0x301, 0x100100},
        {0x7ff, 0x800, 0x801}, /* a run that leaves memory */
        {0xfffff, 0x100000, 0x100001},
        {UINT32_MAX, 0, 1},
        {0, UINT32_MAX, UINT32_MAX - 1},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        offer_pages(rig, INFLATE, bad[i], 3);
        assert_true(vdriver_read(&rig->driver, VREG_STATUS) & NEEDS_RESET);
        assert_int_equal(rig->failures, i + 1);
        rig->driver.heap.at = VRIG_LOW_BYTES / 2;
        assert_true(vdriver_start(&rig->driver, UINT64_MAX));
    }
    const struct vdriver_buffer odd = {LIST, 7, false}, huge = {LIST, 4100, false};
    (void)vdriver_add(&rig->driver.queue[INFLATE], &odd, 1);
    vdriver_kick(&rig->driver, INFLATE);
    vrig_turn(rig);
    assert_true(vdriver_read(&rig->driver, VREG_STATUS) & NEEDS_RESET);
    assert_true(vdriver_start(&rig->driver, UINT64_MAX));
    (void)vdriver_add(&rig->driver.queue[DEFLATE], &huge, 1);
    vdriver_kick(&rig->driver, DEFLATE);
    vrig_turn(rig);
    assert_true(vdriver_read(&rig->driver, VREG_STATUS) & NEEDS_RESET);
}

static void report(struct vrig *rig, unsigned q)
{
    const struct vdriver_buffer range[] = {
        {0x200000, 0x100000, true}, /* whole pages */
        {0x310800, 0x2000, true},   /* one whole page between two halves */
        {0x320100, 0x800, true},    /* none */
        {VRIG_HIGH, 0x10000, true},
    };
    uint64_t before = mv_balloon_reported_bytes(rig->dev);
    memset(vrig_at(rig, 0x200000, 0x200000), 0xee, 0x200000);
    memset(vrig_at(rig, VRIG_HIGH, 0x20000), 0xee, 0x20000);
    (void)vdriver_add(&rig->driver.queue[q], range, 4);
    vdriver_kick(&rig->driver, q);
    vrig_turn(rig);
    take_back(rig, q);
    assert_false(present(rig, 0x200000) || present(rig, 0x2ff000));
    assert_true(present(rig, 0x1ff000) && present(rig, 0x300000));
    assert_false(present(rig, 0x311000));
    assert_int_equal(*vrig_at(rig, 0x310fff, 1), 0xee);
    assert_int_equal(*vrig_at(rig, 0x312000, 1), 0xee);
    assert_int_equal(*vrig_at(rig, 0x320200, 1), 0xee);
    assert_false(present(rig, VRIG_HIGH + 0xf000));
    assert_true(present(rig, VRIG_HIGH + 0x10000));
    assert_int_equal(mv_balloon_reported_bytes(rig->dev) - before, 0x111000);
    assert_int_equal(mv_balloon_bytes(rig->dev), 0);
}

/* By the specification's number, and by the one that Linux uses. */
static void reporting_gives_ranges_back(void **state)
{
    if (host_pages_are_larger())
        skip();
    report(*state, REPORT);
    report(*state, REPORT_OLD);
}

static void reporting_must_be_negotiated(void **state)
{
    struct vrig *rig = *state;
    const struct vdriver_buffer range = {0x200000, 0x1000, true};
    uint16_t head;
    uint32_t written;
    assert_true(vdriver_start(&rig->driver, 1ull << 32));
    for (unsigned q = REPORT_OLD; q <= REPORT; q++) {
        (void)vdriver_add(&rig->driver.queue[q], &range, 1);
        vdriver_kick(&rig->driver, q);
        vrig_turn(rig);
        assert_false(vdriver_reap(&rig->driver.queue[q], &head, &written));
    }
    assert_true(present(rig, 0x200000));
}

static void the_target_is_told(void **state)
{
    struct vrig *rig = *state;
    struct vdriver *d = &rig->driver;
    mv_balloon_set_target(rig->dev, 1234);
    assert_int_equal(vdriver_interrupt(d), CONFIG);
    assert_int_equal(vdriver_read(d, VREG_CONFIG), 1234);
    vdriver_write(d, VREG_CONFIG + 4, 77);
    assert_int_equal(vdriver_read(d, VREG_CONFIG + 4), 77);
    const uint32_t pfn = 0x300;
    offer_pages(rig, INFLATE, &pfn, 1);
    vdriver_reset(d); /* the next driver owns everything; the target stays */
    assert_int_equal(vdriver_read(d, VREG_CONFIG), 1234);
    assert_int_equal(vdriver_read(d, VREG_CONFIG + 4), 0);
    assert_int_equal(mv_balloon_bytes(rig->dev), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(inflating_gives_pages_back),   T(a_list_may_be_scattered),
        T(nonsense_fails_the_device),    T(reporting_gives_ranges_back),
        T(reporting_must_be_negotiated), T(the_target_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
