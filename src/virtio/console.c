/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Console, virtio 1.2, 5.3: port 0, one stream each way between the guest's queues and
 * a chardev, straight from and into guest memory. Back-pressure both ways: what the
 * chardev does not take stays in the transmit queue, and input stays in the chardev
 * while the guest has no buffers for it. In both cases the chain that could not be
 * served is put back, so the device never holds one; of a chain sent in part it
 * remembers how much.
 *
 * Deliberately absent: several ports (MULTIPORT) and EMERG_WRITE.
 */
#include "util/bytes.h"
#include "virtio/devices.h"

#define CONSOLE_F_SIZE (1ull << 0) /* 5.3.3 */

enum {
    CONSOLE_ID = 3,
    CONSOLE_RECEIVE = 0, /* queues, 5.3.2 */
    CONSOLE_TRANSMIT = 1,
    CONSOLE_QUEUES = 2,
    CONSOLE_QUEUE_SIZE = 64,
    CONSOLE_CONFIG_BYTES = 4 /* cols, rows: 5.3.4 */
};

struct console {
    struct mv_vdev dev;
    struct mv_chardev chardev;
    uint32_t sent; /* bytes of the next transmit chain that the chardev has taken */
};

static struct console *console_of(struct mv_vdev *dev)
{
    return MV_CONTAINER(dev, struct console, dev);
}

/* The part of *span that lies `*skip` bytes or more behind its start. */
static struct mv_span console_rest(const struct mv_span *span, size_t *skip)
{
    size_t n = MV_MIN(*skip, span->length);
    *skip -= n;
    return (struct mv_span){(uint8_t *)span->base + n, span->length - n};
}

static bool console_transmit(struct mv_vdev *dev, unsigned q,
                             const struct mv_chain *chain)
{
    struct console *console = console_of(dev);
    const struct mv_chardev *to = &console->chardev;
    size_t skip = console->sent;
    for (unsigned i = 0; i < chain->readable; i++) {
        struct mv_span rest = console_rest(&chain->span[i], &skip);
        size_t taken = rest.length ? to->put(to->ctx, rest.base, rest.length) : 0;
        console->sent += (uint32_t)taken;
        if (taken < rest.length) {
            mv_vq_unpop(&dev->vq[q]);
            return false; /* until console_room */
        }
    }
    console->sent = 0;
    mv_vq_push(&dev->vq[q], chain->head, 0);
    return true;
}

static bool console_receive(struct mv_vdev *dev, unsigned q,
                            const struct mv_chain *chain)
{
    const struct mv_chardev *from = &console_of(dev)->chardev;
    const struct mv_span *span = chain->span + chain->readable;
    size_t received = 0, n;
    for (unsigned i = 0; i < chain->writable; i++) {
        n = from->get(from->ctx, span[i].base, span[i].length);
        received += n;
        if (n < span[i].length)
            break;
    }
    if (received == 0 && chain->writable > 0) {
        mv_vq_unpop(&dev->vq[q]);
        return false; /* until console_input */
    }
    mv_vq_push(&dev->vq[q], chain->head, (uint32_t)received);
    return true;
}

static void console_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, q == CONSOLE_TRANSMIT ? console_transmit : console_receive);
}

/* The chardev's two calls. A device that is not live looks at both queues when it
 * becomes so. */
static void console_room(void *device)
{
    struct mv_vdev *dev = device;
    if (dev->vq[CONSOLE_TRANSMIT].live)
        console_kick(dev, CONSOLE_TRANSMIT);
}

static void console_input(void *device)
{
    struct mv_vdev *dev = device;
    if (dev->vq[CONSOLE_RECEIVE].live)
        console_kick(dev, CONSOLE_RECEIVE);
}

static void console_reset(struct mv_vdev *dev)
{
    console_of(dev)->sent = 0;
}

static void console_save(const struct mv_vdev *dev, struct mv_writer *w)
{
    const struct console *console = (const void *)dev; /* its first member */
    mv_put32(w, console->sent);
}

static int console_load(struct mv_vdev *dev, struct mv_reader *r, uint32_t version,
                        microvm_error *err)
{
    (void)version;
    (void)err;
    uint32_t sent = mv_get32(r);
    if (!r->failed)
        console_of(dev)->sent = sent;
    return 0;
}

static const struct mv_vdev_class console_class = {
    .name = "virtio-console",
    .id = CONSOLE_ID,
    .queues = CONSOLE_QUEUES,
    .queue_size = CONSOLE_QUEUE_SIZE,
    .config_size = CONSOLE_CONFIG_BYTES,
    .state_version = 1,
    .kick = console_kick,
    .reset = console_reset,
    .save = console_save,
    .load = console_load,
};

int mv_console_open(const struct mv_vdev_host *host, const struct mv_chardev *chardev,
                    struct mv_chardev_user *user, struct mv_vdev **out,
                    microvm_error *err)
{
    struct mv_vdev *dev;
    int rc =
        mv_vdev_open(&console_class, sizeof(struct console), NULL, host, &dev, err);
    if (rc)
        return rc;
    dev->features |= CONSOLE_F_SIZE;
    console_of(dev)->chardev = *chardev;
    *user = (struct mv_chardev_user){console_room, console_input, dev};
    *out = dev;
    return 0;
}

void mv_console_resize(struct mv_vdev *dev, uint16_t columns, uint16_t rows)
{
    const uint16_t size[2] = {columns, rows};
    mv_vdev_set_config(dev, 0, size, sizeof size);
}
