/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The KVM backend as hv.h wants to see it, and how its functions fail.
 */
#include "hv/kvm/kvm.h"

#include "os/error.h"

#include <stdio.h>

extern const struct mv_hv_ops mv_kvm_ops;

const struct mv_hv_ops mv_kvm_ops = {
    .name = "kvm",
    .probe = mv_kvm_probe,
    .vm_open = mv_kvm_vm_open,
    .vm_close = mv_kvm_vm_close,
    .mem_map = mv_kvm_mem_map,
    .mem_unmap = mv_kvm_mem_unmap,
    .vm_setup = mv_kvm_vm_setup,
    .clock_get = mv_kvm_clock_get,
    .clock_set = mv_kvm_clock_set,
    .clock_resumed = mv_kvm_clock_resumed,
    .irq_line = mv_kvm_irq_line,
    .irq_msi = mv_kvm_irq_msi,
    .irq_bind = mv_kvm_irq_bind,
    .irq_routes = mv_kvm_irq_routes,
    .msi_bind = mv_kvm_msi_bind,
    .msi_unbind = mv_kvm_msi_unbind,
    .bell_bind = mv_kvm_bell_bind,
    .bell_unbind = mv_kvm_bell_unbind,
    .pio_mute = mv_kvm_pio_mute,
    .pio_gather = mv_kvm_pio_gather,
    .pio_flush = mv_kvm_pio_flush,
    .vcpu_open = mv_kvm_vcpu_open,
    .vcpu_close = mv_kvm_vcpu_close,
    .vcpu_get = mv_kvm_vcpu_get,
    .vcpu_set = mv_kvm_vcpu_set,
    .vcpu_run = mv_kvm_vcpu_run,
    .vcpu_kick = mv_kvm_vcpu_kick,
    .vcpu_counts = mv_kvm_vcpu_counts,
};

int mv_kvm_fail(microvm_error *err, const char *format, ...)
{
    int os_code = errno;
    char text[160];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return mv_fail_os_code(err, MICROVM_E_HYPERVISOR, os_code, "%s", text);
}
