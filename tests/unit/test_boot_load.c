/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernels into guest memory of 64 MiB, 3.5 GiB and 6 GiB: what lies where, what the
 * parameter blocks say about it, and what does not fit.
 */
#include "check.h"
#include "image.h"

#include "arch/x86/boot.h"
#include "arch/x86/layout.h"
#include "os/mem.h"
#include "util/bytes.h"

static struct image image, initrd;
static struct mv_ram ram;
static struct mv_kernel kernel;

enum { INITRD_BYTES = 0x1801 };

static bool open_ram(uint64_t size)
{
    microvm_error err;
    int rc = mv_ram_open(&ram, size, MV_X86_HOLE, MV_X86_HOLE_END, 0, &err);
    if (rc)
        print_message("SKIP: this host gives no mapping of %u MiB: %s\n",
                      (unsigned)(size >> 20), err.message);
    return rc == 0;
}

static void make_initrd(size_t bytes)
{
    image_zero(&initrd, bytes);
    initrd.source.name = "initramfs";
    memset(initrd.data, 0x5c, INITRD_BYTES);
}

static int load(microvm_error *err)
{
    int rc = mv_kernel_identify(&image.source, &kernel, err);
    return rc ? rc : mv_kernel_load(&kernel, &ram, err);
}

static struct mv_boot_request request(void)
{
    return (struct mv_boot_request){.ram = &ram,
                                    .kernel = &kernel,
                                    .initrd = &initrd.source,
                                    .cmdline = "console=ttyS0 quiet",
                                    .rsdp_gpa = MV_X86_ACPI};
}

static uint64_t at64(uint64_t gpa)
{
    uint64_t v;
    assert_true(mv_ram_read(&ram, gpa, &v, sizeof v));
    return v;
}

static uint32_t at32(uint64_t gpa)
{
    return (uint32_t)(at64(gpa) & 0xffffffff);
}

/* ---- where things go ------------------------------------------------------------- */

static void reads_elf_segments_to_their_places(void **state)
{
    microvm_error err;
    uint8_t pattern[64];
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    memset(pattern, 0xa5, sizeof pattern); /* stands for: nobody wrote here */
    uint64_t bss = IMAGE_ELF_DATA + IMAGE_ELF_DATA_BYTES;
    assert_true(mv_ram_write(&ram, bss, pattern, sizeof pattern));
    image_elf(&image);
    assert_ok(load(&err), &err);
    assert_memory_equal(mv_ram_at(&ram, IMAGE_ELF_TEXT, IMAGE_ELF_TEXT_BYTES),
                        image.data + 0x1000, IMAGE_ELF_TEXT_BYTES);
    assert_memory_equal(mv_ram_at(&ram, IMAGE_ELF_DATA, IMAGE_ELF_DATA_BYTES),
                        image.data + 0x4000, IMAGE_ELF_DATA_BYTES);
    assert_memory_equal(mv_ram_at(&ram, bss, sizeof pattern), pattern, sizeof pattern);
    assert_int_equal(image.reads, 5); /* head, programs, notes, two segments */
    mv_ram_close(&ram);
}

static void reads_a_bzimage_to_1_mib(void **state)
{
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    image_bzimage(&image);
    assert_ok(load(&err), &err);
    assert_memory_equal(mv_ram_at(&ram, 0x100000, IMAGE_BZ_CODE_BYTES),
                        image.data + IMAGE_BZ_SETUP, IMAGE_BZ_CODE_BYTES);
    assert_int_equal(image.reads, 2);
    mv_ram_close(&ram);
}

