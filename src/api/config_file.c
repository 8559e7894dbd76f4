/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Reading a configuration from a file. Whole and at once: a configuration is a page of
 * text, and what is larger is another kind of file.
 */
#include "core/config_row.h"
#include "os/error.h"
#include "os/file.h"
#include "util/str.h"

#include <stdlib.h>

enum { FILE_MAX = 1 << 20 };

static int config_read(microvm_config *config, const char *path,
                       const struct mv_file *file, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    if (file->size_bytes > FILE_MAX)
        return mv_fail(
            err, MICROVM_E_INVALID, "%s: a file of %llu KiB is no configuration",
            mv_str_show(shown, path), (unsigned long long)(file->size_bytes >> 10));
    size_t length = (size_t)file->size_bytes;
    char *text = malloc(length + 1);
    if (!text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "configuration: no memory");
    int rc;
    int64_t got = mv_file_read(file, 0, text, length);
    if (got < 0)
        rc = mv_fail_os(err, "%s", mv_str_show(shown, path));
    else
        rc = mv_config_load_json(&config->values, path, text, (size_t)got, err);
    free(text);
    return rc;
}

int microvm_config_load_file(microvm_config *config, const char *path,
                             microvm_error *err)
{
    if (!config || !path)
        return mv_fail(err, MICROVM_E_INVALID, "no configuration was given");
    if (config->values.first_error.code)
        return mv_fail_again(err, &config->values.first_error);
    microvm_error first;
    struct mv_file file = MV_FILE_CLOSED;
    int rc = mv_file_open(&file, "configuration", path, 0, &first);
    if (!rc) {
        rc = config_read(config, path, &file, &first);
        mv_file_close(&file);
    }
    if (!rc)
        return 0;
    (void)mv_config_stick(&config->values, &first);
    return mv_fail_again(err, &first);
}
