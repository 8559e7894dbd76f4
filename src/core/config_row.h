/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The table of settings as the files of the configuration see it: config.c (life,
 * copies, checks), config_set.c (values) and config_json.c.
 */
#ifndef MV_CORE_CONFIG_ROW_H
#define MV_CORE_CONFIG_ROW_H

#include "core/config.h"
#include "util/str.h"

#include <stddef.h>

struct mv_config_row {
    microvm_key key;
    size_t offset; /* of the field in struct mv_config */
    uint64_t least, most;
};

enum {
#define KEY(...) +1
    MV_CONFIG_ROWS = 0
#include "core/config_keys.def"
#undef KEY
};

extern const struct mv_config_row mv_config_rows[MV_CONFIG_ROWS];

/* NULL, and *err set, when there is no such key; the message names the nearest. */
const struct mv_config_row *mv_config_row_find(const char *name, microvm_error *err);

/* A value of a COUNT, SIZE or DURATION as it is written: "4", "512M", "300s". `out`. */
const char *mv_config_row_show(const struct mv_config_row *row, uint64_t value,
                               char out[MV_STR_NUMBER]);

/* The names that JSON uses: "cmdline_only", "disks". */
enum { MV_CONFIG_NAME_MAX = 32 };
const char *mv_config_row_json_name(const struct mv_config_row *row,
                                    char out[MV_CONFIG_NAME_MAX]);

static inline void *mv_config_field(struct mv_config *config,
                                    const struct mv_config_row *row)
{
    return (char *)config + row->offset;
}

static inline const void *mv_config_field_of(const struct mv_config *config,
                                             const struct mv_config_row *row)
{
    return (const char *)config + row->offset;
}

/* One value into its field, checked. On failure the field is as before. */
int mv_config_row_set(struct mv_config *config, const struct mv_config_row *row,
                      const char *text, microvm_error *err);
int mv_config_row_set_number(struct mv_config *config, const struct mv_config_row *row,
                             uint64_t value, microvm_error *err);
int mv_config_row_set_bool(struct mv_config *config, const struct mv_config_row *row,
                           bool value);
/* A device's id, of a disk or a network device. */
int mv_config_id_check(const char *what, const char *id, microvm_error *err);
/* Adds the disk, or makes it the root file system, as the row says. */
int mv_config_row_set_disk(struct mv_config *config, const struct mv_config_row *row,
                           const struct microvm_disk *disk, microvm_error *err);

/* Network devices: config_net.c. "none" takes all of them away. */
int mv_config_row_set_net(struct mv_config *config, const struct mv_config_row *row,
                          const struct microvm_net *net, microvm_error *err);
int mv_config_net_from_text(struct mv_config *config, const struct mv_config_row *row,
                            const char *text, microvm_error *err);
void mv_config_nets_reset(struct mv_config *config);
bool mv_config_nets_own(struct mv_config *copy);
/* Its text form, to be freed; NULL: no memory. */
char *mv_config_net_text(const struct mv_net_config *net);
/* "52:54:00:12:34:56" */
enum { MV_CONFIG_MAC_TEXT = 18 };
bool mv_config_mac_from_text(const char *text, uint8_t mac[6]);
void mv_config_mac_show(const uint8_t mac[6], char out[MV_CONFIG_MAC_TEXT]);

/* Lists of texts: config_list.c */
int mv_config_list_add(struct mv_config *config, const struct mv_config_row *row,
                       const char *text, microvm_error *err);
void mv_config_list_reset(struct mv_config_list *list);
bool mv_config_list_own(struct mv_config_list *copy);

/* Adds one from its text form; and that form again. config_limit.c */
int mv_config_add_limit(struct mv_config *config, const char *text, microvm_error *err);
const char *mv_config_limit_show(const struct mv_limit_config *limit,
                                 char out[MV_LIMIT_TEXT]);

/* The vsock device, from the struct and from text. */
int mv_config_row_set_vsock(struct mv_config *config, const struct mv_config_row *row,
                            const struct microvm_vsock *vsock, microvm_error *err);
int mv_config_row_set_vsock_text(struct mv_config *config,
                                 const struct mv_config_row *row, const char *text,
                                 microvm_error *err);
void mv_config_vsock_reset(struct mv_config *config);

/* Cuts the next comma-separated part off *at, in place; ",," is a comma of the part.
 * *at is NULL after the last. */
char *mv_config_part(char **at);

/* Copies word `index` of "a|b|c"; false when there are fewer. */
bool mv_config_choice(const char *choices, int index, char out[MV_CONFIG_NAME_MAX]);

/* Keeps *err when it is the first. Returns its code. */
int mv_config_stick(struct mv_config *config, const microvm_error *err);

#endif
