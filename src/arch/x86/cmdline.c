/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The kernel command line: what this machine knows about itself, then the user's words,
 * which being last win.
 *
 *     console=ttyS0      where the console is
 *     reboot=panic_warm,k  reset through the keyboard controller. After a panic by a
 *                        warm one: Linux then leaves 0x1234 at physical 0x472, which
 *                        tells the machine a panic from a reboot (layout.h)
 *     panic=-1           reset at once after a panic instead of waiting for a reader
 *     pci=off            there is no PCI bus: do not probe for one (90 exits)
 *     pci=noearly        or there is one, whose chipset has no faults that must be
 *                        searched for before anything else (100 exits)
 *     8250.nr_uarts=1    nor for three more serial ports (6 exits each)
 *     8250.skip_txen_test=1  nor for a fault of old chips that ours has not (4 exits)
 *     tsc=reliable       do not wake up twice a second to verify the TSC, which is not
 *                        the clock: kvm-clock is
 *     acpi=off           no tables here: do not search memory for them
 *     root=/dev/vda rw   when the first disk is the root file system
 *     virtio_mmio.device=4K@0xd0000000:5   a device, for kernels without ACPI
 */
#include "arch/x86/boot.h"

#include "util/bytes.h"

#include <stdio.h>

struct cmdline_text {
    char *at;
    size_t length, size; /* of size; length can pass it: then the text was cut */
};

static void cmdline_add(struct cmdline_text *text, const char *format, ...)
    MV_PRINTF(2, 3);

/* Appends one parameter, after a space unless it is the first. */
static void cmdline_add(struct cmdline_text *text, const char *format, ...)
{
    va_list args;
    if (text->length > 0) {
        if (text->length + 1 < text->size)
            memcpy(text->at + text->length, " ", 2);
        text->length++;
    }
    size_t room = text->length < text->size ? text->size - text->length : 0;
    va_start(args, format);
    int n = vsnprintf(room ? text->at + text->length : NULL, room, format, args);
    va_end(args);
    text->length += n > 0 ? (size_t)n : 0;
}

/* What microvm-init is told is in proto/boot.md. The user network has these addresses,
 * whoever asks for them. An image is run for what is in it: a kernel that tells of
 * itself is most of its start (loglevel=7 among the user's words undoes it), and that
 * there is no PCI bus is an error to it, which `quiet` would leave. */
static void cmdline_add_root(struct cmdline_text *text,
                             const struct mv_cmdline_request *request)
{
    switch (request->root) {
    case MV_ROOT_NONE:
        break;
    case MV_ROOT_DISK:
        cmdline_add(text, "root=/dev/vda %s", request->root_read_only ? "ro" : "rw");
        break;
    case MV_ROOT_IMAGE:
        cmdline_add(text, "loglevel=3 microvm.root=/dev/vda");
        if (request->net == MV_ROOT_NET_USER)
            cmdline_add(text, "microvm.net=10.0.2.15/24,10.0.2.2,10.0.2.3");
        if (request->net == MV_ROOT_NET_DHCP)
            cmdline_add(text, "microvm.net=dhcp");
        break;
    }
}

static void cmdline_add_ours(struct cmdline_text *text,
                             const struct mv_cmdline_request *request)
{
    switch (request->console) {
    case MV_CONSOLE_SERIAL:
        cmdline_add(text, "console=ttyS0");
        break;
    case MV_CONSOLE_VIRTIO:
        cmdline_add(text, "console=hvc0");
        break;
    case MV_CONSOLE_NONE:
        break;
    }
    cmdline_add(
        text, "reboot=panic_warm,k panic=-1 pci=%s tsc=reliable 8250.nr_uarts=%d",
        request->pci ? "noearly" : "off", request->console == MV_CONSOLE_SERIAL);
    if (request->console == MV_CONSOLE_SERIAL)
        cmdline_add(text, "8250.skip_txen_test=1");
    if (request->acpi_off)
        cmdline_add(text, "acpi=off");
    cmdline_add_root(text, request);
    if (request->hostname)
        cmdline_add(text, "hostname=%s", request->hostname);
    for (unsigned i = 0; i < request->devices; i++)
        cmdline_add(text, "virtio_mmio.device=4K@0x%llx:%u",
                    (unsigned long long)request->device[i].gpa, request->device[i].gsi);
}

int mv_cmdline_compose(const struct mv_cmdline_request *request, char *out, size_t size,
                       microvm_error *err)
{
    struct cmdline_text text = {.at = out, .size = size};
    const char *user = request->user ? request->user : "";
    out[0] = '\0';
    if (!request->only)
        cmdline_add_ours(&text, request);
    if (user[0] != '\0')
        cmdline_add(&text, "%s", user);
    if (text.length >= size)
        return mv_fail(err, MICROVM_E_INVALID,
                       "cmdline: %zu bytes of yours and %zu of ours are %zu more than "
                       "the %zu that fit; shorten it",
                       strlen(user), text.length - strlen(user), text.length - size + 1,
                       size - 1);
    return 0;
}

static bool cmdline_lists(const char *list, size_t length, const char *option)
{
    size_t wanted = strlen(option);
    while (length > 0) {
        const char *comma = memchr(list, ',', length);
        size_t n = comma ? (size_t)(comma - list) : length;
        if (n == wanted && memcmp(list, option, n) == 0)
            return true;
        n = MV_MIN(n + 1, length);
        list += n;
        length -= n;
    }
    return false;
}

bool mv_cmdline_has_option(const char *text, const char *name, const char *option)
{
    size_t prefix = strlen(name);
    while (*text) {
        size_t n = strcspn(text, " ");
        if (n == 2 && memcmp(text, "--", 2) == 0)
            break; /* init's from here on */
        if (n > prefix && memcmp(text, name, prefix) == 0 && text[prefix] == '=' &&
            cmdline_lists(text + prefix + 1, n - prefix - 1, option))
            return true;
        text += n;
        text += strspn(text, " ");
    }
    return false;
}
