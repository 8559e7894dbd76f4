/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * A VPN gateway of an application's own, from the template "VpnGateway":
 *
 *     gateway SHARE LIBEXEC KERNEL NETD FOLDER
 *
 * builds it into the bundle FOLDER, of the files that are installed in SHARE and
 * LIBEXEC (share/microvm, libexec/microvm) and a kernel, starts a machine of it with
 * 128 MiB and the network of NETD (microvm-netd), and says when its VPN daemon answers.
 */
#include <microvm/image.h>
#include <microvm/runtime.h>
#include <stdio.h>
#include <unistd.h>

enum { MEMORY_MIB = 128, BOOT_MS = 60000, ANSWER_MS = 5000 };

static int gateway_build(char **argv, microvm_error *err)
{
    const char *data[] = {argv[1], argv[2], NULL};
    char templates[4096];
    const char *folders[] = {templates, NULL};
    microvm_image_options options = MICROVM_IMAGE_OPTIONS_INIT;
    microvm_recipe *recipe = microvm_recipe_new();
    int rc;

    (void)snprintf(templates, sizeof templates, "%s/templates", argv[1]);
    options.kernel = argv[3];
    rc = microvm_recipe_load_template(recipe, "VpnGateway", folders, data, err);
    microvm_recipe_set(recipe, "bundle", "on");
    microvm_recipe_set(recipe, "output", argv[5]);
    if (!rc)
        rc = microvm_image_build(recipe, &options, NULL, err);
    microvm_recipe_free(recipe);
    return rc;
}

static microvm *gateway_start(char **argv, microvm_error *err)
{
    microvm_config *config = microvm_config_new();
    microvm *vm = NULL;

    if (!microvm_config_load_bundle(config, argv[5], err)) {
        microvm_config_set_memory_mb(config, MEMORY_MIB);
        microvm_config_set(config, "netd", argv[4]);
        vm = microvm_new(config, err);
    }
    microvm_config_free(config);
    if (vm && microvm_start(vm, err)) {
        microvm_free(vm);
        vm = NULL;
    }
    return vm;
}

static int gateway_ping(microvm *vm, microvm_error *err)
{
    microvm_vpn_request ping = MICROVM_VPN_REQUEST_INIT;
    microvm_vpn_answer answer = MICROVM_VPN_ANSWER_INIT;
    intptr_t connection;

    ping.command = "ping";
    int rc = microvm_connect(vm, MICROVM_VPN_PORT, BOOT_MS, &connection, err);
    if (rc)
        return rc;
    rc = microvm_vpn_ask_on(connection, &ping, ANSWER_MS, &answer, err);
    if (!rc)
        (void)printf("%s\n", answer.status == MICROVM_VPN_PONG ? "pong" : answer.error);
    microvm_vpn_answer_free(&answer);
    (void)close((int)connection);
    return rc;
}

int main(int argc, char **argv)
{
    microvm_error err = {0};
    microvm *vm = NULL;

    if (argc != 6) {
        fprintf(stderr, "usage: gateway SHARE LIBEXEC KERNEL NETD FOLDER\n");
        return 2;
    }
    if (!gateway_build(argv, &err))
        vm = gateway_start(argv, &err);
    if (vm)
        (void)gateway_ping(vm, &err);
    microvm_free(vm);
    if (err.code)
        fprintf(stderr, "gateway: %s\n", err.message);
    return err.code != 0;
}
