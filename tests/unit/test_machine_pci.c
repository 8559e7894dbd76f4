/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine with PCI on the fake hypervisor, from a driver's first look at the bus to a
 * buffer of random bytes: that bells, messages and pins which the machine wires arrive
 * where they should, on any system. The fake binds no eventfds to messages, so these
 * are sent by irq_msi; with real ones the boot suite does the same.
 */
#include "check.h"
#include "scripted.h"

#include "arch/x86/layout.h"
#include "chip/ioapic.h"
#include "machine/machine.h"
#include "util/bytes.h"

#include <string.h>

enum { STEPS_MAX = 300, RING = 0x300000 };
enum { VECTOR = 0x42, BAR = MV_X86_PCI32, NOTIFY = 0x3000, TABLE = 0x4000 };

struct script {
    struct mv_fake_step step[STEPS_MAX];
    unsigned steps;
};

static void add(struct script *s, uint32_t op, uint32_t size, uint64_t address,
                uint64_t value)
{
    assert_true(s->steps < STEPS_MAX);
    s->step[s->steps++] = (struct mv_fake_step){op, size, address, value};
}

static void set(struct script *s, uint32_t size, uint64_t offset, uint64_t value)
{
    add(s, MV_FAKE_MMIO_WRITE, size, BAR + offset, value);
}

static void config(struct script *s, uint32_t reg, uint32_t size, uint64_t value)
{
    add(s, MV_FAKE_PIO_WRITE, 4, MV_X86_PORT_PCI, 0x80000800 | (reg & 0xfc));
    add(s, MV_FAKE_PIO_WRITE, size, MV_X86_PORT_PCI + 4 + (reg & 3), value);
}

/* The device in slot 1 is there, decodes its BAR and is a bus master. */
static void find_device(struct script *s)
{
    add(s, MV_FAKE_PIO_WRITE, 4, MV_X86_PORT_PCI, 0x80000800);
    add(s, MV_FAKE_PIO_READ, 4, MV_X86_PORT_PCI + 4, 0);
    add(s, MV_FAKE_CHECK, 0, 0, 0x10441af4);
    config(s, 0x04, 2, 0x0006);
}

static void enable_messages(struct script *s)
{
    config(s, 0x42, 2, 0x8000); /* MSI-X is the first capability */
    set(s, 4, TABLE + 16, MV_X86_LAPIC);
    set(s, 4, TABLE + 16 + 8, VECTOR);
    set(s, 4, TABLE + 16 + 12, 0);
}

/* virtio 1.2, 3.1.1 and 4.1.4.3. */
static void start_device(struct script *s, bool messages)
{
    set(s, 1, 0x14, 1 | 2);
    set(s, 4, 0x08, 1);
    set(s, 4, 0x0c, 1); /* VERSION_1 */
    set(s, 1, 0x14, 1 | 2 | 8);
    set(s, 2, 0x16, 0);
    set(s, 2, 0x18, 8);
    if (messages)
        set(s, 2, 0x1a, 1);
    set(s, 4, 0x20, RING);
    set(s, 4, 0x28, RING + 0x1000);
    set(s, 4, 0x30, RING + 0x2000);
    set(s, 2, 0x1c, 1);
    set(s, 1, 0x14, 1 | 2 | 8 | 4);
}

static void ask_for_16_bytes(struct script *s)
{
    add(s, MV_FAKE_STORE, 8, RING, RING + 0x4000);
    add(s, MV_FAKE_STORE, 4, RING + 8, 16);
    add(s, MV_FAKE_STORE, 2, RING + 12, 2); /* the device writes */
    add(s, MV_FAKE_STORE, 4, RING + 0x1000, 1u << 16);
    set(s, 2, NOTIFY, 0);
}

static void check_answer_and_end(struct script *s)
{
    add(s, MV_FAKE_LOAD, 2, RING + 0x2000 + 2, 0);
    add(s, MV_FAKE_CHECK, 0, 0, 1);
    add(s, MV_FAKE_LOAD, 4, RING + 0x2000 + 8, 0);
    add(s, MV_FAKE_CHECK, 0, 0, 16);
    add(s, MV_FAKE_PIO_WRITE, 1, 0x64, 0xfe);
    add(s, MV_FAKE_SPIN, 0, 0, 0);
}

