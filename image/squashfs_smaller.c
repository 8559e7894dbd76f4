/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * libsquashfs stores a block as it is when its compressor gives 0 for it. That of lz4
 * (in 1.2.0) gives what it has made even when that is more than before, as of the
 * owners of an image with two: 9 bytes for 8. Linux reads such a table, squashfs-tools
 * take it for damage.
 */
#include "squashfs_smaller.h"

#include <stdlib.h>

struct smaller {
    sqfs_compressor_t base;
    sqfs_compressor_t *inner;
};

static struct smaller *smaller_of(const void *base)
{
    return (struct smaller *)(uintptr_t)base; /* its first member */
}

static void smaller_destroy(sqfs_object_t *object)
{
    sqfs_destroy(smaller_of(object)->inner);
    free(smaller_of(object));
}

static sqfs_object_t *smaller_copy(const sqfs_object_t *object)
{
    const struct smaller *s = smaller_of(object);
    sqfs_compressor_t *inner = sqfs_copy(s->inner);
    return inner ? (sqfs_object_t *)(void *)mv_squashfs_smaller(inner) : NULL;
}

static void smaller_get_configuration(const sqfs_compressor_t *base,
                                      sqfs_compressor_config_t *config)
{
    const struct smaller *s = smaller_of(base);
    s->inner->get_configuration(s->inner, config);
}

static int smaller_write_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
    const struct smaller *s = smaller_of(base);
    return s->inner->write_options(s->inner, file);
}

static int smaller_read_options(sqfs_compressor_t *base, sqfs_file_t *file)
{
    const struct smaller *s = smaller_of(base);
    return s->inner->read_options(s->inner, file);
}

static sqfs_s32 smaller_do_block(sqfs_compressor_t *base, const sqfs_u8 *in,
                                 sqfs_u32 size, sqfs_u8 *out, sqfs_u32 room)
{
    const struct smaller *s = smaller_of(base);
    sqfs_s32 made = s->inner->do_block(s->inner, in, size, out, room);
    return made > 0 && (sqfs_u32)made >= size ? 0 : made;
}

sqfs_compressor_t *mv_squashfs_smaller(sqfs_compressor_t *inner)
{
    struct smaller *s = malloc(sizeof *s);
    if (!s) {
        sqfs_destroy(inner);
        return NULL;
    }
    *s = (struct smaller){
        .base = {.base = {.destroy = smaller_destroy, .copy = smaller_copy},
                 .get_configuration = smaller_get_configuration,
                 .write_options = smaller_write_options,
                 .read_options = smaller_read_options,
                 .do_block = smaller_do_block},
        .inner = inner};
    return &s->base;
}
