/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Layers: tar by libarchive, applied as the OCI image specification says ("layer.md").
 *
 * An archive is a stranger's word. What it may not do: leave the tree ("..", absolute
 * names), write through a symbolic link, have names that no file system takes, bring
 * device nodes unless told so, sockets at all, or more bytes and entries than the
 * limits. All of these are errors, not warnings: an image that is silently not what its
 * maker built is worse than none.
 *
 * Not kept: ACLs, file flags, times below a second, attributes beyond the name spaces
 * user, trusted and security.
 */
#include "layer.h"

#include "util/bytes.h"
#include "util/str.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdlib.h>

static const char whiteout_prefix[] = ".wh.";
static const char whiteout_opaque[] = ".wh..wh..opq";

struct layer {
    struct mv_tree *tree;
    struct mv_store *store;
    const struct mv_layer_options *options;
    struct mv_unpack *unpack;
    struct archive *archive;
    microvm_error inner; /* of the stage below libarchive */
};

/* "layer: 'usr/bin/x': ..." around an error that knows only its own part. */
static int layer_at(const struct layer *l, const char *path, const microvm_error *from,
                    microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    if (from->code == MICROVM_E_CANCELLED || from->code == MICROVM_E_NO_MEMORY)
        return mv_fail_again(err, from);
    if (!strncmp(from->message, "path '", 6) || !path)
        return mv_fail(err, from->code, "%s: %s", l->options->what, from->message);
    return mv_fail(err, from->code, "%s: '%s': %s", l->options->what,
                   mv_str_show(shown, path), from->message);
}

static int layer_broken(const struct layer *l, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    const char *why = archive_error_string(l->archive);
    if (l->inner.code)
        return mv_fail_again(err, &l->inner);
    return mv_fail(err, MICROVM_E_INVALID, "%s: no usable tar archive: %s",
                   l->options->what, mv_str_show(shown, why ? why : "damaged"));
}

/* libarchive asks for bytes. */
static la_ssize_t layer_read(struct archive *archive, void *opaque, const void **data)
{
    struct layer *l = opaque;
    size_t length;
    if (mv_unpack_next(l->unpack, data, &length, &l->inner) ||
        mv_progress(l->options->progress, l->options->what, mv_unpack_taken(l->unpack),
                    l->options->blob_bytes, &l->inner)) {
        archive_set_error(archive, -1, "see the stage below");
        return ARCHIVE_FATAL;
    }
    return (la_ssize_t)length;
}

/* ---- one entry ------------------------------------------------------------------- */

/* libarchive gives a name as its bytes, or where those were UTF-8 that the locale does
 * not have, as UTF-8. NULL: there is none. */
static const char *entry_text(const char *bytes, const char *utf8)
{
    return bytes ? bytes : utf8;
}

