/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Two virtio devices on one PCI bus, and what a hypervisor does with stores to bells.
 */
#include "pcibed.h"

/* -- the device: answers with the byte it was sent -- */

static bool echo_serve(struct mv_vdev *dev, unsigned q, const struct mv_chain *chain)
{
    uint8_t byte = 0;
    (void)mv_chain_read(chain, 0, &byte, 1);
    size_t written = mv_chain_write(chain, 0, &byte, 1);
    mv_vq_push(&dev->vq[q], chain->head, (uint32_t)written);
    return true;
}

static void echo_kick(struct mv_vdev *dev, unsigned q)
{
    mv_vdev_serve(dev, q, echo_serve);
}

static const struct mv_vdev_class echo_class = {
    .name = "echo",
    .id = 42,
    .queues = PCIBED_QUEUES,
    .queue_size = 16,
    .config_size = 8,
    .state_version = 1,
    .kick = echo_kick,
};

static void bed_failed(void *ctx, const char *text)
{
    struct pcibed_card *card = ctx;
    (void)text;
    card->failures++;
}

/* -- the hypervisor -- */

static bool bed_bind(void *ctx, unsigned q, uint64_t gpa)
{
    struct pcibed_card *card = ctx;
    struct pcibed *bed = card->bed;
    uv_mutex_lock(&bed->bell_lock);
    for (unsigned i = 0; i < PCIBED_CARDS * PCIBED_QUEUES; i++)
        MV_ASSERT(bed->card[i / PCIBED_QUEUES].bell[i % PCIBED_QUEUES] != gpa);
    MV_ASSERT(card->bell[q] == 0);
    card->bell[q] = gpa;
    uv_mutex_unlock(&bed->bell_lock);
    return true;
}

static void bed_unbind(void *ctx, unsigned q, uint64_t gpa)
{
    struct pcibed_card *card = ctx;
    uv_mutex_lock(&card->bed->bell_lock);
    MV_ASSERT(card->bell[q] == gpa);
    card->bell[q] = 0;
    uv_mutex_unlock(&card->bed->bell_lock);
}

static void bed_send(void *ctx, unsigned vector, uint64_t address, uint32_t data)
{
    struct pcibed_card *card = ctx;
    MV_ASSERT(vector <= PCIBED_QUEUES);
    card->address = address; /* under the table's lock */
    card->data = data;
    card->messages |= 1u << vector;
    card->sent++;
}

/* True: a bell heard it. */
static bool bed_ring(struct pcibed *bed, uint64_t gpa)
{
    struct pcibed_card *hit = NULL;
    unsigned q = 0;
    uv_mutex_lock(&bed->bell_lock);
    for (unsigned i = 0; i < PCIBED_CARDS * PCIBED_QUEUES; i++) {
        struct pcibed_card *card = &bed->card[i / PCIBED_QUEUES];
        if (card->bell[i % PCIBED_QUEUES] != gpa)
            continue;
        hit = card;
        q = i % PCIBED_QUEUES;
    }
    uv_mutex_unlock(&bed->bell_lock);
    if (!hit)
        return false;
    hit->rung++;
    mv_vdev_notify(hit->dev, q);
    return true;
}

static uint64_t bed_load(void *chip, uint64_t offset, unsigned size)
{
    struct pcibed *bed = chip;
    uint64_t value;
    (void)mv_bus_read(&bed->rig.mmio, PCIRIG_RAM_END + offset, size, &value);
    return value;
}

static void bed_store(void *chip, uint64_t offset, unsigned size, uint64_t value)
{
    struct pcibed *bed = chip;
    uint64_t gpa = PCIRIG_RAM_END + offset;
    if (!bed_ring(bed, gpa))
        (void)mv_bus_write(&bed->rig.mmio, gpa, size, value);
}

static const struct mv_bus_ops bed_bus = {bed_load, bed_store};

/* -- the bed -- */

