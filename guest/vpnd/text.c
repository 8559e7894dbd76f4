/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* UTF-8 as RFC 3629, 4 has it, but for the controls of U+0080 to U+009F. */
#include "text.h"

#include <stddef.h>
#include <stdint.h>

/* The bytes of the character here; 0: it is none. */
static size_t character(const uint8_t *at)
{
    /* What the second byte may be, where it is not 80..bf. */
    static const struct {
        uint8_t first, last, length, low, high;
    } forms[] = {{0x20, 0x7e, 1, 0, 0},       {0xc2, 0xc2, 2, 0xa0, 0xbf},
                 {0xc3, 0xdf, 2, 0x80, 0xbf}, {0xe0, 0xe0, 3, 0xa0, 0xbf},
                 {0xe1, 0xec, 3, 0x80, 0xbf}, {0xed, 0xed, 3, 0x80, 0x9f},
                 {0xee, 0xef, 3, 0x80, 0xbf}, {0xf0, 0xf0, 4, 0x90, 0xbf},
                 {0xf1, 0xf3, 4, 0x80, 0xbf}, {0xf4, 0xf4, 4, 0x80, 0x8f}};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (at[0] < forms[i].first || at[0] > forms[i].last)
            continue;
        if (forms[i].length > 1 && (at[1] < forms[i].low || at[1] > forms[i].high))
            return 0;
        for (size_t k = 2; k < forms[i].length; k++) {
            if (at[k] < 0x80 || at[k] > 0xbf)
                return 0;
        }
        return forms[i].length;
    }
    return 0;
}

void text_clean(char *text)
{
    while (*text) {
        size_t length = character((const uint8_t *)text);
        if (length == 0)
            *text = '?';
        text += length ? length : 1;
    }
}
