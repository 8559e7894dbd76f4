/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Named machines on POSIX systems: the files behind a claim, and asking. The one race
 * that matters is between a process that locks NAME.lock and one that removes it as a
 * dead machine's: the lock counts only if the file that was locked still is the one of
 * that name.
 */
#define _GNU_SOURCE
#include "named.h"

#include "cli.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 512, TRIES = 64, ANSWER_MAX = 1 << 20, LOOK_S = 2 };

/* ---- the directory --------------------------------------------------------------- */

/* Somebody else's directory, or one that others may write to, is none of ours. */
static bool directory_is_ours(const char *path, bool quiet)
{
    struct stat s;
    bool is_directory = lstat(path, &s) == 0 && S_ISDIR(s.st_mode);
    bool private = is_directory && s.st_uid == geteuid() && !(s.st_mode & 077);
    if (private || quiet)
        return private;
    if (!is_directory)
        say("'%s', where named machines are kept, is no directory: remove it, or set "
            "XDG_RUNTIME_DIR",
            path);
    else
        say("'%s' belongs to another user or is open to others: make it yours with mode "
            "0700, or set XDG_RUNTIME_DIR",
            path);
    return false;
}

/* MAKE: it has to be there afterwards. QUIET: without a message. */
enum { DIRECTORY_MAKE = 1, DIRECTORY_QUIET = 2 };

static bool directory_find(char *path, size_t size, unsigned how)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    int n = base && *base == '/'
                ? snprintf(path, size, "%s/microvm", base)
                : snprintf(path, size, "/tmp/microvm-%u", (unsigned)geteuid());
    bool make = how & DIRECTORY_MAKE, quiet = how & DIRECTORY_QUIET;
    if (n < 0 || (size_t)n >= size) {
        if (!quiet)
            say("XDG_RUNTIME_DIR is too long");
        return false;
    }
    if (make && mkdir(path, 0700) != 0 && errno != EEXIST) {
        if (!quiet)
            say("'%s', where named machines are kept, cannot be made: %s", path,
                strerror(errno));
        return false;
    }
    return !make && access(path, F_OK) != 0 ? true : directory_is_ours(path, quiet);
}

static bool path_make(char *path, size_t size, const char *directory, const char *name,
                      const char *end)
{
    int n = snprintf(path, size, "%s/%s%s", directory, name, end);
    return n > 0 && (size_t)n < size;
}

static bool name_is_good(const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length >= NAMED_BYTES || *name == '.' || *name == '-')
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                        "_.-") == length;
}

/* ---- claims ---------------------------------------------------------------------- */

