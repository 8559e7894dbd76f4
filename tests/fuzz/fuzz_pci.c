/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A hostile guest on the PCI bus: configuration space through both mechanisms at any
 * address and width, BARs moved anywhere, windows accessed, pins asserted, functions
 * saved and loaded damaged. A model of the specification is compared after every step:
 * what is not writable never changes, BARs decode where the registers say and nowhere
 * else, lines are the OR of their pins.
 */
#include "fuzz.h"

#include "pcirig.h"

enum { CARDS = 4, STEPS_MAX = 400 };

static const uint8_t card_slot[CARDS] = {1, 2, 9, 31}; /* 1 and 9 share a line */

struct guest {
    struct pcirig rig;
    struct pcicard card[CARDS];
    uint8_t born[CARDS][MV_PCI_CONFIG_SIZE]; /* registers at the start */
    bool pin[CARDS];
};

/* Where a BAR decodes by its registers. */
static uint64_t guest_place(const struct mv_pci_function *f, unsigned bar)
{
    uint64_t place = mv_load32(&f->config[PCI_BAR0 + 4 * bar]) & ~15u;
    uint64_t size = bar == 0 ? PCICARD_BAR_BYTES : PCICARD_SMALL_BYTES;
    if (bar == 0)
        place |= (uint64_t)mv_load32(&f->config[PCI_BAR0 + 4]) << 32;
    if (!(mv_load16(&f->config[PCI_COMMAND]) & PCI_MEMORY))
        return MV_PCI_NOWHERE;
    bool inside = pcirig_in_space(place, size);
    return inside ? place : MV_PCI_NOWHERE;
}

/* The card that an access of one byte reaches: the lowest slot's. CARDS: none. */
static unsigned guest_target(const struct guest *guest, uint64_t gpa)
{
    unsigned i;
    for (i = 0; i < CARDS; i++) {
        uint64_t wide = guest_place(&guest->card[i].f, 0);
        uint64_t narrow = guest_place(&guest->card[i].f, 2);
        if ((wide != MV_PCI_NOWHERE && mv_inside(gpa, 1, wide, PCICARD_BAR_BYTES)) ||
            (narrow != MV_PCI_NOWHERE &&
             mv_inside(gpa, 1, narrow, PCICARD_SMALL_BYTES)))
            break;
    }
    return i;
}

/* What its owner believes is so, and nobody else's. */
static void guest_check_place(const struct guest *guest, unsigned i, unsigned bar)
{
    const struct pcicard *card = &guest->card[i];
    uint64_t told = card->place[bar];
    if (told == MV_PCI_NOWHERE)
        return;
    MV_ASSERT(told == guest_place(&card->f, bar));
    for (unsigned j = 0; j < CARDS; j++)
        for (unsigned b = 0; b < 4; b += 2) {
            uint64_t other = guest_place(&guest->card[j].f, b);
            MV_ASSERT((j == i && b == bar) || other == MV_PCI_NOWHERE ||
                      !mv_overlap(told, card->f.bar[bar].size, other,
                                  guest->card[j].f.bar[b].size));
        }
}

static void guest_check(const struct guest *guest)
{
    bool level[MV_PCI_LINES] = {false};
    for (unsigned i = 0; i < CARDS; i++) {
        const struct mv_pci_function *f = &guest->card[i].f;
        for (unsigned reg = 0; reg < MV_PCI_CONFIG_SIZE; reg++)
            MV_ASSERT(!((f->config[reg] ^ guest->born[i][reg]) & ~f->writable[reg]));
        guest_check_place(guest, i, 0);
        guest_check_place(guest, i, 2);
        MV_ASSERT(mv_pci_command(f) == mv_load16(&f->config[PCI_COMMAND]));
        level[card_slot[i] % MV_PCI_LINES] |=
            guest->pin[i] && !(mv_pci_command(f) & PCI_INTX_OFF);
    }
    for (unsigned i = 0; i < MV_PCI_LINES; i++)
        MV_ASSERT(guest->rig.line[PCIRIG_GSI + i].level == level[i]);
}

/* -- steps -- */

static void guest_raw_config(struct guest *guest, struct fuzz *in)
{
    uint8_t how = fuzz8(in);
    unsigned size = 1u << how % 4;
    uint64_t value;
    if (how & 0x80) {
        uint64_t offset = fuzz32(in) % MV_PCI_ECAM_SIZE;
        if (how & 0x40)
            pcidriver_store(&guest->rig.driver, PCIRIG_ECAM + offset, size, fuzz64(in));
        (void)pcidriver_load(&guest->rig.driver, PCIRIG_ECAM + offset, size);
        return;
    }
    uint64_t port = MV_PCI_PORTS + (how >> 2) % 8;
    if (how & 0x40)
        (void)mv_bus_write(&guest->rig.pio, port, size, fuzz32(in));
    (void)mv_bus_read(&guest->rig.pio, port, size, &value);
    MV_ASSERT(!(value & ~mv_size_mask(size)));
}

