/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What OpenVPN says over its management interface (its management-notes.txt), a line at
 * a time, and how text is said to it. Much of a line may come from the server. Pure.
 */
#ifndef VPND_MGMT_H
#define VPND_MGMT_H

#include <stdbool.h>
#include <stddef.h>

enum mgmt_kind {
    MGMT_OTHER,
    MGMT_HOLD,    /* it waits to be released; wait_s: not at once */
    MGMT_STATE,   /* state, text: a reason, ip */
    MGMT_NEED,    /* realm, username; static_challenge: text, of more than a password */
    MGMT_REFUSED, /* realm; text: why, "" */
    MGMT_DYNAMIC, /* realm refused, but text is a challenge, to be answered with id */
    MGMT_WEB,     /* text: an address that somebody is to open */
    MGMT_QUESTION, /* text: a question, to be answered with cr-response */
    MGMT_FATAL,    /* text */
    MGMT_UP,       /* the interface comes; its environment follows */
    MGMT_DOWN,
    MGMT_ENV, /* text: NAME=VALUE */
    MGMT_ENV_END
};

/* What is not of a kind is "" or 0. Text lies in the line. */
struct mgmt_line {
    enum mgmt_kind kind;
    unsigned wait_s;
    bool username, static_challenge;
    const char *state, *text, *ip, *realm, *id;
};

/* Takes the line apart, in place. */
void mgmt_read(char *line, struct mgmt_line *out);

/* `text` in quotes. False: there is no room, or it has what no line can carry. */
bool mgmt_quote(char *out, size_t room, const char *text);
/* RFC 4648, 4. False: there is no room. */
bool mgmt_base64(char *out, size_t room, const char *text);

#endif
