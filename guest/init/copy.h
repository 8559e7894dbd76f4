/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The requests "put" and "get": file trees into the guest and out of it.
 */
#ifndef GUEST_COPY_H
#define GUEST_COPY_H

#include "session.h"

void put_begin(struct session *session, const struct agent_frame *request);
void get_begin(struct session *session, const struct agent_frame *request);
/* Whatever process has ended; one of ours makes room for another. */
void copy_reaped(int pid);

#endif
