/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Network devices in a configuration: "tap=vmtap0,mac=52:54:00:12:34:56,mtu=9000" and
 * its parts. Whether an interface or socket exists is found out by opening it.
 */
#include "core/config_row.h"

#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    NET_MTU_LEAST = 68, /* RFC 791: what every link carries; virtio 1.2, 5.1.4.1 */
    NET_MTU_MOST = 65535,
    NET_WHERE_MAX = 4095
};

/* What is written before "=", in the order of enum mv_net_kind. */
static const char *const net_kinds[] = {"user",     "tap", "unixstream",
                                        "unixgram", "fd",  "callback"};

#define NET_FORMS \
    "none, tap=NAME, unixstream=PATH, unixgram=PATH, fd=N, callback and user"

/* -- addresses -- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool mv_config_mac_from_text(const char *text, uint8_t mac[6])
{
    uint8_t bytes[6];
    if (strlen(text) != MV_CONFIG_MAC_TEXT - 1)
        return false;
    for (unsigned i = 0; i < 6; i++) {
        const char *at = text + 3 * (size_t)i;
        int high = hex_digit(at[0]), low = hex_digit(at[1]);
        if (high < 0 || low < 0 || (i < 5 && at[2] != ':'))
            return false;
        bytes[i] = (uint8_t)(high << 4 | low);
    }
    memcpy(mac, bytes, sizeof bytes);
    return true;
}

void mv_config_mac_show(const uint8_t mac[6], char out[MV_CONFIG_MAC_TEXT])
{
    (void)snprintf(out, MV_CONFIG_MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
                   mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* -- the backing -- */

static bool kind_has_place(int kind)
{
    return kind != MV_NET_USER && kind != MV_NET_CALLBACK;
}

static int net_unknown(const char *what, const char *text, microvm_error *err)
{
    static const char *const words[] = {"none",     "user", "tap",      "unixstream",
                                        "unixgram", "fd",   "callback", NULL};
    char shown[MV_STR_SHOWN], word[MV_CONFIG_NAME_MAX];
    (void)snprintf(word, sizeof word, "%.*s", (int)strcspn(text, "="), text);
    const char *nearest = mv_str_nearest(word, words);
    return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' is no network%s%s%s; there are %s",
                   what, mv_str_show(shown, text), nearest ? ": did you mean '" : "",
                   nearest ? nearest : "", nearest ? "'?" : "", NET_FORMS);
}

/* Kind, and what is behind the "=", or NULL. */
static int net_kind(const char *what, const char *text, int *kind, const char **place,
                    microvm_error *err)
{
    size_t length = strcspn(text, "=");
    for (unsigned i = 0; i < MV_ARRAY_LEN(net_kinds); i++) {
        if (strlen(net_kinds[i]) != length || memcmp(net_kinds[i], text, length))
            continue;
        bool has = text[length] == '=';
        if (has != kind_has_place((int)i) || (has && !text[length + 1]))
            return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' %s", what, net_kinds[i],
                           has ? text[length + 1] ? "takes no value"
                                                  : "has nothing behind the '='"
                               : "needs a value: there are " NET_FORMS);
        *kind = (int)i;
        *place = has ? text + length + 1 : NULL;
        return 0;
    }
    return net_unknown(what, text, err);
}

static int net_place(const char *what, struct mv_net_config *net, const char *place,
                     microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    uint64_t number;
    if (strlen(place) > NET_WHERE_MAX || !mv_str_is_plain(place))
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: '%s' is too long, has control characters or is not UTF-8",
                       what, mv_str_show(shown, place));
    if (net->kind != MV_NET_FD) {
        net->where = strdup(place);
        return net->where ? 0
                          : mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    }
    const char *wrong = mv_str_to_count(place, &number);
    if (wrong || number > INT32_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "%s: fd '%s' %s", what,
                       mv_str_show(shown, place), wrong ? wrong : "is no descriptor");
    net->fd = (intptr_t)number;
    return 0;
}

/* A comma is written twice. */
static size_t place_copy(char *to, const char *place)
{
    size_t n = 0;
    for (; *place; place++) {
        to[n++] = *place;
        if (*place == ',')
            to[n++] = ',';
    }
    return n;
}

