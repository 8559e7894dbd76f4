/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine from its name to its exit status.
 */
#include "run_machine.h"

#include "cli.h"
#include "detach.h"
#include "relay.h"
#include "term.h"

#include <errno.h>
#include <string.h>

/* ---- the end -------------------------------------------------------------------- */

static int run_write_stats(struct run_machine *run, microvm *vm)
{
    char *text = microvm_stats_json(vm);
    run->stats = freopen(run->stats_path, "w", run->stats);
    bool bad = !text || !run->stats || fputs(text, run->stats) < 0;
    microvm_string_free(text);
    bad |= run->stats && fclose(run->stats) != 0;
    run->stats = NULL;
    if (bad)
        say("--stats %s: writing failed", run->stats_path);
    return bad ? STATUS_OURS : 0;
}

static int run_status(const struct run_machine *run, microvm *vm)
{
    microvm_exit end = MICROVM_EXIT_INIT;
    microvm_error err;
    if (microvm_wait(vm, MICROVM_FOREVER, &end, &err)) {
        say_error(&err);
        return STATUS_OURS;
    }
    bool orderly =
        end.reason == MICROVM_EXIT_POWER_OFF || end.reason == MICROVM_EXIT_RESET;
    if (end.reason == MICROVM_EXIT_FAILED || (!orderly && !run->quiet))
        say("%s", end.message);
    return end.code;
}

/* ---- the machine ---------------------------------------------------------------- */

static int run_relay(struct run_machine *run, microvm *vm)
{
    struct relay relay = {.vm = vm,
                          .config = run->config,
                          .claim = &run->claim,
                          .console = -1,
                          .input = run->input,
                          .output = !run->detached,
                          .quiet = run->quiet,
                          .life = detach_life(),
                          .running = run->detached ? detach_running : NULL};
    microvm_error err;
    int rc = microvm_console_open(vm, &relay.console, &err);
    if (rc && rc != MICROVM_E_UNSUPPORTED) { /* console=none has none */
        say_error(&err);
        return STATUS_OURS;
    }
    int status = STATUS_OURS;
    if (relay_run(&relay))
        status = run_status(run, vm);
    term_restore();
    if (relay.console != -1)
        microvm_console_close(relay.console);
    if (run->stats && run_write_stats(run, vm))
        status = STATUS_OURS;
    return status;
}

static void run_log(void *user, int level, const char *text)
{
    static const char *const names[] = {"", "error: ", "warning: ", "", "debug: "};
    (void)user;
    say("%s%s", level >= 0 && level <= MICROVM_LOG_DEBUG ? names[level] : "", text);
}

/* A name that the user gave is claimed before anything else is done; another one when
 * there is time. */
static bool run_claim(struct run_machine *run, const microvm_config *config)
{
    char name[NAMED_BYTES];
    settings_name(config, name, sizeof name);
    return !*name || claim_name(&run->claim, name);
}

int run_machine(struct run_machine *run, microvm_config *config)
{
    microvm_error err;
    run->config = config;
    if (!run_claim(run, config))
        return STATUS_OURS;
    if (!run->quiet || run->verbose)
        microvm_config_set_log(config, run_log, NULL,
                               run->verbose ? MICROVM_LOG_DEBUG : MICROVM_LOG_WARNING);
    if (run->raw && !term_make_raw()) {
        say("--tty: the terminal cannot be made raw: %s", strerror(errno));
        return STATUS_OURS;
    }
    microvm *vm = microvm_new(config, &err);
    if (!vm) {
        term_restore();
        say_error(&err);
        if (err.code == MICROVM_E_NO_HYPERVISOR)
            say("'microvm info' says what works on this computer");
        return STATUS_OURS;
    }
    int status = run_relay(run, vm);
    microvm_free(vm);
    return status;
}
