/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The machine of a build, by the public API of libmicrovm. Every wait is in short
 * slices, between which the caller is asked whether to go on; whatever goes wrong, the
 * machine ends with mv_guest_free, and the programs that serve it with the machine.
 */
#include "guest.h"

#include "files.h"
#include "util/bytes.h"
#include "util/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICE_MS = 100,
    BOOT_MS = 180000, /* an emulated computer takes a minute */
    END_MS = 60000,   /* for what the guest has not written yet */
    START_MS = 10000, /* for a program to be started */
    TIMEOUT_MS = 30 * 60 * 1000,
    PIECE_BYTES = 16 * 1024,
    WORDS_BYTES = 100 /* of the console, in messages */
};

struct mv_guest {
    microvm *vm;
    intptr_t console; /* -1: none */
    const microvm_image_options *options;
    const struct mv_progress *progress;
    uint64_t deadline_ms, said_bytes;
    char words[WORDS_BYTES]; /* the console's last line, for who asks why it died */
    size_t words_length;
    bool words_new; /* the next byte begins a line */
    char piece[PIECE_BYTES];
};

/* ---- its console ----------------------------------------------------------------- */

static void guest_hear(struct mv_guest *guest, const char *data, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (data[i] == '\n' || data[i] == '\r') {
            guest->words_new = true;
            continue;
        }
        if (guest->words_new)
            guest->words_length = 0;
        guest->words_new = false;
        if (guest->words_length < sizeof guest->words - 1)
            guest->words[guest->words_length++] = data[i];
        guest->words[guest->words_length] = '\0';
    }
}

static void guest_listen(struct mv_guest *guest)
{
    int64_t n;
    while (guest->console != -1 &&
           (n = microvm_console_read(guest->console, guest->piece, sizeof guest->piece,
                                     0, NULL)) > 0)
        guest_hear(guest, guest->piece, (size_t)n);
}

/* Between two slices: the console is kept moving, and the caller asked. */
static int guest_slice(struct mv_guest *guest, microvm_error *err)
{
    guest_listen(guest);
    return mv_progress(guest->progress, "running", guest->said_bytes, 0, err);
}

static int guest_died(struct mv_guest *guest, const char *when, microvm_error *err)
{
    char shown[MV_STR_SHOWN];
    microvm_exit end = MICROVM_EXIT_INIT;
    guest_listen(guest);
    (void)microvm_wait(guest->vm, SLICE_MS, &end, NULL);
    return mv_fail(err, MICROVM_E_NOT_RUNNING, "the machine ended %s: %.80s%s%s", when,
                   end.message, *guest->words ? "; its last words: " : "",
                   mv_str_show(shown, guest->words));
}

/* ---- its beginning --------------------------------------------------------------- */

/* The kernel's word is kept for errors; microvm-init enters the disk (proto/boot.md).
 */
static microvm_config *guest_config(const microvm_image_options *options,
                                    const char *disk)
{
    microvm_config *config = microvm_config_new();
    microvm_disk root = MICROVM_DISK_INIT;
    microvm_vsock vsock = MICROVM_VSOCK_INIT;
    root.path = disk;
    microvm_config_set_kernel(config, options->kernel);
    microvm_config_set_initrd(config, options->initrd);
    microvm_config_set_memory_mb(config, 1024);
    microvm_config_add_disk(config, &root);
    microvm_config_set_vsock(config, &vsock);
    microvm_config_set(config, "rng", "on");
    if (options->no_net) {
        microvm_config_set_cmdline(config,
                                   "quiet microvm.root=/dev/vda microvm.overlay=off");
        return config;
    }
    microvm_config_set_cmdline(config,
                               "quiet microvm.root=/dev/vda microvm.overlay=off "
                               "microvm.net=10.0.2.15/24,10.0.2.2,10.0.2.3");
    microvm_config_set(config, "net", "user");
    if (options->netd)
        microvm_config_set(config, "netd", options->netd);
    return config;
}

/* A connection to the agent, which may have to boot first. */
static int guest_connect(struct mv_guest *guest, intptr_t *out, microvm_error *err)
{
    uint64_t give_up_ms = mv_files_clock_ms() + BOOT_MS;
    microvm_error why;
    for (;;) {
        int rc =
            microvm_connect(guest->vm, MICROVM_AGENT_PORT, 2 * SLICE_MS, out, &why);
        if (!rc)
            return 0;
        if (rc == MICROVM_E_NOT_RUNNING)
            return guest_died(guest, "before it could be used", err);
        rc = guest_slice(guest, err);
        if (rc)
            return rc;
        if (mv_files_clock_ms() >= give_up_ms)
            return mv_fail(
                err, MICROVM_E_TIMEOUT,
                "the machine's agent does not answer: %.120s; its last words "
                "are '%.60s'",
                why.message, guest->words);
    }
}

