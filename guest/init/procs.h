/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Processes of a session, found in /proc; and what a process of our own keeps open.
 */
#ifndef GUEST_PROCS_H
#define GUEST_PROCS_H

#include <sys/types.h>

/* Kills every process of the session whose leader is `pid`, itself included. */
void procs_kill_session(pid_t pid);
/* Whom a signal for a terminal is meant for, as kill(2) has it: the group in its
 * foreground, or that of `pid`. */
pid_t procs_foreground(int terminal, pid_t pid);
/* Closes all descriptors from that one on. */
void procs_close_from(int first);

#endif
