/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Setting one value: text to the field's type, limits, disks. Every message begins with
 * the key, says what was found and what may stand there. A value that is refused leaves
 * its field as it was.
 */
#include "core/config_row.h"

#include "util/assert.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- texts ---------------------------------------------------------------------- */

static int text_check(const char *what, const char *text, uint64_t least, uint64_t most,
                      microvm_error *err)
{
    size_t length = strlen(text);
    if (length < least)
        return mv_fail(err, MICROVM_E_INVALID, "%s: the text is empty", what);
    if (length > most)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the text has %zu bytes, %llu are possible", what, length,
                       (unsigned long long)most);
    if (!mv_str_is_plain(text))
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the text has control characters or is not UTF-8", what);
    return 0;
}

static int text_replace(char **field, const char *what, const char *text,
                        microvm_error *err)
{
    char *copy = NULL;
    if (text) {
        copy = strdup(text);
        if (!copy)
            return mv_fail(err, MICROVM_E_NO_MEMORY, "%s: no memory", what);
    }
    free(*field);
    *field = copy;
    return 0;
}

/* ---- numbers -------------------------------------------------------------------- */

const char *mv_config_row_show(const struct mv_config_row *row, uint64_t value,
                               char out[MV_STR_NUMBER])
{
    if (row->key.type == MICROVM_KEY_SIZE)
        return mv_str_from_size(out, value);
    if (row->key.type == MICROVM_KEY_DURATION)
        return mv_str_from_duration(out, value);
    (void)snprintf(out, MV_STR_NUMBER, "%llu", (unsigned long long)value);
    return out;
}

static int number_code(const struct mv_config_row *row)
{
    return row->key.type == MICROVM_KEY_SIZE ? MICROVM_E_MEMORY : MICROVM_E_INVALID;
}

int mv_config_row_set_number(struct mv_config *config, const struct mv_config_row *row,
                             uint64_t value, microvm_error *err)
{
    bool is_size = row->key.type == MICROVM_KEY_SIZE;
    char found[MV_STR_NUMBER], limit[MV_STR_NUMBER];
    int code = number_code(row);
    (void)mv_config_row_show(row, value, found);
    if (value < row->least)
        return mv_fail(err, code, "%s: %s is less than the %s, %s", row->key.name,
                       found, is_size ? "smallest machine" : "least",
                       mv_config_row_show(row, row->least, limit));
    if (value > row->most)
        return mv_fail(err, code, "%s: %s is more than the %s, %s", row->key.name,
                       found, is_size ? "largest machine" : "most",
                       mv_config_row_show(row, row->most, limit));
    if (is_size && value % MV_MIB(1))
        return mv_fail(err, code, "%s: %s is no whole number of MiB", row->key.name,
                       found);
    if (row->key.type == MICROVM_KEY_COUNT)
        *(uint32_t *)mv_config_field(config, row) = (uint32_t)value;
    else
        *(uint64_t *)mv_config_field(config, row) = value;
    return 0;
}

static int number_from_text(struct mv_config *config, const struct mv_config_row *row,
                            const char *text, microvm_error *err)
{
    uint64_t value = 0;
    const char *wrong;
    if (row->key.type == MICROVM_KEY_SIZE)
        wrong = mv_str_to_size(text, &value);
    else if (row->key.type == MICROVM_KEY_DURATION)
        wrong = mv_str_to_duration(text, &value);
    else
        wrong = mv_str_to_count(text, &value);
    char shown[MV_STR_SHOWN];
    if (wrong)
        return mv_fail(err, number_code(row), "%s: '%s' %s", row->key.name,
                       mv_str_show(shown, text), wrong);
    return mv_config_row_set_number(config, row, value, err);
}

/* ---- switches and choices ------------------------------------------------------- */

int mv_config_row_set_bool(struct mv_config *config, const struct mv_config_row *row,
                           bool value)
{
    *(bool *)mv_config_field(config, row) = value;
    return 0;
}

static int bool_from_text(struct mv_config *config, const struct mv_config_row *row,
                          const char *text, microvm_error *err)
{
    bool value;
    char shown[MV_STR_SHOWN];
    const char *wrong = mv_str_to_bool(text, &value);
    if (wrong)
        return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' %s", row->key.name,
                       mv_str_show(shown, text), wrong);
    return mv_config_row_set_bool(config, row, value);
}

static int choice_from_text(struct mv_config *config, const struct mv_config_row *row,
                            const char *text, microvm_error *err)
{
    char word[MV_CONFIG_NAME_MAX], shown[MV_STR_SHOWN];
    for (int i = 0; mv_config_choice(row->key.choices, i, word); i++) {
        if (!strcmp(word, text)) {
            *(int *)mv_config_field(config, row) = i;
            return 0;
        }
    }
    return mv_fail(err, MICROVM_E_INVALID, "%s: '%s' is none of %s", row->key.name,
                   mv_str_show(shown, text), row->key.choices);
}

