/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Commands as requests have them.
 */
#ifndef GUEST_COMMAND_H
#define GUEST_COMMAND_H

#include "launch.h"
#include "session.h"

/* Exit statuses of what did not begin, as shells have them. */
enum { COMMAND_NOT_RUNNABLE = 126, COMMAND_NOT_FOUND = 127 };

/* Fills in all of *launch but the streams, from the request's strings and our own
 * memory: it counts until the next call. False after a refusal. */
bool command_read(struct session *session, const struct agent_frame *request,
                  struct launch *launch);
/* What a launch that failed ends with. */
int command_code(const struct launch *launch, const struct launch_failure *failure);
/* The reply to it. */
void command_refuse(struct session *session, const struct launch *launch,
                    const struct launch_failure *failure);

#endif
