/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The tunnel's states, moved by what OpenVPN says, by requests, and by time. OpenVPN
 * tries again by itself as long as it lives; here is only how long it waits in between
 * (it asks each time), and what to do when it has ended: nothing, when it ended by
 * itself and said why, and a new one, when it was killed while it was of use. WireGuard
 * (wireguard.h) has fewer of these states; what has ended of it is gone at once.
 */
#define _GNU_SOURCE
#include "tunnel.h"

#include "auth.h"
#include "dns.h"
#include "gate.h"
#include "guest/lib/loop.h"
#include "guest/lib/timer.h"
#include "link.h"
#include "mgmt.h"
#include "openvpn.h"
#include "store.h"
#include "wireguard.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
    CONNECT_MS = 90000, /* for the first connection */
    USER_MS = 300000,   /* for the user to answer, or to log in */
    WAIT_MAX_S = 60,    /* between OpenVPN's attempts */
    AGAIN_MS = 1000,    /* before a new OpenVPN, twice as long each time ... */
    AGAIN_MAX_MS = 60000,
    LINK_MS = 1000 /* in which OpenVPN says that it took the interface down itself */
};

static struct tunnel_view view;
static char path[PATH_MAX]; /* of the profile */
static bool is_wireguard;   /* it is one of WireGuard's */
static bool was_connected;  /* since the start */
static bool again;          /* a new OpenVPN when this one has ended */
static bool tried_anew;     /* with the credentials, since it was connected */
static bool link_lost;      /* the interface has gone, and OpenVPN has not said so */
static bool held;           /* it waits for hold release */
static int64_t again_ms;
static char last_words[200];
static struct timer patience, release, retry, link_gone;

const struct tunnel_view *tunnel_view(void)
{
    return &view;
}

const char *tunnel_state_name(enum tunnel_state state)
{
    static const char *const names[] = {"idle",    "connecting", "asking",
                                        "webauth", "connected",  "reconnecting",
                                        "paused",  "stopping",   "failed"};
    return names[state];
}

bool tunnel_runs(void)
{
    return openvpn_runs() || wireguard_runs() || again || retry.at_ms;
}

/* ---- states ---------------------------------------------------------------------- */

static void patience_ends(void);

static void become(enum tunnel_state state)
{
    bool user = state == TUNNEL_ASKING || state == TUNNEL_WEBAUTH;
    if (state == view.state && !user)
        return;
    view.state = state;
    if (state != TUNNEL_CONNECTED)
        view.tun_ip[0] = '\0';
    if (state != TUNNEL_WEBAUTH)
        view.auth_url[0] = '\0';
    if (state != TUNNEL_ASKING)
        view.challenge[0] = '\0';
    if (state != TUNNEL_FAILED)
        view.error[0] = '\0';
    if (user || state == TUNNEL_CONNECTING)
        timer_set(&patience, user ? USER_MS : CONNECT_MS, patience_ends);
    else
        timer_clear(&patience);
    (void)fprintf(stderr, "vpnd: %s%s%s\n", tunnel_state_name(state),
                  *view.profile ? " " : "", view.profile);
}

static void end_process(void)
{
    timer_clear(&release);
    timer_clear(&retry);
    again = false;
    openvpn_end();
    wireguard_end();
}

static void fail(const char *what, const char *trouble)
{
    become(TUNNEL_FAILED);
    (void)snprintf(view.error, sizeof view.error, "%.240s%s%.140s", what,
                   *trouble ? "; OpenVPN said: " : "", trouble);
    (void)fprintf(stderr, "vpnd: %s\n", view.error);
    auth_clear();
    end_process();
}

static void patience_ends(void)
{
    if (view.state == TUNNEL_CONNECTING)
        fail("the server did not let us in within 90 s", openvpn_trouble());
    else
        fail("nobody answered within 5 minutes", "");
}

/* Asking, or with the user's answer underway again. */
static void become_asking(void)
{
    (void)snprintf(view.challenge, sizeof view.challenge, "%s", auth_question());
    become(TUNNEL_ASKING);
}

static void become_trying(void)
{
    become(was_connected ? TUNNEL_RECONNECTING : TUNNEL_CONNECTING);
}

static void become_connected(const char *ip)
{
    was_connected = true;
    tried_anew = link_lost = false;
    again_ms = 0;
    become(TUNNEL_CONNECTED);
    (void)snprintf(view.tun_ip, sizeof view.tun_ip, "%s", ip);
}

/* ---- what OpenVPN says ----------------------------------------------------------- */

/* It begins with the server's name. */
static void hold_release(void)
{
    held = false;
    gate_names(true);
    openvpn_say("hold release");
}

static void heard_hold(const struct mgmt_line *line)
{
    unsigned wait_s = line->wait_s < WAIT_MAX_S ? line->wait_s : WAIT_MAX_S;
    held = true;
    auth_anew();
    if (view.state == TUNNEL_PAUSED || auth_holds())
        return;
    if (wait_s)
        timer_set(&release, 1000 * (int64_t)wait_s, hold_release);
    else
        hold_release();
}

