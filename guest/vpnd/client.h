/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Connections of clients: requests in, in their order, an answer out for each. Who
 * waits for an answer is not heard further; nobody waits for anybody else.
 */
#ifndef VPND_CLIENT_H
#define VPND_CLIENT_H

#include "guest/lib/loop.h"
#include "proto/vpn.h"

#include <stddef.h>

struct client {
    struct watch watch; /* its first member */
    struct client *next, *previous;
    struct vpn_scan scan;
    char *in; /* what is not answered yet */
    size_t length, room;
    char *out; /* of the last answer, what the socket has not taken */
    size_t out_length, out_sent;
    bool ended, asked, turning, closing;
    struct later later;
};

/* What to do with a request: client_answer is called for it, now or later. */
typedef void client_request(struct client *client, const char *bytes, size_t size);
/* A client with a request has gone: no answer is wanted any more. */
typedef void client_gone(struct client *client);

/* Takes connections from a socket that listens, which is its own from now on. */
bool clients_listen(int fd, client_request *request, client_gone *gone);
/* The whole answer, which is freed; NULL: there is none, and the client goes. */
void client_answer(struct client *client, char *line);
/* Answers that are not all out. */
bool clients_busy(void);
void clients_close(void);

#endif
