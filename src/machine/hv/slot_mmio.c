/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A device over virtio-mmio: a page of address space, an interrupt line, bells for its
 * queues bound to the hypervisor. The place follows from the slot, so that addresses
 * depend on the configuration alone.
 */
#include "machine/hv/hv_machine.h"

/* The lines of the devices. Without ACPI Linux knows only the 16 ISA lines, so these
 * come first; 0 to 4, 8 (RTC) and 9 (power) are taken, 13 is the FPU's on old PCs. */
static const uint8_t mmio_gsi[MV_SLOTS_MAX] = {5,  6,  7,  10, 11, 12, 14, 15,
                                               16, 17, 18, 19, 20, 21, 22, 23};

/* An edge by eventfd where the hypervisor reads it, else by the line. */
static void mmio_pulse(void *controller, unsigned line)
{
    struct hv_slot *slot = controller;
    (void)line;
    mv_notify_signal(&slot->mmio.irq);
}

static struct mv_irq mmio_irq(struct hv_slot *slot)
{
    struct hv_machine *m = slot->m;
    struct mv_notify *notify = &slot->mmio.irq;
    struct mv_irq irq = hv_board_irq(m, slot->mmio.gsi);
    if (m->rung != MV_RUNG_FULL || !m->hv->irq_bind || mv_notify_open(notify, NULL))
        return irq;
    if (m->hv->irq_bind(m->vm, slot->mmio.gsi, notify->handle, NULL)) {
        mv_notify_close(notify);
        return irq;
    }
    irq.controller = slot;
    irq.pulse = mmio_pulse;
    return irq;
}

static void mmio_unbind_bells(struct hv_slot *slot, unsigned bells)
{
    const struct hv_machine *m = slot->m;
    for (unsigned q = 0; q < bells && m->hv->bell_unbind; q++)
        (void)m->hv->bell_unbind(m->vm, slot->mmio.base + MV_VMMIO_QUEUE_NOTIFY, 4, q,
                                 &slot->dev->bell[q], NULL);
}

/* Where the hypervisor reads the interrupt's eventfd, it can write one as well. A wish:
 * without it the acknowledgement comes up. */
static void mmio_bind_ack(struct hv_slot *slot)
{
    const struct mv_hv_ops *hv = slot->m->hv;
    struct mv_notify *acked = &slot->mmio.mmio.acked;
    if (slot->mmio.irq.handle == -1 || !hv->bell_bind || mv_notify_open(acked, NULL))
        return;
    struct mv_bell bell = {.fd = acked->handle}; /* the loop does not listen to it */
    if (hv->bell_bind(slot->m->vm, slot->mmio.base + MV_VMMIO_INTERRUPT_ACK, 4,
                      MV_VMMIO_ACK_USED, &bell, NULL))
        mv_notify_close(acked);
}

/* Without bells the transport rings them itself. */
static int mmio_bind_bells(struct hv_slot *slot, microvm_error *err)
{
    const struct hv_machine *m = slot->m;
    if (!m->hv->bell_bind)
        return 0;
    for (unsigned q = 0; q < slot->dev->queues; q++) {
        int rc = m->hv->bell_bind(m->vm, slot->mmio.base + MV_VMMIO_QUEUE_NOTIFY, 4, q,
                                  &slot->dev->bell[q], err);
        if (rc) {
            mmio_unbind_bells(slot, q);
            return rc;
        }
    }
    return 0;
}

int hv_mmio_attach(struct hv_slot *slot, microvm_error *err)
{
    struct hv_machine *m = slot->m;
    unsigned index = (unsigned)(slot - m->slot);
    slot->mmio =
        (struct hv_slot_mmio){.base = MV_X86_VIRTIO + index * (uint64_t)MV_VMMIO_SIZE,
                              .gsi = mmio_gsi[index],
                              .irq = MV_NOTIFY_CLOSED};
    struct mv_irq irq = mmio_irq(slot);
    int rc = mv_vmmio_open(&slot->mmio.mmio, slot->dev, &irq, err);
    if (rc)
        goto fail_irq;
    if ((rc = mmio_bind_bells(slot, err)))
        goto fail_mmio;
    rc = mv_bus_add(&m->mmio, slot->mmio.base, MV_VMMIO_SIZE, &mv_vmmio_bus,
                    &slot->mmio.mmio, err);
    if (rc)
        goto fail_bells;
    mmio_bind_ack(slot);
    return 0;

fail_bells:
    mmio_unbind_bells(slot, slot->dev->queues);
fail_mmio:
    mv_vmmio_close(&slot->mmio.mmio);
fail_irq:
    mv_notify_close(&slot->mmio.irq);
    return rc;
}

/* Bells go with the hypervisor's VM. */
void hv_mmio_detach(struct hv_slot *slot)
{
    mv_vmmio_close(&slot->mmio.mmio);
    mv_notify_close(&slot->mmio.irq);
}
