/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Small kernel files made in memory: a valid ELF kernel and a valid bzImage, which
 * tests then damage at the field they are about.
 */
#ifndef TESTS_LIB_IMAGE_H
#define TESTS_LIB_IMAGE_H

#include "core/source.h"

#include <stddef.h>

enum {
    IMAGE_BYTES_MAX = 0x12000,

    /* The ELF kernel: two segments and notes. */
    IMAGE_ELF_PROGRAMS = 64, /* the first program header; each has 56 bytes */
    IMAGE_ELF_TEXT = 0x1000000,
    IMAGE_ELF_TEXT_BYTES = 0x3000, /* in the file from 0x1000 */
    IMAGE_ELF_DATA = 0x1200000,
    IMAGE_ELF_DATA_BYTES = 0x1000, /* in the file from 0x4000 */
    IMAGE_ELF_DATA_MEMORY = 0x5000,
    IMAGE_ELF_NOTES = 0x5000, /* in the file: "Linux", then "Xen" */
    IMAGE_ELF_ENTRY = IMAGE_ELF_TEXT + 0x123,
    IMAGE_ELF_PVH = IMAGE_ELF_TEXT + 0x200,
    IMAGE_ELF_BYTES = 0x6000,

    /* The bzImage: protocol 2.15, relocatable, as Debian's is. */
    IMAGE_BZ_SETUP = 5 * 512,
    IMAGE_BZ_CODE_BYTES = 0x4000,
    IMAGE_BZ_PREF_ADDRESS = 0x1000000,
    IMAGE_BZ_INIT_SIZE = 0x800000,
    IMAGE_BZ_BYTES = IMAGE_BZ_SETUP + IMAGE_BZ_CODE_BYTES
};

struct image {
    struct mv_source source;
    unsigned reads;
    uint8_t data[IMAGE_BYTES_MAX];
};

/* An image of `length` zeros; source.read fails past its end. */
void image_zero(struct image *image, size_t length);
void image_elf(struct image *image);
void image_bzimage(struct image *image);

#endif
