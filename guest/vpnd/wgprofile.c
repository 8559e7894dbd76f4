/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Lines of wg-quick(8) and wg(8): "[Section]" or "Key = value", letters of either case,
 * "#" and what follows is nothing. wg itself never sees them: what was understood is
 * written for it anew, so that there are no two readers to differ.
 */
#include "wgprofile.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    MTU_MIN = 576,
    MTU_MAX = 65535 - 80,
    VALUE_MAX = WG_HOST_MAX + 8,
    TOLD_MAX = 16,
    IPV4_BITS = 32,
    IPV6_BITS = 128
};

struct reader {
    struct wg_profile *out;
    struct wg_peer *peer; /* NULL: in [Interface], or in nothing yet */
    unsigned line, peer_line;
    unsigned seen; /* keys of this section, by their place in `keys` */
    bool interface;
    const char *name;   /* what may be told of the line: its key, or its section */
    size_t name_length; /* 0: nothing, it may be a part of a key that is a secret */
    char *why;
};

static bool read_fails(const struct reader *r, const char *what)
{
    if (r->name_length)
        (void)snprintf(r->why, PROFILE_WHY_MAX, "line %u: '%.*s' %s", r->line,
                       (int)r->name_length, r->name, what);
    else
        (void)snprintf(r->why, PROFILE_WHY_MAX, "line %u: it %s", r->line, what);
    return false;
}

/* ---- values ---------------------------------------------------------------------- */

static int digit_of(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* 43 digits, of the last of which four bits are used, and "=" (RFC 4648, 4). */
static bool is_key(const char *text)
{
    if (strlen(text) != WG_KEY_MAX - 1 || text[WG_KEY_MAX - 2] != '=')
        return false;
    for (unsigned i = 0; i < WG_KEY_MAX - 2; i++) {
        if (digit_of(text[i]) < 0)
            return false;
    }
    return digit_of(text[WG_KEY_MAX - 3]) % 4 == 0;
}

static bool is_zero_key(const char *text)
{
    return strspn(text, "A") == WG_KEY_MAX - 2;
}

static bool number_of(const char *text, int base, unsigned long most,
                      unsigned long *out)
{
    static const char digits[] = "0123456789abcdefABCDEF";
    size_t length = strlen(text);
    if (length == 0 || length > 10 || strspn(text, digits) != length ||
        (base == 10 && strpbrk(text, digits + 10)))
        return false;
    unsigned long long value = strtoull(text, NULL, base);
    if (value > most)
        return false;
    *out = (unsigned long)value;
    return true;
}

bool wgprofile_prefix(const char *text, struct wg_prefix *out)
{
    struct wg_prefix p = {.family = strchr(text, ':') ? AF_INET6 : AF_INET};
    char address[INET6_ADDRSTRLEN];
    unsigned long bits = p.family == AF_INET ? IPV4_BITS : IPV6_BITS;
    size_t length = strcspn(text, "/");
    if (length >= sizeof address)
        return false;
    (void)snprintf(address, sizeof address, "%.*s", (int)length, text);
    if (inet_pton(p.family, address, p.bytes) != 1)
        return false;
    if (text[length] && !number_of(text + length + 1, 10, bits, &bits))
        return false;
    p.bits = (uint8_t)bits;
    *out = p;
    return true;
}

static void mask(struct wg_prefix *p)
{
    for (unsigned i = 0; i < sizeof p->bytes; i++) {
        unsigned begin = 8 * i;
        if (begin >= p->bits)
            p->bytes[i] = 0;
        else if (begin + 8 > p->bits)
            p->bytes[i] &= (uint8_t)(0xff << (begin + 8 - p->bits));
    }
}

static bool is_name(const char *text)
{
    size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                 "0123456789.-_");
    return length > 0 && length < WG_HOST_MAX && !text[length] && *text != '-';
}

/* ---- what each key says ---------------------------------------------------------- */

static const char *take_key(char key[WG_KEY_MAX], const char *value, bool may_be_zero)
{
    if (!is_key(value) || (!may_be_zero && is_zero_key(value)))
        return "is no key: 32 bytes in base64, 44 characters";
    memcpy(key, value, WG_KEY_MAX);
    return NULL;
}

