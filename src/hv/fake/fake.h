/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hypervisor without a processor, for tests on any system: the guest's instructions
 * are steps, 24 bytes each, fetched from guest memory where rip stands, and each is one
 * thing that a guest can do to a machine. So a test writes its script into what the
 * machine loads as a kernel, and nothing between the test and this backend needs to
 * know. Addresses are guest-physical; there is no paging, and no interrupt handler:
 * interrupts are what a step waits for.
 *
 * It keeps the contracts of hv.h where a real hypervisor would, and is stricter where
 * that finds mistakes: memory that is not mapped fails the vCPU instead of reading as
 * something.
 *
 * Not there: rung 1, and binding eventfds to lines (irq_bind says UNSUPPORTED) and to
 * messages (no msi_bind), as on hypervisors without eventfds.
 */
#ifndef MV_HV_FAKE_FAKE_H
#define MV_HV_FAKE_FAKE_H

#include "hv/hv.h"

enum mv_fake_op {
    MV_FAKE_PIO_WRITE = 1, /* size bytes of value to port address */
    MV_FAKE_PIO_READ,      /* rax = size bytes from port address */
    MV_FAKE_MMIO_WRITE,    /* size bytes of value to address, or to the bell there */
    MV_FAKE_MMIO_READ,     /* rax = size bytes from address */
    MV_FAKE_STORE,         /* size bytes of value into guest memory at address */
    MV_FAKE_LOAD,          /* rax = size bytes of guest memory at address */
    MV_FAKE_CHECK,         /* rax must be value, else the vCPU fails and says so */
    MV_FAKE_JUMP,          /* goes on with the step at address */
    MV_FAKE_SPIN,          /* stays here, busy, whatever happens */
    MV_FAKE_WAIT_KICK,     /* busy until kicked; the next run goes on behind it */
    MV_FAKE_WAIT_LINE,     /* halted until line address has risen; takes one edge */
    MV_FAKE_WAIT_MSI,      /* halted until the vector value has come; takes one */
    MV_FAKE_EOI,           /* ends the interrupt with vector value (rung 2) */
    MV_FAKE_START,         /* lets vCPU value, which waits for INIT, run at address */
    MV_FAKE_SHUTDOWN,      /* triple fault */
    MV_FAKE_RESET,         /* the hypervisor sees a reset request */
    MV_FAKE_FAIL           /* the hypervisor fails */
};

struct mv_fake_step {
    uint32_t op;
    uint32_t size;
    uint64_t address;
    uint64_t value;
};

enum {
    MV_FAKE_LINES = 24,
    MV_FAKE_SLOTS_MAX = 16,
    MV_FAKE_BELLS_MAX = 64,
    MV_FAKE_GATHER_MAX = 64
};

/* What has been done to a VM so far. */
struct mv_fake_record {
    unsigned maps, unmaps, setups, routes, clock_sets;
    unsigned edges[MV_FAKE_LINES]; /* times a line rose */
    bool level[MV_FAKE_LINES];
    unsigned msis[256]; /* by vector */
    unsigned bells;     /* rung by the guest */
};

extern const struct mv_hv_ops mv_fake_ops;

/* Any thread. */
void mv_fake_record_get(struct mv_hv_vm *vm, struct mv_fake_record *out);

#endif
