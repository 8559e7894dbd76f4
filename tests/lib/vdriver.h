/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The driver's side of virtio, in C: virtqueues as a guest builds them (virtio 1.2,
 * 2.7), well-formed or not, and the registers of the MMIO transport as a driver uses
 * them (3.1.1 and 4.2.3). For tests and fuzz targets; knows nothing of the device's
 * inside but the bus it answers on.
 */
#ifndef TESTS_LIB_VDRIVER_H
#define TESTS_LIB_VDRIVER_H

#include "core/bus.h"
#include "core/ram.h"

enum { VDRIVER_QUEUE_MAX = 1024, VDRIVER_QUEUES = 18 };

/* Guest memory that the driver may use, handed out once. */
struct vdriver_heap {
    const struct mv_ram *ram;
    uint64_t at, end;
};
uint64_t vdriver_alloc(struct vdriver_heap *heap, uint64_t size, uint64_t align);

/* -- queues -- */

struct vdriver_buffer {
    uint64_t gpa;
    uint32_t length;
    bool write; /* by the device */
};

enum { VDESC_NEXT = 1, VDESC_WRITE = 2, VDESC_INDIRECT = 4 };
struct vdriver_desc {
    uint64_t address;
    uint32_t length;
    uint16_t flags, next;
};

struct vdriver_queue {
    const struct mv_ram *ram;
    uint16_t size;
    bool event_idx;
    uint64_t desc, avail, used; /* gpa */
    uint16_t free, free_head;   /* list of free descriptors through next[] */
    uint16_t next[VDRIVER_QUEUE_MAX];
    uint16_t length[VDRIVER_QUEUE_MAX]; /* of the chain with this head */
    uint16_t avail_at, published_at, used_at;
};

/* Empty rings in the heap's memory. */
void vdriver_queue_open(struct vdriver_queue *vq, struct vdriver_heap *heap,
                        uint16_t size, bool event_idx);
/* A chain of n descriptors, put into the available ring but not published. Returns its
 * head. The indirect form takes one descriptor and has its table in the heap. */
uint16_t vdriver_add(struct vdriver_queue *vq, const struct vdriver_buffer *buffer,
                     unsigned n);
uint16_t vdriver_add_indirect(struct vdriver_queue *vq, struct vdriver_heap *heap,
                              const struct vdriver_buffer *buffer, unsigned n);
/* The pieces of these, for chains that no driver would build. */
void vdriver_put_desc(const struct vdriver_queue *vq, uint16_t index,
                      struct vdriver_desc desc);
void vdriver_put_table(const struct mv_ram *ram, uint64_t gpa,
                       const struct vdriver_buffer *buffer, unsigned n);
void vdriver_offer(struct vdriver_queue *vq, uint16_t head);
/* Stores the available index; true when the device asks for a kick. */
bool vdriver_publish(struct vdriver_queue *vq);
/* The next used entry, whose descriptors are free again. */
bool vdriver_reap(struct vdriver_queue *vq, uint16_t *head, uint32_t *written);
/* No interrupts, please; and: one for the next used entry. listen: true when some came
 * meanwhile. */
void vdriver_hush(struct vdriver_queue *vq);
bool vdriver_listen(struct vdriver_queue *vq);

/* -- registers -- */

struct vdriver {
    const struct mv_bus_ops *bus;
    void *chip;
    struct vdriver_heap heap;
    uint64_t features; /* negotiated */
    unsigned queues;
    struct vdriver_queue queue[VDRIVER_QUEUES];
};

enum {
    VREG_MAGIC = 0x000,
    VREG_VERSION = 0x004,
    VREG_DEVICE_ID = 0x008,
    VREG_VENDOR_ID = 0x00c,
    VREG_DEVICE_FEATURES = 0x010,
    VREG_DEVICE_FEATURES_SEL = 0x014,
    VREG_DRIVER_FEATURES = 0x020,
    VREG_DRIVER_FEATURES_SEL = 0x024,
    VREG_QUEUE_SEL = 0x030,
    VREG_QUEUE_NUM_MAX = 0x034,
    VREG_QUEUE_NUM = 0x038,
    VREG_QUEUE_READY = 0x044,
    VREG_QUEUE_NOTIFY = 0x050,
    VREG_INTERRUPT_STATUS = 0x060,
    VREG_INTERRUPT_ACK = 0x064,
    VREG_STATUS = 0x070,
    VREG_QUEUE_DESC = 0x080, /* low half; the high one is 4 bytes further */
    VREG_QUEUE_DRIVER = 0x090,
    VREG_QUEUE_DEVICE = 0x0a0,
    VREG_SHM_SEL = 0x0ac,
    VREG_SHM_LEN = 0x0b0,
    VREG_SHM_BASE = 0x0b8,
    VREG_QUEUE_RESET = 0x0c0,
    VREG_CONFIG_GENERATION = 0x0fc,
    VREG_CONFIG = 0x100
};

uint32_t vdriver_read(const struct vdriver *d, uint32_t reg);
void vdriver_write(const struct vdriver *d, uint32_t reg, uint32_t value);
void vdriver_write64(const struct vdriver *d, uint32_t reg, uint64_t value);

/* Steps 1 to 6 of 3.1.1: reset, ACKNOWLEDGE, DRIVER, features, FEATURES_OK. Takes those
 * of `features` that are offered; false when the device refuses. */
bool vdriver_negotiate(struct vdriver *d, uint64_t features);
/* The same with exactly these, offered or not. */
bool vdriver_demand(struct vdriver *d, uint64_t features);
/* Step 7 for one queue: builds it in the heap and tells the device. size 0: its own. */
void vdriver_setup_queue(struct vdriver *d, unsigned q, uint16_t size);
/* Tells the device where a queue is, as the struct has it. */
void vdriver_announce(const struct vdriver *d, unsigned q);
/* Steps 1 to 8 with all queues; false when the device refuses. */
bool vdriver_start(struct vdriver *d, uint64_t features);
void vdriver_reset(struct vdriver *d);
/* Publishes, and kicks through the register if the device asks for it. */
void vdriver_kick(struct vdriver *d, unsigned q);
/* What an interrupt handler does: reads InterruptStatus and acknowledges that. */
uint32_t vdriver_interrupt(const struct vdriver *d);

#endif
