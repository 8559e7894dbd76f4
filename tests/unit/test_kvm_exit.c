/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Exits that no guest of the other suites can cause: what they go up as, and what is
 * said about them. The vCPU has no descriptor, so where it stands is not known.
 */
#include "check.h"

#include "hv/kvm/kvm.h"
#include "util/bytes.h"

struct seen {
    uint64_t address[8], value[8];
    unsigned size[8], count;
};

static void seen_add(struct seen *seen, uint64_t address, unsigned size, uint64_t value)
{
    assert_true(seen->count < 8);
    seen->address[seen->count] = address;
    seen->size[seen->count] = size;
    seen->value[seen->count++] = value;
}

static uint64_t on_read(void *ctx, uint64_t gpa, unsigned size)
{
    seen_add(ctx, gpa, size, 0);
    return 0x8877665544332211;
}

static void on_write(void *ctx, uint64_t gpa, unsigned size, uint64_t value)
{
    seen_add(ctx, gpa, size, value);
}

static uint64_t on_in(void *ctx, uint16_t port, unsigned size)
{
    return on_read(ctx, port, size) + ((struct seen *)ctx)->count;
}

static void on_out(void *ctx, uint16_t port, unsigned size, uint64_t value)
{
    on_write(ctx, port, size, value);
}

static const struct mv_hv_up up = {.pio_read = on_in,
                                   .pio_write = on_out,
                                   .mmio_read = on_read,
                                   .mmio_write = on_write};

enum { RUN_BYTES = 8192 };

struct rig {
    struct mv_hv_vm vm;
    struct mv_hv_vcpu vcpu;
    struct seen seen;
    union {
        struct kvm_run run;
        uint8_t bytes[RUN_BYTES];
    } area;
};

static struct rig *rig_make(void)
{
    struct rig *rig = test_calloc(1, sizeof *rig);
    rig->vm.config = (struct mv_hv_config){.cpus = 1, .up = &up, .up_ctx = &rig->seen};
    rig->vcpu.fd = -1;
    rig->vcpu.vm = &rig->vm;
    rig->vcpu.run = &rig->area.run;
    return rig;
}

static void string_output_goes_up_one_by_one(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->area.run.io.direction = KVM_EXIT_IO_OUT;
    rig->area.run.io.port = 0x3f8;
    rig->area.run.io.size = 2;
    rig->area.run.io.count = 3;
    rig->area.run.io.data_offset = 4096;
    memcpy(rig->area.bytes + 4096, "\x11\x22\x33\x44\x55\x66\x77", 7);
    mv_kvm_exit_io(&rig->vcpu);
    assert_int_equal(rig->seen.count, 3);
    assert_int_equal(rig->seen.value[0], 0x2211);
    assert_int_equal(rig->seen.value[2], 0x6655);
    assert_int_equal(rig->seen.address[2], 0x3f8);
    assert_int_equal(rig->seen.size[2], 2);
    test_free(rig);
}

static void string_input_keeps_its_width(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->area.run.io.direction = KVM_EXIT_IO_IN;
    rig->area.run.io.size = 1;
    rig->area.run.io.count = 3;
    rig->area.run.io.data_offset = 4096;
    memset(rig->area.bytes + 4096, 0xee, 8);
    mv_kvm_exit_io(&rig->vcpu);
    assert_memory_equal(rig->area.bytes + 4096, "\x12\x13\x14\xee", 4);
    test_free(rig);
}

static void odd_lengths_come_in_pieces_of_the_bus(void **state)
{
    static const struct {
        unsigned length, pieces, size[3];
    } cases[] = {{1, 1, {1}},    {2, 1, {2}},    {3, 2, {2, 1}},    {4, 1, {4}},
                 {5, 2, {4, 1}}, {6, 2, {4, 2}}, {7, 3, {4, 2, 1}}, {8, 1, {8}}};
    (void)state;
    for (size_t i = 0; i < MV_ARRAY_LEN(cases); i++) {
        struct rig *rig = rig_make();
        uint64_t at = 0xd0000000, value = 0x8877665544332211;
        rig->area.run.mmio.phys_addr = at;
        rig->area.run.mmio.len = cases[i].length;
        rig->area.run.mmio.is_write = 1;
        memcpy(rig->area.run.mmio.data, &value, 8);
        mv_kvm_exit_mmio(&rig->vcpu);
        assert_int_equal(rig->seen.count, cases[i].pieces);
        for (unsigned p = 0; p < cases[i].pieces; p++) {
            assert_int_equal(rig->seen.address[p], at);
            assert_int_equal(rig->seen.size[p], cases[i].size[p]);
            assert_int_equal(rig->seen.value[p],
                             value & mv_size_mask(cases[i].size[p]));
            at += cases[i].size[p];
            if (cases[i].size[p] < 8)
                value >>= 8 * cases[i].size[p];
        }
        test_free(rig);
    }
}

