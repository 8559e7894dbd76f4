/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Help texts, from the tables: the commands, a command's own flags, and the settings
 * of the machine.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

enum { LEFT = 28, WIDTH = 80 };

/* Words after the left column, wrapped. `column` is where the line stands. */
static void put_wrapped(const char *text, int column)
{
    if (column + 1 >= LEFT)
        (void)printf("\n%*s", LEFT, "");
    else
        (void)printf("%*s", LEFT - column, "");
    column = LEFT;
    while (*text) {
        int length = (int)strcspn(text, " ");
        if (column > LEFT && column + 1 + length > WIDTH) {
            (void)printf("\n%*s", LEFT, "");
            column = LEFT;
        }
        column += printf("%s%.*s", column > LEFT ? " " : "", length, text);
        text += length + (text[length] == ' ');
    }
    (void)putchar('\n');
}

static void put_flag(char short_name, const char *name, const char *value,
                     const char *text)
{
    int column = short_name ? printf("  -%c, --%s", short_name, name)
                            : printf("      --%s", name);
    column += printf("%s%s", value && *value ? " " : "", value ? value : "");
    put_wrapped(text, column);
}

static void put_key(const microvm_key *key)
{
    char text[400];
    const char *usual = key->default_text;
    bool is_bool = key->type == MICROVM_KEY_BOOL;
    const char *form = is_bool && !strcmp(usual, "on") ? "; =off to have none" : "";
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s", key->help,
                   key->choices ? ": " : "", key->choices ? key->choices : "",
                   *usual && !is_bool ? " (default " : "", is_bool ? "" : usual,
                   *usual && !is_bool ? ")" : "", form,
                   key->repeatable ? "; repeatable" : "");
    put_flag(key->short_flag, key->name, key->value, text);
}

void help_command(const struct command *command)
{
    bool implied = program.implied && command == program.chief;
    (void)printf("Usage: %s %s%s%s %s\n\n%s.\n", program.name, implied ? "[" : "",
                 command->name, implied ? "]" : "", command->usage, command->summary);
    if (command->alias)
        (void)printf("Also called: %s %s\n", program.name, command->alias);
    if (command->machine_flags) {
        (void)printf("\nThe machine:\n");
        for (unsigned i = 0; microvm_config_key(i); i++)
            put_key(microvm_config_key(i));
    }
    (void)printf("\nFlags:\n");
    for (const struct flag *f = command->flags; f && f->name; f++)
        put_flag(f->short_name, f->name, f->value, f->help);
    put_flag(flag_help.short_name, flag_help.name, NULL, flag_help.help);
    if (command->details)
        (void)printf("\n%s", command->details);
}

void help_all(void)
{
    (void)printf("Usage: %s %s\n\n%s\nCommands:\n", program.name, program.usage,
                 program.summary);
    for (const struct command *const *c = program.commands; *c; c++)
        put_wrapped((*c)->summary, printf("  %s", (*c)->name));
    (void)printf("\n'%s help COMMAND' shows the flags of a command, with examples.\n%s",
                 program.name, program.hint);
}
