/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Console, virtio 1.2, 5.3: port 0, one stream each way between the guest's queues and
 * a chardev, straight from and into guest memory. Back-pressure both ways: what the
 * chardev does not take stays in the transmit queue, and input stays in the chardev
 * while the guest has no buffers for it. In both cases the chain that could not be
 * served is put back, so the device never holds one; of a chain sent in part it
 * remembers how much.
 *
 * Linux's hvc sends a buffer, at most a page, and spins until it has it back. So a
 * chain is given back as soon as it is copied. While they come one close after the
 * other, the next one is looked for: the guest then neither kicks nor waits for this
 * thread to be woken, and what has come meanwhile goes to the host's end in one piece,
 * a page or what there is after LINGER_NS. Looking in vain (the guest's thread may want
 * this very processor) is not repeated for the next BLIND batches.
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
    CONSOLE_CONFIG_BYTES = 4, /* cols, rows: 5.3.4 */
    CONSOLE_PAGE = 4096
};

enum {
    LOOK_NS = 200000,    /* as long as KVM itself polls before a vCPU sleeps */
    TURN_NS = 500000,    /* of looking, in all, while the loop's others wait */
    LINGER_NS = 1000000, /* no eye sees that */
    BLIND = 16
};

struct console {
    struct mv_vdev dev;
    struct mv_chardev chardev;
    uint32_t sent;    /* bytes of the next transmit chain that the chardev has taken */
    size_t unflushed; /* bytes that the chardev has taken and may hold */
    uint64_t unflushed_from_ns; /* since when, if any */
    uint64_t served_ns;         /* when chains were sent last */
    uint64_t looked_ns;         /* in this turn of the loop, so far */
    unsigned blind;             /* batches to come after which nothing is looked for */
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

static void console_flush(struct console *console)
{
    if (console->unflushed && console->chardev.flush)
        console->chardev.flush(console->chardev.ctx);
    console->unflushed = 0;
}

/* Tries again when there is room after what it holds has gone. */
static size_t console_put(struct console *console, const uint8_t *data, size_t length)
{
    const struct mv_chardev *to = &console->chardev;
    size_t taken = to->put(to->ctx, data, length);
    if (console->unflushed == 0)
        console->unflushed_from_ns = uv_hrtime();
    console->unflushed += taken;
    if (taken < length && console->unflushed && to->flush) {
        console_flush(console);
        size_t more = to->put(to->ctx, data + taken, length - taken);
        console->unflushed += more;
        taken += more;
    }
    return taken;
}

static bool console_transmit(struct mv_vdev *dev, unsigned q,
                             const struct mv_chain *chain)
{
    struct console *console = console_of(dev);
    size_t skip = console->sent;
    for (unsigned i = 0; i < chain->readable; i++) {
        struct mv_span rest = console_rest(&chain->span[i], &skip);
        size_t taken = rest.length ? console_put(console, rest.base, rest.length) : 0;
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

/* The transmit queue was served: looks for more, or flushes. */
static void console_commit(struct mv_vdev *dev)
{
    struct console *console = console_of(dev);
    if (console->unflushed == 0)
        return;
    uint64_t begin_ns = uv_hrtime(), now_ns = begin_ns;
    bool look = begin_ns - console->served_ns < LOOK_NS && console->blind == 0 &&
                console->looked_ns < TURN_NS;
    bool more = false;
    while (look && !more && now_ns - begin_ns < LOOK_NS) {
        more = mv_vq_pending(&dev->vq[CONSOLE_TRANSMIT]);
        now_ns = uv_hrtime();
    }
    console->looked_ns += now_ns - begin_ns;
    console->served_ns = begin_ns;
    if (console->blind > 0)
        console->blind--;
    else if (look && !more)
        console->blind = BLIND;
    if (!more || console->unflushed >= CONSOLE_PAGE ||
        now_ns - console->unflushed_from_ns > LINGER_NS)
        console_flush(console);
}

static void console_stop(struct mv_vdev *dev)
{
    console_flush(console_of(dev));
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
    console_of(dev)->looked_ns = 0;
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
    .live_size = CONSOLE_CONFIG_BYTES,
    .state_version = 1,
    .kick = console_kick,
    .commit = console_commit,
    .stop = console_stop,
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
