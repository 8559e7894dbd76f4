/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exits. Those that are accesses of the guest go up, in the sizes of the bus, with
 * their values zero-extended. Those that end the run get a sentence that a person can
 * search for: KVM's own name, its numbers, and where the guest stood.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

#include <stdio.h>
#include <string.h>

void mv_kvm_exit_io(struct mv_hv_vcpu *vcpu)
{
    const struct mv_hv_up *up = vcpu->vm->config.up;
    void *ctx = vcpu->vm->config.up_ctx;
    struct kvm_run *run = vcpu->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;
    /* A string instruction (REP OUTSB) brings several values in one exit. */
    for (uint32_t i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;
        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            up->pio_write(ctx, run->io.port, size, value);
        } else {
            value = up->pio_read(ctx, run->io.port, size);
            memcpy(data, &value, size);
        }
    }
}

/* The largest size of the bus (1, 2, 4, 8) that fits into `left` bytes. An access that
 * crosses the end of a page comes in two parts, which can be 3, 5, 6 or 7 bytes long.
 */
static unsigned exit_piece(unsigned left)
{
    unsigned size = 8;
    while (size > left)
        size /= 2;
    return size;
}

void mv_kvm_exit_mmio(struct mv_hv_vcpu *vcpu)
{
    const struct mv_hv_up *up = vcpu->vm->config.up;
    void *ctx = vcpu->vm->config.up_ctx;
    struct kvm_run *run = vcpu->run;
    unsigned length = MV_MIN(run->mmio.len, (uint32_t)sizeof run->mmio.data);
    unsigned size;
    for (unsigned at = 0; at < length; at += size) {
        uint64_t value = 0;
        size = exit_piece(length - at);
        if (run->mmio.is_write) {
            memcpy(&value, run->mmio.data + at, size);
            up->mmio_write(ctx, run->mmio.phys_addr + at, size, value);
        } else {
            value = up->mmio_read(ctx, run->mmio.phys_addr + at, size);
            memcpy(run->mmio.data + at, &value, size);
        }
    }
}

static const char *exit_name(uint32_t reason)
{
    static const char *const names[] = {
        [KVM_EXIT_UNKNOWN] = "KVM_EXIT_UNKNOWN",
        [KVM_EXIT_EXCEPTION] = "KVM_EXIT_EXCEPTION",
        [KVM_EXIT_HYPERCALL] = "KVM_EXIT_HYPERCALL",
        [KVM_EXIT_DEBUG] = "KVM_EXIT_DEBUG",
        [KVM_EXIT_FAIL_ENTRY] = "KVM_EXIT_FAIL_ENTRY",
        [KVM_EXIT_SET_TPR] = "KVM_EXIT_SET_TPR",
        [KVM_EXIT_TPR_ACCESS] = "KVM_EXIT_TPR_ACCESS",
        [KVM_EXIT_NMI] = "KVM_EXIT_NMI",
        [KVM_EXIT_INTERNAL_ERROR] = "KVM_EXIT_INTERNAL_ERROR",
        [KVM_EXIT_SYSTEM_EVENT] = "KVM_EXIT_SYSTEM_EVENT",
        [KVM_EXIT_HYPERV] = "KVM_EXIT_HYPERV",
        [KVM_EXIT_DIRTY_RING_FULL] = "KVM_EXIT_DIRTY_RING_FULL",
        [KVM_EXIT_X86_BUS_LOCK] = "KVM_EXIT_X86_BUS_LOCK",
        [KVM_EXIT_XEN] = "KVM_EXIT_XEN",
        [KVM_EXIT_NOTIFY] = "KVM_EXIT_NOTIFY",
    };
    const char *name = reason < MV_ARRAY_LEN(names) ? names[reason] : NULL;
    return name ? name : "unknown exit";
}

