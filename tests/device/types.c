/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * One row for each device type.
 */
#include "types.h"

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
    const struct mv_chardev nobody = {sink_put, silent_get, NULL};
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

const struct device_type device_types[] = {
#if MV_HAVE_RNG
    {"rng", 4, 1, 0, 0, 0, 0, rng_open, 0, rng_request},
#endif
#if MV_HAVE_BALLOON
    {"balloon", 5, 5, 8, 4, 4, 1 << 2 | 1 << 5, balloon_open, 0, balloon_request},
#endif
#if MV_HAVE_CONSOLE
    {"console", 3, 2, 4, 0, 0, 1 << 0, console_open, 1, console_request},
#endif
};
const unsigned device_type_count = MV_ARRAY_LEN(device_types);
