/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Parsing references. Every character is checked here, so that what becomes a part of a
 * URL later needs no escaping.
 */
#include "ref.h"

#include "util/str.h"

#include <stdio.h>
#include <string.h>

static int ref_bad(const char *text, const char *why, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    return mv_fail(err, MICROVM_E_INVALID, "image '%s': %s", mv_str_show(shown, text),
                   why);
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_lower(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c);
}

static bool is_letter(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

/* Letters and digits, with '-' and '.' inside, then perhaps a port; or [IPv6]. */
static bool host_good(const char *text, size_t length)
{
    size_t i = 0, digits = 0;
    if (length && text[0] == '[') {
        for (i = 1; i < length && (is_letter(text[i]) || text[i] == ':'); i++)
            ;
        if (i < 3 || i == length || text[i++] != ']')
            return false;
    } else {
        while (i < length &&
               (is_letter(text[i]) || (i && (text[i] == '-' || text[i] == '.'))))
            i++;
        if (i == 0 || !is_letter(text[i - 1]))
            return false;
    }
    if (i == length)
        return true;
    if (text[i++] != ':')
        return false;
    while (i < length && is_digit(text[i]) && digits < 5)
        i++, digits++;
    return digits && i == length;
}

/* Lower-case words, joined by '.', '_', "__" or '-'s; such components joined by '/'. */
static bool name_good(const char *text, size_t length)
{
    size_t i = 0;
    while (i < length) {
        size_t word = i, join;
        while (i < length && is_lower(text[i]))
            i++;
        if (i == word)
            return false;
        if (i == length)
            return true;
        join = i;
        while (i < length && text[i] == '-')
            i++;
        if (i > join)
            continue;
        if (text[i] == '_' && i + 1 < length && text[i + 1] == '_')
            i++;
        if (text[i] != '.' && text[i] != '_' && text[i] != '/')
            return false;
        i++;
    }
    return false;
}

static bool tag_good(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!is_letter(text[i]) && text[i] != '_' &&
            (i == 0 || (text[i] != '.' && text[i] != '-')))
            return false;
    return length > 0;
}

/* Is what stands before the first '/' a host? */
static bool ref_has_host(const char *text, size_t first)
{
    if (first == 9 && !memcmp(text, "localhost", 9))
        return true;
    for (size_t i = 0; i < first; i++)
        if (text[i] == '.' || text[i] == ':' || (text[i] >= 'A' && text[i] <= 'Z'))
            return true;
    return false;
}

static int ref_host(const char *text, struct mv_ref *ref, const char **rest,
                    microvm_error *err)
{
    size_t first = strcspn(text, "/");
    (void)snprintf(ref->host, sizeof ref->host, "docker.io");
    *rest = text;
    if (!text[first] || !ref_has_host(text, first))
        return 0;
    if (first >= sizeof ref->host || !host_good(text, first))
        return ref_bad(text, "its registry is no host name with a port", err);
    memcpy(ref->host, text, first);
    ref->host[first] = '\0';
    if (!strcmp(ref->host, "index.docker.io") ||
        !strcmp(ref->host, "registry-1.docker.io"))
        (void)snprintf(ref->host, sizeof ref->host, "docker.io");
    *rest = text + first + 1;
    return 0;
}

int mv_ref_parse(const char *text, struct mv_ref *out, microvm_error *err)
{
    struct mv_ref ref = {.tag = ""};
    struct mv_digest digest;
    const char *rest = text;
    int rc = ref_host(text, &ref, &rest, err);
    if (rc)
        return rc;
    size_t length = strcspn(rest, ":@");
    bool official = !strcmp(ref.host, "docker.io") && !memchr(rest, '/', length);
    if (!name_good(rest, length) ||
        length + (official ? strlen("library/") : 0) >= sizeof ref.name)
        return ref_bad(
            text, "its name is not of lower-case words as in 'library/alpine'", err);
    (void)snprintf(ref.name, sizeof ref.name, "%s%.*s", official ? "library/" : "",
                   (int)length, rest);
    rest += length;
    if (*rest == ':') {
        length = strcspn(++rest, "@");
        if (length >= sizeof ref.tag || !tag_good(rest, length))
            return ref_bad(text, "its tag is not of letters, digits, '.', '_', '-'",
                           err);
        memcpy(ref.tag, rest, length);
        rest += length;
    }
    if (*rest == '@') {
        if (!mv_digest_parse(rest + 1, &digest))
            return ref_bad(text, "what follows '@' is not sha256: and 64 digits", err);
        mv_digest_text(&digest, ref.digest);
    } else if (!ref.tag[0]) {
        memcpy(ref.tag, "latest", sizeof "latest");
    }
    *out = ref;
    return 0;
}

void mv_ref_text(const struct mv_ref *ref, char text[MV_REF_TEXT])
{
    (void)snprintf(text, MV_REF_TEXT, "%s/%s%s%s%s%s", ref->host, ref->name,
                   ref->tag[0] ? ":" : "", ref->tag, ref->digest[0] ? "@" : "",
                   ref->digest);
}