static int entry_xattrs(struct archive_entry *entry, struct mv_node *node,
                        microvm_error *err)
{
    static const char *const kept[] = {"user.", "trusted.", "security."};
    const char *name;
    const void *value;
    size_t length;
    (void)archive_entry_xattr_reset(entry);
    while (archive_entry_xattr_next(entry, &name, &value, &length) == ARCHIVE_OK) {
        for (unsigned i = 0; i < MV_ARRAY_LEN(kept); i++) {
            if (strncmp(name, kept[i], strlen(kept[i])))
                continue;
            int rc = mv_node_xattr(node, name, value, length, err);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int entry_content(struct layer *l, struct archive_entry *entry,
                         struct mv_node *node, microvm_error *err)
{
    const void *data;
    size_t length;
    la_int64_t at, size = archive_entry_size(entry);
    if (size < 0)
        return mv_fail(err, MICROVM_E_INVALID, "a file of negative size");
    int rc = mv_store_add(l->store, (uint64_t)size, &node->offset, err);
    node->size_bytes = (uint64_t)size;
    while (!rc) {
        int read = archive_read_data_block(l->archive, &data, &length, &at);
        if (read == ARCHIVE_EOF)
            break;
        if (read != ARCHIVE_OK)
            return layer_broken(l, err);
        if (at < 0 || !mv_inside((uint64_t)at, length, 0, (uint64_t)size))
            return mv_fail(err, MICROVM_E_INVALID, "data beyond the file's end");
        rc = mv_store_write(l->store, node->offset + (uint64_t)at, data, length, err);
    }
    return rc;
}

static int entry_symlink(struct archive_entry *entry, struct mv_node *node,
                         microvm_error *err)
{
    const char *target =
        entry_text(archive_entry_symlink(entry), archive_entry_symlink_utf8(entry));
    if (!target || !*target || strlen(target) >= MV_TREE_PATH_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "a symbolic link whose target is empty or too long");
    node->target = strdup(target);
    node->mode = 0777; /* the only one that file systems agree on */
    return node->target ? 0 : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
}

/* The kind of node that an entry wants; `skip` where it is to be left out. */
static int entry_type(const struct layer *l, struct archive_entry *entry,
                      enum mv_node_type *type, bool *skip, microvm_error *err)
{
    *skip = false;
    switch (archive_entry_filetype(entry)) {
    case AE_IFREG:
        *type = MV_NODE_FILE;
        return 0;
    case AE_IFDIR:
        *type = MV_NODE_DIRECTORY;
        return 0;
    case AE_IFLNK:
        *type = MV_NODE_SYMLINK;
        return 0;
    case AE_IFIFO:
        *type = MV_NODE_FIFO;
        return 0;
    case AE_IFCHR:
        *type = MV_NODE_CHAR;
        break;
    case AE_IFBLK:
        *type = MV_NODE_BLOCK;
        break;
    default:
        return mv_fail(err, MICROVM_E_INVALID,
                       "is a socket or of a kind that images cannot have");
    }
    *skip = l->options->devices == MV_DEVICES_SKIP;
    if (l->options->devices == MV_DEVICES_REFUSE)
        return mv_fail(err, MICROVM_E_INVALID,
                       "is a device node, which guests do not need; "
                       "'devices' may be set to skip or keep");
    return 0;
}

static int entry_fill(struct layer *l, struct archive_entry *entry,
                      struct mv_node *node, microvm_error *err)
{
    la_int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
    if (uid < 0 || uid > UINT32_MAX || gid < 0 || gid > UINT32_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "its owner is out of range");
    node->uid = (uint32_t)uid;
    node->gid = (uint32_t)gid;
    node->mode = (uint16_t)(archive_entry_perm(entry) & 07777);
    node->mtime_s = archive_entry_mtime_is_set(entry) ? archive_entry_mtime(entry) : 0;
    int rc = entry_xattrs(entry, node, err);
    if (rc)
        return rc;
    switch (node->type) {
    case MV_NODE_FILE:
        return entry_content(l, entry, node, err);
    case MV_NODE_SYMLINK:
        return entry_symlink(entry, node, err);
    case MV_NODE_CHAR:
    case MV_NODE_BLOCK:
        node->major = (uint32_t)archive_entry_rdevmajor(entry);
        node->minor = (uint32_t)archive_entry_rdevminor(entry);
        return 0;
    case MV_NODE_DIRECTORY:
    case MV_NODE_FIFO:
        return 0;
    }
    return 0;
}

static int entry_new(struct layer *l, struct archive_entry *entry, const char *path,
                     microvm_error *err)
{
    enum mv_node_type type = MV_NODE_FILE;
    bool skip = false;
    int rc = entry_type(l, entry, &type, &skip, err);
    if (rc || skip)
        return rc;
    struct mv_node *node = mv_node_new(type);
    if (!node)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    rc = entry_fill(l, entry, node, err);
    if (!rc)
        return mv_tree_put(l->tree, path, node, err);
    mv_node_free(node);
    return rc;
}

/* ---- whiteouts ------------------------------------------------------------------- */

/* Does `path` end in a name that removes? Then it has been seen to. */
static int layer_whiteout(struct layer *l, const char *path, bool *was,
                          microvm_error *err)
{
    char hidden[MV_TREE_PATH_MAX];
    const char *slash = strrchr(path, '/');
    const char *leaf = slash ? slash + 1 : path;
    size_t folder = slash ? (size_t)(slash - path) : 0;
    size_t prefix = sizeof whiteout_prefix - 1;
    *was = l->options->whiteouts && !strncmp(leaf, whiteout_prefix, prefix);
    if (!*was)
        return 0;
    memcpy(hidden, path, folder);
    hidden[folder] = '\0';
    if (!strcmp(leaf, whiteout_opaque))
        return mv_tree_opaque(l->tree, hidden, err);
    leaf += prefix;
    if (!strncmp(leaf, whiteout_prefix, prefix))
        return 0; /* AUFS' own notes ("layer.md" knows only the opaque one) */
    if (!*leaf || !strcmp(leaf, ".") || !strcmp(leaf, ".."))
        return mv_fail(err, MICROVM_E_INVALID, "a whiteout of nothing");
    if (folder)
        hidden[folder++] = '/';
    memcpy(hidden + folder, leaf, strlen(leaf) + 1);
    return mv_tree_whiteout(l->tree, hidden, err);
}

static int layer_entry(struct layer *l, struct archive_entry *entry, microvm_error *err)
{
    char path[MV_TREE_PATH_MAX], target[MV_TREE_PATH_MAX];
    microvm_error inner;
    bool whiteout = false;
    const char *text =
        entry_text(archive_entry_pathname(entry), archive_entry_pathname_utf8(entry));
    const char *link =
        entry_text(archive_entry_hardlink(entry), archive_entry_hardlink_utf8(entry));
    if (!text)
        return mv_fail(err, MICROVM_E_INVALID, "%s: an entry without a usable name",
                       l->options->what);
    int rc = mv_tree_path(text, false, path, &inner);
    if (!rc)
        rc = layer_whiteout(l, path, &whiteout, &inner);
    if (!rc && whiteout)
        return 0;
    if (!rc && link) {
        rc = mv_tree_path(link, false, target, &inner);
        if (!rc)
            rc = mv_tree_link(l->tree, path, target, &inner);
    } else if (!rc) {
        rc = entry_new(l, entry, path, &inner);
    }
    return rc ? layer_at(l, text, &inner, err) : 0;
}

/* ---- the archive ----------------------------------------------------------------- */

static int layer_entries(struct layer *l, microvm_error *err)
{
    struct archive_entry *entry;
    unsigned most = l->tree->entries_max;
    for (unsigned seen = 0;; seen++) {
        int rc = archive_read_next_header(l->archive, &entry);
        if (rc == ARCHIVE_EOF)
            return 0;
        if (rc != ARCHIVE_OK && rc != ARCHIVE_WARN)
            return layer_broken(l, err);
        if (seen == most) /* those that replace each other count, too */
            return mv_fail(err, MICROVM_E_INVALID, "%s: more than %u entries",
                           l->options->what, most);
        rc = layer_entry(l, entry, err);
        if (rc)
            return rc;
    }
}

static int layer_run(struct layer *l, struct mv_digest *diff_id, microvm_error *err)
{
    struct archive *a = l->archive;
    if (archive_read_support_format_tar(a) != ARCHIVE_OK ||
        archive_read_support_format_empty(a) != ARCHIVE_OK)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", l->options->what);
    if (archive_read_open(a, l, NULL, layer_read, NULL) != ARCHIVE_OK)
        return layer_broken(l, err);
    int rc = layer_entries(l, err);
    if (!rc && diff_id)
        rc = mv_unpack_digest(l->unpack, diff_id, err);
    return rc;
}

int mv_layer_apply(struct mv_tree *tree, struct mv_store *store,
                   const struct mv_blob *blob, const struct mv_layer_options *options,
                   struct mv_digest *diff_id, microvm_error *err)
{
    struct layer l = {.tree = tree, .store = store, .options = options};
    uint64_t most; /* the contents, and a header and some attributes each */
    if (!mv_add(store->bytes_max, (uint64_t)tree->entries_max * 4096, &most))
        most = UINT64_MAX;
    int rc = mv_unpack_open(blob, options->what, most, &l.unpack, err);
    if (rc)
        return rc;
    tree->layer++;
    l.archive = archive_read_new();
    if (l.archive) {
        rc = layer_run(&l, diff_id, err);
        (void)archive_read_free(l.archive);
    } else {
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", options->what);
    }
    mv_unpack_close(l.unpack);
    return rc;
}
