/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm vpn: a VPN for those programs that want it, in a machine.
 */
#include "vpn.h"

#include "named.h"
#include "run_command.h"

#include <stdio.h>
#include <string.h>

enum { STATUS_NOT_CONNECTED = 1, SHOWN = 1024 };

static const char *status_word(const microvm_vpn_answer *answer)
{
    static const char *const words[] = {
        "ok", "error", "pong", "connected", "disconnected", "webauth_required"};
    return words[answer->status];
}

static void status_put_json(const microvm_vpn_answer *answer)
{
    json_t *json = json_pack("{s:s, s:s*, s:s*, s:s*, s:s*, s:s*, s:s*}", "status",
                             status_word(answer), "state", answer->state, "profile",
                             answer->profile, "tun_ip", answer->tun_ip, "auth_url",
                             answer->auth_url, "challenge", answer->challenge, "error",
                             answer->error);
    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)putchar('\n');
    json_decref(json);
}

/* "connected  10.8.0.2  work.ovpn" */
static void status_put_line(const microvm_vpn_answer *answer)
{
    const char *const rest[] = {answer->tun_ip, answer->auth_url, answer->error,
                                answer->challenge, answer->profile};
    char shown[SHOWN];
    const char *state = answer->state ? answer->state : status_word(answer);
    (void)fputs(vpn_plain(state, shown, sizeof shown), stdout);
    for (unsigned i = 0; i < sizeof rest / sizeof rest[0]; i++)
        if (rest[i])
            (void)printf("  %s", vpn_plain(rest[i], shown, sizeof shown));
    (void)putchar('\n');
}

static int vpn_status(const struct args *args, const char *name)
{
    microvm_vpn_answer answer;
    int status = STATUS_OURS;
    if (vpn_ask_plain(name, "vpn_status", &answer)) {
        if (args_get(args, "json"))
            status_put_json(&answer);
        else
            status_put_line(&answer);
        status = answer.status == MICROVM_VPN_CONNECTED ? 0 : STATUS_NOT_CONNECTED;
    }
    microvm_vpn_answer_free(&answer);
    return finish(status);
}

static int vpn_profiles(const char *name)
{
    microvm_vpn_answer answer;
    char shown[SHOWN];
    bool well = vpn_ask_plain(name, "list_profiles", &answer);
    for (const char *const *p = answer.profiles; well && p && *p; p++)
        (void)puts(vpn_plain(*p, shown, sizeof shown));
    microvm_vpn_answer_free(&answer);
    return finish(well ? 0 : STATUS_OURS);
}

/* The daemon takes the tunnel down with the guest. */
static int vpn_down(const char *name)
{
    json_t *there = named_ask(name, "info", NULL, NULL);
    json_decref(there);
    if (there)
        run_command_end(name);
    return there ? 0 : STATUS_OURS;
}

static bool vpn_name(const struct args *args, char name[NAMED_BYTES])
{
    microvm_config *config = settings_from_args(args, NULL, NULL);
    if (!config)
        return false;
    settings_name(config, name, NAMED_BYTES);
    microvm_config_free(config);
    if (!*name)
        (void)strcpy(name, "vpn");
    return true;
}

static int vpn_run(const struct args *args)
{
    static const char *const words[] = {"up", "status", "down", "profiles", NULL};
    const char *word = args->word_count ? args->words[0] : "";
    char name[NAMED_BYTES];
    bool up = !strcmp(word, "up");
    if (args->word_count != (up ? 2 : 1) || args->tail_count) {
        say(up ? "vpn up: which profile? for example: vpn up work.ovpn"
               : "vpn: one of up PROFILE, status, down, profiles is wanted");
        return STATUS_OURS;
    }
    if (up)
        return vpn_up(args, args->words[1]);
    if (!vpn_name(args, name))
        return STATUS_OURS;
    if (!strcmp(word, "status"))
        return vpn_status(args, name);
    if (!strcmp(word, "profiles"))
        return vpn_profiles(name);
    if (!strcmp(word, "down"))
        return vpn_down(name);
    const char *nearest = microvm_nearest(word, words);
    say("vpn: unknown word '%s'%s%s%s", word, nearest ? ": did you mean '" : "",
        nearest ? nearest : "", nearest ? "'?" : "");
    return STATUS_OURS;
}

static const struct flag vpn_flags[] = {
    {"user", 'u', "NAME", "up: the user whom the server is told"},
    {"password-file", 0, "FILE",
     "up: the password is its first line; - is standard input"},
    {"key-password-file", 0, "FILE", "up: the same of the profile's private key"},
    {"listen", 'l', "[ADDR:]PORT",
     "up: where SOCKS5 listens (default 127.0.0.1:1080; port 0: any)"},
    {"bundle", 0, "DIR", "up: the gateway to start, not the installed one"},
    {"detach", 'd', NULL, "up: return when it is connected, and leave it"},
    {"json", 0, NULL, "status: as JSON"},
    {"quiet", 'q', NULL, "Say nothing of the machine but errors"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_vpn = {
    .name = "vpn",
    .usage = "[OPTIONS] up PROFILE | status | down | profiles",
    .summary = "A VPN in a machine, for those programs that want it",
    .details =
        "Nothing of this computer's network changes: programs reach the tunnel by\n"
        "SOCKS5, and names are looked up in it. 'up' stays, tells of the tunnel, and\n"
        "takes it down at Ctrl-C. It is a machine named vpn, or as --name says; the\n"
        "flags of 'run' that are settings are taken, too; what they do not say is as\n"
        "in the gateway's bundle (128 MiB), not as by default. A profile is one of\n"
        "OpenVPN's or of WireGuard's, with everything in it.\n\n"
        "Examples:\n"
        "  microvm vpn up work.ovpn\n"
        "  microvm vpn up work.ovpn --user ann --password-file ~/.vpn-password\n"
        "  microvm vpn up wireguard.conf\n"
        "  curl --socks5-hostname 127.0.0.1:1080 https://intranet.example\n"
        "  ssh -o ProxyCommand='nc -X 5 -x 127.0.0.1:1080 %h %p' user@host\n"
        "  microvm vpn status; microvm vpn down\n\n"
        "Exit status: of status 0 when it is connected, 1 when not, 125 without a\n"
        "gateway; of up 0 after Ctrl-C and 'down', 1 when the server refuses or the\n"
        "gateway ends otherwise, 125 when it cannot be started.\n",
    .flags = vpn_flags,
    .machine_flags = true,
    .words = true,
    .run = vpn_run,
};
