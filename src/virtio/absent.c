/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Device types that this build leaves out: opening one says so. The one file that knows
 * about being left out, so that nobody who uses devices has to.
 */
#include "backing/disk.h"
#include "backing/net.h"
#include "virtio/devices.h"

#define ABSENT(name, err) \
    mv_fail((err), MICROVM_E_UNSUPPORTED, name ": left out of this build")

#if !MV_HAVE_BLK
int mv_blk_open(const struct mv_vdev_host *host, struct mv_disk *disk, const char *id,
                unsigned queues, struct mv_vdev **out, microvm_error *err)
{
    (void)host;
    (void)id;
    (void)queues;
    (void)out;
    disk->ops->close(disk);
    return ABSENT("disk", err);
}

void mv_blk_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates)
{
    (void)dev;
    (void)rates;
}
#endif

#if !MV_HAVE_NET
int mv_net_device_open(const struct mv_vdev_host *host, struct mv_net *backing,
                       const char *name, const uint8_t mac[6], struct mv_vdev **out,
                       microvm_error *err)
{
    (void)host;
    (void)name;
    (void)mac;
    (void)out;
    backing->ops->close(backing);
    return ABSENT("net", err);
}

void mv_net_device_set_limit(struct mv_vdev *dev, const struct mv_limit_rates *rates)
{
    (void)dev;
    (void)rates;
}

void mv_net_device_set_link(struct mv_vdev *dev, bool up)
{
    (void)dev;
    (void)up;
}

bool mv_net_device_has_link(struct mv_vdev *dev)
{
    (void)dev;
    return false;
}
#endif

#if !MV_HAVE_CONSOLE
int mv_console_open(const struct mv_vdev_host *host, const struct mv_chardev *chardev,
                    struct mv_chardev_user *user, struct mv_vdev **out,
                    microvm_error *err)
{
    (void)host;
    (void)chardev;
    (void)user;
    (void)out;
    return ABSENT("console=virtio", err);
}

void mv_console_resize(struct mv_vdev *dev, uint16_t columns, uint16_t rows)
{
    (void)dev;
    (void)columns;
    (void)rows;
}
#endif

#if !MV_HAVE_RNG
int mv_rng_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                microvm_error *err)
{
    (void)host;
    (void)out;
    return ABSENT("rng", err);
}
#endif

#if !MV_HAVE_BALLOON
int mv_balloon_open(const struct mv_vdev_host *host, struct mv_vdev **out,
                    microvm_error *err)
{
    (void)host;
    (void)out;
    return ABSENT("balloon", err);
}

void mv_balloon_set_target(struct mv_vdev *dev, uint32_t pages)
{
    (void)dev;
    (void)pages;
}

uint64_t mv_balloon_bytes(const struct mv_vdev *dev)
{
    (void)dev;
    return 0;
}

uint64_t mv_balloon_reported_bytes(const struct mv_vdev *dev)
{
    (void)dev;
    return 0;
}
#endif

#if !MV_HAVE_VSOCK
int mv_vsock_open(const struct mv_vdev_host *host, uint64_t cid,
                  const struct mv_vsock_host *ports, struct mv_vsock_user *user,
                  struct mv_vdev **out, microvm_error *err)
{
    (void)host;
    (void)cid;
    (void)ports;
    (void)user;
    (void)out;
    return ABSENT("vsock", err);
}

void mv_vsock_end(struct mv_vdev *dev)
{
    (void)dev;
}

void mv_vsock_counts(const struct mv_vdev *dev, uint64_t *connections,
                     uint64_t *out_bytes, uint64_t *in_bytes)
{
    (void)dev;
    *connections = *out_bytes = *in_bytes = 0;
}
#endif