static const char *take_private_key(struct reader *r, const char *value)
{
    return take_key(r->out->key, value, false);
}

static const char *take_port(struct reader *r, const char *value)
{
    unsigned long port;
    if (!number_of(value, 10, UINT16_MAX, &port))
        return "is no port: 0 to 65535";
    r->out->port = (uint16_t)port;
    return NULL;
}

static const char *take_mark(struct reader *r, const char *value)
{
    unsigned long number = 0;
    bool hex = !strncasecmp(value, "0x", 2);
    if (strcasecmp(value, "off") != 0 &&
        !number_of(value + 2 * hex, hex ? 16 : 10, UINT32_MAX, &number))
        return "is no mark: a number of 32 bits, or off";
    r->out->mark = (uint32_t)number;
    return NULL;
}

static const char *take_mtu(struct reader *r, const char *value)
{
    unsigned long mtu;
    if (!number_of(value, 10, MTU_MAX, &mtu) || mtu < MTU_MIN)
        return "is out of range: 576 to 65455";
    r->out->mtu = (uint16_t)mtu;
    return NULL;
}

static const char *take_table(struct reader *r, const char *value)
{
    r->out->no_routes = !strcasecmp(value, "off");
    return r->out->no_routes || !strcasecmp(value, "auto")
               ? NULL
               : "is auto or off here: routes go into the main table";
}

static const char *take_address(struct reader *r, const char *value)
{
    if (r->out->addresses == WG_ADDRESSES_MAX)
        return "is there too often: at most 8 addresses";
    if (!wgprofile_prefix(value, &r->out->address[r->out->addresses]))
        return "is no address: IPv4 or IPv6, with or without /BITS";
    r->out->addresses++;
    return NULL;
}

static const char *take_dns(struct reader *r, const char *value)
{
    struct wg_prefix address;
    if (r->out->servers == WG_SERVERS_MAX)
        return "is there too often: at most 8 name servers and domains";
    if (!is_name(value) && (strchr(value, '/') || !wgprofile_prefix(value, &address)))
        return "is neither an address of a name server nor a domain";
    (void)snprintf(r->out->server[r->out->servers++], WG_HOST_MAX, "%s", value);
    return NULL;
}

static const char *take_public_key(struct reader *r, const char *value)
{
    for (const struct wg_peer *p = r->out->peer; p < r->peer; p++) {
        if (!strcmp(p->key, value))
            return "is that of another peer: each has its own";
    }
    return take_key(r->peer->key, value, false);
}

static const char *take_shared_key(struct reader *r, const char *value)
{
    return take_key(r->peer->shared, value, true);
}

static const char *take_keepalive(struct reader *r, const char *value)
{
    unsigned long seconds = 0;
    if (strcasecmp(value, "off") != 0 && !number_of(value, 10, UINT16_MAX, &seconds))
        return "is out of range: seconds, 1 to 65535, or off";
    r->peer->keepalive_s = (uint16_t)seconds;
    return NULL;
}

static const char *take_allowed(struct reader *r, const char *value)
{
    struct wg_prefix *allowed = &r->out->allowed[r->peer->first + r->peer->allowed];
    if (allowed == r->out->allowed + WG_ALLOWED_MAX)
        return "has too many: at most 2048 in a profile";
    if (!wgprofile_prefix(value, allowed))
        return "is no prefix: IPv4 or IPv6, with or without /BITS";
    mask(allowed);
    r->peer->allowed++;
    return NULL;
}

