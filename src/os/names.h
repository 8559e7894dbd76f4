/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Names into addresses, beside a loop: the system's resolver waits, so a few threads do
 * nothing but that. They are not libuv's, which belong to the application and would be
 * held by whoever makes its name server silent.
 */
#ifndef MV_OS_NAMES_H
#define MV_OS_NAMES_H

#include "os/address.h"
#include "os/loop.h"

enum { MV_NAME_TEXT = 256, MV_NAME_ADDRESSES = 8 };

struct mv_names;

/* One question, its owner's. */
struct mv_name {
    char text[MV_NAME_TEXT];
    void (*answered)(struct mv_name *name); /* on the loop, later */
    unsigned count; /* 0: nobody has that name, or nobody says */
    struct mv_address address[MV_NAME_ADDRESSES];

    struct mv_name *next; /* the names' */
    bool asked;
};

int mv_names_open(struct mv_loop *loop, struct mv_names **out, microvm_error *err);
/* Nobody is told any more. Does not wait for the resolver: a thread that is in it ends
 * by itself when it comes back. Accepts NULL. */
void mv_names_close(struct mv_names *names);

void mv_names_ask(struct mv_names *names, struct mv_name *name);
/* `answered` is not called any more, and the memory may go. Accepts one that was not
 * asked. */
void mv_names_leave(struct mv_names *names, struct mv_name *name);

#endif
