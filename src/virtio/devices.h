/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device types, as the machine makes them. Each open returns a device that is IDLE;
 * mv_vdev_close ends it. All on the loop, or before the loop has its thread.
 */
#ifndef MV_VIRTIO_DEVICES_H
#define MV_VIRTIO_DEVICES_H

#include "backing/vsock.h"
#include "core/chardev.h"
#include "util/limit.h"
#include "virtio/vdev.h"

struct mv_disk; /* backing/disk.h */
struct mv_net;  /* backing/net.h */

/* Entropy device, 5.4: getrandom through libuv. */
int mv_rng_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                microvm_error *err);

/* Traditional memory balloon, 5.5, with free page reporting (5.5.6.7). */
int mv_balloon_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                    microvm_error *err);
/* Asks the guest to give `pages` 4 KiB pages back in all (its target). */
void mv_balloon_set_target(struct mv_vdev *dev, uint32_t pages);
/* Bytes that the guest has in its balloon now; and those of free memory it has reported
 * in all, whether it has used them again or not. Any thread. */
uint64_t mv_balloon_bytes(const struct mv_vdev *dev);
uint64_t mv_balloon_reported_bytes(const struct mv_vdev *dev);

/* Console, 5.3: port 0 with size. Input and output go through `chardev`; *user is
 * filled with what the chardev's other end must call, until the device is closed. */
int mv_console_open(const struct mv_vdev_host *host, const struct mv_chardev *chardev,
                    struct mv_chardev_user *user, struct mv_vdev **out,
                    microvm_error *err);
void mv_console_resize(struct mv_vdev *dev, uint16_t columns, uint16_t rows);

/* Block device, 5.2. Takes over `disk`, also when it fails. `id` as GET_ID gives it. A
 * queue for each CPU of the guest; more than eight find nobody faster, because one
 * thread serves them all, and each costs a descriptor, a message and 27 KiB of guest
 * memory. */
enum { MV_BLK_QUEUES_MAX = 8 };
int mv_blk_open(const struct mv_vdev_host *host, struct mv_disk *disk, const char *id,
                unsigned queues, struct mv_vdev **out, microvm_error *err);
/* Replaces the limit of a disk, at any time. Any thread; does not wait for the loop,
 * which does it before what is posted to it later. */
void mv_blk_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates);

/* Socket device, 5.10, for the guest's address `cid`. `ports` is the host's end; *user
 * is filled with what that calls, until the device is closed. */
int mv_vsock_open(const struct mv_vdev_host *host, uint64_t cid,
                  const struct mv_vsock_host *ports, struct mv_vsock_user *user,
                  struct mv_vdev **out, microvm_error *err);
/* The machine has ended: every connection does, when its bytes are out. */
void mv_vsock_end(struct mv_vdev *dev);
/* Connections made, either way, and payload bytes from and to the guest. */
void mv_vsock_counts(const struct mv_vdev *dev, uint64_t *connections,
                     uint64_t *out_bytes, uint64_t *in_bytes);

/* Network device, 5.1. Takes over `backing`, also when it fails. */
int mv_net_device_open(const struct mv_vdev_host *host, struct mv_net *backing,
                       const char *name, const uint8_t mac[6], struct mv_vdev **out,
                       microvm_error *err);
/* Replaces the limit, at any time; each direction has it for itself. */
void mv_net_device_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates);
/* The user's end of the cable; the link is up when the backing's is, too. */
void mv_net_device_set_link(struct mv_vdev *dev, bool up);
/* Is the driver told that it has one? Loop. */
bool mv_net_device_has_link(struct mv_vdev *dev);

#endif
