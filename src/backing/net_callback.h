/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The application's end of a callback backing: frames as calls, from any thread.
 */
#ifndef MV_BACKING_NET_CALLBACK_H
#define MV_BACKING_NET_CALLBACK_H

#include "backing/net.h"

/* A frame for the guest, copied. TIMEOUT when there is no room for it in time (0: look
 * only; negative: for ever), NOT_RUNNING when the machine is at its end. */
int mv_net_callback_send(struct mv_net *net, const void *frame, size_t length,
                         int64_t timeout_ms, microvm_error *err);
/* The guest's next frame: its length, or a negative code, as above. A frame longer than
 * `capacity` stays and is INVALID. */
int64_t mv_net_callback_receive(struct mv_net *net, void *frame, size_t capacity,
                                int64_t timeout_ms, microvm_error *err);
/* Readable while frames of the guest wait. */
intptr_t mv_net_callback_handle(const struct mv_net *net);
/* Nobody waits any longer: the machine is at its end. Loop. */
void mv_net_callback_end(struct mv_net *net);
/* Is it one? */
bool mv_net_is_callback(const struct mv_net *net);

#endif
