/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The PCI transport under a hostile driver: registers through BAR 0 and through the
 * window in configuration space, before, during and after the driver's start, at any
 * width; BAR, bus mastering, MSI-X and pin meanwhile. After every step what the device,
 * its bells, its pin and its messages may be is checked.
 */
#include "echo.h"
#include "vfuzz.h"

enum { QUEUES = 2, NO_VECTOR = 0xffff };

struct guest {
    struct vrig rig;
    uint64_t bell[QUEUES];
    bool open;
};

static bool on_bind(void *ctx, unsigned q, uint64_t gpa)
{
    struct guest *guest = ctx;
    MV_ASSERT(q < QUEUES && guest->bell[q] == 0);
    guest->bell[q] = gpa;
    return true;
}

static void on_unbind(void *ctx, unsigned q, uint64_t gpa)
{
    struct guest *guest = ctx;
    MV_ASSERT(q < QUEUES && guest->bell[q] == gpa && gpa);
    guest->bell[q] = 0;
}

/* Messages are memory writes of an entry that is not masked, in a function that may. */
static void on_send(void *ctx, unsigned v, uint64_t address, uint32_t data)
{
    struct guest *guest = ctx;
    const struct mv_pci_function *f = &guest->rig.pci.function;
    const uint8_t *entry = guest->rig.pci.msix.table + 16 * v;
    MV_ASSERT(v <= QUEUES && !(entry[12] & 1));
    MV_ASSERT(address == mv_load64(entry) && data == mv_load32(entry + 8));
    MV_ASSERT(mv_load16(f->config + PCI_COMMAND) & PCI_MASTER);
    MV_ASSERT((mv_load16(f->config + guest->rig.driver.pci.msix_at + 2) & 0xc000) ==
              0x8000);
}

static void check_device(const struct guest *guest)
{
    const struct mv_vdev *dev = guest->rig.dev;
    uint32_t status = mv_vdev_status(dev);
    bool master = mv_load16(guest->rig.pci.function.config + PCI_COMMAND) & PCI_MASTER;
    MV_ASSERT(!(status & ~0xcfu));
    MV_ASSERT(!(status & 4) || status & 8); /* DRIVER_OK needs FEATURES_OK */
    MV_ASSERT(!(status & 8) || status & 2);
    if (status & 8)
        MV_ASSERT(!(dev->negotiated & ~dev->features) &&
                  dev->negotiated & MV_F_VERSION_1);
    MV_ASSERT(dev->held == !master);
    if (!(status & 0x40))
        MV_ASSERT(dev->life == (!(status & 4) ? MV_VDEV_IDLE
                                : master      ? MV_VDEV_LIVE
                                              : MV_VDEV_ASLEEP));
    for (unsigned q = 0; q < QUEUES; q++) {
        const struct mv_vq *vq = &dev->vq[q];
        MV_ASSERT(!vq->live || (vq->config.ready && vq->config.size <= 16));
        MV_ASSERT(!vq->live || ((status & 0x44) == 4 && master));
    }
}

static void check_transport(struct guest *guest)
{
    const struct mv_vpci *pci = &guest->rig.pci;
    const uint8_t *config = pci->function.config;
    uint64_t place = pci->function.bar[0].told;
    bool msix = mv_load16(config + guest->rig.driver.pci.msix_at + 2) & 0x8000;
    bool off = mv_load16(config + PCI_COMMAND) & PCI_INTX_OFF;
    MV_ASSERT(guest->rig.pin == (pci->isr != 0 && !msix && !off));
    MV_ASSERT(!(pci->isr & ~3));
    MV_ASSERT(pci->config_vector <= QUEUES || pci->config_vector == NO_VECTOR);
    for (unsigned q = 0; q < QUEUES; q++) {
        uint64_t notify = place + guest->rig.driver.pci.notify.at + 4ull * q;
        MV_ASSERT(pci->queue_vector[q] <= QUEUES || pci->queue_vector[q] == NO_VECTOR);
        MV_ASSERT(guest->bell[q] == (place == MV_PCI_NOWHERE ? 0 : notify));
    }
}

