/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Pulling: from a reference to a manifest of one platform to its blobs, each checked by
 * the digest that the step before has given. What the reference stands for is noted
 * last, so an image that is found in the cache is there as a whole.
 */
#include "pull.h"

#include "credentials.h"
#include "registry.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

enum { CONFIG_BYTES_MAX = 8 << 20, DOCKER_CONFIG_BYTES_MAX = 1 << 20 };

struct pull {
    const struct mv_pull_options *options;
    struct mv_pulled *to;
    struct mv_registry *registry;
    char what[MV_STR_SHOWN];
};

/* ---- from the cache -------------------------------------------------------------- */

/* Manifest and config, both in the cache, into structs; they must fit each other. */
static int pull_parse(struct pull *p, microvm_error *err)
{
    struct mv_pulled *to = p->to;
    char *text = NULL;
    size_t length = 0;
    int rc = mv_cache_load(&to->cache, &to->manifest.config.digest, CONFIG_BYTES_MAX,
                           &text, &length, err);
    if (!rc)
        rc = mv_config_of_image_parse(p->what, text, length, &to->config, err);
    free(text);
    if (rc)
        return rc;
    if (to->config.diff_ids != to->manifest.layers)
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "%s: %u layers, of which its config knows %u", p->what,
                     to->manifest.layers, to->config.diff_ids);
    else if (strcmp(to->config.arch, p->options->arch))
        rc = mv_fail(err, MICROVM_E_UNSUPPORTED, "%s: is for %s, not for %s", p->what,
                     to->config.arch, p->options->arch);
    if (rc)
        mv_config_of_image_free(&to->config);
    return rc;
}

static int pull_manifest_load(struct pull *p, microvm_error *err)
{
    char *text = NULL;
    size_t length = 0;
    int rc = mv_cache_load(&p->to->cache, &p->to->digest, MV_MANIFEST_BYTES_MAX, &text,
                           &length, err);
    if (!rc)
        rc = mv_manifest_parse(p->what, text, length, &p->to->manifest, err);
    free(text);
    return rc;
}

/* All of it, without a word to the registry? */
static bool pull_cached(struct pull *p)
{
    struct mv_pulled *to = p->to;
    if (p->options->refresh ||
        !mv_cache_ref_find(&to->cache, &to->ref, p->options->arch, &to->digest) ||
        pull_manifest_load(p, NULL) ||
        !mv_cache_has(&to->cache, &to->manifest.config.digest))
        return false;
    for (unsigned i = 0; i < to->manifest.layers; i++)
        if (!mv_cache_has(&to->cache, &to->manifest.layer[i].digest))
            return false;
    return pull_parse(p, NULL) == 0;
}

/* ---- from the registry ----------------------------------------------------------- */

/* One document by `name`, which it must be when that is a digest. */
static int pull_document(struct pull *p, const char *name, char **text, size_t *length,
                         microvm_error *err)
{
    struct mv_digest wanted, found;
    int rc = mv_registry_manifest(p->registry, name, text, length, err);
    if (rc || !mv_digest_parse(name, &wanted))
        return rc;
    rc = mv_digest_of(*text, *length, &found, err);
    if (!rc && !mv_digest_same(&wanted, &found))
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "%s: a manifest is not what its digest says: damaged or forged",
                     p->what);
    if (rc)
        free(*text);
    return rc;
}

/* An index is replaced by the manifest that it has for us. */
static int pull_platform(struct pull *p, char **text, size_t *length,
                         microvm_error *err)
{
    struct mv_descriptor manifest;
    char name[MV_DIGEST_TEXT];
    bool is_index = false;
    int rc = mv_manifest_is_index(p->what, *text, *length, &is_index, err);
    if (rc || !is_index)
        return rc;
    rc = mv_index_choose(p->what, *text, *length, p->options->arch, &manifest, err);
    if (rc)
        return rc;
    char *chosen = NULL;
    mv_digest_text(&manifest.digest, name);
    rc = pull_document(p, name, &chosen, length, err);
    if (rc)
        return rc;
    free(*text);
    *text = chosen;
    return 0;
}

