/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The client. A registry that wants to know who asks answers 401 and says where a token
 * is to be had (docker's token specification); one is fetched then, with credentials
 * where we have some, and the request is made again.
 */
#include "registry.h"

#include "credentials.h"
#include "http.h"
#include "util/bytes.h"
#include "util/str.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TOKEN_BYTES_MAX = 64 * 1024,
    TRIES = 5, /* of a connection that breaks, without a byte of progress */
    PIECE_BYTES = 256 * 1024
};

static const char manifest_types[] =
    "application/vnd.oci.image.index.v1+json, "
    "application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.docker.distribution.manifest.v2+json";

struct mv_registry {
    const struct mv_ref *ref;
    const struct mv_progress *progress;
    struct mv_http *http;
    char user[MV_CREDENTIALS];
    bool helper;
    bool basic;                /* it wants name and password, no token */
    char token[MV_HTTP_TOKEN]; /* "" */
    char what[MV_STR_SHOWN];   /* the image, for messages */
};

int mv_registry_open(const struct mv_ref *ref, const char *user, bool helper,
                     const struct mv_progress *progress, struct mv_registry **out,
                     microvm_error *err)
{
    char text[MV_REF_TEXT];
    struct mv_registry *r = calloc(1, sizeof *r);
    if (!r)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    r->ref = ref;
    r->progress = progress;
    r->helper = helper;
    mv_ref_text(ref, text);
    (void)mv_str_show(r->what, text);
    (void)snprintf(r->user, sizeof r->user, "%s", user);
    int rc = mv_http_new(&r->http, err);
    if (rc)
        free(r);
    else
        *out = r;
    return rc;
}

void mv_registry_close(struct mv_registry *r)
{
    if (!r)
        return;
    mv_http_free(r->http);
    free(r);
}

/* ---- answers that fit in memory -------------------------------------------------- */

struct text {
    char *data;
    size_t length;
};

static int text_take(void *opaque, const void *data, size_t length, microvm_error *err)
{
    struct text *text = opaque;
    char *more = realloc(text->data, text->length + length + 1);
    if (!more)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    memcpy(more + text->length, data, length);
    text->data = more;
    text->length += length;
    more[text->length] = '\0';
    return 0;
}

/* ---- tokens ---------------------------------------------------------------------- */

static void url_append(char url[MV_HTTP_URL], const char *key, const char *value)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = strlen(url);
    used += (size_t)snprintf(url + used, MV_HTTP_URL - used,
                             "%c%s=", strchr(url, '?') ? '&' : '?', key);
    for (const uint8_t *p = (const uint8_t *)value; *p && used + 4 < MV_HTTP_URL; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || strchr("-._~:/", *p);
        if (!plain)
            url[used++] = '%';
        url[used] = plain ? (char)*p : digits[*p >> 4];
        if (!plain)
            url[++used] = digits[*p & 15];
        used++;
    }
    url[used] = '\0';
}

static int token_parse(struct mv_registry *r, const struct text *text,
                       microvm_error *err)
{
    json_t *root = json_loadb(text->data ? text->data : "", text->length, 0, NULL);
    const char *token = json_string_value(json_object_get(root, "token"));
    if (!token)
        token = json_string_value(json_object_get(root, "access_token"));
    bool good = token && *token && strlen(token) < sizeof r->token;
    if (good)
        memcpy(r->token, token, strlen(token) + 1);
    json_decref(root);
    return good ? 0
                : mv_fail(err, MICROVM_E_IO, "%s: the registry gave no usable token",
                          r->what);
}

static int registry_refused(const struct mv_registry *r, microvm_error *err)
{
    const char *hint = "";
    if (r->helper)
        hint = "; docker's config.json leaves credentials to a program, which is not "
               "asked here: 'docker login' without one writes them there";
    else if (!r->user[0])
        hint = "; 'docker login' writes credentials to ~/.docker/config.json";
    return mv_fail(err, MICROVM_E_IO, "%s: not there, or not for %s%s", r->what,
                   r->user[0] ? "this user" : "everybody", hint);
}

