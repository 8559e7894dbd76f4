/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The I/O APIC: entries become messages, edges and levels, masks, EOI, routes told
 * before they are used, registers at every width, threads.
 */
#include "check.h"

#include "chip/ioapic.h"
#include "util/bytes.h"

enum { SELECT = 0x00, WINDOW = 0x10, EOI = 0x40 };
enum { LOGICAL = 1 << 11, RIRR = 1 << 14, LEVEL = 1 << 15, MASKED = 1 << 16 };

struct apic {
    struct mv_ioapic ioapic;
    unsigned sent, told, later;
    uint64_t address;
    uint32_t data;
    struct mv_ioapic_route route[MV_IOAPIC_PINS];
};

static void apic_msi(void *ctx, uint64_t address, uint32_t data)
{
    struct apic *apic = ctx;
    apic->sent++;
    apic->address = address;
    apic->data = data;
    if (data & LEVEL) { /* or its EOI would never be seen */
        bool known = false;
        for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
            known |= !apic->route[pin].masked && apic->route[pin].data == data;
        assert_true(known);
    }
}

static void apic_changed(void *ctx, const struct mv_ioapic_route *route)
{
    struct apic *apic = ctx;
    apic->told++;
    memcpy(apic->route, route, sizeof apic->route);
}

static void apic_later(void *ctx)
{
    struct apic *apic = ctx;
    apic->later++;
}

static void apic_open(struct apic *apic)
{
    const struct mv_ioapic_host host = {apic_msi, apic_changed, apic_later, apic};
    microvm_error err;
    *apic = (struct apic){.sent = 0};
    assert_ok(mv_ioapic_open(&apic->ioapic, &host, &err), &err);
}

static int setup(void **state)
{
    static struct apic apic;
    apic_open(&apic);
    *state = &apic;
    return 0;
}

static int teardown(void **state)
{
    struct apic *apic = *state;
    mv_ioapic_close(&apic->ioapic);
    return 0;
}

static uint32_t get(struct apic *apic, unsigned index)
{
    mv_ioapic_bus.write(&apic->ioapic, SELECT, 4, index);
    return (uint32_t)mv_ioapic_bus.read(&apic->ioapic, WINDOW, 4);
}

static void put(struct apic *apic, unsigned index, uint32_t value)
{
    mv_ioapic_bus.write(&apic->ioapic, SELECT, 4, index);
    mv_ioapic_bus.write(&apic->ioapic, WINDOW, 4, value);
}

static uint32_t entry_low(struct apic *apic, unsigned pin)
{
    return get(apic, 0x10 + 2 * pin);
}

static void set_entry(struct apic *apic, unsigned pin, uint32_t low,
                      uint8_t destination)
{
    put(apic, 0x11 + 2 * pin, (uint32_t)destination << 24);
    put(apic, 0x10 + 2 * pin, low);
}

static void registers_after_reset(void **state)
{
    struct apic *apic = *state;
    assert_int_equal(get(apic, 0), 0);
    assert_int_equal(get(apic, 1), 0x00170020);
    assert_int_equal(get(apic, 2), 0);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++) {
        assert_int_equal(get(apic, 0x10 + 2 * pin), MASKED);
        assert_int_equal(get(apic, 0x11 + 2 * pin), 0);
    }
    for (unsigned index = 3; index < 256; index++)
        if (index < 0x10 || index >= 0x10 + 2 * MV_IOAPIC_PINS) {
            put(apic, index, UINT32_MAX);
            assert_int_equal(get(apic, index), 0);
        }
    put(apic, 0, UINT32_MAX);
    put(apic, 1, UINT32_MAX);
    assert_int_equal(get(apic, 0), 0x0f000000);
    assert_int_equal(get(apic, 1), 0x00170020);
    assert_int_equal(get(apic, 2), 0x0f000000);
    put(apic, 0x10, UINT32_MAX);
    put(apic, 0x11, UINT32_MAX);
    assert_int_equal(get(apic, 0x10), 0x1afff); /* without status and remote IRR */
    assert_int_equal(get(apic, 0x11), 0xff000000);
}