static void a_length_beyond_the_data_is_cut(void **state)
{
    struct rig *rig = rig_make();
    (void)state;
    rig->area.run.mmio.len = 200;
    mv_kvm_exit_mmio(&rig->vcpu);
    assert_int_equal(rig->seen.count, 1);
    assert_int_equal(rig->seen.size[0], 8);
    test_free(rig);
}

static void expect_failure(struct rig *rig, const char *words)
{
    microvm_error err = {.code = 0};
    assert_int_equal(mv_kvm_exit_failed(&rig->vcpu, &err), MV_HV_FAILED);
    assert_error(err.code, &err, MICROVM_E_HYPERVISOR, words);
    assert_non_null(strstr(err.message, "at an unknown place"));
}

static void failures_have_names_and_numbers(void **state)
{
    struct rig *rig = rig_make();
    struct kvm_run *run = &rig->area.run;
    (void)state;
    run->exit_reason = KVM_EXIT_FAIL_ENTRY;
    run->fail_entry.hardware_entry_failure_reason = 0x80000021;
    expect_failure(rig, "KVM_EXIT_FAIL_ENTRY");
    expect_failure(rig, "0x80000021");
    run->exit_reason = KVM_EXIT_UNKNOWN;
    run->hw.hardware_exit_reason = 0x33;
    expect_failure(rig, "KVM_EXIT_UNKNOWN, hardware reason 0x33");
    run->exit_reason = KVM_EXIT_DEBUG;
    expect_failure(rig, "KVM_EXIT_DEBUG (KVM exit 4)");
    run->exit_reason = 999;
    expect_failure(rig, "unknown exit (KVM exit 999)");
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->internal.suberror = KVM_INTERNAL_ERROR_DELIVERY_EV;
    expect_failure(rig, "KVM_EXIT_INTERNAL_ERROR 3, exit during the delivery");
    run->internal.suberror = 77;
    expect_failure(rig, "KVM_EXIT_INTERNAL_ERROR 77, unknown suberror");
    test_free(rig);
}

static void an_instruction_that_cannot_be_emulated_is_shown(void **state)
{
    struct rig *rig = rig_make();
    struct kvm_run *run = &rig->area.run;
    (void)state;
    run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
    run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
    run->emulation_failure.ndata = 4;
    run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
    run->emulation_failure.insn_size = 3;
    memcpy(run->emulation_failure.insn_bytes, "\x0f\x01\xd0", 3);
    expect_failure(rig, "cannot emulate 0f 01 d0 at");
    run->emulation_failure.insn_size = 255; /* more than there is room for */
    memset(run->emulation_failure.insn_bytes, 0xcc, 15);
    expect_failure(rig, "cc cc cc cc cc cc cc cc cc cc cc cc cc cc cc at");
    test_free(rig);
}

static void system_events(void **state)
{
    struct rig *rig = rig_make();
    microvm_error err = {.code = 0};
    (void)state;
    rig->area.run.system_event.type = KVM_SYSTEM_EVENT_RESET;
    assert_int_equal(mv_kvm_exit_event(&rig->vcpu, &err), MV_HV_RESET);
    rig->area.run.system_event.type = KVM_SYSTEM_EVENT_SHUTDOWN;
    assert_int_equal(mv_kvm_exit_event(&rig->vcpu, &err), MV_HV_SHUTDOWN);
    assert_int_equal(err.code, 0);
    rig->area.run.system_event.type = KVM_SYSTEM_EVENT_CRASH;
    assert_int_equal(mv_kvm_exit_event(&rig->vcpu, &err), MV_HV_FAILED);
    assert_non_null(strstr(err.message, "crashed"));
    rig->area.run.system_event.type = 55;
    assert_int_equal(mv_kvm_exit_event(&rig->vcpu, &err), MV_HV_FAILED);
    assert_non_null(strstr(err.message, "unknown type 55"));
    test_free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(string_output_goes_up_one_by_one),
        cmocka_unit_test(string_input_keeps_its_width),
        cmocka_unit_test(odd_lengths_come_in_pieces_of_the_bus),
        cmocka_unit_test(a_length_beyond_the_data_is_cut),
        cmocka_unit_test(failures_have_names_and_numbers),
        cmocka_unit_test(an_instruction_that_cannot_be_emulated_is_shown),
        cmocka_unit_test(system_events),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
