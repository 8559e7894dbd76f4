/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm vpn up: a gateway from its bundle, in a process of its own; this one gives it
 * the profile, has it connect, opens the SOCKS server, and tells what becomes of the
 * tunnel until it is told to end. What the server asks is asked here.
 */
#include "cancel.h"
#include "detach.h"
#include "named.h"
#include "places.h"
#include "run_command.h"
#include "run_machine.h"
#include "secret.h"
#include "term.h"
#include "vpn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROFILE_MAX = 1 << 20, BOOT_MS = 60000, LOOK_MS = 300, LOOK_IDLE_MS = 1000 };
enum { STATUS_FAILED = 1, STATE_BYTES = 24, GONE_MS = 1000 };

struct up {
    const struct args *args;
    char name[NAMED_BYTES];
    char bundle[PLACE_BYTES];
    const char *profile; /* as the gateway knows it */
    char *content;
    char password[SECRET_ROOM], key_password[SECRET_ROOM]; /* "": none */
    char socks[80];                                        /* where it listens */
    char told[STATE_BYTES];                                /* the state that was said */
    bool was_connected;
};

/* ---- what it takes --------------------------------------------------------------- */

static bool up_read_profile(struct up *up, const char *path)
{
    FILE *file = fopen(path, "rb");
    up->content = calloc(1, PROFILE_MAX + 2);
    size_t length =
        file && up->content ? fread(up->content, 1, PROFILE_MAX + 1, file) : 0;
    bool good = file && up->content && !ferror(file);
    if (file)
        (void)fclose(file);
    if (!good)
        say("'%s' cannot be read", path);
    else if (length == 0 || length > PROFILE_MAX || strlen(up->content) != length)
        say("'%s' is no profile: it %s", path,
            length == 0            ? "is empty"
            : length > PROFILE_MAX ? "is larger than 1 MiB"
                                   : "has bytes that are no text");
    const char *slash = strrchr(path, '/');
    up->profile = slash ? slash + 1 : path;
    return good && length > 0 && length <= PROFILE_MAX && strlen(up->content) == length;
}

static bool up_read_secrets(struct up *up)
{
    const char *file = args_get(up->args, "password-file");
    const char *key = args_get(up->args, "key-password-file");
    if (!args_get(up->args, "user") != !file) {
        say("--user and --password-file belong together");
        return false;
    }
    return (!file || secret_read("password-file", file, up->password)) &&
           (!key || secret_read("key-password-file", key, up->key_password));
}

static bool is_bundle(const char *folder)
{
    char path[PLACE_BYTES];
    FILE *file = NULL;
    if (snprintf(path, sizeof path, "%s/config.json", folder) < (int)sizeof path)
        file = fopen(path, "rb");
    if (file)
        (void)fclose(file);
    return file != NULL;
}

/* --bundle, the user's own, the installed one. */
static bool up_find_bundle(struct up *up)
{
    const char *named = args_get(up->args, "bundle");
    char own[PLACE_BYTES] = "vpn", config[PLACE_BYTES];
    if (named) {
        (void)snprintf(up->bundle, sizeof up->bundle, "%s", named);
        if (is_bundle(named))
            return true;
        say("--bundle %s: it has no config.json", named);
        return false;
    }
    bool home = place_in_cache("vpn", own);
    (void)snprintf(up->bundle, sizeof up->bundle, "%s", own);
    if (home && is_bundle(own))
        return true;
    if (place_of_data("vpn-gateway/config.json", config)) {
        *strrchr(config, '/') = '\0';
        (void)snprintf(up->bundle, sizeof up->bundle, "%s", config);
        return true;
    }
    say("there is no VPN gateway; this makes one, once: microvm-build --template "
        "velocitty-vpn --bundle -o %s",
        own);
    return false;
}

/* ---- the machine's process ------------------------------------------------------- */

static int up_machine(const struct up *up)
{
    struct run_machine run = {.quiet = args_get(up->args, "quiet") != NULL,
                              .detached = true,
                              .claim = CLAIM_NONE};
    char name[NAMED_BYTES];
    int status = STATUS_OURS;
    microvm_config *config = settings_from_args(up->args, NULL, up->bundle);
    if (config) {
        settings_name(config, name, sizeof name);
        if (!*name)
            microvm_config_set(config, "name", "vpn");
        settings_want_vsock(config);
        if (settings_want_kernel(config))
            status = run_machine(&run, config);
    }
    microvm_config_free(config);
    claim_release(&run.claim);
    return status;
}

/* ---- what becomes of it ---------------------------------------------------------- */

static bool up_start(struct up *up, const char *response, microvm_vpn_answer *answer)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    request.command = "vpn_start";
    request.profile = up->profile;
    request.response = response;
    if (!response) {
        request.username = args_get(up->args, "user");
        request.password = *up->password ? up->password : NULL;
        request.key_password = *up->key_password ? up->key_password : NULL;
    }
    return vpn_ask(up->name, &request, 0, answer);
}

