/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The system that a process expects: /proc, /sys, /dev with terminals and shared
 * memory, /run, control groups. Kernels without one of them stay without.
 */
#define _GNU_SOURCE
#include "system.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct {
    const char *type, *where, *options;
    unsigned long flags;
} mounts[] = {
    {"proc", "/proc", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"sysfs", "/sys", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
    {"devtmpfs", "/dev", "mode=0755", MS_NOSUID},
    {"devpts", "/dev/pts", "mode=0620,gid=5,ptmxmode=0666", MS_NOSUID | MS_NOEXEC},
    {"tmpfs", "/dev/shm", "mode=1777", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/run", "mode=0755", MS_NOSUID | MS_NODEV},
    {"tmpfs", "/tmp", "mode=1777", MS_NOSUID | MS_NODEV},
    {"cgroup2", "/sys/fs/cgroup", NULL, MS_NOSUID | MS_NODEV | MS_NOEXEC},
};

void system_say(const char *format, ...)
{
    char text[512];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    (void)dprintf(2, "microvm-init: %s\n", text);
}

void system_say_end(int status)
{
    if (WIFSIGNALED(status))
        system_say("the command was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status))
        system_say("the command ended with status %d", WEXITSTATUS(status));
}

static void open_mounts(void)
{
    for (unsigned i = 0; i < sizeof mounts / sizeof mounts[0]; i++) {
        (void)mkdir(mounts[i].where, 0755);
        int rc = mount(mounts[i].type, mounts[i].where, mounts[i].type, mounts[i].flags,
                       mounts[i].options);
        /* EBUSY: the kernel has done it (devtmpfs). ENODEV: it has none. ENOENT: sysfs
         * has no place for it. */
        if (rc < 0 && errno != EBUSY && errno != ENODEV && errno != ENOENT)
            system_say("mount %s: %s", mounts[i].where, strerror(errno));
    }
}

/* A kernel that found no console gave none. */
static void open_streams(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);
    if (fd < 0)
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < 2)
        fd = dup(fd);
    if (fd > 2)
        (void)close(fd);
}

/* Words of the kernel's command line; the last one counts, as with the kernel's own. */
bool system_parameter(const char *name, char *value, size_t size)
{
    char line[4096], *next = line, *word;
    bool found = false;
    FILE *file = fopen("/proc/cmdline", "re");
    size_t length = file ? fread(line, 1, sizeof line - 1, file) : 0;
    if (file)
        (void)fclose(file);
    line[length] = '\0';
    while ((word = strsep(&next, " \n")) && strcmp(word, "--") != 0) {
        size_t n = strlen(name);
        if (strncmp(word, name, n) == 0 && word[n] == '=') {
            (void)snprintf(value, size, "%s", word + n + 1);
            found = true;
        }
    }
    return found;
}

/* The kernel's command line (hostname=) goes before the image; else each kernel has a
 * name of its own. */
static void set_hostname(void)
{
    char name[65];
    bool told = system_parameter("hostname", name, sizeof name); /* Linux 6.0 too */
    FILE *file = told ? NULL : fopen("/etc/hostname", "re");
    if (told || (file && fscanf(file, "%64s", name) == 1))
        (void)sethostname(name, strlen(name));
    if (file)
        (void)fclose(file);
}

void system_open(void)
{
    open_streams();
    open_mounts();
    set_hostname();
}
