/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the network device's tests share: a device on a backing in memory, and what its
 * driver does.
 */
#include "net.h"

#include "util/bytes.h"

struct nettest *net_start(bool header, uint64_t features)
{
    struct nettest *t = test_calloc(1, sizeof *t);
    struct mv_vdev *dev;
    vrig_open(&t->rig);
    netdouble_open(&t->net, &t->rig, header, &dev);
    vrig_attach(&t->rig, dev);
    assert_true(vdriver_start(&t->rig.driver, features));
    return t;
}

void net_finish(struct nettest *t)
{
    vrig_close(&t->rig);
    assert_true(t->net.closed);
    netdouble_free(&t->net);
    test_free(t);
}

bool net_failed(struct nettest *t)
{
    return vdriver_read(&t->rig.driver, VREG_STATUS) & NEEDS_RESET;
}

uint8_t *net_at(struct nettest *t, uint64_t gpa, uint64_t length)
{
    return vrig_at(&t->rig, gpa, length);
}

void net_send_chain(struct nettest *t, const struct vdriver_buffer *buffer, unsigned n)
{
    (void)vdriver_add(&t->rig.driver.queue[TRANSMIT], buffer, n);
    vdriver_kick(&t->rig.driver, TRANSMIT);
    vrig_turn(&t->rig);
}

unsigned net_reaped(struct nettest *t, unsigned q)
{
    uint16_t head;
    uint32_t written;
    unsigned n = 0;
    while (vdriver_reap(&t->rig.driver.queue[q], &head, &written))
        n++;
    return n;
}

void net_fill(uint8_t *to, size_t length, uint8_t seed)
{
    for (size_t i = 0; i < length; i++)
        to[i] = (uint8_t)(seed + i * 7 + (i >> 8));
}

void net_offer(struct nettest *t, uint64_t gpa, unsigned n, uint32_t bytes)
{
    for (unsigned i = 0; i < n; i++) {
        const struct vdriver_buffer buffer = {gpa + (uint64_t)i * bytes, bytes, true};
        (void)vdriver_add(&t->rig.driver.queue[RECEIVE], &buffer, 1);
    }
    vdriver_kick(&t->rig.driver, RECEIVE);
    vrig_turn(&t->rig);
}

void net_arrive(struct nettest *t, size_t length, uint8_t seed)
{
    static uint8_t frame[NETDOUBLE_BYTES];
    size_t header = t->net.net.header ? HEADER : 0;
    memset(frame, 0, header);
    net_fill(frame + header, length, seed);
    frame[header] &= 0xfe; /* to one station */
    netdouble_put(&t->net, frame, header + length);
    vrig_turn(&t->rig);
}
