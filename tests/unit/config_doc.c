/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * docs/config.md is written from the table of settings; this program writes it, or as a
 * test compares it: config_doc FILE, config_doc --write FILE.
 */
#include "core/config_row.h"
#include "util/str.h"

#include <stdio.h>
#include <string.h>

static const char head[] =
    "# Settings\n\n"
    "<!-- Written by tests/unit/config_doc.c from src/core/config_keys.def; a test\n"
    "     compares. To change this page, change the table and run\n"
    "     build/tests/unit/config_doc --write docs/config.md -->\n\n"
    "Every setting of a machine has one name. On the command line it is a flag\n"
    "(`--memory 1G`), in JSON a key (`\"memory\": \"1G\"`), in C a call\n"
    "(`microvm_config_set(config, \"memory\", \"1G\")`). Flags write `-` between words,\n"
    "JSON writes `_`; either is understood everywhere. `microvm config` shows what a\n"
    "set of flags comes to.\n\n"
    "| form | on the command line and in C | in JSON |\n|---|---|---|\n"
    "| text, path | as it is | string |\n"
    "| switch | `on`, `off`; the flag alone is `on` | `true`, `false` |\n"
    "| number | decimal | number |\n"
    "| size | `256`, `256M`, `2G`, `2GiB`; without unit MiB, units are powers of 1024 "
    "| string, or a number of MiB |\n"
    "| duration | `90`, `90s`, `5m`, `1h30m`, `250ms`; without unit seconds "
    "| string, or a number of seconds |\n"
    "| choice | one of the words | string |\n"
    "| disk | `FILE[,ro][,direct][,id=NAME]`; a comma in FILE is written twice "
    "| the same string, or `{\"path\": FILE, \"readonly\": true, \"direct\": true, "
    "\"id\": NAME}` |\n"
    "| limit | `DEVICE:BYTES[/s][,OPS][,burst=TIME]`, as in `disk=vda:10M/s,500,burst=2s`;"
    " 0 is no limit, BYTES a size, the burst 100ms unless given; the last that fits a "
    "device counts. Freeing space (DISCARD, WRITE_ZEROES with unmap) is an operation of "
    "no bytes, zeroing without it as many as are zeroed | the same string |\n"
    "| vsock | `[uds=PATH][,cid=N]`; a comma in PATH is written twice "
    "| the same string, or `{\"uds\": PATH, \"cid\": N}` |\n"
    "| net | `BACKING[,mac=MAC][,mtu=N][,id=NAME]`; BACKING is `tap=NAME`, "
    "`unixstream=PATH`, `unixgram=PATH`, `fd=N`, `callback`, `user` or `none`; a comma "
    "in PATH is written twice; behind `user` also `restrict`, `ipv6=off`, `host=off` "
    "| the same string |\n"
    "| list | one text each time | list of strings |\n\n"
    "In a JSON file, a key that is not known, one that is there twice, and a value of\n"
    "another kind are errors. Flags win over files; disks add up.\n\n";

static const char *const forms[] = {"text",  "path",     "switch", "number",
                                    "size",  "duration", "choice", "disk",
                                    "limit", "vsock",    "net",    "list"};

static void put_limits(FILE *to, const struct mv_config_row *row)
{
    char least[MV_STR_NUMBER], most[MV_STR_NUMBER];
    switch (row->key.type) {
    case MICROVM_KEY_TEXT:
    case MICROVM_KEY_PATH:
        (void)fprintf(to, "%llu bytes", (unsigned long long)row->most);
        break;
    case MICROVM_KEY_COUNT:
    case MICROVM_KEY_SIZE:
    case MICROVM_KEY_DURATION:
        (void)fprintf(to, "%s to %s", mv_config_row_show(row, row->least, least),
                      mv_config_row_show(row, row->most, most));
        break;
    case MICROVM_KEY_DISK:
        (void)fprintf(to, "%d disks in all", MV_DISKS_MAX);
        break;
    case MICROVM_KEY_LIST:
        (void)fprintf(to, "%d in all", MV_LIST_MAX);
        break;
    case MICROVM_KEY_NET:
        (void)fprintf(to, "%d in all", MV_NETS_MAX);
        break;
    case MICROVM_KEY_LIMIT:
        (void)fprintf(to, "%d in all", MV_LIMITS_MAX);
        break;
    default: /* a switch or choice says it all */
        break;
    }
}

static void put_row(FILE *to, const struct mv_config_row *row)
{
    const microvm_key *key = &row->key;
    char name[MV_CONFIG_NAME_MAX];
    (void)fprintf(to, "| `--%s`", key->name);
    if (key->short_flag)
        (void)fprintf(to, ", `-%c`", key->short_flag);
    (void)fprintf(to, " | `%s` | %s", mv_config_row_json_name(row, name),
                  forms[key->type]);
    for (const char *p = key->choices; p && *p; p++) {
        if (p == key->choices)
            (void)fputs(": ", to);
        if (*p == '|')
            (void)fputs(", ", to);
        else
            (void)fputc(*p, to);
    }
    (void)fprintf(to, " | %s | ", key->default_text);
    put_limits(to, row);
    (void)fprintf(to, " | %s |\n", key->help);
}

static void put_page(FILE *to)
{
    (void)fputs(head, to);
    (void)fputs("| flag | JSON key | form | default | limits | meaning |\n"
                "|---|---|---|---|---|---|\n",
                to);
    for (unsigned i = 0; i < MV_CONFIG_ROWS; i++)
        put_row(to, &mv_config_rows[i]);
    (void)fputs("\n`cpus` may also be called `vcpus`.\n", to);
}

static int compare(FILE *page, FILE *found)
{
    int a, b, line = 1;
    do {
        a = fgetc(page);
        b = fgetc(found);
        if (b == '\r')
            b = fgetc(found);
        if (a != b) {
            (void)fprintf(stderr,
                          "line %d differs from the table; run config_doc "
                          "--write on it\n",
                          line);
            return 1;
        }
        line += a == '\n';
    } while (a != EOF);
    return 0;
}

int main(int argc, char **argv)
{
    bool writes = argc == 3 && !strcmp(argv[1], "--write");
    FILE *file = argc >= 2 ? fopen(argv[argc - 1], writes ? "wb" : "rb") : NULL;
    if (!file) {
        (void)fprintf(stderr, "usage: config_doc [--write] FILE\n");
        return 1;
    }
    int rc = 0;
    if (writes) {
        put_page(file);
    } else {
        FILE *page = tmpfile();
        if (!page)
            return 1;
        put_page(page);
        rewind(page);
        rc = compare(page, file);
        (void)fclose(page);
    }
    return fclose(file) ? 1 : rc;
}
