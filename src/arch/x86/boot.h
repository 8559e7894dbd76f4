/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Starting an x86_64 kernel: from a file's bytes to guest memory and the state of the
 * first vCPU. Everything here is pure: bytes come from a struct mv_source, and go to a
 * struct mv_ram.
 *
 * The order of calls, with the decision in the middle that needs the kernel's bytes:
 *
 *     mv_kernel_identify    is it a kernel, and which kind? reads headers only
 *     mv_kernel_load        its segments into guest memory
 *     mv_kernel_has_acpi    for acpi=auto: ACPI tables, or an MP table and parameters?
 *     and _has_serial_pnp   where does it learn its interrupts?
 *     and _has_virtio_pci   for transport=auto
 *     mv_cmdline_compose    with virtio_mmio.device= when there is no ACPI
 *     mv_boot_prepare       initrd, command line, memory map, page tables
 *     mv_boot_cpu           registers of the first vCPU; the others wait for its SIPI
 *
 * Two formats: bzImage (what distributions ship as vmlinuz) and ELF (vmlinux). Two
 * protocols: Linux's 64-bit entry (Documentation/arch/x86/boot.rst, "64-bit Boot
 * Protocol") and PVH (Xen's docs/misc/pvh.pandoc). A bzImage knows only the first. An
 * ELF kernel of Linux takes the first too, when it may choose: its PVH entry would run
 * its C code in 32-bit mode before it arrives at the same place.
 *
 * Guest memory must be fresh, that is zero: BSS is not written, so that its pages stay
 * untouched. Deliberately absent: the 16-bit and 32-bit entries of bzImage, kernels
 * that need a boot loader's help to unpack (all of those are refused by name).
 */
#ifndef MV_ARCH_X86_BOOT_H
#define MV_ARCH_X86_BOOT_H

#include "arch/x86/regs.h"
#include "core/config.h"
#include "core/ram.h"
#include "core/source.h"

enum {
    MV_KERNEL_SEGMENTS_MAX = 16, /* Linux has 4 or 5 */
    MV_KERNEL_HEADER_MAX = 0x9f, /* setup_header in boot_params: 0x1f1 to 0x290 */
    MV_CMDLINE_MAX = 2047,       /* COMMAND_LINE_SIZE of x86 less the final NUL */
    MV_CMDLINE_DEVICES_MAX = 32
};

enum mv_kernel_format { MV_KERNEL_BZIMAGE, MV_KERNEL_ELF };

struct mv_kernel_segment {
    uint64_t offset, file_bytes; /* in the file */
    uint64_t gpa, memory_bytes;  /* memory_bytes >= file_bytes: the rest is BSS */
};

/* What mv_kernel_identify found. Numbers are checked against each other and against the
 * size of the file, not yet against guest memory. */
struct mv_kernel {
    const struct mv_source *source; /* borrowed */
    enum mv_kernel_format format;
    struct mv_kernel_segment segment[MV_KERNEL_SEGMENTS_MAX];
    unsigned segments;
    /* What the kernel writes before it reads the memory map: its segments with BSS, or
     * where a bzImage unpacks itself (boot.rst, pref_address and init_size). */
    uint64_t run_gpa, run_bytes;
    uint64_t entry64_gpa;                 /* 64-bit entry */
    uint32_t entry_pvh;                   /* PVH entry; 0: none */
    bool linux_notes;                     /* ELF: carries notes of owner "Linux" */
    uint64_t initrd_max;                  /* highest address an initrd may have */
    uint32_t cmdline_max;                 /* bytes, without the final NUL */
    uint8_t header[MV_KERNEL_HEADER_MAX]; /* setup_header; zero for ELF */
};

/* Reads and checks the headers. A file that is no kernel is refused (KERNEL) with a
 * sentence that says what it is instead. *out borrows the source. */
int mv_kernel_identify(const struct mv_source *source, struct mv_kernel *out,
                       microvm_error *err);

