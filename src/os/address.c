/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* Addresses, as the system reads them. */
#include "os/address.h"

#include <string.h>

#ifdef _WIN32
#include <winsock2.h>

#include <ws2tcpip.h>
#else
#include <arpa/inet.h>
#endif

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

struct mv_address mv_address_v4(const uint8_t byte[4])
{
    struct mv_address a;
    memcpy(a.byte, mapped, sizeof mapped);
    memcpy(a.byte + 12, byte, 4);
    return a;
}

bool mv_address_is_v4(const struct mv_address *address)
{
    return !memcmp(address->byte, mapped, sizeof mapped);
}

bool mv_address_parse(const char *text, struct mv_address *out)
{
    uint8_t v4[4], v6[16];
    if (inet_pton(AF_INET, text, v4) == 1)
        *out = mv_address_v4(v4);
    else if (inet_pton(AF_INET6, text, v6) == 1)
        memcpy(out->byte, v6, sizeof v6);
    else
        return false;
    return true;
}
