/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm completion SHELL, microvm-build completion SHELL: a script for the shell,
 * made from the same tables as the help. Values are completed where they are files or a
 * choice.
 */
#include "cli.h"

#include <stdio.h>
#include <string.h>

/* A flag of either kind, as a completion sees it. */
struct offer {
    const char *name, *value, *choices, *help;
    char short_name;
    bool file; /* the value is a file's name */
};

typedef void offer_fn(const struct command *command, const struct offer *offer);

static void each_flag(const struct command *command, offer_fn *fn)
{
    for (unsigned i = 0; command->machine_flags && microvm_config_key(i); i++) {
        const microvm_key *key = microvm_config_key(i);
        fn(command, &(struct offer){key->name, *key->value ? key->value : NULL,
                                    key->choices, key->help, key->short_flag,
                                    key->type == MICROVM_KEY_PATH ||
                                        key->type == MICROVM_KEY_DISK});
    }
    for (const struct flag *f = command->flags; f && f->name; f++)
        fn(command, &(struct offer){f->name, f->value, NULL, f->help, f->short_name,
                                    f->value && !strcmp(f->value, "FILE")});
    fn(command, &(struct offer){flag_help.name, NULL, NULL, flag_help.help,
                                flag_help.short_name, false});
}

static void put_spaced(const char *choices)
{
    for (; *choices; choices++)
        (void)putchar(*choices == '|' ? ' ' : *choices);
}

static void put_commands(void)
{
    for (const struct command *const *c = program.commands; *c; c++)
        (void)printf("%s%s", c == program.commands ? "" : " ", (*c)->name);
}

/* ---- bash ----------------------------------------------------------------------- */

static void bash_values(const struct command *command, const struct offer *offer)
{
    (void)command;
    if (!offer->value || (!offer->file && !offer->choices))
        return;
    (void)printf("        --%s", offer->name);
    if (offer->short_name)
        (void)printf("|-%c", offer->short_name);
    (void)printf(") ");
    if (offer->choices) {
        (void)printf("COMPREPLY=($(compgen -W '");
        put_spaced(offer->choices);
        (void)printf("' -- \"$word\"))");
    } else {
        (void)printf("compopt -o filenames; COMPREPLY=($(compgen -f -- \"$word\"))");
    }
    (void)printf("; return ;;\n");
}

static void bash_flag(const struct command *command, const struct offer *offer)
{
    (void)command;
    (void)printf(" --%s", offer->name);
}

static void bash_print(void)
{
    (void)printf("# bash completion for %s\n_%s()\n{\n"
                 "    local word=${COMP_WORDS[COMP_CWORD]}\n"
                 "    local before=${COMP_WORDS[COMP_CWORD-1]}\n"
                 "    COMPREPLY=()\n"
                 "    if [ \"$COMP_CWORD\" = 1 ]; then\n"
                 "        COMPREPLY=($(compgen -W '",
                 program.name, program.name);
    put_commands();
    if (program.implied)
        each_flag(program.chief, bash_flag);
    (void)printf("' -- \"$word\"))\n        return\n    fi\n    case $before in\n");
    each_flag(program.chief, bash_values);
    (void)printf("    esac\n    case ${COMP_WORDS[1]} in\n");
    for (const struct command *const *c = program.commands; *c; c++) {
        (void)printf("    %s", (*c)->name);
        if ((*c)->alias)
            (void)printf("|%s", (*c)->alias);
        (void)printf(") COMPREPLY=($(compgen -W '");
        if ((*c)->run == cmd_help.run)
            put_commands();
        if ((*c)->run == completion_run)
            (void)printf("bash zsh fish");
        each_flag(*c, bash_flag);
        (void)printf("' -- \"$word\")%s) ;;\n",
                     (*c)->files ? " $(compgen -f -- \"$word\")" : "");
    }
    if (program.implied) {
        (void)printf("    *) COMPREPLY=($(compgen -W '");
        each_flag(program.chief, bash_flag);
        (void)printf("' -- \"$word\")) ;;\n");
    }
    (void)printf("    esac\n}\ncomplete -F _%s %s\n", program.name, program.name);
}

/* ---- zsh ------------------------------------------------------------------------ */

/* Help inside '...[...]': what zsh or the quotes would take for their own is left out
 * or escaped. */
static void put_quoted(const char *text, const char *escaped)
{
    for (; *text; text++) {
        if (*text == '\'')
            (void)printf("'\\'");
        else if (strchr(escaped, *text))
            (void)putchar('\\');
        (void)putchar(*text);
    }
}

