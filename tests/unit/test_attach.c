/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Devices that are attached to a machine, by the public calls: there when the call has
 * succeeded, not there when it has failed, and not after the start. Disks:
 * test_machine.
 */
#include "check.h"
#include "scripted.h"

#include <string.h>

static microvm *machine_new(void)
{
    static const struct mv_fake_step spin = {.op = MV_FAKE_SPIN};
    static const char *const settings[] = {NULL};
    return scripted_machine(&mv_fake_ops, &spin, 1, settings);
}

static void a_network_device(void **state)
{
    microvm_nic_info info = MICROVM_NIC_INFO_INIT;
    microvm_net net = MICROVM_NET_INIT;
    microvm_nic *nic = NULL, *found = NULL;
    microvm_error err;
    uint8_t mac[6];
    (void)state;
    microvm *vm = machine_new();
    net.backing = "callback";
    memcpy(net.mac, "\x52\x54\x00\x12\x34\x56", 6);
    assert_ok(microvm_attach_net(vm, &net, &nic, &err), &err);
    assert_ok(microvm_nic_find(vm, "net0", &found, &err), &err);
    assert_ptr_equal(found, nic);
    assert_ok(microvm_nic_get_info(vm, 0, &info, &err), &err);
    assert_string_equal(info.backing, "callback");
    microvm_nic_get_mac(nic, mac);
    assert_memory_equal(mac, net.mac, 6);
    microvm_free(vm);
}

static void a_network_device_that_fails(void **state)
{
    static const struct {
        const char *backing, *id, *why;
        int code;
    } wrong[] = {
        {"none", NULL, "'none' attaches nothing", MICROVM_E_INVALID},
        {NULL, NULL, "net", MICROVM_E_INVALID},
        {"carrier-pigeon", NULL, "carrier-pigeon", MICROVM_E_INVALID},
        {"callback", "much longer than twenty bytes", "id", MICROVM_E_INVALID},
        {"callback", "net0", "net0", MICROVM_E_INVALID}, /* the name is taken */
    };
    microvm_net net = MICROVM_NET_INIT;
    microvm_nic *nic;
    microvm_error err;
    (void)state;
    microvm *vm = machine_new();
    assert_error(microvm_attach_net(vm, NULL, NULL, &err), &err, MICROVM_E_INVALID,
                 "NULL");
    net.backing = "callback";
    assert_ok(microvm_attach_net(vm, &net, NULL, &err), &err);
    for (unsigned i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        net.backing = wrong[i].backing;
        net.id = wrong[i].id;
        assert_error(microvm_attach_net(vm, &net, &nic, &err), &err, wrong[i].code,
                     wrong[i].why);
    }
    net.backing = "callback";
    net.id = NULL;
    assert_ok(microvm_attach_net(vm, &net, &nic, &err), &err);
    assert_ok(microvm_nic_find(vm, "net1", &nic, &err),
              &err); /* the second, not more */
    assert_ok(microvm_start(vm, &err), &err);
    assert_error(microvm_attach_net(vm, &net, &nic, &err), &err, MICROVM_E_STATE,
                 "before the machine starts");
    microvm_free(vm);
}

static void a_socket_device(void **state)
{
    microvm_vsock vsock = MICROVM_VSOCK_INIT;
    microvm_error err;
    (void)state;
    microvm *vm = machine_new();
    vsock.cid = 2; /* the host's */
    assert_error(microvm_attach_vsock(vm, &vsock, &err), &err, MICROVM_E_INVALID,
                 "cid");
    vsock.cid = 7;
    assert_ok(microvm_attach_vsock(vm, &vsock, &err), &err);
    assert_error(microvm_attach_vsock(vm, &vsock, &err), &err, MICROVM_E_STATE,
                 "has one already");
    microvm_free(vm);
    vm = machine_new();
    assert_ok(microvm_start(vm, &err), &err);
    assert_error(microvm_attach_vsock(vm, &vsock, &err), &err, MICROVM_E_STATE,
                 "before the machine starts");
    microvm_free(vm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_device),
        cmocka_unit_test(a_network_device_that_fails),
        cmocka_unit_test(a_socket_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