/* Reads the segments straight into guest memory, one read each. */
int mv_kernel_load(const struct mv_kernel *kernel, const struct mv_ram *ram,
                   microvm_error *err);

/*
 * Questions for acpi=auto and transport=auto. A bzImage is a distribution's kernel, the
 * answers are yes. An ELF kernel's data is searched, 4 MiB at most.
 *
 * has_acpi: it was built with CONFIG_ACPI; looked for is the name of a parameter that
 * only such kernels have.
 *
 * has_serial_pnp: it learns COM1's interrupt from ACPI. Where the I/O APIC is ACPI's, a
 * hardware-reduced machine has no ISA interrupts, and a kernel without
 * CONFIG_SERIAL_8250_PNP prints on ttyS0 but cannot open it; such a one needs
 * mv_acpi_config.isa_interrupts. Yes when in doubt: leaving that driver out takes
 * CONFIG_EXPERT.
 *
 * has_virtio_pci: the driver is built in; looked for is its table of PCI ids. No for a
 * kernel that would load it as a module.
 */
bool mv_kernel_has_acpi(const struct mv_kernel *kernel, const struct mv_ram *ram);
bool mv_kernel_has_serial_pnp(const struct mv_kernel *kernel, const struct mv_ram *ram);
bool mv_kernel_has_virtio_pci(const struct mv_kernel *kernel, const struct mv_ram *ram);

struct mv_boot_request {
    const struct mv_ram *ram;
    const struct mv_kernel *kernel; /* loaded */
    const struct mv_source *initrd; /* NULL: none */
    const char *cmdline;            /* as the kernel shall see it */
    enum mv_boot_mode mode;
    uint64_t rsdp_gpa; /* 0: no ACPI tables */
    bool pci;          /* the memory map keeps ECAM's place free */
};

struct mv_boot_entry {
    bool pvh;            /* 32-bit protected mode, else 64-bit */
    uint64_t entry_gpa;  /* first instruction */
    uint64_t params_gpa; /* boot_params, or hvm_start_info */
    uint64_t initrd_gpa, initrd_bytes;
};

/* Everything else that must stand in memory when the kernel starts. */
int mv_boot_prepare(const struct mv_boot_request *request, struct mv_boot_entry *out,
                    microvm_error *err);

/* The first vCPU as the entry wants it: MV_CPU_GENERAL, MV_CPU_SYSTEM and runnable. */
void mv_boot_cpu(const struct mv_boot_entry *entry, struct mv_x86_cpu *cpu);

struct mv_cmdline_device {
    uint64_t gpa;
    unsigned gsi;
};

/* Whose addresses are known, and who has to ask for them. */
enum mv_root_net { MV_ROOT_NET_NONE, MV_ROOT_NET_USER, MV_ROOT_NET_DHCP };

struct mv_cmdline_request {
    const char *user; /* NULL: none */
    bool only;        /* the user's text as it is, nothing of ours */
    enum mv_console_kind console;
    enum mv_root root;
    bool root_read_only;
    enum mv_root_net net; /* of an image: the first interface's */
    const char *hostname; /* of the guest; NULL: not said */
    bool pci;             /* there is a PCI bus to be looked for */
    bool acpi_off;        /* the kernel has ACPI but shall not look for tables */
    /* virtio-mmio devices that the kernel must be told of: those without ACPI. */
    struct mv_cmdline_device device[MV_CMDLINE_DEVICES_MAX];
    unsigned devices;
};

/* Whether a word of the kernel's (before "--") is NAME=...,OPTION,... */
bool mv_cmdline_has_option(const char *text, const char *name, const char *option);

/* Ours, then the user's, so that the user's word is the last. `size` bytes at out; a
 * text that does not fit is refused. What the kernel itself takes is checked by
 * mv_boot_prepare. */
int mv_cmdline_compose(const struct mv_cmdline_request *request, char *out, size_t size,
                       microvm_error *err);

#endif
