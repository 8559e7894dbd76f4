/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel command line: whose words stand where, and what happens when they do not
 * fit.
 */
#include "check.h"

#include "arch/x86/boot.h"

#include <string.h>

#define OURS     "reboot=panic_warm,k panic=-1 pci=off tsc=reliable 8250.nr_uarts="
#define OURS_PCI "reboot=panic_warm,k panic=-1 pci=noearly tsc=reliable 8250.nr_uarts="

static void composed(const struct mv_cmdline_request *request, const char *wanted)
{
    char text[512];
    microvm_error err;
    assert_ok(mv_cmdline_compose(request, text, sizeof text, &err), &err);
    assert_string_equal(text, wanted);
}

static void names_the_console(void **state)
{
    struct mv_cmdline_request r = {.console = MV_CONSOLE_SERIAL};
    (void)state;
    composed(&r, "console=ttyS0 " OURS "1 8250.skip_txen_test=1");
    r.console = MV_CONSOLE_VIRTIO;
    composed(&r, "console=hvc0 " OURS "0");
    r.console = MV_CONSOLE_NONE;
    composed(&r, OURS "0");
}

static void lets_the_kernel_look_for_pci(void **state)
{
    struct mv_cmdline_request r = {.console = MV_CONSOLE_NONE, .pci = true};
    (void)state;
    composed(&r, OURS_PCI "0");
}

static void puts_the_user_last(void **state)
{
    struct mv_cmdline_request r = {.console = MV_CONSOLE_NONE,
                                   .root = MV_ROOT_DISK,
                                   .acpi_off = true,
                                   .device = {{0xd0000000, 5}, {0xd0001000, 16}},
                                   .devices = 2,
                                   .user = "quiet root=/dev/vdb"};
    (void)state;
    composed(&r, OURS "0 acpi=off root=/dev/vda rw "
                      "virtio_mmio.device=4K@0xd0000000:5 "
                      "virtio_mmio.device=4K@0xd0001000:16 quiet root=/dev/vdb");
    r.root_read_only = true;
    r.devices = 0;
    r.acpi_off = false;
    composed(&r, OURS "0 root=/dev/vda ro quiet root=/dev/vdb");
    r.root = MV_ROOT_IMAGE;
    composed(&r, OURS "0 loglevel=3 microvm.root=/dev/vda quiet root=/dev/vdb");
    r.net = MV_ROOT_NET_DHCP;
    r.user = NULL;
    composed(&r, OURS "0 loglevel=3 microvm.root=/dev/vda microvm.net=dhcp");
    r.hostname = "box";
    r.net = MV_ROOT_NET_NONE;
    composed(&r, OURS "0 loglevel=3 microvm.root=/dev/vda hostname=box");
    r.hostname = NULL;
    r.net = MV_ROOT_NET_USER;
    composed(&r, OURS "0 loglevel=3 microvm.root=/dev/vda "
                      "microvm.net=10.0.2.15/24,10.0.2.2,10.0.2.3");
}

static void adds_nothing_when_told(void **state)
{
    struct mv_cmdline_request r = {.only = true, .root = MV_ROOT_DISK, .user = "a  b"};
    (void)state;
    composed(&r, "a  b");
    r.user = NULL;
    composed(&r, "");
    r.only = false;
    r.root = MV_ROOT_NONE;
    r.user = "";
    composed(&r,
             "console=ttyS0 " OURS "1 8250.skip_txen_test=1"); /* no space at the end */
}

static void refuses_what_does_not_fit(void **state)
{
    char text[20], user[24];
    struct mv_cmdline_request r = {.only = true, .user = user};
    microvm_error err;
    (void)state;
    memset(user, 'x', sizeof user);
    user[19] = '\0';
    assert_ok(mv_cmdline_compose(&r, text, sizeof text, &err), &err);
    assert_int_equal(strlen(text), 19);
    user[19] = 'x';
    user[20] = '\0';
    assert_error(mv_cmdline_compose(&r, text, sizeof text, &err), &err,
                 MICROVM_E_INVALID,
                 "20 bytes of yours and 0 of ours are 1 more than the 19 that fit");
    r.only = false; /* cut in the middle of ours, then between words: still one count */
    for (size_t size = 1; size < sizeof text; size++)
        assert_error(mv_cmdline_compose(&r, text, size, &err), &err, MICROVM_E_INVALID,
                     "20 bytes of yours and 102 of ours");
}

static void finds_an_option_in_a_list(void **state)
{
    static const struct {
        const char *text;
        bool has;
    } cases[] = {
        {"pci=off", true},
        {"quiet pci=off", true},
        {"  pci=nomsi,off,noacpi  x", true},
        {"pci=nomsi pci=off", true},
        {"a -- pci=off", false},
        {"a --x pci=off", true},
        {"", false},
        {"   ", false},
        {"pci", false},
        {"pci=", false},
        {"pci=,", false},
        {"pci=offf,of,noff", false},
        {"xpci=off pcix=off", false},
        {"pci=nomsi", false},
        {"pci off", false},
    };
    (void)state;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (mv_cmdline_has_option(cases[i].text, "pci", "off") != cases[i].has)
            fail_msg("'%s'", cases[i].text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_the_console),
        cmocka_unit_test(lets_the_kernel_look_for_pci),
        cmocka_unit_test(puts_the_user_last),
        cmocka_unit_test(adds_nothing_when_told),
        cmocka_unit_test(finds_an_option_in_a_list),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
