/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Secrets in files.
 */
#include "secret.h"

#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

bool secret_read(const char *flag, const char *path, char out[SECRET_ROOM])
{
    bool input = !strcmp(path, "-");
    errno = 0;
    FILE *file = input ? stdin : fopen(path, "r");
    if (file && !input)
        (void)setvbuf(file, NULL, _IONBF, 0); /* no copy of it stays */
    char *line = file ? fgets(out, SECRET_ROOM, file) : NULL;
    int why = file && !ferror(file) ? 0 : errno;
    if (file && !input)
        (void)fclose(file);
    if (line)
        out[strcspn(out, "\r\n")] = '\0';
    if (line && out[0] && strlen(out) < SECRET_BYTES)
        return true;
    say("--%s %s: %s", flag, path,
        why              ? strerror(why)
        : line && out[0] ? "its first line has more than 255 bytes"
                         : "there is no password in its first line");
    return false;
}

void secret_wipe(void *secret, size_t size)
{
    volatile char *byte = secret;
    while (size--)
        *byte++ = 0;
}
