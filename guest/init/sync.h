/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The request "sync".
 */
#ifndef GUEST_SYNC_H
#define GUEST_SYNC_H

#include "session.h"

void sync_begin(struct session *session, const struct agent_frame *request);
/* Some process has ended. */
void sync_reaped(int pid);

#endif
