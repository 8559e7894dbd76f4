/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Whatever a client or a host says as SOCKS5 or to the inbound proxy: read within its
 * bounds, never longer than what is there, the same from a copy of just that length,
 * and a target that is taken can be written and read back.
 */
#include "fuzz.h"

#include "proto/proxy.h"
#include "util/assert.h"

#include <stdlib.h>
#include <string.h>

static void check_target(const struct proxy_target *target)
{
    uint8_t bytes[PROXY_REQUEST_MAX];
    struct proxy_request back;
    size_t n = proxy_request_write(bytes, target);
    MV_ASSERT(n > 0 && proxy_request_read(bytes, n, &back) == (int)n);
    MV_ASSERT(!back.socks && !strcmp(back.target.host, target->host));
    MV_ASSERT(back.target.port == target->port);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned methods;
    struct socks_login login;
    struct proxy_target target;
    enum socks_status status;
    struct proxy_request request;
    int n = socks_methods_read(data, size, &methods);
    MV_ASSERT(n <= (int)size && n <= SOCKS_METHODS_MAX);
    n = socks_login_read(data, size, &login);
    MV_ASSERT(n <= (int)size && n <= SOCKS_LOGIN_MAX);
    if (n > 0)
        MV_ASSERT(login.password + login.password_length == data + n);
    n = socks_request_read(data, size, &target, &status);
    MV_ASSERT(n <= (int)size);
    if (n > 0 && status == SOCKS_OK)
        check_target(&target);
    n = proxy_request_read(data, size, &request);
    MV_ASSERT(n <= (int)size);
    if (n > 0 && request.status == SOCKS_OK) {
        struct proxy_request same;
        uint8_t *copy = malloc((size_t)n);
        MV_ASSERT(copy);
        memcpy(copy, data, (size_t)n);
        MV_ASSERT(proxy_request_read(copy, (size_t)n, &same) == n);
        free(copy);
        check_target(&request.target);
    }
    return 0;
}
