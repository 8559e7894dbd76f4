/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * microvm-netd's control protocol: the bytes are what comes from the library, in pieces
 * whose length the first byte says. Every whole line has one line of JSON for an
 * answer, an object with "ok" or "error", and nothing but "open" is done before "open".
 * Rules and forwards are parsed as ever; what libslirp and the sandbox would do is not
 * done.
 */
#define _GNU_SOURCE
#include "control.h"
#include "sandbox.h"
#include "util/assert.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* -- doubles -- */

static bool opened; /* as the stack sees it */

bool stack_open(struct stack *stack, const struct stack_options *options)
{
    MV_ASSERT(!opened);
    stack->ipv6 = options->ipv6;
    opened = options->mtu >= 68;
    return opened;
}

const char *stack_forward(struct stack *stack, const char *text, bool add,
                          char at[FORWARD_AT_MAX])
{
    struct forward f;
    (void)stack, (void)add;
    MV_ASSERT(opened);
    const char *bad = forward_parse(&f, text);
    if (bad)
        return bad;
    MV_ASSERT(f.host.any.sa_family == (f.v6 ? AF_INET6 : AF_INET));
    MV_ASSERT(f.host.v4.sin_port != 0 && f.guest.v4.sin_port != 0);
    forward_show(&f, at);
    return NULL;
}

json_t *stack_stats(const struct stack *stack)
{
    (void)stack;
    MV_ASSERT(opened);
    return json_pack("{s:b}", "ok", 1);
}

const char *sandbox_enter(int *landlock)
{
    *landlock = 3;
    return NULL;
}

/* -- the library's end -- */

static void expect_answers(int library, unsigned lines)
{
    static char text[1 << 20];
    ssize_t n = recv(library, text, sizeof text, MSG_DONTWAIT);
    const char *at = text;
    for (; lines > 0 && n > 0; lines--) {
        const char *end = memchr(at, '\n', (size_t)n);
        MV_ASSERT(end);
        json_t *answer = json_loadb(at, (size_t)(end - at), 0, NULL);
        MV_ASSERT(json_object_get(answer, "ok") || json_object_get(answer, "error"));
        json_decref(answer);
        n -= end + 1 - at;
        at = end + 1;
    }
    MV_ASSERT(lines == 0 && n <= 0);
}

static unsigned count_lines(const uint8_t *data, size_t size)
{
    unsigned lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    return lines;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netd *netd = calloc(1, sizeof *netd);
    int pair[2];
    enum { LINES = 256, SIZE = 16384 }; /* whose answers the socket holds */
    MV_ASSERT(netd && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    opened = false;
    netd->control = pair[0];
    size_t piece = size > 0 ? 1 + 64 * (size_t)data[0] : 1;
    for (size_t at = 1; at < size && size <= SIZE && !netd->gone; at += piece) {
        size_t n = size - at < piece ? size - at : piece;
        unsigned lines = count_lines(data + at, n);
        if (lines > LINES)
            break;
        MV_ASSERT(write(pair[1], data + at, n) == (ssize_t)n);
        control_read(netd);
        expect_answers(pair[1], lines);
    }
    (void)close(pair[0]);
    (void)close(pair[1]);
    free(netd);
    return 0;
}