int mv_guest_start(const microvm_image_options *options, const char *disk,
                   const struct mv_progress *progress, struct mv_guest **out,
                   microvm_error *err)
{
    struct mv_guest *guest = calloc(1, sizeof *guest);
    if (!guest)
        return mv_fail(err, MICROVM_E_NO_MEMORY, "no memory");
    guest->console = -1;
    guest->options = options;
    guest->progress = progress;
    guest->deadline_ms =
        mv_files_clock_ms() + (options->timeout_ms ? options->timeout_ms : TIMEOUT_MS);
    microvm_config *config = guest_config(options, disk);
    microvm_error why;
    guest->vm = microvm_new(config, &why);
    microvm_config_free(config);
    int rc = guest->vm ? 0 : why.code;
    if (!rc)
        rc = microvm_console_open(guest->vm, &guest->console, &why);
    if (!rc)
        rc = microvm_start(guest->vm, &why);
    if (!rc) {
        *out = guest;
        return 0;
    }
    mv_guest_free(guest);
    return mv_fail(err, rc, "what is run in images needs a machine: %.190s",
                   why.message);
}

void mv_guest_free(struct mv_guest *guest)
{
    if (!guest)
        return;
    microvm_free(guest->vm);
    if (guest->console != -1)
        microvm_console_close(guest->console);
    free(guest);
}

/* ---- a command ------------------------------------------------------------------- */

/* Until its output ends. */
static int guest_follow(struct mv_guest *guest, microvm_process *process,
                        const char *what, microvm_error *err)
{
    for (;;) {
        microvm_error why;
        int stream = 0;
        int64_t n = microvm_process_read(process, guest->piece, sizeof guest->piece,
                                         &stream, SLICE_MS, &why);
        if (n == 0)
            return 0;
        if (n > 0) {
            guest->said_bytes += (uint64_t)n;
            if (guest->options->output)
                guest->options->output(guest->options->opaque, stream, guest->piece,
                                       (size_t)n);
        } else if (n != MICROVM_E_TIMEOUT) {
            return guest_died(guest, "while something ran in it", err);
        }
        int rc = guest_slice(guest, err);
        if (rc)
            return rc;
        if (mv_files_clock_ms() >= guest->deadline_ms)
            return mv_fail(err, MICROVM_E_TIMEOUT,
                           "%s: the time for what is run was over before it ended",
                           what);
    }
}

int mv_guest_run(struct mv_guest *guest, const char *what, const char *const *argv,
                 const char *const *env, microvm_error *err)
{
    microvm_command command = MICROVM_COMMAND_INIT;
    microvm_process *process;
    microvm_error why;
    intptr_t connection;
    int rc = guest_connect(guest, &connection, err);
    if (rc)
        return rc;
    command.argv = argv;
    command.env = env;
    rc = microvm_exec_on(connection, &command, START_MS, &process, &why);
    if (rc)
        return mv_fail(err, rc, "%s: %.180s", what, why.message);
    rc = guest_follow(guest, process, what, err);
    int status = microvm_process_status(process);
    microvm_process_free(process);
    if (!rc && status)
        rc = mv_fail(err, MICROVM_E_INVALID, "%s: ended with status %d", what, status);
    return rc;
}

/* ---- its end --------------------------------------------------------------------- */

int mv_guest_end(struct mv_guest *guest, microvm_error *err)
{
    uint64_t give_up_ms = mv_files_clock_ms() + END_MS;
    microvm_error why;
    intptr_t connection;
    int rc = guest_connect(guest, &connection, err);
    if (rc)
        return rc;
    rc = microvm_agent_ask(connection, "shutdown", NULL, START_MS, NULL, &why);
    if (rc)
        return mv_fail(err, rc, "the machine cannot be shut down: %.180s", why.message);
    while ((rc = microvm_wait(guest->vm, SLICE_MS, NULL, &why)) == MICROVM_E_TIMEOUT) {
        rc = guest_slice(guest, err);
        if (rc)
            return rc;
        if (mv_files_clock_ms() >= give_up_ms)
            return mv_fail(err, MICROVM_E_TIMEOUT,
                           "the machine does not end: something in it hangs");
    }
    return rc ? mv_fail(err, rc, "the machine's end: %.180s", why.message) : 0;
}
