/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The bytes of outbound.h. */
#include "proto/outbound.h"

#include <string.h>

enum { CONNECT_VERSION = 1, RESPONSE_VERSION = 2 };

static void put(uint8_t *out, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const uint8_t *bytes, unsigned count)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static void head_write(uint8_t out[OUTBOUND_HEAD], enum outbound_type type,
                       uint64_t key, uint32_t length)
{
    out[0] = (uint8_t)type;
    put(out + 1, key, 8);
    put(out + 9, length, 4);
}

/* -- before the stream -- */

static bool address_is_good(const struct outbound_target *target)
{
    if (target->port == 0)
        return false;
    if (target->type != OUTBOUND_NAME)
        return target->length == (target->type == OUTBOUND_IPV4 ? 4 : 16);
    for (unsigned i = 0; i < target->length; i++) {
        if (target->address[i] <= ' ' || target->address[i] > '~')
            return false;
    }
    return target->length > 0;
}

/* Nothing of an address longer than a name can be is waited for. */
int outbound_connect_read(const uint8_t *bytes, size_t size,
                          struct outbound_target *out, enum outbound_status *status)
{
    if (size >= 1 && bytes[0] != OUTBOUND_CONNECT)
        return -1;
    if (size < OUTBOUND_HEAD)
        return 0;
    uint64_t payload = get(bytes + 9, 4);
    if (payload < OUTBOUND_CONNECT_LEAST ||
        payload > OUTBOUND_CONNECT_LEAST + OUTBOUND_ADDRESS_MAX)
        return -1;
    if (size < OUTBOUND_HEAD + payload)
        return 0;
    const uint8_t *p = bytes + OUTBOUND_HEAD;
    size_t length = (size_t)payload - OUTBOUND_CONNECT_LEAST;
    if (p[0] != CONNECT_VERSION || get(p + 2, 2) != length)
        return -1;
    *out = (struct outbound_target){.key = get(bytes + 1, 8),
                                    .type = (enum outbound_address)p[1],
                                    .length = (uint8_t)length,
                                    .port = (uint16_t)get(p + 4 + length, 2)};
    memcpy(out->address, p + 4, length);
    bool known =
        p[1] == OUTBOUND_IPV4 || p[1] == OUTBOUND_NAME || p[1] == OUTBOUND_IPV6;
    *status = known && address_is_good(out) ? OUTBOUND_OK : OUTBOUND_FAILURE;
    return (int)(OUTBOUND_HEAD + payload);
}

int outbound_response_read(const uint8_t *bytes, size_t size, uint64_t key,
                           enum outbound_status *status)
{
    uint8_t wanted[OUTBOUND_HEAD];
    head_write(wanted, OUTBOUND_RESPOND, key, OUTBOUND_RESPONSE - OUTBOUND_HEAD);
    size_t have = size < OUTBOUND_HEAD ? size : OUTBOUND_HEAD;
    if (memcmp(bytes, wanted, have) != 0)
        return -1;
    if (size < OUTBOUND_RESPONSE)
        return 0;
    if (bytes[OUTBOUND_HEAD] != RESPONSE_VERSION)
        return -1;
    uint8_t said = bytes[OUTBOUND_HEAD + 1];
    *status =
        said <= OUTBOUND_NOT_ALLOWED ? (enum outbound_status)said : OUTBOUND_FAILURE;
    return OUTBOUND_RESPONSE;
}

size_t outbound_connect_write(uint8_t out[OUTBOUND_CONNECT_MAX],
                              const struct outbound_target *target)
{
    size_t length = target->length;
    uint8_t *p = out + OUTBOUND_HEAD;
    head_write(out, OUTBOUND_CONNECT, target->key,
               (uint32_t)(OUTBOUND_CONNECT_LEAST + length));
    p[0] = CONNECT_VERSION;
    p[1] = (uint8_t)target->type;
    put(p + 2, length, 2);
    memcpy(p + 4, target->address, length);
    put(p + 4 + length, target->port, 2);
    return OUTBOUND_HEAD + OUTBOUND_CONNECT_LEAST + length;
}

