/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * EROFS by mkfs.erofs (erofs-utils), which reads a tar archive since its version 1.7:
 * no library of it is to be had. The tree goes into an archive without a name, from
 * which the program makes the image; what it says is shown when it fails.
 */
#include "files.h"
#include "os/helper.h"
#include "util/bytes.h"
#include "util/str.h"
#include "write.h"

#include <stdio.h>
#include <string.h>

enum { SAID_BYTES = 4096 };

static const char *erofs_find(const char *wanted)
{
    static const char *const places[] = {
        "/usr/local/sbin/mkfs.erofs", "/usr/local/bin/mkfs.erofs",
        "/usr/sbin/mkfs.erofs", "/usr/bin/mkfs.erofs", "/sbin/mkfs.erofs"};
    for (unsigned i = 0; !wanted && i < MV_ARRAY_LEN(places); i++) {
        if (mv_files_runs(places[i]))
            wanted = places[i];
    }
    return wanted;
}

static int erofs_go_on(void *ctx, microvm_error *err)
{
    const struct mv_write *w = ctx;
    return mv_progress(w->progress, "mkfs.erofs", 0, 0, err);
}

/* Its last line. */
static const char *erofs_said(int fd, char said[SAID_BYTES])
{
    uint64_t bytes = 0;
    said[0] = '\0';
    if (mv_files_size(fd, &bytes, NULL))
        return said;
    size_t length = (size_t)MV_MIN(bytes, (uint64_t)SAID_BYTES - 1);
    if (mv_files_read(fd, bytes - length, said, length, "mkfs.erofs", NULL))
        length = 0;
    while (length > 0 && said[length - 1] == '\n')
        length--;
    said[length] = '\0';
    const char *line = strrchr(said, '\n');
    return line ? line + 1 : said;
}

static int erofs_run(const struct mv_write *w, const char *program, int fd, int archive,
                     int said, microvm_error *err)
{
    char image[] = "/dev/fd/3", quiet[] = "-d1", from[] = "--tar=f";
    char only[] = "--mkfs-time", keep[] = "--preserve-mtime", when[40], uuid[48];
    char lz4[] = "-zlz4hc", text[SAID_BYTES], shown[MV_STR_SHOWN];
    struct mv_digest identity;
    int status, rc = mv_write_identity(w, &identity, err);
    if (rc)
        return rc;
    const uint8_t *b = identity.byte;
    (void)snprintf(when, sizeof when, "-T%lld", (long long)w->epoch_s);
    (void)snprintf(
        uuid, sizeof uuid,
        "-U%02x%02x%02x%02x-%02x%02x-4%x%02x-%x%x%02x-%02x%02x%02x%02x%02x%02x", b[0],
        b[1], b[2], b[3], b[4], b[5], b[6] & 15, b[7], 8 | (b[8] >> 4 & 3), b[8] & 15,
        b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
    char *argv[] = {(char *)(uintptr_t)program,
                    quiet,
                    from,
                    only,
                    keep,
                    when,
                    uuid,
                    image,
                    NULL,
                    NULL};
    if (w->compress != MV_COMPRESS_NONE) {
        argv[7] = lz4;
        argv[8] = image;
    }
    rc = mv_program_run(argv, fd, archive, said, erofs_go_on, (void *)(uintptr_t)w,
                        &status, err);
    if (rc || status == 0)
        return rc;
    return mv_fail(
        err, MICROVM_E_IO,
        "format: '%s' (which must be of erofs-utils 1.7 or later) failed with "
        "status %d: %s",
        program, status, mv_str_show(shown, erofs_said(said, text)));
}

int mv_write_erofs(const struct mv_write *w, const char *folder, int fd,
                   microvm_error *err)
{
    const char *program = erofs_find(w->mkfs_erofs);
    struct mv_write plain = *w;
    int archive = -1, said = -1;
    if (!program)
        return mv_fail(
            err, MICROVM_E_UNSUPPORTED,
            "format: erofs is made by mkfs.erofs (erofs-utils 1.7 or later), "
            "which is not installed; squashfs needs nothing");
    if (w->compress != MV_COMPRESS_AUTO && w->compress != MV_COMPRESS_NONE &&
        w->compress != MV_COMPRESS_LZ4)
        return mv_fail(err, MICROVM_E_INVALID,
                       "compress: erofs is compressed with lz4 or not at all (none)");
    plain.format = MV_FORMAT_TAR;
    plain.compress = MV_COMPRESS_NONE;
    int rc = mv_files_scratch(folder, &archive, err);
    if (!rc)
        rc = mv_files_scratch(folder, &said, err);
    if (!rc)
        rc = mv_write_archive(&plain, archive, err);
    if (!rc)
        rc = erofs_run(w, program, fd, archive, said, err);
    mv_files_close(archive);
    mv_files_close(said);
    return rc;
}
