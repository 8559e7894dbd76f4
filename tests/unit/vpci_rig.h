/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI transport's unit tests share: the plainest device in a rig, bells as a
 * hypervisor would bind them, and the steps that cases are made of.
 */
#ifndef TESTS_UNIT_VPCI_RIG_H
#define TESTS_UNIT_VPCI_RIG_H

#include "check.h"
#include "echo.h"
#include "vrig.h"

#include "util/bytes.h"

enum { RUNNING = 15, USED = 1, CONFIG = 2, DATA = 0x100000, QUEUES = 2 };

/* Offsets of struct virtio_pci_common_cfg. */
enum {
    CONFIG_VECTOR = 0x10,
    NUM_QUEUES = 0x12,
    STATUS = 0x14,
    QUEUE_SELECT = 0x16,
    QUEUE_SIZE = 0x18,
    QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c,
    QUEUE_NOTIFY_OFF = 0x1e,
    QUEUE_DESC = 0x20,
    COMMON_END = 0x38,
    NO_VECTOR = 0xffff
};

/* Bells, as a hypervisor would bind them: where each is, and how often that changed. */
struct rig {
    struct vrig v;
    uint64_t bell[QUEUES];
    unsigned binds, unbinds;
    bool no_bells;
};

static inline bool on_bind(void *ctx, unsigned q, uint64_t gpa)
{
    struct rig *rig = ctx;
    assert_true(q < QUEUES && rig->bell[q] == 0);
    if (rig->no_bells)
        return false;
    rig->bell[q] = gpa;
    rig->binds++;
    return true;
}

static inline void on_unbind(void *ctx, unsigned q, uint64_t gpa)
{
    struct rig *rig = ctx;
    assert_true(q < QUEUES && rig->bell[q] == gpa);
    rig->bell[q] = 0;
    rig->unbinds++;
}

static inline struct rig *rig_open(enum vrig_transport transport)
{
    struct rig *rig = test_calloc(1, sizeof *rig);
    vrig_open_on(&rig->v, transport);
    rig->v.pci_host.bind = on_bind;
    rig->v.pci_host.unbind = on_unbind;
    rig->v.pci_host.ctx = rig;
    vrig_attach(&rig->v, echo_open(&rig->v.host));
    return rig;
}

static inline int setup(void **state)
{
    *state = rig_open(VRIG_PCI);
    return 0;
}

static inline int setup_pin(void **state)
{
    *state = rig_open(VRIG_PCI_PIN);
    return 0;
}

static inline int teardown(void **state)
{
    struct rig *rig = *state;
    vrig_close(&rig->v);
    assert_int_equal(rig->binds, rig->unbinds);
    test_free(rig);
    return 0;
}

static inline void start(struct rig *rig)
{
    rig->v.driver.heap.at = VRIG_LOW_BYTES / 2;
    assert_true(vdriver_start(&rig->v.driver, UINT64_MAX));
}

static inline uint32_t get(struct rig *rig, uint64_t at, unsigned size)
{
    const struct vdriver *d = &rig->v.driver;
    return (uint32_t)d->bus->read(d->chip, at, size);
}

static inline void put(struct rig *rig, uint64_t at, unsigned size, uint32_t value)
{
    const struct vdriver *d = &rig->v.driver;
    d->bus->write(d->chip, at, size, value);
}

/* One request on queue q, answered; the messages or rises of the pin that it made. */
static inline unsigned ask(struct rig *rig, unsigned q)
{
    const struct vdriver_buffer buffer = {DATA, 4, true};
    unsigned pulses = rig->v.pulses;
    uint16_t head;
    uint32_t written;
    (void)vdriver_listen(&rig->v.driver.queue[q]);
    (void)vdriver_add(&rig->v.driver.queue[q], &buffer, 1);
    vdriver_kick(&rig->v.driver, q);
    vrig_turn(&rig->v);
    assert_true(vdriver_reap(&rig->v.driver.queue[q], &head, &written));
    return rig->v.pulses - pulses;
}

static inline void make_used(struct rig *rig, unsigned q)
{
    rig->v.dev->transport.signal(rig->v.dev->transport.transport, 1u << q);
}

static inline void make_config(struct rig *rig)
{
    rig->v.dev->transport.config_changed(rig->v.dev->transport.transport);
}

static inline uint32_t config(struct rig *rig, unsigned at, unsigned size)
{
    return vdriver_pci_read(&rig->v.driver, at, size);
}

static inline void command(struct rig *rig, uint16_t value)
{
    vdriver_pci_write(&rig->v.driver, PCI_COMMAND, 2, value);
}

#define T(name)   cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PIN(name) cmocka_unit_test_setup_teardown(name, setup_pin, teardown)

#endif
