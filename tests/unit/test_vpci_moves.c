/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What moves under the PCI transport: its BAR, the window in configuration space, bus
 * mastering, the whole device from one place to another, and vCPUs that mask, retarget
 * and move while the loop is at work.
 */
#include "vpci_rig.h"

#include "core/state.h"

/* -- the window -- */

static uint64_t window_read(void *chip, uint64_t at, unsigned size)
{
    return vdriver_window_read(chip, (uint32_t)at, size);
}

static void window_write(void *chip, uint64_t at, unsigned size, uint64_t value)
{
    vdriver_window_write(chip, (uint32_t)at, size, (uint32_t)value);
}

static const struct mv_bus_ops window_bus = {window_read, window_write};

/* As firmware works that cannot reach the BAR: all of it, decoding off. */
static void the_window_does_all(void **state)
{
    struct rig *rig = *state;
    struct vdriver driver = rig->v.driver, *d = &rig->v.driver;
    command(rig, PCI_MASTER);
    assert_int_equal(get(rig, STATUS, 1), 0xff);
    d->bus = &window_bus;
    d->chip = &driver;
    start(rig);
    assert_int_equal(ask(rig, 1), 1);
    assert_int_equal(vdriver_interrupt(d), USED);
    vdriver_config_write(d, 4, 4, 0x11223344);
    assert_int_equal(vdriver_config_read(d, 6, 1), 0x22);
    vdriver_reset(d);
}

static void the_window_has_its_limits(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    const unsigned at = d->pci.window_at;
    const struct {
        uint32_t bar, offset, size;
    } bad[] = {{1, STATUS, 1},      {0, STATUS, 0}, {0, STATUS, 3},
               {0, STATUS, 8},      {0, 0x15, 2},   {0, 0x8000, 1},
               {0, UINT32_MAX, 1},  {0, 0x7ffe, 4}, {0, STATUS, UINT32_MAX},
               {0, 0x80000000u, 4}, {6, STATUS, 1}, {255, STATUS, 1}};
    start(rig);
    for (size_t i = 0; i < MV_ARRAY_LEN(bad); i++) {
        vdriver_pci_write(d, at + 4, 1, bad[i].bar);
        vdriver_pci_write(d, at + 8, 4, bad[i].offset);
        vdriver_pci_write(d, at + 12, 4, bad[i].size);
        vdriver_pci_write(d, at + 16, 4, 0);
        assert_int_equal(vdriver_pci_read(d, at + 16, 4), 0); /* what was written */
    }
    assert_int_equal(get(rig, STATUS, 1), RUNNING);
    /* Whoever reads all of configuration space acknowledges nothing by that. */
    make_config(rig);
    vdriver_pci_write(d, at + 12, 4, 0);
    for (unsigned reg = 0; reg < 256; reg += 4)
        (void)config(rig, reg, 4);
    assert_int_equal(vdriver_window_read(d, MV_VPCI_ISR, 1), CONFIG);
    assert_int_equal(vdriver_window_read(d, MV_VPCI_ISR, 1), 0);
}

/* -- BAR and bells -- */

static void bells_follow_the_bar(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    uint64_t notify = d->pci.notify.at;
    start(rig);
    for (unsigned i = 0; i < 8; i++) {
        for (unsigned q = 0; q < QUEUES; q++)
            assert_true(rig->bell[q] == d->pci.bar + notify + 4ull * q);
        uint64_t was = d->pci.bar;
        d->pci.bar = VRIG_WINDOW + 0x100000 + 0x8000ull * (i * 7 % 5);
        pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, d->pci.bar);
        assert_int_equal(ask(rig, i % QUEUES), 1);
        if (was != d->pci.bar)
            assert_int_equal(pcidriver_load(&d->pci.host, was + STATUS, 1), 0xff);
    }
    command(rig, PCI_MASTER); /* no memory */
    assert_int_equal(rig->bell[0] + rig->bell[1], 0);
    assert_int_equal(rig->v.dev->life, MV_VDEV_LIVE);
    command(rig, PCI_MASTER | PCI_MEMORY);
    /* Over RAM, over configuration space, beyond everything. */
    const uint64_t bad[] = {0, 0x100000, VRIG_ECAM, VRIG_HIGH, 0xfee00000, 1ull << 63};
    for (size_t i = 0; i < MV_ARRAY_LEN(bad); i++) {
        pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, bad[i]);
        assert_int_equal(rig->bell[0] + rig->bell[1], 0);
    }
    pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, d->pci.bar);
    assert_int_equal(ask(rig, 0), 1);
}

