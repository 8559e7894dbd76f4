/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * docker's config.json: {"auths": {"registry.example": {"auth": base64 of
 * "name:password"}}}, the programs that keep credentials in its place ("credHelpers"
 * for one registry, "credsStore" for all) and what they say (docker-credential-helpers,
 * "Development"), and the challenges of RFC 9110, 11.6.1.
 */
#include "credentials.h"

#include "util/str.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

/* docker has written keys of several forms: with a scheme, with a path. */
static bool key_is_for(const char *key, const char *host)
{
    const char *scheme = strstr(key, "://");
    const char *begin = scheme ? scheme + 3 : key;
    size_t length = strcspn(begin, "/");
    if (!strcmp(host, "docker.io"))
        host = length == 15 ? "index.docker.io" : "docker.io";
    return strlen(host) == length && !strncmp(begin, host, length);
}

static int credentials_decode(const char *auth, char user[MV_CREDENTIALS],
                              microvm_error *err)
{
    size_t length = strlen(auth);
    unsigned char out[MV_CREDENTIALS];
    if (length == 0)
        return 0;
    if (length % 4 || length / 4 * 3 >= sizeof out)
        return mv_fail(err, MICROVM_E_INVALID,
                       "docker's config.json: an 'auth' that is no base64");
    int got = EVP_DecodeBlock(out, (const unsigned char *)auth, (int)length);
    while (length && auth[length - 1] == '=') { /* EVP counts the padding, too */
        length--;
        got--;
    }
    if (got <= 0 || memchr(out, '\0', (size_t)got) || !memchr(out, ':', (size_t)got))
        return mv_fail(err, MICROVM_E_INVALID,
                       "docker's config.json: an 'auth' that is no name:password");
    memcpy(user, out, (size_t)got);
    user[got] = '\0';
    return 0;
}

/* Part of a program's name: no path, no option. */
static int helper_name(const json_t *value, char helper[MV_CREDENTIALS_HELPER],
                       microvm_error *err)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-_.";
    const char *name = json_string_value(value);
    size_t length = name ? strlen(name) : 0;
    if (!value || (name && length == 0))
        return 0;
    if (!name || length >= MV_CREDENTIALS_HELPER || strspn(name, plain) != length)
        return mv_fail(err, MICROVM_E_INVALID,
                       "docker's config.json: a credsStore or credHelpers that is no "
                       "program's name");
    memcpy(helper, name, length + 1);
    return 0;
}

static int helper_find(const json_t *root, const char *host,
                       char helper[MV_CREDENTIALS_HELPER], microvm_error *err)
{
    const char *key;
    json_t *value;
    json_object_foreach(json_object_get(root, "credHelpers"), key, value)
    {
        if (key_is_for(key, host) || !strcmp(key, host))
            return helper_name(value, helper, err);
    }
    return helper_name(json_object_get(root, "credsStore"), helper, err);
}

int mv_credentials_find(const char *text, size_t length, const char *host,
                        char user[MV_CREDENTIALS], char helper[MV_CREDENTIALS_HELPER],
                        microvm_error *err)
{
    json_error_t wrong;
    const char *key;
    json_t *value, *root = json_loadb(text, length, 0, &wrong);
    if (!root)
        return mv_fail(err, MICROVM_E_INVALID, "docker's config.json: no JSON, line %d",
                       wrong.line);
    user[0] = helper[0] = '\0';
    int rc = helper_find(root, host, helper, err);
    json_object_foreach(json_object_get(root, "auths"), key, value)
    {
        const char *auth = json_string_value(json_object_get(value, "auth"));
        if (auth && !rc && !user[0] && key_is_for(key, host))
            rc = credentials_decode(auth, user, err);
    }
    json_decref(root);
    return rc;
}

const char *mv_credentials_server(const char *host)
{
    return strcmp(host, "docker.io") ? host : "https://index.docker.io/v1/";
}

static int answer_refused(const char *helper, int status, const char *answer,
                          microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    /* The words are those of the helpers' own library, whoever has written them. */
    if (strstr(answer, "credentials not found"))
        return 0;
    if (status < 0)
        return mv_fail(
            err, MICROVM_E_IO,
            "docker-credential-%s, which docker's config.json names, could not "
            "be run: is it in PATH?",
            helper);
    return mv_fail(err, MICROVM_E_IO, "docker-credential-%s ended with status %d: %s",
                   helper, status, mv_str_show(shown, answer));
}

int mv_credentials_answer(const char *helper, int status, const char *answer,
                          char user[MV_CREDENTIALS], microvm_error *err)
{
    user[0] = '\0';
    if (status)
        return answer_refused(helper, status, answer, err);
    json_t *root = json_loads(answer, 0, NULL);
    const char *name = json_string_value(json_object_get(root, "Username"));
    const char *secret = json_string_value(json_object_get(root, "Secret"));
    int rc = 0;
    if (!name || !*name || !secret || strchr(name, ':'))
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "docker-credential-%s gave no Username and Secret", helper);
    else if (!strcmp(name, "<token>"))
        rc = mv_fail(err, MICROVM_E_UNSUPPORTED,
                     "docker-credential-%s keeps an identity token, which is not used "
                     "here: 'docker login' with a password or an access token",
                     helper);
    else if (strlen(name) + strlen(secret) + 2 > MV_CREDENTIALS)
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "docker-credential-%s gave more than %d bytes", helper,
                     MV_CREDENTIALS);
    else
        (void)snprintf(user, MV_CREDENTIALS, "%s:%s", name, secret);
    json_decref(root);
    return rc;
}

bool mv_challenge_get(const char *challenge, const char *name, char *value, size_t size)
{
    size_t length = strlen(name);
    for (const char *p = strchr(challenge, ' '); p && *p; p = strchr(p, ',')) {
        size_t used = 0;
        while (*p == ' ' || *p == ',')
            p++;
        if (strncmp(p, name, length) || p[length] != '=') {
            /* Over this parameter: a quoted one may have commas in it. */
            const char *quote = strchr(p, '"'), *comma = strchr(p, ',');
            if (quote && comma && quote < comma)
                p = strchr(quote + 1, '"');
            if (!p)
                return false;
            continue;
        }
        p += length + 1;
        bool quoted = *p == '"';
        p += quoted;
        while (*p && *p != '"' && (quoted || *p != ',')) {
            if (used + 1 >= size)
                return false;
            value[used++] = *p++;
        }
        value[used] = '\0';
        return !quoted || *p == '"';
    }
    return false;
}