/* ADDRESS:PORT, [ADDRESS]:PORT or NAME:PORT. */
static const char *take_endpoint(struct reader *r, const char *value)
{
    static const char what[] = "is none: ADDRESS:PORT, [IPV6]:PORT or NAME:PORT";
    char host[WG_HOST_MAX];
    struct wg_prefix address;
    unsigned long port;
    const char *colon = strrchr(value, ':');
    size_t length = colon ? (size_t)(colon - value) : 0;
    bool bracket = value[0] == '[' && length > 2 && value[length - 1] == ']';
    if (length == 0 || length >= sizeof host + 2 * bracket ||
        !number_of(colon + 1, 10, UINT16_MAX, &port) || port == 0)
        return what;
    (void)snprintf(host, sizeof host, "%.*s", (int)(length - 2 * bracket),
                   value + bracket);
    bool is_address = !strchr(host, '/') && wgprofile_prefix(host, &address);
    if (bracket ? !is_address || address.family != AF_INET6
                : !is_name(host) ||
                      (strspn(host, "0123456789.") == strlen(host) && !is_address))
        return what;
    (void)snprintf(r->peer->host, sizeof r->peer->host, "%s", host);
    r->peer->port = (uint16_t)port;
    return NULL;
}

static const char *take_program(struct reader *r, const char *value)
{
    (void)r;
    (void)value;
    return "runs a program: leave it away (routes and name servers are set without one)";
}

static const char *take_save(struct reader *r, const char *value)
{
    (void)r;
    (void)value;
    return "writes the profile: leave it away, it stays as it was given";
}

/* ---- lines ----------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool interface, list; /* a list: several values, and several lines */
    const char *(*take)(struct reader *r, const char *value);
} keys[] = {{"PrivateKey", true, false, take_private_key},
            {"ListenPort", true, false, take_port},
            {"FwMark", true, false, take_mark},
            {"MTU", true, false, take_mtu},
            {"Table", true, false, take_table},
            {"Address", true, true, take_address},
            {"DNS", true, true, take_dns},
            {"PreUp", true, false, take_program},
            {"PostUp", true, false, take_program},
            {"PreDown", true, false, take_program},
            {"PostDown", true, false, take_program},
            {"SaveConfig", true, false, take_save},
            {"PublicKey", false, false, take_public_key},
            {"PresharedKey", false, false, take_shared_key},
            {"PersistentKeepalive", false, false, take_keepalive},
            {"AllowedIPs", false, true, take_allowed},
            {"Endpoint", false, false, take_endpoint}};

struct piece {
    const char *at;
    size_t length;
};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct piece trim(const char *at, size_t length)
{
    for (; length > 0 && is_space(*at); length--)
        at++;
    while (length > 0 && is_space(at[length - 1]))
        length--;
    return (struct piece){at, length};
}

static bool piece_is(struct piece piece, const char *word)
{
    return piece.length == strlen(word) && !strncasecmp(piece.at, word, piece.length);
}

/* A key that is not known is told when it can be no piece of somebody's: those end with
 * "=", and are longer. */
static void name_tell(struct reader *r, struct piece name, bool has_value)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz"
                                  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    bool told = has_value && name.length <= TOLD_MAX;
    for (size_t i = 0; i < name.length && told; i++)
        told = name.at[i] && strchr(letters, name.at[i]);
    for (unsigned key = 0; key < sizeof keys / sizeof keys[0]; key++)
        told |= piece_is(name, keys[key].name);
    r->name = name.at;
    r->name_length = told ? name.length : 0;
}

static bool value_read(struct reader *r, struct piece value, unsigned key)
{
    char text[VALUE_MAX];
    if (value.length >= sizeof text)
        return read_fails(r, "has a value that is too long");
    memcpy(text, value.at, value.length);
    text[value.length] = '\0';
    const char *what = keys[key].take(r, text);
    explicit_bzero(text, sizeof text);
    return !what || read_fails(r, what);
}

/* What stands between commas; nothing at all is an empty list. */
static bool list_read(struct reader *r, struct piece rest, unsigned key)
{
    while (rest.length > 0) {
        const char *comma = memchr(rest.at, ',', rest.length);
        size_t length = comma ? (size_t)(comma - rest.at) : rest.length;
        if (!value_read(r, trim(rest.at, length), key))
            return false;
        length += comma != NULL;
        rest.at += length;
        rest.length -= length;
    }
    return true;
}

