/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Addresses of the Internet, both families in one form.
 */
#ifndef MV_OS_ADDRESS_H
#define MV_OS_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

/* An IPv4 address is written as IPv4-mapped (::ffff:a.b.c.d, RFC 4291, 2.5.5.2). */
struct mv_address {
    uint8_t byte[16];
};

struct mv_address mv_address_v4(const uint8_t byte[4]);
bool mv_address_is_v4(const struct mv_address *address);
/* Numbers only, never a name. False: it is no address. */
bool mv_address_parse(const char *text, struct mv_address *out);

#endif