static void zsh_flag(const struct command *command, const struct offer *offer)
{
    (void)command;
    (void)printf(" \\\n            '*--%s%s[", offer->name, offer->value ? "=" : "");
    put_quoted(offer->help, "[]:\\");
    (void)printf("]");
    if (offer->value) {
        (void)printf(":");
        put_quoted(offer->value, "[]:\\");
        (void)printf(":");
        if (offer->choices) {
            (void)printf("(");
            put_spaced(offer->choices);
            (void)printf(")");
        } else if (offer->file) {
            (void)printf("_files");
        }
    }
    (void)printf("'");
}

static void zsh_print(void)
{
    (void)printf("#compdef %s\n_%s()\n{\n    if (( CURRENT == 2 )); then\n"
                 "        local -a names=(\n",
                 program.name, program.name);
    for (const struct command *const *c = program.commands; *c; c++) {
        (void)printf("            '%s:", (*c)->name);
        put_quoted((*c)->summary, ":");
        (void)printf("'\n");
    }
    (void)printf("        )\n        _describe command names\n        return\n    fi\n"
                 "    local name=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
                 "    case $name in\n");
    for (const struct command *const *c = program.commands; *c; c++) {
        (void)printf("    %s%s%s)\n        _arguments", (*c)->name,
                     (*c)->alias ? "|" : "", (*c)->alias ? (*c)->alias : "");
        each_flag(*c, zsh_flag);
        if ((*c)->run == cmd_help.run || (*c)->run == completion_run) {
            (void)printf(" \\\n            '1:%s:(", (*c)->name);
            if ((*c)->run == cmd_help.run)
                put_commands();
            else
                (void)printf("bash zsh fish");
            (void)printf(")'");
        }
        if ((*c)->files)
            (void)printf(" \\\n            '*:file:_files'");
        (void)printf("\n        ;;\n");
    }
    (void)printf("    esac\n}\n"
                 "if [ \"$funcstack[1]\" = _%s ]; then _%s \"$@\"\n"
                 "else compdef _%s %s; fi\n",
                 program.name, program.name, program.name, program.name);
}

/* ---- fish ----------------------------------------------------------------------- */

static void fish_flag(const struct command *command, const struct offer *offer)
{
    (void)printf("complete -c %s -n '__fish_seen_subcommand_from %s%s%s' -l %s",
                 program.name, command->name, command->alias ? " " : "",
                 command->alias ? command->alias : "", offer->name);
    if (offer->short_name)
        (void)printf(" -s %c", offer->short_name);
    if (offer->choices) {
        (void)printf(" -x -a '");
        put_spaced(offer->choices);
        (void)printf("'");
    } else if (offer->value) {
        (void)printf(offer->file ? " -r -F" : " -x");
    }
    (void)printf(" -d '");
    for (const char *p = offer->help; *p; p++)
        (void)printf(*p == '\'' || *p == '\\' ? "\\%c" : "%c", *p);
    (void)printf("'\n");
}

static void fish_print(void)
{
    (void)printf("# fish completion for %s\ncomplete -c %s -f\n", program.name,
                 program.name);
    for (const struct command *const *c = program.commands; *c; c++) {
        (void)printf("complete -c %s -n __fish_use_subcommand -a %s -d '%s'\n",
                     program.name, (*c)->name, (*c)->summary);
        if ((*c)->files)
            (void)printf("complete -c %s -n '__fish_seen_subcommand_from %s' -F\n",
                         program.name, (*c)->name);
        each_flag(*c, fish_flag);
    }
    (void)printf("complete -c %s -n '__fish_seen_subcommand_from help' -a '",
                 program.name);
    put_commands();
    (void)printf("'\ncomplete -c %s -n '__fish_seen_subcommand_from completion' "
                 "-a 'bash zsh fish'\n",
                 program.name);
}

/* ---- the command ---------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*print)(void);
} completion_shells[] = {
    {"bash", bash_print}, {"zsh", zsh_print}, {"fish", fish_print}};

int completion_run(const struct args *args)
{
    static const char *const names[] = {"bash", "zsh", "fish", NULL};
    if (args->word_count != 1 || args->tail_count) {
        say("completion: name one shell: bash, zsh or fish");
        return STATUS_OURS;
    }
    for (unsigned i = 0; names[i]; i++) {
        if (!strcmp(args->words[0], names[i])) {
            completion_shells[i].print();
            return finish(0);
        }
    }
    const char *nearest = microvm_nearest(args->words[0], names);
    say("completion: unknown shell '%s'%s%s%s; there are bash, zsh and fish",
        args->words[0], nearest ? ": did you mean '" : "", nearest ? nearest : "",
        nearest ? "'?" : "");
    return STATUS_OURS;
}
