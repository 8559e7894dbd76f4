/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whatever a guest or a host says about outbound connections: messages are read within
 * their bounds, what is taken is written the same; a stream is read the same in two
 * pieces as in one, and never says more payload than there is.
 */
#include "fuzz.h"

#include "proto/outbound.h"
#include "util/assert.h"
#include "util/bytes.h"

#include <string.h>

/* The sum of its payload; -1: it is wrong. */
static int64_t read_all(struct outbound_reader *reader, const uint8_t *data,
                        size_t size, int64_t sum)
{
    for (size_t at = 0; at < size && sum >= 0;) {
        size_t payload;
        int heads = outbound_read(reader, data + at, size - at, &payload);
        if (heads < 0)
            return -1;
        at += (size_t)heads;
        MV_ASSERT(payload <= size - at && payload <= reader->left);
        for (size_t i = 0; i < payload; i++)
            sum = (sum * 31 + data[at + i] + 1) & 0xffffffff;
        reader->left -= (uint32_t)payload;
        at += payload;
    }
    return sum;
}

static void check_stream(const uint8_t *data, size_t size)
{
    struct outbound_reader one = {.left = 0}, two = {.left = 0};
    if (size < 9)
        return;
    memcpy(&one.key, data, 8);
    two.key = one.key;
    size_t cut = MV_MIN((size_t)data[8], size);
    int64_t sum = read_all(&one, data + 8, size - 8, 0);
    size_t first = MV_MIN(cut, size - 8);
    int64_t begun = read_all(&two, data + 8, first, 0);
    int64_t same =
        begun < 0 ? -1 : read_all(&two, data + 8 + first, size - 8 - first, begun);
    MV_ASSERT(sum == same);
    MV_ASSERT(sum < 0 || (one.left == two.left && one.ended == two.ended));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outbound_target target;
    enum outbound_status status;
    uint8_t same[OUTBOUND_CONNECT_MAX];
    int n = outbound_connect_read(data, size, &target, &status);
    MV_ASSERT(n <= (int)size && n <= OUTBOUND_CONNECT_MAX);
    if (n > 0 && status == OUTBOUND_OK) {
        MV_ASSERT(outbound_connect_write(same, &target) == (size_t)n);
        MV_ASSERT(!memcmp(same, data, (size_t)n));
        MV_ASSERT(!memchr(target.address, 0, target.length) ||
                  target.type != OUTBOUND_NAME);
    }
    n = outbound_response_read(data, size, 1, &status);
    MV_ASSERT(n <= (int)size && n <= OUTBOUND_RESPONSE);
    check_stream(data, size);
    return 0;
}
