/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Interrupts into the guest, and guest writes out of it that need no exit to us.
 *
 * A GSI is what KVM numbers interrupts by; its route says what it does. The first 24
 * are the pins of the I/O APIC, the messages of devices follow, on both rungs. KVM
 * takes all routes at once or none, so there is one table for both.
 *
 * Rung 3: KVM makes two 8259s, an I/O APIC and the local APICs, and routes GSI 0-15 to
 * 8259 and I/O APIC and 16-23 to the I/O APIC by itself. The table begins with the same
 * routes, because it replaces KVM's own when the first message is bound. There is no
 * 8254: a guest with kvm-clock and the TSC-deadline timer never looks for one.
 *
 * Rung 2 ("split"): KVM makes the local APICs only. Each pin of our I/O APIC is a GSI
 * whose route is the MSI in the pin's entry. KVM looks through these routes for vectors
 * that are level-triggered and reports the guest's EOI of one of them as
 * KVM_EXIT_IOAPIC_EOI; irqfd uses them too.
 *
 * The guest writes an I/O APIC entry in two halves, most of them while it is masked,
 * and KVM may wait for a grace period (milliseconds) at every change. So KVM is told of
 * real changes only, and a message that is unbound keeps its route: nobody can send it.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

#include <string.h>

enum { MSI_LEVEL = 1u << 15 }; /* trigger mode; Intel SDM Vol. 3, 11.11.2 */

/* ---- the table of routes; under irq_lock ----------------------------------------- */

static void irq_route_to_chip(struct mv_kvm_routes *routes, unsigned gsi, unsigned chip,
                              unsigned pin)
{
    routes->entry[routes->head.nr++] =
        (struct kvm_irq_routing_entry){.gsi = gsi,
                                       .type = KVM_IRQ_ROUTING_IRQCHIP,
                                       .u.irqchip = {.irqchip = chip, .pin = pin}};
}

/* As KVM has them after KVM_CREATE_IRQCHIP. */
static void irq_routes_default(struct mv_kvm_routes *routes)
{
    for (unsigned gsi = 0; gsi < MV_KVM_PINS; gsi++) {
        irq_route_to_chip(routes, gsi, KVM_IRQCHIP_IOAPIC, gsi);
        if (gsi < 16)
            irq_route_to_chip(routes, gsi,
                              gsi < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                              gsi % 8);
    }
}

static struct kvm_irq_routing_entry *irq_route_find(struct mv_kvm_routes *routes,
                                                    unsigned gsi)
{
    for (unsigned i = 0; i < routes->head.nr; i++)
        if (routes->entry[i].gsi == gsi)
            return &routes->entry[i];
    return NULL;
}

/* The GSI's route becomes this message, and KVM does not know it yet unless it was. */
static void irq_route_put(struct mv_hv_vm *vm, unsigned gsi, uint64_t address,
                          uint32_t data)
{
    struct kvm_irq_routing_entry *entry = irq_route_find(&vm->routes, gsi);
    if (!entry)
        entry = &vm->routes.entry[vm->routes.head.nr++];
    else if (entry->u.msi.address_lo == (uint32_t)address &&
             entry->u.msi.address_hi == (uint32_t)(address >> 32) &&
             entry->u.msi.data == data)
        return;
    *entry = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_MSI,
        .u.msi = {.address_lo = (uint32_t)address,
                  .address_hi = (uint32_t)(address >> 32),
                  .data = data},
    };
    vm->routes_known = false;
}

static void irq_route_drop(struct mv_hv_vm *vm, unsigned gsi)
{
    struct kvm_irq_routing_entry *entry = irq_route_find(&vm->routes, gsi);
    if (!entry)
        return;
    *entry = vm->routes.entry[--vm->routes.head.nr];
    vm->routes_known = false;
}

static int irq_routes_tell(struct mv_hv_vm *vm, microvm_error *err)
{
    if (vm->routes_known)
        return 0;
    if (mv_kvm_ioctl(vm->fd, KVM_SET_GSI_ROUTING, &vm->routes) < 0)
        return mv_kvm_fail(err, "KVM_SET_GSI_ROUTING, %u routes", vm->routes.head.nr);
    vm->routes_known = true;
    return 0;
}

/* ---- the controllers and their lines --------------------------------------------- */