/* The e820 table of boot_params at this memory size, and where the initrd went. */
static void placed(uint64_t size, uint64_t low_end, uint64_t high_bytes,
                   uint64_t initrd_top)
{
    struct mv_boot_entry entry;
    microvm_error err;
    const uint64_t map[][3] = {
        {0, 0x1000, 2},
        {0x1000, 0x9fc00 - 0x1000, 1},
        {0x9fc00, 0x100000 - 0x9fc00, 2},
        {0x100000, low_end - 0x100000, 1},
        {MV_X86_ECAM, MV_X86_ECAM_SIZE, 2}, /* the large ones here have PCI */
        {MV_GIB(4), high_bytes, 1},
    };
    if (!open_ram(size))
        skip();
    assert_ok(load(&err), &err);
    make_initrd(INITRD_BYTES);
    struct mv_boot_request r = request();
    r.pci = high_bytes > 0;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_int_equal(entry.initrd_gpa, (initrd_top - INITRD_BYTES) & ~0xfffull);
    assert_int_equal(entry.initrd_bytes, INITRD_BYTES);
    assert_memory_equal(mv_ram_at(&ram, entry.initrd_gpa, INITRD_BYTES), initrd.data,
                        INITRD_BYTES);
    uint8_t *bp = mv_ram_at(&ram, entry.params_gpa, 4096);
    assert_int_equal(bp[0x1e8], high_bytes ? 6 : 4);
    for (unsigned i = 0; i < bp[0x1e8]; i++) {
        const uint8_t *e = bp + 0x2d0 + i * 20;
        assert_int_equal(mv_load64(e), map[i][0]);
        assert_int_equal(mv_load64(e + 8), map[i][1]);
        assert_int_equal(mv_load32(e + 16), map[i][2]);
    }
    mv_ram_close(&ram);
}

static void places_around_the_hole(void **state)
{
    (void)state;
    image_elf(&image);
    placed(MV_MIB(64), MV_MIB(64), 0, MV_MIB(64));
    placed(MV_MIB(3584), MV_GIB(3), MV_MIB(512), MV_GIB(3));
    placed(MV_GIB(6), MV_GIB(3), MV_GIB(3), MV_GIB(3));
    image_bzimage(&image); /* initrd_addr_max is 2 GiB - 1 */
    placed(MV_MIB(64), MV_MIB(64), 0, MV_MIB(64));
    placed(MV_MIB(3584), MV_GIB(3), MV_MIB(512), MV_GIB(2));
    placed(MV_GIB(6), MV_GIB(3), MV_GIB(3), MV_GIB(2));
}

/* ---- parameter blocks ------------------------------------------------------------ */

static void fills_boot_params(void **state)
{
    struct mv_boot_entry entry;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    image_bzimage(&image);
    assert_ok(load(&err), &err);
    make_initrd(INITRD_BYTES);
    struct mv_boot_request r = request();
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_false(entry.pvh);
    assert_int_equal(entry.entry_gpa, 0x100200);
    const uint64_t bp = entry.params_gpa;
    assert_int_equal(at64(bp), 0); /* no screen */
    assert_int_equal(at64(bp + 0x70), MV_X86_ACPI);
    assert_int_equal(at32(bp + 0x1ec) >> 24, 0);    /* sentinel */
    assert_int_equal(at32(bp + 0x202), 0x53726448); /* HdrS */
    assert_int_equal(at32(bp + 0x210) & 0xff, 0xff);
    assert_int_equal(at32(bp + 0x214), 0x100000);
    assert_int_equal(at32(bp + 0x218), entry.initrd_gpa);
    assert_int_equal(at32(bp + 0x21c), INITRD_BYTES);
    assert_int_equal(at32(bp + 0x260), IMAGE_BZ_INIT_SIZE); /* the file's header */
    assert_string_equal(mv_ram_at(&ram, at32(bp + 0x228), 64), "console=ttyS0 quiet");
    mv_ram_close(&ram);
}

static void fills_boot_params_for_elf(void **state)
{
    struct mv_boot_entry entry;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    image_elf(&image);
    assert_ok(load(&err), &err);
    struct mv_boot_request r = request();
    r.initrd = NULL;
    r.rsdp_gpa = 0;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_int_equal(entry.entry_gpa, IMAGE_ELF_ENTRY);
    assert_int_equal(entry.initrd_bytes, 0);
    const uint64_t bp = entry.params_gpa;
    assert_int_equal(at64(bp + 0x70), 0);
    assert_int_equal(at32(bp + 0x202), 0x53726448);
    assert_int_equal(at32(bp + 0x218), 0);
    assert_int_equal(at32(bp + 0x21c), 0);
    mv_ram_close(&ram);
}

