/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two virtio devices on one PCI bus with one guest memory, and the guest's stores as a
 * hypervisor carries them out: a bound bell takes them before the bus sees them, and no
 * place can have two bells. The devices give back what they are given.
 */
#ifndef TESTS_DEVICE_PCIBED_H
#define TESTS_DEVICE_PCIBED_H

#include "check.h"
#include "pcirig.h"
#include "vdriver.h"

#include "virtio/vpci.h"

enum { PCIBED_CARDS = 2, PCIBED_QUEUES = 2, PCIBED_FIRST_SLOT = 4 };
enum { PCIBED_RAM = 4 << 20 };

struct pcibed;

struct pcibed_card {
    struct pcibed *bed;
    unsigned slot;
    struct mv_vdev *dev;
    struct mv_vpci pci;
    struct vdriver driver;
    uint64_t bell[PCIBED_QUEUES]; /* where it is bound; under bell_lock */
    _Atomic uint32_t messages;    /* bit per vector, until the driver takes them */
    _Atomic unsigned sent, rung;  /* messages; bells, not those that came up */
    uint64_t address;             /* of the message sent last */
    uint32_t data;
    _Atomic unsigned failures;
    uint8_t last[PCIBED_QUEUES]; /* what the last request contained */
};

struct pcibed {
    struct pcirig rig;
    struct mv_bus memory; /* the guest's stores: bells, then the rig's bus */
    struct mv_loop loop;
    struct mv_ram ram;
    struct mv_log log;
    uv_mutex_t bell_lock;
    struct pcibed_card card[PCIBED_CARDS]; /* [0] has the lower slot */
};

/* The drivers have probed their devices and started them, without EVENT_IDX. */
void pcibed_open(struct pcibed *bed);
void pcibed_close(struct pcibed *bed);

/* Lets the loop work; of a bed whose loop has no thread. */
void pcibed_turn(struct pcibed *bed);

/* A request of one byte read and one written: added and published, but not notified;
 * and whether its answer, which is the byte, has come. */
void pcibed_submit(struct pcibed_card *card, unsigned q);
bool pcibed_answered(struct pcibed_card *card, unsigned q);
/* The whole, with the driver's notification, one message and the loop's turns. */
void pcibed_ask(struct pcibed_card *card, unsigned q);

/* Bells bound now. */
unsigned pcibed_bells(struct pcibed *bed);

#endif
