/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Recipes from anywhere: taken or refused in one printable line, and what was taken
 * makes a text that says so.
 */
#include "fuzz.h"

#include "builder.h"
#include "util/str.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    microvm_recipe *recipe = microvm_recipe_new();
    const struct mv_config_of_image base = {.diff_ids = 0};
    microvm_error err;
    char *text = NULL;
    MV_ASSERT(recipe);
    if (microvm_recipe_load_json(recipe, "fuzz.json", (const char *)data, length,
                                 &err)) {
        MV_ASSERT(err.code < 0 && recipe->first_error.code == err.code);
        MV_ASSERT(strlen(err.message) == sizeof err.message - 1 ||
                  mv_str_is_plain(err.message));
    } else {
        MV_ASSERT(!mv_build_about(recipe, &base, "", &text, &err) && strlen(text) > 2);
    }
    free(text);
    microvm_recipe_free(recipe);
    return 0;
}
