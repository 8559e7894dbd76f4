/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where BARs are (PCI 3.0, 6.2.5). Sizing needs no code: the address bits below a BAR's
 * size are not writable and read zero, so writing all ones reads back its size.
 * Software turns decoding off while it does that (implementation note in 6.2.5.1).
 *
 * The buses of a machine are fixed, so what moves is looked up here: the space for BARs
 * is ranges of the bus, and an access to one finds its BAR by walking the slots, lowest
 * first.
 */
#include "pci/inner.h"

#include "util/assert.h"
#include "util/bytes.h"

enum {
    BAR_WIDE = 4,      /* memory, anywhere in 64 bits */
    BAR_TYPE_BITS = 15 /* of a memory BAR; the rest is address */
};

/* -- setting up -- */

static unsigned bar_register(unsigned bar)
{
    return MV_PCI_BAR0 + 4 * bar;
}

void mv_pci_function_bar(struct mv_pci_function *f, unsigned bar, uint64_t size,
                         bool wide, const struct mv_bus_ops *ops, void *chip)
{
    unsigned at = bar_register(bar);
    uint64_t address_bits = ~(size - 1);
    MV_ASSERT(bar + wide < MV_PCI_BARS && f->bar[bar].size == 0 && !f->root);
    MV_ASSERT(size > BAR_TYPE_BITS && (size & (size - 1)) == 0);
    MV_ASSERT(wide || size <= UINT32_MAX);
    f->bar[bar] = (struct mv_pci_bar){.size = size,
                                      .wide = wide,
                                      .ops = ops,
                                      .chip = chip,
                                      .home = MV_PCI_NOWHERE,
                                      .gpa = MV_PCI_NOWHERE,
                                      .told = MV_PCI_NOWHERE};
    mv_store32(&f->config[at], wide ? BAR_WIDE : 0);
    mv_store32(&f->writable[at], (uint32_t)address_bits);
    if (wide)
        mv_store32(&f->writable[at + 4], (uint32_t)(address_bits >> 32));
}

/* The end of a BAR whose home overlaps this place; 0: it is free. */
static uint64_t bar_home_taken(const struct mv_pci_root *root, uint64_t base,
                               uint64_t size)
{
    for (unsigned slot = 0; slot < MV_PCI_SLOTS; slot++) {
        const struct mv_pci_function *f = root->slot[slot];
        for (unsigned b = 0; f && b < MV_PCI_BARS; b++) {
            const struct mv_pci_bar *bar = &f->bar[b];
            if (bar->size && bar->home != MV_PCI_NOWHERE &&
                mv_overlap(base, size, bar->home, bar->size))
                return bar->home + bar->size;
        }
    }
    return 0;
}

static bool bar_find_home(const struct mv_pci_root *root,
                          const struct mv_pci_range *window, struct mv_pci_bar *bar)
{
    uint64_t base = mv_align_up(window->base, bar->size), taken;
    while (mv_inside(base, bar->size, window->base, window->size)) {
        taken = bar_home_taken(root, base, bar->size);
        if (!taken) {
            bar->home = base;
            return true;
        }
        base = mv_align_up(taken, bar->size);
    }
    return false;
}

int mv_pci_place_bars(struct mv_pci_root *root, struct mv_pci_function *f,
                      microvm_error *err)
{
    for (unsigned b = 0; b < MV_PCI_BARS; b++) {
        struct mv_pci_bar *bar = &f->bar[b];
        if (bar->size == 0)
            continue;
        if (!bar_find_home(root, &root->low, bar) &&
            !(bar->wide && bar_find_home(root, &root->high, bar)))
            return mv_fail(err, MICROVM_E_DEVICE,
                           "PCI: no room for a BAR of %llu bytes: have fewer devices",
                           (unsigned long long)bar->size);
        uint8_t *reg = &f->config[bar_register(b)];
        mv_store32(reg, (uint32_t)bar->home | (mv_load32(reg) & BAR_TYPE_BITS));
        if (bar->wide)
            mv_store32(reg + 4, (uint32_t)(bar->home >> 32));
    }
    return 0;
}

/* -- decoding -- */

static bool bar_in_space(const struct mv_pci_root *root, uint64_t base, uint64_t size)
{
    for (unsigned i = 0; i < MV_PCI_SPACES; i++) {
        const struct mv_pci_range *range = &root->space[i].range;
        if (mv_inside(base, size, range->base, range->size))
            return true;
    }
    return false;
}

/* Where the registers say that the BAR decodes. */
static uint64_t bar_place(const struct mv_pci_function *f, unsigned b)
{
    const struct mv_pci_bar *bar = &f->bar[b];
    const uint8_t *reg = &f->config[bar_register(b)];
    uint64_t base = mv_load32(reg) & ~(uint32_t)BAR_TYPE_BITS;
    if (bar->wide)
        base |= (uint64_t)mv_load32(reg + 4) << 32;
    bool decodes =
        (f->command & MV_PCI_COMMAND_MEMORY) && bar_in_space(f->root, base, bar->size);
    return decodes ? base : MV_PCI_NOWHERE;
}

