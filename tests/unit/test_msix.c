/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The MSI-X table: accesses of every width, what is sent, kept and told in every state
 * of its masks, and a device thread that signals while a vCPU masks and retargets.
 */
#include "check.h"

#include "core/state.h"
#include "pci/msix.h"
#include "util/bytes.h"

#include <stdatomic.h>

enum { VECTORS = 3, TABLE_BYTES = VECTORS * 16, CONTROL = 12 };

struct rig {
    struct mv_msix msix;
    unsigned sends[VECTORS], changes[VECTORS];
    uint64_t address[VECTORS]; /* as told last */
    uint32_t data[VECTORS];
};

static void on_changed(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct rig *rig = ctx;
    assert_true(vector < VECTORS);
    rig->changes[vector]++;
    rig->address[vector] = address;
    rig->data[vector] = data;
}

static void on_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct rig *rig = ctx;
    assert_true(vector < VECTORS && rig->changes[vector] > 0);
    assert_true(address == rig->address[vector] && data == rig->data[vector]);
    rig->sends[vector]++;
}

static int setup(void **state)
{
    struct rig *rig = test_calloc(1, sizeof *rig);
    const struct mv_msix_host host = {on_send, on_changed, rig};
    microvm_error err;
    assert_ok(mv_msix_open(&rig->msix, VECTORS, &host, &err), &err);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    mv_msix_close(&rig->msix);
    mv_msix_close(&rig->msix);
    test_free(rig);
    return 0;
}

static void put(struct rig *rig, unsigned vector, uint64_t address, uint32_t data,
                bool masked)
{
    uint64_t at = 16ull * vector;
    mv_msix_write_table(&rig->msix, at + CONTROL, 4, 1);
    mv_msix_write_table(&rig->msix, at, 4, address & UINT32_MAX);
    mv_msix_write_table(&rig->msix, at + 4, 4, address >> 32);
    mv_msix_write_table(&rig->msix, at + 8, 4, data);
    mv_msix_write_table(&rig->msix, at + CONTROL, 4, masked);
}

static uint64_t pending(struct rig *rig)
{
    return mv_msix_read_pending(&rig->msix, 0, 8);
}

/* -- accesses -- */

static void begins_masked_and_off(void **state)
{
    struct rig *rig = *state;
    for (unsigned v = 0; v < VECTORS; v++) {
        assert_int_equal(mv_msix_read_table(&rig->msix, 16ull * v, 8), 0);
        assert_int_equal(mv_msix_read_table(&rig->msix, 16ull * v + 8, 8), 1ull << 32);
        assert_false(mv_msix_signal(&rig->msix, v));
    }
    assert_false(mv_msix_enabled(&rig->msix));
    assert_int_equal(pending(rig), 0);
}

/* Against a model: bytes, of which some bits cannot be written. */
static void table_has_every_width(void **state)
{
    static const uint8_t mask[16] = {0xfc, 255, 255, 255, 255, 255, 255, 255,
                                     255,  255, 255, 255, 1,   0,   0,   0};
    struct rig *rig = *state;
    uint8_t model[TABLE_BYTES] = {0};
    uint64_t value = 0x9e3779b97f4a7c15;
    for (unsigned v = 0; v < VECTORS; v++)
        model[16 * v + CONTROL] = 1;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            for (unsigned at = 0; at < TABLE_BYTES + 16; at++) {
                value = value * 6364136223846793005 + 1442695040888963407;
                mv_msix_write_table(&rig->msix, at, size, value & mv_size_mask(size));
                for (unsigned i = at; i < at + size && i < TABLE_BYTES; i++)
                    model[i] = (uint8_t)((model[i] & ~mask[i % 16]) |
                                         (value >> (8 * (i - at)) & mask[i % 16]));
                for (unsigned from = at > 8 ? at - 8 : 0; from < at + 8; from++) {
                    uint8_t want[8] = {0};
                    for (unsigned i = 0; i < size && from + i < TABLE_BYTES; i++)
                        want[i] = model[from + i];
                    assert_true(mv_msix_read_table(&rig->msix, from, size) ==
                                mv_load64(want));
                }
            }
        }
    }
    assert_int_equal(rig->sends[0] + rig->changes[0], 0);
}

