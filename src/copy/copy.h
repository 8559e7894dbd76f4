/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file tree as frames of the agent protocol (proto/agent.md, "put" and "get"), for
 * both ends: the library sends with "put" what the agent takes, and takes with "get"
 * what the agent sends. Where the tree comes from and goes to is behind two small
 * interfaces: a disk (os/tree.h), or an archive. Waiting, and how frames travel, is the
 * caller's.
 */
#ifndef MV_COPY_COPY_H
#define MV_COPY_COPY_H

#include "os/tree.h"
#include "proto/agent.h"

/* As the functions of os/tree.h whose names they have. */
struct mv_copy_source {
    int (*next)(void *ctx, struct mv_filetree_entry *entry, microvm_error *err);
    int64_t (*data)(void *ctx, void *data, size_t size, uint64_t *hole,
                    microvm_error *err);
    void *ctx;
};
struct mv_copy_sink {
    int (*entry)(void *ctx, const struct mv_filetree_entry *entry, microvm_error *err);
    int (*data)(void *ctx, const void *data, size_t length, microvm_error *err);
    int (*hole)(void *ctx, uint64_t length, microvm_error *err);
    void *ctx;
};
struct mv_copy_source mv_copy_from_tree(struct mv_filetree_reader *reader);
struct mv_copy_sink mv_copy_to_tree(struct mv_filetree_writer *writer);

/* How far a copy has come. */
struct mv_copy_count {
    uint64_t bytes, entries;
};

/* ---- sending --------------------------------------------------------------------- */

enum { MV_COPY_FRAME = AGENT_HEADER_BYTES + AGENT_DATA_MAX };

struct mv_copy_out {
    enum agent_type data; /* which frames its data is */
    /* Sends bytes. */
    int (*send)(void *ctx, const uint8_t *bytes, size_t length, microvm_error *err);
    /* What is not copied, to be told here; NULL: the other end is told. */
    void (*skipped)(void *ctx, const struct mv_filetree_entry *entry);
    void *ctx;
    struct mv_copy_count count;
    size_t length;
    uint8_t bytes[4 * MV_COPY_FRAME]; /* that are not sent yet */
};

/* Sends all entries of a source with their data. The end is the caller's to tell. */
int mv_copy_send(struct mv_copy_out *out, const struct mv_copy_source *source,
                 microvm_error *err);

/* ---- taking ---------------------------------------------------------------------- */

struct mv_copy_in {
    enum agent_type data;
    const struct mv_copy_sink *sink;
    void (*skipped)(void *ctx, const struct mv_filetree_entry *entry);
    void *ctx;
    bool file; /* the current entry is one */
    struct mv_copy_count count;
};

/* Takes a frame. One that has no place in a tree is INVALID. */
int mv_copy_take(struct mv_copy_in *in, const struct agent_frame *frame,
                 microvm_error *err);

/* ---- the words ------------------------------------------------------------------- */

/* "directory", "file", ...; for `type`s that are. */
const char *mv_copy_type_name(enum mv_filetree_type type);
/* MV_FILETREE_TYPES: there is none of that name. */
enum mv_filetree_type mv_copy_type_find(const char *name);

#endif
