/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Archives for tests, made by libarchive in memory: one call for each entry.
 */
#ifndef TESTS_IMAGE_TARBALL_H
#define TESTS_IMAGE_TARBALL_H

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>
#include <string.h>

#include "unpack.h"

struct tarball {
    struct archive *archive;
    char *data;
    size_t length, room;
};

/* Says everything of an entry; `path` and `mode` (with its type) are a must. */
struct tar_entry {
    const char *path;
    unsigned mode;
    const char *text; /* content */
    const char *link; /* a symbolic link's target */
    const char *hardlink;
    unsigned uid, gid, major, minor;
    int64_t mtime;
    int64_t size; /* instead of text's length: the content is text, then zeros */
    const char *xattr, *value;
};

static la_ssize_t tarball_write(struct archive *a, void *opaque, const void *data,
                                size_t length)
{
    struct tarball *t = opaque;
    (void)a;
    if (t->length + length > t->room) {
        t->room = 2 * (t->length + length);
        t->data = realloc(t->data, t->room);
        if (!t->data)
            return -1;
    }
    memcpy(t->data + t->length, data, length);
    t->length += length;
    return (la_ssize_t)length;
}

/* filter: ARCHIVE_FILTER_NONE, _GZIP, _ZSTD, ... */
static inline void tarball_begin(struct tarball *t, int filter)
{
    memset(t, 0, sizeof *t);
    t->archive = archive_write_new();
    (void)archive_write_set_format_pax_restricted(t->archive);
    (void)archive_write_add_filter(t->archive, filter);
    (void)archive_write_set_bytes_in_last_block(t->archive, 1);
    (void)archive_write_open(t->archive, t, NULL, tarball_write, NULL);
}

/* False: libarchive did not want it. */
static inline int tarball_add(struct tarball *t, struct tar_entry e)
{
    static const char zeros[65536];
    struct archive_entry *entry = archive_entry_new();
    size_t text = e.text ? strlen(e.text) : 0;
    int64_t size = e.size ? e.size : (int64_t)text;
    archive_entry_copy_pathname(entry, e.path);
    archive_entry_set_mode(entry, (__LA_MODE_T)e.mode);
    archive_entry_set_uid(entry, e.uid);
    archive_entry_set_gid(entry, e.gid);
    archive_entry_set_mtime(entry, (time_t)e.mtime, 0);
    archive_entry_set_size(entry, size);
    archive_entry_set_rdevmajor(entry, e.major);
    archive_entry_set_rdevminor(entry, e.minor);
    if (e.link)
        archive_entry_copy_symlink(entry, e.link);
    if (e.hardlink)
        archive_entry_copy_hardlink(entry, e.hardlink);
    if (e.xattr)
        archive_entry_xattr_add_entry(entry, e.xattr, e.value, strlen(e.value));
    int good = archive_write_header(t->archive, entry) >= ARCHIVE_WARN;
    archive_entry_free(entry);
    if (good && text)
        good = archive_write_data(t->archive, e.text, text) == (la_ssize_t)text;
    for (int64_t left = size - (int64_t)text; good && left > 0;) {
        size_t n = left < (int64_t)sizeof zeros ? (size_t)left : sizeof zeros;
        good = archive_write_data(t->archive, zeros, n) == (la_ssize_t)n;
        left -= (int64_t)n;
    }
    return good;
}

/* The archive as a blob that lives as long as the tarball. */
static inline struct mv_blob tarball_end(struct tarball *t)
{
    (void)archive_write_free(t->archive);
    t->archive = NULL;
    return (struct mv_blob){.fd = -1, .data = t->data, .length = t->length};
}

static inline void tarball_done(struct tarball *t)
{
    free(t->data);
    t->data = NULL;
}

#endif
