/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The three questions a server may ask beside a password (OpenVPN's
 * management-notes.txt, "Challenge/Response Protocol"): one that the profile knows
 * (static), one instead of a refusal (dynamic: OpenVPN starts anew, and its answer
 * takes the password's place), and one in the middle (cr-response). An answer is used
 * once.
 */
#define _GNU_SOURCE
#include "auth.h"

#include "openvpn.h"

#include <stdio.h>
#include <string.h>

enum { TEXT_MAX = 512, QUESTION_MAX = 1100 };

enum question { NOTHING, STATIC, DYNAMIC, MIDDLE };

static struct {
    char username[TEXT_MAX], password[TEXT_MAX], key_password[TEXT_MAX];
    char response[TEXT_MAX];
    bool has_username, has_password, has_key_password, has_response;
    enum question asked;
    char question[QUESTION_MAX], id[TEXT_MAX];
} auth;

/* It can stand in a line to OpenVPN; NULL is nothing. */
static bool text_fits(const char *text)
{
    char quoted[2 * TEXT_MAX + 3];
    if (!text)
        return true;
    bool well = strlen(text) < TEXT_MAX && mgmt_quote(quoted, sizeof quoted, text);
    explicit_bzero(quoted, sizeof quoted);
    return well;
}

static void text_keep(char to[TEXT_MAX], bool *has, const char *from)
{
    *has = from;
    (void)snprintf(to, TEXT_MAX, "%s", from ? from : "");
}

bool auth_none(const struct vpn_request *r, char why[AUTH_WHY_MAX])
{
    const char *const all[] = {r->username, r->password, r->response, r->key_password};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (!all[i] || !*all[i])
            continue;
        (void)snprintf(why, AUTH_WHY_MAX,
                       "'%.100s' is a WireGuard profile, with its keys in it: it takes "
                       "no username, password, response or key_password",
                       r->profile);
        return false;
    }
    return true;
}

void auth_clear(void)
{
    explicit_bzero(&auth, sizeof auth);
}

bool auth_set(const struct vpn_request *r, char why[AUTH_WHY_MAX])
{
    if (!text_fits(r->username) || !text_fits(r->password) ||
        !text_fits(r->key_password) || !text_fits(r->response)) {
        (void)snprintf(why, AUTH_WHY_MAX,
                       "credentials have at most %d bytes, and no control characters",
                       TEXT_MAX - 1);
        return false;
    }
    auth_clear();
    text_keep(auth.username, &auth.has_username, r->username);
    text_keep(auth.password, &auth.has_password, r->password);
    text_keep(auth.key_password, &auth.has_key_password, r->key_password);
    text_keep(auth.response, &auth.has_response, r->response);
    return true;
}

static bool text_same(const char *kept, bool has, const char *given)
{
    return !given || (has && !strcmp(kept, given));
}

bool auth_same(const struct vpn_request *r)
{
    return text_same(auth.username, auth.has_username, r->username) &&
           text_same(auth.password, auth.has_password, r->password) &&
           text_same(auth.key_password, auth.has_key_password, r->key_password);
}

/* ---- to OpenVPN ------------------------------------------------------------------ */

/* command "REALM" "TEXT" */
static bool say_secret(const char *command, const char *realm, const char *text)
{
    char name[2 * 64 + 3], quoted[4 * TEXT_MAX];
    bool well =
        mgmt_quote(name, sizeof name, realm) && mgmt_quote(quoted, sizeof quoted, text);
    if (well)
        openvpn_say("%s %s %s", command, name, quoted);
    explicit_bzero(quoted, sizeof quoted);
    return well;
}

static void response_used(void)
{
    explicit_bzero(auth.response, sizeof auth.response);
    auth.has_response = false;
    auth.asked = NOTHING;
    auth.question[0] = '\0';
}

/* The password with the answer to a static challenge. */
static bool say_static(const char *realm)
{
    char password[4 * TEXT_MAX / 3 + 8], response[4 * TEXT_MAX / 3 + 8];
    char both[sizeof password + sizeof response + 8];
    bool well = mgmt_base64(password, sizeof password, auth.password) &&
                mgmt_base64(response, sizeof response, auth.response) &&
                snprintf(both, sizeof both, "SCRV1:%s:%s", password, response) > 0 &&
                say_secret("password", realm, both);
    explicit_bzero(password, sizeof password);
    explicit_bzero(response, sizeof response);
    explicit_bzero(both, sizeof both);
    response_used();
    return well;
}

