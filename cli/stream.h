/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Standard input and output, joined to a stream. stream_posix.c; Windows has no named
 * machines to stream from.
 */
#ifndef CLI_STREAM_H
#define CLI_STREAM_H

#include <stdbool.h>

struct stream {
    int fd;      /* a connected socket, closed at the end */
    bool input;  /* standard input goes into it; its end is passed on */
    bool escape; /* Ctrl-] twice leaves */
};

/* Returns when the other side has ended the stream, or the user leaves. False after a
 * message. */
bool stream_run(const struct stream *stream);

#endif
