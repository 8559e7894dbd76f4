/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The device's end of a network backing, without a device: for tests of backings by
 * themselves.
 */
#include "netend.h"

#include "check.h"
#include "util/bytes.h"

static void on_readable(void *device)
{
    struct netend *t = device;
    t->readable++;
    if (t->stops)
        t->net->ops->listen(t->net, false);
}

static void on_writable(void *device)
{
    struct netend *t = device;
    t->writable++;
}

static void on_link(void *device)
{
    struct netend *t = device;
    t->links++;
}

int netend_open(struct netend *t, struct mv_net_config config, microvm_error *err)
{
    return netend_open_logged(t, config, (struct mv_log){.fn = NULL}, err);
}

int netend_open_logged(struct netend *t, struct mv_net_config config, struct mv_log log,
                       microvm_error *err)
{
    *t = (struct netend){.log = log};
    assert_ok(mv_loop_open(&t->loop, err), err);
    int rc = mv_net_open(&config, &t->loop, &t->log, &t->net, err);
    if (rc)
        mv_loop_close(&t->loop);
    else
        t->net->user = (struct mv_net_user){on_readable, on_writable, on_link, t};
    return rc;
}

void netend_turn(struct netend *t)
{
    for (unsigned i = 0; i < 6; i++)
        mv_loop_turn(&t->loop);
}

void netend_close(struct netend *t)
{
    t->net->ops->listen(t->net, false);
    t->net->ops->close(t->net);
    mv_loop_close(&t->loop);
}

void netend_fill(uint8_t *to, size_t length, unsigned seed)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (uint8_t)(seed + i * 13 + (i >> 7));
}

size_t netend_receive(struct netend *t, uint8_t frame[MV_NET_FRAME_MAX])
{
    const struct mv_span span[] = {
        {frame, 1}, {frame + 1, 1000}, {frame + 1001, MV_NET_FRAME_MAX - 1001}};
    return t->net->ops->receive(t->net, span, MV_ARRAY_LEN(span));
}

bool netend_transmit(struct netend *t, uint8_t *frame, size_t length)
{
    const struct mv_span span[] = {{frame, 13}, {frame + 13, length - 13}};
    return t->net->ops->send(t->net, span, MV_ARRAY_LEN(span), length);
}

void netend_expect_frame(struct netend *t, size_t length, unsigned seed)
{
    static uint8_t got[MV_NET_FRAME_MAX], want[MV_NET_FRAME_MAX];
    netend_fill(want, length, seed);
    assert_int_equal(netend_receive(t, got), length);
    assert_memory_equal(got, want, length);
}
