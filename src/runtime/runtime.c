/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The runtime's machine and its life.
 */
#include "runtime/runtime.h"

#include "os/file.h"
#include "util/bytes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct microvm_runtime {
    microvm *vm;
    microvm_client *client; /* one of its clients, kept for the door that they share */
    struct mv_console *console;
};

enum { BACKENDS = 8, MEMORY_MIB = 512 };

const char *microvm_hypervisor_name(void)
{
    static const struct {
        const char *name, *shown;
    } names[] = {{"kvm", "KVM"}, {"hvf", "HVF"}, {"whp", "WHP"}, {"wsl", "WSL2"}};
    microvm_backend backend[BACKENDS];
    for (unsigned i = 0; i < BACKENDS; i++)
        backend[i].size = sizeof backend[i];
    unsigned count = microvm_probe(backend, BACKENDS);
    for (unsigned i = 0; i < count && i < BACKENDS; i++) {
        for (unsigned n = 0; backend[i].usable && n < sizeof names / sizeof names[0];
             n++) {
            if (!strcmp(backend[i].name, names[n].name))
                return names[n].shown;
        }
    }
    return "none";
}

/* The application's own words for what its users meet most. */
static int check_kernel(const microvm_runtime_config *config, microvm_error *err)
{
    const char *path = config->kernel_path;
    if ((!path || !path[0]) && config->machine)
        return 0; /* that has one, or is refused */
    if (!path || !path[0])
        return mv_fail(err, MICROVM_E_INVALID, "Kernel image not found");
    struct mv_file file = MV_FILE_CLOSED;
    microvm_error why;
    int rc = mv_file_open(&file, "kernel", path, 0, &why);
    mv_file_close(&file);
    if (rc && why.os_code == ENOENT)
        return mv_fail(err, MICROVM_E_IO, "Kernel not found at: %s", path);
    return rc ? mv_fail_again(err, &why) : 0;
}

static microvm *machine_new(const microvm_runtime_config *from, microvm_error *err)
{
    microvm_config *config =
        from->machine ? microvm_config_copy(from->machine) : microvm_config_new();
    microvm_vsock vsock = MICROVM_VSOCK_INIT;
    if (!config) {
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "runtime: no memory");
        return NULL;
    }
    vsock.cid = from->guest_cid;
    if (from->kernel_path && from->kernel_path[0])
        microvm_config_set_kernel(config, from->kernel_path);
    if (from->memory_mb || !from->machine)
        microvm_config_set_memory_mb(config,
                                     from->memory_mb ? from->memory_mb : MEMORY_MIB);
    if (from->guest_cid || !from->machine)
        microvm_config_set_vsock(config, &vsock);
    if (from->initrd_path && from->initrd_path[0])
        microvm_config_set_initrd(config, from->initrd_path);
    if (from->cmdline)
        microvm_config_set_cmdline(config, from->cmdline);
    microvm *vm = microvm_new(config, err);
    microvm_config_free(config);
    return vm;
}

microvm_runtime *microvm_runtime_new(const microvm_runtime_config *given,
                                     microvm_client **client, microvm_error *err)
{
    microvm_runtime_config config = MICROVM_RUNTIME_CONFIG_INIT;
    if (!given || !client || given->size < offsetof(microvm_runtime_config, machine)) {
        (void)mv_fail(
            err, MICROVM_E_INVALID,
            "runtime: the config or the client is NULL, or the config was not "
            "made with MICROVM_RUNTIME_CONFIG_INIT");
        return NULL;
    }
    memcpy(&config, given, MV_MIN((size_t)given->size, sizeof config));
    if (check_kernel(&config, err))
        return NULL;
    microvm_runtime *runtime = calloc(1, sizeof *runtime);
    if (!runtime) {
        (void)mv_fail(err, MICROVM_E_NO_MEMORY, "runtime: no memory");
        return NULL;
    }
    runtime->vm = machine_new(&config, err);
    if (runtime->vm)
        runtime->client = mv_client_new(runtime->vm, err);
    if (runtime->client)
        runtime->console = mv_console_new(config.console_history, err);
    microvm_client *theirs = NULL;
    if (runtime->console)
        theirs = microvm_client_clone(runtime->client);
    if (!theirs) {
        microvm_runtime_free(runtime);
        return NULL;
    }
    *client = theirs;
    return runtime;
}

int microvm_runtime_spawn(microvm_runtime *runtime, microvm_error *err)
{
    int rc = mv_console_start(runtime->console, runtime->vm, err);
    return rc ? rc : microvm_start(runtime->vm, err);
}

int microvm_runtime_is_running(microvm_runtime *runtime)
{
    microvm_state state = microvm_get_state(runtime->vm);
    return state != MICROVM_CREATED && state != MICROVM_STOPPED &&
           state != MICROVM_FAILED;
}

int microvm_runtime_shutdown(microvm_runtime *runtime, int64_t timeout_ms,
                             microvm_error *err)
{
    if (!microvm_runtime_is_running(runtime))
        return 0;
    int rc = microvm_shutdown(runtime->vm, timeout_ms, err);
    if (rc && !microvm_runtime_is_running(runtime))
        return 0; /* it went meanwhile */
    if (rc)
        microvm_runtime_kill(runtime);
    return rc;
}

void microvm_runtime_kill(microvm_runtime *runtime)
{
    (void)microvm_kill(runtime->vm, NULL);
}

int microvm_runtime_wait(microvm_runtime *runtime, int64_t timeout_ms,
                         microvm_exit *out, microvm_error *err)
{
    return microvm_wait(runtime->vm, timeout_ms, out, err);
}

microvm *microvm_runtime_machine(microvm_runtime *runtime)
{
    return runtime->vm;
}

microvm_subscriber *microvm_runtime_subscribe(microvm_runtime *runtime, size_t history,
                                              microvm_error *err)
{
    return mv_console_subscribe(runtime->console, history, err);
}

int microvm_runtime_input(microvm_runtime *runtime, const void *data, size_t length,
                          int64_t timeout_ms, microvm_error *err)
{
    return mv_console_input(runtime->console, data, length, timeout_ms, err);
}

void microvm_runtime_free(microvm_runtime *runtime)
{
    if (!runtime)
        return;
    if (runtime->vm)
        (void)microvm_kill(runtime->vm, NULL);
    mv_client_shut(runtime->client);
    microvm_client_free(runtime->client);
    mv_console_end(runtime->console);
    microvm_free(runtime->vm);
    free(runtime);
}
