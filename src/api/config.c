/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Public functions on configurations, one line each where possible: the work is in
 * core/config*.c.
 */
#include "core/config_row.h"
#include "util/str.h"

#include <stdlib.h>

microvm_config *microvm_config_new(void)
{
    microvm_config *config = malloc(sizeof *config);
    if (config)
        mv_config_init(&config->values);
    return config;
}

microvm_config *microvm_config_copy(const microvm_config *config)
{
    if (!config)
        return NULL;
    microvm_config *copy = malloc(sizeof *copy);
    if (copy && mv_config_copy(&copy->values, &config->values, NULL)) {
        free(copy);
        return NULL;
    }
    return copy;
}

void microvm_config_free(microvm_config *config)
{
    if (!config)
        return;
    mv_config_done(&config->values);
    free(config);
}

void microvm_config_set(microvm_config *config, const char *key, const char *text)
{
    if (config)
        mv_config_set(&config->values, key ? key : "", text);
}

void microvm_config_set_kernel(microvm_config *config, const char *path)
{
    microvm_config_set(config, "kernel", path);
}

void microvm_config_set_initrd(microvm_config *config, const char *path)
{
    microvm_config_set(config, "initrd", path);
}

void microvm_config_set_rootfs(microvm_config *config, const char *path)
{
    microvm_disk disk = MICROVM_DISK_INIT;
    disk.path = path;
    if (!path)
        microvm_config_set(config, "rootfs", NULL);
    else if (config)
        (void)mv_config_set_rootfs(&config->values, &disk);
}

void microvm_config_set_cmdline(microvm_config *config, const char *text)
{
    microvm_config_set(config, "cmdline", text);
}

void microvm_config_set_memory_mb(microvm_config *config, uint32_t mib)
{
    if (config)
        mv_config_set_number(&config->values, "memory", (uint64_t)mib << 20);
}

void microvm_config_set_vcpus(microvm_config *config, uint32_t count)
{
    if (config)
        mv_config_set_number(&config->values, "cpus", count);
}

void microvm_config_set_timeout_ms(microvm_config *config, uint64_t ms)
{
    if (config)
        mv_config_set_number(&config->values, "timeout", ms);
}

void microvm_config_add_disk(microvm_config *config, const microvm_disk *disk)
{
    if (config && disk)
        (void)mv_config_add_disk(&config->values, disk);
}

void microvm_config_set_vsock(microvm_config *config, const microvm_vsock *vsock)
{
    if (config && vsock)
        (void)mv_config_set_vsock(&config->values, vsock);
}

void microvm_config_set_log(microvm_config *config, microvm_log_fn *fn, void *user,
                            int level)
{
    if (config)
        config->values.log = (struct mv_log_target){fn, user, level};
}

int microvm_config_check(const microvm_config *config, microvm_error *err)
{
    if (!config)
        return mv_fail(err, MICROVM_E_INVALID, "no configuration was given");
    return mv_config_check(&config->values, err);
}

int microvm_config_load_json(microvm_config *config, const char *text, size_t length,
                             microvm_error *err)
{
    if (!config || !text)
        return mv_fail(err, MICROVM_E_INVALID, "no configuration was given");
    return mv_config_load_json(&config->values, NULL, text, length, err);
}

char *microvm_config_to_json(const microvm_config *config, int with_defaults)
{
    return config ? mv_config_to_json(&config->values, with_defaults != 0) : NULL;
}

void microvm_string_free(char *text)
{
    free(text);
}

const microvm_key *microvm_config_key(unsigned index)
{
    return index < MV_CONFIG_ROWS ? &mv_config_rows[index].key : NULL;
}

const char *microvm_nearest(const char *word, const char *const *words)
{
    return word && words ? mv_str_nearest(word, words) : NULL;
}