/* A register of the common configuration as it is meant, through BAR or window. */
static void reg_access(struct vrig *rig, struct fuzz *in)
{
    static const struct {
        uint8_t at, size;
    } regs[] = {{0x00, 4}, {0x08, 4}, {0x0c, 4}, {0x10, 2}, {0x14, 1}, {0x16, 2},
                {0x18, 2}, {0x1a, 2}, {0x1c, 2}, {0x20, 4}, {0x24, 4}, {0x28, 4},
                {0x2c, 4}, {0x30, 4}, {0x34, 4}, {0x14, 1}};
    static const uint8_t status[] = {0, 1, 3, 11, 15};
    const struct vdriver *d = &rig->driver;
    uint8_t how = fuzz8(in);
    uint32_t at = regs[how / 16].at, size = regs[how / 16].size;
    uint32_t value = how & 1 ? fuzz32(in) : fuzz8(in) % 32u;
    if (at == 0x14 && how & 2)
        value = status[value % MV_ARRAY_LEN(status)];
    value &= (uint32_t)mv_size_mask(size);
    if (how & 4)
        vdriver_window_write(d, at, size, value);
    else
        d->bus->write(d->chip, at, size, value);
    if (how & 8)
        MV_ASSERT(vdriver_window_read(d, 0x14, 1) == mv_vdev_status(rig->dev));
    if (at == 0x14 && value == 0 && how & 4)
        MV_ASSERT(mv_vdev_status(rig->dev) == 0);
}

static void turn_off_and_on(struct vrig *rig, uint8_t how, struct fuzz *in)
{
    const struct vdriver *d = &rig->driver;
    if (how & 1)
        vdriver_pci_write(d, PCI_COMMAND, 2, fuzz16(in));
    else if (how & 2)
        vdriver_pci_write(d, d->pci.msix_at + 2, 2, (uint32_t)fuzz8(in) << 8);
    else if (how & 4)
        pcidriver_move_bar(&d->pci.host, VRIG_SLOT, 0,
                           VRIG_WINDOW + 0x8000ull * fuzz8(in));
    else if (how & 8)
        vdriver_pci_enable(d);
    else
        mv_vdev_set_config(rig->dev, fuzz8(in) % 15u, "\1", 1);
}

static void open_once(struct guest *guest, enum vrig_transport transport)
{
    struct vrig *rig = &guest->rig;
    if (guest->open)
        return;
    vrig_open_on(rig, transport);
    rig->pci_host =
        (struct mv_vpci_host){.bind = on_bind, .unbind = on_unbind, .ctx = guest};
    rig->pci_host.message = (struct mv_msix_host){.send = on_send, .ctx = guest};
    vrig_attach(rig, echo_open(&rig->host));
    guest->open = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct guest guests[2]; /* opened once: a reset makes them new */
    struct guest *guest = &guests[length % 2];
    struct vrig *rig = &guest->rig;
    struct fuzz in = {data, length};
    open_once(guest, length % 2 ? VRIG_PCI : VRIG_PCI_PIN);
    vfuzz_start(rig, UINT64_MAX);
    if (fuzz8(&in) & 1)
        vdriver_reset(&rig->driver);
    for (unsigned i = 0; i < VFUZZ_STEPS_MAX && fuzz_left(&in); i++) {
        uint8_t op = fuzz8(&in);
        if (op & 3)
            reg_access(rig, &in);
        else if (op & 4)
            vfuzz_step(rig, &in);
        else
            turn_off_and_on(rig, op / 8, &in);
        check_device(guest);
        check_transport(guest);
    }
    vrig_turn(rig);
    vfuzz_start(rig, UINT64_MAX);
    return 0;
}
