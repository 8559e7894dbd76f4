/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the VPN daemon reads from elsewhere: lines of OpenVPN's management interface, of
 * which servers write a part, and profiles; what is cleaned can be said in JSON. A
 * profile that is taken has no directive that runs a program where a line begins,
 * outside of what is written between tags.
 */
#include "fuzz.h"

#include "guest/vpnd/mgmt.h"
#include "guest/vpnd/profile.h"
#include "guest/vpnd/text.h"
#include "util/assert.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void check_inside(const char *line, size_t length, const char *text)
{
    MV_ASSERT(!*text || (text >= line && text + strlen(text) <= line + length));
}

static void check_line(const uint8_t *data, size_t size)
{
    struct mgmt_line out;
    char *line = malloc(size + 1), quoted[64];
    MV_ASSERT(line);
    memcpy(line, data, size);
    line[size] = '\0';
    mgmt_read(line, &out);
    check_inside(line, size, out.state);
    check_inside(line, size, out.text);
    check_inside(line, size, out.ip);
    check_inside(line, size, out.realm);
    check_inside(line, size, out.id);
    if (mgmt_quote(quoted, sizeof quoted, out.text))
        MV_ASSERT(!strchr(quoted, '\n') && strlen(quoted) >= strlen(out.text) + 2);
    (void)mgmt_base64(quoted, sizeof quoted, out.text);
    free(line);
}

/* A blunt reader: "up" at the beginning of a line while no tag is open. */
static bool has_up(const char *text, size_t size)
{
    bool inside = false;
    while (size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t length = end ? (size_t)(end - text) : size;
        if (length > 0 && text[0] == '<')
            inside = text[1] != '/' && strncmp(text, "<connection>", 12) != 0;
        if (!inside && length >= 3 && !memcmp(text, "up ", 3))
            return true;
        text += length + (end ? 1 : 0);
        size -= length + (end ? 1 : 0);
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char why[PROFILE_WHY_MAX];
    char *copy = malloc(size + 1);
    MV_ASSERT(copy);
    memcpy(copy, data, size);
    copy[size] = '\0';
    check_line(data, size);
    if (!profile_check(copy, size, why))
        MV_ASSERT(strlen(why) > 0);
    else if (!memchr(copy, '<', size))
        MV_ASSERT(!has_up(copy, size));
    (void)profile_name_valid(copy);
    text_clean(copy);
    json_t *json = json_string(copy);
    MV_ASSERT(json);
    json_decref(json);
    free(copy);
    return 0;
}