static void pending_bits_have_every_width(void **state)
{
    struct rig *rig = *state;
    mv_msix_control(&rig->msix, true, false);
    assert_true(mv_msix_signal(&rig->msix, 0));
    assert_true(mv_msix_signal(&rig->msix, 2));
    for (unsigned size = 1; size <= 8; size *= 2) {
        assert_int_equal(mv_msix_read_pending(&rig->msix, 0, size), 5);
        for (unsigned at = 1; at < 20; at++)
            assert_int_equal(mv_msix_read_pending(&rig->msix, at, size), 0);
    }
}

/* -- masks -- */

static void unmasking_sends_once(void **state)
{
    struct rig *rig = *state;
    mv_msix_control(&rig->msix, true, false);
    put(rig, 1, 0xfee00000, 0x41, true);
    assert_int_equal(rig->changes[1], 0);
    for (unsigned i = 0; i < 3; i++)
        assert_true(mv_msix_signal(&rig->msix, 1));
    assert_int_equal(rig->sends[1], 0);
    assert_int_equal(pending(rig), 2);
    put(rig, 1, 0xfee01000, 0x42, false);
    assert_int_equal(rig->sends[1], 1);
    assert_int_equal(rig->changes[1], 1);
    assert_true(rig->address[1] == 0xfee01000 && rig->data[1] == 0x42);
    assert_int_equal(pending(rig), 0);
    mv_msix_write_table(&rig->msix, 16 + CONTROL, 4, 1);
    mv_msix_write_table(&rig->msix, 16 + CONTROL, 4, 0);
    assert_int_equal(rig->sends[1], 1);
    assert_int_equal(rig->changes[1], 1); /* only the mask has flipped */
    assert_true(mv_msix_signal(&rig->msix, 1));
    assert_int_equal(rig->sends[1], 2);
}

static void function_mask_masks_all(void **state)
{
    struct rig *rig = *state;
    for (unsigned v = 0; v < VECTORS; v++)
        put(rig, v, 0xfee00000, 0x40 + v, v == 2);
    mv_msix_control(&rig->msix, true, true);
    for (unsigned v = 0; v < VECTORS; v++) {
        assert_int_equal(rig->changes[v], 0);
        assert_true(mv_msix_signal(&rig->msix, v));
    }
    assert_int_equal(pending(rig), 7);
    mv_msix_control(&rig->msix, true, false);
    assert_int_equal(pending(rig), 4);
    assert_int_equal(rig->sends[0], 1);
    assert_int_equal(rig->sends[1], 1);
    assert_int_equal(rig->sends[2], 0);
    mv_msix_control(&rig->msix, true, true);
    mv_msix_control(&rig->msix, true, false);
    assert_int_equal(rig->sends[0], 1);
    assert_int_equal(rig->changes[0], 1);
}

static void off_is_the_pins_business(void **state)
{
    struct rig *rig = *state;
    put(rig, 0, 0xfee00000, 0x40, false);
    put(rig, 1, 0xfee00000, 0x41, true);
    mv_msix_control(&rig->msix, true, false);
    assert_true(mv_msix_signal(&rig->msix, 1));
    mv_msix_control(&rig->msix, false, false);
    assert_false(mv_msix_signal(&rig->msix, 0));
    assert_int_equal(pending(rig), 0);
    put(rig, 1, 0xfee00000, 0x41, false);
    mv_msix_control(&rig->msix, true, false);
    assert_int_equal(rig->sends[0] + rig->sends[1], 0); /* nothing of an earlier life */
    assert_true(mv_msix_signal(&rig->msix, 0));
    assert_int_equal(rig->sends[0], 1);
}

static void reset_forgets_what_is_pending(void **state)
{
    struct rig *rig = *state;
    mv_msix_control(&rig->msix, true, false);
    assert_true(mv_msix_signal(&rig->msix, 0));
    mv_msix_forget(&rig->msix);
    put(rig, 0, 0xfee00000, 0x40, false);
    assert_int_equal(rig->sends[0], 0);
}

static void vectors_that_are_not_send_nothing(void **state)
{
    struct rig *rig = *state;
    const unsigned none[] = {VECTORS, 31, 32, 63, 64, 0xffff, UINT32_MAX};
    for (unsigned v = 0; v < VECTORS; v++)
        put(rig, v, 0xfee00000, 0x40, false);
    mv_msix_control(&rig->msix, true, false);
    for (size_t i = 0; i < MV_ARRAY_LEN(none); i++)
        assert_true(mv_msix_signal(&rig->msix, none[i]));
    assert_int_equal(rig->sends[0] + rig->sends[1] + rig->sends[2], 0);
    assert_int_equal(pending(rig), 0);
}

