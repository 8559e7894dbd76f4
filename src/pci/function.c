/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A function's registers: made, put on the bus and taken off it, saved and loaded.
 */
#include "pci/inner.h"

#include "util/assert.h"
#include "util/bytes.h"

/* What every guest may write in the header: commands that mean something here, and two
 * registers that are software's notes (PCI 3.0, 6.2.4). */
static void function_header_writable(struct mv_pci_function *f)
{
    mv_store16(&f->writable[MV_PCI_COMMAND],
               MV_PCI_COMMAND_MEMORY | MV_PCI_COMMAND_MASTER | MV_PCI_COMMAND_INTX_OFF);
    f->writable[MV_PCI_CACHE_LINE] = 0xff;
    f->writable[MV_PCI_INTERRUPT_LINE] = 0xff;
}

void mv_pci_function_init(struct mv_pci_function *f, const struct mv_pci_identity *id,
                          const struct mv_pci_ops *ops, void *owner)
{
    *f = (struct mv_pci_function){.ops = ops, .owner = owner};
    f->capability_end = MV_PCI_HEADER_END;
    for (unsigned b = 0; b < MV_PCI_BARS; b++)
        f->bar[b].gpa = f->bar[b].told = f->bar[b].home = MV_PCI_NOWHERE;
    mv_store16(&f->config[MV_PCI_VENDOR], id->vendor);
    mv_store16(&f->config[MV_PCI_DEVICE], id->device);
    mv_store32(&f->config[MV_PCI_REVISION], id->class << 8 | id->revision);
    mv_store16(&f->config[MV_PCI_SUBVENDOR], id->subvendor);
    mv_store16(&f->config[MV_PCI_SUBDEVICE], id->subdevice);
    f->config[MV_PCI_INTERRUPT_PIN] = id->pin;
    function_header_writable(f);
}

unsigned mv_pci_function_capability(struct mv_pci_function *f, uint8_t id,
                                    unsigned length)
{
    unsigned at = f->capability_end;
    MV_ASSERT(length >= 2 && at + length <= MV_PCI_CONFIG_SIZE && !f->root);
    f->config[at] = id;
    f->config[f->capability ? f->capability + 1 : MV_PCI_CAPABILITIES] = (uint8_t)at;
    f->config[MV_PCI_STATUS] |= MV_PCI_STATUS_CAPABILITIES;
    f->capability = at;
    f->capability_end = (at + length + 3) & ~3u; /* each begins at a dword */
    return at;
}

int mv_pci_add(struct mv_pci_root *root, struct mv_pci_function *f, unsigned slot,
               microvm_error *err)
{
    if (slot >= MV_PCI_SLOTS || root->slot[slot])
        return mv_fail(err, MICROVM_E_DEVICE, "PCI: slot %u is %s", slot,
                       slot < MV_PCI_SLOTS ? "taken" : "more than there are");
    root->slot[slot] = f;
    int rc = mv_pci_place_bars(root, f, err);
    if (rc) {
        root->slot[slot] = NULL;
        return rc;
    }
    f->root = root;
    f->slot = slot;
    if (f->config[MV_PCI_INTERRUPT_PIN])
        f->config[MV_PCI_INTERRUPT_LINE] =
            (uint8_t)root->line[slot % MV_PCI_LINES].line;
    return 0;
}

void mv_pci_remove(struct mv_pci_function *f)
{
    if (!f->root)
        return;
    f->command = 0;
    mv_store16(&f->config[MV_PCI_COMMAND], 0);
    mv_pci_update_bars(f);
    mv_pci_intx(f, false);
    f->root->slot[f->slot] = NULL;
    f->root = NULL;
}

uint16_t mv_pci_command(const struct mv_pci_function *f)
{
    return f->command;
}

/* -- state -- */

void mv_pci_function_save(struct mv_pci_function *f, struct mv_writer *w)
{
    mv_put_bytes(w, f->config, sizeof f->config);
    mv_put8(w, mv_pci_intx_pending(f));
}

int mv_pci_function_load(struct mv_pci_function *f, struct mv_reader *r,
                         microvm_error *err)
{
    uint8_t config[MV_PCI_CONFIG_SIZE];
    mv_get_bytes(r, config, sizeof config);
    uint8_t pin = mv_get8(r);
    if (r->failed)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: the PCI function in slot %u is cut short",
                       f->slot);
    bool possible = pin <= f->config[MV_PCI_INTERRUPT_PIN];
    for (unsigned i = 0; i < sizeof config; i++)
        possible = possible && !((config[i] ^ f->config[i]) & ~f->writable[i]);
    if (!possible)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: the PCI function in slot %u has registers that no "
                       "guest can give this one: the state is another device's",
                       f->slot);
    memcpy(f->config, config, sizeof config);
    f->command = mv_load16(&config[MV_PCI_COMMAND]);
    mv_pci_update_bars(f);
    mv_pci_intx_off(f, f->command & MV_PCI_COMMAND_INTX_OFF);
    mv_pci_intx(f, pin);
    return 0;
}
