/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A VM of KVM: one file descriptor, memory slots, a clock.
 *
 * /dev/kvm stays open: what CPUID it supports is asked by the first vCPU, on its own
 * thread, because the answer can take a millisecond (where KVM itself runs in a VM,
 * each CPUID instruction of the host's kernel is an exit) that the machine's thread has
 * better use for.
 *
 * The clock. kvm-clock and the TSC go on while no vCPU runs, and so do the clocks of a
 * paused guest: when it runs again they are right, as after a long wait for a
 * processor. KVM_KVMCLOCK_CTRL then keeps its watchdogs from taking the pause for a
 * lockup.
 */
#include "hv/kvm/kvm.h"

#include "os/error.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Four pages below 4 GiB, which Intel processors without unrestricted guest mode need
 * for real mode; where QEMU and kvmtool have them, and clear of chips and firmware. */
enum { KVM_IDENTITY_MAP = 0xfffbc000u, KVM_TSS = 0xfffbd000u };

static int vm_no_hypervisor(microvm_error *err, int os_code,
                            const struct mv_hv_caps *caps)
{
    (void)mv_fail(err, MICROVM_E_NO_HYPERVISOR, "%s%s%s", caps->reason,
                  caps->fix[0] ? "; " : "", caps->fix);
    if (err)
        err->os_code = os_code;
    return MICROVM_E_NO_HYPERVISOR;
}

static int vm_check(const struct mv_hv_config *config, int kvm, microvm_error *err)
{
    int max = mv_kvm_ioctl_number(kvm, KVM_CHECK_EXTENSION, KVM_CAP_MAX_VCPUS);
    unsigned cpus_max = max <= 0 ? 1 : MV_MIN((unsigned)max, MV_KVM_CPUS_MAX);
    if (config->cpus < 1 || config->cpus > cpus_max)
        return mv_fail(err, MICROVM_E_INVALID,
                       "cpus: %u; this KVM gives a machine 1 to %u", config->cpus,
                       cpus_max);
    if (config->rung == MV_RUNG_NONE)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "KVM without its local APICs (rung 1) is not built yet");
    if (config->rung == MV_RUNG_LOCAL &&
        mv_kvm_ioctl_number(kvm, KVM_CHECK_EXTENSION, KVM_CAP_SPLIT_IRQCHIP) <= 0)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "this KVM has no split interrupt controller (Linux 4.5 or "
                       "newer has it)");
    return 0;
}

static int vm_place(struct mv_hv_vm *vm, microvm_error *err)
{
    uint64_t identity = KVM_IDENTITY_MAP;
    if (mv_kvm_ioctl(vm->fd, KVM_SET_IDENTITY_MAP_ADDR, &identity) < 0)
        return mv_kvm_fail(err, "KVM_SET_IDENTITY_MAP_ADDR");
    if (mv_kvm_ioctl_number(vm->fd, KVM_SET_TSS_ADDR, KVM_TSS) < 0)
        return mv_kvm_fail(err, "KVM_SET_TSS_ADDR");
    return 0;
}