static bool same_file(int fd, const char *path)
{
    struct stat a, b;
    return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* The lock of a name: a descriptor; -1 with errno EWOULDBLOCK: its machine lives. */
static int lock_take(const char *path)
{
    for (int i = 0; i < TRIES; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return -1;
        int rc = flock(fd, LOCK_EX | LOCK_NB);
        if (rc == 0 && same_file(fd, path))
            return fd;
        int saved = errno;
        (void)close(fd);
        errno = saved;
        if (rc != 0)
            return -1;
    }
    errno = EAGAIN;
    return -1;
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    (void)unlink(path); /* a dead machine's; we hold the lock */
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 16) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

static bool claim_try(struct claim *claim, const char *directory, const char *name)
{
    char lock[PATH_BYTES], socket_path[PATH_BYTES];
    if (!path_make(lock, sizeof lock, directory, name, ".lock") ||
        !path_make(socket_path, sizeof socket_path, directory, name, ".sock")) {
        errno = ENAMETOOLONG;
        return false;
    }
    claim->lock = lock_take(lock);
    if (claim->lock < 0)
        return false;
    claim->listener = listen_at(socket_path);
    if (claim->listener < 0) {
        int saved = errno;
        (void)unlink(lock);
        (void)close(claim->lock);
        claim->lock = -1;
        errno = saved;
        return false;
    }
    (void)snprintf(claim->name, sizeof claim->name, "%s", name);
    return true;
}

/* Two words that nobody uses. */
static bool claim_any(struct claim *claim, const char *directory)
{
    static const char *const first[] = {"amber", "brave", "calm",  "dapper", "eager",
                                        "fair",  "glad",  "hazel", "ivory",  "jolly",
                                        "keen",  "lucid", "merry", "noble",  "olive",
                                        "proud", "quick", "ruby",  "sunny",  "vivid"};
    static const char *const second[] = {"badger", "crane",  "dingo", "egret", "finch",
                                         "gecko",  "heron",  "ibis",  "jay",   "koala",
                                         "lark",   "marten", "newt",  "otter", "puffin",
                                         "quail",  "robin",  "seal",  "tern",  "wren"};
    const unsigned firsts = sizeof first / sizeof first[0];
    const unsigned seconds = sizeof second / sizeof second[0];
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    unsigned at = (unsigned)now.tv_nsec / 1000 + (unsigned)getpid();
    for (unsigned i = 0; i < firsts * seconds; i++, at++) {
        char name[NAMED_BYTES];
        (void)snprintf(name, sizeof name, "%s-%s", first[at % firsts],
                       second[at / firsts % seconds]);
        if (claim_try(claim, directory, name))
            return true;
        if (errno != EWOULDBLOCK)
            return false;
    }
    return false;
}

bool claim_name(struct claim *claim, const char *wanted)
{
    char directory[PATH_BYTES];
    *claim = (struct claim)CLAIM_NONE;
    if (wanted && !name_is_good(wanted)) {
        say("--name '%s': a name is up to %d letters, digits, '-', '_' and '.', and "
            "begins with a letter or digit",
            wanted, NAMED_BYTES - 1);
        return false;
    }
    unsigned how = DIRECTORY_MAKE | (wanted ? 0 : DIRECTORY_QUIET);
    if (!directory_find(directory, sizeof directory, how))
        return false;
    if (wanted ? claim_try(claim, directory, wanted) : claim_any(claim, directory))
        return true;
    if (!wanted)
        return false;
    if (errno == EWOULDBLOCK)
        say("--name %s: a machine of that name is running; 'microvm ps' lists them, "
            "'microvm stop %s' ends it",
            wanted, wanted);
    else
        say("the name '%s' cannot be claimed in '%s': %s", wanted, directory,
            strerror(errno));
    return false;
}

void claim_release(struct claim *claim)
{
    char directory[PATH_BYTES], path[PATH_BYTES];
    if (claim->lock < 0)
        return;
    (void)close(claim->listener);
    if (directory_find(directory, sizeof directory, 0)) {
        if (path_make(path, sizeof path, directory, claim->name, ".sock"))
            (void)unlink(path);
        if (path_make(path, sizeof path, directory, claim->name, ".lock"))
            (void)unlink(path);
    }
    (void)close(claim->lock);
    *claim = (struct claim)CLAIM_NONE;
}

/* ---- listing --------------------------------------------------------------------- */

/* False: its process is dead, and nothing is left of it now. */
static bool name_lives(const char *directory, const char *name)
{
    struct claim claim = CLAIM_NONE;
    char path[PATH_BYTES];
    if (!path_make(path, sizeof path, directory, name, ".lock"))
        return false;
    claim.lock = lock_take(path);
    if (claim.lock < 0)
        return errno == EWOULDBLOCK;
    (void)snprintf(claim.name, sizeof claim.name, "%s", name);
    claim_release(&claim);
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool list_add(char ***names, unsigned count, const char *name)
{
    char **more = realloc(*names, (count + 2) * sizeof **names);
    if (!more)
        return false;
    *names = more;
    more[count] = strdup(name);
    more[count + 1] = NULL;
    return more[count] != NULL;
}

char **named_list(void)
{
    char directory[PATH_BYTES];
    char **names = calloc(1, sizeof *names);
    unsigned count = 0;
    if (!names || !directory_find(directory, sizeof directory, 0)) {
        free(names);
        return NULL;
    }
    DIR *dir = opendir(directory);
    if (!dir)
        return names; /* there has never been a machine */
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char name[NAMED_BYTES + 8];
        size_t length = strlen(e->d_name);
        if (length < 6 || length - 5 >= NAMED_BYTES ||
            strcmp(e->d_name + length - 5, ".lock"))
            continue;
        (void)snprintf(name, sizeof name, "%.*s", (int)length - 5, e->d_name);
        if (name_is_good(name) && name_lives(directory, name))
            count += list_add(&names, count, name);
    }
    (void)closedir(dir);
    qsort(names, count, sizeof *names, by_name);
    return names;
}

void named_list_free(char **names)
{
    for (unsigned i = 0; names && names[i]; i++)
        free(names[i]);
    free(names);
}

/* ---- asking ---------------------------------------------------------------------- */

static void say_no_machine(const char *name)
{
    char **names = named_list();
    const char *nearest =
        names ? microvm_nearest(name, (const char *const *)names) : NULL;
    if (nearest)
        say("there is no machine '%s': did you mean '%s'?", name, nearest);
    else
        say("there is no machine '%s'; 'microvm ps' lists them", name);
    named_list_free(names);
}

/* err NULL: it is said. */
static void answer_fail(const char *name, const char *why, microvm_error *err)
{
    const char *what = *why ? ": " : " has ended";
    if (!err) {
        say("machine '%s'%s%s", name, what, why);
        return;
    }
    err->code = MICROVM_E_IO;
    (void)snprintf(err->message, sizeof err->message, "machine '%s'%s%s", name, what,
                   why);
}

static int named_connect(const char *name, microvm_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char directory[PATH_BYTES], path[PATH_BYTES];
    if (!directory_find(directory, sizeof directory, err ? DIRECTORY_QUIET : 0)) {
        if (err)
            answer_fail(name, "its directory is not there", err);
        return -1;
    }
    if (!name_is_good(name) ||
        !path_make(path, sizeof path, directory, name, ".sock") ||
        strlen(path) >= sizeof address.sun_path) {
        say_no_machine(name);
        return -1;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0) {
        answer_fail(name, strerror(errno), err);
        return -1;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    int why = errno;
    bool gone = why == ENOENT || why == ECONNREFUSED;
    if (gone)
        (void)name_lives(directory, name); /* removes what a dead one left */
    if (gone && !err)
        say_no_machine(name);
    else
        answer_fail(name, gone ? "" : strerror(why), err);
    (void)close(fd);
    return -1;
}

static bool send_line(int fd, const json_t *request)
{
    char *text = json_dumps(request, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0, at = 0;
    bool ok = text != NULL;
    if (ok)
        text[length++] = '\n'; /* in place of the NUL */
    while (ok && at < length) {
        ssize_t n = send(fd, text + at, length - at, MSG_NOSIGNAL);
        ok = n > 0 || (n < 0 && errno == EINTR);
        at += n > 0 ? (size_t)n : 0;
    }
    free(text);
    return ok;
}

/* One byte, and the descriptor that may come with it. */
static ssize_t receive_byte(int fd, char *byte, int *stream)
{
    struct iovec iov = {byte, 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } room;
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = room.bytes,
                             .msg_controllen = sizeof room.bytes};
    ssize_t n = recvmsg(fd, &message, 0);
    struct cmsghdr *rights = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    if (rights && rights->cmsg_level == SOL_SOCKET && rights->cmsg_type == SCM_RIGHTS &&
        rights->cmsg_len == CMSG_LEN(sizeof(int))) {
        memcpy(stream, CMSG_DATA(rights), sizeof *stream);
        (void)fcntl(*stream, F_SETFD, FD_CLOEXEC);
    }
    return n;
}

/* Byte by byte: what follows the line is the stream's. */
static char *receive_line(int fd, int *stream)
{
    char *line = NULL;
    size_t length = 0, size = 0;
    for (;;) {
        if (length + 1 >= size) {
            size = size ? 2 * size : 256;
            char *more = size <= ANSWER_MAX ? realloc(line, size) : NULL;
            if (!more)
                break;
            line = more;
        }
        ssize_t n = receive_byte(fd, line + length, stream);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        if (line[length] == '\n') {
            line[length] = '\0';
            return line;
        }
        length++;
    }
    free(line);
    return NULL;
}

static json_t *answer_check(const char *name, char *line, microvm_error *err)
{
    json_t *answer = line ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    const char *error = json_string_value(json_object_get(answer, "error"));
    free(line);
    if (json_is_object(answer) && !error)
        return answer;
    answer_fail(name, error ? error : "", err);
    json_decref(answer);
    return NULL;
}

/* wait_s 0: as long as it takes. err NULL: what goes wrong is said. */
static json_t *ask(const char *name, const char *verb, json_t *request, int *stream,
                   microvm_error *err, unsigned wait_s)
{
    int fd = named_connect(name, err), handed = -1;
    const struct timeval wait = {.tv_sec = (time_t)wait_s};
    json_t *answer = NULL;
    if (fd >= 0 && request &&
        json_object_set_new(request, "do", json_string(verb)) == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        errno = 0;
        char *line = send_line(fd, request) ? receive_line(fd, &handed) : NULL;
        if (!line && errno == EAGAIN)
            say("machine '%s' does not answer", name);
        answer = answer_check(name, line, err);
    } else if (fd >= 0) {
        answer_fail(name, "no memory", err);
    }
    json_decref(request);
    if (handed >= 0) { /* the stream is another socket than that of the question */
        (void)close(fd);
        fd = handed;
    }
    if (answer && stream)
        *stream = fd;
    else if (fd >= 0)
        (void)close(fd);
    return answer;
}

json_t *named_ask(const char *name, const char *verb, json_t *more, int *stream)
{
    return ask(name, verb, more ? more : json_object(), stream, NULL, 0);
}

json_t *named_try(const char *name, const char *verb, json_t *more, int *stream,
                  microvm_error *err)
{
    microvm_error none;
    return ask(name, verb, more ? more : json_object(), stream, err ? err : &none, 0);
}

json_t *named_look(const char *name, const char *verb)
{
    microvm_error none;
    return ask(name, verb, json_object(), NULL, &none, LOOK_S);
}
