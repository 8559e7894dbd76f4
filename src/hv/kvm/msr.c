/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Model-specific registers that firmware would have set before a kernel starts, and
 * that KVM resets to something else. Everything else keeps KVM's reset values.
 */
#include "hv/kvm/kvm.h"

#include "util/bytes.h"

enum { MSR_IA32_MISC_ENABLE = 0x1a0, MSR_IA32_MTRR_DEF_TYPE = 0x2ff };

/* Without a default type of write-back, Linux takes memory for uncached: "MTRRs
 * disabled" turns its PAT off. Intel SDM Vol. 3, 12.11.2.1. */
enum { MTRR_ENABLED = 1u << 11, MTRR_WRITE_BACK = 6 };

/* Fast strings, as after reset of a real processor (SDM Vol. 4, table 2-2); the bits
 * for absent branch trace and event sampling are KVM's own reset value. */
enum { MISC_FAST_STRINGS = 1u << 0, MISC_NO_BTS = 1u << 11, MISC_NO_PEBS = 1u << 12 };

struct msr_list {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[1];
};

void mv_kvm_msr_reset(int vcpu_fd)
{
    static const struct kvm_msr_entry reset[] = {
        {.index = MSR_IA32_MISC_ENABLE,
         .data = MISC_FAST_STRINGS | MISC_NO_BTS | MISC_NO_PEBS},
        {.index = MSR_IA32_MTRR_DEF_TYPE, .data = MTRR_ENABLED | MTRR_WRITE_BACK},
    };
    /* One by one, because KVM stops at the first it refuses, and hosts differ in what
     * they refuse. A guest without one of these runs, if slower. */
    for (size_t i = 0; i < MV_ARRAY_LEN(reset); i++) {
        struct msr_list list = {.head = {.nmsrs = 1}, .entry = {reset[i]}};
        (void)mv_kvm_ioctl(vcpu_fd, KVM_SET_MSRS, &list);
    }
}
