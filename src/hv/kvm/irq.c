/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Interrupts into the guest, and guest writes out of it that need no exit to us.
 *
 * Rung 3: KVM makes two 8259s, an I/O APIC and the local APICs, and routes GSI 0-15 to
 * 8259 and I/O APIC and 16-23 to the I/O APIC by itself. There is no 8254: a guest with
 * kvm-clock and the TSC-deadline timer never looks for one.
 *
 * Rung 2 ("split"): KVM makes the local APICs only. Each pin of our I/O APIC is a GSI
 * whose route is the MSI in the pin's entry. KVM looks through these routes for vectors
 * that are level-triggered and reports the guest's EOI of one of them as
 * KVM_EXIT_IOAPIC_EOI; irqfd uses them too.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

#include <string.h>

enum { MSI_LEVEL = 1u << 15 }; /* trigger mode; Intel SDM Vol. 3, 11.11.2 */

int mv_kvm_vm_setup(struct mv_hv_vm *vm, microvm_error *err)
{
    if (vm->config.rung == MV_RUNG_FULL) {
        if (mv_kvm_ioctl_number(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
            return mv_kvm_fail(err, "KVM_CREATE_IRQCHIP");
        return 0;
    }
    struct kvm_enable_cap split = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {MV_KVM_PINS}};
    if (mv_kvm_ioctl(vm->fd, KVM_ENABLE_CAP, &split) < 0)
        return mv_kvm_fail(err, "KVM_CAP_SPLIT_IRQCHIP");
    return 0;
}

void mv_kvm_irq_line(struct mv_hv_vm *vm, unsigned gsi, bool level)
{
    struct kvm_irq_level line = {.irq = gsi, .level = level};
    (void)mv_kvm_ioctl(vm->fd, KVM_IRQ_LINE, &line); /* fails for no GSI of ours */
}

void mv_kvm_irq_msi(struct mv_hv_vm *vm, uint64_t address, uint32_t data)
{
    struct kvm_msi msi = {.address_lo = (uint32_t)address,
                          .address_hi = (uint32_t)(address >> 32),
                          .data = data};
    /* 0 or an error when no APIC takes it, as on the bus of a PC: nobody is told. */
    (void)mv_kvm_ioctl(vm->fd, KVM_SIGNAL_MSI, &msi);
}

int mv_kvm_irq_bind(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd, microvm_error *err)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi};
    if (fd < 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "interrupt %u: no eventfd", gsi);
    if (mv_kvm_ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
        return mv_kvm_fail(err, "KVM_IRQFD, interrupt %u", gsi);
    return 0;
}

static struct kvm_irq_routing_entry irq_route(unsigned gsi,
                                              const struct mv_hv_route *route)
{
    return (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)route->address,
                  .address_hi = (uint32_t)(route->address >> 32),
                  .data = route->level ? route->data | MSI_LEVEL
                                       : route->data & ~(uint32_t)MSI_LEVEL},
    };
}

int mv_kvm_irq_routes(struct mv_hv_vm *vm, const struct mv_hv_route *route,
                      unsigned count, microvm_error *err)
{
    struct mv_kvm_routes routes;
    if (vm->config.rung != MV_RUNG_LOCAL)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "interrupt routes are for the split interrupt controller");
    if (count > MV_KVM_PINS)
        return mv_fail(err, MICROVM_E_INVALID, "%u interrupt routes, %d at most", count,
                       MV_KVM_PINS);
    memset(&routes, 0, sizeof routes); /* padding too: it is compared below */
    for (unsigned i = 0; i < count; i++)
        if (!route[i].masked)
            routes.entry[routes.head.nr++] = irq_route(i, &route[i]);
    /* The guest writes each entry in two halves, most of them while it is masked; KVM
     * waits for a grace period (milliseconds) at every change, so make real ones only.
     */
    if (memcmp(&routes, &vm->routes, sizeof routes) == 0)
        return 0;
    if (mv_kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &routes) < 0)
        return mv_kvm_fail(err, "KVM_SET_GSI_ROUTING");
    vm->routes = routes;
    return 0;
}

static int irq_ioeventfd(struct mv_hv_vm *vm, uint64_t gpa, unsigned size,
                         uint64_t value, const struct mv_bell *bell, uint32_t flags,
                         microvm_error *err)
{
    struct kvm_ioeventfd io = {
        .datamatch = value,
        .addr = gpa,
        .len = size,
        .fd = (int32_t)bell->fd,
        .flags = KVM_IOEVENTFD_FLAG_DATAMATCH | flags,
    };
    if (bell->fd < 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "this bell has no eventfd");
    if (mv_kvm_ioctl(vm->fd, KVM_IOEVENTFD, &io) < 0)
        return mv_kvm_fail(err, "KVM_IOEVENTFD, value 0x%llx at 0x%llx",
                           (unsigned long long)value, (unsigned long long)gpa);
    return 0;
}

int mv_kvm_bell_bind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                     struct mv_bell *bell, microvm_error *err)
{
    return irq_ioeventfd(vm, gpa, size, value, bell, 0, err);
}

int mv_kvm_bell_unbind(struct mv_hv_vm *vm, uint64_t gpa, unsigned size, uint64_t value,
                       struct mv_bell *bell, microvm_error *err)
{
    return irq_ioeventfd(vm, gpa, size, value, bell, KVM_IOEVENTFD_FLAG_DEASSIGN, err);
}

/* KVM collects such writes in a ring for somebody to look at later ("coalesced"). We do
 * not: when the ring is full, after 170 writes, they come up again and are dropped. */
void mv_kvm_pio_mute(struct mv_hv_vm *vm, uint16_t port, unsigned count)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = count, .pio = 1};
    (void)mv_kvm_ioctl(vm->fd, KVM_REGISTER_COALESCED_MMIO, &zone); /* a wish */
}
