/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Random bytes to the debug port: each is heard once, and a mark, once set, stays.
 */
#include "fuzz.h"

#include "chip/debugport.h"

static void count_byte(void *ctx, uint8_t value)
{
    unsigned *count = ctx;
    count[value]++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    struct fuzz in = {data, length};
    unsigned heard[256] = {0};
    struct mv_debugport port = {.written = count_byte, .ctx = heard};
    while (fuzz_left(&in)) {
        uint8_t value = fuzz8(&in);
        unsigned before = heard[value];
        uint64_t mark_ns = mv_debugport_mark_ns(&port, value);
        mv_debugport_bus.write(&port, 0, 1, value);
        MV_ASSERT(heard[value] == before + 1);
        MV_ASSERT(mark_ns == 0 || mv_debugport_mark_ns(&port, value) == mark_ns);
        MV_ASSERT((value < MV_DEBUGPORT_MARKS) == !!mv_debugport_mark_ns(&port, value));
        MV_ASSERT(mv_debugport_bus.read(&port, 0, 1) == 0xe9);
    }
    return 0;
}