/* The script must arrive at its reset: a check that fails ends the machine otherwise.
 */
static void run_on(const struct mv_hv_ops *hv, const struct script *s,
                   const char *transport, const char *interrupts)
{
    const char *const settings[] = {"rng",        "on",       "transport", transport,
                                    "interrupts", interrupts, NULL};
    microvm_exit how = MICROVM_EXIT_INIT;
    microvm_error err;
    microvm *vm = scripted_machine(hv, s->step, STEPS_MAX, settings);
    assert_ok(microvm_start(vm, &err), &err);
    assert_ok(microvm_wait(vm, 10000, &how, &err), &err);
    if (how.reason != MICROVM_EXIT_RESET)
        fail_msg("%s", how.message);
    microvm_free(vm);
}

static void run(const struct script *s, const char *transport)
{
    run_on(&mv_fake_ops, s, transport, "auto");
}

static void a_message_tells_the_driver(void **state)
{
    struct script s = {.steps = 0};
    (void)state;
    find_device(&s);
    enable_messages(&s);
    start_device(&s, true);
    ask_for_16_bytes(&s);
    add(&s, MV_FAKE_WAIT_MSI, 0, 0, VECTOR);
    check_answer_and_end(&s);
    run(&s, "pci");
}

/* A hypervisor that has room for a message once: what the eventfd would send is
 * nobody's, so that only irq_msi reaches the driver. */
static _Atomic unsigned binds, strange, unbinds;

static int bind_once(struct mv_hv_vm *vm, unsigned index, intptr_t fd, uint64_t address,
                     uint32_t data, microvm_error *err)
{
    (void)vm;
    (void)index;
    (void)fd;
    (void)address;
    strange += data != VECTOR + binds;
    return binds++ == 0 ? 0 : mv_fail(err, MICROVM_E_HYPERVISOR, "no room");
}

static int unbind(struct mv_hv_vm *vm, unsigned index, intptr_t fd, microvm_error *err)
{
    (void)vm;
    (void)index;
    (void)fd;
    (void)err;
    unbinds++;
    return 0;
}

static void a_message_that_finds_no_room_is_sent_by_hand(void **state)
{
    struct mv_hv_ops hv = mv_fake_ops;
    struct script s = {.steps = 0};
    (void)state;
    hv.msi_bind = bind_once;
    hv.msi_unbind = unbind;
    find_device(&s);
    enable_messages(&s);
    set(&s, 4, TABLE + 16 + 12, 1);
    set(&s, 4, TABLE + 16 + 8, VECTOR + 1);
    set(&s, 4, TABLE + 16 + 12, 0);
    start_device(&s, true);
    ask_for_16_bytes(&s);
    add(&s, MV_FAKE_WAIT_MSI, 0, 0, VECTOR + 1);
    check_answer_and_end(&s);
    run_on(&hv, &s, "pci", "auto");
    assert_int_equal(binds, 2);
    assert_int_equal(strange, 0);
    assert_int_equal(unbinds, 1); /* the first one's, when the second failed */
}

static void a_pin_tells_the_driver(void **state)
{
    struct script s = {.steps = 0};
    (void)state;
    find_device(&s);
    start_device(&s, false);
    ask_for_16_bytes(&s);
    add(&s, MV_FAKE_WAIT_LINE, 0, MV_X86_GSI_PCI + 1, 0);
    add(&s, MV_FAKE_MMIO_READ, 1, BAR + 0x1000, 0); /* ISR: a queue */
    add(&s, MV_FAKE_CHECK, 0, 0, 1);
    add(&s, MV_FAKE_MMIO_READ, 1, BAR + 0x1000, 0);
    add(&s, MV_FAKE_CHECK, 0, 0, 0);
    check_answer_and_end(&s);
    run(&s, "pci");
}

/* A driver that does not serve its device gets the interrupt again for ever, which is
 * after a pause now and then: the loop's. */
