/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What every virtio device has in common, whatever its transport (virtio 1.2, chapter
 * 2): status, feature negotiation, queues, configuration space, the failure state, and
 * the life cycle
 *
 *             DRIVER_OK                 reset
 *      IDLE -----------> LIVE ------------------------> IDLE
 *                        |  ^
 *                  stop  v  |  start (resume, or after load)
 *                       ASLEEP
 *
 * Reset and pause use the same class function, stop: afterwards nothing is in flight
 * and the whole state is guest memory plus mv_vdev_save. Status DEVICE_NEEDS_RESET
 * (2.1.2) is the answer to nonsense: mv_vdev_fail, one log line, the queues dead until
 * the driver resets the device.
 *
 * Threads: a device lives on one loop, the machine's or one of its own (disks,
 * docs/adr/0006). Transports run on vCPU threads and call mv_vdev_set_status, which
 * runs on the loop and waits for it.
 */
#ifndef MV_VIRTIO_VDEV_H
#define MV_VIRTIO_VDEV_H

#include "core/log.h"
#include "core/ram.h"
#include "core/state.h"
#include "os/bell.h"
#include "virtio/vqueue.h"

enum {
    MV_VDEV_QUEUES_MAX = 18, /* a network device: 8 pairs and control, made even */
    MV_VDEV_CONFIG_MAX = 128 /* bytes of device-specific configuration */
};

/* Device status, 2.1. */
enum {
    MV_STATUS_ACKNOWLEDGE = 1,
    MV_STATUS_DRIVER = 2,
    MV_STATUS_DRIVER_OK = 4,
    MV_STATUS_FEATURES_OK = 8,
    MV_STATUS_NEEDS_RESET = 64,
    MV_STATUS_FAILED = 128,
    MV_STATUS_OF_DRIVER = MV_STATUS_ACKNOWLEDGE | MV_STATUS_DRIVER |
                          MV_STATUS_DRIVER_OK | MV_STATUS_FEATURES_OK | MV_STATUS_FAILED
};

/* Feature bits that are not a device type's own, chapter 6. */
#define MV_F_INDIRECT_DESC (1ull << 28)
#define MV_F_EVENT_IDX     (1ull << 29)
#define MV_F_VERSION_1     (1ull << 32)

struct mv_vdev;

/* A device type: constants and functions, all called on the loop. */
struct mv_vdev_class {
    const char *name;     /* "virtio-rng" */
    uint32_t id;          /* device type, chapter 5 */
    unsigned queues;      /* of a device that is not opened with another number */
    uint16_t queue_size;  /* largest size offered, power of two <= MV_VQ_SIZE_MAX */
    uint32_t config_size; /* bytes, up to MV_VDEV_CONFIG_MAX */
    /* The one part of them that the driver may write; writes elsewhere are dropped. */
    uint32_t writable_offset, writable_size;
    /* The one part that may change while it works, and so goes with its state. The rest
     * is how it was opened, and a state goes only into one that was opened the same. */
    uint32_t live_offset, live_size;
    uint32_t state_version;
    /* A signal for one queue mostly goes with news in another: one interrupt for all of
     * them, where the transport has one for each. */
    bool together;

    /* Frees what open made besides the device's own memory; NULL: there is nothing. The
     * device is not LIVE, and may be one that open gave up half way. */
    void (*close)(struct mv_vdev *dev);
    /* The driver wrote these bytes of dev->config. NULL: to be looked at when needed.
     */
    void (*config_written)(struct mv_vdev *dev, uint32_t offset, uint32_t length);
    /* The queues that are ready are live; features are negotiated. Each live queue is
     * kicked afterwards. NULL: nothing to do. Failing undoes what it did; the device
     * has failed then. */
    int (*start)(struct mv_vdev *dev);
    /* The driver has put something into queue `q` (or may have). The queue is live. */
    void (*kick)(struct mv_vdev *dev, unsigned q);
    /* mv_vdev_serve has taken what there was: what was put together goes on its way.
     * Comes before the driver is asked to kick again, so that what it adds meanwhile
     * costs no kick. NULL: serve does all the work. */
    void (*commit)(struct mv_vdev *dev);
    /* The time of mv_vdev_wait is over; not called after stop. NULL: it never waits. */
    void (*waited)(struct mv_vdev *dev);
    /* Finish what is in flight, wait for it, push nothing afterwards; of a device that
     * has failed too, whose queues are no longer live. NULL: never in flight. */
    void (*stop)(struct mv_vdev *dev);
    /* The driver has reset the device (after stop): forget what belonged to it, such as
     * what it wrote to the configuration. NULL: nothing. */
    void (*reset)(struct mv_vdev *dev);
    /* The type's own state, besides what mv_vdev_save writes. NULL: there is none. load
     * gets the state_version of the device that was saved, at most its own; it changes
     * nothing when it fails, and its reader's `failed` is checked by the caller. */
    void (*save)(const struct mv_vdev *dev, struct mv_writer *w);
    int (*load)(struct mv_vdev *dev, struct mv_reader *r, uint32_t version,
                microvm_error *err);
};

