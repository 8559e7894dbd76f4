/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Secrets in files.
 */
#include "secret.h"

#include "cli.h"

#include <stdio.h>
#include <string.h>

bool secret_read(const char *flag, const char *path, char out[SECRET_ROOM])
{
    bool input = !strcmp(path, "-");
    FILE *file = input ? stdin : fopen(path, "r");
    char *line = file ? fgets(out, SECRET_ROOM, file) : NULL;
    if (file && !input)
        (void)fclose(file);
    if (line)
        out[strcspn(out, "\r\n")] = '\0';
    if (line && out[0] && strlen(out) < SECRET_BYTES)
        return true;
    say("--%s %s: %s", flag, path,
        !file            ? "it cannot be read"
        : line && out[0] ? "its first line has more than 255 bytes"
                         : "there is no password in its first line");
    return false;
}
