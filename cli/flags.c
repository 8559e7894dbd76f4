/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Flags: a command's own and, where it takes them, the settings of the machine, which
 * come from the library's table. getopt_long does the splitting; two of its habits are
 * not taken over: flags may not be shortened (a script that says --mem would break with
 * the next flag that begins so), and its error messages.
 */
#include "cli.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct flag flag_help = {"help", 'h', NULL, "Show this help"};

/* The flags of one command as getopt_long wants them; entry i of `all` has val
 * FIRST_VALUE + i, above every character. */
enum { FIRST_VALUE = 256 };

struct flag_table {
    struct flag_use all[FLAGS_MAX];
    struct option options[FLAGS_MAX + 1];
    const char *names[FLAGS_MAX + 1];
    char shorts[2 * FLAGS_MAX + 3];
    int count;
};

static int table_argument(const struct flag_use *use)
{
    if (use->own)
        return use->own->value ? required_argument : no_argument;
    return use->key->type == MICROVM_KEY_BOOL ? optional_argument : required_argument;
}

static const char *use_name(const struct flag_use *use)
{
    return use->own ? use->own->name : use->key->name;
}

static char use_short(const struct flag_use *use)
{
    return use->own ? use->own->short_name : use->key->short_flag;
}

static void table_add(struct flag_table *table, struct flag_use use)
{
    if (table->count == FLAGS_MAX)
        return;
    int i = table->count++;
    size_t used = strlen(table->shorts);
    table->all[i] = use;
    table->names[i] = use_name(&use);
    table->options[i] =
        (struct option){use_name(&use), table_argument(&use), NULL, FIRST_VALUE + i};
    if (use_short(&use)) {
        table->shorts[used++] = use_short(&use);
        if (table_argument(&use) == required_argument)
            table->shorts[used] = ':';
    }
}

/* "-:" asks for words in place, and for ':' when a value is missing. */
static void table_make(struct flag_table *table, const struct command *command)
{
    memset(table, 0, sizeof *table);
    memcpy(table->shorts, "-:", 2);
    if (command->machine_flags)
        for (unsigned i = 0; microvm_config_key(i); i++)
            table_add(table, (struct flag_use){.key = microvm_config_key(i)});
    for (const struct flag *f = command->flags; f && f->name; f++)
        table_add(table, (struct flag_use){.own = f});
    table_add(table, (struct flag_use){.own = &flag_help});
}

static const struct flag_use *table_find(const struct flag_table *table, int value)
{
    for (int i = 0; i < table->count; i++)
        if (value == FIRST_VALUE + i ||
            (value < FIRST_VALUE && value == use_short(&table->all[i])))
            return &table->all[i];
    return NULL;
}

/* ---- errors --------------------------------------------------------------------- */

/* "--name=value" without dashes and value. */
static void flag_word(const char *text, char *out, size_t size)
{
    (void)snprintf(out, size, "%.*s", (int)strcspn(text + 2, "="), text + 2);
}

static void say_unknown(const struct flag_table *table, const struct command *command,
                        const char *text)
{
    char word[64];
    flag_word(text, word, sizeof word);
    const char *nearest = microvm_nearest(word, table->names);
    for (int i = 0; i < table->count; i++) {
        if (!strcmp(word, table->names[i])) {
            say("--%s takes no value", word);
            return;
        }
    }
    if (nearest)
        say("unknown flag --%s: did you mean --%s?", word, nearest);
    else
        say("unknown flag --%s; '%s help %s' lists them", word, program.name,
            command->name);
}

static bool args_wrong(const struct flag_table *table, const struct command *command,
                       int got, char **argv)
{
    const char *text = argv[optind - 1];
    const struct flag_use *use = table_find(table, optopt);
    if (got == ':' && use)
        say("--%s: the value (%s) is missing", use_name(use),
            use->own ? use->own->value : use->key->value);
    else if (!strncmp(text, "--", 2))
        say_unknown(table, command, text);
    else
        say("unknown flag -%c; '%s help %s' lists them", optopt, program.name,
            command->name);
    return false;
}

