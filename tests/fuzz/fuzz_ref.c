/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * References to images: what is taken has only characters that a URL may have, no "..",
 * and reads back to itself.
 */
#include "fuzz.h"

#include "ref.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789.-_/:@[]";
    struct mv_ref ref, back;
    char whole[MV_REF_TEXT], again[MV_REF_TEXT];
    char *text = malloc(length + 1);
    MV_ASSERT(text);
    memcpy(text, data, length);
    text[length] = '\0';
    if (!mv_ref_parse(text, &ref, NULL)) {
        mv_ref_text(&ref, whole);
        MV_ASSERT(strspn(whole, plain) == strlen(whole));
        MV_ASSERT(!strstr(ref.name, ".."));
        MV_ASSERT(!mv_ref_parse(whole, &back, NULL));
        mv_ref_text(&back, again);
        MV_ASSERT(!strcmp(whole, again));
    }
    free(text);
    return 0;
}