static void entries_become_messages(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 5);
    set_entry(apic, 5, 0x31, 3);
    mv_irq_pulse(&irq);
    assert_int_equal(apic->address, 0xfee03000);
    assert_int_equal(apic->data, 0x31);
    set_entry(apic, 5, 0x0145 | LOGICAL, 0xff); /* lowest priority */
    mv_irq_pulse(&irq);
    assert_int_equal(apic->address, 0xfeeff004);
    assert_int_equal(apic->data, 0x145);
    assert_int_equal(apic->sent, 2);
}

static void edges(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 4);
    mv_irq_pulse(&irq); /* masked: lost */
    mv_irq_set(&irq, true);
    set_entry(apic, 4, 0x34, 0);
    assert_int_equal(apic->sent, 0);
    mv_irq_set(&irq, true); /* no edge */
    assert_int_equal(apic->sent, 0);
    mv_irq_set(&irq, false);
    mv_irq_set(&irq, true);
    assert_int_equal(apic->sent, 1);
    mv_irq_set(&irq, false);
    for (unsigned i = 0; i < 10; i++)
        mv_irq_pulse(&irq);
    assert_int_equal(apic->sent, 11);
    mv_ioapic_eoi(&apic->ioapic, 0x34);
    assert_int_equal(apic->sent, 11);
    assert_int_equal(entry_low(apic, 4), 0x34);
}

static void levels(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 23);
    set_entry(apic, 23, 0x50 | LEVEL, 1);
    mv_irq_set(&irq, true);
    mv_irq_set(&irq, true);
    assert_int_equal(apic->sent, 1);
    assert_int_equal(apic->data, 0x50 | LEVEL | 1 << 14);
    assert_int_equal(entry_low(apic, 23), 0x50 | LEVEL | RIRR);
    mv_ioapic_eoi(&apic->ioapic, 0x51); /* another vector */
    assert_int_equal(apic->sent, 1);
    mv_ioapic_eoi(&apic->ioapic, 0x50); /* still asserted: again */
    assert_int_equal(apic->sent, 2);
    mv_irq_set(&irq, false);
    assert_int_equal(entry_low(apic, 23) & RIRR, RIRR);
    mv_ioapic_bus.write(&apic->ioapic, EOI, 4, 0x50);
    assert_int_equal(entry_low(apic, 23) & RIRR, 0);
    assert_int_equal(apic->sent, 2);
    mv_irq_pulse(&irq); /* the line is down again, but the message was sent */
    assert_int_equal(apic->sent, 3);
    mv_ioapic_eoi(&apic->ioapic, 0x50);
    assert_int_equal(apic->sent, 3);
}

static void masked_levels_wait(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 0);
    set_entry(apic, 0, 0x60 | LEVEL | MASKED, 0);
    mv_irq_set(&irq, true);
    assert_int_equal(apic->sent, 0);
    set_entry(apic, 0, 0x60 | LEVEL, 0);
    assert_int_equal(apic->sent, 1);
    set_entry(apic, 0, 0x60 | LEVEL | MASKED, 0);
    mv_ioapic_eoi(&apic->ioapic, 0x60);
    assert_int_equal(apic->sent, 1);
    set_entry(apic, 0, 0x60 | LEVEL, 0);
    assert_int_equal(apic->sent, 2);
    set_entry(apic, 0, 0x60, 0); /* edge and back: how old software ends an interrupt */
    assert_int_equal(entry_low(apic, 0), 0x60);
    set_entry(apic, 0, 0x60 | LEVEL, 0);
    assert_int_equal(apic->sent, 3);
}

/* Pin 23, asserted, level-triggered, with that many EOIs behind it. */
static struct mv_irq storm(struct apic *apic, unsigned eois)
{
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 23);
    set_entry(apic, 23, 0x50 | LEVEL, 0);
    mv_irq_set(&irq, true);
    for (unsigned i = 0; i < eois; i++)
        mv_ioapic_eoi(&apic->ioapic, 0x50);
    return irq;
}

