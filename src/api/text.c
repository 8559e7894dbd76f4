/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Whole and at once: such a file is a page, and what is larger is another kind. */
#include "api/text.h"

#include "os/error.h"
#include "os/file.h"
#include "util/str.h"

#include <stdlib.h>

enum { TEXT_MAX = 1 << 20 };

static int text_read(const char *what, const char *path, const struct mv_file *file,
                     char **out, size_t *length, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    if (file->size_bytes > TEXT_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "%s: a file of %llu KiB is no %s",
                       mv_str_show(shown, path),
                       (unsigned long long)(file->size_bytes >> 10), what);
    size_t size = (size_t)file->size_bytes;
    char *text = malloc(size + 1);
    if (!text)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    int64_t got = mv_file_read(file, 0, text, size);
    if (got < 0) {
        free(text);
        return mv_fail_os(err, "%s", mv_str_show(shown, path));
    }
    text[got] = '\0';
    *out = text;
    *length = (size_t)got;
    return 0;
}

int mv_text_read(const char *what, const char *path, char **out, size_t *length,
                 microvm_error *err)
{
    struct mv_file file = MV_FILE_CLOSED;
    int rc = mv_file_open(&file, what, path, 0, err);
    if (rc)
        return rc;
    rc = text_read(what, path, &file, out, length, err);
    mv_file_close(&file);
    return rc;
}