static void fills_start_info(void **state)
{
    struct mv_boot_entry entry;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    image_elf(&image);
    assert_ok(load(&err), &err);
    make_initrd(INITRD_BYTES);
    struct mv_boot_request r = request();
    r.mode = MV_BOOT_PVH;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_true(entry.pvh);
    assert_int_equal(entry.entry_gpa, IMAGE_ELF_PVH);
    const uint64_t si = entry.params_gpa;
    assert_int_equal(at32(si), 0x336ec578);
    assert_int_equal(at32(si + 4), 1);
    assert_int_equal(at32(si + 12), 1);
    uint64_t module = at64(si + 16), map = at64(si + 40);
    assert_int_equal(at64(module), entry.initrd_gpa);
    assert_int_equal(at64(module + 8), INITRD_BYTES);
    assert_string_equal(mv_ram_at(&ram, at64(si + 24), 64), "console=ttyS0 quiet");
    assert_int_equal(at64(si + 32), MV_X86_ACPI);
    assert_int_equal(at32(si + 48), 4);
    assert_int_equal(at64(map + 3 * 24), 0x100000);
    assert_int_equal(at64(map + 3 * 24 + 8), MV_MIB(63));
    assert_int_equal(at64(map + 3 * 24 + 16), 1);
    r.initrd = NULL;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_int_equal(at32(si + 12), 0);
    mv_ram_close(&ram);
}

static void chooses_the_protocol(void **state)
{
    struct mv_boot_entry entry;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    struct mv_boot_request r = request();
    r.initrd = NULL;
    image_elf(&image);
    memcpy(image.data + IMAGE_ELF_NOTES + 12, "Other", 6); /* no Linux notes: PVH */
    assert_ok(load(&err), &err);
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_true(entry.pvh);
    r.mode = MV_BOOT_LINUX;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_false(entry.pvh);
    mv_store64(image.data + 24, 0xffffffff81000123); /* virtual: only PVH is left */
    assert_ok(load(&err), &err);
    assert_error(mv_boot_prepare(&r, &entry, &err), &err, MICROVM_E_KERNEL,
                 "64-bit entry 0xffffffff81000123 lies outside memory; try boot=pvh");
    image_elf(&image);
    memcpy(image.data + IMAGE_ELF_NOTES + 24 + 12, "Xin", 4); /* no PVH note */
    assert_ok(load(&err), &err);
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_false(entry.pvh);
    r.mode = MV_BOOT_PVH;
    assert_error(mv_boot_prepare(&r, &entry, &err), &err, MICROVM_E_KERNEL,
                 "no PVH entry (an ELF kernel needs CONFIG_PVH");
    image_bzimage(&image);
    assert_ok(load(&err), &err);
    assert_error(mv_boot_prepare(&r, &entry, &err), &err, MICROVM_E_KERNEL,
                 "no PVH entry (only an ELF vmlinux");
    mv_ram_close(&ram);
}

/* ---- the first vCPU -------------------------------------------------------------- */

/* Where the page tables say that a linear address is. */
static uint64_t walk(uint64_t cr3, uint64_t address)
{
    uint64_t table = cr3;
    for (unsigned shift = 39; shift >= 21; shift -= 9) {
        uint64_t e = at64(table + (address >> shift & 0x1ff) * 8);
        assert_true(e & 1);
        if (shift == 21)
            assert_true(e & 0x80);
        table = e & 0xfffffffff000;
    }
    return table | (address & 0x1fffff);
}