static bool key_read(struct reader *r, struct piece name, struct piece value)
{
    unsigned key = 0, count = sizeof keys / sizeof keys[0];
    if (!r->interface && !r->peer)
        return read_fails(r, "stands before [Interface]");
    while (key < count &&
           (keys[key].interface != !r->peer || !piece_is(name, keys[key].name)))
        key++;
    if (key == count)
        return read_fails(r, r->peer ? "is nothing that [Peer] may have here"
                                     : "is nothing that [Interface] may have here");
    if (keys[key].list)
        return list_read(r, value, key);
    if (r->seen & 1u << key)
        return read_fails(r, "is there twice");
    r->seen |= 1u << key;
    return value_read(r, value, key);
}

static bool peer_ends(struct reader *r)
{
    if (r->peer && !r->peer->key[0]) {
        (void)snprintf(r->why, PROFILE_WHY_MAX, "line %u: this [Peer] has no PublicKey",
                       r->peer_line);
        return false;
    }
    return true;
}

static bool section_read(struct reader *r, struct piece line)
{
    struct wg_profile *out = r->out;
    r->name = line.at;
    if (piece_is(line, "[Interface]")) {
        r->name_length = line.length;
        if (r->interface)
            return read_fails(r, "is there twice");
        r->interface = true;
        r->seen = 0;
        return true;
    }
    if (!piece_is(line, "[Peer]"))
        return read_fails(r, "is no section: there are [Interface] and [Peer]");
    r->name_length = line.length;
    if (!r->interface)
        return read_fails(r, "stands before [Interface]");
    if (out->peers == WG_PEERS_MAX)
        return read_fails(r, "is there too often: at most 32 peers");
    if (!peer_ends(r))
        return false;
    unsigned first = r->peer ? r->peer->first + r->peer->allowed : 0;
    r->peer = &out->peer[out->peers++];
    *r->peer = (struct wg_peer){.first = first};
    r->peer_line = r->line;
    r->seen = 0;
    return true;
}

/* Files of this kind have ";" for it, too. */
static bool is_comment(struct piece line)
{
    return line.length == 0 || *line.at == '#' || *line.at == ';';
}

static bool line_read(struct reader *r, struct piece line)
{
    const char *comment = line.length ? memchr(line.at, '#', line.length) : NULL;
    line = trim(line.at, comment ? (size_t)(comment - line.at) : line.length);
    if (is_comment(line))
        return true;
    r->name_length = 0;
    if (memchr(line.at, 0, line.length))
        return read_fails(r, "has a zero");
    if (*line.at == '[')
        return section_read(r, line);
    const char *equals = memchr(line.at, '=', line.length);
    if (!equals)
        return read_fails(r, "is no KEY = VALUE");
    struct piece name = trim(line.at, (size_t)(equals - line.at));
    size_t behind = (size_t)(equals - line.at) + 1;
    struct piece value = trim(equals + 1, line.length - behind);
    name_tell(r, name, value.length > 0);
    return key_read(r, name, value);
}

/* The next line; false: there is none. */
static bool line_next(const char **text, size_t *size, struct piece *line)
{
    if (*size == 0)
        return false;
    const char *end = memchr(*text, '\n', *size);
    *line = (struct piece){*text, end ? (size_t)(end - *text) : *size};
    *text += line->length + (end != NULL);
    *size -= line->length + (end != NULL);
    return true;
}

/* Some editors begin files with this mark. */
static void mark_skip(const char **text, size_t *size)
{
    if (*size >= 3 && !memcmp(*text, "\xef\xbb\xbf", 3)) {
        *text += 3;
        *size -= 3;
    }
}

bool wgprofile_is(const char *text, size_t size)
{
    struct piece line;
    mark_skip(&text, &size);
    while (line_next(&text, &size, &line)) {
        line = trim(line.at, line.length);
        if (!is_comment(line))
            return *line.at == '[';
    }
    return false;
}

/* ---- all of it ------------------------------------------------------------------- */

bool wgprofile_read(const char *text, size_t size, struct wg_profile *out,
                    char why[PROFILE_WHY_MAX])
{
    struct reader r = {.out = out, .why = why};
    struct piece line;
    memset(out, 0, sizeof *out);
    mark_skip(&text, &size);
    while (line_next(&text, &size, &line)) {
        r.line++;
        if (!line_read(&r, line))
            return false;
    }
    return peer_ends(&r) && wgprofile_whole(out, why);
}
