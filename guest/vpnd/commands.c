/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The commands. Most are answered at once; a start waits until it is decided, at most
 * as long as a start may last, and a stop until OpenVPN has ended.
 */
#define _GNU_SOURCE
#include "commands.h"

#include "guest/lib/timer.h"
#include "store.h"
#include "text.h"
#include "tunnel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { WAITING_MAX = 256, START_MS = VPN_START_MS - 500, STOP_MS = VPN_START_MS };

struct waiting {
    struct client *client; /* NULL: nobody */
    bool stop, detail;
    unsigned run; /* that was begun for it */
    int64_t until_ms;
};

static struct waiting waiting[WAITING_MAX];
static struct timer wake;
static char secret[VPN_SECRET_DIGITS + 1];
static bool enforced, told, ends;

/* ---- the secret ------------------------------------------------------------------ */

bool commands_open(const char *folder, bool enforce)
{
    unsigned char bytes[VPN_SECRET_DIGITS / 2];
    char path[4096];
    if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes)
        return false;
    for (size_t i = 0; i < sizeof bytes; i++)
        (void)snprintf(secret + 2 * i, 3, "%02x", bytes[i]);
    explicit_bzero(bytes, sizeof bytes);
    enforced = enforce;
    (void)snprintf(path, sizeof path, "%s/secret", folder);
    (void)unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool well = fd >= 0 && write(fd, secret, VPN_SECRET_DIGITS) == VPN_SECRET_DIGITS;
    if (fd >= 0)
        (void)close(fd);
    return well;
}

/* The first who asks for the secret is who began this guest. */
static bool allowed(const struct vpn_request *r)
{
    if (!enforced || r->command == VPN_PING)
        return true;
    if (r->command == VPN_GET_AUTH_SECRET && !told)
        return true;
    return r->auth && vpn_secret_equal(secret, r->auth);
}

/* ---- answers --------------------------------------------------------------------- */

static void answer(struct client *client, const struct vpn_answer *a)
{
    client_answer(client, vpn_answer_write(a));
}

static void answer_error(struct client *client, const char *what)
{
    char text[TUNNEL_ERROR_MAX];
    (void)snprintf(text, sizeof text, "%s", what);
    text_clean(text);
    answer(client, &(struct vpn_answer){.status = VPN_ERROR, .error = text});
}

static const char *or_null(const char *text)
{
    return *text ? text : NULL;
}

/* `going_on`: what a tunnel that is not decided yet is called. */
static void answer_view(struct client *client, bool detail, enum vpn_status going_on)
{
    struct tunnel_view said = *tunnel_view(), *v = &said;
    struct vpn_answer a = {.status = going_on};
    text_clean(v->profile);
    text_clean(v->tun_ip);
    text_clean(v->auth_url);
    text_clean(v->challenge);
    text_clean(v->error);
    if (v->state == TUNNEL_CONNECTED) {
        a.status = VPN_CONNECTED;
        a.tun_ip = or_null(v->tun_ip);
    } else if (v->state == TUNNEL_WEBAUTH) {
        a.status = VPN_WEBAUTH_REQUIRED;
        a.auth_url = v->auth_url;
    } else if (v->state == TUNNEL_ASKING) {
        a.status = VPN_ERROR;
        a.error = "the server asks something: answer with vpn_start and \"response\"";
        a.challenge = v->challenge;
    } else if (v->state == TUNNEL_FAILED) {
        a.status = VPN_ERROR;
        a.error = v->error;
    }
    if (detail) {
        a.state = tunnel_state_name(v->state);
        a.profile = or_null(v->profile);
    }
    answer(client, &a);
}

static void wait_for(struct client *client, const struct vpn_request *r, bool stop)
{
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        if (waiting[i].client)
            continue;
        waiting[i] =
            (struct waiting){.client = client,
                             .stop = stop,
                             .detail = r->detail,
                             .run = tunnel_view()->run,
                             .until_ms = loop_now_ms() + (stop ? STOP_MS : START_MS)};
        return;
    }
    answer_error(client, "too many are waiting");
}

void commands_gone(struct client *client)
{
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        if (waiting[i].client == client)
            waiting[i].client = NULL;
    }
}

/* Another start has taken the place of what it waits for. */
static bool replaced(const struct waiting *w)
{
    return !w->stop && w->run != tunnel_view()->run;
}