/* ---- disks ---------------------------------------------------------------------- */

int mv_config_id_check(const char *what, const char *id, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    size_t length = strlen(id);
    if (length >= 1 && length <= MV_ID_MAX && mv_str_is_plain(id))
        return 0;
    return mv_fail(err, MICROVM_E_INVALID,
                   "%s: the id '%s' is not 1 to %d printable bytes", what,
                   mv_str_show(shown, id), MV_ID_MAX);
}

static int disk_check(const struct mv_config *config, const char *what,
                      const struct microvm_disk *disk, microvm_error *err)
{
    if (disk->size < sizeof *disk)
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: the size field is not set; use MICROVM_DISK_INIT", what);
    if (!disk->path)
        return mv_fail(err, MICROVM_E_INVALID, "%s: the path is missing", what);
    int rc = text_check(what, disk->path, 1, 4095, err);
    if (rc || !disk->id)
        return rc;
    rc = mv_config_id_check(what, disk->id, err);
    for (unsigned i = 0; i < config->disks && !rc; i++)
        if (config->disk[i].id && !strcmp(config->disk[i].id, disk->id))
            rc = mv_fail(err, MICROVM_E_INVALID, "%s: the id '%s' is another disk's",
                         what, disk->id);
    return rc;
}

static void disk_remove(struct mv_config *config, unsigned index)
{
    free(config->disk[index].path);
    free(config->disk[index].id);
    config->disks--;
    memmove(&config->disk[index], &config->disk[index + 1],
            (config->disks - index) * sizeof config->disk[0]);
}

static bool has_root(const struct mv_config *config)
{
    return config->root != MV_ROOT_NONE;
}

static void root_reset(struct mv_config *config)
{
    if (has_root(config))
        disk_remove(config, 0);
    config->root = MV_ROOT_NONE;
}

/* Resetting one kind of root leaves the other alone. */
static void disks_reset(struct mv_config *config, int root)
{
    if (root != MV_ROOT_NONE && config->root == root)
        root_reset(config);
    while (root == MV_ROOT_NONE && config->disks > has_root(config))
        disk_remove(config, config->disks - 1);
}

int mv_config_row_set_disk(struct mv_config *config, const struct mv_config_row *row,
                           const struct microvm_disk *disk, microvm_error *err)
{
    int root = (int)row->least;
    const char *what = row->key.name;
    int rc = disk_check(config, what, disk, err);
    if (rc)
        return rc;
    if (config->disks - (root && has_root(config)) >= MV_DISKS_MAX)
        return mv_fail(err, MICROVM_E_INVALID, "%s: a machine has at most %d disks",
                       what, MV_DISKS_MAX);
    struct mv_disk_config entry = {.read_only =
                                       disk->read_only || root == MV_ROOT_IMAGE,
                                   .direct = disk->direct != 0};
    rc = text_replace(&entry.path, what, disk->path, err);
    if (!rc)
        rc = text_replace(&entry.id, what, disk->id, err);
    if (rc) {
        free(entry.path);
        return rc;
    }
    if (root) {
        root_reset(config);
        memmove(&config->disk[1], &config->disk[0],
                config->disks * sizeof config->disk[0]);
        config->root = root;
    }
    config->disk[root ? 0 : config->disks] = entry;
    config->disks++;
    return 0;
}

char *mv_config_part(char **at)
{
    char *part = *at, *to = part;
    for (const char *from = part;; from++) {
        if (*from == ',' && from[1] == ',') {
            from++;
        } else if (*from == ',' || !*from) {
            *at = *from ? part + (from - part) + 1 : NULL;
            *to = '\0';
            return part;
        }
        *to++ = *from;
    }
}

static int disk_option(const char *what, const char *option, struct microvm_disk *disk,
                       microvm_error *err)
{
    static const char *const words[] = {"ro", "direct", "id=", NULL};
    if (!strcmp(option, "ro")) {
        disk->read_only = 1;
    } else if (!strcmp(option, "direct")) {
        disk->direct = 1;
    } else if (!strncmp(option, "id=", 3)) {
        disk->id = option + 3;
    } else {
        char shown[MV_STR_SHOWN];
        const char *nearest = mv_str_nearest(option, words);
        return mv_fail(err, MICROVM_E_INVALID,
                       "%s: unknown option '%s'%s%s; there are ro, direct and id=NAME "
                       "(a comma in the path is written twice)",
                       what, mv_str_show(shown, option),
                       nearest ? ": did you mean " : "", nearest ? nearest : "");
    }
    return 0;
}

