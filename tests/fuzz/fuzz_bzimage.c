/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Kernel files that are bzImages: the two magic numbers are put in.
 */
#include "fuzz_kernel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    uint8_t file[8192];
    length = MV_MIN(length, sizeof file);
    memcpy(file, data, length);
    if (length >= 0x206) {
        mv_store16(file + 0x1fe, 0xaa55);
        memcpy(file + 0x202, "HdrS", 4);
    }
    fuzz_kernel(file, length);
    return 0;
}