/* The server's question, answered at the terminal. */
static bool up_respond(struct up *up, microvm_vpn_answer *answer)
{
    char line[SECRET_ROOM], question[256];
    if (!term_is_terminal(0)) {
        say("the server asks: %s; there is no terminal here to answer at",
            vpn_plain(answer->challenge, question, sizeof question));
        return false;
    }
    (void)fprintf(stderr, "%s ",
                  vpn_plain(answer->challenge, question, sizeof question));
    if (!fgets(line, sizeof line, stdin))
        return false;
    line[strcspn(line, "\r\n")] = '\0';
    microvm_vpn_answer_free(answer);
    return up_start(up, line, answer);
}

/* Says what is new; false: it has failed for good. */
static bool up_tell(struct up *up, const microvm_vpn_answer *answer)
{
    char shown[1024];
    const char *state = answer->state ? answer->state : "";
    if (answer->status == MICROVM_VPN_ERROR) {
        say("%s", vpn_plain(answer->error ? answer->error : "it failed", shown,
                            sizeof shown));
        return false;
    }
    if (!strncmp(up->told, state, sizeof up->told - 1))
        return true;
    (void)snprintf(up->told, sizeof up->told, "%s", state);
    if (answer->status == MICROVM_VPN_WEBAUTH_REQUIRED && answer->auth_url)
        say("open this in your browser: %s",
            vpn_plain(answer->auth_url, shown, sizeof shown));
    else if (answer->status == MICROVM_VPN_CONNECTED)
        say("connected, %s; SOCKS5 at %s",
            answer->tun_ip ? vpn_plain(answer->tun_ip, shown, sizeof shown)
                           : "no address",
            up->socks);
    else if (*state)
        say("%s", vpn_plain(state, shown, sizeof shown));
    if (answer->status == MICROVM_VPN_CONNECTED)
        up->was_connected = true;
    return true;
}

/* Until a signal, or with -d until it is connected. The exit status. */
static int up_watch(struct up *up, bool background, microvm_vpn_answer *answer)
{
    bool well = true;
    for (;;) {
        while (well && answer->status == MICROVM_VPN_ERROR && answer->challenge)
            well = up_respond(up, answer);
        if (!well || !up_tell(up, answer))
            return STATUS_FAILED;
        bool connected = answer->status == MICROVM_VPN_CONNECTED;
        if (background && connected)
            return 0;
        cancel_pause(connected ? LOOK_IDLE_MS : LOOK_MS);
        if (cancel_asked())
            return background ? STATUS_FAILED : 0;
        microvm_vpn_answer_free(answer);
        well = vpn_ask_plain(up->name, "vpn_status", answer);
    }
}

static bool up_open_socks(struct up *up)
{
    const char *listen = args_get(up->args, "listen");
    json_t *answer = named_ask(
        up->name, "socks", json_pack("{s:s}", "open", listen ? listen : "1080"), NULL);
    const char *address = json_string_value(json_object_get(answer, "address"));
    (void)snprintf(up->socks, sizeof up->socks, "%s", address ? address : "");
    json_decref(answer);
    return answer != NULL;
}

static bool up_give_profile(struct up *up)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer;
    char shown[512];
    request.command = "vpn_set_profile";
    request.name = up->profile;
    request.content = up->content;
    bool well = vpn_ask(up->name, &request, BOOT_MS, &answer);
    if (well && answer.status != MICROVM_VPN_OK) {
        say("'%s': %s", up->profile,
            vpn_plain(answer.error ? answer.error : "refused", shown, sizeof shown));
        well = false;
    }
    microvm_vpn_answer_free(&answer);
    return well;
}

/* In the process that the user sees, when the machine runs. */
static int up_serve(struct up *up, bool background)
{
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    int status = STATUS_OURS;
    if (cancel_catch() && up_open_socks(up) && up_give_profile(up)) {
        status = up_start(up, NULL, &answer) ? up_watch(up, background, &answer)
                                             : STATUS_FAILED;
    }
    microvm_vpn_answer_free(&answer);
    if (background && !status) {
        (void)printf("%s\nSOCKS5 at %s\n", up->name, up->socks);
        return finish(0);
    }
    int ended = status ? detach_ended(GONE_MS) : -1;
    if (ended < 0)
        run_command_end(up->name);
    return status;
}

int vpn_up(const struct args *args, const char *profile)
{
    static struct up up; /* large */
    int status = STATUS_OURS;
    bool background = args_get(args, "detach") != NULL;
    up = (struct up){.args = args};
    if (up_read_profile(&up, profile) && up_read_secrets(&up) && up_find_bundle(&up)) {
        if (background ? detach(up.name, sizeof up.name, &status)
                       : detach_for(up.name, sizeof up.name, &status))
            status = up_machine(&up);
        else if (*up.name)
            status = up_serve(&up, background);
    }
    free(up.content);
    return status;
}
