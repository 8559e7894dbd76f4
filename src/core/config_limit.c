/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Rate limits as a setting: "DEVICE:BYTES[/s][,OPS[/s]][,burst=TIME]". DEVICE is "disk"
 * or "net" for all of a kind, or "disk=ID" for one; a disk also goes by its name in the
 * guest, "disk=vda". Given more than once, the last that
 * fits a device counts, so a general one comes first.
 */
#include "core/config_row.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>

static const char *const kind_words[] = {
    [MV_LIMIT_DISK] = "disk", [MV_LIMIT_NET] = "net", NULL};

int mv_limit_target_read(struct mv_limit_target *out, const char *text,
                         microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    size_t length = strcspn(text, "=");
    for (int kind = 0; kind_words[kind]; kind++) {
        if (strlen(kind_words[kind]) != length ||
            strncmp(text, kind_words[kind], length) != 0)
            continue;
        const char *id = text[length] ? text + length + 1 : "";
        if ((text[length] && !*id) || strlen(id) > MV_ID_MAX)
            return mv_fail(err, MICROVM_E_INVALID,
                           "limit: the id in '%s' is not 1 to %d bytes long",
                           mv_str_show(shown, text), MV_ID_MAX);
        out->kind = kind;
        (void)snprintf(out->id, sizeof out->id, "%s", id);
        return 0;
    }
    return mv_fail(err, MICROVM_E_INVALID,
                   "limit: '%s' is no device; there are disk, disk=ID, net and net=ID",
                   mv_str_show(shown, text));
}

bool mv_limit_target_is(const struct mv_limit_target *target, int kind, const char *id,
                        const char *name)
{
    return target->kind == kind && (!target->id[0] || !strcmp(target->id, id) ||
                                    (name && !strcmp(target->id, name)));
}

int mv_limit_rates_check(const struct mv_limit_rates *rates, microvm_error *err)
{
    char most[MV_STR_NUMBER];
    if (rates->bytes > MV_LIMIT_RATE_MOST || rates->ops > MV_LIMIT_RATE_MOST)
        return mv_fail(err, MICROVM_E_INVALID, "limit: more than %s a second is none",
                       mv_str_from_size(most, MV_LIMIT_RATE_MOST));
    if (rates->burst_ms && (rates->burst_ms < MV_LIMIT_BURST_LEAST_MS ||
                            rates->burst_ms > MV_LIMIT_BURST_MOST_MS))
        return mv_fail(err, MICROVM_E_INVALID,
                       "limit: a burst of %u ms is not possible; 10ms to 1h is",
                       rates->burst_ms);
    return 0;
}

/* "10M/s" without the "/s", into `out`. */
static const char *limit_number(char out[MV_STR_NUMBER], const char *part)
{
    size_t length = strlen(part);
    if (length > 2 && !strcmp(part + length - 2, "/s"))
        length -= 2;
    (void)snprintf(out, MV_STR_NUMBER, "%.*s", (int)MV_MIN(length, MV_STR_NUMBER - 1u),
                   part);
    return out;
}

/* Part `index` of what stands behind the colon. */
static int limit_part(struct mv_limit_rates *rates, unsigned index, const char *part,
                      microvm_error *err)
{
    char number[MV_STR_NUMBER], shown[MV_STR_SHOWN];
    uint64_t value = 0;
    const char *wrong;
    if (index > 0 && !strncmp(part, "burst=", 6)) {
        wrong = mv_str_to_duration(part + 6, &value);
        if (!wrong &&
            (value < MV_LIMIT_BURST_LEAST_MS || value > MV_LIMIT_BURST_MOST_MS))
            wrong = "is not possible; 10ms to 1h is";
        rates->burst_ms = (uint32_t)value;
    } else if (index == 0) {
        wrong = mv_str_to_size(limit_number(number, part), &rates->bytes);
    } else if (index == 1) {
        wrong = mv_str_to_count(limit_number(number, part), &rates->ops);
    } else {
        wrong = "is too much; there are BYTES[/s], OPS and burst=TIME";
    }
    if (!wrong)
        return 0;
    return mv_fail(err, MICROVM_E_INVALID, "limit: '%s' %s", mv_str_show(shown, part),
                   wrong);
}

static int limit_split(struct mv_limit_config *out, char *text, microvm_error *err)
{
    struct mv_limit_config made = {.target = {.kind = MV_LIMIT_DISK}};
    char *colon = strrchr(text, ':'), shown[MV_STR_SHOWN];
    if (!colon)
        return mv_fail(err, MICROVM_E_INVALID,
                       "limit: '%s' has no rate; write it as in disk:10M/s,500",
                       mv_str_show(shown, text));
    *colon = '\0';
    int rc = mv_limit_target_read(&made.target, text, err);
    char *rest = colon + 1;
    for (unsigned i = 0; rest && !rc; i++) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma = '\0';
        rc = limit_part(&made.rates, i, rest, err);
        rest = comma ? comma + 1 : NULL;
    }
    if (!rc)
        rc = mv_limit_rates_check(&made.rates, err);
    if (!rc)
        *out = made;
    return rc;
}

int mv_limit_read(struct mv_limit_config *out, const char *text, microvm_error *err)
{
    char copy[MV_LIMIT_TEXT];
    if (strlen(text) >= sizeof copy || !mv_str_is_plain(text))
        return mv_fail(err, MICROVM_E_INVALID,
                       "limit: the text is longer than %d bytes or not plain",
                       MV_LIMIT_TEXT - 1);
    (void)snprintf(copy, sizeof copy, "%s", text);
    return limit_split(out, copy, err);
}

/* Those before it that can count no more are forgotten: so one that is changed again
 * and again takes one place. */
int mv_config_add_limit(struct mv_config *config, const char *text, microvm_error *err)
{
    struct mv_limit_config made;
    unsigned kept = 0;
    int rc = mv_limit_read(&made, text, err);
    if (rc)
        return rc;
    for (unsigned i = 0; i < config->limits; i++) {
        const struct mv_limit_target *old = &config->limit[i].target;
        if (!mv_limit_target_is(&made.target, old->kind, old->id, NULL))
            config->limit[kept++] = config->limit[i];
    }
    config->limits = kept;
    if (kept == MV_LIMITS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "limit: there are at most %d",
                       MV_LIMITS_MAX);
    config->limit[config->limits++] = made;
    return 0;
}

const char *mv_config_limit_show(const struct mv_limit_config *limit,
                                 char out[MV_LIMIT_TEXT])
{
    const struct mv_limit_target *target = &limit->target;
    char bytes[MV_STR_NUMBER], burst[MV_STR_NUMBER], ops[MV_STR_NUMBER] = "";
    if (limit->rates.ops)
        (void)snprintf(ops, sizeof ops, ",%llu", (unsigned long long)limit->rates.ops);
    (void)snprintf(out, MV_LIMIT_TEXT, "%s%s%s:%s/s%s%s%s", kind_words[target->kind],
                   target->id[0] ? "=" : "", target->id,
                   mv_str_from_size(bytes, limit->rates.bytes), ops,
                   limit->rates.burst_ms ? ",burst=" : "",
                   limit->rates.burst_ms
                       ? mv_str_from_duration(burst, limit->rates.burst_ms)
                       : "");
    return out;
}

bool mv_config_limit_of(const struct mv_config *config, int kind, const char *id,
                        const char *name, struct mv_limit_rates *out)
{
    for (unsigned i = config->limits; i-- > 0;) {
        if (mv_limit_target_is(&config->limit[i].target, kind, id, name)) {
            *out = config->limit[i].rates;
            return true;
        }
    }
    return false;
}