static bool say_dynamic(const char *realm)
{
    char both[2 * TEXT_MAX + 16];
    (void)snprintf(both, sizeof both, "CRV1::%s::%s", auth.id, auth.response);
    bool well = say_secret("password", realm, both);
    explicit_bzero(both, sizeof both);
    response_used();
    return well;
}

static void say_middle(void)
{
    char response[4 * TEXT_MAX / 3 + 8];
    if (mgmt_base64(response, sizeof response, auth.response))
        openvpn_say("cr-response %s", response);
    explicit_bzero(response, sizeof response);
    response_used();
}

/* ---- from OpenVPN ---------------------------------------------------------------- */

static void ask(enum question kind, const struct mgmt_line *line)
{
    auth.asked = kind;
    (void)snprintf(auth.question, sizeof auth.question, "%s", line->text);
    (void)snprintf(auth.id, sizeof auth.id, "%s", line->id);
}

static enum auth_result failed(char why[AUTH_WHY_MAX], const char *what)
{
    (void)snprintf(why, AUTH_WHY_MAX, "%s", what);
    return AUTH_FAILED;
}

static enum auth_result need_key(const struct mgmt_line *line, char why[AUTH_WHY_MAX])
{
    const char *text = auth.has_key_password ? auth.key_password : auth.password;
    if (!auth.has_key_password && !auth.has_password)
        return failed(why, "the profile's private key wants a password (key_password)");
    return say_secret("password", line->realm, text)
               ? AUTH_SAID
               : failed(why, "the key's password cannot be said");
}

enum auth_result auth_need(const struct mgmt_line *line, char why[AUTH_WHY_MAX])
{
    bool well;
    if (!strcmp(line->realm, "Private Key"))
        return need_key(line, why);
    if (strcmp(line->realm, "Auth") != 0) {
        (void)snprintf(why, AUTH_WHY_MAX,
                       "OpenVPN asks for '%.60s', which is not known here",
                       line->realm);
        return AUTH_FAILED;
    }
    if (!auth.has_password || (line->username && !auth.has_username))
        return failed(why, "the server wants a username and a password");
    if (line->static_challenge && !auth.has_response) {
        ask(STATIC, line);
        return AUTH_ASKS;
    }
    well = !line->username || say_secret("username", line->realm, auth.username);
    if (auth.asked == DYNAMIC && auth.has_response)
        well = well && say_dynamic(line->realm);
    else if (line->static_challenge)
        well = well && say_static(line->realm);
    else
        well = well && say_secret("password", line->realm, auth.password);
    return well ? AUTH_SAID : failed(why, "the credentials cannot be said");
}

enum auth_result auth_refused(const struct mgmt_line *line, char why[AUTH_WHY_MAX])
{
    if (line->kind == MGMT_DYNAMIC) {
        ask(DYNAMIC, line);
        return AUTH_ASKS;
    }
    if (!strcmp(line->realm, "Private Key"))
        return failed(why, "the private key's password is wrong");
    (void)snprintf(why, AUTH_WHY_MAX,
                   "the server refused the username or password%s%.200s",
                   *line->text ? ": " : "", line->text);
    return AUTH_FAILED;
}

void auth_asked(const struct mgmt_line *line)
{
    ask(MIDDLE, line);
}

void auth_anew(void)
{
    if (auth.asked == MIDDLE)
        response_used();
}

const char *auth_question(void)
{
    return auth.question;
}

bool auth_holds(void)
{
    return auth.asked == DYNAMIC && !auth.has_response;
}

bool auth_respond(const char *response)
{
    if (auth.asked == NOTHING || !text_fits(response))
        return false;
    text_keep(auth.response, &auth.has_response, response);
    if (auth.asked == MIDDLE)
        say_middle();
    if (auth.asked == STATIC)
        return (!auth.has_username || say_secret("username", "Auth", auth.username)) &&
               say_static("Auth");
    return true;
}