static void a_pin_that_stays_comes_again_and_again(void **state)
{
    const unsigned entry = 0x10 + 2 * (MV_X86_GSI_PCI + 1);
    struct script s = {.steps = 0};
    (void)state;
    find_device(&s);
    start_device(&s, false);
    add(&s, MV_FAKE_MMIO_WRITE, 4, MV_X86_IOAPIC, entry);
    add(&s, MV_FAKE_MMIO_WRITE, 4, MV_X86_IOAPIC + 0x10, 1 << 15 | VECTOR);
    ask_for_16_bytes(&s);
    for (unsigned i = 0; i < MV_IOAPIC_EOIS_MAX + 2; i++) {
        add(&s, MV_FAKE_WAIT_MSI, 0, 0, VECTOR);
        add(&s, MV_FAKE_EOI, 0, 0, VECTOR);
    }
    check_answer_and_end(&s);
    run_on(&mv_fake_ops, &s, "pci", "split");
}

/* The fake's guest has no ACPI: nothing answers at the ports of PCI. */
static void auto_and_mmio_have_no_pci(void **state)
{
    struct script s = {.steps = 0};
    (void)state;
    add(&s, MV_FAKE_PIO_WRITE, 4, MV_X86_PORT_PCI, 0x80000800);
    add(&s, MV_FAKE_PIO_READ, 4, MV_X86_PORT_PCI, 0);
    add(&s, MV_FAKE_CHECK, 0, 0, 0xffffffff);
    add(&s, MV_FAKE_MMIO_READ, 4, MV_X86_ECAM, 0);
    add(&s, MV_FAKE_CHECK, 0, 0, 0xffffffff);
    add(&s, MV_FAKE_MMIO_READ, 4, MV_X86_VIRTIO, 0); /* "virt" */
    add(&s, MV_FAKE_CHECK, 0, 0, 0x74726976);
    add(&s, MV_FAKE_PIO_WRITE, 1, 0x64, 0xfe);
    add(&s, MV_FAKE_SPIN, 0, 0, 0);
    run(&s, "auto");
    run(&s, "mmio");
}

/* Whether the device's registers answer where its BAR has been put: num_queues is 1. */
static void check_moved(uint64_t gpa, bool answers)
{
    struct script s = {.steps = 0};
    find_device(&s);
    config(&s, 0x10, 4, (uint32_t)gpa);
    config(&s, 0x14, 4, gpa >> 32);
    add(&s, MV_FAKE_MMIO_READ, 2, gpa + 0x12, 0);
    add(&s, MV_FAKE_CHECK, 0, 0, answers ? 1 : 0xffff);
    add(&s, MV_FAKE_PIO_WRITE, 1, 0x64, 0xfe);
    add(&s, MV_FAKE_SPIN, 0, 0, 0);
    run(&s, "pci");
}

/* Guests without ACPI know no windows. */
static void a_bar_is_found_wherever_nothing_else_is(void **state)
{
    const uint64_t beside[] = {
        MV_MIB(16), /* the end of RAM */
        MV_X86_HOLE - 0x8000,
        MV_X86_VIRTIO,
        MV_X86_POWER - 0x8000,
        MV_X86_POWER + 0x8000,
        MV_X86_ECAM - 0x8000,
        MV_X86_ECAM + MV_X86_ECAM_SIZE,
        MV_X86_IOAPIC - 0x8000,
        MV_X86_HOLE_END,
        MV_X86_PCI64 + MV_X86_PCI64_SIZE,
        1ull << 39,
    };
    const uint64_t over[] = {MV_X86_IOAPIC + 0x8000, MV_X86_LAPIC,
                             MV_X86_HOLE_END - 0x8000, MV_X86_PHYSICAL_END};
    (void)state;
    for (unsigned i = 0; i < MV_ARRAY_LEN(beside); i++)
        check_moved(beside[i], true);
    for (unsigned i = 0; i < MV_ARRAY_LEN(over); i++)
        check_moved(over[i], false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_tells_the_driver),
        cmocka_unit_test(a_message_that_finds_no_room_is_sent_by_hand),
        cmocka_unit_test(a_pin_tells_the_driver),
        cmocka_unit_test(a_pin_that_stays_comes_again_and_again),
        cmocka_unit_test(auto_and_mmio_have_no_pci),
        cmocka_unit_test(a_bar_is_found_wherever_nothing_else_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
