/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The console of a machine that runs elsewhere: logs shows what it has said, attach
 * takes part.
 */
#include "cli.h"
#include "named.h"
#include "stream.h"
#include "term.h"

static bool one_name(const struct args *args, const char *command)
{
    if (args->word_count == 1 && !args->tail_count)
        return true;
    say("%s: name one machine; 'microvm ps' lists them", command);
    return false;
}

static int logs_run(const struct args *args)
{
    int fd;
    bool follow = args_get(args, "follow") != NULL;
    if (!one_name(args, "logs"))
        return STATUS_OURS;
    json_t *answer = named_ask(args->words[0], "logs",
                               json_pack("{s:b}", "follow", (int)follow), &fd);
    if (!answer)
        return STATUS_OURS;
    json_decref(answer);
    return stream_run(&(struct stream){.fd = fd}) ? 0 : STATUS_OURS;
}

static void attach_resize(const char *name)
{
    uint16_t columns, rows;
    if (!term_size(&columns, &rows))
        return;
    json_decref(named_ask(
        name, "resize",
        json_pack("{s:i, s:i}", "columns", (int)columns, "rows", (int)rows), NULL));
}

static int attach_run(const struct args *args)
{
    int fd;
    if (!one_name(args, "attach"))
        return STATUS_OURS;
    json_t *answer = named_ask(args->words[0], "attach", NULL, &fd);
    if (!answer)
        return STATUS_OURS;
    json_decref(answer);
    bool terminal = term_is_terminal(0) && term_is_terminal(1);
    attach_resize(args->words[0]);
    if (terminal && !term_make_raw()) {
        say("the terminal cannot be made raw");
        return STATUS_OURS;
    }
    struct stream stream = {.fd = fd, .input = true, .escape = terminal};
    bool ok = stream_run(&stream);
    term_restore();
    return ok ? 0 : STATUS_OURS;
}

static const struct flag logs_flags[] = {
    {"follow", 'f', NULL, "Go on until the machine ends"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_logs = {
    .name = "logs",
    .usage = "[-f] NAME",
    .summary = "Show what a machine's console has said",
    .details = "The last megabyte of a machine in the background, 64 KiB of one that\n"
               "somebody looks at anyway.\n\n"
               "Examples:\n"
               "  microvm logs -f web\n",
    .flags = logs_flags,
    .words = true,
    .run = logs_run,
};

const struct command cmd_attach = {
    .name = "attach",
    .usage = "NAME",
    .summary = "Take part in a machine's console",
    .details = "Ctrl-] Ctrl-] leaves; the machine goes on.\n\n"
               "Examples:\n"
               "  microvm attach web\n"
               "  echo reboot | microvm attach web\n",
    .words = true,
    .run = attach_run,
};
