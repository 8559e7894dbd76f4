/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Steps of the hostile driver. Whatever it has done, a reset must bring the device back
 * (vdriver_reset traps otherwise), and the device may not touch its host's memory
 * (sanitizers see to that) nor keep the loop for long (the fuzzer's time-out).
 */
#include "vfuzz.h"

#include "core/state.h"

enum { VFUZZ_HEAP = VRIG_LOW_BYTES / 2, POKE_BYTES = 16 };

struct vrig *vfuzz_rig(struct vrig rigs[VRIG_TRANSPORTS], size_t length)
{
    enum vrig_transport transport = (enum vrig_transport)(length % VRIG_TRANSPORTS);
    struct vrig *rig = &rigs[transport];
    if (!rig->host.loop)
        vrig_open_on(rig, transport);
    return rig;
}

void vfuzz_reset(struct vrig *rig)
{
    if (rig->transport != VRIG_MMIO)
        vdriver_pci_enable(&rig->driver);
    vdriver_reset(&rig->driver);
}

void vfuzz_start(struct vrig *rig, uint64_t features)
{
    vfuzz_reset(rig);
    rig->driver.heap.at = VFUZZ_HEAP;
    bool ok = vdriver_start(&rig->driver, features | 1ull << 32);
    MV_ASSERT(ok);
}

/* Places worth trying, and a bit beside them. */
static uint64_t vfuzz_address(const struct vrig *rig, struct fuzz *in)
{
    const struct vdriver_queue *vq = &rig->driver.queue[0];
    const uint64_t place[] = {
        0,          VFUZZ_DATA,
        vq->desc,   vq->avail,
        vq->used,   VRIG_LOW_BYTES,
        VRIG_HIGH,  VRIG_HIGH - 1u,
        UINT64_MAX, VRIG_HIGH + VRIG_HIGH_BYTES,
    };
    uint8_t pick = fuzz8(in);
    uint64_t base = place[pick / 2 % MV_ARRAY_LEN(place)];
    return pick & 1 ? base - fuzz8(in) : base + fuzz16(in);
}

static uint32_t vfuzz_length(struct fuzz *in)
{
    uint8_t pick = fuzz8(in);
    return pick < 0xf0 ? pick : pick < 0xf8 ? fuzz16(in) : fuzz32(in);
}

static void vfuzz_descriptor(struct vrig *rig, struct vdriver_queue *vq,
                             struct fuzz *in)
{
    uint16_t index = (uint16_t)(fuzz8(in) % vq->size);
    struct vdriver_desc desc = {.address = vfuzz_address(rig, in)};
    desc.length = vfuzz_length(in);
    desc.flags = fuzz8(in);
    desc.next = fuzz8(in);
    vdriver_put_desc(vq, index, desc);
}

void vfuzz_make_room(struct vdriver_queue *vq, unsigned n)
{
    if (vq->free >= n)
        return;
    vq->free = vq->size;
    vq->free_head = 0;
    for (unsigned i = 0; i < vq->size; i++)
        vq->next[i] = (uint16_t)(i + 1);
}

static void vfuzz_request(struct vrig *rig, struct vdriver_queue *vq, bool indirect,
                          struct fuzz *in)
{
    struct vdriver_buffer buffer[4];
    unsigned n = 1 + fuzz8(in) % 4u, write = fuzz8(in) % 5u;
    for (unsigned i = 0; i < n; i++)
        buffer[i] = (struct vdriver_buffer){VFUZZ_DATA + fuzz16(in),
                                            1 + vfuzz_length(in) % 0x1000, i >= write};
    vfuzz_make_room(vq, n);
    if (vq->size < n)
        return;
    rig->driver.heap.at = VRIG_LOW_BYTES - 0x1000;
    if (indirect)
        (void)vdriver_add_indirect(vq, &rig->driver.heap, buffer, n);
    else
        (void)vdriver_add(vq, buffer, n);
}

static void vfuzz_poke(struct vrig *rig, uint64_t gpa, struct fuzz *in)
{
    uint8_t bytes[POKE_BYTES];
    size_t n = 1 + fuzz8(in) % POKE_BYTES;
    fuzz_bytes(in, bytes, n);
    (void)mv_ram_write(&rig->ram, gpa, bytes, n);
}

/* BAR 0's parts begin at pages; the driver's accesses lie near their beginning. */
static uint64_t vfuzz_place(const struct vrig *rig, bool close_by, unsigned size,
                            struct fuzz *in)
{
    uint16_t pick = fuzz16(in);
    if (rig->transport == VRIG_MMIO)
        return close_by ? pick % (MV_VMMIO_SIZE - size + 1) % 0x110 & ~3ull
                        : pick % (MV_VMMIO_SIZE - size + 1);
    return close_by ? (pick & 0x7000u) | pick % 0x50u
                    : pick % (MV_VPCI_BAR_SIZE - size + 1);
}

static void vfuzz_config_space(struct vrig *rig, unsigned size, bool write,
                               struct fuzz *in)
{
    const struct vdriver *d = &rig->driver;
    unsigned at = fuzz8(in), piece = MV_MIN(size, 4u);
    if (write)
        vdriver_pci_write(d, at, piece, fuzz32(in));
    else
        (void)vdriver_pci_read(d, at, piece);
}

static void vfuzz_register(struct vrig *rig, struct fuzz *in)
{
    const struct vdriver *d = &rig->driver;
    uint8_t how = fuzz8(in);
    unsigned size = 1u << (how & 3);
    if (how & 16 && rig->transport != VRIG_MMIO) {
        vfuzz_config_space(rig, size, how & 8, in);
        return;
    }
    uint64_t at = vfuzz_place(rig, how & 4, size, in);
    if (how & 8)
        d->bus->write(d->chip, at, size, fuzz32(in) & mv_size_mask(size));
    else
        MV_ASSERT(!(d->bus->read(d->chip, at, size) & ~mv_size_mask(size)));
}

/* Into itself, over a reset: with the input's damage, if it has any. */
static void vfuzz_save_and_load(struct vrig *rig, struct fuzz *in)
{
    struct mv_writer w;
    uint8_t damage = fuzz8(in);
    mv_vdev_sleep(rig->dev);
    mv_writer_open(&w, 4096);
    mv_writer_begin(&w, 1, 0, 1);
    vrig_save(rig, &w);
    MV_ASSERT(!w.failed);
    vfuzz_reset(rig);
    if (damage & 1)
        w.data[16 + fuzz16(in) % (w.length - 16)] = fuzz8(in);
    struct mv_reader r = {.data = w.data + 16, .length = w.length - 16};
    int rc = vrig_load(rig, &r, NULL);
    MV_ASSERT(rc == 0 || damage & 1);
    if (rc)
        vfuzz_reset(rig); /* a transport may be loaded by half */
    mv_writer_close(&w);
    mv_vdev_wake(rig->dev);
}

void vfuzz_step(struct vrig *rig, struct fuzz *in)
{
    uint8_t op = fuzz8(in);
    unsigned q = op / 16 % rig->dev->queues;
    struct vdriver_queue *vq = &rig->driver.queue[q];
    switch (op % 16) {
    case 0:
    case 1:
        vfuzz_descriptor(rig, vq, in);
        break;
    case 2:
        vdriver_offer(vq, fuzz8(in));
        break;
    case 3:
    case 4:
    case 5:
        vfuzz_request(rig, vq, op % 16 == 5, in);
        break;
    case 6:
    case 7:
        (void)vdriver_publish(vq);
        vdriver_write(&rig->driver, VREG_QUEUE_NOTIFY, q);
        break;
    case 8:
    case 9:
        mv_loop_turn(&rig->loop);
        break;
    case 10:
        vfuzz_poke(rig, VFUZZ_HEAP + fuzz16(in) % 0x4000, in);
        break;
    case 11:
        vfuzz_poke(rig, VFUZZ_DATA + fuzz16(in), in);
        break;
    case 12:
        vfuzz_register(rig, in);
        break;
    case 13:
        if (fuzz8(in) & 1)
            vdriver_hush(vq);
        else
            (void)vdriver_listen(vq);
        break;
    case 14:
        vfuzz_save_and_load(rig, in);
        break;
    case 15:
        vfuzz_start(rig, fuzz8(in) & 1 ? UINT64_MAX : (uint64_t)fuzz8(in) << 24);
        break;
    }
}
