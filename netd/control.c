/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Requests, one after the other. The library is believed to be who it says, but what it
 * passes on are users' words: each is looked at before anything is done.
 */
#include "control.h"

#include "sandbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static json_t *refuse(const char *what, const char *why)
{
    return json_pack("{s: s+++}", "error", what, ": ", why, "");
}

/* ---- requests -------------------------------------------------------------------- */

static json_t *open_rules(struct netd *netd, const json_t *rules)
{
    size_t i;
    const json_t *rule;
    json_array_foreach(rules, i, rule)
    {
        const char *text = json_string_value(rule);
        bool allow = text && !strncmp(text, "allow ", 6);
        if (!text || (!allow && strncmp(text, "deny ", 5) != 0))
            return refuse("rule", "begins with neither 'allow ' nor 'deny '");
        const char *target = text + (allow ? 6 : 5);
        const char *bad = mv_egress_add(&netd->stack.gate.policy.egress, allow, target);
        if (bad)
            return refuse(text, bad);
    }
    return NULL;
}

static json_t *netd_open(struct netd *netd, const json_t *request)
{
    const json_t *mtu = json_object_get(request, "mtu");
    struct stack_options options = {
        .mtu = (uint16_t)(mtu ? json_integer_value(mtu) : STACK_MTU_USUAL),
        .ipv6 = !json_is_false(json_object_get(request, "ipv6")),
        .restrict_to_forwards = json_is_true(json_object_get(request, "restrict")),
        .host_loopback = !json_is_false(json_object_get(request, "host")),
    };
    int landlock = 0;
    if (netd->opened)
        return refuse("open", "it is open already");
    json_t *bad = open_rules(netd, json_object_get(request, "rules"));
    if (bad)
        return bad;
    if (!stack_open(&netd->stack, &options))
        return refuse("open", "libslirp refuses these settings");
    netd->opened = true;
    const char *why = sandbox_enter(&landlock);
    if (why)
        return refuse("sandbox", why);
    return json_pack("{s:b, s:b}", "ok", 1, "landlock", landlock);
}

static json_t *netd_forward(struct netd *netd, const json_t *request)
{
    const char *add = json_string_value(json_object_get(request, "add"));
    const char *remove = json_string_value(json_object_get(request, "remove"));
    const char *text = add ? add : remove;
    if (!text)
        return refuse("forward", "says neither add nor remove");
    char at[FORWARD_AT_MAX];
    const char *bad = stack_forward(&netd->stack, text, add != NULL, at);
    return bad ? refuse(text, bad) : json_pack("{s:b, s:s}", "ok", 1, "at", at);
}

static json_t *netd_do(struct netd *netd, const char *line)
{
    json_t *request = json_loads(line, JSON_REJECT_DUPLICATES, NULL);
    const char *what = json_string_value(json_object_get(request, "do"));
    json_t *answer;
    if (what && !strcmp(what, "open"))
        answer = netd_open(netd, request);
    else if (what && netd->opened && !strcmp(what, "forward"))
        answer = netd_forward(netd, request);
    else if (what && netd->opened && !strcmp(what, "stats"))
        answer = stack_stats(&netd->stack);
    else
        answer = refuse("request", "not one that can be done now");
    json_decref(request);
    return answer;
}

/* ---- control --------------------------------------------------------------------- */

/* The library reads its answers before it asks again, so they always fit. */
static void control_answer(struct netd *netd, json_t *answer)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    struct iovec iov[2] = {{text, text ? strlen(text) : 0}, {(char[]){"\n"}, 1}};
    struct msghdr message = {.msg_iov = iov, .msg_iovlen = 2};
    if (!text || sendmsg(netd->control, &message, MSG_NOSIGNAL) < 0)
        netd->gone = true;
    free(text);
    json_decref(answer);
}

void control_read(struct netd *netd)
{
    ssize_t n =
        read(netd->control, netd->line + netd->length, REQUEST_MAX - 1 - netd->length);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    netd->gone = n <= 0;
    netd->length += n > 0 ? (size_t)n : 0;
    netd->line[netd->length] = '\0';
    char *end;
    while (!netd->gone && (end = memchr(netd->line, '\n', netd->length))) {
        *end++ = '\0';
        control_answer(netd, netd_do(netd, netd->line));
        netd->length -= (size_t)(end - netd->line);
        memmove(netd->line, end, netd->length + 1);
    }
    if (netd->length == REQUEST_MAX - 1)
        netd->gone = true; /* a line without an end */
}