/* What a device may use of the machine around it. Filled before open; borrowed. */
struct mv_vdev_host {
    struct mv_loop *loop;
    const struct mv_ram *ram;
    const struct mv_log *log;
    /* Told once when the device fails by the guest's doing; may be NULL. Loop thread.
     */
    void (*failed)(void *ctx, const char *text);
    void *ctx;
};

/* The transport's end, set by it when it takes the device. Any thread. */
struct mv_vdev_transport {
    void (*signal)(void *transport, uint32_t queues); /* used buffers; bit per queue */
    void (*config_changed)(void *transport);          /* also used for NEEDS_RESET */
    void *transport;
};

enum mv_vdev_life { MV_VDEV_IDLE, MV_VDEV_LIVE, MV_VDEV_ASLEEP };

/* What a bell needs to know when it rings. */
struct mv_vdev_port {
    struct mv_vdev *dev;
    unsigned q;
};

/* First member of every device type's struct. */
struct mv_vdev {
    const struct mv_vdev_class *class;
    struct mv_vdev_host host;
    struct mv_vdev_transport transport;
    char name[24]; /* "virtio-blk vda": for messages */

    uint64_t features;       /* offered; the type adds its own bits in open */
    uint64_t negotiated;     /* what the driver took; fixed by FEATURES_OK */
    _Atomic uint32_t status; /* changes on the loop */
    enum mv_vdev_life life;
    bool held;       /* may not be LIVE: it would be ASLEEP */
    unsigned queues; /* that it has: fixed when it is opened */
    struct mv_vq vq[MV_VDEV_QUEUES_MAX];
    struct mv_bell bell[MV_VDEV_QUEUES_MAX]; /* rung by the driver's notification */
    struct mv_vdev_port port[MV_VDEV_QUEUES_MAX];
    uv_timer_t timer; /* of mv_vdev_wait */
    unsigned handles; /* bells and timer that are open: the memory goes with the last */

    /* config and generation: the loop writes, vCPUs read; what other threads set */
    uv_mutex_t config_lock;
    uint8_t config[MV_VDEV_CONFIG_MAX];
    uint32_t generation;

    struct mv_log_limit log_limit;
    _Atomic uint64_t kicks, signals; /* counters */
};

/* Makes a device of `bytes` zeroed bytes, the type's struct, with the common part in
 * it: queues, bells (heard on host->loop), offered features VERSION_1, INDIRECT_DESC,
 * EVENT_IDX. Called first by each type's open; when that fails later on, it calls
 * mv_vdev_close. `name` tells devices of one type apart ("vda"); NULL: there is one. */
int mv_vdev_open(const struct mv_vdev_class *class, size_t bytes, const char *name,
                 const struct mv_vdev_host *host, struct mv_vdev **out,
                 microvm_error *err);
/* The same with another number of queues than class->queues, 1 to MV_VDEV_QUEUES_MAX.
 */
int mv_vdev_open_queues(const struct mv_vdev_class *class, unsigned queues,
                        size_t bytes, const char *name, const struct mv_vdev_host *host,
                        struct mv_vdev **out, microvm_error *err);
/* Stops, calls class->close. The memory goes when the loop has closed the bells, so the
 * pointer is the caller's no longer. Loop thread, no vCPU running. Accepts NULL. */
void mv_vdev_close(struct mv_vdev *dev);

/* -- for device types, on the loop -- */

/* Pops the next chain of queue q; false when there is none, or nonsense, upon which the
 * device has failed. */
bool mv_vdev_pop(struct mv_vdev *dev, unsigned q, struct mv_chain *chain);
/* What most kicks are: `serve` for each chain that is available, one signal for all.
 * serve pushes the chain, then or later, or puts it back (mv_vq_unpop); false: take no
 * more, the device comes back by itself. Goes on after the loop's other work when there
 * is more than the queue's size, so that a driver that never stops cannot keep it. */
