/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MMIO transport under vCPUs that come from several threads while the loop has its
 * own: no interrupt is lost, however it is acknowledged, and a reset stops everything.
 */
#include "check.h"
#include "echo.h"
#include "vrig.h"

#include "util/bytes.h"

enum { RUNNING = 15, USED = 1, DATA = 0x100000 };

static int setup(void **state)
{
    struct vrig *rig = test_calloc(1, sizeof *rig);
    vrig_open(rig);
    vrig_attach(rig, echo_open(&rig->host));
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

static void start(struct vrig *rig)
{
    rig->driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&rig->driver, UINT64_MAX));
}

enum { ROUNDS = 2000 };

struct pester {
    struct vrig *rig;
    atomic_bool stop;
};

/* A second vCPU that reads and writes whatever does not end the first one's work. */
static void pester_main(void *arg)
{
    struct pester *pester = arg;
    const struct vdriver *d = &pester->rig->driver;
    for (uint32_t n = 0; !atomic_load(&pester->stop); n++) {
        (void)vdriver_read(d, 4 * (n % 0x50));
        vdriver_write(d, VREG_QUEUE_SEL, n % 3);
        vdriver_write(d, VREG_QUEUE_NUM, n);
        vdriver_write(d, VREG_QUEUE_NOTIFY, n % 3);
        vdriver_write(d, VREG_CONFIG + 4, n);
        vdriver_write(d, VREG_STATUS, RUNNING);
    }
}

static bool wait_edge(struct vrig *rig, unsigned seen)
{
    uint64_t end = uv_hrtime() + 5000000000u;
    while (rig->pulses == seen) {
        if (uv_hrtime() > end)
            return false;
    }
    return true;
}

/* Without an exit where the rig's hypervisor takes that. */
static void acknowledge(struct vrig *rig, uint32_t status)
{
    if (status == USED && rig->mmio.acked.handle != -1)
        mv_notify_signal(&rig->mmio.acked);
    else
        vdriver_write(&rig->driver, VREG_INTERRUPT_ACK, status);
}

/* 1 to 4 requests a round; every one is answered before an interrupt is waited for in
 * vain. `last`: acknowledge after the rings were looked at, else before. */
static void traffic(struct vrig *rig, bool last)
{
    const struct vdriver_buffer buffer = {DATA, 4, true};
    struct vdriver_queue *vq = &rig->driver.queue[0];
    uint16_t head;
    uint32_t written, status;
    unsigned sent = 0, back = 0;
    (void)vdriver_listen(vq);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned seen = rig->pulses;
        for (unsigned n = 0; n <= round % 4; n++, sent++)
            (void)vdriver_add(vq, &buffer, 1);
        vdriver_kick(&rig->driver, 0);
        while (back < sent) {
            assert_true(wait_edge(rig, seen));
            seen = rig->pulses;
            status = vdriver_read(&rig->driver, VREG_INTERRUPT_STATUS);
            if (!last)
                acknowledge(rig, status);
            do {
                while (vdriver_reap(vq, &head, &written))
                    back++;
            } while (vdriver_listen(vq));
            if (last)
                acknowledge(rig, status);
        }
    }
}

static void vcpus_and_loop_are_threads(void **state)
{
    struct vrig *rig = *state;
    struct pester pester = {.rig = rig};
    uv_thread_t thread;
    microvm_error err;
    assert_ok(mv_loop_start(&rig->loop, "test", &err), &err);
    for (unsigned way = 0; way < 4; way++) {
        start(rig);
        atomic_store(&pester.stop, false);
        assert_int_equal(uv_thread_create(&thread, pester_main, &pester), 0);
        traffic(rig, way & 1);
        atomic_store(&pester.stop, true);
        (void)uv_thread_join(&thread);
        vdriver_reset(&rig->driver);
        if (way == 1)
            assert_ok(mv_notify_open(&rig->mmio.acked, &err), &err);
    }
    assert_int_equal(rig->failures, 0);
}

/* Reset while the loop is at work: when status reads 0, used rings do not change. */
static void reset_stops_a_busy_loop(void **state)
{
    struct vrig *rig = *state;
    const struct vdriver_buffer buffer = {DATA, 4, true};
    microvm_error err;
    assert_ok(mv_loop_start(&rig->loop, "test", &err), &err);
    for (unsigned round = 0; round < 300; round++) {
        start(rig);
        struct vdriver_queue *vq = &rig->driver.queue[round % 2];
        for (unsigned i = 0; i < 16; i++)
            (void)vdriver_add(vq, &buffer, 1);
        vdriver_kick(&rig->driver, round % 2);
        vdriver_reset(&rig->driver);
        uint8_t *used = vrig_at(rig, vq->used, 4);
        mv_store32(used, 0x5a5a5a5a);
        if (round % 32 == 0)
            uv_sleep(1);
        assert_int_equal(mv_load32(used), 0x5a5a5a5a);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(vcpus_and_loop_are_threads),
        T(reset_stops_a_busy_loop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
