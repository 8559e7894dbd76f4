/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Watching the library at work.
 */
#include "watch.h"

#include "child.h"
#include "cli.h"
#include "signals.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum { STATUS_SIGNAL = 128 };

static int watch_progress(void *opaque, const char *what, uint64_t done, uint64_t total)
{
    struct watch *watch = opaque;
    int number;
    while ((number = signals_next())) {
        if (number == SIGTSTP) {
            (void)raise(SIGSTOP);
        } else if (number != SIGWINCH) {
            watch->signal = number;
            return 1;
        }
    }
    bar_show(&watch->bar, what, done, total);
    return 0;
}

/* ---- what commands in images say ------------------------------------------------- */

static void watch_line(struct watch *watch)
{
    bar_end(&watch->bar);
    (void)fprintf(stderr, "%.*s\n", (int)watch->line_length, watch->line);
    watch->line_length = 0;
}

/* Whole lines, both streams in the order in which they come; longer ones in pieces. A
 * stranger's program shall not reach our terminal's controls. */
static void watch_output(void *opaque, int stream, const char *data, size_t length)
{
    struct watch *watch = opaque;
    (void)stream;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)data[i];
        if (byte != '\n' && byte != '\r')
            watch->line[watch->line_length++] =
                (char)(byte < ' ' || byte == 0x7f ? ' ' : byte);
        if (byte == '\n' || watch->line_length == sizeof watch->line)
            watch_line(watch);
    }
}

/* ---- credentials ----------------------------------------------------------------- */

static int watch_helper(void *opaque, const char *name, const char *server,
                        char *answer, size_t size)
{
    struct watch *watch = opaque;
    char program_name[128];
    const char *argv[] = {program_name, "get", NULL};
    int length =
        snprintf(program_name, sizeof program_name, "docker-credential-%s", name);
    bar_end(&watch->bar); /* it may ask something */
    if (length >= (int)sizeof program_name)
        return -1;
    return child_ask(argv, server, answer, size, &watch->signal);
}

/* ---- beginning and end ----------------------------------------------------------- */

/* Where docker keeps its credentials. */
static bool watch_docker_config(char path[PLACE_BYTES])
{
    const char *folder = getenv("DOCKER_CONFIG"), *home = getenv("HOME");
    int length = -1;
    if (folder && *folder)
        length = snprintf(path, PLACE_BYTES, "%s/config.json", folder);
    else if (home && *home)
        length = snprintf(path, PLACE_BYTES, "%s/.docker/config.json", home);
    return length > 0 && length < PLACE_BYTES;
}

bool watch_begin(struct watch *watch, bool quiet)
{
    const microvm_image_options options = MICROVM_IMAGE_OPTIONS_INIT;
    watch->options = options;
    watch->signal = 0;
    if (place_in_cache("images", watch->cache))
        watch->options.cache = watch->cache;
    if (watch_docker_config(watch->docker_config))
        watch->options.docker_config = watch->docker_config;
    watch->options.progress = watch_progress;
    watch->options.opaque = watch;
    watch->options.helper = watch_helper;
    watch->options.output = quiet ? NULL : watch_output;
    watch->line_length = 0;
    bar_begin(&watch->bar, quiet);
    return signals_catch();
}

int watch_end(struct watch *watch, int rc, const microvm_error *err)
{
    bar_end(&watch->bar);
    if (watch->line_length)
        watch_line(watch);
    if (!rc)
        return 0;
    if (watch->signal) {
        say("cancelled; nothing was written");
        return STATUS_SIGNAL + watch->signal;
    }
    say("%s", err->message);
    return STATUS_OURS;
}
