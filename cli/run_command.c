/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * `microvm run ... -- COMMAND`. The machine runs in a process of its own, as with -d,
 * but no longer than this one; this one is `microvm exec` in it, and shuts it down.
 */
#include "run_command.h"

#include "detach.h"
#include "exec.h"
#include "named.h"
#include "term.h"

#include <stdlib.h>

/* For a guest to boot up to its agent, and to end after its command has. */
enum { BOOT_MS = 60000, END_MS = 8000 };
/* For its process to say how it ended, when the command's connection has. */
enum { GONE_MS = 3000 };

/* Without a command, on a terminal, a user wants to talk to what the image starts. */
static bool command_compose(struct exec *exec, struct image *image,
                            const struct args *args)
{
    bool asked = args_get(args, "interactive") || args_get(args, "tty") ||
                 args_get(args, "detach");
    return exec_from_args(exec, args) &&
           (args->tail_count || asked || !term_is_terminal(0) || !term_is_terminal(1) ||
            exec_streams(exec, true, true)) &&
           (!image || image_command(image, exec, args));
}

bool run_command_check(struct image *image, const struct args *args)
{
    struct exec exec = {.command = MICROVM_COMMAND_INIT};
    bool fits = command_compose(&exec, image, args);
    free(exec.env);
    if (image)
        image_lists_free(image);
    return fits;
}

/* The agent is asked, for not every guest has a power button. */
void run_command_end(const char *name)
{
    microvm_error err;
    int fd = exec_connect(name, END_MS, NULL);
    if (fd >= 0 && microvm_agent_ask(fd, "shutdown", NULL, END_MS, NULL, &err))
        say_error(&err);
    json_decref(named_ask(name, fd >= 0 ? "wait" : "stop",
                          json_pack("{s:i}", "timeout_ms", END_MS), NULL));
}

int run_command(struct image *image, const struct args *args, const char *name)
{
    microvm_error cut = {.code = 0};
    struct exec exec = {
        .command = MICROVM_COMMAND_INIT, .wait_ms = BOOT_MS, .cut = &cut};
    int status = STATUS_OURS;
    if (command_compose(&exec, image, args)) {
        int fd = exec_connect(name, exec.wait_ms, &cut);
        if (fd >= 0)
            status = exec_run(&exec, fd);
        int ended = status == STATUS_OURS ? detach_ended(GONE_MS) : -1;
        /* A time limit, a crash, which it has said: that is why. One that a signal has
         * killed (128 and more) could say nothing. */
        if (cut.code && (ended <= 0 || ended > 128))
            say_error(&cut);
        if (ended > 0 &&
            (fd >= 0 || ended != STATUS_CRASHED)) /* 1 is a command's, too */
            status = ended;
        if (fd >= 0 && ended <= 0) /* else it has ended, or does with this process */
            run_command_end(name);
    }
    free(exec.env);
    return status;
}

int run_main_command(struct image *image, const struct args *args, const char *name)
{
    struct exec exec = {.command = MICROVM_COMMAND_INIT, .wait_ms = BOOT_MS};
    microvm_error err;
    int status = STATUS_OURS;
    int fd =
        command_compose(&exec, image, args) ? exec_connect(name, BOOT_MS, NULL) : -1;
    if (fd >= 0 && microvm_main_on(fd, &exec.command, BOOT_MS, &err))
        status = exec_refused(&err);
    else if (fd >= 0)
        status = 0;
    if (status)
        json_decref(named_try(name, "kill", NULL, NULL, NULL));
    free(exec.env);
    return status;
}
