/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernel files made in memory.
 */
#include "image.h"

#include "util/bytes.h"

static int image_read(void *ctx, uint64_t offset, void *to, uint64_t length,
                      microvm_error *err)
{
    struct image *image = ctx;
    image->reads++;
    if (!mv_inside(offset, length, 0, image->source.size_bytes))
        return mv_fail(err, MICROVM_E_IO, "image: read past its end");
    memcpy(to, image->data + offset, length);
    return 0;
}

void image_zero(struct image *image, size_t length)
{
    memset(image, 0, sizeof *image);
    image->source = (struct mv_source){
        .name = "image", .size_bytes = length, .read = image_read, .ctx = image};
}

static void image_program(uint8_t *p, uint32_t type, uint64_t offset, uint64_t gpa,
                          uint64_t file_bytes, uint64_t memory_bytes)
{
    mv_store32(p, type);
    mv_store64(p + 8, offset);
    mv_store64(p + 24, gpa);
    mv_store64(p + 32, file_bytes);
    mv_store64(p + 40, memory_bytes);
}

static uint8_t *image_note(uint8_t *at, uint32_t type, const char *name,
                           const void *desc, uint32_t desc_bytes)
{
    uint32_t name_bytes = (uint32_t)strlen(name) + 1;
    mv_store32(at, name_bytes);
    mv_store32(at + 4, desc_bytes);
    mv_store32(at + 8, type);
    memcpy(at + 12, name, name_bytes);
    at += 12 + mv_align_up(name_bytes, 4);
    memcpy(at, desc, desc_bytes);
    return at + mv_align_up(desc_bytes, 4);
}

void image_elf(struct image *image)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    const uint64_t pvh = IMAGE_ELF_PVH;
    uint8_t *d = image->data;
    image_zero(image, IMAGE_ELF_BYTES);
    memcpy(d, ident, sizeof ident);
    mv_store16(d + 16, 2);  /* ET_EXEC */
    mv_store16(d + 18, 62); /* x86_64 */
    mv_store64(d + 24, IMAGE_ELF_ENTRY);
    mv_store64(d + 32, IMAGE_ELF_PROGRAMS);
    mv_store16(d + 54, 56);
    mv_store16(d + 56, 3);
    uint8_t *p = d + IMAGE_ELF_PROGRAMS;
    image_program(p, 1, 0x1000, IMAGE_ELF_TEXT, IMAGE_ELF_TEXT_BYTES,
                  IMAGE_ELF_TEXT_BYTES);
    image_program(p + 56, 1, 0x4000, IMAGE_ELF_DATA, IMAGE_ELF_DATA_BYTES,
                  IMAGE_ELF_DATA_MEMORY);
    uint8_t *end =
        image_note(d + IMAGE_ELF_NOTES, 0x101, "Linux", "\0\0\0\0", sizeof(uint32_t));
    end = image_note(end, 18, "Xen", &pvh, sizeof pvh);
    uint64_t notes = (uint64_t)(end - d) - IMAGE_ELF_NOTES;
    image_program(p + 112, 4, IMAGE_ELF_NOTES, 0, notes, notes);
    for (unsigned i = 0; i < IMAGE_ELF_TEXT_BYTES + IMAGE_ELF_DATA_BYTES; i++)
        d[0x1000 + i] = (uint8_t)(i * 7 + 1);
}

void image_bzimage(struct image *image)
{
    uint8_t *d = image->data;
    image_zero(image, IMAGE_BZ_BYTES);
    d[0x1f1] = 4; /* setup_sects */
    mv_store32(d + 0x1f4, IMAGE_BZ_CODE_BYTES / 16 - 1);
    mv_store16(d + 0x1fe, 0xaa55);
    d[0x200] = 0xeb; /* jmp to 0x26c */
    d[0x201] = 0x6a;
    memcpy(d + 0x202, "HdrS", 4);
    mv_store16(d + 0x206, 0x20f);
    d[0x211] = 1;                      /* LOADED_HIGH */
    mv_store32(d + 0x22c, 0x7fffffff); /* initrd_addr_max */
    mv_store32(d + 0x230, 0x200000);   /* kernel_alignment */
    d[0x234] = 1;                      /* relocatable_kernel */
    mv_store16(d + 0x236, 0x3);        /* KERNEL_64, CAN_BE_LOADED_ABOVE_4G */
    mv_store32(d + 0x238, 2047);       /* cmdline_size */
    mv_store64(d + 0x258, IMAGE_BZ_PREF_ADDRESS);
    mv_store32(d + 0x260, IMAGE_BZ_INIT_SIZE);
    for (unsigned i = 0; i < IMAGE_BZ_CODE_BYTES; i++)
        d[IMAGE_BZ_SETUP + i] = (uint8_t)(i * 5 + 3);
}
