/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * INTx pins (PCI 3.0, 2.2.6 and 6.2.4). Slots share the lines: a line is asserted while
 * one function at least asserts its pin and has not been told to keep quiet (Interrupt
 * Disable); Interrupt Status shows the pin in any case.
 *
 * A line is set while the lock is held, so that its controller sees the changes in the
 * order in which they happened. Delivery is a leaf (core/irq.h), so that waits for
 * nobody.
 */
#include "pci/inner.h"

/* Sets the function's line to what its pins say. intx_lock held. */
static void intx_set_line(const struct mv_pci_function *f)
{
    struct mv_pci_root *root = f->root;
    unsigned line = f->slot % MV_PCI_LINES;
    bool level = false;
    for (unsigned slot = line; slot < MV_PCI_SLOTS; slot += MV_PCI_LINES) {
        const struct mv_pci_function *other = root->slot[slot];
        level |= other && other->intx && !other->intx_off;
    }
    if (level == root->level[line])
        return;
    root->level[line] = level;
    mv_irq_set(&root->line[line], level);
}

void mv_pci_intx(struct mv_pci_function *f, bool level)
{
    uv_mutex_lock(&f->root->intx_lock);
    f->intx = level;
    intx_set_line(f);
    uv_mutex_unlock(&f->root->intx_lock);
}

void mv_pci_intx_off(struct mv_pci_function *f, bool off)
{
    uv_mutex_lock(&f->root->intx_lock);
    f->intx_off = off;
    intx_set_line(f);
    uv_mutex_unlock(&f->root->intx_lock);
}

bool mv_pci_intx_pending(struct mv_pci_function *f)
{
    uv_mutex_lock(&f->root->intx_lock);
    bool pending = f->intx;
    uv_mutex_unlock(&f->root->intx_lock);
    return pending;
}
