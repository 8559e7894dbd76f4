/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Names: how a tree is changed. Nothing here recurses, for how deep a tree is
 * an archive decides; what has to go down climbs up again by the parents' pointers.
 */
#include "tree.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdlib.h>

static int tree_no_memory(microvm_error *err)
{
    return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for the tree of an image");
}

/* ---- names ----------------------------------------------------------------------- */

/* Where `text` is among the children, or would be inserted. */
static unsigned child_index(const struct mv_node *dir, const char *text, size_t length,
                            bool *found)
{
    unsigned low = 0, high = dir->children;
    *found = false;
    while (low < high) {
        unsigned mid = low + (high - low) / 2;
        const char *there = dir->child[mid]->text;
        int order = strncmp(there, text, length);
        if (order == 0 && there[length])
            order = 1;
        if (order == 0) {
            *found = true;
            return mid;
        }
        if (order < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct mv_name *child_find(const struct mv_node *dir, const char *text,
                                  size_t length)
{
    bool found;
    unsigned at = child_index(dir, text, length, &found);
    return found ? dir->child[at] : NULL;
}

static int child_room(struct mv_node *dir, microvm_error *err)
{
    if (dir->children < dir->child_room)
        return 0;
    unsigned room = dir->child_room ? 2 * dir->child_room : 4;
    struct mv_name **more = realloc(dir->child, room * sizeof(struct mv_name *));
    if (!more)
        return tree_no_memory(err);
    dir->child = more;
    dir->child_room = room;
    return 0;
}

/* Binds `node`; it is not freed after an error. */
static int child_add(struct mv_tree *tree, struct mv_node *dir, const char *text,
                     size_t length, struct mv_node *node, microvm_error *err)
{
    if (dir->children == MV_TREE_DIRECTORY_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "more than %d entries in one directory, which no image needs",
                       MV_TREE_DIRECTORY_MAX);
    if (tree->entries == tree->entries_max)
        return mv_fail(err, MICROVM_E_INVALID, "more than %u entries: over the limit",
                       tree->entries_max);
    struct mv_name *name = malloc(sizeof *name + length + 1);
    if (!name || child_room(dir, NULL)) {
        free(name);
        return tree_no_memory(err);
    }
    *name = (struct mv_name){.node = node, .parent = dir, .layer = tree->layer};
    memcpy(name->text, text, length);
    name->text[length] = '\0';
    bool found;
    unsigned at = child_index(dir, text, length, &found);
    MV_ASSERT(!found);
    memmove(dir->child + at + 1, dir->child + at,
            (dir->children - at) * sizeof(struct mv_name *));
    dir->child[at] = name;
    dir->children++;
    tree->entries++;
    node->names++;
    if (!node->name)
        node->name = name;
    return 0;
}

/* A name that is in no directory any more. Its node goes with its last name. */
static void name_free(struct mv_name *name)
{
    struct mv_node *node = name->node;
    if (--node->names == 0)
        mv_node_free(node);
    else if (node->name == name)
        node->name = NULL; /* mv_tree_number chooses again */
    free(name);
}

/* Frees all that is below a directory. Takes the last child of the deepest first. */
static void dir_clear(struct mv_node *top)
{
    struct mv_node *dir = top;
    for (;;) {
        if (dir->children == 0) {
            if (dir == top)
                return;
            struct mv_name *name = dir->name;
            dir = name->parent;
            dir->children--;
            name_free(name);
            continue;
        }
        struct mv_name *last = dir->child[dir->children - 1];
        if (last->node->type == MV_NODE_DIRECTORY) {
            dir = last->node;
        } else {
            dir->children--;
            name_free(last);
        }
    }
}

static void name_remove(struct mv_name *name)
{
    struct mv_node *dir = name->parent;
    bool found;
    unsigned at = child_index(dir, name->text, strlen(name->text), &found);
    MV_ASSERT(found);
    if (name->node->type == MV_NODE_DIRECTORY)
        dir_clear(name->node);
    dir->children--;
    memmove(dir->child + at, dir->child + at + 1,
            (dir->children - at) * sizeof(struct mv_name *));
    name_free(name);
}

/* ---- the tree -------------------------------------------------------------------- */

int mv_tree_init(struct mv_tree *tree, microvm_error *err)
{
    struct mv_node *root = mv_node_new(MV_NODE_DIRECTORY);
    if (!root)
        return tree_no_memory(err);
    root->mode = 0755;
    *tree = (struct mv_tree){.root = root, .entries_max = MV_TREE_ENTRIES_MAX};
    return 0;
}

void mv_tree_done(struct mv_tree *tree)
{
    if (!tree->root)
        return;
    dir_clear(tree->root);
    mv_node_free(tree->root);
    tree->root = NULL;
}

/* What is wrong with one component, or NULL. */
static const char *path_component(const char *text, size_t length)
{
    if (length == 2 && !memcmp(text, "..", 2))
        return "leads upwards with '..'";
    if (length > MV_TREE_NAME_MAX)
        return "has a component of more than 255 bytes";
    return NULL;
}

static int path_bad(const char *text, const char *why, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID, "path '%s' %s", mv_str_show(shown, text),
                   why);
}

int mv_tree_path(const char *text, bool rooted, char path[MV_TREE_PATH_MAX],
                 microvm_error *err)
{
    char out[MV_TREE_PATH_MAX];
    size_t used = 0;
    unsigned depth = 0;
    if (text[0] == '/' && text[1] &&
        !rooted) /* "/" is the root, however it is written */
        return path_bad(text, "is absolute; those of an archive begin at its root",
                        err);
    for (const char *p = text; *p;) {
        size_t length = strcspn(p, "/");
        const char *why = path_component(p, length);
        if (why)
            return path_bad(text, why, err);
        if (length && !(length == 1 && *p == '.')) {
            if (used + length + 2 > sizeof out)
                return path_bad(text, "is longer than 4095 bytes", err);
            if (++depth > MV_TREE_DEPTH_MAX)
                return path_bad(text, "is deeper than 256 directories", err);
            if (used)
                out[used++] = '/';
            memcpy(out + used, p, length);
            used += length;
        }
        p += length + (p[length] == '/');
    }
    out[used] = '\0';
    memcpy(path, out, used + 1);
    return 0;
}

struct mv_node *mv_tree_find(const struct mv_tree *tree, const char *path,
                             struct mv_name **name)
{
    struct mv_node *node = tree->root;
    struct mv_name *last = NULL;
    while (*path) {
        size_t length = strcspn(path, "/");
        if (node->type != MV_NODE_DIRECTORY)
            return NULL;
        last = child_find(node, path, length);
        if (!last)
            return NULL;
        node = last->node;
        path += length + (path[length] == '/');
    }
    if (name)
        *name = last;
    return node;
}

static int tree_in_the_way(const char *path, const char *rest, const struct mv_node *at,
                           microvm_error *err)
{
    char part[MV_STR_SHOWN], shown[MV_STR_SHOWN], cut[MV_TREE_PATH_MAX];
    (void)mv_str_show(shown, path);
    memcpy(cut, path, (size_t)(rest - path));
    cut[rest - path] = '\0';
    (void)mv_str_show(part, cut);
    if (at->type == MV_NODE_SYMLINK)
        return mv_fail(err, MICROVM_E_INVALID,
                       "path '%s' leads through the symbolic link '%s'", shown, part);
    return mv_fail(err, MICROVM_E_INVALID,
                   "path '%s' leads through '%s', which is no directory", shown, part);
}

/* The directory that `path` is in, made where it is missing, and the last component.
 * Every directory on the way counts as touched by this layer. */
static int tree_parent(struct mv_tree *tree, const char *path, struct mv_node **parent,
                       const char **leaf, microvm_error *err)
{
    struct mv_node *dir = tree->root;
    const char *p = path;
    for (;;) {
        size_t length = strcspn(p, "/");
        if (!p[length])
            break;
        struct mv_name *name = child_find(dir, p, length);
        if (!name) {
            struct mv_node *made = mv_node_new(MV_NODE_DIRECTORY);
            if (!made)
                return tree_no_memory(err);
            made->mode = 0755;
            int rc = child_add(tree, dir, p, length, made, err);
            if (rc) {
                mv_node_free(made);
                return rc;
            }
            name = made->name;
        }
        if (name->node->type != MV_NODE_DIRECTORY)
            return tree_in_the_way(path, p + length, name->node, err);
        name->layer = tree->layer;
        dir = name->node;
        p += length + 1;
    }
    *parent = dir;
    *leaf = p;
    return 0;
}

/* An existing directory takes over what the new one says of itself. */
static void dir_take_over(struct mv_node *dir, struct mv_node *from)
{
    dir->mode = from->mode;
    dir->uid = from->uid;
    dir->gid = from->gid;
    dir->mtime_s = from->mtime_s;
    mv_node_drop_xattrs(dir);
    dir->xattr = from->xattr;
    dir->xattrs = from->xattrs;
    from->xattr = NULL;
    from->xattrs = 0;
    mv_node_free(from);
}

static int tree_bind(struct mv_tree *tree, const char *path, struct mv_node *node,
                     microvm_error *err)
{
    struct mv_node *dir = NULL;
    const char *leaf = NULL;
    int rc = tree_parent(tree, path, &dir, &leaf, err);
    if (rc)
        return rc;
    struct mv_name *there = child_find(dir, leaf, strlen(leaf));
    if (there && there->node->type == MV_NODE_DIRECTORY &&
        node->type == MV_NODE_DIRECTORY) {
        there->layer = tree->layer;
        dir_take_over(there->node, node);
        return 0;
    }
    if (there)
        name_remove(there);
    return child_add(tree, dir, leaf, strlen(leaf), node, err);
}

int mv_tree_put(struct mv_tree *tree, const char *path, struct mv_node *node,
                microvm_error *err)
{
    int rc = 0;
    if (!*path && node->type == MV_NODE_DIRECTORY) {
        dir_take_over(tree->root, node);
        return 0;
    }
    if (!*path)
        rc =
            mv_fail(err, MICROVM_E_INVALID, "the root of an image must be a directory");
    else
        rc = tree_bind(tree, path, node, err);
    if (rc)
        mv_node_free(node);
    return rc;
}

int mv_tree_link(struct mv_tree *tree, const char *path, const char *target,
                 microvm_error *err)
{
    char shown[MV_STR_SHOWN], other[MV_STR_SHOWN];
    struct mv_node *node = mv_tree_find(tree, target, NULL);
    if (!node || node->type == MV_NODE_DIRECTORY)
        return mv_fail(err, MICROVM_E_INVALID, "hard link '%s': its target '%s' is %s",
                       mv_str_show(shown, path), mv_str_show(other, target),
                       node ? "a directory" : "not there");
    if (!*path)
        return mv_fail(err, MICROVM_E_INVALID, "the root of an image is a hard link");
    if (!strcmp(path, target))
        return 0;
    node->names++; /* replacing `path` must not free it */
    int rc = tree_bind(tree, path, node, err);
    if (--node->names == 0)
        mv_node_free(node);
    return rc;
}

/* ---- whiteouts ------------------------------------------------------------------- */

/* Removes the children of older layers, keeping the order of the others. */
static void dir_drop_older(struct mv_node *dir, uint32_t layer)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < dir->children; i++) {
        struct mv_name *name = dir->child[i];
        if (name->layer >= layer) {
            dir->child[kept++] = name;
            continue;
        }
        if (name->node->type == MV_NODE_DIRECTORY)
            dir_clear(name->node);
        name_free(name);
    }
    dir->children = kept;
}

