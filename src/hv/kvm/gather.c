/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Writes to ports that need not come up at once: KVM puts them into a ring and lets the
 * guest go on ("coalesced"), which costs a third to a tenth of an exit. The ring is a
 * page that all vCPUs of a VM share: KVM adds entries under a lock of its own, and we
 * take them out under ring_lock, so that what two vCPUs find goes up in one order.
 *
 * Each vCPU empties it after every KVM_RUN, before it looks at why that returned. So
 * nothing comes up after an access that the same vCPU has made later, and nothing is
 * left when a vCPU stands still: before the run that returned, its writes went into the
 * ring; a write that finds the ring full is an exit. What remains is a guest that
 * writes and then has no exit, for which there is pio_flush.
 *
 * An entry is taken off the ring after it has gone up: so a vCPU that sees an empty
 * ring without the lock knows that everything before its own exit has been seen to.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

#include <string.h>
#include <sys/mman.h>

enum {
    GATHER_PAGE = 4096,
    GATHER_ENTRIES = (GATHER_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) /
                     sizeof(struct kvm_coalesced_mmio)
};

/* The ring is a page of what KVM shares for a vCPU, and the same page for each: whoever
 * comes first maps it for all, until the VM is closed. */
void mv_kvm_gather_map(struct mv_hv_vm *vm, int vcpu_fd)
{
    (void)pthread_mutex_lock(&vm->ring_lock);
    int page = vm->ring ? 0
                        : mv_kvm_ioctl_number(vm->fd, KVM_CHECK_EXTENSION,
                                              KVM_CAP_COALESCED_MMIO);
    void *at = page > 0 ? mmap(NULL, GATHER_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                               vcpu_fd, (off_t)page * GATHER_PAGE)
                        : MAP_FAILED;
    if (at != MAP_FAILED)
        vm->ring = at;
    (void)pthread_mutex_unlock(&vm->ring_lock);
}

void mv_kvm_gather_unmap(struct mv_hv_vm *vm)
{
    if (vm->ring)
        (void)munmap(vm->ring, GATHER_PAGE);
}

static void gather_up(struct mv_hv_vm *vm, const struct kvm_coalesced_mmio *entry)
{
    uint64_t value = 0;
    if (!entry->pio || (int)entry->phys_addr != vm->gathered)
        return; /* muted */
    memcpy(&value, entry->data, MV_MIN(entry->len, (uint32_t)sizeof value));
    vm->config.up->pio_write(vm->config.up_ctx, (uint16_t)entry->phys_addr, entry->len,
                             value);
}

/* Only what was there at the start: another vCPU may go on adding. */
static void gather_take(struct mv_hv_vm *vm)
{
    struct kvm_coalesced_mmio_ring *ring = vm->ring;
    uint32_t last = __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE);
    uint32_t first = ring->first;
    while (first != last && first < GATHER_ENTRIES) {
        struct kvm_coalesced_mmio entry = ring->coalesced_mmio[first];
        gather_up(vm, &entry);
        first = (first + 1) % GATHER_ENTRIES;
        __atomic_store_n(&ring->first, first, __ATOMIC_RELEASE);
    }
}

void mv_kvm_pio_flush(struct mv_hv_vm *vm)
{
    const struct kvm_coalesced_mmio_ring *ring = vm->ring;
    if (!ring || __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) ==
                     __atomic_load_n(&ring->first, __ATOMIC_ACQUIRE))
        return;
    (void)pthread_mutex_lock(&vm->ring_lock);
    gather_take(vm);
    (void)pthread_mutex_unlock(&vm->ring_lock);
}

static int gather_zone(struct mv_hv_vm *vm, unsigned long request, uint16_t port,
                       unsigned count)
{
    struct kvm_coalesced_mmio_zone zone = {.addr = port, .size = count, .pio = 1};
    return mv_kvm_ioctl(vm->fd, request, &zone);
}

static int gather_start(struct mv_hv_vm *vm, uint16_t port, microvm_error *err)
{
    if (mv_kvm_ioctl_number(vm->fd, KVM_CHECK_EXTENSION, KVM_CAP_COALESCED_PIO) <= 0)
        return mv_fail(
            err, MICROVM_E_UNSUPPORTED,
            "this KVM does not gather port writes (Linux 5.0 or newer does)");
    (void)pthread_mutex_lock(&vm->ring_lock);
    int rc = vm->gathered >= 0 || !vm->ring
                 ? mv_fail(err, MICROVM_E_STATE,
                           "a port is gathered already, or no vCPU is open")
                 : 0;
    if (!rc)
        vm->gathered = port;
    (void)pthread_mutex_unlock(&vm->ring_lock);
    if (!rc && gather_zone(vm, KVM_REGISTER_COALESCED_MMIO, port, 1) < 0) {
        rc = mv_kvm_fail(err, "KVM_REGISTER_COALESCED_MMIO, port 0x%x", port);
        (void)pthread_mutex_lock(&vm->ring_lock);
        vm->gathered = -1;
        (void)pthread_mutex_unlock(&vm->ring_lock);
    }
    return rc;
}

/* When UNREGISTER returns, no vCPU adds to the ring any more. */
int mv_kvm_pio_gather(struct mv_hv_vm *vm, uint16_t port, bool on, microvm_error *err)
{
    if (on)
        return gather_start(vm, port, err);
    if (gather_zone(vm, KVM_UNREGISTER_COALESCED_MMIO, port, 1) < 0)
        return mv_kvm_fail(err, "KVM_UNREGISTER_COALESCED_MMIO, port 0x%x", port);
    (void)pthread_mutex_lock(&vm->ring_lock);
    gather_take(vm);
    vm->gathered = -1;
    (void)pthread_mutex_unlock(&vm->ring_lock);
    return 0;
}

/* Such writes go into the ring too, and are dropped when it is emptied. */
void mv_kvm_pio_mute(struct mv_hv_vm *vm, uint16_t port, unsigned count)
{
    (void)gather_zone(vm, KVM_REGISTER_COALESCED_MMIO, port, count); /* a wish */
}
