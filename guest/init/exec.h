/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The request "exec": a process whose standard streams are the client's.
 */
#ifndef GUEST_EXEC_H
#define GUEST_EXEC_H

#include "session.h"

void exec_begin(struct session *session, const struct agent_frame *request);
/* Of wait4(2), for whatever process has ended; one of ours takes notice. */
void exec_reaped(int pid, int status);

#endif
