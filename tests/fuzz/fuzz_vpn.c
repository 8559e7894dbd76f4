/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whatever a client sends to the VPN daemon: requests end in the same places however
 * the stream is cut, none is longer than what is there, and one that is read can be
 * written and read again; the same for answers.
 */
#include "fuzz.h"

#include "proto/vpn.h"
#include "util/assert.h"

#include <stdlib.h>
#include <string.h>

static void check_request(const char *bytes, size_t size)
{
    struct vpn_request request, again;
    char why[VPN_WHY_MAX];
    bool well = vpn_request_read(bytes, size, &request, why);
    MV_ASSERT(well || strlen(why) > 0);
    if (!well || request.word)
        return;
    char *line = vpn_request_write(&request);
    MV_ASSERT(line && vpn_request_read(line, strlen(line), &again, why));
    MV_ASSERT(again.command == request.command && again.detail == request.detail);
    MV_ASSERT(!again.profile == !request.profile);
    MV_ASSERT(!again.profile || !strcmp(again.profile, request.profile));
    vpn_request_free(&again);
    vpn_request_free(&request);
    free(line);
}

static void check_answer(const char *bytes, size_t size)
{
    struct vpn_answer answer, again;
    if (!vpn_answer_read(bytes, size, &answer))
        return;
    char *line = vpn_answer_write(&answer);
    MV_ASSERT(line && vpn_answer_read(line, strlen(line), &again));
    MV_ASSERT(again.status == answer.status && !again.error == !answer.error);
    vpn_answer_free(&again);
    vpn_answer_free(&answer);
    free(line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *bytes = (const char *)data;
    struct vpn_scan whole = {0};
    size_t n;
    check_answer(bytes, size);
    while ((n = vpn_request_scan(&whole, bytes, size, true)) > 0) {
        struct vpn_scan pieces = {0};
        MV_ASSERT(n <= size);
        for (size_t have = 1; have < n; have++)
            MV_ASSERT(vpn_request_scan(&pieces, bytes, have, false) == 0);
        char *copy = malloc(n);
        MV_ASSERT(copy);
        memcpy(copy, bytes, n);
        check_request(copy, n);
        free(copy);
        bytes += n;
        size -= n;
        whole = (struct vpn_scan){0};
    }
    return 0;
}