static bool decided(const struct waiting *w)
{
    enum tunnel_state state = tunnel_view()->state;
    if (w->until_ms <= loop_now_ms() || replaced(w))
        return true;
    if (w->stop)
        return state != TUNNEL_STOPPING;
    return state != TUNNEL_CONNECTING && state != TUNNEL_RECONNECTING &&
           state != TUNNEL_STOPPING;
}

static void woken(void)
{
}

static void answer_waiting(const struct waiting *w)
{
    enum tunnel_state state = tunnel_view()->state;
    if (w->stop && state == TUNNEL_STOPPING)
        answer_error(w->client, "OpenVPN does not end");
    else if (replaced(w))
        answer_error(w->client, "another start has taken its place");
    else if (!w->stop && state == TUNNEL_IDLE)
        answer_error(w->client, "it was stopped");
    else
        answer_view(w->client, w->detail, w->stop ? VPN_DISCONNECTED : VPN_OK);
}

void commands_turn(void)
{
    int64_t first_ms = 0;
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        struct waiting w = waiting[i];
        if (!w.client || !decided(&w))
            continue;
        waiting[i].client = NULL;
        answer_waiting(&w); /* with the client's next request it may wait again */
    }
    for (unsigned i = 0; i < WAITING_MAX; i++) {
        if (waiting[i].client && (!first_ms || waiting[i].until_ms < first_ms))
            first_ms = waiting[i].until_ms;
    }
    if (first_ms)
        timer_set(&wake, first_ms - loop_now_ms(), woken);
    else
        timer_clear(&wake);
}

/* ---- commands -------------------------------------------------------------------- */

static void do_start(struct client *client, const struct vpn_request *r)
{
    char why[TUNNEL_ERROR_MAX];
    if (tunnel_start(r, why))
        wait_for(client, r, false);
    else
        answer_error(client, why);
}

static void do_set_profile(struct client *client, const struct vpn_request *r)
{
    char why[PROFILE_WHY_MAX];
    if (store_put(r->name, r->content, strlen(r->content), why))
        answer(client, &(struct vpn_answer){.status = VPN_OK});
    else
        answer_error(client, why);
}

static void do_list(struct client *client)
{
    json_t *names = store_list();
    if (names)
        answer(client, &(struct vpn_answer){.status = VPN_OK, .profiles = names});
    else
        answer_error(client, strerror(errno));
    json_decref(names);
}

static void do_request(struct client *client, const struct vpn_request *r)
{
    switch (r->command) {
    case VPN_PING:
        answer(client, &(struct vpn_answer){.status = VPN_PONG});
        return;
    case VPN_GET_AUTH_SECRET:
        told = true;
        answer(client, &(struct vpn_answer){.status = VPN_OK, .auth_secret = secret});
        return;
    case VPN_START:
        do_start(client, r);
        return;
    case VPN_STOP:
        tunnel_stop();
        wait_for(client, r, true);
        return;
    case VPN_STATUS:
    case VPN_CHECK_WEBAUTH:
        answer_view(client, r->detail, VPN_DISCONNECTED);
        return;
    case VPN_SET_PROFILE:
        do_set_profile(client, r);
        return;
    case VPN_LIST_PROFILES:
        do_list(client);
        return;
    case VPN_SHUTDOWN:
        ends = true;
        answer(client, &(struct vpn_answer){.status = VPN_OK});
        return;
    case VPN_PAUSE:
    case VPN_RESUME: /* words only */
        return;
    }
}

static void do_word(struct client *client, const struct vpn_request *r)
{
    const char *text = "running\n";
    if (r->command == VPN_PING) {
        text = "pong\n";
    } else if (r->command == VPN_PAUSE) {
        tunnel_pause();
        text = "paused\n";
    } else if (r->command == VPN_RESUME) {
        tunnel_resume();
        text = "resumed\n";
    } else if (r->command == VPN_SHUTDOWN) {
        ends = true;
        text = "shutting down\n";
    }
    client_answer(client, strdup(text));
}

void commands_request(struct client *client, const char *bytes, size_t size)
{
    struct vpn_request request;
    char why[VPN_WHY_MAX + 1];
    if (!vpn_request_read(bytes, size, &request, why)) {
        if (request.word)
            client_answer(client, strdup(strcat(why, "\n")));
        else
            answer_error(client, why);
        return;
    }
    if (!allowed(&request))
        answer_error(client, "\"auth\" is missing or wrong");
    else if (request.word)
        do_word(client, &request);
    else
        do_request(client, &request);
    vpn_request_free(&request);
}

bool commands_shutdown(void)
{
    return ends;
}
