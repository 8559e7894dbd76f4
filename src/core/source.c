/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A file as a source.
 */
#include "core/source.h"

#include "os/error.h"
#include "os/file.h"

static int source_file_read(void *ctx, uint64_t offset, void *to, uint64_t length,
                            microvm_error *err)
{
    const struct mv_file *file = ctx;
    int64_t n = mv_file_read(file, offset, to, (size_t)length);
    if (n < 0)
        return mv_fail_os(err, "'%s': reading it", file->path);
    if ((uint64_t)n != length)
        return mv_fail(err, MICROVM_E_IO, "'%s' became shorter while it was read",
                       file->path);
    return 0;
}

void mv_file_source(const struct mv_file *file, const char *name, struct mv_source *out)
{
    *out = (struct mv_source){.name = name,
                              .size_bytes = file->size_bytes,
                              .read = source_file_read,
                              .ctx = (void *)(uintptr_t)file}; /* only read from */
}
