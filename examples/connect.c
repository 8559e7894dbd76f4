/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Talks with a service of the guest: connect KERNEL INITRD PORT TEXT boots the guest,
 * waits until it listens on that vsock port, sends TEXT and prints what comes back
 * until the guest closes.
 */
#include <microvm/microvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAIT_MS = 60000 };

/* The connection is an ordinary socket; these two calls are read and write with a
 * deadline, the same on every system. */
static int talk(intptr_t s, const char *text, microvm_error *err)
{
    char answer[4096];
    int64_t n = 0;
    for (size_t left = strlen(text); left > 0 && n >= 0; left -= (size_t)n) {
        n = microvm_console_write(s, text, left, WAIT_MS, err);
        text += n > 0 ? n : 0;
        if (n < 0)
            break;
    }
    while (n >= 0 &&
           (n = microvm_console_read(s, answer, sizeof answer, WAIT_MS, err)) > 0)
        (void)fwrite(answer, 1, (size_t)n, stdout);
    return (int)n;
}

int main(int argc, char **argv)
{
    microvm_vsock vsock = MICROVM_VSOCK_INIT;
    microvm_error err = {0};
    intptr_t s;
    int rc;

    if (argc != 5) {
        fprintf(stderr, "usage: connect KERNEL INITRD PORT TEXT\n");
        return 125;
    }
    microvm_config *config = microvm_config_new();
    microvm_config_set_kernel(config, argv[1]);
    microvm_config_set_initrd(config, argv[2]);
    microvm_config_set_memory_mb(config, 256);
    microvm_config_set_cmdline(config, "quiet -- vsock-serve");
    microvm_config_set_vsock(config, &vsock);
    microvm *vm = microvm_new(config, &err);
    microvm_config_free(config);

    rc = vm ? microvm_start(vm, &err) : err.code;
    if (!rc)
        rc = microvm_connect(vm, (uint32_t)strtoul(argv[3], NULL, 10), WAIT_MS, &s,
                             &err);
    if (!rc) {
        rc = talk(s, argv[4], &err);
        microvm_console_close(s);
    }
    if (rc)
        fprintf(stderr, "connect: %s\n", err.message);
    microvm_free(vm);
    return rc ? 125 : 0;
}
