/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The words of vpn.h: tables of names and fields, and a scanner for the ends of JSON.
 */
#include "proto/vpn.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const commands[] = {
    "ping",       "get_auth_secret", "vpn_start",     "vpn_stop",
    "vpn_status", "vpn_set_profile", "list_profiles", "vpn_check_webauth",
    "shutdown",   "pause",           "resume"};

static const char *const statuses[] = {"ok",        "error",        "pong",
                                       "connected", "disconnected", "webauth_required"};

const char *vpn_command_name(enum vpn_command command)
{
    return commands[command];
}

const char *vpn_status_name(enum vpn_status status)
{
    return statuses[status];
}

/* ---- the end of a request -------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* True: the object's last brace. Braces of both kinds are counted alike: what they hold
 * is the reader's affair. */
static bool scan_json(struct vpn_scan *s, char c)
{
    if (s->string) {
        bool quoted = s->escape;
        s->escape = !quoted && c == '\\';
        s->string = quoted || c != '"';
        return false;
    }
    if (c == '"')
        s->string = true;
    else if (c == '{' || c == '[')
        s->depth++;
    else if ((c == '}' || c == ']') && --s->depth == 0)
        return true;
    return false;
}

size_t vpn_request_scan(struct vpn_scan *s, const char *bytes, size_t size, bool ended)
{
    for (; s->at < size; s->at++) {
        char c = bytes[s->at];
        if (!s->begun && is_space(c))
            continue;
        if (!s->begun) {
            s->begun = true;
            s->json = c == '{';
        }
        if (c == '\n' || (s->json && scan_json(s, c)))
            return s->at + 1;
    }
    return ended && s->begun ? size : 0;
}

/* ---- fields ---------------------------------------------------------------------- */

struct field {
    const char *key;
    size_t offset; /* of a const char * */
};

static const struct field request_fields[] = {
    {"profile", offsetof(struct vpn_request, profile)},
    {"username", offsetof(struct vpn_request, username)},
    {"password", offsetof(struct vpn_request, password)},
    {"response", offsetof(struct vpn_request, response)},
    {"key_password", offsetof(struct vpn_request, key_password)},
    {"name", offsetof(struct vpn_request, name)},
    {"content", offsetof(struct vpn_request, content)},
    {"auth", offsetof(struct vpn_request, auth)},
};

static const struct field answer_fields[] = {
    {"tun_ip", offsetof(struct vpn_answer, tun_ip)},
    {"error", offsetof(struct vpn_answer, error)},
    {"auth_url", offsetof(struct vpn_answer, auth_url)},
    {"auth_secret", offsetof(struct vpn_answer, auth_secret)},
    {"challenge", offsetof(struct vpn_answer, challenge)},
    {"state", offsetof(struct vpn_answer, state)},
    {"profile", offsetof(struct vpn_answer, profile)},
};

enum {
    REQUEST_FIELDS = sizeof request_fields / sizeof request_fields[0],
    ANSWER_FIELDS = sizeof answer_fields / sizeof answer_fields[0]
};

static void field_put(void *base, const struct field *field, const char *value)
{
    memcpy((char *)base + field->offset, &value, sizeof value);
}

static const char *field_get(const void *base, const struct field *field)
{
    const char *value;
    memcpy(&value, (const char *)base + field->offset, sizeof value);
    return value;
}

/* The key of a field that is no text; NULL: all are well. */
static const char *fields_read(json_t *json, void *base, const struct field *field,
                               size_t count)
{
    for (size_t i = 0; i < count; i++) {
        json_t *value = json_object_get(json, field[i].key);
        if (!value || json_is_null(value))
            continue;
        if (!json_is_string(value))
            return field[i].key;
        field_put(base, &field[i], json_string_value(value));
    }
    return NULL;
}

static bool fields_write(json_t *json, const void *base, const struct field *field,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = field_get(base, &field[i]);
        if (value && json_object_set_new(json, field[i].key, json_string(value)))
            return false;
    }
    return true;
}

/* Zeros in the place of its texts, among which there are passwords and keys. */
static void fields_wipe(json_t *json)
{
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        volatile char *text = (volatile char *)(uintptr_t)json_string_value(value);
        for (size_t n = json_string_length(value); n > 0; n--)
            *text++ = 0;
    }
}

/* A line of it; it is given away. */
static char *json_line(json_t *json, bool well)
{
    size_t length = well ? json_dumpb(json, NULL, 0, JSON_COMPACT) : 0;
    char *line = length ? malloc(length + 2) : NULL;
    if (line) {
        (void)json_dumpb(json, line, length, JSON_COMPACT);
        memcpy(line + length, "\n", 2);
    }
    fields_wipe(json);
    json_decref(json);
    return line;
}

static int name_find(const char *name, const char *const *names, int count)
{
    for (int i = 0; name && i < count; i++) {
        if (!strcmp(name, names[i]))
            return i;
    }
    return -1;
}

/* ---- requests -------------------------------------------------------------------- */

