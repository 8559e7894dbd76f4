/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of proxy.h. */
#include "proto/proxy.h"

#include <stdio.h>
#include <string.h>

enum {
    SOCKS_VERSION = 5,
    LOGIN_VERSION = 1, /* RFC 1929 has one of its own */
    HELLO_VERSION = 1,
    ADDRESS_IPV4 = 1,
    ADDRESS_NAME = 3,
    ADDRESS_IPV6 = 4,
    IPV4_BYTES = 4,
    IPV6_BYTES = 16
};

bool proxy_target_valid(const struct proxy_target *target)
{
    for (const char *c = target->host; *c; c++) {
        if (*c <= ' ' || *c > '~')
            return false;
    }
    return target->host[0] && target->port > 0;
}

static void target_name(struct proxy_target *out, const uint8_t *name, size_t length)
{
    /* A zero byte within would hide the rest of the name. */
    bool hidden = memchr(name, 0, length);
    memcpy(out->host, name, length);
    out->host[hidden ? 0 : length] = '\0';
}

static uint16_t read_port(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

/* -- SOCKS5 -- */

int socks_methods_read(const uint8_t *bytes, size_t size, unsigned *methods)
{
    if (size >= 1 && bytes[0] != SOCKS_VERSION)
        return -1;
    if (size < 2 || size < 2u + bytes[1])
        return 0;
    *methods = 0;
    for (unsigned i = 0; i < bytes[1]; i++) {
        if (bytes[2 + i] == SOCKS_NONE || bytes[2 + i] == SOCKS_PASSWORD)
            *methods |= 1u << bytes[2 + i];
    }
    return 2 + bytes[1];
}

int socks_login_read(const uint8_t *bytes, size_t size, struct socks_login *out)
{
    if (size >= 1 && bytes[0] != LOGIN_VERSION)
        return -1;
    if (size < 2 || size < 3u + bytes[1])
        return 0;
    size_t user = bytes[1], password = bytes[2 + user];
    if (size < 3 + user + password)
        return 0;
    *out = (struct socks_login){.user = bytes + 2,
                                .password = bytes + 3 + user,
                                .user_length = (uint8_t)user,
                                .password_length = (uint8_t)password};
    return (int)(3 + user + password);
}

static void target_ipv4(struct proxy_target *out, const uint8_t *a)
{
    (void)snprintf(out->host, sizeof out->host, "%u.%u.%u.%u", a[0], a[1], a[2], a[3]);
}

/* In full: who reads it knows every form. */
static void target_ipv6(struct proxy_target *out, const uint8_t *a)
{
    size_t at = 0;
    for (unsigned i = 0; i < IPV6_BYTES; i += 2)
        at += (size_t)snprintf(out->host + at, sizeof out->host - at, "%s%x",
                               i ? ":" : "", (unsigned)(a[i] << 8 | a[i + 1]));
}

/* The address's length, with the byte that says how long a name is. */
static size_t address_length(uint8_t type, uint8_t first)
{
    return type == ADDRESS_IPV4   ? IPV4_BYTES
           : type == ADDRESS_IPV6 ? IPV6_BYTES
                                  : 1u + first;
}

int socks_request_read(const uint8_t *bytes, size_t size, struct proxy_target *out,
                       enum socks_status *status)
{
    if (size >= 1 && bytes[0] != SOCKS_VERSION)
        return -1;
    if (size < 5)
        return 0;
    uint8_t type = bytes[3];
    *out = (struct proxy_target){.port = 0};
    if (type != ADDRESS_IPV4 && type != ADDRESS_NAME && type != ADDRESS_IPV6) {
        *status = SOCKS_NO_ADDRESS; /* how long it is nobody knows */
        return (int)size;
    }
    size_t length = address_length(type, bytes[4]);
    if (size < 4 + length + 2)
        return 0;
    if (type == ADDRESS_IPV4)
        target_ipv4(out, bytes + 4);
    else if (type == ADDRESS_IPV6)
        target_ipv6(out, bytes + 4);
    else
        target_name(out, bytes + 5, length - 1);
    out->port = read_port(bytes + 4 + length);
    *status = bytes[1] != SOCKS_CONNECT ? SOCKS_NO_COMMAND
              : proxy_target_valid(out) ? SOCKS_OK
                                        : SOCKS_FAILURE;
    return (int)(4 + length + 2);
}

size_t socks_reply_write(uint8_t out[SOCKS_REPLY_MAX], enum socks_status status)
{
    const size_t length = 4 + IPV4_BYTES + 2;
    memset(out, 0, length);
    out[0] = SOCKS_VERSION;
    out[1] = (uint8_t)status;
    out[3] = ADDRESS_IPV4;
    return length;
}

/* -- to the inbound proxy -- */

void proxy_hello_write(uint8_t out[PROXY_HELLO_BYTES])
{
    out[0] = 0;
    out[1] = HELLO_VERSION;
}

static int request_socks(const uint8_t *bytes, size_t size, struct proxy_request *out)
{
    if (size < PROXY_HELLO_BYTES)
        return 0;
    if (bytes[1] != HELLO_VERSION)
        return -1;
    int length = socks_request_read(bytes + PROXY_HELLO_BYTES, size - PROXY_HELLO_BYTES,
                                    &out->target, &out->status);
    out->socks = true;
    return length > 0 ? PROXY_HELLO_BYTES + length : length;
}

int proxy_request_read(const uint8_t *bytes, size_t size, struct proxy_request *out)
{
    if (size < 1)
        return 0;
    size_t name = bytes[0];
    if (name == 0)
        return request_socks(bytes, size, out);
    if (size < 1 + name + 2)
        return 0;
    *out = (struct proxy_request){.status = SOCKS_OK};
    target_name(&out->target, bytes + 1, name);
    out->target.port = read_port(bytes + 1 + name);
    return proxy_target_valid(&out->target) ? (int)(1 + name + 2) : -1;
}

size_t proxy_request_write(uint8_t out[PROXY_REQUEST_MAX],
                           const struct proxy_target *target)
{
    size_t length = strlen(target->host);
    if (!proxy_target_valid(target))
        return 0;
    out[0] = (uint8_t)length;
    memcpy(out + 1, target->host, length);
    out[1 + length] = (uint8_t)(target->port >> 8);
    out[2 + length] = (uint8_t)target->port;
    return 1 + length + 2;
}