void mv_vdev_serve(struct mv_vdev *dev, unsigned q,
                   bool (*serve)(struct mv_vdev *dev, unsigned q,
                                 const struct mv_chain *chain));
/* Calls class->waited in `wait_ns`, or up to some milliseconds later. There is one such
 * time, and the sooner one counts. It costs nothing until it is used. */
void mv_vdev_wait(struct mv_vdev *dev, uint64_t wait_ns);
/* As serve, without the signal. */
void mv_vdev_serve_quietly(struct mv_vdev *dev, unsigned q,
                           bool (*serve)(struct mv_vdev *dev, unsigned q,
                                         const struct mv_chain *chain));
/* Interrupt if the driver wants one for what was pushed on queue q. Once per batch. */
void mv_vdev_signal(struct mv_vdev *dev, unsigned q);
/* The same, and if there is one the driver hears of queue `other` by it, too. */
void mv_vdev_signal_with(struct mv_vdev *dev, unsigned q, unsigned other);
/* Replaces bytes of the configuration space, counts the generation up, tells the driver
 * (2.5) if it has one. */
void mv_vdev_set_config(struct mv_vdev *dev, uint32_t offset, const void *data,
                        uint32_t length);
/* The guest's nonsense: DEVICE_NEEDS_RESET. `why` is for the log. May be called from
 * within kick: the queues are dead from here on, stop is called later. */
void mv_vdev_fail(struct mv_vdev *dev, const char *why);

/* -- for transports: any thread, one at a time except for the configuration -- */

uint32_t mv_vdev_status(const struct mv_vdev *dev);
/* A driver's write to the status register, 2.1 and 3.1.1: runs on the loop, waits. 0 is
 * a reset and when this returns nothing of the device touches guest memory. Other bits
 * only add up: FEATURES_OK comes on only if the features can be had, DRIVER_OK only
 * after that; clearing a bit is not possible. */
void mv_vdev_set_status(struct mv_vdev *dev, uint32_t status);
/* The driver's features; dropped unless status is DRIVER without FEATURES_OK. */
void mv_vdev_set_features(struct mv_vdev *dev, uint64_t features);
/* The registers of queue `q` while the driver may set them up: between FEATURES_OK and
 * DRIVER_OK, and the queue exists and is not ready. NULL otherwise. */
struct mv_vq_config *mv_vdev_setup(struct mv_vdev *dev, uint32_t q);
/* Takes a queue that is ready away from the device (4.2.2.2): runs on the loop, waits;
 * when this returns nothing of the queue is in flight. */
void mv_vdev_disable_queue(struct mv_vdev *dev, uint32_t q);
/* Whether the device must keep away from guest memory, whatever its status (a PCI
 * function that is no bus master): runs on the loop, waits. Held, it is ASLEEP where it
 * would be LIVE, and mv_vdev_wake does nothing; when it is let go it wakes up. A
 * transport that loads a state sets dev->held itself, and the machine's wake obeys. */
void mv_vdev_hold(struct mv_vdev *dev, bool held);
/* The driver's notification; any thread. A queue that does not exist: nothing. */
void mv_vdev_notify(struct mv_vdev *dev, uint32_t q);
/* Bytes beyond the configuration read as zero; a write that does not lie in what the
 * driver may write is dropped. */
void mv_vdev_read_config(struct mv_vdev *dev, uint32_t offset, void *to,
                         uint32_t length);
void mv_vdev_write_config(struct mv_vdev *dev, uint32_t offset, const void *from,
                          uint32_t length);
uint32_t mv_vdev_generation(struct mv_vdev *dev);

/* -- for the machine: they run on the device's loop and wait for it -- */

void mv_vdev_sleep(struct mv_vdev *dev); /* LIVE -> ASLEEP */
void mv_vdev_wake(struct mv_vdev *dev);  /* ASLEEP -> LIVE; looks at all queues */
/* State of a device that is not LIVE; the transport saves its own after it. Loading is
 * into a device that was just opened with the same settings; it is ASLEEP afterwards if
 * the saved one was at work. */
void mv_vdev_save(const struct mv_vdev *dev, struct mv_writer *w);
int mv_vdev_load(struct mv_vdev *dev, struct mv_reader *r, microvm_error *err);
/* For transports: reads the version that their state begins with, and refuses another
 * than `version`. */
int mv_vdev_check_transport(const struct mv_vdev *dev, struct mv_reader *r,
                            uint32_t version, microvm_error *err);

#endif