/* The port that the connection comes from is the host's business: 0. */
void outbound_response_write(uint8_t out[OUTBOUND_RESPONSE], uint64_t key,
                             enum outbound_status status)
{
    head_write(out, OUTBOUND_RESPOND, key, OUTBOUND_RESPONSE - OUTBOUND_HEAD);
    out[OUTBOUND_HEAD] = RESPONSE_VERSION;
    out[OUTBOUND_HEAD + 1] = (uint8_t)status;
    put(out + OUTBOUND_HEAD + 2, 0, 2);
}

/* -- a stream in packets -- */

static bool reader_head(struct outbound_reader *reader)
{
    uint64_t length = get(reader->head + 9, 4);
    reader->have = 0;
    if (get(reader->head + 1, 8) != reader->key)
        return false;
    if (reader->head[0] == OUTBOUND_DATA) {
        reader->left = (uint32_t)length;
        return true;
    }
    reader->ended = true;
    return reader->head[0] == OUTBOUND_CLOSE && length == 0;
}

int outbound_read(struct outbound_reader *reader, const uint8_t *bytes, size_t size,
                  size_t *payload)
{
    size_t at = 0;
    while (at < size && reader->left == 0) {
        if (reader->ended)
            return -1;
        reader->head[reader->have++] = bytes[at++];
        if (reader->have == OUTBOUND_HEAD && !reader_head(reader))
            return -1;
    }
    *payload = size - at < reader->left ? size - at : reader->left;
    return (int)at;
}

static void pieces_add(struct outbound_pieces *out, const uint8_t *base, size_t length)
{
    if (length > 0)
        out->piece[out->count++] = (struct outbound_piece){base, length};
}

/* How long the next packet is, when so much payload is there for it. */
static uint32_t packet_length(size_t size)
{
    return size < OUTBOUND_DATA_MAX ? (uint32_t)size : OUTBOUND_DATA_MAX;
}

void outbound_write(const struct outbound_writer *writer, const uint8_t *bytes,
                    size_t size, struct outbound_pieces *out)
{
    struct outbound_writer w = *writer;
    out->count = 0;
    for (unsigned i = 0; i < OUTBOUND_PACKETS && (size > 0 || w.closing); i++) {
        uint8_t *head = out->head[i];
        size_t before = w.sent < OUTBOUND_HEAD ? w.sent : OUTBOUND_HEAD;
        size_t had = w.sent - before;
        if (!w.closing && w.length == 0)
            w.length = packet_length(size);
        head_write(head, w.closing ? OUTBOUND_CLOSE : OUTBOUND_DATA, w.key, w.length);
        size_t rest = w.length - had, n = rest < size ? rest : size;
        pieces_add(out, head + before, OUTBOUND_HEAD - before);
        pieces_add(out, bytes, n);
        if (w.closing || n < rest)
            return;
        bytes += n;
        size -= n;
        w.length = w.sent = 0;
    }
}

size_t outbound_wrote(struct outbound_writer *writer, size_t size, size_t bytes_out)
{
    struct outbound_writer *w = writer;
    size_t payload = 0;
    while (bytes_out > 0) {
        if (!w->closing && w->length == 0)
            w->length = packet_length(size - payload);
        size_t rest = OUTBOUND_HEAD + w->length - w->sent;
        size_t n = bytes_out < rest ? bytes_out : rest;
        size_t heads = w->sent < OUTBOUND_HEAD ? OUTBOUND_HEAD - w->sent : 0;
        payload += n > heads ? n - heads : 0;
        w->sent += (uint32_t)n;
        bytes_out -= n;
        if (n == rest && !w->closing)
            w->length = w->sent = 0;
        else if (n == rest)
            break;
    }
    return payload;
}

bool outbound_closed(const struct outbound_writer *writer)
{
    return writer->closing && writer->sent == OUTBOUND_HEAD;
}