static void bells_that_cannot_be_had_are_not_missed(void **state)
{
    struct rig *rig = *state;
    command(rig, 0);
    rig->no_bells = true;
    command(rig, PCI_MASTER | PCI_MEMORY);
    assert_int_equal(rig->bell[0] + rig->bell[1], 0);
    start(rig);
    assert_int_equal(ask(rig, 1), 1);
}

/* -- bus mastering -- */

static void no_master_no_memory(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    const struct vdriver_buffer buffer = {DATA, 4, true};
    uint16_t head;
    uint32_t written;
    start(rig);
    command(rig, PCI_MEMORY);
    assert_int_equal(rig->v.dev->life, MV_VDEV_ASLEEP);
    unsigned pulses = rig->v.pulses;
    (void)vdriver_add(&d->queue[0], &buffer, 1);
    (void)vdriver_publish(&d->queue[0]);
    vdriver_write(d, VREG_QUEUE_NOTIFY, 0);
    mv_vdev_wake(rig->v.dev); /* as after a pause */
    make_config(rig);
    vrig_turn(&rig->v);
    assert_false(vdriver_reap(&d->queue[0], &head, &written));
    assert_int_equal(rig->v.pulses, pulses); /* messages are memory writes */
    command(rig, PCI_MEMORY | PCI_MASTER);
    vrig_turn(&rig->v);
    assert_true(vdriver_reap(&d->queue[0], &head, &written));
    assert_int_equal(rig->v.pulses, pulses + 2);
    vdriver_reset(d);
    command(rig, PCI_MEMORY);
    start(rig);
    assert_int_equal(rig->v.dev->life, MV_VDEV_ASLEEP);
    command(rig, PCI_MEMORY | PCI_MASTER);
    assert_int_equal(rig->v.dev->life, MV_VDEV_LIVE);
    assert_int_equal(ask(rig, 1), 1);
    command(rig, PCI_MEMORY);
    vdriver_reset(d); /* asleep */
    command(rig, PCI_MEMORY | PCI_MASTER);
    assert_int_equal(rig->v.dev->life, MV_VDEV_IDLE);
    start(rig);
    assert_int_equal(ask(rig, 0), 1);
}

/* -- state -- */

static void move(struct rig *rig)
{
    struct mv_writer w;
    microvm_error err;
    mv_writer_open(&w, 4096);
    mv_vdev_sleep(rig->v.dev);
    vrig_save(&rig->v, &w);
    assert_false(w.failed);
    vrig_detach(&rig->v);
    vrig_turn(&rig->v);
    vrig_replace(&rig->v, echo_open(&rig->v.host));
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_ok(vrig_load(&rig->v, &r, &err), &err);
    assert_true(mv_reader_done(&r));
    mv_vdev_wake(rig->v.dev);
    mv_writer_close(&w);
}