static void heard_state(const struct mgmt_line *line)
{
    if (strcmp(line->state, "RESOLVE") != 0)
        gate_names(false);
    if (!strcmp(line->state, "CONNECTED")) {
        auth_anew();
        become_connected(line->ip);
    } else if (!strcmp(line->state, "RECONNECTING")) {
        link_lost = false;
        if (view.state != TUNNEL_PAUSED && !auth_holds())
            become_trying();
    } else if (!strcmp(line->state, "EXITING")) {
        (void)snprintf(last_words, sizeof last_words, "%s", line->text);
    }
}

static void heard_auth(const struct mgmt_line *line)
{
    char why[AUTH_WHY_MAX] = "";
    /* A token of the server's may have grown old: once more with what the user gave. */
    if (line->kind == MGMT_REFUSED && was_connected && !tried_anew) {
        tried_anew = true;
        return;
    }
    enum auth_result result =
        line->kind == MGMT_NEED ? auth_need(line, why) : auth_refused(line, why);
    if (result == AUTH_FAILED)
        fail(why, "");
    else if (result == AUTH_ASKS)
        become_asking();
}

/* Somebody's browser gets it: nothing but what a browser fetches. */
static void heard_web(const struct mgmt_line *line)
{
    bool web =
        !strncmp(line->text, "https://", 8) || !strncmp(line->text, "http://", 7);
    if (!web || strlen(line->text) >= sizeof view.auth_url) {
        fail("the server sent an address to log in at that is none of the web", "");
        return;
    }
    (void)snprintf(view.auth_url, sizeof view.auth_url, "%s", line->text);
    become(TUNNEL_WEBAUTH);
}

static void heard_env_end(void)
{
    static const char what[] = "vpnd: the VPN's name servers cannot be used: %s\n";
    if (!dns_apply() && errno)
        (void)fprintf(stderr, what, strerror(errno));
}

static bool ending(void)
{
    return view.state == TUNNEL_STOPPING || view.state == TUNNEL_FAILED || again;
}

static void heard_line(char *text)
{
    static bool up;
    struct mgmt_line line;
    mgmt_read(text, &line);
    switch (line.kind) {
    case MGMT_UP:
        up = true;
        dns_begin();
        return;
    case MGMT_DOWN:
        up = false;
        dns_restore();
        return;
    case MGMT_ENV:
        if (up)
            dns_take(line.text);
        return;
    case MGMT_ENV_END:
        if (up)
            heard_env_end();
        up = false;
        return;
    case MGMT_FATAL:
        (void)snprintf(last_words, sizeof last_words, "%s", line.text);
        return;
    case MGMT_STATE:
        if (!ending() || !strcmp(line.state, "EXITING"))
            heard_state(&line);
        return;
    case MGMT_HOLD:
        if (!ending())
            heard_hold(&line);
        return;
    case MGMT_NEED:
    case MGMT_REFUSED:
    case MGMT_DYNAMIC:
        if (!ending())
            heard_auth(&line);
        return;
    case MGMT_WEB:
        if (!ending())
            heard_web(&line);
        return;
    case MGMT_QUESTION:
        if (ending())
            return;
        auth_asked(&line);
        become_asking();
        return;
    case MGMT_OTHER:
        return;
    }
}

/* ---- the process ----------------------------------------------------------------- */

static void begin(void)
{
    char why[PROFILE_WHY_MAX];
    again = held = false;
    last_words[0] = '\0';
    become_trying();
    if (is_wireguard) {
        if (!wireguard_start(path, why))
            fail(why, "");
    } else if (!openvpn_start(path)) {
        fail("OpenVPN cannot be started", strerror(errno));
    }
}

/* Later, and later each time. */
static void begin_later(void)
{
    again_ms = again_ms ? 2 * again_ms : AGAIN_MS;
    again_ms = again_ms < AGAIN_MAX_MS ? again_ms : AGAIN_MAX_MS;
    become(TUNNEL_RECONNECTING);
    timer_set(&retry, again_ms, begin);
}

static void heard_end(int status, bool signalled)
{
    char what[80];
    dns_restore();
    gate_names(false);
    timer_clear(&release);
    link_lost = false; /* its interface went with it */
    if (view.state == TUNNEL_PAUSED && (again || (signalled && was_connected))) {
        again = false; /* who resumes begins it */
    } else if (again) {
        begin();
    } else if (view.state == TUNNEL_STOPPING) {
        view.profile[0] = '\0';
        become(TUNNEL_IDLE);
    } else if (view.state != TUNNEL_FAILED && signalled && was_connected) {
        begin_later();
    } else if (view.state != TUNNEL_FAILED) {
        const char *said = *last_words ? last_words : openvpn_trouble();
        (void)snprintf(what, sizeof what,
                       signalled ? "OpenVPN was killed by signal %d"
                                 : "OpenVPN ended with status %d",
                       status);
        fail(what, said);
    }
}

/* ---- what becomes of WireGuard --------------------------------------------------- */

static void heard_silence(void)
{
    become(TUNNEL_RECONNECTING);
}

