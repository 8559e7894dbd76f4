/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The double's ops.
 */
#include "netdouble.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "virtio/devices.h"

#include <stdlib.h>

static struct netdouble *double_of(struct mv_net *net)
{
    return MV_CONTAINER(net, struct netdouble, net);
}

static bool in_guest(const struct netdouble *d, const struct mv_span *span)
{
    const uint8_t *ram = d->rig->ram.base, *base = span->base;
    return base >= ram &&
           mv_inside((uint64_t)(base - ram), span->length, 0, d->rig->ram.size_bytes);
}

static size_t double_receive(struct mv_net *net, const struct mv_span *span,
                             unsigned spans)
{
    struct netdouble *d = double_of(net);
    size_t room = 0;
    for (unsigned i = 0; i < spans; i++) {
        MV_ASSERT(span[i].length > 0);
        MV_ASSERT(in_guest(d, &span[i]) || i == spans - 1); /* the last may be ours */
        room += span[i].length;
    }
    MV_ASSERT(room >= MV_NET_FRAME_MAX + (net->header ? MV_NET_HEADER_BYTES : 0u));
    if (d->in_count == 0)
        return 0;
    unsigned at = d->in_first;
    size_t length = d->in_length[at], done = 0;
    for (; done < length; span++) {
        size_t n = MV_MIN(span->length, length - done);
        memcpy(span->base, d->in[at] + done, n);
        done += n;
    }
    d->in_first = (at + 1) % NETDOUBLE_FRAMES;
    d->in_count--;
    return length;
}

static bool double_send(struct mv_net *net, const struct mv_span *span, unsigned spans,
                        size_t length)
{
    struct netdouble *d = double_of(net);
    size_t sum = 0, header = net->header ? MV_NET_HEADER_BYTES : 0;
    MV_ASSERT(spans >= 1 && spans <= 257);
    MV_ASSERT(length >= header + MV_NET_FRAME_MIN &&
              length <= header + MV_NET_FRAME_MAX);
    if (d->room == 0) {
        d->refused = true;
        return false;
    }
    for (unsigned i = 0; i < spans; i++) {
        if (header && i == 0)
            MV_ASSERT(span[i].length == header && !in_guest(d, &span[i]));
        else
            MV_ASSERT(span[i].length > 0 && in_guest(d, &span[i]));
        memcpy(d->out + sum, span[i].base, span[i].length);
        sum += span[i].length;
    }
    MV_ASSERT(sum == length);
    d->out_length = length;
    d->out_count++;
    d->room--;
    return true;
}

static void double_again(void *arg)
{
    struct netdouble *d = arg;
    if (d->listening && d->in_count > 0) {
        d->net.user.readable(d->net.user.device);
        mv_loop_post(&d->rig->loop, &d->again);
    }
}

static void double_listen(struct mv_net *net, bool on)
{
    struct netdouble *d = double_of(net);
    d->listening = on;
    if (on && d->in_count > 0)
        mv_loop_post(&d->rig->loop, &d->again);
}

static void double_set_offloads(struct mv_net *net, unsigned offloads)
{
    MV_ASSERT(!(offloads & ~net->receive_offloads));
    double_of(net)->offloads = offloads;
}

static void double_close(struct mv_net *net)
{
    struct netdouble *d = double_of(net);
    mv_loop_cancel(&d->rig->loop, &d->again);
    d->closed = true;
}

static const struct mv_net_ops double_ops = {.name = "double",
                                             .receive = double_receive,
                                             .send = double_send,
                                             .listen = double_listen,
                                             .set_offloads = double_set_offloads,
                                             .close = double_close};

void netdouble_open(struct netdouble *d, struct vrig *rig, bool header,
                    struct mv_vdev **out)
{
    static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
    void *in = d->in ? (void *)d->in : calloc(NETDOUBLE_FRAMES, NETDOUBLE_BYTES);
    MV_ASSERT(in);
    *d = (struct netdouble){.rig = rig, .room = UINT32_MAX};
    d->in = in;
    d->again = (struct mv_call){.fn = double_again, .arg = d};
    d->net.ops = &double_ops;
    d->net.header = header;
    d->net.link = true;
    d->net.mtu = header ? 9000 : 0;
    d->net.send_offloads = d->net.receive_offloads = header ? MV_NET_OFFLOADS : 0;
    int rc = mv_net_device_open(&rig->host, &d->net, "net0", mac, out, NULL);
    MV_ASSERT(rc == 0);
}

void netdouble_free(struct netdouble *d)
{
    free(d->in);
    d->in = NULL;
}

void netdouble_put(struct netdouble *d, const void *frame, size_t length)
{
    unsigned at = (d->in_first + d->in_count) % NETDOUBLE_FRAMES;
    MV_ASSERT(length <= NETDOUBLE_BYTES);
    if (d->in_count == NETDOUBLE_FRAMES)
        return;
    memcpy(d->in[at], frame, length);
    d->in_length[at] = length;
    d->in_count++;
    if (d->listening)
        mv_loop_post(&d->rig->loop, &d->again);
}

void netdouble_make_room(struct netdouble *d, unsigned n)
{
    d->room += n;
    if (d->refused) {
        d->refused = false;
        d->net.user.writable(d->net.user.device);
    }
}
