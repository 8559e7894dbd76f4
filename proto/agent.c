/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The agent protocol's bytes. Lengths are checked before anything is looked at; a list
 * of strings is checked once, by agent_strings_valid, and then trusted.
 */
#include "proto/agent.h"

#include <stdio.h>
#include <string.h>

static uint32_t length_limit(unsigned type)
{
    switch (type) {
    case AGENT_REQUEST:
        return AGENT_REQUEST_MAX;
    case AGENT_REPLY:
    case AGENT_INPUT:
    case AGENT_OUTPUT:
    case AGENT_ERRORS:
    case AGENT_EXIT:
    case AGENT_ENTRY:
        return AGENT_DATA_MAX;
    case AGENT_HOLE:
        return 8;
    case AGENT_TAKEN:
    case AGENT_RESIZE:
        return 4;
    case AGENT_SIGNAL:
        return 1;
    default:
        return 0;
    }
}

/* Those that are numbers have one length. */
static bool length_fits(unsigned type, uint32_t length)
{
    uint32_t limit = length_limit(type);
    return limit > 8 ? length <= limit : type <= AGENT_HOLE && length == limit;
}

int32_t agent_frame_read(struct agent_frame *out, const uint8_t *bytes, size_t size)
{
    if (size < AGENT_HEADER_BYTES)
        return 0;
    uint32_t length = (uint32_t)(bytes[1] | bytes[2] << 8 | bytes[3] << 16);
    if (!length_fits(bytes[0], length))
        return -1;
    if (size - AGENT_HEADER_BYTES < length)
        return 0;
    *out = (struct agent_frame){bytes[0], length, bytes + AGENT_HEADER_BYTES};
    return (int32_t)(AGENT_HEADER_BYTES + length);
}

void agent_header_write(uint8_t out[AGENT_HEADER_BYTES], enum agent_type type,
                        uint32_t length)
{
    out[0] = (uint8_t)type;
    out[1] = (uint8_t)length;
    out[2] = (uint8_t)(length >> 8);
    out[3] = (uint8_t)(length >> 16);
}

/* ---- strings --------------------------------------------------------------------- */

bool agent_strings_valid(const uint8_t *data, size_t length)
{
    while (length > 0) {
        const uint8_t *end = memchr(data, 0, length);
        if (!end || data[0] == '=' || !memchr(data, '=', (size_t)(end - data)))
            return false;
        length -= (size_t)(end + 1 - data);
        data = end + 1;
    }
    return true;
}

const char *agent_strings_get(const uint8_t *data, size_t length, const char *key,
                              size_t index)
{
    size_t key_length = strlen(key);
    const char *at = (const char *)data, *end = at + length;
    for (; at < end; at += strlen(at) + 1) {
        if (!strncmp(at, key, key_length) && at[key_length] == '=' && index-- == 0)
            return at + key_length + 1;
    }
    return NULL;
}

int64_t agent_strings_number(const uint8_t *data, size_t length, const char *key,
                             int64_t usual, int64_t least, int64_t most)
{
    const char *text = agent_strings_get(data, length, key, 0);
    int64_t n = 0;
    if (!text)
        return usual;
    if (!*text)
        return -1;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > (INT64_MAX - 9) / 10)
            return -1;
        n = n * 10 + (*text - '0');
    }
    return n >= least && n <= most ? n : -1;
}

int agent_version(const uint8_t *data, size_t length)
{
    int64_t other = agent_strings_number(data, length, "version", 1, 1, INT32_MAX);
    return other < AGENT_VERSION ? (int)other : AGENT_VERSION;
}

void agent_put(struct agent_writer *w, const char *key, const char *value)
{
    size_t key_length = strlen(key), value_length = strlen(value);
    size_t length = key_length + 1 + value_length + 1;
    if (w->full || length > w->size - w->length) {
        w->full = true;
        return;
    }
    uint8_t *at = w->data + w->length;
    memcpy(at, key, key_length);
    at[key_length] = '=';
    memcpy(at + key_length + 1, value, value_length + 1);
    w->length += length;
}

void agent_put_string(struct agent_writer *w, const char *string)
{
    size_t length = strlen(string) + 1;
    if (w->full || length > w->size - w->length) {
        w->full = true;
        return;
    }
    memcpy(w->data + w->length, string, length);
    w->length += length;
}

void agent_put_number(struct agent_writer *w, const char *key, int64_t value)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%lld", (long long)value);
    agent_put(w, key, text);
}
