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

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PROFILE_MAX = 1 << 20, BOOT_MS = 60000, LOOK_MS = 300, LOOK_IDLE_MS = 1000 };
enum { STATUS_FAILED = 1, STATE_BYTES = 24, GONE_MS = 1000 };
enum { AGAIN_MS = 20000 }; /* in which a daemon that failed is there again */

struct up {
    const struct args *args;
    char name[NAMED_BYTES];
    char bundle[PLACE_BYTES];
    const char *profile; /* as the gateway knows it */
    char *content;
    char password[SECRET_ROOM], key_password[SECRET_ROOM]; /* "": none */
    char socks[80];                                        /* where it listens */
    char told[STATE_BYTES];                                /* the state that was said */
    struct vpn_link link;
    bool told_again; /* by the last look */
};

/* ---- what it takes --------------------------------------------------------------- */

static bool up_read_profile(struct up *up, const char *path)
{
    errno = 0;
    FILE *file = fopen(path, "rb");
    if (file)
        (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of its keys stays */
    up->content = calloc(1, PROFILE_MAX + 2);
    size_t length =
        file && up->content ? fread(up->content, 1, PROFILE_MAX + 1, file) : 0;
    bool good = file && up->content && !ferror(file);
    int why = errno;
    if (file)
        (void)fclose(file);
    if (!good)
        say("'%s' cannot be read: %s", path, strerror(why));
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

/* The profile's keys are the gateway's from now on. */
static void up_forget_profile(struct up *up)
{
    if (up->content)
        secret_wipe(up->content, PROFILE_MAX + 2);
    free(up->content);
    up->content = NULL;
}

static void up_forget(struct up *up)
{
    up_forget_profile(up);
    secret_wipe(up->password, sizeof up->password);
    secret_wipe(up->key_password, sizeof up->key_password);
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

/* It runs a guest's devices: the user's secrets are none of its business. */
static int up_machine(struct up *up)
{
    up_forget(up);
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
    if (!vpn_link_ask(&up->link, &request, AGAIN_MS, answer))
        return false;
    up->link.lost = false;
    return true;
}

/* How it is. A daemon that was started again knows of no tunnel: it gets what the first
 * one got. One that was told to stop is the same daemon, and stays so. */
static bool up_look(struct up *up, microvm_vpn_answer *answer)
{
    microvm_vpn_request request = MICROVM_VPN_REQUEST_INIT;
    request.command = "vpn_status";
    up->told_again = false;
    bool well = vpn_link_ask(&up->link, &request, AGAIN_MS, answer) ||
                (!cancel_asked() && !up->link.gone &&
                 vpn_link_ask(&up->link, &request, AGAIN_MS, answer));
    if (!well)
        return false;
    bool idle = answer->state && !strcmp(answer->state, "idle");
    bool anew = idle && up->link.lost && strcmp(up->told, "idle") != 0;
    up->link.lost = false;
    if (!anew)
        return true;
    say("the gateway has no tunnel any more; it is told again");
    microvm_vpn_answer_free(answer);
    up->told_again = true;
    return up_start(up, NULL, answer);
}

/* A line of standard input, without its end. Of one that is too long nothing stays
 * behind for the next question. */
static bool read_line(char line[SECRET_ROOM], bool *too_long)
{
    if (!fgets(line, SECRET_ROOM, stdin))
        return false;
    bool more = strlen(line) == SECRET_ROOM - 1 && line[SECRET_ROOM - 2] != '\n';
    *too_long = more || strcspn(line, "\r\n") >= SECRET_BYTES;
    for (int c = more ? ' ' : '\n'; c != '\n' && c != EOF;)
        c = getc(stdin);
    line[strcspn(line, "\r\n")] = '\0';
    return true;
}

/* The server's question, answered at the terminal. */
static bool up_respond(struct up *up, microvm_vpn_answer *answer)
{
    char line[SECRET_ROOM], question[256];
    bool too_long;
    if (!term_is_terminal(0)) {
        say("the server asks: %s; there is no terminal here to answer at",
            vpn_plain(answer->challenge, question, sizeof question));
        return false;
    }
    (void)fprintf(stderr, "%s ",
                  vpn_plain(answer->challenge, question, sizeof question));
    enum cancel_why why = cancel_input(up->link.fd);
    if (why != CANCEL_INPUT) { /* what it is about, who looks next finds out */
        (void)fputc('\n', stderr);
        microvm_vpn_answer_free(answer);
        return why == CANCEL_OTHER && up_look(up, answer);
    }
    if (!read_line(line, &too_long)) {
        say("it was not answered");
        return false;
    }
    if (too_long)
        say("an answer has at most %d bytes", SECRET_BYTES - 1);
    microvm_vpn_answer_free(answer);
    bool well = up_look(up, answer); /* it may not be asked any more */
    if (well && !too_long && !up->told_again && answer->challenge) {
        microvm_vpn_answer_free(answer);
        well = up_start(up, line, answer) || up_look(up, answer);
    }
    secret_wipe(line, sizeof line);
    return well;
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
    else if (!strcmp(state, "idle"))
        say("the tunnel was stopped; 'microvm vpn down' ends the gateway");
    else if (*state)
        say("%s", vpn_plain(state, shown, sizeof shown));
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
        if (background && (connected || !strcmp(up->told, "idle")))
            return connected ? 0 : STATUS_FAILED;
        cancel_pause(connected ? LOOK_IDLE_MS : LOOK_MS);
        if (cancel_asked())
            return STATUS_FAILED;
        microvm_vpn_answer_free(answer);
        well = up_look(up, answer);
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
    bool well = vpn_link_ask(&up->link, &request, BOOT_MS, &answer);
    up_forget_profile(up);
    if (well && answer.status != MICROVM_VPN_OK) {
        say("'%s': %s", up->profile,
            vpn_plain(answer.error ? answer.error : "refused", shown, sizeof shown));
        well = false;
    }
    microvm_vpn_answer_free(&answer);
    return well;
}

/* It is over, with this status: says why, where that has not been said, and ends what
 * is left. The exit status. */
static int up_end(struct up *up, bool background, int status)
{
    bool cancelled = cancel_asked() != 0;
    int ended = detach_ended(cancelled ? 0 : GONE_MS);
    bool gone = up->link.gone || ended >= 0;
    cancel_release();
    vpn_link_close(&up->link);
    if (cancelled && !background)
        status = 0;
    if (gone && !cancelled) {
        say("the gateway was ended");
        if (status == STATUS_FAILED && ended == 0)
            status = 0;
    } else if (!cancelled && up->link.err.code) {
        say_error(&up->link.err);
    }
    if (!gone)
        run_command_end(up->name);
    return status;
}

/* In the process that the user sees, when the machine runs. */
static int up_serve(struct up *up, bool background)
{
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    int status = STATUS_OURS;
    up->link = (struct vpn_link){.name = up->name, .fd = -1};
    if (cancel_catch() && up_open_socks(up) && up_give_profile(up)) {
        bool well = up_start(up, NULL, &answer) ||
                    (up->link.lost && !cancel_asked() && up_look(up, &answer));
        status = well ? up_watch(up, background, &answer) : STATUS_FAILED;
    }
    microvm_vpn_answer_free(&answer);
    up_forget(up);
    if (status)
        return up_end(up, background, status);
    (void)printf("%s\nSOCKS5 at %s\n", up->name, up->socks); /* in the background */
    return finish(0);
}

int vpn_up(const struct args *args, const char *profile)
{
    static struct up up; /* large */
    int status = STATUS_OURS;
    bool background = args_get(args, "detach") != NULL;
    up = (struct up){.args = args};
    (void)setvbuf(stdin, NULL, _IONBF, 0); /* no copy of secrets, none waits in here */
    if (up_read_profile(&up, profile) && up_read_secrets(&up) && up_find_bundle(&up)) {
        if (background ? detach(up.name, sizeof up.name, &status)
                       : detach_for(up.name, sizeof up.name, &status))
            status = up_machine(&up);
        else if (*up.name)
            status = up_serve(&up, background);
        else if (!status) {
            say("the gateway was ended");
            status = STATUS_FAILED;
        }
    }
    up_forget(&up);
    return status;
}
