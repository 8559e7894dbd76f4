/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * MSI-X (PCI 3.0, 6.8.2): a function's table of messages and its pending bits, both in
 * guest memory space, and the decision that they are there for: whether an interrupt is
 * sent now, kept until it is unmasked, or none of MSI-X's business.
 *
 * The capability in configuration space belongs to the function's owner, who tells what
 * it says (mv_msix_control) and passes accesses to the table and the bits on.
 *
 * Deliberately absent: MSI (one message for all queues; every driver that knows MSI
 * knows MSI-X).
 */
#ifndef MV_PCI_MSIX_H
#define MV_PCI_MSIX_H

#include "core/state.h"
#include "os/thread.h"

enum {
    MV_MSIX_VECTORS_MAX = 32, /* a virtio device has at most 19 */
    MV_MSIX_ENTRY_BYTES = 16,
    MV_MSIX_PENDING_BYTES = 8 /* 64 bits, whatever the number of vectors */
};

/* Message Control, offset 2 of the capability. */
enum { MV_MSIX_ENABLE = 0x8000, MV_MSIX_FUNCTION_MASK = 0x4000 };

/* Where messages go. Both are called under the table's lock: they call nothing here and
 * take only leaf locks. */
struct mv_msix_host {
    /* Any thread. The message is the one that `changed` was told last for this vector.
     */
    void (*send)(void *ctx, unsigned vector, uint64_t address, uint32_t data);
    /* The vector's message is another one from now on: routes are programmed here. On
     * the vCPU that unmasked it; not called when only masks flip. NULL: send is enough.
     * KVM changes its routes in microseconds, or milliseconds where an interrupt is on
     * its way; a signal of the same device waits that long. */
    void (*changed)(void *ctx, unsigned vector, uint64_t address, uint32_t data);
    void *ctx;
};

struct mv_msix {
    struct mv_msix_host host;
    unsigned vectors;
    uv_mutex_t lock; /* a leaf: guards all below */
    bool enabled, masked;
    uint64_t pending, told; /* bit per vector; told: `message` is what host knows */
    uint8_t table[MV_MSIX_VECTORS_MAX * MV_MSIX_ENTRY_BYTES];
    struct {
        uint64_t address;
        uint32_t data;
    } message[MV_MSIX_VECTORS_MAX];
};

/* As after a reset of the bus: off, every vector masked. */
int mv_msix_open(struct mv_msix *msix, unsigned vectors,
                 const struct mv_msix_host *host, microvm_error *err);
void mv_msix_close(struct mv_msix *msix);

/* What the capability and the command register say now. Off: what was pending is
 * forgotten. `masked`: no vector may send,
 * be it by the function mask or because the function is no bus master. On the way what
 * was pending and may be sent is sent. Any thread. */
void mv_msix_control(struct mv_msix *msix, bool enabled, bool masked);
bool mv_msix_enabled(struct mv_msix *msix);

/* An interrupt: it is sent, or becomes pending until it can be; several that find it
 * pending are one. False: MSI-X is off, and the function's pin is to be used. A vector
 * that there is not (0xffff) sends nothing. When a guest's write that masks a vector is
 * over, so is the last call of `send` that was under way. What that did may be less
 * than delivery: a message sent by irq_msi is with the local APIC, one sent by an
 * eventfd has been handed to the hypervisor, which may deliver it a moment later. Any
 * thread. */
bool mv_msix_signal(struct mv_msix *msix, unsigned vector);
/* What is pending is wanted no longer: the device has been reset. */
void mv_msix_forget(struct mv_msix *msix);

/* The guest's accesses to the table and to the pending bits, of 1, 2, 4 or 8 bytes at
 * any offset; what is beyond reads as zero, and the bits are read-only. A message is
 * taken over when its vector is unmasked; one that is rewritten while it is (6.8.2:
 * undefined) is taken over write by write. Any thread. */
uint64_t mv_msix_read_table(struct mv_msix *msix, uint64_t offset, unsigned size);
void mv_msix_write_table(struct mv_msix *msix, uint64_t offset, unsigned size,
                         uint64_t value);
uint64_t mv_msix_read_pending(struct mv_msix *msix, uint64_t offset, unsigned size);

/* While nothing signals; the format's version is the function's owner's. Load is into
 * one that was opened with the same number of vectors; it leaves it off, until
 * mv_msix_control is called with what the capability says, which tells messages and
 * sends what was pending and may be sent. */
void mv_msix_save(struct mv_msix *msix, struct mv_writer *w);
int mv_msix_load(struct mv_msix *msix, struct mv_reader *r, microvm_error *err);

#endif
