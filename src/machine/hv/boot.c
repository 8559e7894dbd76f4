/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the guest starts with: kernel, initrd, command line, and the tables that tell it
 * which processors and devices there are. ACPI tables, or where the kernel has no ACPI
 * an MP table; a PCI root, or where the kernel has no virtio over PCI virtio-mmio
 * devices, listed in ACPI or by virtio_mmio.device= parameters.
 */
#include "machine/hv/hv_machine.h"

#include "arch/x86/acpi.h"
#include "arch/x86/mptable.h"
#include "util/bytes.h"

enum {
    RESET_UNTOUCHED = 0xffff, /* what the warm reset word holds at the start */
    RESET_WARM = 0x1234       /* what Linux stores before a warm reset */
};

static int boot_open_file(struct mv_file *file, struct mv_source *source,
                          const char *what, const char *path, microvm_error *err)
{
    int rc = mv_file_open(file, what, path, 0, err);
    if (!rc)
        mv_file_source(file, path, source);
    return rc;
}

int hv_boot_open(struct hv_machine *m, microvm_error *err)
{
    const struct mv_config *config = &m->base.config;
    m->kernel_file = m->initrd_file = (struct mv_file)MV_FILE_CLOSED;
    int rc = boot_open_file(&m->kernel_file, &m->kernel_source, "kernel",
                            config->kernel, err);
    if (!rc)
        rc = mv_kernel_identify(&m->kernel_source, &m->kernel, err);
    if (!rc && config->initrd)
        rc = boot_open_file(&m->initrd_file, &m->initrd_source, "initrd",
                            config->initrd, err);
    if (rc)
        hv_boot_close(m);
    return rc;
}

void hv_boot_close(struct hv_machine *m)
{
    mv_file_close(&m->kernel_file);
    mv_file_close(&m->initrd_file);
}

/* What lies below the 64-bit window, less the hole. */
static const uint64_t boot_pci_memory_max =
    MV_X86_PCI64 - (MV_X86_HOLE_END - MV_X86_HOLE);

static bool boot_room_for_pci(const struct hv_machine *m)
{
    return m->ram.size_bytes <= boot_pci_memory_max;
}

static bool boot_wants_acpi(const struct hv_machine *m)
{
    switch ((enum mv_acpi_mode)m->base.config.acpi) {
    case MV_ACPI_ON:
        if (!mv_kernel_has_acpi(&m->kernel, &m->ram))
            mv_log(
                &m->base.log, MICROVM_LOG_WARNING,
                "acpi=on: the kernel '%s' seems to have no ACPI and will not find its "
                "devices",
                m->base.config.kernel);
        return true;
    case MV_ACPI_OFF:
        return false;
    case MV_ACPI_AUTO:
        break;
    }
    return mv_kernel_has_acpi(&m->kernel, &m->ram);
}

/* transport=auto, and why: docs/adr/0005. A command line that forbids PCI was written
 * for a machine without it. */
static bool boot_wants_pci(const struct hv_machine *m)
{
    const struct mv_config *config = &m->base.config;
    const char *cmdline = config->cmdline ? config->cmdline : "";
    switch ((enum mv_transport)config->transport) {
    case MV_TRANSPORT_MMIO:
        return false;
    case MV_TRANSPORT_PCI:
        if (!mv_kernel_has_virtio_pci(&m->kernel, &m->ram))
            mv_log(&m->base.log, MICROVM_LOG_WARNING,
                   "transport=pci: the kernel '%s' seems to have no driver for virtio "
                   "over PCI and will not find its devices",
                   config->kernel);
        if (mv_cmdline_has_option(cmdline, "pci", "off"))
            mv_log(
                &m->base.log, MICROVM_LOG_WARNING,
                "transport=pci: the command line says pci=off, so the kernel will not "
                "find its devices; leave one of the two out");
        return true;
    case MV_TRANSPORT_AUTO:
        break;
    }
    return m->slots > 0 && m->acpi && boot_room_for_pci(m) &&
           !mv_cmdline_has_option(cmdline, "pci", "off") &&
           mv_kernel_has_virtio_pci(&m->kernel, &m->ram);
}

static int boot_attach(struct hv_machine *m, microvm_error *err)
{
    bool pci = boot_wants_pci(m);
    if (pci && !boot_room_for_pci(m))
        return mv_fail(err, MICROVM_E_INVALID,
                       "transport: a machine with PCI has at most %llu GiB of memory, "
                       "this one %llu; choose transport=mmio",
                       (unsigned long long)(boot_pci_memory_max >> 30),
                       (unsigned long long)(m->ram.size_bytes >> 30));
    return hv_slots_attach(m, pci, err);
}

