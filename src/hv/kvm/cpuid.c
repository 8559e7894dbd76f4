/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The CPUID that a guest sees: what KVM supports on this processor, without what we do
 * not pass on, and with the topology of our machine: one socket, one thread per core,
 * APIC id = index of the vCPU. Pure: a table in, a table out.
 *
 * Not passed on: nested virtualization and SGX (more attack surface than use),
 * MONITOR/MWAIT (would stop a host core), performance counters and branch tracing
 * (their MSRs are not saved, and they are a side channel).
 *
 * Leaves and bits are from the Intel SDM Vol. 2A, "CPUID", and the AMD APM Vol. 3,
 * appendix E.
 */
#include "hv/kvm/kvm.h"

#include <string.h>

#define BIT(n) (1u << (n))

enum { CPUID_SMT = 1, CPUID_CORE = 2 }; /* level types of leaf 0xb */

/* Bits of an APIC id that number `cpus` cores. */
static unsigned cpuid_bits(unsigned cpus)
{
    unsigned bits = 0;
    while (BIT(bits) < cpus)
        bits++;
    return bits;
}

static uint32_t cpuid_field(uint32_t word, unsigned low, unsigned width, uint32_t value)
{
    uint32_t mask = (BIT(width) - 1) << low;
    return (word & ~mask) | (value << low & mask);
}

static struct kvm_cpuid_entry2 *cpuid_find(struct mv_kvm_cpuid *cpuid,
                                           uint32_t function)
{
    for (uint32_t i = 0; i < cpuid->head.nent; i++)
        if (cpuid->entry[i].function == function)
            return &cpuid->entry[i];
    return NULL;
}

/* "AuthenticAMD" or "HygonGenuine", whose topology leaves differ from Intel's. */
static bool cpuid_is_amd(struct mv_kvm_cpuid *cpuid)
{
    const struct kvm_cpuid_entry2 *e = cpuid_find(cpuid, 0);
    return e && (e->ebx == 0x68747541 || e->ebx == 0x6f677948);
}

/* Leaves that go altogether; a leaf without entry reads as zero. */
static bool cpuid_is_hidden(uint32_t function)
{
    switch (function) {
    case 0x5:        /* MONITOR/MWAIT */
    case 0xa:        /* performance counters */
    case 0xb:        /* topology: made anew below */
    case 0x12:       /* SGX */
    case 0x14:       /* processor trace */
    case 0x1c:       /* last branch records */
    case 0x1f:       /* topology, second version: zero sends readers to leaf 0xb */
    case 0x8000000a: /* SVM */
    case 0x8000001b: /* instruction based sampling */
    case 0x80000022: /* performance counters, AMD */
    case 0x80000026: /* topology, AMD's second version */
        return true;
    default:
        return false;
    }
}

static void cpuid_hide(struct mv_kvm_cpuid *cpuid)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cpuid->head.nent; i++)
        if (!cpuid_is_hidden(cpuid->entry[i].function))
            cpuid->entry[kept++] = cpuid->entry[i];
    cpuid->head.nent = kept;
}

static void cpuid_leaf_1(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus,
                         bool tsc_deadline)
{
    e->ebx = cpuid_field(e->ebx, 16, 8, BIT(cpuid_bits(cpus)));
    e->ebx = cpuid_field(e->ebx, 24, 8, index);
    e->ecx &= ~(BIT(2) | BIT(3) | BIT(5) | BIT(15)); /* DTES64 MONITOR VMX PDCM */
    e->ecx &= ~BIT(27);                              /* OSXSAVE: follows CR4 */
    e->ecx |= BIT(31);                               /* runs under a hypervisor */
    /* KVM leaves it to us to know that local APICs are KVM's (api.rst, 4.46). */
    e->ecx = cpuid_field(e->ecx, 24, 1, tsc_deadline);
    e->edx &= ~BIT(21);                            /* debug store */
    e->edx = cpuid_field(e->edx, 28, 1, cpus > 1); /* HTT: more than one in a package */
}