/* What older layers have put below `top`. Goes down into what remains. */
static void dir_forget(struct mv_node *top, uint32_t layer)
{
    struct mv_node *stack[MV_TREE_DEPTH_MAX + 1];
    unsigned next[MV_TREE_DEPTH_MAX + 1], depth = 0;
    dir_drop_older(top, layer);
    stack[0] = top;
    next[0] = 0;
    for (;;) {
        struct mv_node *dir = stack[depth];
        if (next[depth] == dir->children) {
            if (depth == 0)
                return;
            depth--;
            continue;
        }
        struct mv_node *child = dir->child[next[depth]++]->node;
        if (child->type != MV_NODE_DIRECTORY)
            continue;
        MV_ASSERT(depth < MV_TREE_DEPTH_MAX);
        dir_drop_older(child, layer);
        stack[++depth] = child;
        next[depth] = 0;
    }
}

int mv_tree_whiteout(struct mv_tree *tree, const char *path, microvm_error *err)
{
    struct mv_name *name = NULL;
    struct mv_node *node = mv_tree_find(tree, path, &name);
    if (node && !name)
        return mv_fail(err, MICROVM_E_INVALID, "a whiteout of the image's root");
    if (node && name->layer < tree->layer)
        name_remove(name);
    else if (node && node->type == MV_NODE_DIRECTORY)
        dir_forget(node, tree->layer);
    return 0;
}

int mv_tree_opaque(struct mv_tree *tree, const char *path, microvm_error *err)
{
    struct mv_node *node = mv_tree_find(tree, path, NULL);
    char shown[MV_STR_SHOWN];
    if (node && node->type != MV_NODE_DIRECTORY)
        return mv_fail(err, MICROVM_E_INVALID,
                       "an opaque whiteout in '%s', which is no directory",
                       mv_str_show(shown, path));
    if (node)
        dir_forget(node, tree->layer);
    return 0;
}
