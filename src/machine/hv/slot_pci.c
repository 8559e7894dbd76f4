/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI root on the board, and a device in one of its slots.
 *
 * A message leaves by an eventfd that the hypervisor reads, and arrives at the guest's
 * local APIC without a vCPU leaving the guest; MSI-X tells which message that is before
 * it is used. A queue's bell is bound wherever the guest has put the notification area,
 * and rings without coming up to us. Where the hypervisor has neither, or has no room
 * left, the message is sent by irq_msi and the transport rings.
 *
 * Pin A, for guests without MSI-X, is a line of the I/O APIC, on either rung.
 */
#include "machine/hv/hv_machine.h"

#include "util/assert.h"

static struct mv_pci_range pci_range(uint64_t from, uint64_t to)
{
    return (struct mv_pci_range){.base = from, .size = to - from};
}

/* Where neither RAM nor a chip is. Linux without ACPI puts a BAR that it assigns at the
 * first free place above 4 GiB. */
static void pci_space(const struct mv_ram *ram,
                      struct mv_pci_range space[MV_PCI_SPACES])
{
    const struct mv_ram_region *low = &ram->region[0], *last = low + ram->count - 1;
    uint64_t end = last->gpa + last->size;
    space[0] = pci_range(low->gpa + low->size, MV_X86_POWER);
    space[1] = pci_range(MV_X86_POWER + MV_POWER_SIZE, MV_X86_ECAM);
    space[2] = pci_range(MV_X86_ECAM + MV_X86_ECAM_SIZE, MV_X86_IOAPIC);
    space[3] =
        pci_range(end > MV_X86_HOLE_END ? end : MV_X86_HOLE_END, MV_X86_PHYSICAL_END);
}

int hv_pci_open(struct hv_machine *m, microvm_error *err)
{
    struct mv_pci_board board = {
        .low = {MV_X86_PCI32, MV_X86_PCI32_SIZE},
        .high = {MV_X86_PCI64, MV_X86_PCI64_SIZE},
        .ecam_base = MV_X86_ECAM,
    };
    m->messages = 0;
    pci_space(&m->ram, board.space);
    for (unsigned i = 0; i < MV_PCI_LINES; i++)
        board.line[i] = hv_board_irq(m, MV_X86_GSI_PCI + i);
    int rc = mv_pci_open(&m->root, &board, err);
    if (rc)
        return rc;
    rc = mv_pci_attach(&m->root, &m->mmio, &m->pio, err);
    if (rc)
        mv_pci_close(&m->root);
    return rc;
}

void hv_pci_close(struct hv_machine *m)
{
    mv_pci_close(&m->root);
}

/* -- bells -- */

static bool pci_bind_bell(void *ctx, unsigned q, uint64_t gpa)
{
    const struct hv_slot *slot = ctx;
    const struct hv_machine *m = slot->m;
    return m->hv->bell_bind &&
           m->hv->bell_bind(m->vm, gpa, 0, 0, &slot->dev->bell[q], NULL) == 0;
}

static void pci_unbind_bell(void *ctx, unsigned q, uint64_t gpa)
{
    const struct hv_slot *slot = ctx;
    const struct hv_machine *m = slot->m;
    (void)m->hv->bell_unbind(m->vm, gpa, 0, 0, &slot->dev->bell[q], NULL);
}

/* -- messages -- */

_Static_assert(MV_SLOTS_MAX *(MV_VDEV_QUEUES_MAX + 1) <= MV_HV_MESSAGES_MAX,
               "a message for every vector there can be");

static void pci_open_messages(struct hv_slot *slot)
{
    struct hv_machine *m = slot->m;
    slot->pci.first = m->messages;
    unsigned vectors = mv_vpci_vectors(slot->dev);
    m->messages += vectors;
    for (unsigned i = 0; i <= MV_VDEV_QUEUES_MAX; i++) {
        struct hv_message *message = &slot->pci.message[i];
        *message = (struct hv_message){.fd = MV_NOTIFY_CLOSED};
        if (m->hv->msi_bind && i < vectors)
            (void)mv_notify_open(&message->fd, NULL); /* or irq_msi serves */
    }
}

static void pci_close_messages(struct hv_slot *slot)
{
    const struct hv_machine *m = slot->m;
    for (unsigned i = 0; i < mv_vpci_vectors(slot->dev); i++) {
        struct hv_message *message = &slot->pci.message[i];
        if (message->bound)
            (void)m->hv->msi_unbind(m->vm, slot->pci.first + i, message->fd.handle,
                                    NULL);
        message->bound = false;
        mv_notify_close(&message->fd);
    }
}

static void pci_message_changed(void *ctx, unsigned vector, uint64_t address,
                                uint32_t data)
{
    struct hv_slot *slot = ctx;
    const struct hv_machine *m = slot->m;
    struct hv_message *message = &slot->pci.message[vector];
    unsigned index = slot->pci.first + vector;
    if (message->fd.handle < 0)
        return;
    int rc = m->hv->msi_bind(m->vm, index, message->fd.handle, address, data, NULL);
    if (rc && message->bound)
        (void)m->hv->msi_unbind(m->vm, index, message->fd.handle, NULL);
    message->bound = rc == 0;
}

static void pci_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct hv_slot *slot = ctx;
    const struct hv_message *message = &slot->pci.message[vector];
    if (message->bound)
        mv_notify_signal(&slot->pci.message[vector].fd);
    else
        slot->m->hv->irq_msi(slot->m->vm, address, data);
}

/* -- slots -- */

int hv_pci_attach(struct hv_slot *slot, microvm_error *err)
{
    struct hv_machine *m = slot->m;
    unsigned index = (unsigned)(slot - m->slot);
    const struct mv_vpci_host host = {
        .bind = pci_bind_bell,
        .unbind = pci_unbind_bell,
        .ctx = slot,
        .message = {.send = pci_send, .changed = pci_message_changed, .ctx = slot},
    };
    pci_open_messages(slot);
    int rc = mv_vpci_open(&slot->pci.vpci, slot->dev, &m->root, index + 1, &host, err);
    if (rc)
        pci_close_messages(slot);
    return rc;
}

void hv_pci_detach(struct hv_slot *slot)
{
    mv_vpci_close(&slot->pci.vpci);
    pci_close_messages(slot);
}