/* A guest that ends an interrupt again and again without serving its device is given
 * time, and not given up. */
static void a_storm_is_paused(void **state)
{
    struct apic *apic = *state;
    for (unsigned round = 1; round < 4; round++) {
        (void)storm(apic, MV_IOAPIC_EOIS_MAX - 1);
        assert_int_equal(apic->sent, round * MV_IOAPIC_EOIS_MAX);
        assert_int_equal(apic->later, round - 1);
        mv_ioapic_eoi(&apic->ioapic, 0x50);
        mv_ioapic_eoi(&apic->ioapic, 0x50); /* of nothing */
        assert_int_equal(apic->sent, round * MV_IOAPIC_EOIS_MAX);
        assert_int_equal(apic->later, round);
        assert_int_equal(entry_low(apic, 23), 0x50 | LEVEL);
        mv_ioapic_resend(&apic->ioapic);
        mv_ioapic_resend(&apic->ioapic);
        assert_int_equal(apic->sent, round * MV_IOAPIC_EOIS_MAX + 1);
        assert_int_equal(entry_low(apic, 23), 0x50 | LEVEL | RIRR);
    }
}

static void a_pin_that_falls_does_not_storm(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, 23);
    for (unsigned i = 0; i < 10; i++) {
        (void)storm(apic, MV_IOAPIC_EOIS_MAX - 1);
        mv_irq_set(&irq, false);
    }
    assert_int_equal(apic->later, 0);
    assert_int_equal(apic->sent, 9 * (MV_IOAPIC_EOIS_MAX - 1) + MV_IOAPIC_EOIS_MAX);
}

/* The device takes the interrupt back during the pause, and has another. */
static void a_new_interrupt_ends_the_pause(void **state)
{
    struct apic *apic = *state;
    struct mv_irq irq = storm(apic, MV_IOAPIC_EOIS_MAX);
    assert_int_equal(apic->later, 1);
    mv_irq_set(&irq, false);
    mv_ioapic_resend(&apic->ioapic);
    assert_int_equal(apic->sent, MV_IOAPIC_EOIS_MAX);
    mv_irq_set(&irq, true);
    assert_int_equal(apic->sent, MV_IOAPIC_EOIS_MAX + 1);
    mv_ioapic_resend(&apic->ioapic); /* waits for its EOI */
    assert_int_equal(apic->sent, MV_IOAPIC_EOIS_MAX + 1);
}

static void a_pause_ends_at_a_load(void **state)
{
    struct apic *apic = *state, new;
    struct mv_writer w;
    microvm_error err;
    (void)storm(apic, MV_IOAPIC_EOIS_MAX);
    mv_writer_open(&w, 512);
    mv_ioapic_save(&apic->ioapic, &w);
    struct mv_reader r = {.data = w.data, .length = w.length};
    apic_open(&new);
    assert_ok(mv_ioapic_load(&new.ioapic, &r, MV_IOAPIC_STATE_VERSION, &err), &err);
    mv_writer_close(&w);
    assert_int_equal(new.sent, 1);
    assert_int_equal(entry_low(&new, 23), 0x50 | LEVEL | RIRR);
    mv_ioapic_close(&new.ioapic);
}

static void routes_are_told_when_they_matter(void **state)
{
    struct apic *apic = *state;
    set_entry(apic, 7, 0x70 | MASKED, 2);
    assert_int_equal(apic->told, 0); /* masked before and after */
    put(apic, 0x10 + 14, 0x70);
    assert_int_equal(apic->told, 1);
    for (unsigned pin = 0; pin < MV_IOAPIC_PINS; pin++)
        assert_int_equal(apic->route[pin].masked, pin != 7);
    assert_int_equal(apic->route[7].address, 0xfee02000);
    assert_int_equal(apic->route[7].data, 0x70);
    assert_false(apic->route[7].level);
    put(apic, 0x10 + 14, 0x70);
    assert_int_equal(apic->told, 1); /* as before */
    put(apic, 0x10 + 14, 0x70 | LEVEL);
    assert_int_equal(apic->told, 2);
    assert_true(apic->route[7].level);
    put(apic, 0x10 + 14, 0x70 | MASKED);
    assert_int_equal(apic->told, 3);
    assert_true(apic->route[7].masked);
}