/* Undefined for software; here each write is taken over, and what is sent is always
 * what was told last (on_send checks). One write may lie across two entries. */
static void rewriting_unmasked_is_taken_over(void **state)
{
    struct rig *rig = *state;
    put(rig, 0, 0xfee00000, 0x40, false);
    put(rig, 1, 0xfee00000, 0x41, true);
    mv_msix_control(&rig->msix, true, false);
    mv_msix_write_table(&rig->msix, 8, 4, 0x50);
    assert_int_equal(rig->data[0], 0x50);
    assert_int_equal(rig->changes[0], 2);
    mv_msix_write_table(&rig->msix, 8, 4, 0x50);
    assert_int_equal(rig->changes[0], 2);
    assert_true(mv_msix_signal(&rig->msix, 0));
    assert_true(mv_msix_signal(&rig->msix, 1));
    mv_msix_write_table(&rig->msix, 16 + CONTROL, 8, 0x1200000000000000);
    assert_int_equal(rig->sends[1], 1);
    mv_msix_write_table(&rig->msix, CONTROL, 8, 0xfee0200000000001);
    assert_true(rig->address[1] == 0xfee02000);
    assert_true(mv_msix_signal(&rig->msix, 0));
    assert_int_equal(rig->sends[0], 1);
}

/* -- state -- */

static void state_keeps_table_and_pending(void **state)
{
    struct rig *rig = *state;
    struct mv_writer w;
    microvm_error err;
    put(rig, 0, 0x1fee00000, 0x40, false);
    put(rig, 1, 0xfee00000, 0x41, true);
    mv_msix_control(&rig->msix, true, true);
    for (unsigned v = 0; v < VECTORS; v++)
        assert_true(mv_msix_signal(&rig->msix, v));
    mv_writer_open(&w, 4096);
    mv_msix_save(&rig->msix, &w);
    assert_false(w.failed);
    (void)teardown(state);
    (void)setup(state);
    rig = *state;
    for (size_t cut = 0; cut < w.length; cut++) {
        struct mv_reader r = {.data = w.data, .length = cut};
        assert_error(mv_msix_load(&rig->msix, &r, &err), &err, MICROVM_E_DEVICE,
                     "cut short");
        assert_int_equal(pending(rig), 0);
    }
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_ok(mv_msix_load(&rig->msix, &r, &err), &err);
    assert_true(mv_reader_done(&r));
    assert_int_equal(pending(rig), 7);
    assert_int_equal(rig->changes[0], 0);
    mv_msix_control(&rig->msix, true, false);
    assert_int_equal(rig->sends[0], 1);
    assert_true(rig->address[0] == 0x1fee00000);
    assert_int_equal(rig->sends[1], 0);
    mv_msix_write_table(&rig->msix, 16 + CONTROL, 4, 0);
    assert_int_equal(rig->sends[1], 1);
    assert_int_equal(rig->data[1], 0x41);
    assert_int_equal(pending(rig), 4);
    mv_writer_close(&w);
}

static void damaged_states_become_possible_ones(void **state)
{
    struct rig *rig = *state;
    struct mv_writer w;
    microvm_error err;
    mv_writer_open(&w, 4096);
    mv_msix_save(&rig->msix, &w);
    w.data[0]++;
    struct mv_reader r = {.data = w.data, .length = w.length};
    assert_error(mv_msix_load(&rig->msix, &r, &err), &err, MICROVM_E_DEVICE,
                 "4 vectors");
    w.data[0]--;
    memset(w.data + 4, 0xff, w.length - 4);
    r = (struct mv_reader){.data = w.data, .length = w.length};
    assert_ok(mv_msix_load(&rig->msix, &r, &err), &err);
    assert_int_equal(pending(rig), 7);
    assert_true(mv_msix_read_table(&rig->msix, 0, 8) == UINT64_MAX - 3);
    assert_true(mv_msix_read_table(&rig->msix, 8, 8) == 0x1ffffffff);
    mv_writer_close(&w);
}

