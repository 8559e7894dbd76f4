/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The daemon of a gateway is asked over a connection that its machine's process makes.
 */
#include "vpn.h"

#include "named.h"

enum { ANSWER_MS = 15000 };

bool vpn_ask(const char *name, const microvm_vpn_request *request, int64_t wait_ms,
             microvm_vpn_answer *answer)
{
    const microvm_vpn_answer none = MICROVM_VPN_ANSWER_INIT;
    microvm_error err;
    int fd;
    *answer = none;
    json_t *reply =
        named_ask(name, "connect",
                  json_pack("{s:I, s:I}", "port", (json_int_t)MICROVM_VPN_PORT,
                            "timeout_ms", (json_int_t)wait_ms),
                  &fd);
    json_decref(reply);
    if (!reply)
        return false;
    int rc = microvm_vpn_ask_on(fd, request, ANSWER_MS, answer, &err);
    microvm_client_close(fd);
    if (rc)
        say_error(&err);
    return !rc;
}

bool vpn_ask_plain(const char *name, const char *command, microvm_vpn_answer *answer)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    request.command = command;
    return vpn_ask(name, &request, 0, answer);
}

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
