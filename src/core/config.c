/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of settings, and the life of a configuration: defaults, copies, the checks
 * that concern more than one key. Values are set in config_set.c, JSON is in
 * config_json.c. Whether files exist is not asked here: that is found out by opening
 * them, when the machine is made.
 */
#include "core/config_row.h"

#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

#define KEY(name_, flag, type_, field, default_, least_, most_, value_, choices_,   \
            help_)                                                                  \
    {{.name = (name_),                                                              \
      .short_flag = (flag),                                                         \
      .type = MICROVM_KEY_##type_,                                                  \
      .repeatable =                                                                 \
          offsetof(struct mv_config, field) == offsetof(struct mv_config, disk) ||  \
          offsetof(struct mv_config, field) == offsetof(struct mv_config, limit) || \
          MICROVM_KEY_##type_ == MICROVM_KEY_LIST ||                                \
          offsetof(struct mv_config, field) == offsetof(struct mv_config, net),     \
      .value = (value_),                                                            \
      .default_text = (default_),                                                   \
      .choices = (choices_),                                                        \
      .help = (help_)},                                                             \
     offsetof(struct mv_config, field),                                             \
     (least_),                                                                      \
     (most_)},
const struct mv_config_row mv_config_rows[MV_CONFIG_ROWS] = {
#include "core/config_keys.def"
};
#undef KEY

/* Other spellings that are understood: of the specification, and the list in JSON. */
static const struct {
    const char *other, *name;
} config_aliases[] = {
    {"vcpus", "cpus"}, {"disks", "disk"}, {"limits", "limit"}, {"nets", "net"}};

static const char *config_name(const char *name)
{
    for (unsigned i = 0; i < MV_ARRAY_LEN(config_aliases); i++)
        if (mv_str_same_name(name, config_aliases[i].other))
            return config_aliases[i].name;
    return name;
}

const struct mv_config_row *mv_config_row_find(const char *name, microvm_error *err)
{
    const char *names[MV_CONFIG_ROWS + 1];
    const char *wanted = config_name(name);
    for (unsigned i = 0; i < MV_CONFIG_ROWS; i++) {
        if (mv_str_same_name(wanted, mv_config_rows[i].key.name))
            return &mv_config_rows[i];
        names[i] = mv_config_rows[i].key.name;
    }
    names[MV_CONFIG_ROWS] = NULL;
    char shown[MV_STR_SHOWN];
    const char *nearest = mv_str_nearest(name, names);
    (void)mv_str_show(shown, name);
    if (nearest)
        (void)mv_fail(err, MICROVM_E_INVALID, "unknown key '%s': did you mean '%s'?",
                      shown, nearest);
    else
        (void)mv_fail(err, MICROVM_E_INVALID, "unknown key '%s'", shown);
    return NULL;
}

const char *mv_config_row_json_name(const struct mv_config_row *row,
                                    char out[MV_CONFIG_NAME_MAX])
{
    size_t i;
    for (i = 0; row->key.name[i] && i < MV_CONFIG_NAME_MAX - 2; i++)
        out[i] = row->key.name[i] == '-' ? '_' : row->key.name[i];
    if (row->key.repeatable && row->key.type != MICROVM_KEY_LIST)
        out[i++] = 's';
    out[i] = '\0';
    return out;
}

bool mv_config_choice(const char *choices, int index, char out[MV_CONFIG_NAME_MAX])
{
    for (; index > 0; index--) {
        choices = strchr(choices, '|');
        if (!choices)
            return false;
        choices++;
    }
    size_t length = strcspn(choices, "|");
    length = MV_MIN(length, MV_CONFIG_NAME_MAX - 1u);
    memcpy(out, choices, length);
    out[length] = '\0';
    return true;
}

int mv_config_stick(struct mv_config *config, const microvm_error *err)
{
    if (!config->first_error.code)
        config->first_error = *err;
    return err->code;
}

void mv_config_init(struct mv_config *config)
{
    memset(config, 0, sizeof *config);
    for (unsigned i = 0; i < MV_CONFIG_ROWS; i++)
        mv_config_set(config, mv_config_rows[i].key.name, NULL);
}