static void every_width_and_offset(void **state)
{
    struct apic *apic = *state;
    for (unsigned size = 1; size <= 8; size *= 2)
        for (uint64_t offset = 0; offset + size <= MV_IOAPIC_SIZE; offset++) {
            uint64_t mask = mv_size_mask(size);
            (void)get(apic, 1);
            uint64_t value = mv_ioapic_bus.read(&apic->ioapic, offset, size);
            uint64_t expected = offset == SELECT   ? 1
                                : offset == WINDOW ? 0x00170020 & mask
                                                   : 0;
            assert_int_equal(value, expected);
            (void)get(apic, 0x12);
            mv_ioapic_bus.write(&apic->ioapic, offset, size, 0x0000a5a500011234 & mask);
            if (offset == SELECT)
                assert_int_equal(mv_ioapic_bus.read(&apic->ioapic, SELECT, 4), 0x34);
            else if (offset == WINDOW)
                assert_int_equal(entry_low(apic, 1),
                                 0x1afff & 0x00011234 & mask & ~0x1000u);
            else
                assert_int_equal(entry_low(apic, 1), MASKED);
            put(apic, 0x12, MASKED);
        }
    assert_int_equal(apic->sent, 0);
}

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 8;
}

static uint32_t random_step(struct apic *apic, uint32_t *seed)
{
    unsigned what = next_random(seed) % 8, pin = next_random(seed) % MV_IOAPIC_PINS;
    uint32_t value = next_random(seed) << 8 ^ next_random(seed);
    struct mv_irq irq = mv_ioapic_pin(&apic->ioapic, pin);
    if (what < 2)
        put(apic, 0x10 + value % (2 * MV_IOAPIC_PINS), value >> 3 & ~(value & MASKED));
    else if (what < 4)
        mv_irq_set(&irq, what == 2);
    else if (what == 4)
        mv_irq_pulse(&irq);
    else if (what == 5)
        mv_ioapic_eoi(&apic->ioapic, (uint8_t)entry_low(apic, pin));
    return get(apic, value % 64);
}

static void saved_and_loaded_it_goes_on(void **state)
{
    struct apic *old = *state, new;
    for (uint32_t seed = 1; seed < 200; seed++) {
        struct mv_writer w;
        microvm_error err;
        uint32_t random = seed;
        for (unsigned i = 0; i < 100; i++)
            (void)random_step(old, &random);
        mv_writer_open(&w, 512);
        mv_ioapic_save(&old->ioapic, &w);
        assert_false(w.failed);
        struct mv_reader r = {.data = w.data, .length = w.length};
        apic_open(&new);
        assert_ok(mv_ioapic_load(&new.ioapic, &r, MV_IOAPIC_STATE_VERSION, &err), &err);
        mv_writer_close(&w);
        assert_int_equal(new.sent, 0);
        assert_int_equal(new.told, 1);
        old->sent = 0;
        uint32_t random_new = random;
        for (unsigned i = 0; i < 100; i++) {
            assert_int_equal(random_step(old, &random), random_step(&new, &random_new));
            assert_int_equal(new.sent, old->sent);
        }
        assert_int_not_equal(new.sent, 0);
        mv_ioapic_close(&new.ioapic);
    }
}

