/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The daemon of a gateway is asked over a connection that its machine's process makes:
 * once, or again and again by who stays. The latter waits in slices, and what it blocks
 * on a signal ends.
 */
#include "vpn.h"

#include "cancel.h"
#include "named.h"

#include <stdio.h>

enum { ANSWER_MS = 15000, SLICE_MS = 1000 };

static json_t *way_to_daemon(int64_t wait_ms)
{
    return json_pack("{s:I, s:I}", "port", (json_int_t)MICROVM_VPN_PORT, "timeout_ms",
                     (json_int_t)wait_ms);
}

bool vpn_ask_plain(const char *name, const char *command, microvm_vpn_answer *answer)
{
    const microvm_vpn_answer none = MICROVM_VPN_ANSWER_INIT;
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_error err;
    int fd;
    *answer = none;
    request.command = command;
    json_t *reply = named_ask(name, "connect", way_to_daemon(0), &fd);
    json_decref(reply);
    if (!reply)
        return false;
    int rc = microvm_vpn_ask_on(fd, &request, ANSWER_MS, answer, &err);
    microvm_client_close(fd);
    if (rc)
        say_error(&err);
    return !rc;
}

/* ---- who stays ------------------------------------------------------------------- */

static bool machine_lives(const char *name)
{
    json_t *info = named_try(name, "info", NULL, NULL, NULL);
    json_decref(info);
    return info != NULL;
}

static bool link_open(struct vpn_link *link, int64_t wait_ms)
{
    for (; link->fd < 0 && !cancel_asked(); wait_ms -= SLICE_MS) {
        int64_t slice_ms = wait_ms < SLICE_MS ? wait_ms : SLICE_MS;
        json_decref(
            named_try(link->name, "connect", way_to_daemon(slice_ms), &link->fd, NULL));
        link->gone = link->fd < 0 && !machine_lives(link->name);
        if (link->gone || wait_ms <= SLICE_MS)
            break;
    }
    if (link->fd >= 0)
        return true;
    link->err.code = MICROVM_E_TIMEOUT;
    (void)snprintf(link->err.message, sizeof link->err.message,
                   "the gateway's VPN daemon does not answer; 'microvm logs %s' may "
                   "say why",
                   link->name);
    return false;
}

bool vpn_link_ask(struct vpn_link *link, const microvm_vpn_request *request,
                  int64_t wait_ms, microvm_vpn_answer *answer)
{
    const microvm_vpn_answer none = MICROVM_VPN_ANSWER_INIT;
    *answer = none;
    link->err.code = 0;
    if (!link_open(link, wait_ms))
        return false;
    cancel_cut(link->fd);
    bool well = !cancel_asked() &&
                !microvm_vpn_ask_on(link->fd, request, ANSWER_MS, answer, &link->err);
    cancel_cut(-1);
    if (well)
        return true;
    vpn_link_close(link);
    link->lost = link->lost || link->err.code != MICROVM_E_TIMEOUT;
    return false;
}

void vpn_link_close(struct vpn_link *link)
{
    if (link->fd >= 0)
        microvm_client_close(link->fd);
    link->fd = -1;
}

/* ---- its texts ------------------------------------------------------------------- */

const char *vpn_plain(const char *text, char *out, size_t size)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t n = 0;
    for (; *at && n < size - 1; at++) {
        bool more = *at == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0; /* U+0080 to 9F */
        out[n++] = (char)(more || *at < ' ' || *at == 0x7f ? ' ' : *at);
        at += more;
    }
    out[n] = '\0';
    return out;
}
