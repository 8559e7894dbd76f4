/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Machines of scripts: the kernel's file and the configuration.
 */
#include "scripted.h"

#include "check.h"
#include "scratch.h"

#include "machine/machine.h"
#include "util/bytes.h"

#include <stdlib.h>
#include <string.h>

enum { ELF_HEADERS = 120 };

/* An ELF executable of one segment, the script. */
static void write_kernel(char path[SCRATCH_PATH], const struct mv_fake_step *step,
                         unsigned steps)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    size_t bytes = steps * sizeof *step;
    uint8_t *image = calloc(1, ELF_HEADERS + bytes), *ph = image + 64;
    assert_non_null(image);
    memcpy(image, ident, sizeof ident);
    mv_store16(image + 16, 2);  /* ET_EXEC */
    mv_store16(image + 18, 62); /* x86-64 */
    mv_store32(image + 20, 1);
    mv_store64(image + 24, SCRIPTED_ENTRY);
    mv_store64(image + 32, 64);
    mv_store16(image + 52, 64);
    mv_store16(image + 54, 56);
    mv_store16(image + 56, 1);
    mv_store32(ph, 1);     /* PT_LOAD */
    mv_store32(ph + 4, 7); /* RWX */
    mv_store64(ph + 8, ELF_HEADERS);
    mv_store64(ph + 16, SCRIPTED_ENTRY);
    mv_store64(ph + 24, SCRIPTED_ENTRY);
    mv_store64(ph + 32, bytes);
    mv_store64(ph + 40, bytes);
    memcpy(image + ELF_HEADERS, step, bytes);
    scratch_file(path, image, ELF_HEADERS + bytes);
    free(image);
}

microvm *scripted_machine(const struct mv_hv_ops *hv, const struct mv_fake_step *step,
                          unsigned steps, const char *const *settings)
{
    char path[SCRATCH_PATH];
    struct mv_config config;
    microvm_error err;
    write_kernel(path, step, steps);
    mv_config_init(&config);
    mv_config_set(&config, "kernel", path);
    mv_config_set(&config, "memory", "16M");
    for (; *settings; settings += 2)
        mv_config_set(&config, settings[0], settings[1]);
    assert_ok(mv_config_check(&config, &err), &err);
    microvm *vm = mv_hv_machine_new(&config, hv, &err);
    if (!vm)
        fail_msg("%s", err.message);
    scratch_remove(path);
    mv_config_done(&config);
    return vm;
}