static int disk_from_text(struct mv_config *config, const struct mv_config_row *row,
                          const char *text, microvm_error *err)
{
    const char *what = row->key.name;
    char *copy = NULL;
    int rc = text_replace(&copy, what, text, err);
    if (rc)
        return rc;
    struct microvm_disk disk = MICROVM_DISK_INIT;
    char *rest = copy;
    disk.path = mv_config_part(&rest);
    while (rest && !rc)
        rc = disk_option(what, mv_config_part(&rest), &disk, err);
    if (!rc)
        rc = mv_config_row_set_disk(config, row, &disk, err);
    free(copy);
    return rc;
}

/* ---- any of them ---------------------------------------------------------------- */

int mv_config_row_set(struct mv_config *config, const struct mv_config_row *row,
                      const char *text, microvm_error *err)
{
    int rc;
    switch (row->key.type) {
    case MICROVM_KEY_TEXT:
    case MICROVM_KEY_PATH:
        rc = text_check(row->key.name, text, row->least, row->most, err);
        if (rc)
            return rc;
        return text_replace(mv_config_field(config, row), row->key.name, text, err);
    case MICROVM_KEY_BOOL:
        return bool_from_text(config, row, text, err);
    case MICROVM_KEY_CHOICE:
        return choice_from_text(config, row, text, err);
    case MICROVM_KEY_DISK:
        return disk_from_text(config, row, text, err);
    case MICROVM_KEY_LIMIT:
        return mv_config_add_limit(config, text, err);
    case MICROVM_KEY_VSOCK:
        return mv_config_row_set_vsock_text(config, row, text, err);
    case MICROVM_KEY_NET:
        return mv_config_net_from_text(config, row, text, err);
    case MICROVM_KEY_LIST:
        rc = text_check(row->key.name, text, row->least, row->most, err);
        return rc ? rc : mv_config_list_add(config, row, text, err);
    default: /* COUNT, SIZE, DURATION */
        return number_from_text(config, row, text, err);
    }
}

static int row_reset(struct mv_config *config, const struct mv_config_row *row,
                     microvm_error *err)
{
    if (row->key.type == MICROVM_KEY_DISK) {
        disks_reset(config, (int)row->least);
        return 0;
    }
    if (row->key.type == MICROVM_KEY_LIMIT) {
        config->limits = 0;
        return 0;
    }
    if (row->key.type == MICROVM_KEY_VSOCK) {
        mv_config_vsock_reset(config);
        return 0;
    }
    if (row->key.type == MICROVM_KEY_NET) {
        mv_config_nets_reset(config);
        config->no_net = false;
        return 0;
    }
    if (row->key.type == MICROVM_KEY_LIST) {
        mv_config_list_reset(mv_config_field(config, row));
        return 0;
    }
    if (row->key.type == MICROVM_KEY_TEXT || row->key.type == MICROVM_KEY_PATH)
        return text_replace(mv_config_field(config, row), row->key.name, NULL, err);
    return mv_config_row_set(config, row, row->key.default_text, err);
}

void mv_config_set(struct mv_config *config, const char *key, const char *text)
{
    microvm_error err;
    if (config->first_error.code)
        return;
    const struct mv_config_row *row = mv_config_row_find(key, &err);
    if (!row || (text ? mv_config_row_set(config, row, text, &err)
                      : row_reset(config, row, &err)))
        (void)mv_config_stick(config, &err);
}

void mv_config_set_number(struct mv_config *config, const char *key, uint64_t value)
{
    microvm_error err;
    if (config->first_error.code)
        return;
    const struct mv_config_row *row = mv_config_row_find(key, &err);
    MV_ASSERT(row); /* our own callers name their key */
    if (mv_config_row_set_number(config, row, value, &err))
        (void)mv_config_stick(config, &err);
}

static int disk_set(struct mv_config *config, const char *key,
                    const struct microvm_disk *disk)
{
    microvm_error err;
    if (config->first_error.code)
        return config->first_error.code;
    const struct mv_config_row *row = mv_config_row_find(key, &err);
    MV_ASSERT(row);
    if (!mv_config_row_set_disk(config, row, disk, &err))
        return 0;
    return mv_config_stick(config, &err);
}

int mv_config_add_disk(struct mv_config *config, const struct microvm_disk *disk)
{
    return disk_set(config, "disk", disk);
}

void mv_config_drop_disk(struct mv_config *config)
{
    disk_remove(config, config->disks - 1);
}

int mv_config_set_rootfs(struct mv_config *config, const struct microvm_disk *disk)
{
    return disk_set(config, "rootfs", disk);
}

int mv_config_set_vsock(struct mv_config *config, const struct microvm_vsock *vsock)
{
    microvm_error err;
    if (config->first_error.code)
        return config->first_error.code;
    const struct mv_config_row *row = mv_config_row_find("vsock", &err);
    MV_ASSERT(row);
    if (!mv_config_row_set_vsock(config, row, vsock, &err))
        return 0;
    return mv_config_stick(config, &err);
}
