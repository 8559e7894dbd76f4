/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A kernel file, whatever its format: told apart by its first bytes, described as a
 * list of segments, read into guest memory.
 *
 * A segment goes from the file to its place in one read, without a buffer between. What
 * follows it in memory (BSS) is not written: guest memory is fresh and reads as zero,
 * and a page that nobody has touched costs nothing.
 */
#include "arch/x86/kernel.h"

#include "arch/x86/layout.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <stdio.h>

/* How much of a segment is searched: 0.3 ms. Linux's init data is 1 to 3 MiB. */
enum { KERNEL_SEARCH_BYTES = 4 << 20 };

int mv_kernel_fail(const struct mv_source *source, microvm_error *err,
                   const char *format, ...)
{
    char text[192];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    /* A long path must not push the reason out of the message. */
    size_t length = strlen(source->name);
    const char *tail = length > 80 ? source->name + length - 77 : source->name;
    return mv_fail(err, MICROVM_E_KERNEL, "kernel '%s%s' %s", length > 80 ? "..." : "",
                   tail, text);
}

int mv_kernel_identify(const struct mv_source *source, struct mv_kernel *out,
                       microvm_error *err)
{
    struct mv_kernel_head head = {.source = source};
    struct mv_kernel kernel = {.source = source};
    int rc;
    head.length = MV_MIN(source->size_bytes, sizeof head.bytes);
    if (head.length == 0)
        return mv_kernel_fail(source, err,
                              "is empty: give a bzImage (vmlinuz) or an ELF vmlinux");
    rc = source->read(source->ctx, 0, head.bytes, head.length, err);
    if (rc)
        return rc;
    if (memcmp(head.bytes, "\177ELF", 4) == 0)
        rc = mv_elf_parse(&head, &kernel, err);
    else if (memcmp(head.bytes + 0x202, "HdrS", 4) == 0 &&
             mv_load16(head.bytes + 0x1fe) == 0xaa55)
        rc = mv_bzimage_parse(&head, &kernel, err);
    else
        rc = mv_kernel_refuse(&head, err);
    if (rc == 0)
        *out = kernel;
    return rc;
}

/* The memory that a kernel can be loaded into: below the hole. */
static int kernel_check_range(const struct mv_kernel *kernel, const struct mv_ram *ram,
                              const char *what, uint64_t gpa, uint64_t bytes,
                              microvm_error *err)
{
    const struct mv_ram_region *low = &ram->region[0];
    uint64_t end;
    if (gpa < MV_X86_KERNEL)
        return mv_kernel_fail(
            kernel->source, err,
            "cannot be started: %s lies at 0x%llx, below 1 MiB, where "
            "boot parameters and firmware tables are",
            what, (unsigned long long)gpa);
    if (!mv_add(gpa, bytes, &end) || end > MV_X86_HOLE)
        return mv_kernel_fail(kernel->source, err,
                              "cannot be started: %s (0x%llx bytes at 0x%llx) reaches "
                              "past 3 GiB, where devices are",
                              what, (unsigned long long)bytes, (unsigned long long)gpa);
    if (end > low->gpa + low->size)
        return mv_kernel_fail(kernel->source, err,
                              "does not fit into %llu MiB of memory: %s ends at %llu "
                              "MiB; give the machine more memory",
                              (unsigned long long)(ram->size_bytes >> 20), what,
                              (unsigned long long)((end + 0xfffff) >> 20));
    return 0;
}

int mv_kernel_load(const struct mv_kernel *kernel, const struct mv_ram *ram,
                   microvm_error *err)
{
    const struct mv_source *source = kernel->source;
    for (unsigned i = 0; i < kernel->segments; i++) {
        const struct mv_kernel_segment *s = &kernel->segment[i];
        int rc =
            kernel_check_range(kernel, ram, "its image", s->gpa, s->memory_bytes, err);
        if (rc)
            return rc;
    }
    int rc = kernel_check_range(kernel, ram, "the memory it runs in", kernel->run_gpa,
                                kernel->run_bytes, err);
    for (unsigned i = 0; rc == 0 && i < kernel->segments; i++) {
        const struct mv_kernel_segment *s = &kernel->segment[i];
        void *to = mv_ram_at(ram, s->gpa, s->memory_bytes);
        MV_ASSERT(to != NULL);
        if (s->file_bytes > 0)
            rc = source->read(source->ctx, s->offset, to, s->file_bytes, err);
    }
    return rc;
}