/* True when one of the function's BARs decodes elsewhere than before. */
static bool bars_decode(struct mv_pci_function *f)
{
    bool changed = false;
    uv_mutex_lock(&f->root->bar_lock);
    for (unsigned b = 0; b < MV_PCI_BARS; b++) {
        uint64_t place = f->bar[b].size ? bar_place(f, b) : MV_PCI_NOWHERE;
        changed |= f->bar[b].gpa != place;
        f->bar[b].gpa = place;
    }
    uv_mutex_unlock(&f->root->bar_lock);
    return changed;
}

/* The i-th of all BARs that the bus can have, lower slots first. NULL: not there. */
static struct mv_pci_bar *bars_at(const struct mv_pci_root *root, unsigned i)
{
    struct mv_pci_function *f = root->slot[i / MV_PCI_BARS];
    struct mv_pci_bar *bar = f ? &f->bar[i % MV_PCI_BARS] : NULL;
    return bar && bar->size ? bar : NULL;
}

enum { BARS_ALL = MV_PCI_SLOTS * MV_PCI_BARS };

/* The BAR's place as its owner sees it: nowhere when it is not the BAR's alone. */
static uint64_t bar_own_place(const struct mv_pci_root *root,
                              const struct mv_pci_bar *bar)
{
    if (bar->gpa == MV_PCI_NOWHERE)
        return MV_PCI_NOWHERE;
    for (unsigned i = 0; i < BARS_ALL; i++) {
        const struct mv_pci_bar *other = bars_at(root, i);
        if (other && other != bar && other->gpa != MV_PCI_NOWHERE &&
            mv_overlap(bar->gpa, bar->size, other->gpa, other->size))
            return MV_PCI_NOWHERE;
    }
    return bar->gpa;
}

static void bars_tell(struct mv_pci_root *root, unsigned i, uint64_t place)
{
    struct mv_pci_function *f = root->slot[i / MV_PCI_BARS];
    f->bar[i % MV_PCI_BARS].told = place;
    if (f->ops->bar_moved)
        f->ops->bar_moved(f->owner, i % MV_PCI_BARS, place);
}

/* All ends are told before the first beginning, so that two doorbells are never at one
 * place. */
void mv_pci_update_bars(struct mv_pci_function *f)
{
    struct mv_pci_root *root = f->root;
    if (!bars_decode(f))
        return;
    for (unsigned i = 0; i < BARS_ALL; i++) {
        struct mv_pci_bar *bar = bars_at(root, i);
        if (bar && bar->told != MV_PCI_NOWHERE && bar->told != bar_own_place(root, bar))
            bars_tell(root, i, MV_PCI_NOWHERE);
    }
    for (unsigned i = 0; i < BARS_ALL; i++) {
        struct mv_pci_bar *bar = bars_at(root, i);
        uint64_t place = bar ? bar_own_place(root, bar) : MV_PCI_NOWHERE;
        if (bar && bar->told != place)
            bars_tell(root, i, place);
    }
}

/* -- accesses -- */

/* What an access reaches. */
struct space_hit {
    const struct mv_bus_ops *ops;
    void *chip;
    uint64_t offset;
};

/* Finds the BAR that holds all of the access. It may move as soon as the lock is let
 * go, and what was under way when it moved reaches it still, as on a real bus. */
static bool space_find(const struct mv_pci_space *space, uint64_t offset, unsigned size,
                       struct space_hit *hit)
{
    struct mv_pci_root *root = space->root;
    uint64_t gpa = space->range.base + offset;
    bool found = false;
    uv_mutex_lock(&root->bar_lock);
    for (unsigned i = 0; i < BARS_ALL && !found; i++) {
        const struct mv_pci_bar *bar = bars_at(root, i);
        found = bar && bar->gpa != MV_PCI_NOWHERE &&
                mv_inside(gpa, size, bar->gpa, bar->size);
        if (found)
            *hit = (struct space_hit){bar->ops, bar->chip, gpa - bar->gpa};
    }
    uv_mutex_unlock(&root->bar_lock);
    return found;
}

static uint64_t space_read(void *chip, uint64_t offset, unsigned size)
{
    struct space_hit hit;
    if (!space_find(chip, offset, size, &hit))
        return UINT64_MAX; /* the bus cuts it */
    return hit.ops->read(hit.chip, hit.offset, size);
}

static void space_write(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct space_hit hit;
    if (space_find(chip, offset, size, &hit))
        hit.ops->write(hit.chip, hit.offset, size, value);
}

const struct mv_bus_ops mv_pci_space_bus = {space_read, space_write};
