/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The lines of mgmt.h: each notice begins with '>' and its name. */
#include "mgmt.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* What stands behind `prefix`; NULL: it begins otherwise. */
static char *behind(char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) ? NULL : text + length;
}

/* Ends the field at `end`, and gives what follows; NULL: it is the last. */
static char *field_end(char *text, char end)
{
    char *at = strchr(text, end);
    if (at)
        *at++ = '\0';
    return at;
}

/* TIME,NAME,REASON,IP,REMOTE,PORT,LOCAL,PORT,IP6 */
static void read_state(char *text, struct mgmt_line *out)
{
    char *field[9] = {NULL};
    for (unsigned i = 0; text && i < 9; i++) {
        field[i] = text;
        text = field_end(text, ',');
    }
    if (!field[1])
        return;
    out->kind = MGMT_STATE;
    out->state = field[1];
    out->text = field[2] ? field[2] : "";
    out->ip = field[3] && *field[3] ? field[3] : field[8] ? field[8] : "";
}

/* 'REALM' in front of the rest, which it gives. */
static char *read_realm(char *text, struct mgmt_line *out)
{
    char *end = *text == '\'' ? strchr(text + 1, '\'') : NULL;
    if (!end)
        return NULL;
    *end = '\0';
    out->realm = text + 1;
    return end + 1;
}

static void read_need(char *text, struct mgmt_line *out)
{
    char *rest = read_realm(text, out);
    if (!rest)
        return;
    out->kind = MGMT_NEED;
    out->username = strncmp(rest, " username/password", 18) == 0;
    char *challenge = strstr(rest, " SC:"); /* SC:FLAGS,TEXT */
    challenge = challenge ? strchr(challenge, ',') : NULL;
    if (challenge) {
        out->static_challenge = true;
        out->text = challenge + 1;
    }
}

/* CRV1:FLAGS:ID:USER:TEXT; one with less is a reason like any other. */
static bool read_dynamic(char *reason, struct mgmt_line *out)
{
    char *id = behind(reason, "CRV1:"), *user, *text;
    id = id ? strchr(id, ':') : NULL;
    user = id ? strchr(id + 1, ':') : NULL;
    text = user ? strchr(user + 1, ':') : NULL;
    if (!text)
        return false;
    *user = '\0';
    out->kind = MGMT_DYNAMIC;
    out->id = id + 1;
    out->text = text + 1;
    return true;
}

static void read_refused(char *text, struct mgmt_line *out)
{
    char *rest = read_realm(text, out);
    if (!rest)
        return;
    out->kind = MGMT_REFUSED;
    char *reason = behind(rest, " ['");
    size_t length = reason ? strlen(reason) : 0;
    if (length < 2 || strcmp(reason + length - 2, "']") != 0)
        return;
    reason[length - 2] = '\0';
    if (!read_dynamic(reason, out))
        out->text = reason;
}

/* NAME:FLAGS:TEXT, or NAME:TEXT of the older kind. */
static void read_info(char *text, struct mgmt_line *out)
{
    char *rest;
    if ((rest = behind(text, "OPEN_URL:"))) {
        out->kind = MGMT_WEB;
        out->text = rest;
    } else if ((rest = behind(text, "WEB_AUTH:")) && (rest = field_end(rest, ':'))) {
        out->kind = MGMT_WEB;
        out->text = rest;
    } else if ((rest = behind(text, "CR_TEXT:")) && (rest = field_end(rest, ':'))) {
        out->kind = MGMT_QUESTION;
        out->text = rest;
    }
}

static void read_updown(char *text, struct mgmt_line *out)
{
    char *env = behind(text, "ENV,");
    if (!strcmp(text, "UP"))
        out->kind = MGMT_UP;
    else if (!strcmp(text, "DOWN"))
        out->kind = MGMT_DOWN;
    else if (env && !strcmp(env, "END"))
        out->kind = MGMT_ENV_END;
    else if (env)
        out->kind = MGMT_ENV;
    out->text = env ? env : "";
}

void mgmt_read(char *line, struct mgmt_line *out)
{
    char *rest;
    *out = (struct mgmt_line){.state = "", .text = "", .ip = "", .realm = "", .id = ""};
    if ((rest = behind(line, ">STATE:"))) {
        read_state(rest, out);
    } else if ((rest = behind(line, ">HOLD:"))) {
        char *number = strrchr(rest, ':');
        out->kind = MGMT_HOLD;
        out->wait_s = number ? (unsigned)strtoul(number + 1, NULL, 10) : 0;
    } else if ((rest = behind(line, ">PASSWORD:Need "))) {
        read_need(rest, out);
    } else if ((rest = behind(line, ">PASSWORD:Verification Failed: "))) {
        read_refused(rest, out);
    } else if ((rest = behind(line, ">INFOMSG:"))) {
        read_info(rest, out);
    } else if ((rest = behind(line, ">FATAL:"))) {
        out->kind = MGMT_FATAL;
        out->text = rest;
    } else if ((rest = behind(line, ">UPDOWN:"))) {
        read_updown(rest, out);
    }
}

/* ---- to it ----------------------------------------------------------------------- */

bool mgmt_quote(char *out, size_t room, const char *text)
{
    size_t at = 0;
    if (room < 3)
        return false;
    out[at++] = '"';
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || at + 4 > room)
            return false;
        if (*text == '"' || *text == '\\')
            out[at++] = '\\';
        out[at++] = *text;
    }
    out[at++] = '"';
    out[at] = '\0';
    return true;
}

bool mgmt_base64(char *out, size_t room, const char *text)
{
    static const char digit[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = strlen(text), at = 0;
    if (length > room || (length + 2) / 3 * 4 + 1 > room)
        return false;
    for (size_t i = 0; i < length; i += 3) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; k++)
            bits = bits << 8 | (i + k < length ? (unsigned char)text[i + k] : 0);
        for (size_t k = 0; k < 4; k++) {
            bool pad = i + k > length; /* n bytes make n + 1 digits */
            out[at++] = pad ? '=' : digit[bits >> (18 - 6 * k) & 63];
        }
    }
    out[at] = '\0';
    return true;
}
