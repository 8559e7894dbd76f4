/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm run: makes a machine, stays with it until it ends, and passes its exit status
 * on. Nothing is done before the guest's first instruction that could be done after.
 */
#include "cli.h"
#include "detach.h"
#include "run_command.h"
#include "run_machine.h"
#include "template.h"
#include "term.h"

#include <errno.h>
#ifdef CLI_ONE_ARENA
#include <malloc.h>
#endif
#include <stdio.h>
#include <string.h>

struct run {
    const struct args *args;
    struct run_machine machine;
    bool detach;
    bool command; /* there is one, which the guest's agent runs: with -d as the guest's
                     main command */
    bool has_image;
    struct image image;
    json_t *template; /* NULL: none */
};

static struct image *run_image(struct run *run)
{
    return run->image.file ? &run->image : NULL;
}

/* ---- what the flags mean -------------------------------------------------------- */

/* The template's image serves where nothing else says what is to be started. */
static const char *run_image_word(const struct run *run)
{
    static const char *const instead[] = {"kernel", "image", "rootfs", "config"};
    bool other = false;
    if (run->args->word_count)
        return run->args->words[0];
    for (unsigned i = 0; i < 4; i++)
        other |= args_has(run->args, instead[i]);
    return other ? NULL : json_string_value(json_object_get(run->template, "image"));
}

/* What cli.md promises for later, and what docker users try, is refused in words. */
static bool run_refuse(struct run *run)
{
    const struct args *args = run->args;
    if (args->word_count > 1) {
        say("'%s': write a command behind '--', as in 'microvm run %s -- %s'",
            args->words[1], args->words[0], args->words[1]);
        return true;
    }
    if (!template_from_args(args, &run->template))
        return true;
    const char *image = run_image_word(run);
    if (image) {
        if (!image_open(&run->image, image))
            return true;
        run->has_image = true;
    }
    run->command = args->tail_count || (run->image.file && !run->detach) ||
                   image_has_command(run_image(run), args);
    static const char *const with_command[] = {"env", "workdir", "user", "entrypoint"};
    for (unsigned i = 0; i < 4 && !run->command; i++) {
        if (args_get(args, with_command[i])) {
            say("--%s is for a command: write it behind '--'", with_command[i]);
            return true;
        }
    }
    return run->command && !run_command_check(run_image(run), args);
}

/* -i and -t as docker has them; with neither, a user at a terminal gets both. */
static bool run_decide_input(struct run *run)
{
    bool terminal = term_is_terminal(0);
    bool interactive = args_get(run->args, "interactive") != NULL;
    bool tty = args_get(run->args, "tty") != NULL;
    if (run->detach && (interactive || tty)) {
        say("--detach: there is no terminal behind it; leave -i and -t away, and use "
            "'microvm attach NAME'");
        return false;
    }
    if (run->detach || run->command)
        return true; /* the command's, not the console's */
    if (tty && !terminal) {
        say("--tty: standard input is no terminal; leave -t away, -i alone reads it");
        return false;
    }
    if (!interactive && !tty && terminal && term_is_terminal(1))
        interactive = tty = true;
    run->machine.input = interactive || tty;
    run->machine.raw = tty;
    return true;
}

/* That the file can be written is found out before the guest runs; what stands in it is
 * kept until there is something to write. */
static bool run_open_stats(struct run *run)
{
    const char *path = args_get(run->args, "stats");
    if (!path)
        return true;
    run->machine.stats_path = path;
    run->machine.stats = fopen(path, "a");
    if (!run->machine.stats)
        say("--stats %s: %s", path, strerror(errno));
    return run->machine.stats != NULL;
}

/* ---- the machine ---------------------------------------------------------------- */

/* True in the process that is to have the machine; else *status is this one's. */
static bool run_split(struct run *run, int *status)
{
    char name[NAMED_BYTES];
    bool background = run->detach;
    run->detach = run->machine.detached = background || run->command;
    if (!run->detach)
        return true;
    if (background ? detach(name, sizeof name, status)
                   : detach_for(name, sizeof name, status))
        return true;
    if (!*name) {
        if (run->command && *status == 0)
            say("the guest ended before its agent was there: the command has not run");
        if (run->command && (*status == 0 || *status == STATUS_CRASHED))
            *status = STATUS_OURS; /* those would be the command's */
        return false;
    }
    if (!background)
        *status = run_command(run_image(run), run->args, name);
    else
        *status = run->command ? run_main_command(run_image(run), run->args, name) : 0;
    if (background && *status == 0) {
        (void)puts(name);
        *status = finish(0);
    }
    return false;
}

static int run_here(struct run *run)
{
    int status = STATUS_OURS;
    microvm_config *config =
        settings_from_args(run->args, run->template, run->image.bundle);
    bool ok =
        config && (!run->has_image || image_settings(&run->image, config, run->args));
    if (ok && run->command)
        settings_want_vsock(config);
    if (ok && settings_want_kernel(config))
        status = run_machine(&run->machine, config);
    microvm_config_free(config);
    claim_release(&run->machine.claim);
    if (run->machine.stats)
        (void)fclose(run->machine.stats);
    return status;
}

