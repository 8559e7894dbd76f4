/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A SOCKS5 server whose connections a guest makes: socks KERNEL INITRD [PLACE
 * [CMDLINE]] boots the guest, opens the server (PLACE is [ADDR:]PORT, 1080 unless
 * given), and shows the guest's console until it ends. The guest runs inbound-proxy.
 */
#include <microvm/runtime.h>
#include <stdio.h>

static int show_console(microvm_runtime *vm, microvm_error *err)
{
    char text[4096];
    uint64_t lost;
    int64_t n;
    microvm_subscriber *reader = microvm_runtime_subscribe(vm, sizeof text, err);
    if (!reader)
        return err->code;
    while ((n = microvm_subscriber_read(reader, text, sizeof text, MICROVM_FOREVER,
                                        &lost, err)) > 0) {
        if (lost > 0)
            printf("\n[%llu bytes are missing]\n", (unsigned long long)lost);
        (void)fwrite(text, 1, (size_t)n, stdout);
        (void)fflush(stdout);
    }
    microvm_subscriber_free(reader);
    return (int)n;
}

int main(int argc, char **argv)
{
    microvm_runtime_config config = MICROVM_RUNTIME_CONFIG_INIT;
    microvm_error err = {0};
    microvm_client *client;
    uint16_t port;
    if (argc < 3) {
        fprintf(stderr, "usage: socks KERNEL INITRD [PLACE [CMDLINE]]\n");
        return 125;
    }
    config.kernel_path = argv[1];
    config.initrd_path = argv[2];
    config.cmdline = argc > 4 ? argv[4] : NULL;
    microvm_runtime *vm = microvm_runtime_new(&config, &client, &err);
    int rc = vm ? microvm_runtime_spawn(vm, &err) : err.code;
    if (!rc)
        rc = microvm_socks_open(microvm_runtime_machine(vm),
                                argc > 3 ? argv[3] : "1080", &port, &err);
    if (!rc) {
        printf("%s guest, SOCKS5 at port %u\n", microvm_hypervisor_name(), port);
        (void)fflush(stdout);
        rc = show_console(vm, &err);
    }
    if (rc)
        fprintf(stderr, "socks: %s\n", err.message);
    if (vm)
        microvm_client_free(client);
    microvm_runtime_free(vm);
    return rc ? 125 : 0;
}
