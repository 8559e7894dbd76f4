/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Entries to frames and back. What comes from the other end is checked here for its
 * form; that its paths stay inside is the sink's to see to.
 */
#include "copy/copy.h"

#include "util/bytes.h"

#include <string.h>

/* ---- the words ------------------------------------------------------------------- */

static const char *const type_names[MV_FILETREE_TYPES] = {
    [MV_FILETREE_DIRECTORY] = "directory", [MV_FILETREE_FILE] = "file",
    [MV_FILETREE_LINK] = "link",           [MV_FILETREE_SAME] = "same",
    [MV_FILETREE_SKIPPED] = "skipped",
};

const char *mv_copy_type_name(enum mv_filetree_type type)
{
    return type_names[type];
}

enum mv_filetree_type mv_copy_type_find(const char *name)
{
    unsigned type = 0;
    while (name && type < MV_FILETREE_TYPES && strcmp(name, type_names[type]) != 0)
        type++;
    return name ? (enum mv_filetree_type)type : MV_FILETREE_TYPES;
}

static void entry_put(struct agent_writer *w, const struct mv_filetree_entry *entry)
{
    agent_put(w, "type", type_names[entry->type]);
    agent_put(w, "path", entry->path);
    if (entry->target)
        agent_put(w, "target", entry->target);
    if (entry->type == MV_FILETREE_SAME || entry->type == MV_FILETREE_SKIPPED)
        return;
    agent_put_number(w, "mode", entry->mode);
    agent_put_number(w, "uid", entry->uid);
    agent_put_number(w, "gid", entry->gid);
    agent_put_number(w, "mtime_ns", entry->mtime_ns);
    if (entry->type == MV_FILETREE_FILE)
        agent_put_number(w, "size", (int64_t)entry->size);
}

/* False: these strings are no entry. */
static bool entry_get(struct mv_filetree_entry *entry, const struct agent_frame *f)
{
    if (!agent_strings_valid(f->data, f->length))
        return false;
    entry->type = mv_copy_type_find(agent_strings_get(f->data, f->length, "type", 0));
    entry->path = agent_strings_get(f->data, f->length, "path", 0);
    entry->target = agent_strings_get(f->data, f->length, "target", 0);
    int64_t mode = agent_strings_number(f->data, f->length, "mode", 0644, 0, 07777);
    int64_t uid = agent_strings_number(f->data, f->length, "uid", 0, 0, UINT32_MAX - 1);
    int64_t gid = agent_strings_number(f->data, f->length, "gid", 0, 0, UINT32_MAX - 1);
    int64_t most = INT64_MAX - 9;
    entry->mtime_ns = agent_strings_number(f->data, f->length, "mtime_ns", 0, 0, most);
    int64_t size = agent_strings_number(f->data, f->length, "size", 0, 0, most);
    entry->mode = (uint32_t)mode;
    entry->uid = (uint32_t)uid;
    entry->gid = (uint32_t)gid;
    entry->size = (uint64_t)size;
    bool targets =
        entry->type != MV_FILETREE_DIRECTORY && entry->type != MV_FILETREE_FILE;
    return entry->type < MV_FILETREE_TYPES && entry->path &&
           (entry->target != NULL) == targets && mode >= 0 && uid >= 0 && gid >= 0 &&
           entry->mtime_ns >= 0 && size >= 0;
}

/* ---- sending --------------------------------------------------------------------- */

static int out_flush(struct mv_copy_out *out, microvm_error *err)
{
    size_t length = out->length;
    out->length = 0;
    return length ? out->send(out->ctx, out->bytes, length, err) : 0;
}

/* Room for one more frame, whatever is in it. */
static int out_make_room(struct mv_copy_out *out, microvm_error *err)
{
    return sizeof out->bytes - out->length < MV_COPY_FRAME ? out_flush(out, err) : 0;
}

static void out_header(struct mv_copy_out *out, enum agent_type type, size_t length)
{
    agent_header_write(out->bytes + out->length, type, (uint32_t)length);
    out->length += AGENT_HEADER_BYTES + length;
}

static int out_entry(struct mv_copy_out *out, const struct mv_filetree_entry *entry,
                     microvm_error *err)
{
    int rc = out_make_room(out, err);
    if (rc)
        return rc;
    struct agent_writer w = {.data = out->bytes + out->length + AGENT_HEADER_BYTES,
                             .size = AGENT_DATA_MAX};
    entry_put(&w, entry);
    if (w.full)
        return mv_fail(err, MICROVM_E_INVALID, "'%.150s' has too long a name",
                       entry->path);
    out_header(out, AGENT_ENTRY, w.length);
    out->count.entries++;
    return 0;
}

