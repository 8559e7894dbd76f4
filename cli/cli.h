/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the commands of `microvm` and of `microvm-build` share. A command is one file,
 * cmd_NAME.c, with a struct command at its end; main.c and build/main.c list them.
 * Commands know the public headers and nothing else of the libraries.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <microvm/microvm.h>

#include <jansson.h>

#include <stdbool.h>

/* Exit statuses, docker's: of both programs. */
enum {
    STATUS_CRASHED = 1, /* the guest has, or its kernel has panicked */
    STATUS_TIME_LIMIT = 124,
    STATUS_OURS = 125 /* a bad flag, or a failure that is not the guest's */
};

/* A flag of a command that is not a setting of the machine. */
struct flag {
    const char *name;
    char short_name;   /* or 0 */
    const char *value; /* "FILE"; NULL: takes none */
    const char *help;
};

/* One use of a flag on the command line, in order. Either own or key is set. */
struct flag_use {
    const struct flag *own;
    const microvm_key *key;
    const char *value; /* NULL: none was given */
};

struct args {
    struct flag_use *uses;
    int use_count;
    char **words; /* what is no flag: IMAGE */
    int word_count;
    char **tail; /* after "--": COMMAND ARG... */
    int tail_count;
};

struct command {
    const char *name;
    const char *alias;        /* another name, or NULL */
    const char *usage;        /* what follows the name */
    const char *summary;      /* one line */
    const char *details;      /* the rest of the help text: lines, may be NULL */
    const struct flag *flags; /* ends with a name of NULL */
    bool machine_flags;       /* takes the settings' flags too */
    bool words;               /* takes words that are no flags, and "-- COMMAND" */
    bool files;               /* which are names of files, among others */
    bool command_words;       /* what follows the first of them is the tail as it is */
    /* Returns the exit status. --help has been seen to. */
    int (*run)(const struct args *args);
};

/* A program: microvm, or microvm-build. */
/* A program: microvm, or microvm-build. */
struct program {
    const char *name;
    const char *usage;                     /* what follows the name */
    const char *summary;                   /* lines */
    const char *hint;                      /* what else can tell more: lines */
    const struct command *const *commands; /* all of them, ends with NULL */
    const struct command *chief;           /* whose flags' values a shell completes */
    bool implied; /* the chief is meant where no command is named */
};

/* The one that this is. */
extern const struct program program;

extern const struct command cmd_run, cmd_ps, cmd_stop, cmd_kill, cmd_pause, cmd_resume,
    cmd_exec, cmd_shell, cmd_cp, cmd_logs, cmd_attach, cmd_port, cmd_net, cmd_connect,
    cmd_socks, cmd_limit, cmd_inspect, cmd_stats, cmd_info, cmd_config, cmd_version,
    cmd_help, cmd_images, cmd_vpn, cmd_pull, cmd_rmi, cmd_prune, cmd_wait;
/* Of a command that each program has with words of its own: cmd_completion.c. */
int completion_run(const struct args *args);

/* ---- program.c ------------------------------------------------------------------ */

/* By name or alias; else NULL, after an error that names the nearest. */
const struct command *command_find(const char *name);
/* The exit status. */
int program_main(int argc, char **argv);

/* ---- flags.c -------------------------------------------------------------------- */

enum { FLAGS_MAX = 64 };

extern const struct flag flag_help;
/* Splits argv[1..]; false after an error message. *args is to be freed either way. */
bool args_parse(struct args *args, const struct command *command, int argc,
                char **argv);
void args_free(struct args *args);
/* The last use of a flag; its value, "" when it takes none; NULL: not given. */
const char *args_get(const struct args *args, const char *name);
/* It was given, also a setting of the machine. */
bool args_has(const struct args *args, const char *name);

/* ---- settings.c ----------------------------------------------------------------- */

/* The machine that the flags describe: the template (NULL: none), the bundle's folder
 * (NULL: none) and --config files first, then the other flags over them. NULL after an
 * error message. */
microvm_config *settings_from_args(const struct args *args, const json_t *template,
                                   const char *bundle);
/* What is not as by default, as JSON, the caller's; NULL: no memory. */
json_t *settings_json(const microvm_config *config);
/* The machine's name, "" when it has none. */
void settings_name(const microvm_config *config, char *name, size_t size);
/* The default kernel, where none is named but something for it to start. False after
 * a message, where there is none. */
bool settings_want_kernel(microvm_config *config);
/* A socket device, where nobody has said anything of one. */
void settings_want_vsock(microvm_config *config);
/* The forwards that it begins with: an array, the caller's. */
json_t *settings_ports(const microvm_config *config);
/* Says err; a message about a setting gets the "--" of its flag. */
void say_error(const microvm_error *err);

/* ---- say.c ---------------------------------------------------------------------- */

/* printf, or gnu_printf where the C library has its own: meson.build knows. */
#ifndef CLI_PRINTF
#define CLI_PRINTF printf
#endif

/* One line to standard error, after the program's name. Whole lines only, so that lines
 * of several threads do not mix. */
void say(const char *format, ...) __attribute__((format(CLI_PRINTF, 1, 2)));
/* Error flushing standard output is a failure: status, or STATUS_OURS. */
int finish(int status);
/* A JSON string to standard output, quotes included. */
void put_json_string(const char *text);
/* May standard output have colours? (NO_COLOR, TERM=dumb, no terminal) */
bool colours(void);

/* ---- help.c --------------------------------------------------------------------- */

void help_command(const struct command *command);
void help_all(void);

#endif
