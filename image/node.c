/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Nodes: what a file is, apart from its names.
 */
#include "tree.h"

#include "util/str.h"

#include <stdlib.h>
#include <string.h>

static int node_no_memory(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for a file of an image");
}

struct mv_node *mv_node_new(enum mv_node_type type)
{
    struct mv_node *node = calloc(1, sizeof *node);
    if (node)
        node->type = type;
    return node;
}

void mv_node_drop_xattrs(struct mv_node *node)
{
    for (unsigned i = 0; i < node->xattrs; i++) {
        free(node->xattr[i].name);
        free(node->xattr[i].value);
    }
    free(node->xattr);
    node->xattr = NULL;
    node->xattrs = 0;
}

void mv_node_free(struct mv_node *node)
{
    if (!node)
        return;
    mv_node_drop_xattrs(node);
    free(node->target);
    free(node->child);
    free(node);
}

static int xattr_set(struct mv_xattr *xattr, const void *value, size_t length,
                     microvm_error *err)
{
    void *copy = malloc(length + 1);
    if (!copy)
        return node_no_memory(err);
    if (length)
        memcpy(copy, value, length);
    free(xattr->value);
    xattr->value = copy;
    xattr->length = length;
    return 0;
}

int mv_node_xattr(struct mv_node *node, const char *name, const void *value,
                  size_t length, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    unsigned at = 0;
    if (!name[0] || strlen(name) > MV_TREE_NAME_MAX || length > MV_TREE_XATTR_BYTES_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "attribute '%s': its name or value is too long",
                       mv_str_show(shown, name));
    while (at < node->xattrs && strcmp(node->xattr[at].name, name) < 0)
        at++;
    if (at < node->xattrs && !strcmp(node->xattr[at].name, name))
        return xattr_set(&node->xattr[at], value, length, err);
    if (node->xattrs == MV_TREE_XATTRS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "more than %d extended attributes",
                       MV_TREE_XATTRS_MAX);
    struct mv_xattr *more =
        realloc(node->xattr, (node->xattrs + 1) * sizeof *node->xattr);
    if (!more)
        return node_no_memory(err);
    node->xattr = more;
    struct mv_xattr new = {.name = strdup(name)};
    if (!new.name || xattr_set(&new, value, length, NULL)) {
        free(new.name);
        return node_no_memory(err);
    }
    memmove(more + at + 1, more + at, (node->xattrs - at) * sizeof *more);
    more[at] = new;
    node->xattrs++;
    return 0;
}
