/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the network device's tests share: a device on a backing in memory, and what its
 * driver does.
 */
#ifndef TESTS_DEVICE_NET_H
#define TESTS_DEVICE_NET_H

#include "check.h"
#include "netdouble.h"

enum { RECEIVE = 0, TRANSMIT = 1, CONTROL = 2 };
enum { NEEDS_RESET = 64, USED = 1, CONFIG = 2 };
enum { DATA = 0x100000, ANSWER = 0x1f0000, HEADER = MV_NET_HEADER_BYTES };
#define ALL UINT64_MAX

struct nettest {
    struct vrig rig;
    struct netdouble net;
};

/* A device that is at work. header: its backing is like a tap. */
struct nettest *net_start(bool header, uint64_t features);
void net_finish(struct nettest *t);
bool net_failed(struct nettest *t);
uint8_t *net_at(struct nettest *t, uint64_t gpa, uint64_t length);

void net_send_chain(struct nettest *t, const struct vdriver_buffer *buffer, unsigned n);
/* Takes back what was used; how many chains. */
unsigned net_reaped(struct nettest *t, unsigned q);
void net_fill(uint8_t *to, size_t length, uint8_t seed);
/* Offers n receive buffers of `bytes` from `gpa` on, one behind the other. */
void net_offer(struct nettest *t, uint64_t gpa, unsigned n, uint32_t bytes);
/* A frame arrives: `length` bytes behind the header, if there is one. */
void net_arrive(struct nettest *t, size_t length, uint8_t seed);

#endif