void mv_config_done(struct mv_config *config)
{
    free(config->name);
    free(config->kernel);
    free(config->initrd);
    free(config->cmdline);
    free(config->hostname);
    for (unsigned i = 0; i < config->disks; i++) {
        free(config->disk[i].path);
        free(config->disk[i].id);
    }
    free(config->vsock.uds);
    free(config->netd);
    mv_config_nets_reset(config);
    mv_config_list_reset(&config->publish);
    mv_config_list_reset(&config->egress);
    mv_config_list_reset(&config->socks);
    mv_config_list_reset(&config->outbound);
    memset(config, 0, sizeof *config);
}

/* *to = a copy of *to, which is still the original's; NULL stays NULL. */
static bool config_own(char **to)
{
    if (!*to)
        return true;
    *to = strdup(*to);
    return *to != NULL;
}

int mv_config_copy(struct mv_config *to, const struct mv_config *from,
                   microvm_error *err)
{
    struct mv_config copy = *from;
    bool all = true;
    all &= config_own(&copy.name);
    all &= config_own(&copy.kernel);
    all &= config_own(&copy.initrd);
    all &= config_own(&copy.cmdline);
    all &= config_own(&copy.hostname);
    all &= config_own(&copy.vsock.uds);
    for (unsigned i = 0; i < copy.disks; i++) {
        all &= config_own(&copy.disk[i].path);
        all &= config_own(&copy.disk[i].id);
    }
    all &= config_own(&copy.netd);
    all &= mv_config_nets_own(&copy);
    all &= mv_config_list_own(&copy.publish);
    all &= mv_config_list_own(&copy.egress);
    all &= mv_config_list_own(&copy.socks);
    all &= mv_config_list_own(&copy.outbound);
    if (!all) {
        mv_config_done(&copy);
        return mv_fail(err, MICROVM_E_NO_MEMORY, "configuration: no memory for a copy");
    }
    *to = copy;
    return 0;
}

const char *mv_config_disk_name(unsigned index, char out[MV_DISK_NAME])
{
    (void)snprintf(out, MV_DISK_NAME, "vd%c", (char)('a' + index));
    return out;
}

/* The order of disks is not known before all are there: the root file system's is the
 * first. */
int mv_config_check_disks(const struct mv_config *config, microvm_error *err)
{
    char name[MV_DISK_NAME];
    for (unsigned i = 0; i < config->disks; i++) {
        const struct mv_disk_config *disk = &config->disk[i];
        for (unsigned k = 0; k < config->disks && disk->id; k++) {
            if (k != i && !strcmp(disk->id, mv_config_disk_name(k, name)))
                return mv_fail(err, MICROVM_E_INVALID,
                               "disk: the id '%s' of '%s' is what the guest calls "
                               "another disk, '%s'; choose another id",
                               name, disk->path, config->disk[k].path);
        }
    }
    return 0;
}

/* RFC 1123, 2.1, loosely. It becomes a word of the kernel's command line. */
static bool config_is_hostname(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                "0123456789-.";
    size_t length = strlen(name);
    return strspn(name, plain) == length && !strchr("-.", name[0]) &&
           !strchr("-.", name[length - 1]);
}

int mv_config_check(const struct mv_config *config, microvm_error *err)
{
    if (config->first_error.code)
        return mv_fail_again(err, &config->first_error);
    if (!config->kernel)
        return mv_fail(err, MICROVM_E_INVALID,
                       "kernel: not given; a machine needs a bzImage or vmlinux");
    bool user = false;
    for (unsigned i = 0; i < config->nets; i++)
        user |= config->net[i].kind == MV_NET_USER;
    if (!user && (config->publish.count || config->egress.count))
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: that is done by the user network, which this machine does "
                       "not have: say net=user too",
                       config->publish.count ? "publish" : "egress");
    if ((config->socks.count || config->outbound.count) && !config->vsock.on)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: its connections go through the socket device, which this "
                       "machine does not have: say vsock=cid=3 too",
                       config->socks.count ? "socks" : "outbound");
    if (config->hostname && !config_is_hostname(config->hostname))
        return mv_fail(
            err, MICROVM_E_INVALID,
            "hostname: '%s' is none: letters, digits, '-' and '.', and neither "
            "'-' nor '.' at an end",
            config->hostname);
    if (config->cmdline_only && !config->cmdline)
        return mv_fail(err, MICROVM_E_INVALID,
                       "cmdline-only: there is no cmdline to be used alone");
    return mv_config_check_disks(config, err);
}
