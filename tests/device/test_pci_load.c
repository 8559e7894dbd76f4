/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two devices under traffic while other vCPUs move the BAR of one (also over that of
 * the other), mask and unmask messages and take bus mastering away and give it back:
 * every request is answered, and has exactly one message.
 */
#include "pcibed.h"

#include "os/thread.h"

enum { REQUESTS = 300, MOVES = 200, FLIPS = 200 }; /* at least */
enum { PATIENCE_S = 20 };

struct load {
    struct pcibed bed;
    _Atomic bool ended;
    _Atomic unsigned moves, flips, requests[PCIBED_CARDS];
};

struct user {
    struct load *load;
    struct pcibed_card *card;
    unsigned q;
    void (*notify)(struct pcibed_card *card, unsigned q);
    bool again;
};

/* Through configuration space, where the device is always. */
static void notify_by_window(struct pcibed_card *card, unsigned q)
{
    vdriver_window_write(&card->driver, MV_VPCI_NOTIFY + MV_VPCI_NOTIFY_STEP * q, 2, q);
}

/* Where the BAR was at first: by a bell, or the bus, or somebody else has it now. */
static void notify_by_bar(struct pcibed_card *card, unsigned q)
{
    vdriver_write(&card->driver, VREG_QUEUE_NOTIFY, q);
}

/* One at a time, each waited for: answer and message. Notified once where nobody else
 * can hear it, else again now and then. */
static void user_run(void *arg)
{
    struct user *user = arg;
    struct pcibed_card *card = user->card;
    uint32_t bit = 1u << (user->q + 1);
    struct load *load = user->load;
    for (unsigned i = 0; i < REQUESTS || load->moves < MOVES || load->flips < FLIPS;
         i++) {
        uint64_t end = uv_hrtime() + PATIENCE_S * 1000000000ull;
        bool answered = false, told = false;
        pcibed_submit(card, user->q);
        for (unsigned round = 0; !answered || !told; round++) {
            MV_ASSERT(uv_hrtime() < end);
            if (!answered && (user->again ? round % 64 == 0 : round == 0))
                user->notify(card, user->q);
            answered = answered || pcibed_answered(card, user->q);
            if (!told)
                told = atomic_fetch_and(&card->messages, ~bit) & bit;
            uv_sleep(0);
        }
        load->requests[card - load->bed.card]++;
    }
}

static void mover_run(void *arg)
{
    struct load *load = arg;
    const struct pcibed_card *card = &load->bed.card[0];
    const uint64_t place[] = {card->driver.pci.bar, load->bed.card[1].driver.pci.bar,
                              PCIRIG_HIGH, 0x100000, 0xfee00000};
    while (!load->ended)
        pcidriver_move_bar(&load->bed.rig.driver, card->slot, 0,
                           place[load->moves++ % MV_ARRAY_LEN(place)]);
}

/* Function mask and bus mastering of both cards. */
static void flipper_run(void *arg)
{
    struct load *load = arg;
    while (!load->ended) {
        const struct vdriver *d = &load->bed.card[load->flips % 2].driver;
        vdriver_pci_write(d, d->pci.msix_at + 2, 2, load->flips & 2 ? 0xc000 : 0x8000);
        if (load->flips % 8 < 2)
            pcidriver_command(&d->pci.host, d->pci.slot, 0, PCI_MASTER);
        else
            pcidriver_command(&d->pci.host, d->pci.slot, PCI_MASTER, 0);
        load->flips++;
        uv_sleep(0);
    }
}

static void load_check(struct load *load)
{
    for (unsigned i = 0; i < PCIBED_CARDS; i++) {
        struct pcibed_card *card = &load->bed.card[i];
        vdriver_pci_enable(&card->driver);
        assert_int_equal(card->failures, 0);
        assert_int_equal(card->sent, load->requests[i]);
        assert_int_equal(card->messages, 0);
        assert_int_equal(vdriver_read(&card->driver, VREG_STATUS), 15);
    }
    assert_int_equal(pcibed_bells(&load->bed), 4);
}

static void devices_move_under_load(void **state)
{
    static struct load load;
    struct pcibed_card *card = load.bed.card;
    struct user user[] = {{&load, &card[0], 0, notify_by_window, false},
                          {&load, &card[1], 0, notify_by_bar, true},
                          {&load, &card[1], 1, notify_by_bar, true}};
    uv_thread_t thread[MV_ARRAY_LEN(user) + 2];
    (void)state;
    pcibed_open(&load.bed);
    assert_int_equal(mv_loop_start(&load.bed.loop, "loop", NULL), 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(user); i++)
        assert_int_equal(mv_thread_start(&thread[i], user_run, &user[i]), 0);
    assert_int_equal(mv_thread_start(&thread[3], mover_run, &load), 0);
    assert_int_equal(mv_thread_start(&thread[4], flipper_run, &load), 0);
    for (unsigned i = 0; i < MV_ARRAY_LEN(user); i++)
        assert_int_equal(uv_thread_join(&thread[i]), 0);
    load.ended = true;
    assert_int_equal(uv_thread_join(&thread[3]), 0);
    assert_int_equal(uv_thread_join(&thread[4]), 0);
    load_check(&load);
    pcibed_close(&load.bed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(devices_move_under_load)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
