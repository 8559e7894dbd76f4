/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A build without a hypervisor, and the devices that are left out of it, too: each says
 * so and keeps nothing that it was given. Compiled in such builds alone.
 */
#include "check.h"
#include "image.h"
#include "scratch.h"

#include "backing/disk.h"
#include "backing/net.h"
#include "virtio/devices.h"

#include <microvm/microvm.h>

#include <stdio.h>

static const struct mv_vdev_host no_host;
static unsigned closed;

static void close_disk(struct mv_disk *disk)
{
    (void)disk;
    closed++;
}

static void close_net(struct mv_net *net)
{
    (void)net;
    closed++;
}

static int open_disk(struct mv_vdev **dev, microvm_error *err)
{
    static const struct mv_disk_ops ops = {.close = close_disk};
    struct mv_disk disk = {.ops = &ops};
    int rc = mv_blk_open(&no_host, &disk, "disk0", 1, dev, err);
    assert_int_equal(closed, 1);
    mv_blk_set_limit(NULL, NULL);
    return rc;
}

static int open_net(struct mv_vdev **dev, microvm_error *err)
{
    static const struct mv_net_ops ops = {.close = close_net};
    static const uint8_t mac[6] = {2};
    struct mv_net net = {.ops = &ops};
    int rc = mv_net_device_open(&no_host, &net, "net0", mac, dev, err);
    assert_int_equal(closed, 1);
    assert_false(mv_net_device_has_link(NULL));
    return rc;
}

static int open_console(struct mv_vdev **dev, microvm_error *err)
{
    return mv_console_open(&no_host, NULL, NULL, dev, err);
}

static int open_rng(struct mv_vdev **dev, microvm_error *err)
{
    return mv_rng_open(&no_host, dev, err);
}

static int open_balloon(struct mv_vdev **dev, microvm_error *err)
{
    assert_int_equal(mv_balloon_bytes(NULL), 0);
    return mv_balloon_open(&no_host, dev, err);
}

static int open_vsock(struct mv_vdev **dev, microvm_error *err)
{
    return mv_vsock_open(&no_host, 3, NULL, NULL, dev, err);
}

static void each_device_says_so(void **state)
{
    static const struct {
        const char *name;
        bool here;
        int (*open)(struct mv_vdev **dev, microvm_error *err);
    } devices[] = {
        {"disk", MV_HAVE_BLK, open_disk},
        {"net", MV_HAVE_NET, open_net},
        {"console=virtio", MV_HAVE_CONSOLE, open_console},
        {"rng", MV_HAVE_RNG, open_rng},
        {"balloon", MV_HAVE_BALLOON, open_balloon},
        {"vsock", MV_HAVE_VSOCK, open_vsock},
    };
    unsigned looked_at = 0;
    (void)state;
    for (unsigned i = 0; i < sizeof devices / sizeof *devices; i++) {
        struct mv_vdev *dev = NULL;
        char want[64];
        microvm_error err;
        if (devices[i].here)
            continue;
        closed = 0;
        assert_int_equal(devices[i].open(&dev, &err), MICROVM_E_UNSUPPORTED);
        assert_null(dev);
        (void)snprintf(want, sizeof want, "%s: left out of this build",
                       devices[i].name);
        assert_string_equal(err.message, want);
        looked_at++;
    }
    if (!looked_at) {
        print_message("skipped: this build leaves no device out\n");
        skip();
    }
}

static void no_hypervisor_is_no_machine(void **state)
{
    static struct image kernel; /* large */
    char path[SCRATCH_PATH];
    microvm_config *config;
    microvm_error err;
    (void)state;
    assert_int_equal(microvm_probe(NULL, 0), 0);
    config = microvm_config_new();
    assert_non_null(config);
    image_elf(&kernel);
    scratch_file(path, kernel.data, IMAGE_ELF_BYTES);
    microvm_config_set(config, "kernel", path);
    assert_null(microvm_new(config, &err));
    assert_int_equal(err.code, MICROVM_E_NO_HYPERVISOR);
    assert_string_equal(err.message, "no hypervisor backend in this build");
    microvm_config_free(config);
    scratch_remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_device_says_so),
        cmocka_unit_test(no_hypervisor_is_no_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