int mv_kvm_vm_setup(struct mv_hv_vm *vm, microvm_error *err)
{
    vm->routes_known = true;
    if (vm->config.rung == MV_RUNG_FULL) {
        if (mv_kvm_ioctl_number(vm->fd, KVM_CREATE_IRQCHIP, 0) < 0)
            return mv_kvm_fail(err, "KVM_CREATE_IRQCHIP");
        irq_routes_default(&vm->routes);
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

/* Joins an eventfd to a GSI, or parts them. */
static int irq_fd(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd, uint32_t flags,
                  microvm_error *err)
{
    struct kvm_irqfd irqfd = {.fd = (uint32_t)fd, .gsi = gsi, .flags = flags};
    if (fd < 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "interrupt %u: no eventfd", gsi);
    if (mv_kvm_ioctl(vm->fd, KVM_IRQFD, &irqfd) < 0)
        return mv_kvm_fail(err, "KVM_IRQFD, interrupt %u", gsi);
    return 0;
}

int mv_kvm_irq_bind(struct mv_hv_vm *vm, unsigned gsi, intptr_t fd, microvm_error *err)
{
    return irq_fd(vm, gsi, fd, 0, err);
}

int mv_kvm_irq_routes(struct mv_hv_vm *vm, const struct mv_hv_route *route,
                      unsigned count, microvm_error *err)
{
    if (vm->config.rung != MV_RUNG_LOCAL)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "interrupt routes are for the split interrupt controller");
    if (count > MV_KVM_PINS)
        return mv_fail(err, MICROVM_E_INVALID, "%u interrupt routes, %d at most", count,
                       MV_KVM_PINS);
    (void)pthread_mutex_lock(&vm->irq_lock);
    for (unsigned i = 0; i < MV_KVM_PINS; i++) {
        /* KVM asks the routes whose EOI is to come up, and that of a pin that was
         * masked in service is still due. Nothing is sent by a pin's route. */
        if (i >= count || (route[i].masked && !route[i].level))
            irq_route_drop(vm, i);
        else
            irq_route_put(vm, i, route[i].address,
                          route[i].level ? route[i].data | MSI_LEVEL
                                         : route[i].data & ~(uint32_t)MSI_LEVEL);
    }
    int rc = irq_routes_tell(vm, err);
    (void)pthread_mutex_unlock(&vm->irq_lock);
    return rc;
}

/* ---- messages -------------------------------------------------------------------- */

int mv_kvm_msi_bind(struct mv_hv_vm *vm, unsigned index, intptr_t fd, uint64_t address,
                    uint32_t data, microvm_error *err)
{
    if (index >= MV_HV_MESSAGES_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "message %u; there are %d", index,
                       MV_HV_MESSAGES_MAX);
    (void)pthread_mutex_lock(&vm->irq_lock);
    irq_route_put(vm, MV_KVM_PINS + index, address, data);
    int rc = irq_routes_tell(vm, err);
    if (!rc && !vm->bound[index]) {
        rc = irq_fd(vm, MV_KVM_PINS + index, fd, 0, err);
        vm->bound[index] = rc == 0;
    }
    (void)pthread_mutex_unlock(&vm->irq_lock);
    return rc;
}

/* KVM has sent what was written when KVM_IRQFD returns: it waits for its own work. */
int mv_kvm_msi_unbind(struct mv_hv_vm *vm, unsigned index, intptr_t fd,
                      microvm_error *err)
{
    int rc = 0;
    (void)pthread_mutex_lock(&vm->irq_lock);
    if (index >= MV_HV_MESSAGES_MAX || !vm->bound[index])
        rc = mv_fail(err, MICROVM_E_INVALID, "message %u is not bound", index);
    else
        rc = irq_fd(vm, MV_KVM_PINS + index, fd, KVM_IRQFD_FLAG_DEASSIGN, err);
    if (!rc)
        vm->bound[index] = false;
    (void)pthread_mutex_unlock(&vm->irq_lock);
    return rc;
}

/* ---- out of the guest ------------------------------------------------------------ */

static int irq_ioeventfd(struct mv_hv_vm *vm, uint64_t gpa, unsigned size,
                         uint64_t value, const struct mv_bell *bell, uint32_t flags,
                         microvm_error *err)
{
    struct kvm_ioeventfd io = {
        .datamatch = value,
        .addr = gpa,
        .len = size,
        .fd = (int32_t)bell->fd,
        .flags = (size ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) | flags,
    };
    if (bell->fd < 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED, "this bell has no eventfd");
    if (mv_kvm_ioctl(vm->fd, KVM_IOEVENTFD, &io) == 0)
        return 0;
    if (size == 0 && errno == EINVAL)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "this KVM has no bells for writes of any size (Linux 4.4 or "
                       "newer has them)");
    return mv_kvm_fail(err, "KVM_IOEVENTFD, size %u, value 0x%llx at 0x%llx", size,
                       (unsigned long long)value, (unsigned long long)gpa);
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
