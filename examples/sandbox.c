/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Code that nobody trusts, in a machine of its own:
 *
 *     sandbox TEMPLATES KERNEL INITRD IMAGE COMMAND [ARGUMENT...]
 *
 * starts one as the template "Sandbox" of the folder TEMPLATES says (256 MiB, no
 * network), with the root file system in IMAGE, and runs the command in it for at most
 * ten seconds. INITRD has microvm-init in it, share/microvm/microvm-init.cpio. Its
 * output and its exit status are the command's.
 */
#include <microvm/microvm.h>
#include <stdio.h>

enum { BOOT_MS = 60000, COMMAND_MS = 10000, FAILED = 125 };

static microvm *sandbox_new(char **argv, microvm_error *err)
{
    const char *folders[] = {argv[1], NULL};
    microvm_vsock vsock = MICROVM_VSOCK_INIT; /* by which its agent is reached */
    microvm_config *config = microvm_config_new();
    microvm *vm = NULL;
    if (!microvm_config_load_template(config, "Sandbox", folders, err)) {
        microvm_config_set_kernel(config, argv[2]);
        microvm_config_set_initrd(config, argv[3]);
        microvm_config_set(config, "image", argv[4]);
        microvm_config_set_vsock(config, &vsock);
        vm = microvm_new(config, err);
    }
    microvm_config_free(config);
    return vm;
}

static int sandbox_run(microvm *vm, char **argv, microvm_error *err)
{
    microvm_command command = MICROVM_COMMAND_INIT;
    microvm_process *process;
    char data[4096];
    int64_t n;
    int stream, status;

    command.argv = (const char *const *)argv;
    command.timeout_ms = COMMAND_MS;
    if (microvm_exec(vm, &command, BOOT_MS, &process, err))
        return FAILED;
    while ((n = microvm_process_read(process, data, sizeof data, &stream,
                                     MICROVM_FOREVER, err)) > 0)
        (void)fwrite(data, 1, (size_t)n, stream == 2 ? stderr : stdout);
    status = n < 0 ? FAILED : microvm_process_status(process);
    microvm_process_free(process);
    return status;
}

int main(int argc, char **argv)
{
    microvm_error err = {0};
    int status = FAILED;

    if (argc < 6) {
        fprintf(stderr,
                "usage: sandbox TEMPLATES KERNEL INITRD IMAGE COMMAND [ARGUMENT...]\n");
        return FAILED;
    }
    microvm *vm = sandbox_new(argv, &err);
    if (vm && !microvm_start(vm, &err))
        status = sandbox_run(vm, argv + 5, &err);
    if (err.code)
        fprintf(stderr, "sandbox: %s\n", err.message);
    microvm_free(vm); /* and with it all that the command has left */
    return status;
}
