/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A gate of the user network, and frames as a guest and libslirp send them. What is put
 * stands in `frame` and has `length` bytes; each test is alone in its process.
 */
#ifndef NETDFRAME_H
#define NETDFRAME_H

#include "dns.h"
#include "gate.h"

extern struct gate gate;
extern uint8_t frame[GATE_FRAME_MAX], reply[GATE_FRAME_MAX];
extern size_t length, reply_length;

/* A cmocka setup: a gate without rules. */
int begin(void **state);
void allow(const char *text);

/* Where the bytes after the IP header, or after UDP's, are. */
uint8_t *put_v4(const char *from, const char *to, uint8_t protocol, size_t bytes);
uint8_t *put_v6(const char *from, const char *to, uint8_t protocol, size_t bytes);
uint8_t *put_udp(const char *from, uint16_t from_port, const char *to, uint16_t to_port,
                 size_t bytes);
void put16(uint8_t *p, size_t value);
void put_syn(const char *to, uint16_t port);
/* A DNS message: header, question; its length. */
size_t put_question(uint8_t *message, const char *name, bool response);
/* The guest's question to our DNS; our DNS's answer with an alias and one address. */
void ask(const char *name);
void answer(const char *name, const char *address);
/* Both: asks, and puts the answer. */
void resolve(const char *name, const char *address);

/* What the gate does with the frame. */
enum gate_verdict from_guest(void);
bool reaches(const char *to, uint16_t port);

void assert_good_packet(const uint8_t *f, size_t n, uint8_t protocol);

#endif
