/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * --add-file SOURCE:TARGET[:MODE[:UID[:GID]]]. The target is a path in the guest; where
 * directories of it are symbolic links (/bin of most distributions), they are followed
 * as the guest would, inside of the tree. A target that ends in '/' is a folder to put
 * the source into. A folder as source brings all that is in it.
 */
#include "builder.h"
#include "scan.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARTS_MAX = 5, LINKS_MAX = 40 }; /* 40 as in Linux' path walks */

struct addition {
    char *part[PARTS_MAX]; /* source, target, mode, uid, gid */
    unsigned parts;
};

static int add_bad(const char *text, const char *why, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID, "add-file: '%s' %s",
                   mv_str_show(shown, text), why);
}

/* Splits `copy` in place. */
static int add_split(const char *text, char *copy, struct addition *a,
                     microvm_error *err)
{
    char *p = copy;
    a->parts = 0;
    while (a->parts < PARTS_MAX) {
        a->part[a->parts++] = p;
        p = strchr(p, ':');
        if (!p)
            break;
        *p++ = '\0';
    }
    if (p)
        return add_bad(text, "has more parts than SOURCE:TARGET:MODE:UID:GID", err);
    if (a->parts < 2 || !*a->part[0] || !*a->part[1])
        return add_bad(text, "is not SOURCE:TARGET", err);
    return 0;
}

static bool add_octal(const char *text, int *mode)
{
    unsigned value = 0;
    for (const char *p = text; *p; p++) {
        if (*p < '0' || *p > '7' || value > 0777)
            return false;
        value = value * 8 + (unsigned)(*p - '0');
    }
    *mode = (int)value;
    return *text && value <= 07777;
}

static int add_options(const char *text, const struct addition *a,
                       struct mv_scan_options *options, microvm_error *err)
{
    uint64_t id[2] = {0, 0};
    if (a->parts > 2 && !add_octal(a->part[2], &options->mode))
        return add_bad(text, "has a mode that is not octal, like 0755", err);
    for (unsigned i = 3; i < a->parts; i++)
        if (mv_str_to_count(a->part[i], &id[i - 3]) || id[i - 3] > UINT32_MAX - 1)
            return add_bad(text, "has an owner that is not a number", err);
    options->uid = (uint32_t)id[0];
    options->gid = (uint32_t)(a->parts > 4 ? id[1] : id[0]);
    return 0;
}

/* Where `path` is when links to directories on its way are followed: by components, as
 * path walks go; what leads above the root stays at it. The last one is not followed.
 */
static int add_follow(const struct mv_tree *tree, const char *path,
                      char out[MV_TREE_PATH_MAX], microvm_error *err)
{
    char rest[3 * MV_TREE_PATH_MAX], joined[3 * MV_TREE_PATH_MAX];
    unsigned links = 0;
    size_t used = 0;
    (void)snprintf(rest, sizeof rest, "%s", path);
    out[0] = '\0';
    for (char *p = rest; *p;) {
        size_t length = strcspn(p, "/");
        char *next = p + length + (p[length] == '/');
        size_t before = used;
        if (length == 2 && !memcmp(p, "..", 2)) {
            char *slash = strrchr(out, '/');
            used = slash ? (size_t)(slash - out) : 0;
        } else if (length && !(length == 1 && *p == '.')) {
            if (used + length + 2 > MV_TREE_PATH_MAX)
                return add_bad(path, "is too long when its links are followed", err);
            used += (size_t)snprintf(out + used, MV_TREE_PATH_MAX - used, "%s%.*s",
                                     used ? "/" : "", (int)length, p);
        }
        out[used] = '\0';
        const struct mv_node *node = mv_tree_find(tree, out, NULL);
        p = next;
        if (!*p || !node || node->type != MV_NODE_SYMLINK)
            continue;
        if (++links > LINKS_MAX)
            return add_bad(path, "leads through a loop of symbolic links", err);
        if (snprintf(joined, sizeof joined, "%s/%s", node->target, p) >=
            2 * MV_TREE_PATH_MAX)
            return add_bad(path, "is too long when its links are followed", err);
        used = node->target[0] == '/' ? 0 : before;
        out[used] = '\0';
        memcpy(rest, joined, strlen(joined) + 1);
        p = rest;
    }
    return 0;
}

static int add_target(const struct mv_build *build, const struct addition *a,
                      char path[MV_TREE_PATH_MAX], microvm_error *err)
{
    char joined[2 * MV_TREE_PATH_MAX], clean[MV_TREE_PATH_MAX];
    const char *target = a->part[1], *source = a->part[0];
    const char *slash = strrchr(source, '/');
    const char *leaf = slash ? slash + 1 : source;
    bool into = target[strlen(target) - 1] == '/';
    if (snprintf(joined, sizeof joined, "%s%s", target, into ? leaf : "") >=
        (int)sizeof joined)
        return add_bad(target, "is too long", err);
    int rc = mv_tree_path(joined, true, clean, err);
    if (!rc)
        rc = add_follow(&build->tree, clean, joined, err);
    return rc ? rc : mv_tree_path(joined, true, path, err);
}

static int add_one(struct mv_build *build, const char *text, microvm_error *err)
{
    struct addition a;
    char path[MV_TREE_PATH_MAX];
    struct mv_scan_options options = {.devices = build->recipe->devices,
                                      .mode = -1,
                                      .mtime_s = mv_build_epoch(build),
                                      .progress = &build->progress};
    char *copy = strdup(text);
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    int rc = add_split(text, copy, &a, err);
    if (!rc)
        rc = add_options(text, &a, &options, err);
    if (!rc)
        rc = add_target(build, &a, path, err);
    if (!rc)
        rc = mv_scan(&build->tree, &build->store, a.part[0], path, &options, err);
    free(copy);
    return rc;
}

int mv_build_add_files(struct mv_build *build, microvm_error *err)
{
    const struct mv_texts *files = &build->recipe->add_file;
    for (unsigned i = 0; i < files->count; i++) {
        int rc = add_one(build, files->text[i], err);
        if (rc)
            return rc;
    }
    return 0;
}