static void refuses_impossible_states(void **state)
{
    struct apic *apic = *state;
    struct mv_writer w;
    microvm_error err;
    mv_writer_open(&w, 512);
    mv_ioapic_save(&apic->ioapic, &w);
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_error(mv_ioapic_load(&apic->ioapic, &r, 7, &err), &err, MICROVM_E_INVALID,
                 "I/O APIC: has format 7");
    const struct {
        size_t at;
        uint8_t value;
    } bad[] = {{0, 0x10}, {5, 1}, {6 + 1, 0x40}, {6 + 1, 0x10}, {6 + 4, 1}};
    for (unsigned i = 0; i < MV_ARRAY_LEN(bad); i++) {
        uint8_t copy[512];
        memcpy(copy, w.data, w.length);
        copy[bad[i].at] = bad[i].value;
        r = (struct mv_reader){.data = copy, .length = w.length};
        assert_error(mv_ioapic_load(&apic->ioapic, &r, 1, &err), &err,
                     MICROVM_E_INVALID, "no guest can give it");
    }
    assert_int_equal(apic->told, 0);
    mv_writer_close(&w);
}

/* -- threads -------------------------------------------------------------------------
 */

enum { ROUNDS = 20000 };

struct race {
    struct mv_ioapic ioapic;
    _Atomic unsigned sent, ended;
};

static void race_msi(void *ctx, uint64_t address, uint32_t data)
{
    struct race *race = ctx;
    (void)address;
    race->sent += data != 0;
}

static void race_changed(void *ctx, const struct mv_ioapic_route *route)
{
    (void)ctx;
    (void)route;
}

static void race_later(void *ctx)
{
    struct race *race = ctx;
    mv_ioapic_resend(&race->ioapic);
}

static void race_device(void *arg)
{
    struct race *race = arg;
    struct mv_irq level = mv_ioapic_pin(&race->ioapic, 1),
                  edge = mv_ioapic_pin(&race->ioapic, 2);
    for (unsigned i = 0; i < ROUNDS; i++) {
        mv_irq_set(&level, i % 2 == 0);
        mv_irq_pulse(&edge);
    }
    mv_irq_set(&level, true);
    race->ended = 1;
}

/* A device's thread against a vCPU's: no edge is lost, and the level that stays is not
 * forgotten. */
static void devices_and_vcpus_at_once(void **state)
{
    struct race race = {.sent = 0};
    const struct mv_ioapic_host host = {race_msi, race_changed, race_later, &race};
    microvm_error err;
    uv_thread_t thread;
    (void)state;
    assert_ok(mv_ioapic_open(&race.ioapic, &host, &err), &err);
    mv_ioapic_bus.write(&race.ioapic, SELECT, 4, 0x14);
    mv_ioapic_bus.write(&race.ioapic, WINDOW, 4, 0x22);
    mv_ioapic_bus.write(&race.ioapic, SELECT, 4, 0x12);
    assert_int_equal(uv_thread_create(&thread, race_device, &race), 0);
    for (uint32_t i = 0; !race.ended; i++) {
        mv_ioapic_bus.write(&race.ioapic, WINDOW, 4,
                            0x21 | LEVEL | (i & 1 ? MASKED : 0));
        mv_ioapic_eoi(&race.ioapic, 0x21);
    }
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_in_range(race.sent, ROUNDS, UINT32_MAX);
    mv_ioapic_bus.write(&race.ioapic, WINDOW, 4, 0x21 | LEVEL);
    assert_int_equal(mv_ioapic_bus.read(&race.ioapic, WINDOW, 4), 0x21 | LEVEL | RIRR);
    unsigned sent = race.sent;
    mv_ioapic_eoi(&race.ioapic, 0x21);
    assert_int_equal(race.sent, sent + 1);
    mv_ioapic_close(&race.ioapic);
}

#define apic_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        apic_test(registers_after_reset),
        apic_test(entries_become_messages),
        apic_test(edges),
        apic_test(levels),
        apic_test(masked_levels_wait),
        apic_test(a_storm_is_paused),
        apic_test(a_pin_that_falls_does_not_storm),
        apic_test(a_new_interrupt_ends_the_pause),
        apic_test(a_pause_ends_at_a_load),
        apic_test(routes_are_told_when_they_matter),
        apic_test(every_width_and_offset),
        apic_test(saved_and_loaded_it_goes_on),
        apic_test(refuses_impossible_states),
        cmocka_unit_test(devices_and_vcpus_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
