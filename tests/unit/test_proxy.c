/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every example of proto/proxy.md: the bytes are read as the text says, the same when
 * more stands behind them, and none of their beginnings is taken for a whole.
 */
#include "examples.h"

#include "proto/proxy.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a message was read as, in the words of the examples; the length or 0 or -1. */
typedef int (*reading)(const uint8_t *bytes, size_t size, char *words, size_t room);

static void say_target(const struct proxy_target *target, char *words, size_t room)
{
    (void)snprintf(words, room, "%s %u", target->host, target->port);
}

static int read_methods(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    unsigned methods;
    int rc = socks_methods_read(bytes, size, &methods);
    if (rc > 0)
        (void)snprintf(words, room, "%s%s%s", methods & 1u << SOCKS_NONE ? "none" : "",
                       methods == 5 ? " " : "",
                       methods & 1u << SOCKS_PASSWORD ? "password" : "");
    return rc;
}

static int read_login(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    struct socks_login login;
    int rc = socks_login_read(bytes, size, &login);
    if (rc > 0)
        (void)snprintf(words, room, "%.*s %.*s", login.user_length,
                       (const char *)login.user, login.password_length,
                       (const char *)login.password);
    return rc;
}

static int read_request(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    struct proxy_target target;
    enum socks_status status;
    int rc = socks_request_read(bytes, size, &target, &status);
    if (rc > 0 && status)
        (void)snprintf(words, room, "refused %d", (int)status);
    else if (rc > 0)
        say_target(&target, words, room);
    return rc;
}

static int read_proxy(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    struct proxy_request request;
    char target[300];
    int rc = proxy_request_read(bytes, size, &request);
    if (rc <= 0)
        return rc;
    say_target(&request.target, target, sizeof target);
    if (request.status)
        (void)snprintf(words, room, "refused %d", (int)request.status);
    else
        (void)snprintf(words, room, "%s%s", request.socks ? "socks " : "", target);
    return rc;
}

static const struct {
    const char *name;
    reading read;
} messages[] = {{"METHODS", read_methods},
                {"LOGIN", read_login},
                {"REQUEST", read_request},
                {"PROXY", read_proxy}};

static void check_example(const struct example *e, reading read)
{
    char words[300] = "";
    int rc = read(e->bytes, e->length, words, sizeof words);
    if (!strcmp(e->words, "more")) {
        assert_int_equal(rc, 0);
        return;
    }
    if (!strcmp(e->words, "wrong")) {
        assert_int_equal(rc, -1);
        return;
    }
    assert_int_equal(rc, (int)e->length);
    assert_string_equal(words, e->words);
    if (strcmp(e->words, "refused 8")) { /* of an unknown length */
        assert_int_equal(read(e->bytes, e->length + 7, words, sizeof words), rc);
        for (size_t n = 0; n < e->length; n++)
            assert_int_equal(read(e->bytes, n, words, sizeof words), 0);
    }
}

static void examples_are_read(void **state)
{
    (void)state;
    struct example e;
    unsigned seen[MV_ARRAY_LEN(messages)] = {0};
    FILE *file = examples_open("proxy.md");
    while (example_next(file, &e)) {
        for (unsigned i = 0; i < MV_ARRAY_LEN(messages); i++) {
            if (strcmp(e.name, messages[i].name))
                continue;
            check_example(&e, messages[i].read);
            seen[i]++;
        }
    }
    (void)fclose(file);
    assert_true(seen[0] >= 6 && seen[1] >= 3 && seen[2] >= 11 && seen[3] >= 11);
}

static void requests_are_written_as_they_are_read(void **state)
{
    (void)state;
    struct proxy_target target = {"example.com", 65535};
    struct proxy_request back;
    uint8_t bytes[PROXY_REQUEST_MAX];
    size_t n = proxy_request_write(bytes, &target);
    assert_int_equal(proxy_request_read(bytes, n, &back), (int)n);
    assert_string_equal(back.target.host, "example.com");
    assert_int_equal(back.target.port, 65535);
    memset(target.host, 'x', PROXY_HOST_MAX);
    n = proxy_request_write(bytes, &target);
    assert_int_equal(n, PROXY_REQUEST_MAX);
    assert_int_equal(proxy_request_read(bytes, n, &back), (int)n);
    target.host[0] = '\n';
    assert_int_equal(proxy_request_write(bytes, &target), 0);
}

static void replies_are_written(void **state)
{
    (void)state;
    uint8_t bytes[SOCKS_REPLY_MAX];
    struct example e;
    unsigned seen = 0;
    FILE *file = examples_open("proxy.md");
    while (example_next(file, &e)) {
        if (strcmp(e.name, "REPLY"))
            continue;
        enum socks_status status = (enum socks_status)atoi(e.words);
        assert_int_equal(socks_reply_write(bytes, status), e.length);
        assert_memory_equal(bytes, e.bytes, e.length);
        seen++;
    }
    (void)fclose(file);
    assert_int_equal(seen, 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_read),
        cmocka_unit_test(requests_are_written_as_they_are_read),
        cmocka_unit_test(replies_are_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
