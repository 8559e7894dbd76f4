/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One row for each device type.
 */
#include "types.h"

#include "backing/disk.h"
#include "backing/net.h"
#include "scratch.h"
#include "util/bytes.h"
#include "virtio/devices.h"

#if MV_HAVE_RNG
static int rng_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    return mv_rng_open(&rig->host, out, err);
}

static unsigned rng_request(struct vrig *rig, uint64_t gpa,
                            struct vdriver_buffer *buffer)
{
    (void)rig;
    buffer[0] = (struct vdriver_buffer){gpa, 64, true};
    return 1;
}
#endif

#if MV_HAVE_BLK
/* The disk has its own handle: the image can go at once, where files can. */
static int blk_open_with(struct vrig *rig, unsigned queues, struct mv_vdev **out,
                         microvm_error *err)
{
    char path[SCRATCH_PATH];
    const struct mv_disk_config config = {.path = path, .read_only = true};
    struct mv_disk *disk;
    scratch_sparse(path, 1 << 20);
    int rc = mv_disk_open(&config, &rig->loop, &rig->log, &disk, err);
    scratch_remove(path);
    return rc ? rc : mv_blk_open(&rig->host, disk, "vda", queues, out, err);
}

static int blk_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    return blk_open_with(rig, 1, out, err);
}

static int blk_open_queues(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    return blk_open_with(rig, 4, out, err);
}

/* The identity, which needs no disk, so that the answer comes at once. */
static unsigned blk_request(struct vrig *rig, uint64_t gpa,
                            struct vdriver_buffer *buffer)
{
    mv_store32(vrig_at(rig, gpa, 16), 8);
    buffer[0] = (struct vdriver_buffer){gpa, 16, false};
    buffer[1] = (struct vdriver_buffer){gpa + 64, 21, true};
    return 2;
}
#endif

#if MV_HAVE_BALLOON
static int balloon_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    return mv_balloon_open(&rig->host, out, err);
}

static unsigned balloon_request(struct vrig *rig, uint64_t gpa,
                                struct vdriver_buffer *buffer)
{
    mv_store32(vrig_at(rig, gpa, 4), 3); /* the page at 0x3000 */
    buffer[0] = (struct vdriver_buffer){gpa, 4, false};
    return 1;
}
#endif

#if MV_HAVE_CONSOLE
static size_t sink_put(void *ctx, const void *data, size_t length)
{
    (void)ctx;
    (void)data;
    return length;
}

static size_t silent_get(void *ctx, void *data, size_t length)
{
    (void)ctx;
    (void)data;
    (void)length;
    return 0;
}

static int console_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    const struct mv_chardev nobody = {.put = sink_put, .get = silent_get};
    struct mv_chardev_user user;
    return mv_console_open(&rig->host, &nobody, &user, out, err);
}

static unsigned console_request(struct vrig *rig, uint64_t gpa,
                                struct vdriver_buffer *buffer)
{
    memcpy(vrig_at(rig, gpa, 5), "hello", 5);
    buffer[0] = (struct vdriver_buffer){gpa, 5, false};
    return 1;
}
#endif

#if MV_HAVE_VSOCK
/* STREAM, and SEQPACKET where the host has such sockets. */
#ifdef __linux__
enum { VSOCK_FEATURES = 1 << 0 | 1 << 1 };
#else
enum { VSOCK_FEATURES = 1 << 0 };
#endif

static intptr_t nobody_arrived(void *ctx, microvm_socket_type type, uint32_t port,
                               uint32_t from)
{
    (void)ctx;
    (void)type;
    (void)port;
    (void)from;
    return MV_SOCKET_NONE;
}

static intptr_t nobody_answered(void *ctx, void *dial, uint32_t host_port,
                                struct mv_span *first)
{
    (void)first;
    (void)ctx;
    (void)dial;
    (void)host_port;
    return MV_SOCKET_NONE;
}

static void nobody_refused(void *ctx, void *dial, enum mv_vsock_answer answer)
{
    (void)ctx;
    (void)dial;
    (void)answer;
}

static void nobody_ready(void *ctx)
{
    (void)ctx;
}

static int vsock_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    const struct mv_vsock_host nobody = {nobody_arrived, nobody_answered,
                                         nobody_refused, nobody_ready, NULL};
    struct mv_vsock_user user;
    return mv_vsock_open(&rig->host, 3, &nobody, &user, out, err);
}

/* A reset of a connection that does not exist, which is answered by nothing. */
static unsigned vsock_request(struct vrig *rig, uint64_t gpa,
                              struct vdriver_buffer *buffer)
{
    uint8_t *header = vrig_at(rig, gpa, 44);
    memset(header, 0, 44);
    mv_store64(header, 3);
    mv_store64(header + 8, 2);
    mv_store16(header + 28, 1);
    mv_store16(header + 30, 3);
    buffer[0] = (struct vdriver_buffer){gpa, 44, false};
    return 1;
}
#endif

#if MV_HAVE_NET
static int net_open(struct vrig *rig, struct mv_vdev **out, microvm_error *err)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    const struct mv_net_config config = {.kind = MV_NET_CALLBACK};
    struct mv_net *net;
    int rc = mv_net_open(&config, &rig->loop, &rig->log, &net, err);
    return rc ? rc : mv_net_device_open(&rig->host, net, "net0", mac, out, err);
}

/* A frame to nobody. */
static unsigned net_request(struct vrig *rig, uint64_t gpa,
                            struct vdriver_buffer *buffer)
{
    memset(vrig_at(rig, gpa, 72), 0, 72);
    buffer[0] = (struct vdriver_buffer){gpa, 12, false};
    buffer[1] = (struct vdriver_buffer){gpa + 12, 60, false};
    return 2;
}
#endif

const struct device_type device_types[] = {
#if MV_HAVE_RNG
    {"rng", 4, 1, 0, 0, 0, 0, rng_open, 0, rng_request},
#endif
#if MV_HAVE_BLK
    {"blk", 2, 1, 60, 0, 0, 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9, blk_open, 0,
     blk_request},
    {"blk, 4 queues", 2, 4, 60, 0, 0, 1 << 2 | 1 << 5 | 1 << 6 | 1 << 9 | 1 << 12,
     blk_open_queues, 3, blk_request},
#endif
#if MV_HAVE_BALLOON
    {"balloon", 5, 5, 8, 4, 4, 1 << 2 | 1 << 5, balloon_open, 0, balloon_request},
#endif
#if MV_HAVE_NET
    {"net", 1, 3, 12, 0, 0, 1 << 5 | 0x7 << 16 | 1 << 15 | 1 << 21 | 1 << 23, net_open,
     1, net_request},
#endif
#if MV_HAVE_CONSOLE
    {"console", 3, 2, 4, 0, 0, 1 << 0, console_open, 1, console_request},
#endif
#if MV_HAVE_VSOCK
    {"vsock", 19, 3, 8, 0, 0, VSOCK_FEATURES, vsock_open, 1, vsock_request, 2},
#endif
};
const unsigned device_type_count = MV_ARRAY_LEN(device_types);
