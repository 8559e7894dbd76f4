/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Decompression by libarchive's filters, with its "raw" format: one entry, whose data
 * is the stream. A bomb is told by what it gives for what it costs: gzip cannot do more
 * than 1032 to 1, zstd can do far more, and an honest root file system stays below 100
 * to 1 once it has some size.
 */
#include "unpack.h"

#include "util/bytes.h"
#include "util/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

enum {
    READ_BYTES = 128 * 1024,
    RATIO_MAX = 1000,
};
#define RATIO_FROM_BYTES MV_MIB(256) /* less than that harms nobody */

struct mv_unpack {
    struct archive *archive;
    struct mv_hash *hash;
    const char *what;
    uint64_t given, bytes_max;
    bool ended;
};

static int unpack_broken(struct mv_unpack *unpack, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    const char *why = archive_error_string(unpack->archive);
    return mv_fail(err, MICROVM_E_INVALID, "%s: cannot be decompressed: %s",
                   unpack->what, mv_str_show(shown, why ? why : "damaged"));
}

static int unpack_begin(struct mv_unpack *unpack, const struct mv_blob *blob,
                        microvm_error *err)
{
    struct archive *a = unpack->archive;
    struct archive_entry *entry;
    int rc = ARCHIVE_OK;
    /* Not "all": some filters of libarchive start programs. */
    rc |= archive_read_support_filter_gzip(a);
    rc |= archive_read_support_filter_zstd(a);
    rc |= archive_read_support_filter_xz(a);
    rc |= archive_read_support_filter_bzip2(a);
    rc |= archive_read_support_filter_lz4(a);
    rc |= archive_read_support_format_raw(a);
    rc |= archive_read_support_format_empty(a);
    if (rc != ARCHIVE_OK)
        return mv_fail(err, MICROVM_E_UNSUPPORTED,
                       "libarchive was built without gzip, zstd, xz, bzip2 or lz4");
    if (blob->fd >= 0)
        rc = archive_read_open_fd(a, blob->fd, READ_BYTES);
    else
        rc = archive_read_open_memory(a, blob->data, blob->length);
    if (rc != ARCHIVE_OK)
        return unpack_broken(unpack, err);
    rc = archive_read_next_header(a, &entry);
    if (rc == ARCHIVE_EOF)
        unpack->ended = true;
    else if (rc != ARCHIVE_OK)
        return unpack_broken(unpack, err);
    return 0;
}

int mv_unpack_open(const struct mv_blob *blob, const char *what, uint64_t bytes_max,
                   struct mv_unpack **out, microvm_error *err)
{
    struct mv_unpack *unpack = calloc(1, sizeof *unpack);
    if (!unpack)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    unpack->what = what;
    unpack->bytes_max = bytes_max;
    int rc = mv_hash_new(&unpack->hash, err);
    unpack->archive = archive_read_new();
    if (!rc && !unpack->archive)
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    if (!rc)
        rc = unpack_begin(unpack, blob, err);
    if (rc)
        mv_unpack_close(unpack);
    else
        *out = unpack;
    return rc;
}

void mv_unpack_close(struct mv_unpack *unpack)
{
    if (!unpack)
        return;
    if (unpack->archive)
        (void)archive_read_free(unpack->archive);
    mv_hash_free(unpack->hash);
    free(unpack);
}

uint64_t mv_unpack_taken(const struct mv_unpack *unpack)
{
    return (uint64_t)MV_MAX(archive_filter_bytes(unpack->archive, -1), 0);
}

static int unpack_check(struct mv_unpack *unpack, microvm_error *err)
{
    if (unpack->given > unpack->bytes_max)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: gives more than %llu MiB when decompressed: over the limit",
                       unpack->what, (unsigned long long)(unpack->bytes_max >> 20));
    uint64_t taken = mv_unpack_taken(unpack);
    if (unpack->given > RATIO_FROM_BYTES &&
        unpack->given / RATIO_MAX > MV_MAX(taken, 1))
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: %llu MiB out of %llu KiB: a decompression bomb",
                       unpack->what, (unsigned long long)(unpack->given >> 20),
                       (unsigned long long)(taken >> 10));
    return 0;
}

int mv_unpack_next(struct mv_unpack *unpack, const void **data, size_t *length,
                   microvm_error *err)
{
    const void *block = NULL;
    size_t size = 0;
    la_int64_t offset;
    while (!unpack->ended && size == 0) {
        int rc = archive_read_data_block(unpack->archive, &block, &size, &offset);
        if (rc == ARCHIVE_EOF)
            unpack->ended = true;
        else if (rc != ARCHIVE_OK)
            return unpack_broken(unpack, err);
    }
    if (unpack->ended)
        size = 0;
    unpack->given += size;
    int rc = unpack_check(unpack, err);
    if (rc)
        return rc;
    mv_hash_add(unpack->hash, block, size);
    *data = block;
    *length = size;
    return 0;
}

int mv_unpack_digest(struct mv_unpack *unpack, struct mv_digest *digest,
                     microvm_error *err)
{
    const void *data;
    size_t length;
    do {
        int rc = mv_unpack_next(unpack, &data, &length, err);
        if (rc)
            return rc;
    } while (length);
    mv_hash_end(unpack->hash, digest);
    return 0;
}