static void bed_open_card(struct pcibed *bed, unsigned i)
{
    struct pcibed_card *card = &bed->card[i];
    struct vdriver *d = &card->driver;
    const struct mv_vdev_host host = {.loop = &bed->loop,
                                      .ram = &bed->ram,
                                      .log = &bed->log,
                                      .failed = bed_failed,
                                      .ctx = card};
    const struct mv_vpci_host pci = {.bind = bed_bind,
                                     .unbind = bed_unbind,
                                     .ctx = card,
                                     .message = {.send = bed_send, .ctx = card}};
    card->bed = bed;
    card->slot = PCIBED_FIRST_SLOT + i;
    int rc = mv_vdev_open(&echo_class, sizeof *card->dev, i ? "b" : "a", &host,
                          &card->dev, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_vpci_open(&card->pci, card->dev, &bed->rig.root, card->slot, &pci, NULL);
    MV_ASSERT(rc == 0);
    d->transport = &vdriver_pci;
    d->pci = (struct vdriver_function){.host = bed->rig.driver,
                                       .slot = card->slot,
                                       .msix = true,
                                       .messages = &card->messages};
    d->heap = (struct vdriver_heap){&bed->ram, (i + 1) << 20, (i + 2) << 20};
    vdriver_pci_probe(d);
    bool started = vdriver_start(d, ~MV_F_EVENT_IDX);
    MV_ASSERT(started);
}

void pcibed_open(struct pcibed *bed)
{
    *bed = (struct pcibed){.memory = {.count = 0}};
    pcirig_open(&bed->rig);
    bed->rig.driver.mmio = &bed->memory;
    int rc = mv_bus_add(&bed->memory, PCIRIG_RAM_END, PCIRIG_END - PCIRIG_RAM_END,
                        &bed_bus, bed, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_loop_open(&bed->loop, NULL);
    MV_ASSERT(rc == 0);
    rc = mv_ram_open(&bed->ram, PCIBED_RAM, PCIRIG_LOW, 1ull << 32, 0, NULL);
    MV_ASSERT(rc == 0);
    rc = uv_mutex_init(&bed->bell_lock);
    MV_ASSERT(rc == 0);
    for (unsigned i = 0; i < PCIBED_CARDS; i++)
        bed_open_card(bed, i);
}

static void bed_close_cards(void *arg)
{
    struct pcibed *bed = arg;
    for (unsigned i = 0; i < PCIBED_CARDS; i++) {
        mv_vpci_close(&bed->card[i].pci);
        mv_vdev_close(bed->card[i].dev);
    }
}

void pcibed_close(struct pcibed *bed)
{
    mv_loop_run(&bed->loop, bed_close_cards, bed);
    MV_ASSERT(pcibed_bells(bed) == 0);
    pcirig_close(&bed->rig);
    mv_loop_close(&bed->loop);
    mv_ram_close(&bed->ram);
    uv_mutex_destroy(&bed->bell_lock);
}

void pcibed_turn(struct pcibed *bed)
{
    for (unsigned i = 0; i < 4; i++)
        mv_loop_turn(&bed->loop);
}

unsigned pcibed_bells(struct pcibed *bed)
{
    unsigned bells = 0;
    uv_mutex_lock(&bed->bell_lock);
    for (unsigned i = 0; i < PCIBED_CARDS * PCIBED_QUEUES; i++)
        bells += bed->card[i / PCIBED_QUEUES].bell[i % PCIBED_QUEUES] != 0;
    uv_mutex_unlock(&bed->bell_lock);
    return bells;
}

/* -- requests -- */

static uint8_t *bed_data(const struct pcibed_card *card, unsigned q, uint64_t *gpa)
{
    *gpa = 0x1000ull * card->slot + 64 * q;
    return mv_ram_at(&card->bed->ram, *gpa, 2);
}

void pcibed_submit(struct pcibed_card *card, unsigned q)
{
    uint64_t gpa;
    uint8_t *data = bed_data(card, q, &gpa);
    data[0] = ++card->last[q];
    data[1] = (uint8_t)~data[0];
    const struct vdriver_buffer buffer[] = {{gpa, 1, false}, {gpa + 1, 1, true}};
    (void)vdriver_add(&card->driver.queue[q], buffer, 2);
    (void)vdriver_publish(&card->driver.queue[q]);
}

bool pcibed_answered(struct pcibed_card *card, unsigned q)
{
    uint64_t gpa;
    const uint8_t *data = bed_data(card, q, &gpa);
    uint16_t head;
    uint32_t written;
    if (!vdriver_reap(&card->driver.queue[q], &head, &written))
        return false;
    MV_ASSERT(written == 1 && data[0] == data[1]);
    return true;
}

void pcibed_ask(struct pcibed_card *card, unsigned q)
{
    unsigned sent = card->sent;
    pcibed_submit(card, q);
    vdriver_write(&card->driver, VREG_QUEUE_NOTIFY, q);
    pcibed_turn(card->bed);
    assert_true(pcibed_answered(card, q));
    assert_int_equal(card->sent, sent + 1);
    assert_int_equal(atomic_exchange(&card->messages, 0), 1u << (q + 1));
    assert_int_equal(card->address, VDRIVER_ADDRESS);
    assert_int_equal(card->data, VDRIVER_DATA + q + 1);
}