static int registry_token(struct mv_registry *r, const char *challenge,
                          microvm_error *err)
{
    char url[MV_HTTP_URL], value[MV_HTTP_CHALLENGE];
    struct text text = {NULL, 0};
    struct mv_http_answer answer;
    if (!mv_challenge_get(challenge, "realm", url, sizeof url))
        return mv_fail(err, MICROVM_E_IO,
                       "%s: the registry wants an authentication we do not know",
                       r->what);
    if (strncmp(url, "https://", 8) && strcmp(mv_http_scheme(r->ref->host), "http"))
        return mv_fail(
            err, MICROVM_E_IO,
            "%s: the registry sends us for a token where nothing is encrypted",
            r->what);
    if (mv_challenge_get(challenge, "service", value, sizeof value))
        url_append(url, "service", value);
    (void)snprintf(value, sizeof value, "repository:%s:pull", r->ref->name);
    url_append(url, "scope", value);
    struct mv_http_get get = {.url = url,
                              .user = r->user[0] ? r->user : NULL,
                              .bytes_max = TOKEN_BYTES_MAX,
                              .what = r->what,
                              .take = text_take,
                              .opaque = &text};
    int rc = mv_http_run(r->http, &get, &answer, err);
    if (!rc && answer.status != 200)
        rc = registry_refused(r, err);
    if (!rc)
        rc = token_parse(r, &text, err);
    free(text.data);
    return rc;
}

/* ---- requests -------------------------------------------------------------------- */

static int registry_status(const struct mv_registry *r, long status, microvm_error *err)
{
    if (status == 200 || status == 206)
        return 0;
    if (status == 401 || status == 403 || status == 404)
        return registry_refused(r, err);
    if (status == 429)
        return mv_fail(err, MICROVM_E_IO,
                       "%s: the registry says that too much was asked of it; a login "
                       "allows for more, or try later",
                       r->what);
    return mv_fail(err, MICROVM_E_IO, "%s: the registry answers with status %ld",
                   r->what, status);
}

/* One request, authenticated when it has to be. */
static int registry_get(struct mv_registry *r, struct mv_http_get *get,
                        struct mv_http_answer *answer, microvm_error *err)
{
    for (unsigned round = 0;; round++) {
        get->bearer = r->token[0] ? r->token : NULL;
        get->user = r->basic ? r->user : NULL;
        int rc = mv_http_run(r->http, get, answer, err);
        if (rc)
            return rc;
        if (answer->status != 401 || round || r->basic)
            return registry_status(r, answer->status, err);
        if (!strncmp(answer->challenge, "Basic", 5) && r->user[0])
            r->basic = true;
        else if (!strncmp(answer->challenge, "Basic", 5))
            return registry_refused(r, err);
        else if ((rc = registry_token(r, answer->challenge, err)))
            return rc;
    }
}

static void registry_url(const struct mv_registry *r, const char *kind,
                         const char *name, char url[MV_HTTP_URL])
{
    const char *host = r->ref->host;
    if (!strcmp(host, "docker.io"))
        host = "registry-1.docker.io";
    (void)snprintf(url, MV_HTTP_URL, "%s://%s/v2/%s/%s/%s", mv_http_scheme(host), host,
                   r->ref->name, kind, name);
}

int mv_registry_manifest(struct mv_registry *r, const char *name, char **out,
                         size_t *length, microvm_error *err)
{
    char url[MV_HTTP_URL];
    struct text text = {NULL, 0};
    struct mv_http_answer answer;
    registry_url(r, "manifests", name, url);
    struct mv_http_get get = {.url = url,
                              .accept = manifest_types,
                              .bytes_max = MV_MANIFEST_BYTES_MAX,
                              .what = r->what,
                              .progress = r->progress,
                              .take = text_take,
                              .opaque = &text};
    int rc = registry_get(r, &get, &answer, err);
    if (!rc && !text.data)
        rc = mv_fail(err, MICROVM_E_IO, "%s: the registry's answer is empty", r->what);
    if (rc) {
        free(text.data);
        return rc;
    }
    *out = text.data;
    *length = text.length;
    return 0;
}

/* ---- blobs ----------------------------------------------------------------------- */

struct download {
    struct mv_part part;
    struct mv_hash *hash; /* of the first `have` bytes */
    uint64_t have;
};

