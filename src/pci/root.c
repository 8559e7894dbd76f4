/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The root: its locks, its host bridge, its places on the machine's buses.
 */
#include "pci/inner.h"

#include "os/error.h"
#include "util/assert.h"
#include "util/bytes.h"

/* QEMU's generic PCI Express host bridge, which software takes as it comes: one of
 * Intel's would call up workarounds for the real thing. */
static const struct mv_pci_identity root_bridge = {
    .vendor = 0x1b36, .device = 0x0008, .class = 0x060000};

static const struct mv_pci_ops root_bridge_ops = {.config_read = NULL};

static int root_open_locks(struct mv_pci_root *root)
{
    int rc = uv_mutex_init(&root->config_lock);
    if (rc)
        return rc;
    rc = uv_mutex_init(&root->bar_lock);
    if (rc)
        goto fail_bar;
    rc = uv_mutex_init(&root->intx_lock);
    if (rc)
        goto fail_intx;
    return 0;

fail_intx:
    uv_mutex_destroy(&root->bar_lock);
fail_bar:
    uv_mutex_destroy(&root->config_lock);
    return rc;
}

int mv_pci_open(struct mv_pci_root *root, const struct mv_pci_board *board,
                microvm_error *err)
{
    MV_ASSERT(mv_inside(board->low.base, board->low.size, 0, MV_GIB(4)));
    *root = (struct mv_pci_root){
        .low = board->low,
        .high = board->high,
        .ecam_base = board->ecam_base,
    };
    for (unsigned i = 0; i < MV_PCI_SPACES; i++)
        root->space[i] = (struct mv_pci_space){board->space[i], root};
    memcpy(root->line, board->line, sizeof root->line);
    int rc = root_open_locks(root);
    if (rc)
        return mv_fail_uv(err, rc, "PCI: cannot make a lock");
    mv_pci_function_init(&root->bridge, &root_bridge, &root_bridge_ops, root);
    rc = mv_pci_add(root, &root->bridge, 0, err);
    MV_ASSERT(rc == 0);
    return 0;
}

void mv_pci_close(struct mv_pci_root *root)
{
    mv_pci_remove(&root->bridge);
    for (unsigned slot = 0; slot < MV_PCI_SLOTS; slot++)
        MV_ASSERT(!root->slot[slot]);
    uv_mutex_destroy(&root->intx_lock);
    uv_mutex_destroy(&root->bar_lock);
    uv_mutex_destroy(&root->config_lock);
}

int mv_pci_attach(struct mv_pci_root *root, struct mv_bus *mmio, struct mv_bus *pio,
                  microvm_error *err)
{
    const struct place {
        struct mv_bus *bus;
        uint64_t base, size;
        const struct mv_bus_ops *ops;
        void *chip;
    } place[] = {
        {mmio, root->ecam_base, MV_PCI_ECAM_SIZE, &mv_pci_ecam_bus, root},
        {pio, MV_PCI_PORTS, MV_PCI_PORTS_SIZE, &mv_pci_ports_bus, root},
    };
    for (unsigned i = 0; i < MV_ARRAY_LEN(place); i++) {
        const struct place *p = &place[i];
        int rc =
            p->bus ? mv_bus_add(p->bus, p->base, p->size, p->ops, p->chip, err) : 0;
        if (rc)
            return rc;
    }
    for (unsigned i = 0; i < MV_PCI_SPACES && root->space[i].range.size; i++) {
        struct mv_pci_space *space = &root->space[i];
        int rc = mv_bus_add(mmio, space->range.base, space->range.size,
                            &mv_pci_space_bus, space, err);
        if (rc)
            return rc;
    }
    return 0;
}

/* -- state -- */

void mv_pci_save(struct mv_pci_root *root, struct mv_writer *w)
{
    mv_put32(w, root->address);
    mv_pci_function_save(&root->bridge, w);
}

int mv_pci_load(struct mv_pci_root *root, struct mv_reader *r, uint32_t version,
                microvm_error *err)
{
    uint8_t state[4 + MV_PCI_FUNCTION_STATE_SIZE];
    mv_get_bytes(r, state, sizeof state);
    int rc = mv_reader_check(r, "PCI root", version, MV_PCI_STATE_VERSION, err);
    if (rc)
        return rc;
    struct mv_reader in = {.data = state, .length = sizeof state};
    uint32_t address = mv_get32(&in);
    if (address & ~MV_PCI_ADDRESS_WRITABLE)
        return mv_fail(err, MICROVM_E_INVALID,
                       "saved state: PCI root: CONFIG_ADDRESS is 0x%x, which no guest "
                       "can make it: the state is not from this library",
                       address);
    rc = mv_pci_function_load(&root->bridge, &in, err);
    if (rc == 0)
        root->address = address;
    return rc;
}
