/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A machine inside an application, in as few lines as it takes:
 * embed KERNEL [INITRD] boots it and copies its console to standard output.
 */
#include <microvm/microvm.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    microvm_error err = {0};
    microvm_exit end = MICROVM_EXIT_INIT;
    intptr_t console = -1;
    char text[4096];
    int64_t length;
    int rc;

    microvm_config *config = microvm_config_new();
    microvm_config_set_kernel(config, argc > 1 ? argv[1] : "vmlinuz");
    if (argc > 2)
        microvm_config_set_initrd(config, argv[2]);
    microvm_config_set_memory_mb(config, 256);
    microvm *vm = microvm_new(config, &err);
    microvm_config_free(config);

    rc = vm ? microvm_console_open(vm, &console, &err) : err.code;
    if (!rc)
        rc = microvm_start(vm, &err);
    while (!rc && (length = microvm_console_read(console, text, sizeof text,
                                                 MICROVM_FOREVER, &err)) > 0) {
        (void)fwrite(text, 1, (size_t)length, stdout);
        (void)fflush(stdout);
    }
    if (!rc)
        rc = microvm_wait(vm, MICROVM_FOREVER, &end, &err);
    if (rc)
        fprintf(stderr, "embed: %s\n", err.message);
    if (console != -1)
        microvm_console_close(console);
    microvm_free(vm);
    return rc ? 125 : end.code;
}
