/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Parsers for what people write. Everything here is byte by byte on ASCII: <ctype.h>
 * and strtoull depend on the locale, which belongs to the application.
 */
#include "util/str.h"

#include "util/bytes.h"

#include <stdio.h>

static char str_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool str_same(const char *a, const char *b)
{
    while (*a && str_lower(*a) == str_lower(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* Digits at *at, which is moved past them. False: none, or more than 64 bits (then
 * *too_large is set). */
static bool str_digits(const char **at, uint64_t *out, bool *too_large)
{
    const char *p = *at;
    uint64_t value = 0;
    *too_large = false;
    for (; *p >= '0' && *p <= '9'; p++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value)) {
            *too_large = true;
            return false;
        }
    }
    if (p == *at)
        return false;
    *at = p;
    *out = value;
    return true;
}

static const char too_large_text[] = "is too large";

const char *mv_str_to_count(const char *text, uint64_t *out)
{
    uint64_t value;
    bool too_large;
    if (!str_digits(&text, &value, &too_large))
        return too_large ? too_large_text : "is not a whole number";
    if (*text)
        return "is not a whole number";
    *out = value;
    return NULL;
}

const char *mv_str_to_size(const char *text, uint64_t *bytes)
{
    static const char wrong[] = "is not a size; write it as 256M or 2G";
    static const char units[] = "kmgt";
    uint64_t value;
    bool too_large;
    if (!str_digits(&text, &value, &too_large))
        return too_large ? too_large_text : wrong;
    unsigned shift = 20;
    if (*text) {
        const char *unit = strchr(units, str_lower(*text));
        if (!unit)
            return wrong;
        shift = 10 * (unsigned)(unit - units + 1);
        text++;
        if (!str_same(text, "") && !str_same(text, "b") && !str_same(text, "ib"))
            return wrong;
    }
    if (value > UINT64_MAX >> shift)
        return too_large_text;
    *bytes = value << shift;
    return NULL;
}

/* Longest unit first where one is the beginning of another. */
static const struct str_unit {
    const char *name;
    uint64_t ms;
} str_units[] = {
    {"ms", 1}, {"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000},
};

static const struct str_unit *str_unit_at(const char *text)
{
    for (unsigned i = 0; i < MV_ARRAY_LEN(str_units); i++)
        if (!strncmp(text, str_units[i].name, strlen(str_units[i].name)))
            return &str_units[i];
    return NULL;
}

const char *mv_str_to_duration(const char *text, uint64_t *ms)
{
    static const char wrong[] = "is not a duration; write it as 300s, 5m or 1h30m";
    const char *at = text;
    uint64_t sum = 0;
    do {
        bool first = at == text;
        uint64_t value;
        bool too_large;
        if (!str_digits(&at, &value, &too_large))
            return too_large ? too_large_text : wrong;
        const struct str_unit *unit = str_unit_at(at);
        if (!unit && (!first || *at))
            return wrong;
        if (unit)
            at += strlen(unit->name);
        if (__builtin_mul_overflow(value, unit ? unit->ms : 1000, &value) ||
            __builtin_add_overflow(sum, value, &sum))
            return too_large_text;
    } while (*at);
    *ms = sum;
    return NULL;
}

const char *mv_str_to_bool(const char *text, bool *out)
{
    static const char *const words[] = {"off", "on",  "false", "true",
                                        "no",  "yes", "0",     "1"};
    for (unsigned i = 0; i < MV_ARRAY_LEN(words); i++) {
        if (str_same(text, words[i])) {
            *out = i & 1;
            return NULL;
        }
    }
    return "is neither on nor off";
}

const char *mv_str_from_size(char out[MV_STR_NUMBER], uint64_t bytes)
{
    static const char units[] = "KMGT";
    unsigned unit = 0;
    uint64_t value = bytes >> 10;
    while (unit < 3 && value && !(value & 1023)) {
        value >>= 10;
        unit++;
    }
    (void)snprintf(out, MV_STR_NUMBER, "%llu%c", (unsigned long long)value,
                   units[unit]);
    return out;
}

const char *mv_str_from_duration(char out[MV_STR_NUMBER], uint64_t ms)
{
    bool whole = ms % 1000 == 0;
    (void)snprintf(out, MV_STR_NUMBER, "%llu%s",
                   (unsigned long long)(whole ? ms / 1000 : ms), whole ? "s" : "ms");
    return out;
}

static char str_name_letter(char c)
{
    return c == '_' ? '-' : c;
}

bool mv_str_same_name(const char *a, const char *b)
{
    while (*a && str_name_letter(*a) == str_name_letter(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

/* ---- the nearest word -----------------------------------------------------------
 *
 * Optimal string alignment distance: insertions, deletions, substitutions and swaps of
 * neighbours each cost 1, in three rows of the usual table. */

enum { WORD_MAX = 32 };

static unsigned str_cell(const char *a, const char *b, unsigned i, unsigned j,
                         unsigned row[3][WORD_MAX + 1])
{
    char ai = str_name_letter(str_lower(a[i - 1]));
    char bj = str_name_letter(str_lower(b[j - 1]));
    unsigned cost = row[1][j - 1] + (ai != bj);
    cost = MV_MIN(cost, row[1][j] + 1);
    cost = MV_MIN(cost, row[2][j - 1] + 1);
    if (i > 1 && j > 1 && ai == str_name_letter(str_lower(b[j - 2])) &&
        bj == str_name_letter(str_lower(a[i - 2])))
        cost = MV_MIN(cost, row[0][j - 2] + 1);
    return cost;
}

static unsigned str_distance(const char *a, const char *b)
{
    unsigned row[3][WORD_MAX + 1] = {{0}};
    unsigned b_len = (unsigned)strlen(b);
    for (unsigned j = 0; j <= b_len; j++)
        row[2][j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        memcpy(row[0], row[1], sizeof row[0]);
        memcpy(row[1], row[2], sizeof row[1]);
        row[2][0] = i;
        for (unsigned j = 1; j <= b_len; j++)
            row[2][j] = str_cell(a, b, i, j, row);
    }
    return row[2][b_len];
}

static bool str_begins(const char *word, const char *with)
{
    while (*with && str_lower(*word) == str_lower(*with)) {
        word++;
        with++;
    }
    return !*with;
}

const char *mv_str_nearest(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t length = strlen(word);
    if (length < 2 || length > WORD_MAX)
        return NULL;
    unsigned best_cost = (unsigned)(length < 3 ? 1 : length / 3) + 1;
    for (; *words; words++) {
        if (strlen(*words) > WORD_MAX)
            continue;
        unsigned cost = str_distance(word, *words);
        if (length >= 3 && str_begins(*words, word))
            cost = 1; /* "mem": somebody stopped typing */
        if (cost < best_cost) {
            best = *words;
            best_cost = cost;
        }
    }
    return best;
}

/* ---- texts of unknown origin ---------------------------------------------------- */

/* Bytes of the well-formed, printable character at p (RFC 3629, section 4), or 0. */
static unsigned str_character(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;
    uint8_t low = 0x80, high = 0xbf;
    unsigned more;
    if (u[0] < 0x80)
        return u[0] >= 0x20 && u[0] != 0x7f;
    if (u[0] >= 0xc2 && u[0] <= 0xdf) {
        more = 1;
        low = u[0] == 0xc2 ? 0xa0 : low; /* U+0080..U+009F are control characters */
    } else if (u[0] >= 0xe0 && u[0] <= 0xef) {
        more = 2;
        low = u[0] == 0xe0 ? 0xa0 : low;   /* overlong */
        high = u[0] == 0xed ? 0x9f : high; /* surrogates */
    } else if (u[0] >= 0xf0 && u[0] <= 0xf4) {
        more = 3;
        low = u[0] == 0xf0 ? 0x90 : low;   /* overlong */
        high = u[0] == 0xf4 ? 0x8f : high; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (u[1] < low || u[1] > high)
        return 0;
    for (unsigned i = 2; i <= more; i++)
        if (u[i] < 0x80 || u[i] > 0xbf)
            return 0;
    return more + 1;
}

bool mv_str_is_plain(const char *text)
{
    while (*text) {
        unsigned bytes = str_character(text);
        if (!bytes)
            return false;
        text += bytes;
    }
    return true;
}

const char *mv_str_show(char out[MV_STR_SHOWN], const char *text)
{
    size_t used = 0;
    while (*text) {
        unsigned bytes = str_character(text);
        if (used + MV_MAX(bytes, 1u) > MV_STR_SHOWN - sizeof "...") {
            memcpy(out + used, "...", 3);
            used += 3;
            break;
        }
        if (bytes)
            memcpy(out + used, text, bytes);
        else
            out[used] = '?';
        used += MV_MAX(bytes, 1u);
        text += MV_MAX(bytes, 1u);
    }
    out[used] = '\0';
    return out;
}

void mv_str_mend(char *text)
{
    while (*text) {
        unsigned bytes = str_character(text);
        if (!bytes)
            *text = '?';
        text += MV_MAX(bytes, 1u);
    }
}