static void state_keeps_vectors_and_pending(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    start(rig);
    pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, VRIG_WINDOW + 0x200000);
    d->pci.bar = VRIG_WINDOW + 0x200000;
    put(rig, QUEUE_SELECT, 2, 1);
    put(rig, 0x00, 4, 1);
    put(rig, 0x08, 4, 1);
    put(rig, d->pci.table + 32 + 12, 4, 1);
    put(rig, d->pci.table + 32 + 8, 4, 0x77);
    assert_int_equal(ask(rig, 1), 0);
    make_config(rig);
    unsigned pulses = rig->v.pulses;
    move(rig);
    assert_int_equal(rig->v.pulses, pulses);
    assert_true(rig->bell[1] == d->pci.bar + d->pci.notify.at + 4);
    assert_int_equal(get(rig, CONFIG_VECTOR, 2), 0);
    assert_int_equal(get(rig, QUEUE_SELECT, 2), 1);
    assert_int_equal(get(rig, QUEUE_VECTOR, 2), 2);
    assert_int_equal(get(rig, 0x00, 4), 1);
    assert_int_equal(get(rig, 0x08, 4), 1);
    assert_int_equal(get(rig, 0x0c, 4), 1);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), CONFIG);
    assert_int_equal(get(rig, d->pci.pending, 4), 4);
    assert_int_equal(get(rig, d->pci.table + 32 + 8, 4), 0x77);
    put(rig, d->pci.table + 32 + 12, 4, 0);
    assert_int_equal(rig->v.pulses, pulses + 1);
    assert_int_equal(ask(rig, 0), 1);
    assert_int_equal(ask(rig, 1), 1);
}

static void state_keeps_the_pin(void **state)
{
    struct rig *rig = *state;
    start(rig);
    make_used(rig, 0);
    move(rig);
    assert_true(rig->v.pin);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), USED);
    assert_false(rig->v.pin);
    assert_int_equal(ask(rig, 1), 1);
}

/* An event that a message told of is no pin's after a move either. */
static void state_keeps_what_was_told(void **state)
{
    struct rig *rig = *state;
    struct vdriver *d = &rig->v.driver;
    start(rig);
    make_config(rig);
    move(rig);
    vdriver_pci_write(d, d->pci.msix_at + 2, 2, 0);
    assert_false(rig->v.pin);
    assert_int_equal(get(rig, MV_VPCI_ISR, 1), 0);
}

static void state_keeps_a_device_held(void **state)
{
    struct rig *rig = *state;
    start(rig);
    command(rig, PCI_MEMORY);
    move(rig);
    assert_int_equal(rig->v.dev->life, MV_VDEV_ASLEEP);
    command(rig, PCI_MEMORY | PCI_MASTER);
    assert_int_equal(rig->v.dev->life, MV_VDEV_LIVE);
    assert_int_equal(ask(rig, 0), 1);
}

/* -- threads -- */

enum { RACE_QUEUES = 4, RACE_ROUNDS = 1500, RACE_TURNS = 64 };

/* The loop has its thread; one vCPU has a request at a time on each of four queues, the
 * other masks, retargets, moves the BAR and takes bus mastering away. */
struct race {
    struct rig *rig;
    uv_mutex_t place; /* of the BAR, which a guest's kernel would guard so as well */
    _Atomic unsigned messages[RACE_QUEUES + 1], turns, bad;
    _Atomic uint32_t target[RACE_QUEUES + 1];
    _Atomic bool over;
};

static void race_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct race *race = ctx;
    if (vector > RACE_QUEUES || address != VDRIVER_ADDRESS ||
        data != race->target[vector])
        race->bad++;
    else
        race->messages[vector]++;
}

static void race_entry(struct race *race, unsigned vector, uint32_t data)
{
    uint32_t entry = race->rig->v.driver.pci.table + 16 * vector;
    put(race->rig, entry + 12, 4, 1);
    race->target[vector] = data;
    put(race->rig, entry + 8, 4, data);
    put(race->rig, entry + 12, 4, 0);
}

static void race_move(struct race *race, unsigned n)
{
    struct vdriver *d = &race->rig->v.driver;
    uv_mutex_lock(&race->place);
    d->pci.bar = VRIG_WINDOW + 0x100000 + 0x8000ull * (n % 7);
    pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0, d->pci.bar);
    uv_mutex_unlock(&race->place);
}