static const char *exit_suberror_name(uint32_t suberror)
{
    switch (suberror) {
    case KVM_INTERNAL_ERROR_EMULATION:
        return "instruction that KVM cannot emulate";
    case KVM_INTERNAL_ERROR_SIMUL_EX:
        return "exceptions at the same time";
    case KVM_INTERNAL_ERROR_DELIVERY_EV:
        return "exit during the delivery of an event";
    case KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON:
        return "exit of the processor that KVM does not know";
    default:
        return "unknown suberror";
    }
}

/* The instruction that KVM could not emulate, where it says so. */
static void exit_instruction(const struct kvm_run *run, char *text, size_t size)
{
    const uint64_t with_bytes = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    size_t used = 0;
    text[0] = 0;
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION ||
        run->emulation_failure.ndata < 3 ||
        !(run->emulation_failure.flags & with_bytes))
        return;
    unsigned count = MV_MIN(run->emulation_failure.insn_size,
                            sizeof run->emulation_failure.insn_bytes);
    for (unsigned i = 0; i < count && used + 4 < size; i++)
        used += (size_t)snprintf(text + used, size - used, " %02x",
                                 run->emulation_failure.insn_bytes[i]);
}

/* "in the guest at CS:RIP 0010:ffffffff81000000", or that it cannot be known. */
static void exit_where(const struct mv_hv_vcpu *vcpu, char *text, size_t size)
{
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    if (mv_kvm_ioctl(vcpu->fd, KVM_GET_REGS, &regs) < 0 ||
        mv_kvm_ioctl(vcpu->fd, KVM_GET_SREGS, &sregs) < 0)
        (void)snprintf(text, size, "at an unknown place");
    else
        (void)snprintf(text, size, "at CS:RIP %04x:%llx, CR0 %llx", sregs.cs.selector,
                       regs.rip, sregs.cr0);
}

enum mv_hv_exit mv_kvm_exit_failed(struct mv_hv_vcpu *vcpu, microvm_error *why)
{
    const struct kvm_run *run = vcpu->run;
    char where[80], what[80] = "";
    exit_where(vcpu, where, sizeof where);
    switch (run->exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
        exit_instruction(run, what, sizeof what);
        (void)mv_fail(why, MICROVM_E_HYPERVISOR, "KVM_EXIT_INTERNAL_ERROR %u, %s%s %s",
                      run->internal.suberror,
                      exit_suberror_name(run->internal.suberror), what, where);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        (void)mv_fail(why, MICROVM_E_HYPERVISOR,
                      "KVM_EXIT_FAIL_ENTRY, the processor refused the guest's "
                      "state with reason 0x%llx %s",
                      (unsigned long long)run->fail_entry.hardware_entry_failure_reason,
                      where);
        break;
    case KVM_EXIT_UNKNOWN:
        (void)mv_fail(why, MICROVM_E_HYPERVISOR,
                      "KVM_EXIT_UNKNOWN, hardware reason 0x%llx %s",
                      (unsigned long long)run->hw.hardware_exit_reason, where);
        break;
    default:
        (void)mv_fail(why, MICROVM_E_HYPERVISOR, "%s (KVM exit %u) %s",
                      exit_name(run->exit_reason), run->exit_reason, where);
        break;
    }
    return MV_HV_FAILED;
}

enum mv_hv_exit mv_kvm_exit_event(struct mv_hv_vcpu *vcpu, microvm_error *why)
{
    switch (vcpu->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        return MV_HV_SHUTDOWN;
    case KVM_SYSTEM_EVENT_RESET:
        return MV_HV_RESET;
    case KVM_SYSTEM_EVENT_CRASH:
        (void)mv_fail(why, MICROVM_E_HYPERVISOR,
                      "the guest told KVM that it has crashed");
        return MV_HV_FAILED;
    default:
        (void)mv_fail(why, MICROVM_E_HYPERVISOR,
                      "KVM_EXIT_SYSTEM_EVENT of unknown type %u",
                      vcpu->run->system_event.type);
        return MV_HV_FAILED;
    }
}
