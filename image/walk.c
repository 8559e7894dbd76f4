/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Walks over a tree: in the order of names, each directory before and after what is in
 * it, with the path at hand. All writers stand on this order.
 */
#include "tree.h"

#include "util/assert.h"
#include "util/bytes.h"

void mv_walk_begin(struct mv_walk *walk, const struct mv_tree *tree)
{
    *walk = (struct mv_walk){.tree = tree};
}

static bool walk_enter(struct mv_walk *walk, struct mv_node *dir)
{
    MV_ASSERT(walk->depth <= MV_TREE_DEPTH_MAX);
    walk->stack[walk->depth] = dir;
    walk->next[walk->depth] = 0;
    walk->depth++;
    return true;
}

/* The directory that a path ends in goes away from it. */
static void walk_cut(struct mv_walk *walk, const char *name)
{
    walk->path_length -= strlen(name);
    if (walk->path_length)
        walk->path_length--; /* the slash before it */
    walk->path[walk->path_length] = '\0';
}

static void walk_append(struct mv_walk *walk, const char *name)
{
    size_t length = strlen(name);
    MV_ASSERT(walk->path_length + length + 2 <= sizeof walk->path);
    if (walk->path_length)
        walk->path[walk->path_length++] = '/';
    memcpy(walk->path + walk->path_length, name, length + 1);
    walk->path_length += length;
}

static void walk_at(struct mv_walk *walk, struct mv_node *node, struct mv_name *name)
{
    walk->node = node;
    walk->name = name;
    walk->again = node->number != 0 && node->number <= walk->highest;
    if (!walk->again)
        walk->highest = node->number;
}

bool mv_walk_next(struct mv_walk *walk)
{
    if (!walk->node) {
        walk_at(walk, walk->tree->root, NULL);
        return walk_enter(walk, walk->tree->root);
    }
    bool inside = walk->node->type == MV_NODE_DIRECTORY && !walk->leaving;
    if (walk->name && !inside)
        walk_cut(walk, walk->name->text);
    if (walk->depth == 0)
        return false;
    struct mv_node *dir = walk->stack[walk->depth - 1];
    unsigned *next = &walk->next[walk->depth - 1];
    if (*next == dir->children) {
        walk->depth--;
        walk->node = dir;
        walk->name = walk->depth ? dir->name : NULL;
        walk->leaving = true;
        walk->again = false;
        return true;
    }
    struct mv_name *name = dir->child[(*next)++];
    walk->leaving = false;
    walk_append(walk, name->text);
    walk_at(walk, name->node, name);
    if (name->node->type == MV_NODE_DIRECTORY)
        (void)walk_enter(walk, name->node);
    return true;
}

void mv_tree_clamp(struct mv_tree *tree, int64_t epoch_s)
{
    struct mv_walk walk;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        walk.node->mtime_s = MV_MIN(walk.node->mtime_s, epoch_s);
}

uint32_t mv_tree_number(struct mv_tree *tree)
{
    struct mv_walk walk;
    uint32_t number = 0;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk))
        walk.node->number = 0;
    mv_walk_begin(&walk, tree);
    while (mv_walk_next(&walk)) {
        if (walk.leaving || walk.node->number)
            continue;
        walk.node->number = ++number;
        walk.node->name = walk.name;
    }
    return number;
}

void mv_tree_path_of(const struct mv_tree *tree, const struct mv_node *node,
                     char path[MV_TREE_PATH_MAX])
{
    size_t at = MV_TREE_PATH_MAX - 1;
    path[at] = '\0';
    while (node != tree->root) {
        size_t length = strlen(node->name->text);
        MV_ASSERT(length + 1 <= at);
        if (path[at])
            path[--at] = '/';
        at -= length;
        memcpy(path + at, node->name->text, length);
        node = node->name->parent;
    }
    memmove(path, path + at, MV_TREE_PATH_MAX - at);
}