/* -- threads -- */

enum { ROUNDS = 20000, TURNS = 2000 };

/* A device that signals vector 0, a vCPU that masks, retargets and unmasks it. `rung`
 * counts before the signal, as a used index does; `heard` is what the handler of the
 * last message has seen of it. */
struct race {
    struct mv_msix msix;
    _Atomic unsigned rung, heard, sends;
    _Atomic unsigned turns;    /* of the vCPU */
    _Atomic uint32_t target;   /* as the vCPU has set it */
    _Atomic bool masked, over; /* masked: from behind the mask to before the unmask */
    _Atomic unsigned bad;
};

static void race_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct race *race = ctx;
    (void)vector;
    race->sends++;
    race->heard = race->rung;
    if (race->masked || data != race->target ||
        address != 0xfee00000 + 0x1000ull * data)
        race->bad++;
}

static void race_retarget(struct race *race, uint32_t target)
{
    mv_msix_write_table(&race->msix, CONTROL, 4, 1);
    race->masked = true;
    race->target = target;
    mv_msix_write_table(&race->msix, 0, 4, 0xfee00000 + 0x1000ull * target);
    mv_msix_write_table(&race->msix, 8, 4, target);
    race->masked = false;
    mv_msix_write_table(&race->msix, CONTROL, 4, 0);
}

static void race_vcpu(void *arg)
{
    struct race *race = arg;
    for (uint32_t n = 0; !race->over; n++) {
        race_retarget(race, n % 16);
        mv_msix_control(&race->msix, true, true);
        mv_msix_control(&race->msix, true, false);
        (void)mv_msix_read_pending(&race->msix, 0, 8);
        race->turns++;
    }
}

static void race_start(struct race *race, uv_thread_t *vcpu)
{
    const struct mv_msix_host host = {race_send, NULL, race};
    microvm_error err;
    *race = (struct race){.bad = 0};
    assert_ok(mv_msix_open(&race->msix, 1, &host, &err), &err);
    mv_msix_control(&race->msix, true, false);
    race_retarget(race, 0);
    assert_int_equal(uv_thread_create(vcpu, race_vcpu, race), 0);
}

static void race_stop(struct race *race, uv_thread_t *vcpu)
{
    race->over = true;
    (void)uv_thread_join(vcpu);
    mv_msix_close(&race->msix);
    assert_int_equal(race->bad, 0);
}

/* Each is waited for: as many messages as signals, neither more nor fewer. */
static void none_is_lost_none_is_doubled(void **state)
{
    static struct race race;
    uv_thread_t vcpu;
    (void)state;
    race_start(&race, &vcpu);
    for (unsigned n = 1; n <= ROUNDS || race.turns < TURNS; n++) {
        uint64_t end = uv_hrtime() + 5000000000u;
        race.rung++;
        assert_true(mv_msix_signal(&race.msix, 0));
        while (race.sends < n && uv_hrtime() < end)
            ;
        assert_int_equal(race.sends, n);
    }
    race_stop(&race, &vcpu);
    assert_int_equal(race.sends, race.rung);
}

/* None is waited for: several may become one, but the last is heard. */
static void the_last_of_many_is_heard(void **state)
{
    static struct race race;
    uv_thread_t vcpu;
    (void)state;
    for (unsigned n = 0; n < 20; n++) {
        race_start(&race, &vcpu);
        for (unsigned i = 0; i < ROUNDS / 10 || race.turns < TURNS / 10; i++) {
            race.rung++;
            assert_true(mv_msix_signal(&race.msix, 0));
        }
        race_stop(&race, &vcpu); /* which leaves it unmasked */
        assert_int_equal(race.heard, race.rung);
        assert_true(race.sends <= race.rung);
    }
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(begins_masked_and_off),
        T(table_has_every_width),
        T(pending_bits_have_every_width),
        T(unmasking_sends_once),
        T(function_mask_masks_all),
        T(off_is_the_pins_business),
        T(reset_forgets_what_is_pending),
        T(vectors_that_are_not_send_nothing),
        T(rewriting_unmasked_is_taken_over),
        T(state_keeps_table_and_pending),
        T(damaged_states_become_possible_ones),
        cmocka_unit_test(none_is_lost_none_is_doubled),
        cmocka_unit_test(the_last_of_many_is_heard),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
