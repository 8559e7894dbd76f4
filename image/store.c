/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Contents in a scratch file. The file is made longer before anything is written into
 * the new part, so whatever is not written is a hole.
 */
#include "store.h"

#include "files.h"
#include "util/bytes.h"

int mv_store_open(struct mv_store *store, const char *folder, uint64_t bytes_max,
                  microvm_error *err)
{
    int fd;
    int rc = mv_files_scratch(folder, &fd, err);
    if (rc)
        return rc;
    *store = (struct mv_store){.fd = fd, .bytes_max = bytes_max};
    return 0;
}

void mv_store_close(struct mv_store *store)
{
    mv_files_close(store->fd);
    store->fd = -1;
}

int mv_store_reset(struct mv_store *store, microvm_error *err)
{
    store->used = 0;
    return mv_files_resize(store->fd, 0, "image contents", err);
}

int mv_store_add(struct mv_store *store, uint64_t size_bytes, uint64_t *offset,
                 microvm_error *err)
{
    uint64_t end;
    if (!mv_add(store->used, size_bytes, &end) || end > store->bytes_max)
        return mv_fail(err, MICROVM_E_INVALID,
                       "the image's files have more than %llu MiB together: over the "
                       "limit",
                       (unsigned long long)(store->bytes_max >> 20));
    int rc = mv_files_resize(store->fd, end, "image contents", err);
    if (rc)
        return rc;
    *offset = store->used;
    store->used = end;
    return 0;
}

int mv_store_write(struct mv_store *store, uint64_t offset, const void *data,
                   size_t length, microvm_error *err)
{
    return mv_files_write(store->fd, offset, data, length, "image contents", err);
}

int mv_store_read(const struct mv_store *store, uint64_t offset, void *data,
                  size_t length, microvm_error *err)
{
    return mv_files_read(store->fd, offset, data, length, "image contents", err);
}
