/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands that another program of ours serves. microvm is small and static; what
 * images need (TLS, compression, file systems) is linked into microvm-build alone.
 * handover_posix.c, handover_win.c.
 */
#ifndef CLI_HANDOVER_H
#define CLI_HANDOVER_H

#include <stddef.h>

/* Becomes the program `name`, which is beside this one, with these arguments (NULL at
 * their end; the first is the program's name). Returns, with an exit status and after a
 * message, only where that cannot be. */
int handover(const char *name, char *const *arguments);

/* Runs it and takes the first line that it prints (without its end, cut to `size`). Its
 * exit status; that it could not be started was said. */
int handover_ask(const char *name, char *const *arguments, char *line, size_t size);

#endif