static int pull_manifest(struct pull *p, microvm_error *err)
{
    const struct mv_ref *ref = &p->to->ref;
    char *text = NULL;
    size_t length = 0;
    int rc =
        pull_document(p, ref->digest[0] ? ref->digest : ref->tag, &text, &length, err);
    if (rc)
        return rc;
    rc = pull_platform(p, &text, &length, err);
    if (!rc)
        rc = mv_manifest_parse(p->what, text, length, &p->to->manifest, err);
    if (!rc)
        rc = mv_cache_store(&p->to->cache, text, length, &p->to->digest, err);
    free(text);
    return rc;
}

static int pull_blobs(struct pull *p, microvm_error *err)
{
    struct mv_pulled *to = p->to;
    int rc = 0;
    if (to->manifest.config.size_bytes > CONFIG_BYTES_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "%s: a config of more than 8 MiB",
                       p->what);
    rc = mv_registry_blob(p->registry, &to->cache, &to->manifest.config, err);
    if (!rc)
        rc = pull_parse(p, err); /* before hundreds of megabytes come for nothing */
    for (unsigned i = 0; !rc && i < to->manifest.layers; i++)
        rc = mv_registry_blob(p->registry, &to->cache, &to->manifest.layer[i], err);
    if (!rc)
        rc = mv_cache_ref_store(&to->cache, &to->ref, p->options->arch, &to->digest,
                                err);
    return rc;
}

/* helper: who keeps them, and is not asked. */
static int pull_credentials(const struct pull *p, char user[MV_CREDENTIALS],
                            char helper[MV_CREDENTIALS_HELPER], microvm_error *err)
{
    const char *path = p->options->docker_config, *host = p->to->ref.host;
    char *text = NULL, answer[MV_CREDENTIALS_ANSWER] = "";
    size_t length = 0;
    user[0] = helper[0] = '\0';
    if (!path || mv_files_load("credentials", path, DOCKER_CONFIG_BYTES_MAX, &text,
                               &length, NULL))
        return 0; /* most people have none */
    int rc = mv_credentials_find(text, length, host, user, helper, err);
    free(text);
    if (rc || !helper[0] || !p->options->helper)
        return rc;
    int status = p->options->helper(p->options->helper_opaque, helper,
                                    mv_credentials_server(host), answer, sizeof answer);
    rc = mv_credentials_answer(helper, status, answer, user, err);
    helper[0] = '\0';
    return rc;
}

static int pull_registry(struct pull *p, microvm_error *err)
{
    char user[MV_CREDENTIALS], helper[MV_CREDENTIALS_HELPER];
    int rc = pull_credentials(p, user, helper, err);
    if (!rc)
        rc = mv_registry_open(&p->to->ref, user, helper[0], p->options->progress,
                              &p->registry, err);
    if (!rc)
        rc = pull_manifest(p, err);
    if (!rc)
        rc = pull_blobs(p, err);
    mv_registry_close(p->registry);
    return rc;
}

int mv_pull(const char *reference, const struct mv_pull_options *options,
            struct mv_pulled *out, microvm_error *err)
{
    struct mv_pulled made = MV_PULLED_NONE;
    struct pull p = {.options = options, .to = &made};
    char text[MV_REF_TEXT];
    int rc = mv_ref_parse(reference, &made.ref, err);
    if (rc)
        return rc;
    if (!options->cache)
        return mv_fail(err, MICROVM_E_INVALID, "an image of a registry needs a cache");
    mv_ref_text(&made.ref, text);
    (void)mv_str_show(p.what, text);
    rc = mv_cache_open(&made.cache, options->cache, false, err);
    if (!rc && !pull_cached(&p))
        rc = pull_registry(&p, err);
    if (rc)
        mv_pulled_free(&made);
    else
        *out = made;
    return rc;
}

void mv_pulled_free(struct mv_pulled *pulled)
{
    mv_config_of_image_free(&pulled->config);
    mv_cache_close(&pulled->cache);
}
