/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a guest sees in CPUID: the topology of our machine, and nothing that we do not
 * pass on.
 */
#include "check.h"

#include "hv/kvm/kvm.h"
#include "util/bytes.h"

static const struct kvm_cpuid_entry2 *leaf(const struct mv_kvm_cpuid *cpuid,
                                           uint32_t function, uint32_t index)
{
    const struct kvm_cpuid_entry2 *found = NULL;
    for (uint32_t i = 0; i < cpuid->head.nent; i++) {
        const struct kvm_cpuid_entry2 *e = &cpuid->entry[i];
        if (e->function != function || e->index != index)
            continue;
        assert_null(found); /* KVM would take the first of two */
        found = e;
    }
    return found;
}

static void table(struct mv_kvm_cpuid *cpuid, const struct kvm_cpuid_entry2 *entry,
                  uint32_t count)
{
    memset(cpuid, 0, sizeof *cpuid);
    cpuid->head.nent = count;
    memcpy(cpuid->entry, entry, count * sizeof *entry);
}

#define FULL(f)                                                         \
    {                                                                   \
        .function = (f), .eax = ~0u, .ebx = ~0u, .ecx = ~0u, .edx = ~0u \
    }

static const struct kvm_cpuid_entry2 intel[] = {
    {.function = 0,
     .eax = 0x1f,
     .ebx = 0x756e6547,
     .ecx = 0x6c65746e,
     .edx = 0x49656e69},
    FULL(1),
    {.function = 4, .index = 0, .eax = 0xffffc121},
    {.function = 4, .index = 1, .eax = 0xffffc143},
    {.function = 4, .index = 2, .eax = 0xffffc163},
    {.function = 4, .index = 3, .eax = 0},
    FULL(5),
    FULL(7),
    FULL(0xa),
    FULL(0xb),
    FULL(0x1f),
    {.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b},
    FULL(0x80000001),
    FULL(0x80000007),
    {.function = 0x80000008, .eax = 0x302e},
};

static void intel_topology(void **state)
{
    static struct mv_kvm_cpuid cpuid;
    (void)state;
    for (unsigned cpu = 0; cpu < 3; cpu++) {
        table(&cpuid, intel, MV_ARRAY_LEN(intel));
        mv_kvm_cpuid_shape(&cpuid, cpu, 3, true);
        const struct kvm_cpuid_entry2 *e = leaf(&cpuid, 1, 0);
        assert_int_equal(e->ebx >> 24, cpu);
        assert_int_equal(e->ebx >> 16 & 0xff, 4); /* ids, a power of two */
        assert_int_equal(e->edx >> 28 & 1, 1);
        assert_int_equal(leaf(&cpuid, 4, 0)->eax, 3u << 26 | 0x121);
        assert_int_equal(leaf(&cpuid, 4, 1)->eax, 3u << 26 | 0x143);
        assert_int_equal(leaf(&cpuid, 4, 2)->eax, 3u << 26 | 3u << 14 | 0x163);
        assert_int_equal(leaf(&cpuid, 4, 3)->eax, 0);
        e = leaf(&cpuid, 0xb, 0);
        assert_int_equal(e->eax, 0);
        assert_int_equal(e->ebx, 1);
        assert_int_equal(e->ecx, 0x100);
        assert_int_equal(e->edx, cpu);
        assert_true(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX);
        e = leaf(&cpuid, 0xb, 1);
        assert_int_equal(e->eax, 2);
        assert_int_equal(e->ebx, 3);
        assert_int_equal(e->ecx, 0x201);
        assert_int_equal(e->edx, cpu);
        assert_int_equal(leaf(&cpuid, 0xb, 2)->ebx, 0);
        assert_null(leaf(&cpuid, 0x1f, 0));
        assert_int_equal(leaf(&cpuid, 0x80000008, 0)->ecx, 0);
    }
}

static void one_cpu_is_no_hyperthread(void **state)
{
    static struct mv_kvm_cpuid cpuid;
    (void)state;
    table(&cpuid, intel, MV_ARRAY_LEN(intel));
    mv_kvm_cpuid_shape(&cpuid, 0, 1, true);
    const struct kvm_cpuid_entry2 *e = leaf(&cpuid, 1, 0);
    assert_int_equal(e->ebx >> 16, 1);
    assert_int_equal(e->edx >> 28 & 1, 0);
    assert_int_equal(leaf(&cpuid, 4, 2)->eax, 0x163);
    assert_int_equal(leaf(&cpuid, 0xb, 1)->eax, 0);
    assert_int_equal(leaf(&cpuid, 0xb, 1)->ebx, 1);
}