static void race_vcpu(void *arg)
{
    struct race *race = arg;
    struct rig *rig = race->rig;
    for (unsigned n = 0; !race->over; n++, race->turns++) {
        race_entry(race, 1 + n % RACE_QUEUES, 0x40 + n % 64);
        if (n % 16 == 5)
            race_move(race, n / 16);
        if (n % 16 == 9)
            command(rig, PCI_MEMORY);
        if (n % 16 == 11)
            command(rig, PCI_MEMORY | PCI_MASTER);
        vdriver_pci_write(&rig->v.driver, rig->v.driver.pci.msix_at + 2, 2,
                          n % 4 == 1 ? 0xc000 : 0x8000);
        (void)vdriver_window_read(&rig->v.driver, MV_VPCI_ISR, 1);
        uv_sleep(0);
    }
    command(rig, PCI_MEMORY | PCI_MASTER);
    vdriver_pci_write(&rig->v.driver, rig->v.driver.pci.msix_at + 2, 2, 0x8000);
}

static void race_ask(struct race *race, unsigned q, unsigned n)
{
    const struct vdriver_buffer buffer = {DATA, 4, true};
    struct vdriver *d = &race->rig->v.driver;
    uint64_t end = uv_hrtime() + 10000000000u;
    uint16_t head;
    uint32_t written;
    assert_false(vdriver_listen(&d->queue[q]));
    (void)vdriver_add(&d->queue[q], &buffer, 1);
    uv_mutex_lock(&race->place);
    vdriver_kick(d, q);
    uv_mutex_unlock(&race->place);
    for (unsigned looks = 0; race->messages[q + 1] < n && uv_hrtime() < end; looks++) {
        if (looks > 1000)
            uv_sleep(0); /* the others may need this CPU */
    }
    assert_int_equal(race->messages[q + 1], n); /* one each: none lost, none doubled */
    assert_true(vdriver_reap(&d->queue[q], &head, &written));
}

static struct mv_vdev *race_device(struct rig *rig)
{
    struct mv_vdev *dev = NULL;
    microvm_error err;
    assert_ok(mv_vdev_open_queues(&echo_class, RACE_QUEUES, sizeof *dev, NULL,
                                  &rig->v.host, &dev, &err),
              &err);
    return dev;
}

static void race_open(struct race *race, struct rig *rig)
{
    microvm_error err;
    race->rig = rig;
    assert_int_equal(uv_mutex_init(&race->place), 0);
    for (unsigned v = 0; v <= RACE_QUEUES; v++)
        race->target[v] = VDRIVER_DATA + v;
    vrig_open_on(&rig->v, VRIG_PCI);
    rig->v.pci_host.message = (struct mv_msix_host){.send = race_send, .ctx = race};
    vrig_attach(&rig->v, race_device(rig));
    assert_ok(mv_loop_start(&rig->v.loop, "test", &err), &err);
    start(rig);
    assert_int_equal(rig->v.driver.queues, RACE_QUEUES);
}

static void vcpus_and_loop_are_threads(void **state)
{
    struct race *race = test_calloc(1, sizeof *race);
    struct rig *rig = test_calloc(1, sizeof *rig);
    uint64_t end = uv_hrtime() + 60000000000u;
    uv_thread_t thread;
    (void)state;
    race_open(race, rig);
    assert_int_equal(uv_thread_create(&thread, race_vcpu, race), 0);
    /* as long as it takes until the other had its turns, too: it may wait for a CPU */
    for (unsigned n = 1;
         n <= RACE_ROUNDS || (race->turns < RACE_TURNS && uv_hrtime() < end); n++) {
        for (unsigned q = 0; q < RACE_QUEUES; q++)
            race_ask(race, q, n);
    }
    race->over = true;
    (void)uv_thread_join(&thread);
    assert_true(race->turns >= RACE_TURNS);
    assert_int_equal(race->bad, 0);
    assert_int_equal(rig->v.failures, 0);
    vdriver_reset(&rig->v.driver);
    vrig_close(&rig->v);
    uv_mutex_destroy(&race->place);
    test_free(rig);
    test_free(race);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_window_does_all),       T(the_window_has_its_limits),
        T(bells_follow_the_bar),      T(bells_that_cannot_be_had_are_not_missed),
        T(no_master_no_memory),       T(state_keeps_vectors_and_pending),
        PIN(state_keeps_the_pin),     T(state_keeps_what_was_told),
        T(state_keeps_a_device_held), cmocka_unit_test(vcpus_and_loop_are_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
