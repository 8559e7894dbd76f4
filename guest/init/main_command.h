/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The command that the guest is there for: its standard streams are the console, and
 * the guest powers off when it has ended.
 */
#ifndef GUEST_MAIN_COMMAND_H
#define GUEST_MAIN_COMMAND_H

#include "session.h"

/* As the kernel handed it to the first process, in `argv`. */
void main_command_start(char *argv[]);
/* As a client asks for it. */
void main_command_begin(struct session *session, const struct agent_frame *request);
/* Of wait4(2), for whatever process has ended. */
void main_command_reaped(int pid, int status);

#endif