static int run_run(const struct args *args)
{
#ifdef CLI_ONE_ARENA
    /* No heap of its own for each vCPU's thread: the machine's threads allocate next to
     * nothing, and making one costs more system calls than it will ever save. */
    (void)mallopt(M_ARENA_MAX, 1);
#endif
    struct run run = {.args = args,
                      .machine = {.quiet = args_get(args, "quiet") != NULL,
                                  .verbose = args_get(args, "verbose") != NULL,
                                  .claim = CLAIM_NONE},
                      .detach = args_get(args, "detach") != NULL};
    int status = STATUS_OURS;
    if (!run_refuse(&run) && run_decide_input(&run) && run_open_stats(&run) &&
        run_split(&run, &status))
        status = run_here(&run);
    image_close(&run.image);
    json_decref(run.template);
    return status;
}

static const struct flag run_flags[] = {
    {"template", 0, "NAME",
     "A kind of machine: VpnGateway, DevEnvironment, Sandbox, AiAgent, or a file of your "
     "own; whatever else is said wins"},
    {"config", 0, "FILE",
     "Read settings from a JSON file, - is standard input; flags beside it win"},
    {"interactive", 'i', NULL, "Pass standard input to the guest's console"},
    {"tty", 't', NULL,
     "Give the terminal to the guest. Without -i and -t, on a terminal, both are the "
     "default; Ctrl-] Ctrl-] stops the machine and leaves"},
    {"detach", 'd', NULL,
     "Run in the background; prints the machine's name when it runs, and COMMAND in it"},
    {"allow", 0, "TARGET",
     "The user network leads to this NAME, *.NAME or CIDR, with :PORT and /udp or "
     "without; the first of all --allow and --deny that matches decides, and with any "
     "--allow the rest is denied"},
    {"deny", 0, "TARGET", "The user network does not lead there"},
    {"stats", 0, "FILE", "Write counters as JSON at the end"},
    {"env", 'e', "NAME=VALUE", "For COMMAND: set a variable; repeatable"},
    {"workdir", 'w', "DIR", "For COMMAND: run it there; / without"},
    {"user", 'u', "USER[:GROUP]", "For COMMAND: run it as that user; root without"},
    {"entrypoint", 0, "PROGRAM",
     "With an IMAGE: what COMMAND is given to, instead of the image's own; \"\" for none"},
    {"rm", 0, NULL, "Accepted and the default: nothing of a run stays behind"},
    {"quiet", 'q', NULL, "Say nothing but errors"},
    {"verbose", 0, NULL, "Show the log of the machine"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_run = {
    .name = "run",
    .usage = "[OPTIONS] [IMAGE] [-- COMMAND [ARG...]]",
    .summary = "Start a machine and stay with it until it ends",
    .details =
        "Examples:\n"
        "  microvm run --kernel vmlinuz --initrd initrd.img\n"
        "  microvm run -k vmlinuz --rootfs debian.img -m 1G -c 2 --timeout 5m\n"
        "  microvm run -k vmlinux --initrd i.cpio --cmdline quiet --disk data.img,ro\n"
        "  microvm run --config vm.json --memory 2G --stats stats.json\n"
        "  microvm run -d --name web -k vmlinuz --rootfs web.img; microvm logs -f web\n"
        "  microvm run --initrd guest.cpio -- uname -a\n"
        "  microvm run guest.img -- sh -c 'cat /etc/os-release'\n"
        "  microvm run docker.io/library/alpine:3.19 -- cat /etc/os-release\n\n"
        "An IMAGE is a file that microvm-build wrote, or any with a root file system\n"
        "that the kernel can mount; a folder or tar archive of one; a bundle, a folder\n"
        "with a config.json whose paths are in it; else an image of a registry, which is\n"
        "pulled where the cache has it not. It is only read: what the guest writes lies\n"
        "in its memory and ends with it. The network is --net user. Without COMMAND the\n"
        "image's own is run.\n\n"
        "With a COMMAND the guest's agent (microvm-init) runs it, as 'microvm exec'\n"
        "does, and the machine ends with it; -i and -t are the command's then, and\n"
        "'microvm logs' shows the console. With -d the console is the command's, so\n"
        "'microvm logs' shows what it says, and 'microvm wait' how it ended.\n\n"
        "Without --kernel the default kernel is started: $MICROVM_KERNEL, what\n"
        "'microvm-build kernel' made, or the installed one.\n\n"
        "Standard output is the guest's console alone; microvm's own words go to\n"
        "standard error. On a terminal all keys go to the guest, Ctrl-C too.\n"
        "Otherwise Ctrl-C presses the power button, and a second one stops the\n"
        "machine at once.\n\n"
        "Exit status (that of COMMAND where there is one, or of the command that the\n"
        "kernel handed to microvm-init, with --vsock):\n"
        "  0    the guest powered off or rebooted\n"
        "  1    the guest's kernel panicked or crashed\n"
        "  124  the time limit was reached\n"
        "  125  a wrong flag, or a failure that is not the guest's\n"
        "  137  the machine was stopped\n",
    .flags = run_flags,
    .machine_flags = true,
    .words = true,
    .run = run_run,
};
