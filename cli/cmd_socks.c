/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm socks: a SOCKS5 server on this computer whose connections a guest makes.
 */
#include "cli.h"
#include "named.h"
#include "secret.h"
#include "stream.h"

#include <stdio.h>
#include <string.h>

enum { LISTEN_BYTES = 256, SETTING_BYTES = 2048 };

/* ",KEY=VALUE", a comma in it twice, as settings are written. False after a message. */
static bool put(char setting[SETTING_BYTES], const char *key, const char *value)
{
    size_t at = strlen(setting);
    if (strlen(value) >= SECRET_BYTES) {
        say("--%s: it has more than %d bytes", key, SECRET_BYTES - 1);
        return false;
    }
    at += (size_t)snprintf(setting + at, SETTING_BYTES - at, ",%s=", key);
    for (; *value; value++) {
        if (*value == ',')
            setting[at++] = ',';
        setting[at++] = *value;
    }
    setting[at] = '\0';
    return true;
}
_Static_assert(LISTEN_BYTES + 3 * (2 * SECRET_BYTES + 16) < SETTING_BYTES, "has room");

/* What `socks` wants; false after a message. */
static bool setting_of(const struct args *args, char setting[SETTING_BYTES])
{
    const char *listen = args_get(args, "listen"), *user = args_get(args, "user");
    const char *file = args_get(args, "password-file"), *port = args_get(args, "port");
    char secret[SECRET_ROOM];
    if (!user != !file) {
        say("--user and --password-file belong together");
        return false;
    }
    if (listen && strlen(listen) >= LISTEN_BYTES) {
        say("--listen: that is no address");
        return false;
    }
    (void)snprintf(setting, SETTING_BYTES, "%s", listen ? listen : "1080");
    if (user && (!secret_read("password-file", file, secret) ||
                 !put(setting, "user", user) || !put(setting, "password", secret)))
        return false;
    if (port && !put(setting, "port", port))
        return false;
    if (args_get(args, "plain"))
        (void)strcat(setting, ",plain");
    return true;
}

static int socks_close(const char *name, const char *address)
{
    json_t *answer =
        named_ask(name, "socks", json_pack("{s:s}", "close", address), NULL);
    json_decref(answer);
    return answer ? 0 : STATUS_OURS;
}

static int socks_open(const char *name, const char *setting, bool hold)
{
    int fd = -1;
    json_t *answer = named_ask(
        name, "socks", json_pack("{s:s, s:b}", "open", setting, "hold", (int)hold),
        hold ? &fd : NULL);
    if (!answer)
        return STATUS_OURS;
    (void)printf("SOCKS5 at %s\n",
                 json_string_value(json_object_get(answer, "address")));
    json_decref(answer);
    int status = finish(0);
    if (!hold)
        return status;
    /* Until the machine has ended, or Ctrl-C ends this, and with it the server. */
    return stream_run(&(struct stream){.fd = fd}) ? status : STATUS_OURS;
}

static int socks_run(const struct args *args)
{
    char setting[SETTING_BYTES];
    const char *address = args_get(args, "close");
    if (args->word_count != 1 || args->tail_count) {
        say("socks: name a machine, for example: socks web");
        return STATUS_OURS;
    }
    if (address)
        return socks_close(args->words[0], address);
    if (!setting_of(args, setting))
        return STATUS_OURS;
    return socks_open(args->words[0], setting, !args_get(args, "detach"));
}

static const struct flag socks_flags[] = {
    {"listen", 'l', "[ADDR:]PORT",
     "Where to listen (default 127.0.0.1:1080; port 0: any)"},
    {"user", 'u', "NAME", "Only who says this name and the password"},
    {"password-file", 0, "FILE", "The password is its first line"},
    {"port", 0, "N", "Port of the guest's inbound-proxy (default 7602)"},
    {"plain", 0, NULL, "The guest's proxy is an older one, which sends no reply"},
    {"detach", 'd', NULL, "Leave the server open, with the machine"},
    {"close", 0, "[ADDR:]PORT", "Close one that was left open"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_socks = {
    .name = "socks",
    .usage = "[OPTIONS] NAME",
    .summary = "SOCKS5 server on this computer whose connections a guest makes",
    .details =
        "The guest runs inbound-proxy, which connects to what it reaches, a VPN for\n"
        "example. The machine needs --vsock. Ends with Ctrl-C or with the machine; run\n"
        "has --socks for a server of the machine's own.\n\n"
        "Examples:\n"
        "  microvm socks vpn\n"
        "  curl --socks5-hostname 127.0.0.1:1080 https://intranet.example\n"
        "  ssh -o ProxyCommand='nc -X 5 -x 127.0.0.1:1080 %h %p' user@host\n",
    .flags = socks_flags,
    .words = true,
    .run = socks_run,
};