/*
 * Horspool's search: compares at the pattern's end and steps by what the byte there
 * allows, for a pattern of 30 bytes about 30 at a time.
 */
static bool kernel_contains(const uint8_t *data, uint64_t length, const char *pattern,
                            size_t pattern_length)
{
    uint8_t step[256];
    memset(step, (int)pattern_length, sizeof step);
    for (size_t i = 0; i + 1 < pattern_length; i++)
        step[(uint8_t)pattern[i]] = (uint8_t)(pattern_length - 1 - i);
    for (uint64_t at = 0; length >= pattern_length && at <= length - pattern_length;
         at += step[data[at + pattern_length - 1]])
        if (memcmp(data + at, pattern, pattern_length) == 0)
            return true;
    return false;
}

bool mv_kernel_has_acpi(const struct mv_kernel *kernel, const struct mv_ram *ram)
{
    /* early_param of drivers/acpi/tables.c, since Linux 3.14 in every kernel with
     * CONFIG_ACPI; both NULs belong to the pattern. Linux keeps the names of its
     * parameters in its init data, which is in its last segment. */
    static const char name[] = "\0acpi_force_table_verification";
    const struct mv_kernel_segment *last = &kernel->segment[kernel->segments - 1];
    uint64_t length = MV_MIN(last->file_bytes, (uint64_t)KERNEL_SEARCH_BYTES);
    const uint8_t *data = mv_ram_at(ram, last->gpa, length);
    return kernel->format == MV_KERNEL_BZIMAGE ||
           (data && kernel_contains(data, length, name, sizeof name));
}

/* The end of the first segment, where read-only data is, as far as it is searched. */
static const uint8_t *kernel_read_only_data(const struct mv_kernel *kernel,
                                            const struct mv_ram *ram, uint64_t *length)
{
    const struct mv_kernel_segment *first = &kernel->segment[0];
    *length = MV_MIN(first->file_bytes, (uint64_t)KERNEL_SEARCH_BYTES);
    uint64_t from = mv_align_down(first->gpa + first->file_bytes - *length, 16);
    return mv_ram_at(ram, from, *length);
}

/*
 * A driver's table of plug and play ids is an array of 8 letters and 8 bytes of flags,
 * that of ACPI's core (all drivers' ids) has 32 bytes an entry. The core's comes first,
 * as drivers/acpi is linked before drivers/tty.
 */
bool mv_kernel_has_serial_pnp(const struct mv_kernel *kernel, const struct mv_ram *ram)
{
    static const char driver[24] = "PNP0500\0\0\0\0\0\0\0\0\0PNP0501";
    uint64_t length;
    const uint8_t *data = kernel_read_only_data(kernel, ram, &length);
    uint64_t id = mv_load64(driver);
    bool core_seen = false;
    if (kernel->format == MV_KERNEL_BZIMAGE || !data)
        return true;
    for (uint64_t at = 0; at + sizeof driver <= length; at += 16) {
        if (mv_load64(data + at) != id)
            continue;
        if (memcmp(data + at, driver, sizeof driver) == 0)
            return true;
        core_seen = true;
    }
    return !core_seen;
}

/* struct pci_device_id, since Linux 2.6: vendor, device, both subsystem ids, class and
 * its mask, of 4 bytes each. Every device of this vendor, whatever else it says, is
 * what only the virtio driver asks for. */
bool mv_kernel_has_virtio_pci(const struct mv_kernel *kernel, const struct mv_ram *ram)
{
    static const uint8_t any[24] = {0xf4, 0x1a, 0,    0,    0xff, 0xff, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint64_t length, head = mv_load64(any);
    const uint8_t *data = kernel_read_only_data(kernel, ram, &length);
    if (kernel->format == MV_KERNEL_BZIMAGE)
        return true;
    for (uint64_t at = 0; data && at + sizeof any <= length; at += 8)
        if (mv_load64(data + at) == head && memcmp(data + at, any, sizeof any) == 0)
            return true;
    return false;
}
