/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernel files that are ELF, or nothing known: the magic number is put in unless the
 * first byte is 0, so that the refusals get their share.
 */
#include "fuzz_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t file[8192];
    length = MV_MIN(length, sizeof file);
    memcpy(file, data, length);
    if (length >= 4 && file[0] != 0)
        memcpy(file, "\177ELF", 4);
    fuzz_kernel(file, length);
    return 0;
}
