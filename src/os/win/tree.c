/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * File trees on Windows: not there yet. Names, links and modes of a guest's files have
 * no plain counterpart, and nothing is better than half of them.
 */
#include "os/tree.h"

static int unsupported(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_UNSUPPORTED, "copying files is not in this build");
}

int mv_filetree_read_open(struct mv_filetree_reader **out, const char *path,
                          bool follow, microvm_error *err)
{
    (void)out, (void)path, (void)follow;
    return unsupported(err);
}

const struct mv_filetree_entry *mv_filetree_read_root(
    const struct mv_filetree_reader *reader)
{
    (void)reader;
    return NULL;
}

int mv_filetree_read_next(struct mv_filetree_reader *reader,
                          struct mv_filetree_entry *entry, microvm_error *err)
{
    (void)reader, (void)entry;
    return unsupported(err);
}

int64_t mv_filetree_read_data(struct mv_filetree_reader *reader, void *data,
                              size_t size, uint64_t *hole, microvm_error *err)
{
    (void)reader, (void)data, (void)size, (void)hole;
    return unsupported(err);
}

void mv_filetree_read_close(struct mv_filetree_reader *reader)
{
    (void)reader;
}

int mv_filetree_write_open(struct mv_filetree_writer **out,
                           const struct mv_filetree_place *place, microvm_error *err)
{
    (void)out, (void)place;
    return unsupported(err);
}

int mv_filetree_write_entry(struct mv_filetree_writer *writer,
                            const struct mv_filetree_entry *entry, microvm_error *err)
{
    (void)writer, (void)entry;
    return unsupported(err);
}

int mv_filetree_write_data(struct mv_filetree_writer *writer, const void *data,
                           size_t length, microvm_error *err)
{
    (void)writer, (void)data, (void)length;
    return unsupported(err);
}

int mv_filetree_write_hole(struct mv_filetree_writer *writer, uint64_t length,
                           microvm_error *err)
{
    (void)writer, (void)length;
    return unsupported(err);
}

int mv_filetree_write_end(struct mv_filetree_writer *writer, microvm_error *err)
{
    (void)writer;
    return unsupported(err);
}

void mv_filetree_write_close(struct mv_filetree_writer *writer)
{
    (void)writer;
}
