/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Reading a configuration from a file. */
#include "api/text.h"
#include "core/config_row.h"

#include <stdlib.h>

int microvm_config_load_file(microvm_config *config, const char *path,
                             microvm_error *err)
{
    if (!config || !path)
        return mv_fail(err, MICROVM_E_INVALID, "no configuration was given");
    if (config->values.first_error.code)
        return mv_fail_again(err, &config->values.first_error);
    microvm_error first;
    char *text;
    size_t length;
    int rc = mv_text_read("configuration", path, &text, &length, &first);
    if (!rc) {
        rc = mv_config_load_json(&config->values, path, text, length, &first);
        free(text);
    }
    if (!rc)
        return 0;
    (void)mv_config_stick(&config->values, &first);
    return mv_fail_again(err, &first);
}
