/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The host's file system by POSIX.
 */
#define _GNU_SOURCE
#include "files.h"

#include "os/error.h"
#include "util/bytes.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PART_ROOM = 40, /* for what a file is called until it is complete */
    CPUS_MAX = 32   /* more threads only cost memory */
};

void mv_files_close(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

int mv_files_scratch(const char *folder, int *fd, microvm_error *err)
{
    char path[MV_FILES_PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/scratch.XXXXXX", folder);
    if (n < 0 || n >= (int)sizeof path)
        return mv_fail(err, MICROVM_E_INVALID,
                       "folder '%.80s...': its path is too long", folder);
    int made = mkostemp(path, O_CLOEXEC);
    if (made < 0)
        return mv_fail_os(err, "a temporary file in '%s'", folder);
    (void)unlink(path);
    *fd = made;
    return 0;
}

int mv_files_open(const char *what, const char *path, int *fd, uint64_t *size_bytes,
                  microvm_error *err)
{
    struct stat st;
    int opened =
        open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not wait */
    if (opened < 0)
        return mv_fail_os(err, "%s '%s'", what, path);
    if (fstat(opened, &st) || !S_ISREG(st.st_mode)) {
        mv_files_close(opened);
        return mv_fail(err, MICROVM_E_INVALID, "%s '%s' is no regular file", what,
                       path);
    }
    *fd = opened;
    if (size_bytes)
        *size_bytes = (uint64_t)st.st_size;
    return 0;
}

int mv_files_write(int fd, uint64_t offset, const void *data, size_t length,
                   const char *what, microvm_error *err)
{
    const char *p = data;
    while (length) {
        ssize_t n = pwrite(fd, p, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return mv_fail_os(err, "%s: cannot be written", what);
        p += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int mv_files_read(int fd, uint64_t offset, void *data, size_t length, const char *what,
                  microvm_error *err)
{
    char *p = data;
    while (length) {
        ssize_t n = pread(fd, p, length, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return mv_fail_os(err, "%s: cannot be read", what);
        if (n == 0)
            return mv_fail(err, MICROVM_E_IO, "%s: ends too early", what);
        p += n;
        offset += (uint64_t)n;
        length -= (size_t)n;
    }
    return 0;
}

int mv_files_size(int fd, uint64_t *size_bytes, microvm_error *err)
{
    struct stat st;
    if (fstat(fd, &st))
        return mv_fail_os(err, "the size of a file");
    *size_bytes = (uint64_t)st.st_size;
    return 0;
}

int mv_files_resize(int fd, uint64_t size_bytes, const char *what, microvm_error *err)
{
    if (ftruncate(fd, (off_t)size_bytes))
        return mv_fail_os(err, "%s: cannot be given %llu bytes", what,
                          (unsigned long long)size_bytes);
    return 0;
}

int mv_files_load(const char *what, const char *path, size_t most, char **text,
                  size_t *length, microvm_error *err)
{
    int fd;
    uint64_t size;
    int rc = mv_files_open(what, path, &fd, &size, err);
    if (rc)
        return rc;
    char *data = size <= most ? malloc((size_t)size + 1) : NULL;
    if (size > most)
        rc = mv_fail(err, MICROVM_E_INVALID, "%s '%s' has more than %zu bytes", what,
                     path, most);
    else if (!data)
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "no memory for %s '%s'", what, path);
    else
        rc = mv_files_read(fd, 0, data, (size_t)size, what, err);
    mv_files_close(fd);
    if (rc) {
        free(data);
        return rc;
    }
    data[size] = '\0';
    *text = data;
    *length = (size_t)size;
    return 0;
}

void mv_files_pause(unsigned ms)
{
    struct timespec time = {.tv_sec = ms / 1000,
                            .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL); /* a signal may end it: nobody minds */
}

uint64_t mv_files_clock_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int64_t mv_files_now_s(void)
{
    return (int64_t)time(NULL);
}

unsigned mv_files_cpus(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)MV_MIN(n, CPUS_MAX);
}

int mv_files_again(int fd, int *copy, microvm_error *err)
{
    int made = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (made < 0)
        return mv_fail_os(err, "a second descriptor");
    *copy = made;
    return 0;
}

bool mv_files_has(const char *path, bool folder)
{
    struct stat st;
    return !stat(path, &st) && !S_ISDIR(st.st_mode) == !folder && !access(path, R_OK);
}

bool mv_files_runs(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

void mv_files_path_of(int fd, char *path, size_t size)
{
    (void)snprintf(path, size, "/dev/fd/%d", fd);
}

int mv_files_make_folder(const char *path, microvm_error *err)
{
    char part[MV_FILES_PATH_MAX];
    size_t length = strlen(path);
    if (!length || length >= sizeof part)
        return mv_fail(err, MICROVM_E_INVALID, "folder '%.80s': no usable path", path);
    memcpy(part, path, length + 1);
    for (size_t i = 1; i <= length; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char was = part[i];
        part[i] = '\0';
        if (mkdir(part, 0700) && errno != EEXIST)
            return mv_fail_os(err, "folder '%s' cannot be made", part);
        part[i] = was;
    }
    return 0;
}

int mv_files_lock(const char *path, bool alone, int *fd, uint64_t *size_bytes,
                  microvm_error *err)
{
    int opened = -1, rc = 0;
    for (struct stat there, ours; opened < 0 && !rc;) {
        opened = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (opened < 0)
            return mv_fail_os(err, "'%s'", path);
        while ((rc = flock(opened, alone ? LOCK_EX : LOCK_SH)) && errno == EINTR)
            ;
        if (rc || fstat(opened, &ours))
            rc = mv_fail_os(err, "'%s' cannot be locked", path);
        /* Whoever had it before may have renamed or removed it. */
        else if (stat(path, &there) || there.st_ino != ours.st_ino) {
            mv_files_close(opened);
            opened = -1;
        } else if (size_bytes) {
            *size_bytes = (uint64_t)ours.st_size;
        }
    }
    if (rc)
        mv_files_close(opened);
    else
        *fd = opened;
    return rc;
}

int mv_files_rename(int fd, const char *from, const char *to, microvm_error *err)
{
    if (fsync(fd) || rename(from, to))
        return mv_fail_os(err, "'%s'", to);
    return 0;
}

void mv_files_remove(const char *path)
{
    (void)unlink(path);
}

static int names_order(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* One name more, at `count`. */
static int names_add(char ***names, size_t count, const char *name, microvm_error *err)
{
    char **more = realloc(*names, (count + 2) * sizeof(char *));
    if (more)
        *names = more;
    char *copy = more ? strdup(name) : NULL;
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    more[count] = copy;
    more[count + 1] = NULL;
    return 0;
}

int mv_files_names(const char *folder, char ***out, microvm_error *err)
{
    char **names = calloc(1, sizeof(char *));
    size_t count = 0;
    const struct dirent *entry;
    DIR *dir = names ? opendir(folder) : NULL;
    int rc = dir ? 0 : mv_fail_os(err, "folder '%s'", folder);
    while (!rc && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            rc = names_add(&names, count++, entry->d_name, err);
    if (dir)
        (void)closedir(dir);
    if (!rc) {
        qsort(names, count, sizeof(char *), names_order);
        *out = names;
        return 0;
    }
    for (size_t i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
    return rc;
}

uint64_t mv_files_usage(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

/* ---- folders --------------------------------------------------------------------- */

int mv_files_check_free(const char *path, microvm_error *err)
{
    struct stat there;
    if (lstat(path, &there))
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "output '%s' is there already; a folder must be a new one", path);
}

int mv_files_rename_folder(const char *from, const char *to, microvm_error *err)
{
    int rc = mv_files_check_free(to, err); /* rename() would replace an empty one */
    if (rc)
        return rc;
    return rename(from, to) ? mv_fail_os(err, "output '%s'", to) : 0;
}

void mv_files_remove_folder(const char *path)
{
    char file[MV_FILES_PATH_MAX], **names;
    if (mv_files_names(path, &names, NULL))
        return;
    for (char **name = names; *name; name++) {
        if (snprintf(file, sizeof file, "%s/%s", path, *name) < (int)sizeof file)
            (void)unlink(file);
        free(*name);
    }
    free(names);
    (void)rmdir(path);
}

/* ---- output ---------------------------------------------------------------------- */

/* Between the name and numbers: nothing of a user's is called so. */
#define PART ".microvm.part."

static void part_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB) && unlink(path))
        mv_files_remove_folder(path);
    mv_files_close(fd);
}

/* Those that nobody has locked any more are of processes that were killed. */
static void parts_remove(const char *output)
{
    char folder[MV_FILES_PATH_MAX], part[MV_FILES_PATH_MAX], **names;
    const char *slash = strrchr(output, '/'), *leaf = slash ? slash + 1 : output;
    size_t length = strlen(leaf), rest = sizeof PART - 1;
    (void)snprintf(folder, sizeof folder, "%.*s", slash ? (int)(leaf - output) : 2,
                   slash ? output : "./");
    if (mv_files_names(folder, &names, NULL))
        return;
    for (char **name = names; *name; name++) {
        if (!strncmp(*name, leaf, length) && !strncmp(*name + length, PART, rest) &&
            snprintf(part, sizeof part, "%s%s", folder, *name) < (int)sizeof part)
            part_remove(part);
        free(*name);
    }
    free(names);
}

/* Locks a new part, where there are locks. False: before it was locked somebody took it
 * for abandoned, and has removed it. */
static bool part_keep(int fd)
{
    struct stat st;
    while (flock(fd, LOCK_EX) && errno == EINTR)
        continue;
    return !fstat(fd, &st) && st.st_nlink > 0;
}

int mv_files_new_folder(const char *output, char part[MV_FILES_PATH_MAX], int *fd,
                        microvm_error *err)
{
    int n = snprintf(part, MV_FILES_PATH_MAX, "%s" PART "%d", output, (int)getpid());
    if (n >= MV_FILES_PATH_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "output: the path is too long");
    parts_remove(output);
    for (;;) {
        if (mkdir(part, 0777))
            return mv_fail_os(err, "output '%s'", part);
        *fd = open(part, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (*fd < 0 && errno != ENOENT)
            return mv_fail_os(err, "output '%s'", part);
        if (*fd >= 0 && part_keep(*fd))
            return 0;
        mv_files_close(*fd);
    }
}

int mv_output_open(struct mv_output *out, const char *path, microvm_error *err)
{
    struct mv_output new = MV_OUTPUT_NONE;
    struct stat st;
    size_t length = strlen(path);
    if (length == 0 || length + PART_ROOM > sizeof new.part)
        return mv_fail(err, MICROVM_E_INVALID, "output '%.80s': no usable path", path);
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return mv_fail(err, MICROVM_E_INVALID,
                       "output '%s' is there and no regular file", path);
    memcpy(new.path, path, length + 1);
    parts_remove(path);
    unsigned attempt = 0;
    do { /* not mkstemp: its mode 0600 is not what the user's umask says */
        (void)snprintf(new.part, sizeof new.part, "%.*s" PART "%d.%u", (int)length,
                       path, (int)getpid(), attempt);
        new.fd = open(new.part, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (new.fd >= 0 && !part_keep(new.fd)) {
            (void)close(new.fd);
            new.fd = -1;
            errno = EEXIST; /* once more */
        }
    } while (new.fd < 0 && errno == EEXIST && attempt++ < 1000);
    if (new.fd < 0)
        return mv_fail_os(err, "output '%s'", path);
    *out = new;
    return 0;
}

int mv_output_commit(struct mv_output *out, microvm_error *err)
{
    if (fsync(out->fd) || rename(out->part, out->path))
        return mv_fail_os(err, "output '%s'", out->path);
    out->part[0] = '\0';
    mv_files_close(out->fd);
    out->fd = -1;
    return 0;
}

void mv_output_drop(struct mv_output *out)
{
    if (out->fd >= 0)
        mv_files_close(out->fd);
    if (out->part[0])
        (void)unlink(out->part);
    out->fd = -1;
    out->part[0] = '\0';
}
