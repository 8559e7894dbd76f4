/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Texts that people write: sizes, durations, switches, misspelt words. The parsers
 * return NULL, or what is wrong with the text in words that continue "'TEXT' ..."; a
 * parser that fails leaves its output alone. No locale is asked, so "1,5" or "1.5" is
 * never a number here.
 */
#ifndef MV_UTIL_STR_H
#define MV_UTIL_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits, nothing else. */
const char *mv_str_to_count(const char *text, uint64_t *out);

/* "256" is 256 MiB; K, M, G, T after it are powers of 1024, in either case, optionally
 * followed by B or iB as in "2GiB". */
const char *mv_str_to_size(const char *text, uint64_t *bytes);

/* "90" is 90 seconds; ms, s, m, h, d; several in a row as in "1m30s". */
const char *mv_str_to_duration(const char *text, uint64_t *ms);

/* on, true, yes, 1; off, false, no, 0. */
const char *mv_str_to_bool(const char *text, bool *out);

/* The shortest forms that the parsers above read back to the same value. */
enum { MV_STR_NUMBER = 32 };
const char *mv_str_from_size(char out[MV_STR_NUMBER], uint64_t bytes);
const char *mv_str_from_duration(char out[MV_STR_NUMBER], uint64_t ms);

/* Are these names the same, '-' and '_' being one letter? */
bool mv_str_same_name(const char *a, const char *b);

/* The entry of a NULL-terminated list that `word` was probably meant to be, or NULL. */
const char *mv_str_nearest(const char *word, const char *const *words);

/* UTF-8 without control characters: what may stand in a message or a JSON text. */
bool mv_str_is_plain(const char *text);

/* Text of unknown origin, fit for a message: control characters and broken UTF-8
 * replaced, cut to MV_STR_SHOWN. */
enum { MV_STR_SHOWN = 80 };
const char *mv_str_show(char out[MV_STR_SHOWN], const char *text);

/* The same in place, at full length. */
void mv_str_mend(char *text);

#endif
