/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the user has given for a server, and the server's questions: kept here, in
 * memory only, from a start to its end.
 */
#ifndef VPND_AUTH_H
#define VPND_AUTH_H

#include "mgmt.h"
#include "proto/vpn.h"

enum { AUTH_WHY_MAX = 300 };

enum auth_result {
    AUTH_SAID,  /* OpenVPN has its answer */
    AUTH_ASKS,  /* auth_question() is for the user; OpenVPN waits */
    AUTH_FAILED /* `why` says it */
};

/* False: something is too long to be said, or has a control character; what was kept
 * still is. */
bool auth_set(const struct vpn_request *request, char why[AUTH_WHY_MAX]);
/* The request has no other credentials than those kept here. */
bool auth_same(const struct vpn_request *request);
/* It has none at all, as WireGuard wants it. */
bool auth_none(const struct vpn_request *request, char why[AUTH_WHY_MAX]);
void auth_clear(void);

enum auth_result auth_need(const struct mgmt_line *line, char why[AUTH_WHY_MAX]);
enum auth_result auth_refused(const struct mgmt_line *line, char why[AUTH_WHY_MAX]);
/* A question of a server that waits for cr-response. */
void auth_asked(const struct mgmt_line *line);
/* Such a question is over: there is a connection, or a new attempt at one. */
void auth_anew(void);
const char *auth_question(void);
/* OpenVPN is to be held until there is an answer: it would begin anew without it. */
bool auth_holds(void);
/* The user's answer. False: there is no question, or it cannot be said. */
bool auth_respond(const char *response);

#endif