static int boot_tables(struct hv_machine *m, uint64_t *rsdp_gpa, microvm_error *err)
{
    struct mv_acpi_config config = {
        .cpus = m->base.config.cpus,
        .serial = m->base.config.console == MV_CONSOLE_SERIAL,
        .pci = m->pci,
    };
    config.isa_interrupts =
        config.serial && m->acpi && !mv_kernel_has_serial_pnp(&m->kernel, &m->ram);
    for (unsigned i = 0; i < m->slots && !m->pci; i++)
        config.device[config.devices++] = (struct mv_acpi_device){
            .gpa = m->slot[i].mmio.base, .gsi = m->slot[i].mmio.gsi};
    *rsdp_gpa = 0;
    /* Both, as the user can still say acpi=off on the kernel's command line. */
    bool written = mv_mptable_write(&m->ram, config.cpus, m->pci) &&
                   (!m->acpi || mv_acpi_write(&m->ram, &config, rsdp_gpa));
    return written ? 0
                   : mv_fail(err, MICROVM_E_MEMORY, "memory: too small for a kernel");
}

static int boot_cmdline(const struct hv_machine *m, char *text, size_t size,
                        microvm_error *err)
{
    const struct mv_config *config = &m->base.config;
    struct mv_cmdline_request request = {
        .user = config->cmdline,
        .only = config->cmdline_only,
        .hostname = config->hostname,
        .console = (enum mv_console_kind)config->console,
        .root = (enum mv_root)config->root,
        .root_read_only = config->root && config->disk[0].read_only,
        .net = config->nets == 0                    ? MV_ROOT_NET_NONE
               : config->net[0].kind == MV_NET_USER ? MV_ROOT_NET_USER
                                                    : MV_ROOT_NET_DHCP,
        .pci = m->pci,
        .acpi_off = !m->acpi && mv_kernel_has_acpi(&m->kernel, &m->ram),
    };
    for (unsigned i = 0; i < m->slots && !m->acpi && !m->pci; i++)
        request.device[request.devices++] = (struct mv_cmdline_device){
            .gpa = m->slot[i].mmio.base, .gsi = m->slot[i].mmio.gsi};
    return mv_cmdline_compose(&request, text, size, err);
}

int hv_boot_load(struct hv_machine *m, struct mv_boot_entry *entry, microvm_error *err)
{
    char cmdline[MV_CMDLINE_MAX + 1];
    uint64_t rsdp_gpa;
    uint16_t untouched = RESET_UNTOUCHED;
    int rc = mv_kernel_load(&m->kernel, &m->ram, err);
    if (rc)
        return rc;
    m->acpi = boot_wants_acpi(m);
    if ((rc = boot_attach(m, err)) || (rc = boot_tables(m, &rsdp_gpa, err)) ||
        (rc = boot_cmdline(m, cmdline, sizeof cmdline, err)))
        return rc;
    struct mv_boot_request request = {
        .ram = &m->ram,
        .kernel = &m->kernel,
        .initrd = m->base.config.initrd ? &m->initrd_source : NULL,
        .cmdline = cmdline,
        .mode = (enum mv_boot_mode)m->base.config.boot,
        .rsdp_gpa = rsdp_gpa,
        .pci = m->pci,
    };
    (void)mv_ram_write(&m->ram, MV_X86_RESET_FLAG, &untouched, sizeof untouched);
    mv_log(&m->base.log, MICROVM_LOG_INFO, "kernel '%s', %s, %s, command line: %s",
           m->base.config.kernel, m->acpi ? "ACPI" : "MP table",
           m->pci ? "PCI" : "no PCI", cmdline);
    rc = mv_boot_prepare(&request, entry, err);
    hv_boot_close(m); /* nothing of the files is needed any more */
    return rc;
}

int hv_boot_vcpu(struct hv_machine *m, const struct mv_boot_entry *entry,
                 microvm_error *err)
{
    const unsigned mask = MV_CPU_GENERAL | MV_CPU_SYSTEM;
    struct mv_hv_vcpu *vcpu = m->cpu[0].vcpu;
    struct mv_x86_cpu cpu;
    int rc = m->hv->vcpu_get(vcpu, mask, &cpu, err);
    if (rc)
        return rc;
    mv_boot_cpu(entry, &cpu);
    return m->hv->vcpu_set(vcpu, mask, &cpu, err);
}

/* The warm reset word: docs/adr/0002. */
int hv_boot_reset_reason(struct hv_machine *m, bool triple_fault)
{
    uint16_t word = 0;
    (void)mv_ram_read(&m->ram, MV_X86_RESET_FLAG, &word, sizeof word);
    if (word == RESET_WARM && !m->base.config.cmdline_only)
        return MICROVM_EXIT_PANIC;
    return word == RESET_UNTOUCHED && triple_fault ? MICROVM_EXIT_CRASH
                                                   : MICROVM_EXIT_RESET;
}