char *mv_config_net_text(const struct mv_net_config *net)
{
    size_t size = (net->where ? 2 * strlen(net->where) : 0) + 128;
    char *text = malloc(size), mac[MV_CONFIG_MAC_TEXT];
    if (!text)
        return NULL;
    size_t n = (size_t)snprintf(text, size, "%s%s", net_kinds[net->kind],
                                kind_has_place(net->kind) ? "=" : "");
    if (net->where)
        n += place_copy(text + n, net->where);
    if (net->kind == MV_NET_FD)
        n += (size_t)snprintf(text + n, size - n, "%lld", (long long)net->fd);
    mv_config_mac_show(net->mac, mac);
    if (net->has_mac)
        n += (size_t)snprintf(text + n, size - n, ",mac=%s", mac);
    if (net->mtu)
        n += (size_t)snprintf(text + n, size - n, ",mtu=%u", net->mtu);
    (void)snprintf(text + n, size - n, "%s%s%s%s%s", net->restricted ? ",restrict" : "",
                   net->no_ipv6 ? ",ipv6=off" : "", net->no_host ? ",host=off" : "",
                   net->id ? ",id=" : "", net->id ? net->id : "");
    return text;
}

/* -- one device -- */

const char *mv_config_net_name(const char *id, unsigned index, char out[MV_ID_MAX + 1])
{
    if (id)
        (void)snprintf(out, MV_ID_MAX + 1, "%s", id);
    else
        (void)snprintf(out, MV_ID_MAX + 1, "net%u", index);
    return out;
}

static int net_check(const char *what, const struct microvm_net *net,
                     microvm_error *err)
{
    char mac[MV_CONFIG_MAC_TEXT];
    if (net->size < sizeof *net)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the size field is not set; use MICROVM_NET_INIT", what);
    if (!net->backing)
        return mv_fail(err, MICROVM_E_INVALID, "%s: the backing is missing", what);
    if (net->mtu && net->mtu < NET_MTU_LEAST)
        return mv_fail(err, MICROVM_E_INVALID, "%s: an MTU of %u; it can be %d to %d",
                       what, net->mtu, NET_MTU_LEAST, NET_MTU_MOST);
    mv_config_mac_show(net->mac, mac);
    if (net->mac[0] & 1)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: %s is the address of a group; the first byte must be even, "
                       "such as 52",
                       what, mac);
    return net->id ? mv_config_id_check(what, net->id, err) : 0;
}

/* Each device has a name of its own, also one without an id. */
static int net_check_name(const struct mv_config *config, const char *what,
                          const char *id, microvm_error *err)
{
    char name[MV_ID_MAX + 1], other[MV_ID_MAX + 1];
    (void)mv_config_net_name(id, config->nets, name);
    for (unsigned i = 0; i < config->nets; i++) {
        if (!strcmp(name, mv_config_net_name(config->net[i].id, i, other)))
            return mv_fail(err, MICROVM_E_INVALID,
                           id ? "%s: the id '%s' is another device's"
                              : "%s: without an id it would be '%s', as another "
                                "device is called; give it an id",
                           what, name);
    }
    return 0;
}

static void net_done(struct mv_net_config *net)
{
    free(net->where);
    free(net->id);
    *net = (struct mv_net_config){.kind = MV_NET_USER};
}