/* The three parts of what is wrong, in one. */
static bool request_wrong(struct vpn_request *out, char why[VPN_WHY_MAX],
                          const char *before, const char *what, const char *after)
{
    (void)snprintf(why, VPN_WHY_MAX, "%s%.100s%s", before, what, after);
    vpn_request_free(out);
    return false;
}

static bool word_read(const char *bytes, size_t size, struct vpn_request *out,
                      char why[VPN_WHY_MAX])
{
    static const struct {
        const char *word;
        enum vpn_command command;
    } words[] = {{"ping", VPN_PING},
                 {"status", VPN_STATUS},
                 {"pause", VPN_PAUSE},
                 {"resume", VPN_RESUME},
                 {"shutdown", VPN_SHUTDOWN}};
    out->word = true;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        out->command = words[i].command;
        if (strlen(words[i].word) == size && !memcmp(bytes, words[i].word, size))
            return true;
    }
    int shown = (int)(size < 80 ? size : 80);
    (void)snprintf(why, VPN_WHY_MAX, "unknown: %.*s", shown, bytes);
    return false;
}

/* What a command cannot be without. */
static const char *request_lacks(const struct vpn_request *r)
{
    if (r->command == VPN_START && !r->profile)
        return "profile";
    if (r->command == VPN_SET_PROFILE && !r->name)
        return "name";
    if (r->command == VPN_SET_PROFILE && !r->content)
        return "content";
    return NULL;
}

bool vpn_request_read(const char *bytes, size_t size, struct vpn_request *out,
                      char why[VPN_WHY_MAX])
{
    json_error_t wrong;
    *out = (struct vpn_request){.json = NULL};
    while (size > 0 && is_space(bytes[size - 1]))
        size--;
    while (size > 0 && is_space(*bytes)) {
        bytes++;
        size--;
    }
    if (size == 0 || *bytes != '{')
        return word_read(bytes, size, out, why);
    out->json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, &wrong);
    if (!out->json)
        return request_wrong(out, why, "this is no JSON object: ", wrong.text, "");
    const char *name = json_string_value(json_object_get(out->json, "cmd"));
    int command = name_find(name, commands, VPN_COMMANDS);
    if (command < 0)
        return request_wrong(out, why, "there is no command '", name ? name : "", "'");
    out->command = (enum vpn_command)command;
    const char *key = fields_read(out->json, out, request_fields, REQUEST_FIELDS);
    json_t *detail = json_object_get(out->json, "detail");
    if (!key && detail && !json_is_boolean(detail) && !json_is_null(detail))
        key = "detail";
    if (key)
        return request_wrong(out, why, "\"", key, "\" is of the wrong type");
    out->detail = json_is_true(detail);
    key = request_lacks(out);
    return !key || request_wrong(out, why, "\"", key, "\" is missing");
}

void vpn_request_free(struct vpn_request *request)
{
    json_decref(request->json);
    request->json = NULL;
}

char *vpn_request_write(const struct vpn_request *request)
{
    json_t *json = json_object();
    bool well =
        !json_object_set_new(json, "cmd", json_string(commands[request->command]));
    well = well && fields_write(json, request, request_fields, REQUEST_FIELDS);
    if (request->detail)
        well = well && !json_object_set_new(json, "detail", json_true());
    return json_line(json, well);
}

/* ---- answers --------------------------------------------------------------------- */

static bool profiles_read(json_t *value, struct vpn_answer *out)
{
    size_t i;
    json_t *name;
    if (!value || json_is_null(value))
        return true;
    json_array_foreach(value, i, name)
    {
        if (!json_is_string(name))
            return false;
    }
    out->profiles = value;
    return json_is_array(value);
}

bool vpn_answer_read(const char *bytes, size_t size, struct vpn_answer *out)
{
    *out = (struct vpn_answer){
        .json = json_loadb(bytes, size, JSON_REJECT_DUPLICATES, NULL)};
    const char *name = json_string_value(json_object_get(out->json, "status"));
    int status = name_find(name, statuses, VPN_STATUSES);
    if (status >= 0 && !fields_read(out->json, out, answer_fields, ANSWER_FIELDS) &&
        profiles_read(json_object_get(out->json, "profiles"), out)) {
        out->status = (enum vpn_status)status;
        return true;
    }
    vpn_answer_free(out);
    return false;
}

void vpn_answer_free(struct vpn_answer *answer)
{
    json_decref(answer->json);
    answer->json = NULL;
}

char *vpn_answer_write(const struct vpn_answer *answer)
{
    json_t *json = json_object();
    bool well =
        !json_object_set_new(json, "status", json_string(statuses[answer->status]));
    well = well && fields_write(json, answer, answer_fields, ANSWER_FIELDS);
    if (answer->profiles)
        well = well && !json_object_set(json, "profiles", answer->profiles);
    return json_line(json, well);
}

bool vpn_secret_equal(const char *secret, const char *given)
{
    size_t length = strlen(given);
    unsigned differs = length != VPN_SECRET_DIGITS;
    for (size_t i = 0; i < VPN_SECRET_DIGITS; i++)
        differs |=
            (unsigned char)secret[i] ^ (unsigned char)(i < length ? given[i] : 0);
    return !differs;
}