/* Caches: the first two levels belong to one core, what is above to all. Leaf 4, and
 * 0x8000001d, which is AMD's and has the same form but for the number of cores. */
static void cpuid_cache(struct kvm_cpuid_entry2 *e, unsigned cpus)
{
    uint32_t last_id = BIT(cpuid_bits(cpus)) - 1;
    if ((e->eax & 0x1f) == 0) /* no more caches */
        return;
    unsigned level = e->eax >> 5 & 7;
    e->eax = cpuid_field(e->eax, 14, 12, level > 2 ? last_id : 0);
    if (e->function == 4)
        e->eax = cpuid_field(e->eax, 26, 6, last_id < 63 ? last_id : 63);
}

static void cpuid_leaf_7(struct kvm_cpuid_entry2 *e)
{
    if (e->index != 0)
        return;
    e->ebx &= ~(BIT(2) | BIT(25)); /* SGX, processor trace */
    e->ecx &=
        ~(BIT(5) | BIT(30)); /* WAITPKG: UMWAIT is MWAIT too; SGX launch control */
    e->edx &= ~(BIT(15) | BIT(19)); /* hybrid, architectural LBR */
}

static void cpuid_amd(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus)
{
    switch (e->function) {
    case 0x80000001:
        e->ecx = cpuid_field(e->ecx, 1, 1, cpus > 1); /* CmpLegacy */
        break;
    case 0x80000008:
        e->ecx = cpuid_bits(cpus) << 12 | (cpus - 1);
        break;
    case 0x8000001e:
        e->eax = index;
        e->ebx = index & 0xff; /* core id; one thread per core */
        e->ecx = 0;            /* one node */
        e->edx = 0;
        break;
    default:
        break;
    }
}

static void cpuid_leaf(struct kvm_cpuid_entry2 *e, unsigned index, unsigned cpus,
                       bool tsc_deadline)
{
    switch (e->function) {
    case 0x1:
        cpuid_leaf_1(e, index, cpus, tsc_deadline);
        break;
    case 0x4:
    case 0x8000001d:
        cpuid_cache(e, cpus);
        break;
    case 0x7:
        cpuid_leaf_7(e);
        break;
    case 0x80000001:
        /* SVM, instruction based sampling, SKINIT, LWP, three kinds of counters,
         * MWAITX */
        e->ecx &= ~(BIT(2) | BIT(10) | BIT(12) | BIT(15) | BIT(23) | BIT(24) | BIT(28) |
                    BIT(29));
        break;
    default:
        break;
    }
}

/* Leaf 0xb: threads of a core, cores of the package, end. */
static void cpuid_topology(struct mv_kvm_cpuid *cpuid, unsigned index, unsigned cpus)
{
    const struct kvm_cpuid_entry2 levels[] = {
        {.eax = 0, .ebx = 1, .ecx = CPUID_SMT << 8},
        {.eax = cpuid_bits(cpus), .ebx = cpus, .ecx = CPUID_CORE << 8},
        {.eax = 0, .ebx = 0, .ecx = 0},
    };
    const struct kvm_cpuid_entry2 *highest = cpuid_find(cpuid, 0);
    if (!highest || highest->eax < 0xb)
        return;
    for (uint32_t i = 0; i < 3 && cpuid->head.nent < MV_KVM_CPUID_MAX; i++) {
        struct kvm_cpuid_entry2 *e = &cpuid->entry[cpuid->head.nent++];
        *e = levels[i];
        e->function = 0xb;
        e->index = i;
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        e->ecx |= i;
        e->edx = index;
    }
}

void mv_kvm_cpuid_shape(struct mv_kvm_cpuid *cpuid, unsigned index, unsigned cpus,
                        bool tsc_deadline)
{
    bool amd = cpuid_is_amd(cpuid);
    cpuid_hide(cpuid);
    for (uint32_t i = 0; i < cpuid->head.nent; i++) {
        cpuid_leaf(&cpuid->entry[i], index, cpus, tsc_deadline);
        if (amd)
            cpuid_amd(&cpuid->entry[i], index, cpus);
    }
    cpuid_topology(cpuid, index, cpus);
}
