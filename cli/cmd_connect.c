/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm connect: standard input and output joined to a port of the guest (vsock).
 */
#include "cli.h"
#include "named.h"
#include "stream.h"

#include <stdlib.h>

static int connect_run(const struct args *args)
{
    const char *text = args_get(args, "wait");
    char *end = NULL, *wait_end = NULL;
    double seconds = text ? strtod(text, &wait_end) : 0;
    int fd;
    if (args->word_count != 2 || args->tail_count) {
        say("connect: name a machine and a port of it, for example: connect web 1024");
        return STATUS_OURS;
    }
    unsigned long long port = strtoull(args->words[1], &end, 10);
    if (end == args->words[1] || *end || port > UINT32_MAX) {
        say("connect: '%s' is no port: a number up to 4294967295", args->words[1]);
        return STATUS_OURS;
    }
    if (text && (wait_end == text || *wait_end || !(seconds >= 0) || seconds > 60)) {
        say("--wait %s: give seconds, 0 to 60", text);
        return STATUS_OURS;
    }
    json_t *answer = named_ask(args->words[0], "connect",
                               json_pack("{s:I, s:I}", "port", (json_int_t)port,
                                         "timeout_ms", (json_int_t)(seconds * 1000)),
                               &fd);
    if (!answer)
        return STATUS_OURS;
    json_decref(answer);
    return stream_run(&(struct stream){.fd = fd, .input = true}) ? 0 : STATUS_OURS;
}

static const struct flag connect_flags[] = {
    {"wait", 0, "SECONDS", "Wait that long for the guest to listen (default 0)"},
    {NULL, 0, NULL, NULL},
};

const struct command cmd_connect = {
    .name = "connect",
    .usage = "[--wait SECONDS] NAME PORT",
    .summary = "Join standard input and output to a port of a guest",
    .details =
        "The end of standard input is passed on; ends when the guest has closed.\n"
        "The machine needs --vsock.\n\n"
        "Examples:\n"
        "  echo ping | microvm connect web 1025\n"
        "  ssh -o ProxyCommand='microvm connect web 22' root@web\n",
    .flags = connect_flags,
    .words = true,
    .run = connect_run,
};
