/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * The gate of the user network: the first byte says from whom a frame comes, the second
 * which rules there are, the rest is the frame. What passes or is answered must be a
 * frame, what the gate does not look at stays as it is, and nothing that names an
 * address inside may open it.
 */
#include "gate.h"
#include "util/assert.h"

#include <stdlib.h>
#include <string.h>

static const char *const rules[] = {"example.com", "*.example.org:443", "1.2.3.0/24",
                                    "10.0.2.15:80", "[2001:db8::]/32/udp"};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gate *gate = calloc(1, sizeof *gate);
    uint8_t *frame = malloc(GATE_FRAME_MAX), *reply = malloc(GATE_FRAME_MAX);
    struct address inside = address_v4((const uint8_t[4]){192, 168, 1, 1});
    MV_ASSERT(gate && frame && reply);
    gate->dns[0] = address_v4((const uint8_t[4]){10, 0, 2, 3});
    gate->mtu = 65520;
    if (size >= 2 && size - 2 <= GATE_FRAME_MAX) {
        for (unsigned i = 0; i < sizeof rules / sizeof rules[0]; i++) {
            if (data[1] >> i & 1)
                (void)policy_add(&gate->policy, data[1] & 0x80, rules[i]);
        }
        size_t length = size - 2, reply_length = 0;
        memcpy(frame, data + 2, length);
        if (data[0] & 1) {
            bool looked = gate_looks_at(gate, frame, length);
            size_t n = gate_to_guest(gate, frame, length, 0);
            MV_ASSERT(n <= GATE_FRAME_MAX);
            MV_ASSERT(looked || (n == length && !memcmp(frame, data + 2, length)));
            MV_ASSERT(!packet_ack_replaces(frame, n, data + 2, length)); /* the same */
        } else if (gate_from_guest(gate, frame, length, 0, reply, &reply_length) ==
                   GATE_REPLY) {
            MV_ASSERT(reply_length >= PACKET_ETHERNET &&
                      reply_length <= GATE_FRAME_MAX);
        }
        MV_ASSERT(gate->policy.rules == 0 ||
                  !policy_allows(&gate->policy, &inside, 1, POLICY_TCP, 0));
    }
    free(reply);
    free(frame);
    free(gate);
    return 0;
}