/* Nothing of it is left. */
static void heard_failure(const char *what)
{
    link_lost = false;
    if (!was_connected) {
        fail(what, "");
        return;
    }
    (void)fprintf(stderr, "vpnd: %s\n", what);
    begin_later();
}

/* ---- the interface --------------------------------------------------------------- */

static void restart(void)
{
    if (!link_lost || view.state != TUNNEL_RECONNECTING)
        return;
    (void)fprintf(stderr, "vpnd: the interface is gone\n");
    link_lost = false;
    end_process();
    if (openvpn_runs())
        again = true;
    else
        begin();
}

static void heard_link(bool up)
{
    if (up || view.state != TUNNEL_CONNECTED)
        return;
    link_lost = true;
    become(TUNNEL_RECONNECTING);
    timer_set(&link_gone, LINK_MS, restart);
}

bool tunnel_open(const struct tunnel_settings *s)
{
    const struct openvpn_settings settings = {.program = s->openvpn,
                                              .folder = s->folder,
                                              .scripts = s->scripts,
                                              .verbose = s->verbose,
                                              .line = heard_line,
                                              .ended = heard_end};
    const struct wireguard_settings wireguard = {.wg = s->wg,
                                                 .wireguard_go = s->wireguard_go,
                                                 .connected = become_connected,
                                                 .silent = heard_silence,
                                                 .failed = heard_failure};
    wireguard_open(&wireguard);
    if (!openvpn_open(&settings) || !link_watch("tun0", heard_link))
        return false;
    dns_open(s->resolv, s->folder);
    return true;
}

/* ---- requests -------------------------------------------------------------------- */

/* The same tunnel is asked for again, or its question is answered. */
static bool joins(const struct vpn_request *r)
{
    if (!tunnel_runs() || !store_same(r->profile, view.profile))
        return false;
    if (view.state == TUNNEL_CONNECTED)
        return true;
    if (view.state == TUNNEL_ASKING && r->response) {
        if (!auth_respond(r->response))
            return false;
        become_trying();
        if (held)
            hold_release();
        return true;
    }
    bool on = view.state == TUNNEL_CONNECTING || view.state == TUNNEL_RECONNECTING ||
              view.state == TUNNEL_WEBAUTH;
    return on && !r->response && auth_same(r);
}

/* A WireGuard profile has its keys in it: whoever gives more means another profile. */
static bool give(const struct vpn_request *r, bool wireguard, char why[PROFILE_WHY_MAX])
{
    if (!wireguard)
        return auth_set(r, why);
    if (!auth_none(r, why))
        return false;
    auth_clear();
    return true;
}

bool tunnel_start(const struct vpn_request *r, char why[TUNNEL_ERROR_MAX])
{
    char found[PATH_MAX], reason[PROFILE_WHY_MAX] = "";
    bool wireguard = false;
    if (view.state == TUNNEL_CONNECTED && !store_same(r->profile, view.profile)) {
        (void)snprintf(why, TUNNEL_ERROR_MAX,
                       "'%s' is connected: end it first, with vpn_stop", view.profile);
        return false;
    }
    if (joins(r))
        return true;
    if (!store_find(r->profile, found, &wireguard, reason) ||
        !give(r, wireguard, reason)) {
        (void)snprintf(why, TUNNEL_ERROR_MAX, "%s", reason);
        return false;
    }
    (void)snprintf(path, sizeof path, "%s", found);
    (void)snprintf(view.profile, sizeof view.profile, "%s", strrchr(found, '/') + 1);
    was_connected = false;
    again_ms = 0;
    end_process();
    is_wireguard = wireguard;
    view.run++;
    view.state = TUNNEL_IDLE;
    become(TUNNEL_CONNECTING);
    if (openvpn_runs())
        again = true;
    else
        begin();
    return true;
}

void tunnel_stop(void)
{
    end_process();
    auth_clear();
    if (openvpn_runs()) {
        become(TUNNEL_STOPPING);
    } else {
        view.profile[0] = '\0';
        become(TUNNEL_IDLE);
    }
}

/* OpenVPN goes back to where it waits for us, unless it waits already, for an answer;
 * WireGuard has no such place: it goes. */
void tunnel_pause(void)
{
    bool waits = held || view.state == TUNNEL_ASKING || !openvpn_runs();
    if (view.state == TUNNEL_IDLE || view.state == TUNNEL_PAUSED ||
        view.state == TUNNEL_STOPPING || view.state == TUNNEL_FAILED)
        return;
    timer_clear(&release);
    timer_clear(&retry);
    become(TUNNEL_PAUSED);
    if (again) /* one that is to end: there is no other yet */
        return;
    if (is_wireguard)
        end_process();
    else if (!waits)
        openvpn_say("signal SIGUSR1");
}

void tunnel_resume(void)
{
    if (view.state != TUNNEL_PAUSED)
        return;
    if (!again && (is_wireguard || !openvpn_runs())) {
        begin();
        return;
    }
    if (!again && *auth_question()) {
        become_asking();
        return;
    }
    become_trying();
    if (held && !again)
        hold_release();
}