/* The digest begins again, over what is there of an earlier try. */
static int download_rehash(struct download *d, microvm_error *err)
{
    void *piece = malloc(PIECE_BYTES);
    mv_hash_free(d->hash);
    d->hash = NULL;
    int rc = piece ? mv_hash_new(&d->hash, err)
                   : mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    for (uint64_t at = 0; !rc && at < d->have; at += PIECE_BYTES) {
        size_t length = (size_t)MV_MIN(d->have - at, (uint64_t)PIECE_BYTES);
        rc = mv_files_read(d->part.fd, at, piece, length, "cache", err);
        if (!rc)
            mv_hash_add(d->hash, piece, length);
    }
    free(piece);
    return rc;
}

static int download_begin(void *opaque, bool partial, microvm_error *err)
{
    struct download *d = opaque;
    if (partial || d->have == 0)
        return 0;
    d->have = 0; /* the server begins at the beginning */
    int rc = mv_files_resize(d->part.fd, 0, "cache", err);
    return rc ? rc : download_rehash(d, err);
}

static int download_take(void *opaque, const void *data, size_t length,
                         microvm_error *err)
{
    struct download *d = opaque;
    int rc = mv_files_write(d->part.fd, d->have, data, length, "cache", err);
    if (rc)
        return rc;
    mv_hash_add(d->hash, data, length);
    d->have += length;
    return 0;
}

/* Until all bytes are there: a broken connection is made again while it brings some. */
static int download_run(struct mv_registry *r, struct download *d,
                        const struct mv_descriptor *blob, microvm_error *err)
{
    char url[MV_HTTP_URL], digest[MV_DIGEST_TEXT];
    mv_digest_text(&blob->digest, digest);
    registry_url(r, "blobs", digest, url);
    for (unsigned broken = 0; d->have < blob->size_bytes;) {
        uint64_t before = d->have;
        struct mv_http_answer answer = {.status = 0};
        struct mv_http_get get = {.url = url,
                                  .from = d->have,
                                  .bytes_max = blob->size_bytes,
                                  .what = r->what,
                                  .progress = r->progress,
                                  .total = blob->size_bytes,
                                  .begin = download_begin,
                                  .take = download_take,
                                  .opaque = d};
        int rc = registry_get(r, &get, &answer, err);
        if (!rc && d->have < blob->size_bytes)
            return mv_fail(err, MICROVM_E_IO,
                           "%s: a layer is shorter than it should be", r->what);
        if (!rc)
            break;
        broken = d->have > before ? 1 : broken + 1;
        if (!answer.broken || broken > TRIES)
            return rc;
        mv_files_pause(200u << broken); /* 0.4 to 6.4 s */
    }
    return 0;
}

static int download_check(struct mv_registry *r, struct download *d,
                          const struct mv_descriptor *blob, microvm_error *err)
{
    struct mv_digest found;
    mv_hash_end(d->hash, &found);
    if (d->have != blob->size_bytes || !mv_digest_same(&found, &blob->digest))
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: a layer is not what its digest says: damaged or forged",
                       r->what);
    return 0;
}

int mv_registry_blob(struct mv_registry *r, const struct mv_cache *cache,
                     const struct mv_descriptor *blob, microvm_error *err)
{
    struct download d = {.have = 0};
    bool worthless = false;
    if (mv_cache_has(cache, &blob->digest))
        return 0;
    int rc = mv_cache_part_begin(cache, &blob->digest, &d.part, err);
    if (rc)
        return rc;
    if (mv_cache_has(cache, &blob->digest)) { /* whom we waited for has brought it */
        mv_cache_part_drop(&d.part, true);
        return 0;
    }
    d.have = d.part.have;
    if (d.have > blob->size_bytes)
        rc = download_begin(&d, false, err);
    else
        rc = download_rehash(&d, err);
    if (!rc)
        rc = download_run(r, &d, blob, err);
    if (!rc) {
        rc = download_check(r, &d, blob, err);
        worthless = rc != 0;
    }
    mv_hash_free(d.hash);
    if (rc)
        mv_cache_part_drop(&d.part, worthless);
    else
        rc = mv_cache_part_finish(&d.part, err);
    return rc;
}
