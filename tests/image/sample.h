/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A tree with one of each thing that an image can hold, for what writes and reads whole
 * images.
 */
#ifndef TESTS_IMAGE_SAMPLE_H
#define TESTS_IMAGE_SAMPLE_H

#include "check.h"

#include "files.h"
#include "util/bytes.h"
#include "write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SAMPLE_NOISE = 300000,
    SAMPLE_HOLE = 3000000,
    SAMPLE_MANY = 700, /* names that take several blocks of a directory */
    SAMPLE_EPOCH = 1600000000,
    SAMPLE_TIME = 1234567890
};

struct sample {
    struct mv_tree tree;
    struct mv_store store;
    int fd; /* a file without a name, for an image */
    microvm_error err;
};

static inline struct mv_node *sample_add(struct sample *s, const char *path,
                                         enum mv_node_type type, unsigned mode)
{
    struct mv_node *node = mv_node_new(type);
    assert_non_null(node);
    node->mode = (uint16_t)mode;
    node->mtime_s = SAMPLE_TIME;
    assert_ok(mv_tree_put(&s->tree, path, node, &s->err), &s->err);
    return node;
}

static inline void sample_link(struct sample *s, const char *path, const char *target)
{
    struct mv_node *node = mv_node_new(MV_NODE_SYMLINK);
    assert_non_null(node);
    node->mode = 0777;
    node->mtime_s = SAMPLE_TIME;
    node->target = strdup(target);
    assert_ok(mv_tree_put(&s->tree, path, node, &s->err), &s->err);
}

/* Content at the end of `size_bytes` that are zero before it. */
static inline struct mv_node *sample_file(struct sample *s, const char *path,
                                          unsigned mode, const void *content,
                                          size_t length, uint64_t size_bytes)
{
    struct mv_node *node = sample_add(s, path, MV_NODE_FILE, mode);
    node->size_bytes = size_bytes;
    assert_ok(mv_store_add(&s->store, size_bytes, &node->offset, &s->err), &s->err);
    if (length)
        assert_ok(mv_store_write(&s->store, node->offset + size_bytes - length, content,
                                 length, &s->err),
                  &s->err);
    return node;
}

static inline void sample_noise(uint8_t *to, size_t length)
{
    uint32_t x = 2463534242;
    for (size_t i = 0; i < length; i++) {
        x ^= x << 13; /* xorshift32 */
        x ^= x >> 17;
        x ^= x << 5;
        to[i] = (uint8_t)x;
    }
}

static inline void sample_many(struct sample *s)
{
    char path[64];
    (void)sample_add(s, "many", MV_NODE_DIRECTORY, 0755);
    for (unsigned i = 0; i < SAMPLE_MANY; i++) {
        (void)snprintf(path, sizeof path, "many/a-name-of-some-length-%04u", i);
        (void)sample_file(s, path, 0644, &i, sizeof i, sizeof i);
    }
}

/* `attributes`: also such as not every format keeps. */
static inline void sample_fill(struct sample *s, bool attributes)
{
    static uint8_t noise[SAMPLE_NOISE];
    char far[201];
    memset(far, 'x', sizeof far - 1);
    far[sizeof far - 1] = '\0';
    sample_noise(noise, sizeof noise);
    s->tree.root->mode = 0711;
    s->tree.root->uid = 5;
    s->tree.root->mtime_s = SAMPLE_TIME;
    for (unsigned i = 0; i < 5; i++) {
        static const char *const folders[] = {"bin", "dev", "etc", "lost+found", "run"};
        (void)sample_add(s, folders[i], MV_NODE_DIRECTORY, i == 3 ? 0700 : 01777);
    }
    struct mv_node *tool =
        sample_file(s, "bin/tool", 04755, noise, sizeof noise, sizeof noise);
    tool->uid = 1000;
    tool->gid = 70000;
    assert_ok(mv_tree_link(&s->tree, "etc/again", "bin/tool", &s->err), &s->err);
    (void)sample_file(s, "etc/empty", 0600, NULL, 0, 0);
    (void)sample_file(s, "zeros", 0644, "end", 3, SAMPLE_HOLE);
    sample_link(s, "etc/near", "hello");
    sample_link(s, "etc/far", far);
    sample_link(s, "out", "../../etc/passwd");
    struct mv_node *device = sample_add(s, "dev/null", MV_NODE_CHAR, 0666);
    device->major = 1;
    device->minor = 3;
    device = sample_add(s, "dev/many", MV_NODE_BLOCK, 0600);
    device->major = 259;
    device->minor = 70000;
    (void)sample_add(s, "run/pipe", MV_NODE_FIFO, 0600);
    sample_many(s);
    if (!attributes)
        return;
    assert_ok(mv_node_xattr(tool, "security.capability", "\1\0\0\2", 4, &s->err),
              &s->err);
    assert_ok(mv_node_xattr(tool, "user.large", far, sizeof far, &s->err), &s->err);
    assert_ok(mv_node_xattr(s->tree.root, "user.empty", "", 0, &s->err), &s->err);
}

static inline struct mv_digest sample_identity(struct sample *s)
{
    struct mv_write w = {.tree = &s->tree, .store = &s->store};
    struct mv_digest digest;
    assert_ok(mv_write_identity(&w, &digest, &s->err), &s->err);
    return digest;
}

static inline int sample_open(struct sample *s)
{
    s->store = (struct mv_store)MV_STORE_NONE;
    s->fd = -1;
    return mv_tree_init(&s->tree, NULL) |
           mv_store_open(&s->store, "/tmp", MV_MIB(64), NULL) |
           mv_files_scratch("/tmp", &s->fd, NULL);
}

static inline void sample_close(struct sample *s)
{
    mv_tree_done(&s->tree);
    mv_store_close(&s->store);
    mv_files_close(s->fd);
}

#endif
