/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * JSON configurations from anywhere: the reader must refuse or take them, and what it
 * took must survive being written and read again. With '=' as the first byte the rest
 * is "KEY=TEXT", the text form of one setting.
 */
#include "fuzz.h"

#include "core/config.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

/* Whatever went in, a message is one line of printable UTF-8. (A message that was cut
 * may end inside a character.) */
static void check_message(const microvm_error *err)
{
    MV_ASSERT(err->code < 0);
    MV_ASSERT(strlen(err->message) == sizeof err->message - 1 ||
              mv_str_is_plain(err->message));
}

static void check_round_trip(const struct mv_config *config)
{
    struct mv_config back;
    microvm_error err;
    char *text = mv_config_to_json(config, true);
    MV_ASSERT(text);
    mv_config_init(&back);
    int rc = mv_config_load_json(&back, NULL, text, strlen(text), &err);
    MV_ASSERT(!rc);
    char *again = mv_config_to_json(&back, true);
    MV_ASSERT(again && !strcmp(text, again));
    free(again);
    free(text);
    mv_config_done(&back);
}

static void set_one(struct mv_config *config, const uint8_t *data, size_t length)
{
    char *key = malloc(length + 1);
    MV_ASSERT(key);
    memcpy(key, data, length);
    key[length] = '\0';
    char *text = strchr(key, '=');
    if (text)
        *text++ = '\0';
    mv_config_set(config, key, text);
    free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct mv_config config;
    microvm_error err;
    mv_config_init(&config);
    if (length && data[0] == '=')
        set_one(&config, data + 1, length - 1);
    else if (mv_config_load_json(&config, "fuzz.json", (const char *)data, length,
                                 &err))
        check_message(&err);
    if (config.first_error.code)
        check_message(&config.first_error);
    else
        check_round_trip(&config);
    mv_config_done(&config);
    return 0;
}