/* Registers of cards, so that they are reached often; both mechanisms read the same. */
static void guest_register(struct guest *guest, struct fuzz *in)
{
    struct pcidriver d = guest->rig.driver;
    uint8_t how = fuzz8(in), reg = fuzz8(in);
    unsigned slot = card_slot[how % CARDS], size = 1u << (how >> 2) % 3;
    reg = (uint8_t)(reg & ~(size - 1));
    d.ports = how & 0x80;
    if (how & 0x40)
        pcidriver_write(&d, slot, reg, size, fuzz32(in));
    uint32_t value = pcidriver_read(&d, slot, reg, size);
    d.ports = !d.ports;
    MV_ASSERT(pcidriver_read(&d, slot, reg, size) == value);
}

/* To one of 16 places in each window, over others, at edges of the space, anywhere. */
static uint64_t guest_somewhere(struct fuzz *in)
{
    uint8_t where = fuzz8(in);
    uint64_t page = (where >> 4) * 0x800ull;
    switch (where % 8) {
    case 0:
        return PCIRIG_HIGH + page;
    case 1:
        return PCIRIG_HIGH + PCIRIG_HIGH_SIZE - page;
    case 2:
        return PCIRIG_LOW + PCIRIG_LOW_SIZE - page;
    case 3:
        return fuzz64(in);
    case 4:
        return 0xfee00000 - page;
    case 5:
        return PCIRIG_CHIP + 0x2000 - page;
    case 6:
        return PCIRIG_ABOVE - 0x1000 + page;
    default:
        return PCIRIG_LOW + page;
    }
}

static void guest_move(struct guest *guest, struct fuzz *in)
{
    const struct pcidriver *d = &guest->rig.driver;
    uint8_t how = fuzz8(in);
    unsigned slot = card_slot[how % CARDS], bar = how & 4 ? 2 : 0;
    pcidriver_move_bar(d, slot, bar, guest_somewhere(in));
    pcidriver_command(d, slot, how & 8 ? 0 : PCI_MEMORY, how & 16 ? PCI_MEMORY : 0);
    uint64_t size = bar ? PCICARD_SMALL_BYTES : PCICARD_BAR_BYTES;
    if (how & 32)
        MV_ASSERT(pcidriver_bar_size(d, slot, bar) == size);
}

static void guest_access(struct guest *guest, struct fuzz *in)
{
    uint64_t gpa = guest_somewhere(in) + fuzz8(in);
    unsigned reads[CARDS], size = 1u << fuzz8(in) % 4;
    unsigned target = guest_target(guest, gpa);
    for (unsigned i = 0; i < CARDS; i++)
        reads[i] = guest->card[i].reads;
    uint64_t value = pcidriver_load(&guest->rig.driver, gpa, 1);
    MV_ASSERT(target < CARDS || value == 0xff || gpa - PCIRIG_ECAM < MV_PCI_ECAM_SIZE);
    for (unsigned i = 0; i < CARDS; i++)
        MV_ASSERT(guest->card[i].reads - reads[i] == (i == target));
    pcidriver_store(&guest->rig.driver, gpa, size, fuzz8(in) * 0x0101010101010101u);
    (void)pcidriver_load(&guest->rig.driver, gpa, size);
}

/* Saves one card and loads it again, as it is or with a byte damaged. */
static void guest_reload(struct guest *guest, struct fuzz *in)
{
    unsigned i = fuzz8(in) % CARDS;
    uint16_t at = fuzz16(in);
    struct mv_writer w;
    mv_writer_open(&w, 1024);
    mv_pci_function_save(&guest->card[i].f, &w);
    MV_ASSERT(!w.failed);
    if (at < w.length)
        w.data[at] ^= fuzz8(in);
    struct mv_reader r = {.data = w.data, .length = at & 0x8000 ? at % 300u : w.length};
    r.length = MV_MIN(r.length, w.length);
    int rc = mv_pci_function_load(&guest->card[i].f, &r, NULL);
    MV_ASSERT(rc == 0 || at < w.length || r.length < w.length);
    if (rc == 0)
        guest->pin[i] = guest->card[i].f.intx;
    mv_writer_close(&w);
}

static void guest_step(struct guest *guest, struct fuzz *in)
{
    uint8_t what = fuzz8(in);
    unsigned i = what >> 4 & (CARDS - 1);
    switch (what % 8) {
    case 0:
        guest_raw_config(guest, in);
        break;
    case 1:
    case 2:
        guest_register(guest, in);
        break;
    case 3:
    case 4:
        guest_move(guest, in);
        break;
    case 5:
        guest_access(guest, in);
        break;
    case 6:
        guest->pin[i] = what & 8;
        mv_pci_intx(&guest->card[i].f, what & 8);
        break;
    default:
        guest_reload(guest, in);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    struct guest guest = {.pin = {false}};
    pcirig_open(&guest.rig);
    for (unsigned i = 0; i < CARDS; i++) {
        pcicard_open(&guest.card[i], &guest.rig, card_slot[i]);
        memcpy(guest.born[i], guest.card[i].f.config, sizeof guest.born[i]);
    }
    for (unsigned i = 0; i < STEPS_MAX && fuzz_left(&in); i++) {
        guest_step(&guest, &in);
        guest_check(&guest);
    }
    for (unsigned i = 0; i < CARDS; i++) {
        pcicard_close(&guest.card[i]);
        MV_ASSERT(guest.card[i].place[0] == MV_PCI_NOWHERE);
    }
    pcirig_close(&guest.rig);
    return 0;
}
