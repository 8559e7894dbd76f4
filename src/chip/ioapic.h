/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Intel's I/O APIC (82093AA data sheet, 290566-001) with the EOI register of version
 * 0x20, for hypervisors that have local APICs only. A pin's redirection entry is a
 * message: delivering means calling msi with the address and data that the entry
 * encodes (Intel SDM Vol. 3, 11.11).
 *
 * Locks: pins are set and pulsed from any thread, also by chips that hold their own
 * lock. So `lock` is a leaf that is held for some instructions and never while calling
 * out: what to send is decided inside, sent outside. Register writes are serialised by
 * `write_lock`, which delivery never takes, because they call `changed`, which may
 * wait.
 *
 * Absent: polarity (lines are told as asserted or not), the APIC bus and its delivery
 * status: a message is gone when it is sent.
 */
#ifndef MV_CHIP_IOAPIC_H
#define MV_CHIP_IOAPIC_H

#include "core/bus.h"
#include "core/irq.h"
#include "core/state.h"
#include "os/thread.h"

enum { MV_IOAPIC_SIZE = 0x1000, MV_IOAPIC_PINS = 24, MV_IOAPIC_STATE_VERSION = 1 };

/* A pin that is still asserted at the EOI sends again, and a guest that gets that
 * interrupt before its first instruction behind the EOI gets nowhere. On a board some
 * time passes in between. A driver that serves its device deasserts the pin each time,
 * so EOIs without that, one after the other, are a guest that cannot: after so many it
 * is given so much time. Few enough that the storm is shorter than the pause; more than
 * the devices that can share a pin. (KVM's own I/O APIC gives 10 ms after 10000.) */
enum { MV_IOAPIC_EOIS_MAX = 100, MV_IOAPIC_PAUSE_MS = 10 };

/* A redirection entry as the message it sends. */
struct mv_ioapic_route {
    uint64_t address;
    uint32_t data;
    bool masked, level;
};

struct mv_ioapic_host {
    /* Any thread, no lock of the chip held. A leaf: must not wait. */
    void (*msi)(void *ctx, uint64_t address, uint32_t data);
    /* Some of the messages are others than before; all MV_IOAPIC_PINS are given. On the
     * vCPU's thread, one call at a time, and returns before a level-triggered pin sends
     * its new message. May wait, must not access the chip. */
    void (*changed)(void *ctx, const struct mv_ioapic_route *route);
    /* mv_ioapic_resend is to be called in MV_IOAPIC_PAUSE_MS; when that has been asked
     * for already, once. Any thread, no lock of the chip held, must not wait. */
    void (*later)(void *ctx);
    void *ctx;
};

struct mv_ioapic {
    uv_mutex_t write_lock;
    uv_mutex_t lock; /* all below but host */
    uint64_t entry[MV_IOAPIC_PINS];
    uint32_t asserted; /* bit per pin: what it was set to */
    uint32_t held;     /* bit per pin: level-triggered and not yet told to `changed` */
    /* EOIs since the pin was deasserted or paused; not saved, counted anew. */
    uint8_t eois[MV_IOAPIC_PINS];
    uint8_t id, index;
    struct mv_ioapic_host host;
};

extern const struct mv_bus_ops mv_ioapic_bus;

int mv_ioapic_open(struct mv_ioapic *ioapic, const struct mv_ioapic_host *host,
                   microvm_error *err);
void mv_ioapic_close(struct mv_ioapic *ioapic);

/* The pin as a line for a chip. pin < MV_IOAPIC_PINS. */
struct mv_irq mv_ioapic_pin(struct mv_ioapic *ioapic, unsigned pin);

/* The guest has finished a level-triggered vector, as a local APIC tells it: pins that
 * are still asserted send again, at once or after a pause. Any thread. */
void mv_ioapic_eoi(struct mv_ioapic *ioapic, uint8_t vector);
/* The pause is over: pins that have something to send do. Any thread. */
void mv_ioapic_resend(struct mv_ioapic *ioapic);

/* While no vCPU runs. Load calls `changed`, and sends nothing that was sent before;
 * what was paused it sends. */
void mv_ioapic_save(struct mv_ioapic *ioapic, struct mv_writer *w);
int mv_ioapic_load(struct mv_ioapic *ioapic, struct mv_reader *r, uint32_t version,
                   microvm_error *err);

#endif