static void sets_the_first_vcpu(void **state)
{
    static const uint64_t somewhere[] = {0,          0x1234,     0x1000123,
                                         0x3fffffff, 0x40000000, 0xd0000008,
                                         0xfee00020, 0xffffffff};
    struct mv_boot_entry entry;
    struct mv_x86_cpu cpu;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    image_elf(&image);
    assert_ok(load(&err), &err);
    struct mv_boot_request r = request();
    r.initrd = NULL;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    mv_boot_cpu(&entry, &cpu);
    assert_int_equal(cpu.rip, IMAGE_ELF_ENTRY);
    assert_int_equal(cpu.gpr[MV_RSI], entry.params_gpa);
    assert_int_equal(cpu.rflags, 2);
    assert_int_equal(cpu.efer, 0x500);
    assert_int_equal(cpu.cr0 & 0x80000001, 0x80000001);
    assert_int_equal(cpu.cs.selector, 0x10);
    assert_true(cpu.cs.l && !cpu.cs.db);
    assert_int_equal(cpu.ds.selector, 0x18);
    /* The GDT agrees with the segments: code with L, data with D. */
    assert_int_equal(at64(cpu.gdt.base + 0x10), 0xaf9b000000ffff);
    assert_int_equal(at64(cpu.gdt.base + 0x18), 0xcf93000000ffff);
    for (unsigned i = 0; i < MV_ARRAY_LEN(somewhere); i++)
        assert_int_equal(walk(cpu.cr3, somewhere[i]), somewhere[i]);

    r.mode = MV_BOOT_PVH;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    mv_boot_cpu(&entry, &cpu);
    assert_int_equal(cpu.rip, IMAGE_ELF_PVH);
    assert_int_equal(cpu.gpr[MV_RBX], entry.params_gpa);
    assert_int_equal(cpu.gpr[MV_RSI], 0);
    assert_int_equal(cpu.efer, 0);
    assert_int_equal(cpu.cr0 & 0x80000001, 1);
    assert_true(cpu.cs.db && !cpu.cs.l);
    assert_int_equal(at64(cpu.gdt.base + 0x10), 0xcf9b000000ffff);
    mv_ram_close(&ram);
}

/* ---- what does not fit ----------------------------------------------------------- */

static void unloadable(const char *words)
{
    microvm_error err;
    assert_error(load(&err), &err, MICROVM_E_KERNEL, words);
}

static void refuses_kernels_that_do_not_fit(void **state)
{
    const unsigned data = IMAGE_ELF_PROGRAMS + 56;
    (void)state;
    if (!open_ram(MV_MIB(24)))
        skip();
    image_elf(&image);
    mv_store64(image.data + data + 40, MV_MIB(8));
    unloadable(
        "into 24 MiB of memory: its image ends at 26 MiB; give the machine more");
    mv_store64(image.data + data + 40, MV_GIB(4));
    unloadable("past 3 GiB, where devices are");
    mv_store64(image.data + data + 40, UINT64_MAX - IMAGE_ELF_DATA);
    unloadable("past 3 GiB, where devices are");
    image_elf(&image);
    mv_store64(image.data + data + 24, 0x9f000);
    unloadable("lies at 0x9f000, below 1 MiB");
    image_bzimage(&image);
    mv_store32(image.data + 0x260, (uint32_t)MV_MIB(8) + 1);
    unloadable("the memory it runs in ends at 25 MiB; give the machine more memory");
    mv_store64(image.data + 0x258, UINT64_MAX - 5);
    unloadable("the memory it runs in (0x800001 bytes at 0xfffffffffffffffa) reaches");
    mv_store64(image.data + 0x258, 0x1000);
    image.data[0x234] = 0;
    unloadable("the memory it runs in lies at 0x1000, below 1 MiB");
    mv_ram_close(&ram);
}

static void unbootable(struct mv_boot_request r, int code, const char *words)
{
    struct mv_boot_entry entry = {.entry_gpa = 99};
    microvm_error err;
    assert_error(mv_boot_prepare(&r, &entry, &err), &err, code, words);
    assert_int_equal(entry.entry_gpa, 99);
}

