/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * docker's config.json: {"auths": {"registry.example": {"auth": base64 of
 * "name:password"}}}, and the challenges of RFC 9110, 11.6.1. Programs that keep
 * credentials (credsStore, credHelpers) are noticed, not started.
 */
#include "credentials.h"

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

int mv_credentials_find(const char *text, size_t length, const char *host,
                        char user[MV_CREDENTIALS], bool *helper, microvm_error *err)
{
    json_error_t wrong;
    const char *key;
    json_t *value, *root = json_loadb(text, length, 0, &wrong);
    int rc = 0;
    if (!root)
        return mv_fail(err, MICROVM_E_INVALID, "docker's config.json: no JSON, line %d",
                       wrong.line);
    user[0] = '\0';
    *helper = json_object_get(root, "credsStore") ||
              json_object_get(json_object_get(root, "credHelpers"), host);
    json_object_foreach(json_object_get(root, "auths"), key, value)
    {
        const char *auth = json_string_value(json_object_get(value, "auth"));
        if (auth && !rc && !user[0] && key_is_for(key, host))
            rc = credentials_decode(auth, user, err);
    }
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