int mv_config_row_set_net(struct mv_config *config, const struct mv_config_row *row,
                          const struct microvm_net *net, microvm_error *err)
{
    static const uint8_t none[6];
    const char *what = row->key.name, *place = NULL;
    struct mv_net_config entry = {.mtu = net->mtu};
    int rc = net_check(what, net, err);
    if (rc)
        return rc;
    if (!strcmp(net->backing, "none")) {
        mv_config_nets_reset(config);
        config->no_net = true;
        return 0;
    }
    if (config->nets == MV_NETS_MAX)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: a machine has at most %d network devices", what,
                       MV_NETS_MAX);
    rc = net_check_name(config, what, net->id, err);
    if (!rc)
        rc = net_kind(what, net->backing, &entry.kind, &place, err);
    if (!rc && place)
        rc = net_place(what, &entry, place, err);
    if (!rc && net->id && !(entry.id = strdup(net->id)))
        rc = mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    if (rc) {
        net_done(&entry);
        return rc;
    }
    if (net->flags && entry.kind != MV_NET_USER)
        rc = mv_fail(err, MICROVM_E_INVALID,
                     "%s: restrict, ipv6=off and host=off are for the user network",
                     what);
    if (rc) {
        net_done(&entry);
        return rc;
    }
    entry.restricted = net->flags & MICROVM_NET_RESTRICT;
    entry.no_ipv6 = net->flags & MICROVM_NET_NO_IPV6;
    entry.no_host = net->flags & MICROVM_NET_NO_HOST;
    entry.has_mac = memcmp(net->mac, none, sizeof none) != 0;
    memcpy(entry.mac, net->mac, sizeof entry.mac);
    config->net[config->nets++] = entry;
    config->no_net = false;
    return 0;
}

void mv_config_drop_net(struct mv_config *config)
{
    net_done(&config->net[--config->nets]);
}

void mv_config_nets_reset(struct mv_config *config)
{
    while (config->nets > 0)
        mv_config_drop_net(config);
}

static bool net_own(char **text)
{
    if (*text)
        *text = strdup(*text);
    else
        return true;
    return *text != NULL;
}

bool mv_config_nets_own(struct mv_config *copy)
{
    bool all = true;
    for (unsigned i = 0; i < copy->nets; i++) {
        all &= net_own(&copy->net[i].where);
        all &= net_own(&copy->net[i].id);
    }
    return all;
}

/* -- as text -- */

static int net_option(const char *what, const char *option, struct microvm_net *net,
                      microvm_error *err)
{
    static const char *const words[] = {"mac=",     "mtu=",     "id=", "restrict",
                                        "ipv6=off", "host=off", NULL};
    char shown[MV_STR_SHOWN];
    uint64_t mtu;
    (void)mv_str_show(shown, option);
    if (!strncmp(option, "mac=", 4)) {
        if (mv_config_mac_from_text(option + 4, net->mac))
            return 0;
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: '%s' is no address like 52:54:00:12:34:56", what, shown);
    }
    if (!strncmp(option, "mtu=", 4)) {
        if (mv_str_to_count(option + 4, &mtu) || mtu < NET_MTU_LEAST ||
            mtu > NET_MTU_MOST)
            return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' is not %d to %d bytes",
                           what, shown, NET_MTU_LEAST, NET_MTU_MOST);
        net->mtu = (uint16_t)mtu;
        return 0;
    }
    if (!strncmp(option, "id=", 3)) {
        net->id = option + 3;
        return 0;
    }
    for (unsigned i = 0; i < 3; i++) {
        if (!strcmp(option, words[3 + i])) { /* in the order of MICROVM_NET_* */
            net->flags |= 1u << i;
            return 0;
        }
    }
    const char *nearest = mv_str_nearest(option, words);
    return mv_fail(err, MICROVM_E_INVALID,
                   "%s: unknown option '%s'%s%s; there are mac=, mtu= and id=, and of "
                   "user restrict, ipv6=off and host=off (a comma in a path is written "
                   "twice)",
                   what, shown, nearest ? ": did you mean " : "",
                   nearest ? nearest : "");
}

int mv_config_net_from_text(struct mv_config *config, const struct mv_config_row *row,
                            const char *text, microvm_error *err)
{
    const char *what = row->key.name;
    struct microvm_net net = MICROVM_NET_INIT;
    char *copy = strdup(text);
    char *rest = copy;
    int rc = 0;
    if (!copy)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    net.backing = mv_config_part(&rest);
    while (rest && !rc)
        rc = net_option(what, mv_config_part(&rest), &net, err);
    if (!rc)
        rc = mv_config_row_set_net(config, row, &net, err);
    free(copy);
    return rc;
}

int mv_config_add_net(struct mv_config *config, const struct microvm_net *net)
{
    microvm_error err;
    if (config->first_error.code)
        return config->first_error.code;
    const struct mv_config_row *row = mv_config_row_find("net", &err);
    if (!mv_config_row_set_net(config, row, net, &err))
        return 0;
    return mv_config_stick(config, &err);
}
