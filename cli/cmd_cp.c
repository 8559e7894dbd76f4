/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm cp: files to a machine and from it, by its agent, as docker cp has it.
 */
#include "bar.h"
#include "cancel.h"
#include "cli.h"
#include "exec.h"
#include "term.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* FAILED: what was asked for cannot be done, as docker has it. */
enum {
    AGENT_MS = 10000,
    QUICK_MS = 500,
    NAME_BYTES = 128,
    SHOWN_BYTES = 200,
    FAILED = 1
};

struct cp {
    struct bar bar;
    bool quiet, catches;
    int signal;
};

/* "NAME:PATH": the path, and the name into `name`. NULL: it is a path here, as all are
 * that begin with a dot or a slash. */
static const char *guest_path(const char *word, char name[NAME_BYTES])
{
    size_t length = strcspn(word, ":/");
    if (word[0] == '.' || word[length] != ':' || length == 0 || length >= NAME_BYTES)
        return NULL;
    memcpy(name, word, length);
    name[length] = '\0';
    return word + length + 1;
}

/* Names are whatever the guest says: nothing in them is for the terminal. */
static void say_skipped(const microvm_copy_news *news)
{
    char shown[SHOWN_BYTES];
    size_t n = 0;
    const char *words[] = {news->path, ": skipped, it is ", news->why};
    for (unsigned i = 0; i < 3; i++) {
        for (const char *c = words[i]; *c && n + 1 < sizeof shown; c++)
            shown[n++] =
                (unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f ? '?' : *c;
    }
    shown[n] = '\0';
    say("cp: %s", shown);
}

static int cp_news(void *user, const microvm_copy_news *news)
{
    struct cp *cp = user;
    if (news->type == MICROVM_COPY_SKIPPED) {
        bar_end(&cp->bar);
        say_skipped(news);
    } else {
        bar_show(&cp->bar, "cp", news->bytes, news->total);
    }
    if (cp->catches && !cp->signal)
        cp->signal = cancel_asked();
    return cp->signal;
}

static int cp_run(struct cp *cp, const char *name, const char *from, const char *to,
                  bool out, microvm_copy *copy)
{
    microvm_error err;
    int fd = exec_connect(name, AGENT_MS, NULL);
    if (fd < 0)
        return STATUS_OURS;
    /* A file that is begun here has to go; in the guest the agent sees to that. */
    cp->catches = out && !(copy->flags & MICROVM_COPY_TAR);
    if (cp->catches && !cancel_catch())
        return STATUS_OURS;
    bar_begin(&cp->bar, cp->quiet || !term_is_terminal(2));
    cp->bar.later_ms = QUICK_MS;
    int rc = out ? microvm_copy_from_on(fd, from, to, copy, &err)
                 : microvm_copy_to_on(fd, from, to, copy, &err);
    bar_end(&cp->bar);
    if (rc && cp->signal)
        return 128 + cp->signal;
    if (rc)
        say("cp: %s", err.message);
    return rc ? FAILED : 0;
}

static bool cp_tar(const char *path, bool out, microvm_copy *copy)
{
    if (strcmp(path, "-") != 0)
        return true;
    copy->flags |= MICROVM_COPY_TAR;
    copy->tar = out ? 1 : 0;
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* the names' in archives, and on disks */
    if (!term_is_terminal((int)copy->tar))
        return true;
    say(out ? "cp: a tar stream is nothing for a terminal: send it to a file or a "
              "program"
            : "cp: a tar stream is nothing that a terminal has: give a file or a "
              "program's output");
    return false;
}

static int cp_command(const struct args *args)
{
    microvm_copy copy = MICROVM_COPY_INIT;
    struct cp cp = {.quiet = args_get(args, "quiet") != NULL};
    char from_name[NAME_BYTES], to_name[NAME_BYTES];
    if (args->word_count != 2 || args->tail_count) {
        say("cp: give a source and a target, as in 'microvm cp notes.txt web:/tmp'");
        return STATUS_OURS;
    }
    const char *here_from = args->words[0], *here_to = args->words[1];
    const char *from = guest_path(here_from, from_name);
    const char *to = guest_path(here_to, to_name);
    if (!from == !to) {
        say(from ? "cp: one side is this computer: copy to it first, or pass a tar "
                   "stream on ('microvm cp A:PATH - | microvm cp - B:PATH')"
                 : "cp: one side is a machine, NAME:PATH; 'microvm ps' lists them");
        return STATUS_OURS;
    }
    copy.news = cp_news;
    copy.user = &cp;
    if (args_get(args, "archive"))
        copy.flags |= MICROVM_COPY_OWNERS;
    if (args_get(args, "follow-link"))
        copy.flags |= MICROVM_COPY_FOLLOW;
    if (!cp_tar(from ? here_to : here_from, from != NULL, &copy))
        return STATUS_OURS;
    return from ? cp_run(&cp, from_name, from, here_to, true, &copy)
                : cp_run(&cp, to_name, here_from, to, false, &copy);
}

static const struct flag cp_flags[] = {
    {"archive", 'a', NULL, "Take owners and set-user-ID bits over"},
    {"follow-link", 'L', NULL, "Copy what a SRC that is a symbolic link leads to"},
    {"quiet", 'q', NULL, "Show no progress"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_cp = {
    .name = "cp",
    .usage = "[-a] [-L] [-q] SRC NAME:DST | NAME:SRC DST",
    .summary = "Copy files to a machine and from it",
    .details =
        "By the agent, as 'microvm exec'. A DST that is a folder gets SRC inside of\n"
        "it, with SRC/. only what is in SRC; a file is replaced by a file; anything\n"
        "else is made, in a folder that exists. A path here with ':' in it begins with\n"
        "/ or ./, paths in machines begin at /. '-' is a tar stream: as SRC its\n"
        "entries go into a folder that exists.\n\n"
        "Modes, times, links and holes are kept; devices, sockets and extended\n"
        "attributes are not copied. Without -a all belongs to root in the machine, to\n"
        "you here.\n\n"
        "Examples:\n"
        "  microvm cp notes.txt web:/tmp\n"
        "  microvm cp site/. web:/srv/www\n"
        "  microvm cp -a web:/etc etc-of-web\n"
        "  tar c src | microvm cp - web:/root\n\n"
        "Exit status: 0; 1 when it cannot be copied, 125 when there is no machine or\n"
        "no agent.\n",
    .flags = cp_flags,
    .words = true,
    .files = true,
    .run = cp_command,
};
