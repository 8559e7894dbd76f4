/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The bytes of the ways through a guest (proxy.md): SOCKS5 as its server needs it (RFC
 * 1928, RFC 1929), and what a host says to the inbound proxy of a guest. For both ends.
 * Pure: no I/O, no allocation; what is read stays where it was received.
 *
 * A function that reads gives the length of what stands at the beginning of `size`
 * bytes, 0 when more bytes are needed, -1 when it begins like nothing of its kind.
 */
#ifndef PROTO_PROXY_H
#define PROTO_PROXY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROXY_PORT = 7602,     /* of the inbound proxy, in the guest */
    PROXY_HOST_MAX = 255,  /* bytes of a name */
    PROXY_HELLO_BYTES = 2, /* before a SOCKS request to the inbound proxy */
    PROXY_REQUEST_MAX = 1 + PROXY_HOST_MAX + 2,
    SOCKS_METHODS_MAX = 2 + 255,
    SOCKS_LOGIN_MAX = 3 + 255 + 255,
    SOCKS_REQUEST_MAX = 4 + 1 + 255 + 2,
    SOCKS_REPLY_MAX = 4 + 16 + 2
};

enum socks_method { SOCKS_NONE = 0, SOCKS_PASSWORD = 2, SOCKS_NO_METHOD = 0xff };
enum socks_command { SOCKS_CONNECT = 1, SOCKS_BIND = 2, SOCKS_ASSOCIATE = 3 };

/* RFC 1928, 6. */
enum socks_status {
    SOCKS_OK = 0,
    SOCKS_FAILURE = 1,
    SOCKS_NOT_ALLOWED = 2,
    SOCKS_NETWORK_UNREACHABLE = 3,
    SOCKS_HOST_UNREACHABLE = 4,
    SOCKS_REFUSED = 5,
    SOCKS_TTL_EXPIRED = 6,
    SOCKS_NO_COMMAND = 7,
    SOCKS_NO_ADDRESS = 8
};

/* Where a connection is to go: a name, or an address as text. */
struct proxy_target {
    char host[PROXY_HOST_MAX + 1];
    uint16_t port;
};

struct socks_login {
    const uint8_t *user, *password;
    uint8_t user_length, password_length;
};

/* The client's methods; *methods: bit 0 without any authentication, bit 2 with a name
 * and a password. */
int socks_methods_read(const uint8_t *bytes, size_t size, unsigned *methods);
int socks_login_read(const uint8_t *bytes, size_t size, struct socks_login *out);
/* *status is OK for a CONNECT to a target, else what the reply says. */
int socks_request_read(const uint8_t *bytes, size_t size, struct proxy_target *out,
                       enum socks_status *status);
/* With the address 0.0.0.0:0: ten bytes. */
size_t socks_reply_write(uint8_t out[SOCKS_REPLY_MAX], enum socks_status status);

/* What comes to the inbound proxy: the bare request, or "00 01" and a SOCKS request,
 * which is answered by a SOCKS reply. */
struct proxy_request {
    struct proxy_target target;
    bool socks;               /* a reply is expected */
    enum socks_status status; /* of a SOCKS request: OK, or what is to be replied */
};
int proxy_request_read(const uint8_t *bytes, size_t size, struct proxy_request *out);
/* The bare request. 0: such a target cannot be said. */
size_t proxy_request_write(uint8_t out[PROXY_REQUEST_MAX],
                           const struct proxy_target *target);
void proxy_hello_write(uint8_t out[PROXY_HELLO_BYTES]);

/* A name or address in printable ASCII without spaces, and a port: nothing else is
 * handed to a resolver. */
bool proxy_target_valid(const struct proxy_target *target);

#endif
