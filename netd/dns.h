/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * As much of DNS (RFC 1035, chapter 4) as an onlooker needs: which name a message is
 * about, and which addresses an answer gives. Pure; every byte is hostile.
 */
#ifndef NETD_DNS_H
#define NETD_DNS_H

#include "policy.h"

#include <stddef.h>

enum {
    DNS_HEADER_BYTES = 12,
    DNS_NAME_MAX = 256, /* with the NUL */
    DNS_ADDRESSES_MAX = 64
};

struct dns_question {
    char name[DNS_NAME_MAX]; /* lower case, no dot at the end; the root is "" */
    uint16_t id;
    size_t end; /* bytes of header and question */
    bool is_response;
};

struct dns_address {
    struct mv_address address;
    uint32_t ttl_s;
};

/* The one question of a message; false: it is none of DNS, or asks several. */
bool dns_read_question(const uint8_t *message, size_t length, struct dns_question *out);

/* The A and AAAA records of all its sections, and the addresses that HTTPS and SVCB
 * records hint at (RFC 9460, 7.3); how many, or -1: the message is malformed, or has
 * more than `room`. */
int dns_read_addresses(const uint8_t *message, size_t length,
                       const struct dns_question *question, struct dns_address *out,
                       int room);

/* Makes a message a refusal of its question (RCODE 5): its new length. */
size_t dns_refuse(uint8_t *message, const struct dns_question *question);

#endif
