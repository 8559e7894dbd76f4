/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Modules of the kernel: a distribution's has its virtio drivers, sockets and tunnels
 * in them. The files of /modules that end in .ko are loaded, once, in the order of
 * their names: who makes the image has put what others need first, so nothing is looked
 * up here, nothing is asked for by a device, and nothing is unpacked.
 */
#define _GNU_SOURCE
#include "modules.h"

#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MODULES "/modules"

static int is_module(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 3 && !strcmp(entry->d_name + length - 3, ".ko");
}

/* 0, or errno. */
static int module_put(int fd)
{
    struct stat st;
    if (fd < 0 || fstat(fd, &st))
        return errno;
    if (!S_ISREG(st.st_mode))
        return ENOEXEC;
    return syscall(SYS_finit_module, fd, "", 0) < 0 ? errno : 0;
}

/* One that is there already is well. false: the others need not be tried. */
static bool module_load(const char *name)
{
    char path[sizeof MODULES + sizeof((struct dirent *)NULL)->d_name + 1];
    (void)snprintf(path, sizeof path, MODULES "/%s", name);
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC); /* a pipe would wait */
    int error = module_put(fd);
    if (fd >= 0)
        (void)close(fd);
    if (error && error != EEXIST)
        system_say("%s: %s", path,
                   error == ENOSYS    ? "this kernel loads no modules"
                   : error == ENOEXEC ? "it is no module of this kernel"
                                      : strerror(error));
    return error != ENOSYS;
}

void modules_load(void)
{
    struct dirent **found;
    int count = scandir(MODULES, &found, is_module, alphasort);
    bool goes_on = true;
    for (int i = 0; i < count; i++) {
        goes_on = goes_on && module_load(found[i]->d_name);
        free(found[i]);
    }
    if (count >= 0)
        free(found);
}