static void what_we_do_not_pass_on(void **state)
{
    static struct mv_kvm_cpuid cpuid;
    (void)state;
    table(&cpuid, intel, MV_ARRAY_LEN(intel));
    mv_kvm_cpuid_shape(&cpuid, 0, 1, true);
    const struct kvm_cpuid_entry2 *e = leaf(&cpuid, 1, 0);
    assert_int_equal(e->ecx & (1u << 3 | 1u << 5 | 1u << 15 | 1u << 27), 0);
    assert_int_equal(e->edx & 1u << 21, 0);
    assert_int_equal(leaf(&cpuid, 7, 0)->ebx & (1u << 2 | 1u << 25), 0);
    assert_int_equal(leaf(&cpuid, 7, 0)->ecx & (1u << 5 | 1u << 30), 0);
    assert_int_equal(leaf(&cpuid, 0x80000001, 0)->ecx & (1u << 2 | 1u << 29), 0);
    assert_int_equal(leaf(&cpuid, 0x80000007, 0)->edx, UINT32_MAX); /* invariant TSC */
    assert_null(leaf(&cpuid, 5, 0));
    assert_null(leaf(&cpuid, 0xa, 0));
}

static void what_kvm_adds_stays(void **state)
{
    static struct mv_kvm_cpuid cpuid;
    struct kvm_cpuid_entry2 entry[MV_ARRAY_LEN(intel)];
    (void)state;
    memcpy(entry, intel, sizeof entry);
    entry[1].ecx = 0;
    table(&cpuid, entry, MV_ARRAY_LEN(entry));
    mv_kvm_cpuid_shape(&cpuid, 0, 1, true);
    assert_int_equal(leaf(&cpuid, 1, 0)->ecx, 1u << 31 | 1u << 24);
    assert_int_equal(leaf(&cpuid, 0x40000000, 0)->ebx, 0x4b4d564b);
    table(&cpuid, entry, MV_ARRAY_LEN(entry));
    mv_kvm_cpuid_shape(&cpuid, 0, 1, false);
    assert_int_equal(leaf(&cpuid, 1, 0)->ecx, 1u << 31);
}

static void amd_topology(void **state)
{
    static const struct kvm_cpuid_entry2 amd[] = {
        {.function = 0, .eax = 0x10, .ebx = 0x68747541},
        FULL(1),
        FULL(0xb),
        {.function = 0x80000001, .ecx = 0},
        {.function = 0x80000008, .eax = 0x3030, .ecx = ~0u},
        FULL(0x8000000a),
        {.function = 0x8000001d, .index = 0, .eax = 0x00ffc121},
        {.function = 0x8000001d, .index = 3, .eax = 0x00ffc163},
        FULL(0x8000001e),
    };
    static struct mv_kvm_cpuid cpuid;
    (void)state;
    table(&cpuid, amd, MV_ARRAY_LEN(amd));
    mv_kvm_cpuid_shape(&cpuid, 5, 6, true);
    assert_int_equal(leaf(&cpuid, 0x80000001, 0)->ecx, 2); /* CmpLegacy */
    assert_int_equal(leaf(&cpuid, 0x80000008, 0)->ecx, 3u << 12 | 5);
    assert_int_equal(leaf(&cpuid, 0x80000008, 0)->eax, 0x3030);
    assert_int_equal(leaf(&cpuid, 0x8000001d, 0)->eax, 0x121);
    assert_int_equal(leaf(&cpuid, 0x8000001d, 3)->eax, 7u << 14 | 0x163);
    const struct kvm_cpuid_entry2 *e = leaf(&cpuid, 0x8000001e, 0);
    assert_int_equal(e->eax, 5);
    assert_int_equal(e->ebx, 5);
    assert_int_equal(e->ecx, 0);
    assert_null(leaf(&cpuid, 0x8000000a, 0));
}

static void odd_tables_do_no_harm(void **state)
{
    static struct mv_kvm_cpuid cpuid;
    (void)state;
    memset(&cpuid, 0, sizeof cpuid); /* empty */
    mv_kvm_cpuid_shape(&cpuid, 0, 1, true);
    assert_int_equal(cpuid.head.nent, 0);
    memset(&cpuid, 0, sizeof cpuid); /* full: no room for leaf 0xb */
    cpuid.head.nent = MV_KVM_CPUID_MAX;
    for (uint32_t i = 0; i < MV_KVM_CPUID_MAX; i++)
        cpuid.entry[i].function = i == 0 ? 0 : 0x80000000 + i;
    cpuid.entry[0].eax = 0xb;
    mv_kvm_cpuid_shape(&cpuid, 0, 1, true);
    assert_true(cpuid.head.nent <= MV_KVM_CPUID_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intel_topology),
        cmocka_unit_test(amd_topology),
        cmocka_unit_test(one_cpu_is_no_hyperthread),
        cmocka_unit_test(what_we_do_not_pass_on),
        cmocka_unit_test(what_kvm_adds_stays),
        cmocka_unit_test(odd_tables_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
