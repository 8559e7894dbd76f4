/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The driver's side of virtio, in C: virtqueues as a guest builds them (virtio 1.2,
 * 2.7), well-formed or not, and the registers of a transport as a driver uses them
 * (3.1.1). Which transport, MMIO (4.2) or PCI (4.1), a table of functions knows; tests
 * name registers once for both. For tests and fuzz targets; knows nothing of the
 * device's inside but the buses it answers on.
 */
#ifndef TESTS_LIB_VDRIVER_H
#define TESTS_LIB_VDRIVER_H

#include "pcidriver.h"

#include "core/ram.h"

enum { VDRIVER_QUEUE_MAX = 1024, VDRIVER_QUEUES = 18, VDRIVER_VECTORS = 19 };

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

/* By what they mean. The names and numbers are the MMIO transport's; PCI's driver
 * translates those that it has. */
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
    VREG_QUEUE_NUM_MAX = 0x034, /* on PCI until QUEUE_NUM is written */
    VREG_QUEUE_NUM = 0x038,
    VREG_QUEUE_READY = 0x044, /* PCI: can only be set */
    VREG_QUEUE_NOTIFY = 0x050,
    VREG_INTERRUPT_STATUS = 0x060, /* PCI: reading it acknowledges */
    VREG_INTERRUPT_ACK = 0x064,    /* MMIO's */
    VREG_STATUS = 0x070,
    VREG_QUEUE_DESC = 0x080, /* low half; the high one is 4 bytes further */
    VREG_QUEUE_DRIVER = 0x090,
    VREG_QUEUE_DEVICE = 0x0a0,
    VREG_SHM_SEL = 0x0ac, /* from here MMIO's, */
    VREG_SHM_LEN = 0x0b0,
    VREG_SHM_BASE = 0x0b8,
    VREG_QUEUE_RESET = 0x0c0, /* to here */
    VREG_CONFIG_GENERATION = 0x0fc,
    VREG_CONFIG = 0x100
};

struct vdriver;

struct vdriver_transport {
    const char *name;
    uint32_t config; /* where the device's configuration is, seen from d->bus */
    bool queues_end; /* a queue can be given back while the device is at work */
    uint32_t (*read)(const struct vdriver *d, uint32_t reg);
    void (*write)(const struct vdriver *d, uint32_t reg, uint32_t value);
    /* What has happened since it was last asked: 1 used buffers, 2 configuration. */
    uint32_t (*interrupt)(const struct vdriver *d);
    /* Chooses the vector of queue q, or of the configuration (-1). NULL: no vectors. */
    void (*choose)(const struct vdriver *d, int q);
};

extern const struct vdriver_transport vdriver_mmio, vdriver_pci;

/* What a PCI driver finds and sets up. */
struct vdriver_function {
    struct pcidriver host;
    unsigned slot;
    bool msix; /* else pin A */
    uint64_t bar, bar_bytes;
    /* In BAR 0; bytes 0: there is none. */
    struct {
        uint32_t at, bytes;
    } common, notify, isr, device;
    uint32_t notify_step;
    unsigned msix_at, window_at, vectors; /* capabilities; entries of the table */
    uint32_t table, pending;              /* in BAR 0 */
    _Atomic uint32_t *messages;           /* bit per vector whose message has come */
};

/* Vector v's message, as the driver sets it up. */
#define VDRIVER_ADDRESS 0xfee01000ull
enum { VDRIVER_DATA = 0x40 };

struct vdriver {
    const struct vdriver_transport *transport;
    const struct mv_bus_ops *bus; /* the transport's registers, from 0 on: MMIO's */
    void *chip;                   /* page, or BAR 0 */
    struct vdriver_function pci;
    struct vdriver_heap heap;
    uint64_t features; /* negotiated */
    unsigned queues;
    struct vdriver_queue queue[VDRIVER_QUEUES];
};

/* Registers, of the widths they have. */
uint32_t vdriver_read(const struct vdriver *d, uint32_t reg);
void vdriver_write(const struct vdriver *d, uint32_t reg, uint32_t value);
void vdriver_write64(const struct vdriver *d, uint32_t reg, uint64_t value);
/* The device's configuration, at any offset and width. */
uint64_t vdriver_config_read(const struct vdriver *d, uint32_t at, unsigned size);
void vdriver_config_write(const struct vdriver *d, uint32_t at, unsigned size,
                          uint64_t value);

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
/* What an interrupt handler does: finds out what has happened and acknowledges that. */
uint32_t vdriver_interrupt(const struct vdriver *d);

/* -- PCI -- */

/* Finds the function's parts: sizes BAR 0, walks the capabilities; and turns it on. Of
 * d->pci, host, slot, msix and messages are given. Traps where the device is not what
 * the specification says. */
void vdriver_pci_probe(struct vdriver *d);
/* The vector of queue q: its own, or the last one where there are too few. */
unsigned vdriver_vector(const struct vdriver *d, unsigned q);
/* Puts BAR 0 where it was found, turns on memory, bus mastering, and messages for all
 * vectors (or pin A), whatever has become of them. */
void vdriver_pci_enable(const struct vdriver *d);
/* Configuration space. */
uint32_t vdriver_pci_read(const struct vdriver *d, unsigned at, unsigned size);
void vdriver_pci_write(const struct vdriver *d, unsigned at, unsigned size,
                       uint32_t value);
/* The registers at `at` of BAR 0, of d->bus, through the window of 4.1.4.9. */
uint32_t vdriver_window_read(const struct vdriver *d, uint32_t at, unsigned size);
void vdriver_window_write(const struct vdriver *d, uint32_t at, unsigned size,
                          uint32_t value);

#endif