int mv_kvm_vm_open(const struct mv_hv_config *config, struct mv_hv_vm **out,
                   microvm_error *err)
{
    struct mv_hv_caps caps = {.usable = false};
    struct mv_hv_vm *vm = NULL;
    int os_code, rc;
    int kvm = mv_kvm_open(&caps, &os_code);
    if (kvm < 0)
        return vm_no_hypervisor(err, os_code, &caps);
    rc = vm_check(config, kvm, err);
    if (rc)
        goto fail;
    vm = calloc(1, sizeof *vm + config->cpus * sizeof vm->vcpu_fd[0]);
    if (!vm) {
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a VM");
        goto fail;
    }
    vm->kvm = kvm;
    vm->config = *config;
    (void)pthread_mutex_init(&vm->lock, NULL); /* cannot fail with default attributes */
    (void)pthread_mutex_init(&vm->irq_lock, NULL);
    (void)pthread_mutex_init(&vm->ring_lock, NULL);
    vm->gathered = -1;
    for (unsigned i = 0; i < config->cpus; i++)
        atomic_init(&vm->vcpu_fd[i], -1);
    vm->fd = mv_kvm_create(kvm, &caps, &os_code);
    if (vm->fd < 0) {
        rc = vm_no_hypervisor(err, os_code, &caps);
        goto fail;
    }
    int bytes = mv_kvm_ioctl_number(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (bytes < (int)sizeof(struct kvm_run)) {
        rc = mv_kvm_fail(err, "KVM_GET_VCPU_MMAP_SIZE: %d", bytes);
        goto fail;
    }
    vm->run_bytes = (size_t)bytes;
    rc = vm_place(vm, err);
    if (rc)
        goto fail;
    *out = vm;
    return 0;
fail:
    if (!vm)
        (void)close(kvm);
    mv_kvm_vm_close(vm);
    return rc;
}

void mv_kvm_vm_close(struct mv_hv_vm *vm)
{
    if (!vm)
        return;
    mv_kvm_gather_unmap(vm);
    if (vm->fd >= 0)
        (void)close(vm->fd);
    (void)close(vm->kvm);
    (void)pthread_mutex_destroy(&vm->ring_lock);
    (void)pthread_mutex_destroy(&vm->irq_lock);
    (void)pthread_mutex_destroy(&vm->lock);
    free(vm);
}

static struct mv_kvm_slot *vm_slot(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size)
{
    for (unsigned i = 0; i < MV_KVM_SLOTS_MAX; i++)
        if (vm->slot[i].size == size && (size == 0 || vm->slot[i].gpa == gpa))
            return &vm->slot[i];
    return NULL;
}

/* Tells KVM what lies behind a slot; size 0 removes it. */
static int vm_slot_set(struct mv_hv_vm *vm, struct mv_kvm_slot *slot, uint64_t gpa,
                       void *host, uint64_t size, microvm_error *err)
{
    struct kvm_userspace_memory_region region = {
        .slot = (uint32_t)(slot - vm->slot),
        .guest_phys_addr = gpa,
        .memory_size = size,
        .userspace_addr = (uintptr_t)host,
    };
    if (mv_kvm_ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
        return mv_kvm_fail(err,
                           "KVM_SET_USER_MEMORY_REGION, guest memory 0x%llx bytes at "
                           "0x%llx",
                           (unsigned long long)size, (unsigned long long)gpa);
    *slot = (struct mv_kvm_slot){gpa, size};
    return 0;
}

int mv_kvm_mem_map(struct mv_hv_vm *vm, uint64_t gpa, void *host, uint64_t size,
                   microvm_error *err)
{
    int rc;
    if (size == 0)
        return mv_fail(err, MICROVM_E_INVALID, "guest memory of no bytes");
    (void)pthread_mutex_lock(&vm->lock);
    struct mv_kvm_slot *slot = vm_slot(vm, 0, 0);
    if (slot)
        rc = vm_slot_set(vm, slot, gpa, host, size, err);
    else
        rc = mv_fail(err, MICROVM_E_HYPERVISOR, "more than %d pieces of guest memory",
                     MV_KVM_SLOTS_MAX);
    (void)pthread_mutex_unlock(&vm->lock);
    return rc;
}

int mv_kvm_mem_unmap(struct mv_hv_vm *vm, uint64_t gpa, uint64_t size,
                     microvm_error *err)
{
    int rc;
    (void)pthread_mutex_lock(&vm->lock);
    struct mv_kvm_slot *slot = size ? vm_slot(vm, gpa, size) : NULL;
    if (slot)
        rc = vm_slot_set(vm, slot, gpa, NULL, 0, err);
    else
        rc = mv_fail(err, MICROVM_E_INVALID, "no guest memory is mapped so at 0x%llx",
                     (unsigned long long)gpa);
    (void)pthread_mutex_unlock(&vm->lock);
    return rc;
}

int mv_kvm_clock_get(struct mv_hv_vm *vm, uint64_t *ns, microvm_error *err)
{
    struct kvm_clock_data data = {.clock = 0};
    if (mv_kvm_ioctl(vm->fd, KVM_GET_CLOCK, &data) < 0)
        return mv_kvm_fail(err, "KVM_GET_CLOCK");
    *ns = data.clock;
    return 0;
}

int mv_kvm_clock_set(struct mv_hv_vm *vm, uint64_t ns, microvm_error *err)
{
    struct kvm_clock_data data = {.clock = ns};
    if (mv_kvm_ioctl(vm->fd, KVM_SET_CLOCK, &data) < 0)
        return mv_kvm_fail(err, "KVM_SET_CLOCK");
    return 0;
}

void mv_kvm_clock_resumed(struct mv_hv_vm *vm)
{
    /* EINVAL from a guest that does not use kvm-clock. */
    for (unsigned i = 0; i < vm->config.cpus; i++) {
        int fd = atomic_load(&vm->vcpu_fd[i]);
        if (fd >= 0)
            (void)mv_kvm_ioctl_number(fd, KVM_KVMCLOCK_CTRL, 0);
    }
}
