/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The root file system of an image, for a microvm-init that was started from an initial
 * RAM disk. The image is mounted read-only and a file system in memory lies above it
 * (overlay), so that many machines share one image and nothing of a run stays; with
 * microvm.overlay=off it is mounted as it is, writable.
 *
 * What to mount the kernel's command line says (proto/boot.md). Without microvm.root=
 * the RAM disk is the root file system.
 */
#define _GNU_SOURCE
#include "root.h"

#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include <linux/magic.h>

enum { DEVICE_WAIT_MS = 10000, LOOK_MS = 2, TYPE_BYTES = 32 };

static const char lower[] = "/.image", upper[] = "/.memory", root[] = "/.root";

/* Disks are found while the first process already runs. */
static bool device_appears(const char *device)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    for (unsigned ms = 0; ms < DEVICE_WAIT_MS; ms += LOOK_MS) {
        if (access(device, F_OK) == 0)
            return true;
        (void)nanosleep(&pause, NULL);
    }
    system_say("microvm.root=%s: there is no such device", device);
    return false;
}

/* The file systems of our images begin with these bytes. */
static const struct known {
    const char *type;
    size_t at, length;
    const char *magic;
    bool compressed;
} known[] = {
    {"squashfs", 0, 4, "hsqs", true},
    {"ext4", 1080, 2, "\x53\xef", false},
    {"erofs", 1024, 4, "\xe2\xe1\xf5\xe0", true},
};

/* By its first bytes: a type that is tried in vain costs milliseconds. NULL: none. */
static const struct known *look_at(const char *device)
{
    char start[2048] = {0};
    int fd = open(device, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, start, sizeof start) : -1;
    if (fd >= 0)
        (void)close(fd);
    for (unsigned i = 0; n > 0 && i < sizeof known / sizeof known[0]; i++) {
        if (memcmp(start + known[i].at, known[i].magic, known[i].length) == 0)
            return &known[i];
    }
    return NULL;
}

/* As the kernel does for root=: each type of file system that it has on devices. False:
 * *error says why, ENODEV that none of them is it. */
static bool mount_each(const char *device, const char *where, unsigned long flags,
                       int *error)
{
    char line[128], type[TYPE_BYTES];
    *error = ENODEV;
    FILE *types = fopen("/proc/filesystems", "re");
    while (types && fgets(line, sizeof line, types)) {
        if (sscanf(line, "\t%31s", type) != 1) /* else it begins with "nodev" */
            continue;
        if (mount(device, where, type, flags, NULL) == 0) {
            (void)fclose(types);
            return true;
        }
        if (errno != EINVAL)
            *error = errno;
    }
    if (types)
        (void)fclose(types);
    return false;
}

static bool mount_any(const char *device, const char *where, unsigned long flags)
{
    const struct known *is = look_at(device);
    int error, first = 0;
    if (is && mount(device, where, is->type, flags, NULL) == 0)
        return true;
    if (is)
        first = errno;
    if (mount_each(device, where, flags, &error))
        return true;
    if (first == ENODEV)
        system_say("microvm.root=%s: it is %s, which this kernel has not", device,
                   is->type);
    else if (is && is->compressed)
        system_say("microvm.root=%s: it is %s, which this kernel does not mount (%s): "
                   "perhaps it has not what it is compressed with",
                   device, is->type, strerror(first));
    else if (error == ENODEV)
        system_say("microvm.root=%s: no file system that this kernel knows", device);
    else
        system_say("microvm.root=%s: %s", device, strerror(error));
    return false;
}

static bool mount_overlay(void)
{
    char options[128];
    (void)mkdir(upper, 0755);
    if (mount("tmpfs", upper, "tmpfs", 0, "mode=0755") < 0 ||
        mkdir("/.memory/upper", 0755) < 0 || mkdir("/.memory/work", 0755) < 0) {
        system_say("the memory above the image: %s", strerror(errno));
        return false;
    }
    (void)snprintf(options, sizeof options,
                   "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, upper,
                   upper);
    if (mount("overlay", root, "overlay", 0, options) == 0)
        return true;
    system_say(errno == ENODEV
                   ? "this kernel has no overlay file system (CONFIG_OVERLAY_FS): give "
                     "it microvm.overlay=off and an image that it can write to"
                   : "the overlay on the image: %s",
               strerror(errno));
    return false;
}

static bool mount_image(const char *device)
{
    char overlay[8] = "";
    (void)system_parameter("microvm.overlay", overlay, sizeof overlay);
    (void)mkdir(root, 0755);
    if (!strcmp(overlay, "off"))
        return mount_any(device, root, 0);
    (void)mkdir(lower, 0755);
    return mount_any(device, lower, MS_RDONLY) && mount_overlay();
}

/* The RAM disk stays below, out of sight. */
static bool switch_root(void)
{
    (void)umount2("/dev", MNT_DETACH);
    (void)umount2("/proc", MNT_DETACH);
    return chdir(root) == 0 && mount(".", "/", NULL, MS_MOVE, NULL) == 0 &&
           chroot(".") == 0 && chdir("/") == 0;
}

bool root_open(void)
{
    struct statfs fs;
    char device[64];
    if (statfs("/", &fs) < 0 || (fs.f_type != RAMFS_MAGIC && fs.f_type != TMPFS_MAGIC))
        return true;
    (void)mkdir("/proc", 0755);
    (void)mkdir("/dev", 0755);
    (void)mount("proc", "/proc", "proc", 0, NULL);
    if (!system_parameter("microvm.root", device, sizeof device))
        return true;
    (void)mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    if (!device_appears(device) || !mount_image(device))
        return false;
    if (switch_root())
        return true;
    system_say("entering the image: %s", strerror(errno));
    return false;
}