/* ---- splitting ------------------------------------------------------------------ */

/* The flag's value is the word after it. */
static bool value_is_apart(char **argv)
{
    return optarg && optarg == argv[optind - 1];
}

/* A flag where a value should be: taken for one only where "=" says so. */
static bool value_is_flag(const struct flag_use *use, char **argv)
{
    if (!value_is_apart(argv) || strncmp(optarg, "--", 2) != 0)
        return false;
    say("--%s: the value (%s) is missing before '%s'; one that begins with -- is "
        "written --%s=...",
        use_name(use), use->own ? use->own->value : use->key->value, optarg,
        use_name(use));
    return true;
}

/* The flag's text as the user wrote it. */
static bool was_shortened(const struct option *option, char **argv)
{
    const char *text = argv[optind - (value_is_apart(argv) ? 2 : 1)];
    return strlen(option->name) != strcspn(text + 2, "=");
}

static bool args_split(struct args *args, const struct command *command, int argc,
                       char **argv)
{
    struct flag_table table;
    table_make(&table, command);
    opterr = 0;
    for (;;) {
        int index = -1;
        int got = getopt_long(argc, argv, table.shorts, table.options, &index);
        if (got == -1)
            break;
        if (got == 1) {
            args->words[args->word_count++] = optarg;
            if (command->command_words)
                break; /* what follows is another program's */
            continue;
        }
        const struct flag_use *use = table_find(&table, got);
        if (!use)
            return args_wrong(&table, command, got, argv);
        if (index >= 0 && was_shortened(&table.options[index], argv)) {
            say_unknown(&table, command, argv[optind - (value_is_apart(argv) ? 2 : 1)]);
            return false;
        }
        if (value_is_flag(use, argv))
            return false;
        args->uses[args->use_count] = *use;
        args->uses[args->use_count++].value = optarg;
    }
    if (command->command_words && optind < argc && !strcmp(argv[optind], "--"))
        optind++;
    args->tail = argv + optind;
    args->tail_count = argc - optind;
    return true;
}

/* Commands that take no words are not given any. */
static bool args_fit(const struct args *args, const struct command *command)
{
    if (command->words || (!args->word_count && !args->tail_count))
        return true;
    say("'%s' is one word too many; usage: %s %s %s",
        args->word_count ? args->words[0] : args->tail[0], program.name, command->name,
        command->usage);
    return false;
}

/* The most flags that the words can be: "-it" is two in one. */
static size_t args_room(int argc, char **argv)
{
    size_t room = 1; /* calloc(0) may be NULL */
    for (int i = 0; i < argc; i++)
        room += 1 + strlen(argv[i]);
    return room;
}

bool args_parse(struct args *args, const struct command *command, int argc, char **argv)
{
    size_t room = args_room(argc, argv);
    *args = (struct args){.uses = calloc(room, sizeof *args->uses),
                          .words = calloc(room, sizeof *args->words)};
    if (!args->uses || !args->words) {
        say("no memory");
        return false;
    }
    return args_split(args, command, argc, argv) && args_fit(args, command);
}

void args_free(struct args *args)
{
    free(args->uses);
    free(args->words);
}

bool args_has(const struct args *args, const char *name)
{
    for (int i = 0; i < args->use_count; i++) {
        const struct flag_use *use = &args->uses[i];
        if (!strcmp(use->own ? use->own->name : use->key->name, name))
            return true;
    }
    return false;
}

const char *args_get(const struct args *args, const char *name)
{
    for (int i = args->use_count - 1; i >= 0; i--) {
        const struct flag_use *use = &args->uses[i];
        if (use->own && !strcmp(use->own->name, name))
            return use->value ? use->value : "";
    }
    return NULL;
}
