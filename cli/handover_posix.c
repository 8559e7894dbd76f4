/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Becoming another program: this process is replaced, so signals, terminal and exit
 * status are the other one's without our help.
 */
#define _GNU_SOURCE
#include "handover.h"

#include "cli.h"
#include "places.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int handover(const char *name, char *const *arguments)
{
    char self[PLACE_BYTES], path[2 * PLACE_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (slash) {
        slash[1] = '\0';
        (void)snprintf(path, sizeof path, "%s%s", self, name);
        (void)execv(path, arguments);
    }
    if (!slash || errno == ENOENT)
        (void)execvp(name, arguments);
    say("%s cannot be started: %s; it is installed beside %s", name, strerror(errno),
        program.name);
    return STATUS_OURS;
}
