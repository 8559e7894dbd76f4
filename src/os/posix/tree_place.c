/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Where a tree is written: what cp says of a target that is a file, a folder or nothing
 * yet, in docker's reading. Links on the way there are followed, for it is the caller's
 * own path; what is inside of the tree never does.
 */
#define _GNU_SOURCE
#include "os/posix/tree_posix.h"

#include "os/error.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A name that means something inside of its folder. */
bool mv_filetree_name_is_plain(const char *name, size_t length)
{
    return length > 0 && length <= NAME_MAX && !(length == 1 && name[0] == '.') &&
           !(length == 2 && name[0] == '.' && name[1] == '.');
}

/* The folder `path` is where the root is made, under `name`. */
static int place_in(struct mv_filetree_found *found, const char *path, const char *name,
                    microvm_error *err)
{
    if (!mv_filetree_name_is_plain(name, strlen(name)) || strchr(name, '/'))
        return mv_fail(err, MICROVM_E_INVALID, "'%.100s' is no name in a folder", name);
    (void)snprintf(found->leaf, sizeof found->leaf, "%s", name);
    found->parent = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return found->parent < 0 ? mv_fail_os(err, "'%.150s'", path) : 0;
}

/* The same for a path with the name at its end, whose folder has to be there. */
static int place_at(struct mv_filetree_found *found, const char *path,
                    microvm_error *err)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    char *copy = strndup(path, length);
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "'%.150s': no memory", path);
    char *slash = strrchr(copy, '/');
    const char *name = slash ? slash + 1 : copy, *folder = slash ? copy : ".";
    if (slash == copy)
        folder = "/";
    else if (slash)
        *slash = '\0';
    int rc = place_in(found, folder, name, err);
    free(copy);
    return rc;
}

static int place_root(struct mv_filetree_found *found, const char *path,
                      microvm_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return mv_fail_os(err, "'%.150s'", path);
    found->root = fd;
    found->parent = -1;
    return 0;
}

/* Something is there and no folder: what a link leads to is replaced, not the link. */
static int place_over(struct mv_filetree_found *found,
                      const struct mv_filetree_place *place, const struct stat *st,
                      microvm_error *err)
{
    if (place->directory)
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is no folder, and a folder cannot be copied to it",
                       place->path);
    if (!S_ISREG(st->st_mode))
        return mv_fail(err, MICROVM_E_INVALID,
                       "'%.150s' is neither file nor folder, and is left as it is",
                       place->path);
    char *real = realpath(place->path, NULL);
    if (!real)
        return mv_fail_os(err, "'%.150s'", place->path);
    int rc = place_at(found, real, err);
    free(real);
    return rc;
}

int mv_filetree_place_find(struct mv_filetree_found *found,
                           const struct mv_filetree_place *place, microvm_error *err)
{
    struct stat st;
    size_t length = strlen(place->path);
    bool slash = length > 0 && place->path[length - 1] == '/';
    if (stat(place->path, &st) == 0) {
        if (!S_ISDIR(st.st_mode))
            return place_over(found, place, &st, err);
        return place->name ? place_in(found, place->path, place->name, err)
                           : place_root(found, place->path, err);
    }
    if (errno != ENOENT || !length)
        return mv_fail_os(err, "'%.150s'", place->path);
    if (slash && !place->directory)
        return mv_fail(err, MICROVM_E_INVALID, "'%.150s' is no folder that exists",
                       place->path);
    if (!place->name && !place->make)
        return mv_fail_os(err, "'%.150s'", place->path);
    return place_at(found, place->path, err);
}
