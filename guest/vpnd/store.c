/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The folder of store.h. A new profile is written beside the old one, under a name that
 * begins with a dot, which no profile's does, and takes its place when it is whole. */
#define _GNU_SOURCE
#include "store.h"

#include "proto/vpn.h"
#include "wgprofile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PROFILES_MAX = 256, ENDS = 3, FILE_MAX = PROFILE_NAME_MAX + sizeof ".ovpn" };

/* A profile's name may be said without these, tried in this order. */
static const char *const ends[ENDS] = {"", ".ovpn", ".conf"};

static const char incoming[] = ".incoming"; /* one writer: one name */
static char folder_path[PATH_MAX];
static int folder = -1;
static bool trusts;

static bool store_fails(char why[PROFILE_WHY_MAX], const char *what)
{
    (void)snprintf(why, PROFILE_WHY_MAX, "%s: %s", what, strerror(errno));
    return false;
}

bool store_open(const char *path, bool trusted)
{
    if (snprintf(folder_path, sizeof folder_path, "%s", path) >= PATH_MAX - 256)
        return false;
    for (char *c = folder_path + 1; (c = strchr(c, '/')); c++) {
        *c = '\0';
        (void)mkdir(folder_path, 0755);
        *c = '/';
    }
    (void)mkdir(folder_path, 0700);
    trusts = trusted;
    folder = open(folder_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder >= 0;
}

static int store_names(struct dirent ***names);

static bool store_is_full(const char *name)
{
    struct dirent **names;
    if (!faccessat(folder, name, F_OK, 0))
        return false;
    int count = store_names(&names);
    for (int i = 0; i < count; i++)
        free(names[i]);
    if (count >= 0)
        free(names);
    return count >= PROFILES_MAX;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, text, size);
        if (n < 0 && errno != EINTR)
            return false;
        text += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
    return fsync(fd) == 0;
}

/* What nobody has to trust is read by ourselves, always. */
static bool content_check(const char *text, size_t size, bool *wireguard,
                          char why[PROFILE_WHY_MAX])
{
    static struct wg_profile profile; /* large */
    bool is = wgprofile_is(text, size);
    if (wireguard)
        *wireguard = is;
    if (!is)
        return trusts || profile_check(text, size, why);
    bool well = wgprofile_read(text, size, &profile, why);
    explicit_bzero(&profile, sizeof profile);
    return well;
}

bool store_put(const char *name, const char *text, size_t size,
               char why[PROFILE_WHY_MAX])
{
    if (!profile_name_valid(name)) {
        (void)snprintf(why, PROFILE_WHY_MAX,
                       "a profile's name has 1 to %d characters, no slash, and no dot "
                       "at its beginning",
                       PROFILE_NAME_MAX);
        return false;
    }
    if (size > VPN_PROFILE_MAX) {
        (void)snprintf(why, PROFILE_WHY_MAX, "the profile has %zu bytes, at most %d",
                       size, VPN_PROFILE_MAX);
        return false;
    }
    if (!content_check(text, size, NULL, why))
        return false;
    if (store_is_full(name)) {
        (void)snprintf(why, PROFILE_WHY_MAX, "there are %d profiles, no more",
                       PROFILES_MAX);
        return false;
    }
    (void)unlinkat(folder, incoming, 0);
    int fd = openat(folder, incoming, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return store_fails(why, "the profile cannot be stored");
    bool well = write_all(fd, text, size);
    (void)close(fd);
    if (!well || renameat(folder, incoming, folder, name))
        return store_fails(why, "the profile cannot be stored");
    (void)fsync(folder);
    return true;
}

/* ---- what is there --------------------------------------------------------------- */

static int is_profile(const struct dirent *entry)
{
    return profile_name_valid(entry->d_name);
}

static int store_names(struct dirent ***names)
{
    return scandir(folder_path, names, is_profile, alphasort);
}

json_t *store_list(void)
{
    struct dirent **names;
    int count = store_names(&names);
    json_t *list = count < 0 ? NULL : json_array();
    for (int i = 0; i < count; i++) {
        /* Somebody else's file may have a name that is no UTF-8: it is not shown. */
        json_t *name = json_string(names[i]->d_name);
        if (name)
            (void)json_array_append_new(list, name);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
    return list;
}

static bool file_check(int fd, bool *wireguard, char why[PROFILE_WHY_MAX])
{
    struct stat st;
    size_t have = 0;
    ssize_t n = 1;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size > VPN_PROFILE_MAX) {
        (void)snprintf(why, PROFILE_WHY_MAX, "it is no file of at most %d bytes",
                       VPN_PROFILE_MAX);
        return false;
    }
    char *text = malloc(VPN_PROFILE_MAX);
    if (!text)
        return store_fails(why, "no memory");
    while (n > 0 && have < VPN_PROFILE_MAX) {
        n = read(fd, text + have, VPN_PROFILE_MAX - have);
        have += n > 0 ? (size_t)n : 0;
    }
    bool well =
        n < 0 ? store_fails(why, "reading") : content_check(text, have, wireguard, why);
    explicit_bzero(text, have);
    free(text);
    return well;
}

/* The first file that is there; -1: none is. */
static int file_open(const char *name, char file[FILE_MAX])
{
    int fd = -1;
    for (unsigned i = 0; i < ENDS && fd < 0 && profile_name_valid(name); i++) {
        (void)snprintf(file, FILE_MAX, "%s%s", name, ends[i]);
        fd = openat(folder, file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    }
    return fd;
}

bool store_find(const char *name, char path[PATH_MAX], bool *wireguard,
                char why[PROFILE_WHY_MAX])
{
    char file[FILE_MAX], inner[PROFILE_WHY_MAX];
    int fd = file_open(name, file);
    if (fd < 0) {
        (void)snprintf(why, PROFILE_WHY_MAX, "there is no profile '%.128s'", name);
        return false;
    }
    bool well = file_check(fd, wireguard, inner);
    (void)close(fd);
    if (!well)
        (void)snprintf(why, PROFILE_WHY_MAX, "profile '%.60s': %.200s", file, inner);
    return well && snprintf(path, PATH_MAX, "%s/%s", folder_path, file) < PATH_MAX;
}

bool store_same(const char *name, const char *file)
{
    char found[FILE_MAX];
    int fd = file_open(name, found);
    if (fd < 0)
        return !strcmp(name, file);
    (void)close(fd);
    return !strcmp(found, file);
}
