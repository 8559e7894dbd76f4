/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The words of the VPN daemon (vpn.md): requests out of a stream of bytes, and answers,
 * for both ends. Text comes as JSON, read strictly by jansson. No I/O.
 */
#ifndef PROTO_VPN_H
#define PROTO_VPN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum {
    VPN_PORT = 1025,
    VPN_PROFILE_MAX = 1 << 20,
    /* A profile with each byte escaped, and what stands around it. */
    VPN_LINE_MAX = 2 * VPN_PROFILE_MAX + 4096,
    VPN_SECRET_DIGITS = 64,
    VPN_START_MS = 4000, /* a start is answered within that */
    VPN_WHY_MAX = 160
};

enum vpn_command {
    VPN_PING,
    VPN_GET_AUTH_SECRET,
    VPN_START,
    VPN_STOP,
    VPN_STATUS,
    VPN_SET_PROFILE,
    VPN_LIST_PROFILES,
    VPN_CHECK_WEBAUTH,
    VPN_SHUTDOWN,
    VPN_COMMANDS,
    VPN_PAUSE = VPN_COMMANDS, /* old words only */
    VPN_RESUME
};

enum vpn_status {
    VPN_OK,
    VPN_ERROR,
    VPN_PONG,
    VPN_CONNECTED,
    VPN_DISCONNECTED,
    VPN_WEBAUTH_REQUIRED,
    VPN_STATUSES
};

/* ---- requests -------------------------------------------------------------------- */

/* How far a stream was looked at for the end of its first request; zeros at first, and
 * zeros again when the request was taken out of the stream. */
struct vpn_scan {
    size_t at;
    unsigned depth;
    bool begun, json, string, escape;
};

/* The length of the first request with all that ends it, 0: not whole yet. `bytes` are
 * those of the call before, and more. `ended`: no more will come. */
size_t vpn_request_scan(struct vpn_scan *scan, const char *bytes, size_t size,
                        bool ended);

/* NULL: not there. What is there lives as long as `json`. */
struct vpn_request {
    enum vpn_command command;
    bool word;   /* an old word: the answer is text */
    bool detail; /* more fields in the answer */
    const char *profile, *username, *password, *response, *key_password;
    const char *name, *content;
    const char *auth;
    json_t *json;
};

/* One request, as vpn_request_scan has found it. False: `why` says what is wrong with
 * it, and `word` how it is to be answered. */
bool vpn_request_read(const char *bytes, size_t size, struct vpn_request *out,
                      char why[VPN_WHY_MAX]);
void vpn_request_free(struct vpn_request *request);
/* A line, to be freed; NULL: no memory, or text that is no UTF-8. */
char *vpn_request_write(const struct vpn_request *request);
const char *vpn_command_name(enum vpn_command command);

/* ---- answers --------------------------------------------------------------------- */

struct vpn_answer {
    enum vpn_status status;
    const char *tun_ip, *error, *auth_url, *auth_secret, *challenge;
    const char *state, *profile; /* when `detail` was asked for */
    json_t *profiles;            /* of strings, or NULL; not owned */
    json_t *json;                /* of one that was read: it owns all above */
};

bool vpn_answer_read(const char *bytes, size_t size, struct vpn_answer *out);
void vpn_answer_free(struct vpn_answer *answer);
char *vpn_answer_write(const struct vpn_answer *answer);
const char *vpn_status_name(enum vpn_status status);

/* Takes as long for every text of the same length. */
bool vpn_secret_equal(const char *secret, const char *given);

#endif