static void refuses_initrds_that_do_not_fit(void **state)
{
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(24)))
        skip();
    image_bzimage(&image); /* runs up to exactly 24 MiB */
    assert_ok(load(&err), &err);
    make_initrd(INITRD_BYTES);
    unbootable(request(), MICROVM_E_KERNEL,
               "initrd 'initramfs' (1 MiB) does not fit between the kernel's end at 24 "
               "MiB and 24 MiB: give the machine more memory");
    mv_store32(image.data + 0x260, (uint32_t)MV_MIB(8) - 0x1000);
    assert_ok(load(&err), &err);
    unbootable(request(), MICROVM_E_KERNEL, "does not fit"); /* 1 page short */
    mv_store32(image.data + 0x260, (uint32_t)MV_MIB(8) - 0x2000);
    assert_ok(load(&err), &err);
    struct mv_boot_entry entry;
    struct mv_boot_request r = request();
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    assert_int_equal(entry.initrd_gpa, MV_MIB(24) - 0x2000);

    mv_store32(image.data + 0x22c, 0xffffff); /* below where the kernel runs */
    assert_ok(load(&err), &err);
    unbootable(request(), MICROVM_E_KERNEL, "the highest address this kernel takes");
    mv_store32(image.data + 0x22c, 0xffffffff);
    assert_ok(load(&err), &err);
    initrd.source.size_bytes = UINT64_MAX;
    unbootable(request(), MICROVM_E_KERNEL, "does not fit");
    initrd.source.size_bytes = 0;
    unbootable(request(), MICROVM_E_KERNEL, "initrd 'initramfs' is empty");
    mv_ram_close(&ram);
}

static void refuses_long_command_lines(void **state)
{
    static char text[0x10001];
    struct mv_boot_entry entry;
    microvm_error err;
    (void)state;
    if (!open_ram(MV_MIB(64)))
        skip();
    memset(text, 'x', sizeof text - 1);
    image_bzimage(&image);
    mv_store32(image.data + 0x238, 100);
    assert_ok(load(&err), &err);
    make_initrd(INITRD_BYTES);
    struct mv_boot_request r = request();
    text[100] = '\0';
    r.cmdline = text;
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    text[100] = 'x';
    text[101] = '\0';
    unbootable(r, MICROVM_E_KERNEL, "101 bytes are too many, this kernel takes 100");
    text[101] = 'x';
    mv_store32(image.data + 0x238,
               0xffffffff); /* the kernel takes all, our room ends */
    assert_ok(load(&err), &err);
    unbootable(r, MICROVM_E_KERNEL,
               "65536 bytes are too many, this kernel takes 65535");
    text[0xffff] = '\0';
    assert_ok(mv_boot_prepare(&r, &entry, &err), &err);
    mv_ram_close(&ram);
}

static void refuses_tiny_memory(void **state)
{
    microvm_error err;
    (void)state;
    image_elf(&image);
    if (!open_ram(MV_MIB(1)))
        skip();
    unloadable("does not fit into 1 MiB");
    assert_ok(mv_kernel_identify(&image.source, &kernel, &err), &err);
    make_initrd(INITRD_BYTES);
    unbootable(request(), MICROVM_E_MEMORY, "1024 KiB do not hold a kernel");
    mv_ram_close(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_elf_segments_to_their_places),
        cmocka_unit_test(reads_a_bzimage_to_1_mib),
        cmocka_unit_test(places_around_the_hole),
        cmocka_unit_test(fills_boot_params),
        cmocka_unit_test(fills_boot_params_for_elf),
        cmocka_unit_test(fills_start_info),
        cmocka_unit_test(chooses_the_protocol),
        cmocka_unit_test(sets_the_first_vcpu),
        cmocka_unit_test(refuses_kernels_that_do_not_fit),
        cmocka_unit_test(refuses_initrds_that_do_not_fit),
        cmocka_unit_test(refuses_long_command_lines),
        cmocka_unit_test(refuses_tiny_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
