/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device's end of a network backing, without a device: for tests of backings by
 * themselves.
 */
#ifndef TESTS_LIB_NETEND_H
#define TESTS_LIB_NETEND_H

#include "backing/net.h"

struct netend {
    struct mv_loop loop;
    struct mv_log log;
    struct mv_net *net;
    unsigned readable, writable, links;
    bool stops; /* readable turns listening off, as a device without buffers does */
};

/* The loop is open only if it succeeds. */
int netend_open(struct netend *t, struct mv_net_config config, microvm_error *err);
int netend_open_logged(struct netend *t, struct mv_net_config config, struct mv_log log,
                       microvm_error *err);
void netend_turn(struct netend *t);
void netend_close(struct netend *t);

void netend_fill(uint8_t *to, size_t length, unsigned seed);
/* The next frame, through uneven pieces; 0: none. */
size_t netend_receive(struct netend *t, uint8_t frame[MV_NET_FRAME_MAX]);
bool netend_transmit(struct netend *t, uint8_t *frame, size_t length);
/* The next frame is this one. */
void netend_expect_frame(struct netend *t, size_t length, unsigned seed);

#endif
