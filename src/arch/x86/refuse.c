/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a file that is no kernel is instead. People give the compressed kernel, the disk
 * image, the initramfs or the wrong architecture's kernel; each has a magic number, and
 * a sentence that says what to do helps more than "invalid kernel".
 */
#include "arch/x86/kernel.h"

#include "util/bytes.h"

#define REFUSE_WANTED "a kernel is a bzImage (vmlinuz) or an ELF vmlinux"
#define REFUSE_DISK   "give it as a disk (--disk), and a kernel as the kernel"
#define REFUSE_INITRD "give it as the initrd (--initrd), and a kernel as the kernel"
#define REFUSE_UNPACK "unpack it first, and give what was inside: "

struct refuse_magic {
    uint32_t offset;
    uint8_t length;
    char magic[9];
    const char *what, *advice;
};

/* Most telling first: a disk image with a boot sector may be an ISO as well. */
static const struct refuse_magic refuse_magics[] = {
    {0, 2, "\x1f\x8b", "is compressed with gzip",
     REFUSE_UNPACK "gunzip (an arm64 Image.gz is for another processor)"},
    {0, 6,
     "\xfd"
     "7zXZ",
     "is compressed with xz", REFUSE_UNPACK "xz -d"},
    {0, 4, "\x28\xb5\x2f\xfd", "is compressed with zstd", REFUSE_UNPACK "zstd -d"},
    {0, 4, "\x04\x22\x4d\x18", "is compressed with lz4", REFUSE_UNPACK "lz4 -d"},
    {0, 4, "\x02\x21\x4c\x18", "is compressed with lz4 (legacy frames)",
     REFUSE_UNPACK "lz4 -d"},
    {0, 3, "BZh", "is compressed with bzip2", REFUSE_UNPACK "bunzip2"},
    {0, 4, "\x89LZO", "is compressed with lzop", REFUSE_UNPACK "lzop -d"},
    {0, 5, "\x5d\0\0\x80\0", "is compressed with lzma", REFUSE_UNPACK "xz -d"},
    {0x38, 4, "ARMd", "is a Linux Image for arm64",
     "this machine is x86_64 and needs a kernel built for it"},
    {0x38, 4, "RSC\x05", "is a Linux Image for riscv",
     "this machine is x86_64 and needs a kernel built for it"},
    {0, 4, "\x27\x05\x19\x56", "is a U-Boot image (uImage)",
     "give the bzImage or vmlinux it was made from"},
    {0, 4, "\xd0\x0d\xfe\xed", "is a flattened device tree or FIT image",
     "give a bzImage or vmlinux"},
    {0, 4, "\xcf\xfa\xed\xfe", "is a Mach-O program of macOS", REFUSE_WANTED},
    {0, 4, "QFI\xfb", "is a qcow2 disk image",
     "convert it (qemu-img convert -O raw), give it as a disk, and a kernel as the "
     "kernel"},
    {0, 4, "KDMV", "is a VMDK disk image", REFUSE_DISK " after converting it to raw"},
    {0, 8, "vhdxfile", "is a VHDX disk image",
     REFUSE_DISK " after converting it to raw"},
    {0, 8, "conectix", "is a VHD disk image",
     REFUSE_DISK " after converting it to raw"},
    {0x8001, 5, "CD001", "is an ISO 9660 image",
     REFUSE_DISK "; installers keep theirs in the ISO's boot folder"},
    {0x438, 2, "\x53\xef", "is an ext2, ext3 or ext4 file system", REFUSE_DISK},
    {0, 4, "hsqs", "is a squashfs file system", REFUSE_DISK},
    {0x400, 4, "\xe2\xe1\xf5\xe0", "is an erofs file system", REFUSE_DISK},
    {0, 4, "XFSB", "is an XFS file system", REFUSE_DISK},
    {0x10040, 8, "_BHRfS_M", "is a btrfs file system", REFUSE_DISK},
    {0x200, 8, "EFI PART", "is a disk image with a GPT", REFUSE_DISK},
    {0, 5, "07070", "is a cpio archive (an initramfs)", REFUSE_INITRD},
    {0x101, 5, "ustar", "is a tar archive", REFUSE_WANTED},
    {0, 4, "PK\x03\x04", "is a zip archive", REFUSE_WANTED},
    {0, 8, "!<arch>\n", "is an ar archive (a .deb package or .a library)",
     "unpack the package (dpkg -x) and give its boot/vmlinuz"},
    {0, 4, "\xed\xab\xee\xdb", "is an RPM package",
     "unpack the package (rpm2cpio) and give its vmlinuz"},
    {0, 2, "#!", "is a script", REFUSE_WANTED},
    {0, 2, "MZ", "is a program for EFI or Windows (PE) without Linux's boot header",
     "a unified kernel image must be taken apart; " REFUSE_WANTED},
    {0x1fe, 2, "\x55\xaa", "is a disk image or boot sector with a partition table",
     REFUSE_DISK},
};

/* False where the file is too short; a failing read is no match either: the bytes that
 * were read decide then. */
static bool refuse_matches(const struct mv_kernel_head *head,
                           const struct refuse_magic *m)
{
    const struct mv_source *source = head->source;
    uint8_t bytes[sizeof m->magic];
    if (!mv_inside(m->offset, m->length, 0, source->size_bytes))
        return false;
    if (mv_inside(m->offset, m->length, 0, head->length))
        return memcmp(head->bytes + m->offset, m->magic, m->length) == 0;
    return source->read(source->ctx, m->offset, bytes, m->length, NULL) == 0 &&
           memcmp(bytes, m->magic, m->length) == 0;
}

static bool refuse_is_text(const struct mv_kernel_head *head)
{
    for (uint64_t i = 0; i < head->length; i++) {
        uint8_t c = head->bytes[i];
        if (c == 0x7f || (c < ' ' && (c < '\b' || c > '\r') && c != '\x1b'))
            return false;
    }
    return true;
}

static bool refuse_is_zero(const struct mv_kernel_head *head)
{
    for (uint64_t i = 0; i < head->length; i++)
        if (head->bytes[i])
            return false;
    return true;
}

int mv_kernel_refuse(const struct mv_kernel_head *head, microvm_error *err)
{
    const uint8_t *b = head->bytes;
    for (unsigned i = 0; i < MV_ARRAY_LEN(refuse_magics); i++) {
        const struct refuse_magic *m = &refuse_magics[i];
        if (refuse_matches(head, m))
            return mv_kernel_fail(head->source, err, "%s: %s", m->what, m->advice);
    }
    if (refuse_is_text(head))
        return mv_kernel_fail(head->source, err, "is a text file: %s", REFUSE_WANTED);
    if (refuse_is_zero(head))
        return mv_kernel_fail(head->source, err,
                              "begins with %llu zero bytes, like an empty disk image: "
                              "%s",
                              (unsigned long long)head->length, REFUSE_WANTED);
    return mv_kernel_fail(head->source, err,
                          "is no kernel (it begins with bytes %02x %02x %02x %02x): %s",
                          b[0], b[1], b[2], b[3], REFUSE_WANTED);
}
