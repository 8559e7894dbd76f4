/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading DNS messages.
 */
#include "dns.h"

#include <ctype.h>
#include <string.h>

enum {
    FLAG_RESPONSE = 0x80, /* of byte 2 */
    RCODE_REFUSED = 5,
    TYPE_A = 1,
    TYPE_AAAA = 28,
    TYPE_SVCB = 64,
    TYPE_HTTPS = 65,
    HINT_V4 = 4,
    HINT_V6 = 6,
    LABEL_POINTER = 0xc0
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t load32(const uint8_t *p)
{
    return (uint32_t)load16(p) << 16 | load16(p + 2);
}

/* Where the name at `at` ends in place; 0: nowhere. What a pointer leads to is somebody
 * else's name. */
static size_t name_skip(const uint8_t *message, size_t length, size_t at)
{
    while (at < length) {
        uint8_t n = message[at];
        if ((n & LABEL_POINTER) == LABEL_POINTER)
            return at + 2 <= length ? at + 2 : 0;
        if (n & LABEL_POINTER)
            return 0;
        at += 1u + n;
        if (n == 0)
            return at;
    }
    return 0;
}

bool dns_read_question(const uint8_t *message, size_t length, struct dns_question *out)
{
    size_t at = DNS_HEADER_BYTES, used = 0;
    if (length < DNS_HEADER_BYTES || load16(message + 4) != 1)
        return false;
    for (;;) {
        if (at >= length || message[at] & LABEL_POINTER)
            return false; /* a question has nothing before it to point to */
        size_t n = message[at++];
        if (n == 0)
            break;
        if (at + n > length || used + n + 2 > DNS_NAME_MAX)
            return false;
        if (used > 0)
            out->name[used++] = '.';
        for (size_t i = 0; i < n; i++) {
            uint8_t c = message[at + i];
            if (c <= ' ' || c == '.' || c >= 0x7f)
                return false; /* no name that a rule could mean */
            out->name[used++] = (char)tolower(c);
        }
        at += n;
    }
    out->name[used] = '\0';
    out->id = load16(message);
    out->end = at + 4; /* type and class */
    out->is_response = message[2] & FLAG_RESPONSE;
    return out->end <= length;
}

static bool addresses_add(struct dns_address *out, int room, int *count,
                          const uint8_t *data, size_t bytes, uint32_t ttl_s)
{
    if (*count == room)
        return false;
    struct dns_address *to = &out[(*count)++];
    to->ttl_s = ttl_s;
    if (bytes == 4)
        to->address = mv_address_v4(data);
    else
        memcpy(to->address.byte, data, 16);
    return true;
}

/* The address hints of a service binding: priority, name, then keys with values. */
static bool hints_read(const uint8_t *data, size_t length, uint32_t ttl_s,
                       struct dns_address *out, int room, int *count)
{
    size_t at = length > 2 ? name_skip(data, length, 2) : 0;
    if (at == 0)
        return false;
    while (at + 4 <= length) {
        unsigned key = load16(data + at);
        size_t n = load16(data + at + 2);
        at += 4;
        if (n > length - at)
            return false;
        size_t each = key == HINT_V4 ? 4 : key == HINT_V6 ? 16 : 0;
        if (each && n % each)
            return false;
        for (size_t i = 0; each && i < n; i += each) {
            if (!addresses_add(out, room, count, data + at + i, each, ttl_s))
                return false;
        }
        at += n;
    }
    return at == length;
}

int dns_read_addresses(const uint8_t *message, size_t length,
                       const struct dns_question *question, struct dns_address *out,
                       int room)
{
    size_t at = question->end;
    int count = 0;
    unsigned records =
        (unsigned)load16(message + 6) + load16(message + 8) + load16(message + 10);
    for (unsigned i = 0; i < records; i++) {
        at = name_skip(message, length, at);
        if (at == 0 || length - at < 10)
            return -1;
        unsigned type = load16(message + at);
        uint32_t ttl_s = load32(message + at + 4);
        size_t n = load16(message + at + 8);
        at += 10;
        if (n > length - at)
            return -1;
        const uint8_t *data = message + at;
        bool ok = true;
        if ((type == TYPE_A && n == 4) || (type == TYPE_AAAA && n == 16))
            ok = addresses_add(out, room, &count, data, n, ttl_s);
        else if (type == TYPE_A || type == TYPE_AAAA)
            ok = false;
        else if (type == TYPE_SVCB || type == TYPE_HTTPS)
            ok = hints_read(data, n, ttl_s, out, room, &count);
        if (!ok)
            return -1;
        at += n;
    }
    return count;
}

size_t dns_refuse(uint8_t *message, const struct dns_question *question)
{
    message[2] |= FLAG_RESPONSE;
    message[3] = (uint8_t)((message[3] & 0x70) | 0x80 | RCODE_REFUSED);
    memset(message + 6, 0, 6); /* no records */
    return question->end;
}
