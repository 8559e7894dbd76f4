/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What a registry sends, from anywhere: as an index, a manifest and a config, each of
 * them taken or refused in words; and as a challenge and docker's file of credentials.
 */
#include "fuzz.h"

#include "credentials.h"
#include "manifest.h"

#include <stdlib.h>
#include <string.h>

static void check_config(const char *text, size_t length)
{
    struct mv_config_of_image config;
    microvm_error err;
    if (mv_config_of_image_parse("x", text, length, &config, &err)) {
        MV_ASSERT(err.code < 0);
        return;
    }
    MV_ASSERT(config.diff_ids <= MV_LAYERS_MAX);
    for (unsigned i = 0; i < config.env.count; i++)
        MV_ASSERT(config.env.text[i]);
    mv_config_of_image_free(&config);
}

static void check_credentials(const char *text, size_t length)
{
    char user[MV_CREDENTIALS], helper[MV_CREDENTIALS_HELPER], value[64];
    if (!mv_credentials_find(text, length, "docker.io", user, helper, NULL))
        MV_ASSERT((!*user || strchr(user, ':')) && !strchr(helper, '/'));
    if (!mv_credentials_answer("x", 0, text, user, NULL))
        MV_ASSERT(strchr(user, ':'));
    if (mv_challenge_get(text, "realm", value, sizeof value))
        MV_ASSERT(strlen(value) < sizeof value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct mv_manifest manifest; /* large */
    struct mv_descriptor chosen;
    microvm_error err;
    bool is_index;
    char *text = malloc(length + 1);
    MV_ASSERT(text);
    memcpy(text, data, length);
    text[length] = '\0';
    if (mv_manifest_is_index("x", text, length, &is_index, &err))
        MV_ASSERT(err.code < 0);
    if (mv_index_choose("x", text, length, "x86_64", &chosen, &err))
        MV_ASSERT(err.code < 0);
    if (mv_manifest_parse("x", text, length, &manifest, &err))
        MV_ASSERT(err.code < 0);
    else
        MV_ASSERT(manifest.layers <= MV_LAYERS_MAX);
    check_config(text, length);
    check_credentials(text, length);
    free(text);
    return 0;
}