static int out_hole(struct mv_copy_out *out, uint64_t length, microvm_error *err)
{
    int rc = out_make_room(out, err);
    if (rc)
        return rc;
    mv_store64(out->bytes + out->length + AGENT_HEADER_BYTES, length);
    out_header(out, AGENT_HOLE, 8);
    out->count.bytes += length;
    return 0;
}

static int out_file(struct mv_copy_out *out, const struct mv_copy_source *source,
                    microvm_error *err)
{
    for (;;) {
        uint64_t hole = 0;
        int rc = out_make_room(out, err);
        if (rc)
            return rc;
        int64_t n =
            source->data(source->ctx, out->bytes + out->length + AGENT_HEADER_BYTES,
                         AGENT_DATA_MAX, &hole, err);
        if (n < 0)
            return (int)n;
        if (n > 0) {
            out_header(out, out->data, (size_t)n);
            out->count.bytes += (uint64_t)n;
        } else if (hole > 0) {
            rc = out_hole(out, hole, err);
        } else {
            return 0;
        }
        if (rc)
            return rc;
    }
}

int mv_copy_send(struct mv_copy_out *out, const struct mv_copy_source *source,
                 microvm_error *err)
{
    struct mv_filetree_entry entry;
    int rc;
    while ((rc = source->next(source->ctx, &entry, err)) == 1) {
        if (entry.type == MV_FILETREE_SKIPPED && out->skipped) {
            out->skipped(out->ctx, &entry);
            continue;
        }
        rc = out_entry(out, &entry, err);
        if (!rc && entry.type == MV_FILETREE_FILE)
            rc = out_file(out, source, err);
        if (rc)
            return rc;
    }
    return rc ? rc : out_flush(out, err);
}

/* ---- taking ---------------------------------------------------------------------- */

static int in_entry(struct mv_copy_in *in, const struct agent_frame *frame,
                    microvm_error *err)
{
    struct mv_filetree_entry entry;
    if (!entry_get(&entry, frame))
        return mv_fail(err, MICROVM_E_INVALID, "the other end's entry is none");
    in->file = entry.type == MV_FILETREE_FILE;
    in->count.entries++;
    if (entry.type != MV_FILETREE_SKIPPED)
        return in->sink->entry(in->sink->ctx, &entry, err);
    if (in->skipped)
        in->skipped(in->ctx, &entry);
    return 0;
}

int mv_copy_take(struct mv_copy_in *in, const struct agent_frame *frame,
                 microvm_error *err)
{
    if (frame->type == AGENT_ENTRY)
        return in_entry(in, frame, err);
    if (!in->file || (frame->type != AGENT_HOLE && frame->type != in->data))
        return mv_fail(err, MICROVM_E_INVALID,
                       "a frame of type %u has no place in a tree", frame->type);
    uint64_t length = frame->length;
    int rc;
    if (frame->type == AGENT_HOLE) {
        length = mv_load64(frame->data);
        rc = in->sink->hole(in->sink->ctx, length, err);
    } else {
        rc = in->sink->data(in->sink->ctx, frame->data, length, err);
    }
    in->count.bytes += rc ? 0 : length;
    return rc;
}

/* ---- a disk's ends --------------------------------------------------------------- */

static int tree_next(void *ctx, struct mv_filetree_entry *entry, microvm_error *err)
{
    return mv_filetree_read_next(ctx, entry, err);
}

static int64_t tree_read(void *ctx, void *data, size_t size, uint64_t *hole,
                         microvm_error *err)
{
    return mv_filetree_read_data(ctx, data, size, hole, err);
}

static int tree_entry(void *ctx, const struct mv_filetree_entry *entry,
                      microvm_error *err)
{
    return mv_filetree_write_entry(ctx, entry, err);
}

static int tree_data(void *ctx, const void *data, size_t length, microvm_error *err)
{
    return mv_filetree_write_data(ctx, data, length, err);
}

static int tree_hole(void *ctx, uint64_t length, microvm_error *err)
{
    return mv_filetree_write_hole(ctx, length, err);
}

struct mv_copy_source mv_copy_from_tree(struct mv_filetree_reader *reader)
{
    return (struct mv_copy_source){tree_next, tree_read, reader};
}

struct mv_copy_sink mv_copy_to_tree(struct mv_filetree_writer *writer)
{
    return (struct mv_copy_sink){tree_entry, tree_data, tree_hole, writer};
}
