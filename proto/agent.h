/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The agent protocol's bytes (agent.md): frames and the lists of strings inside some of
 * them, for both ends. Pure: no I/O, no allocation. What is read stays where it was
 * received and is only pointed at.
 */
#ifndef PROTO_AGENT_H
#define PROTO_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    AGENT_PORT = 1024,
    AGENT_VERSION = 1,
    AGENT_HEADER_BYTES = 4,
    AGENT_DATA_MAX = 65536, /* of a frame of data */
    AGENT_REQUEST_MAX =
        262144,          /* of a request: twice what Linux takes for one string */
    AGENT_WINDOW = 65536 /* of input that the agent has not acknowledged */
};
#define AGENT_TIMEOUT_MAX_MS (INT64_MAX / 4)

enum agent_type {
    AGENT_REQUEST = 0, /* strings; the first frame of a client, and no other */
    AGENT_REPLY = 1,   /* strings; the first frame of the agent */
    AGENT_INPUT = 2,   /* bytes for standard input; none: its end */
    AGENT_OUTPUT = 3,  /* bytes of standard output, or of the terminal */
    AGENT_ERRORS = 4,  /* bytes of standard error */
    AGENT_TAKEN = 5,   /* u32: bytes of input that have gone on */
    AGENT_SIGNAL = 6,  /* u8: Linux's number */
    AGENT_RESIZE = 7,  /* u16 columns, u16 rows */
    AGENT_EXIT = 8,    /* strings; the last frame of the agent */
    AGENT_ENTRY = 9,   /* strings: one thing of a file tree, either way */
    AGENT_HOLE = 10    /* u64: so many zeros of a file, either way */
};

struct agent_frame {
    uint8_t type;
    uint32_t length;
    const uint8_t *data;
};

/* What stands at the beginning of `size` bytes: its whole length with *out filled in, 0
 * when more bytes are needed, -1 when no frame begins like that (its type is unknown,
 * or it is longer than its type allows). */
int32_t agent_frame_read(struct agent_frame *out, const uint8_t *bytes, size_t size);

/* The header of a frame whose `length` bytes follow it. */
void agent_header_write(uint8_t out[AGENT_HEADER_BYTES], enum agent_type type,
                        uint32_t length);

/* ---- strings: "key=value", each ended by a zero byte ----------------------------- */

/* False when the bytes are no list of strings: one is not ended, or has no key. */
bool agent_strings_valid(const uint8_t *data, size_t length);
/* The value of the `index`th string with that key; NULL: there is none. Of a valid
 * list. */
const char *agent_strings_get(const uint8_t *data, size_t length, const char *key,
                              size_t index);
/* A decimal number from `least` to `most`; `usual` where there is none; -1: something
 * else stands there. Of a valid list. */
int64_t agent_strings_number(const uint8_t *data, size_t length, const char *key,
                             int64_t usual, int64_t least, int64_t most);

/* The version of the protocol that both ends speak: the lower one of ours and of what
 * the other says ("version", 1 without); -1: it says no number. Of a valid list. */
int agent_version(const uint8_t *data, size_t length);

/* Puts strings behind each other. `full` tells that not all had room. */
struct agent_writer {
    uint8_t *data;
    size_t size, length;
    bool full;
};
void agent_put(struct agent_writer *w, const char *key, const char *value);
/* A whole "key=value". */
void agent_put_string(struct agent_writer *w, const char *string);
void agent_put_number(struct agent_writer *w, const char *key, int64_t value);

#endif
