/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * Every example of proto/outbound.md, whole and in pieces, and streams that are written
 * a few bytes at a time and read back.
 */
#include "examples.h"

#include "proto/outbound.h"
#include "util/bytes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*reading)(const uint8_t *bytes, size_t size, char *words, size_t room);

static void say_hex(char *words, size_t room, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0, at = strlen(words); i < length; i++, at += 2)
        (void)snprintf(words + at, room - at, "%02x", bytes[i]);
}

static int read_connect(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    static const char *const type[] = {[1] = "ipv4", [3] = "name", [4] = "ipv6"};
    struct outbound_target target;
    enum outbound_status status;
    uint8_t same[OUTBOUND_CONNECT_MAX];
    int rc = outbound_connect_read(bytes, size, &target, &status);
    if (rc <= 0)
        return rc;
    if (status) {
        (void)snprintf(words, room, "answer %d", (int)status);
        return rc;
    }
    (void)snprintf(words, room, "%llx %s ", (unsigned long long)target.key,
                   type[target.type]);
    say_hex(words, room, target.address, target.length);
    size_t at = strlen(words);
    (void)snprintf(words + at, room - at, " %u", target.port);
    assert_int_equal(outbound_connect_write(same, &target), rc);
    assert_memory_equal(same, bytes, (size_t)rc);
    return rc;
}

static int read_response(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    enum outbound_status status;
    uint8_t same[OUTBOUND_RESPONSE];
    int rc = outbound_response_read(bytes, size, 1, &status);
    if (rc <= 0)
        return rc;
    (void)snprintf(words, room, "1 %d", (int)status);
    outbound_response_write(same, 1, status);
    if (status != OUTBOUND_FAILURE)
        assert_memory_equal(same, bytes, (size_t)rc);
    return rc;
}

/* In pieces of so many bytes. */
static int read_stream_in(const uint8_t *bytes, size_t size, size_t each, char *words,
                          size_t room)
{
    struct outbound_reader reader = {.key = 1};
    words[0] = '\0';
    for (size_t at = 0; at < size;) {
        size_t n = MV_MIN(each, size - at), payload;
        int heads = outbound_read(&reader, bytes + at, n, &payload);
        if (heads < 0)
            return -1;
        assert_true((size_t)heads + payload <= n);
        at += (size_t)heads;
        say_hex(words, room, bytes + at, payload);
        reader.left -= (uint32_t)payload;
        at += payload;
    }
    if (reader.ended)
        (void)strcat(words, " end");
    return (int)size;
}

static int read_stream(const uint8_t *bytes, size_t size, char *words, size_t room)
{
    char other[300];
    int rc = read_stream_in(bytes, size, size, words, room);
    for (size_t each = 1; each < size && rc > 0; each++) {
        assert_int_equal(read_stream_in(bytes, size, each, other, sizeof other), rc);
        assert_string_equal(words, other);
    }
    return rc;
}

static const struct {
    const char *name;
    reading read;
    bool whole; /* its beginnings ask for more */
} messages[] = {{"CONNECT", read_connect, true},
                {"RESPONSE", read_response, true},
                {"STREAM", read_stream, false}};

static void check_example(const struct example *e, reading read, bool whole)
{
    char words[300] = "";
    int rc = read(e->bytes, e->length, words, sizeof words);
    if (!strcmp(e->words, "more")) {
        assert_int_equal(rc, 0);
    } else if (!strcmp(e->words, "wrong")) {
        assert_int_equal(rc, -1);
    } else {
        assert_int_equal(rc, (int)e->length);
        assert_string_equal(words, e->words);
        for (size_t n = 0; n < e->length && whole; n++)
            assert_int_equal(read(e->bytes, n, words, sizeof words), 0);
    }
}

static void examples_are_read(void **state)
{
    (void)state;
    struct example e;
    unsigned seen[MV_ARRAY_LEN(messages)] = {0};
    FILE *file = examples_open("outbound.md");
    while (example_next(file, &e)) {
        for (unsigned i = 0; i < MV_ARRAY_LEN(messages); i++) {
            if (strcmp(e.name, messages[i].name))
                continue;
            check_example(&e, messages[i].read, messages[i].whole);
            seen[i]++;
        }
    }
    (void)fclose(file);
    assert_int_equal(seen[0], 14);
    assert_int_equal(seen[1], 7);
    assert_int_equal(seen[2], 8);
}

/* Sends at most `room` bytes of what is to be sent; the payload among them. */
static size_t send_some(struct outbound_writer *writer, const uint8_t *bytes,
                        size_t size, size_t room, uint8_t *wire, size_t *wired)
{
    struct outbound_pieces pieces;
    size_t took = 0;
    outbound_write(writer, bytes, size, &pieces);
    assert_true(pieces.count <= MV_ARRAY_LEN(pieces.piece));
    for (unsigned i = 0; i < pieces.count && took < room; i++) {
        size_t n = MV_MIN(pieces.piece[i].length, room - took);
        memcpy(wire + *wired, pieces.piece[i].base, n);
        *wired += n;
        took += n;
    }
    assert_true(took > 0);
    return outbound_wrote(writer, size, took);
}

/* What there is grows meanwhile, as a socket's bytes do; a few of them are taken. */
static void write_and_read_back(size_t size, size_t step, size_t room)
{
    struct outbound_writer writer = {.key = 7};
    struct outbound_reader reader = {.key = 7};
    uint8_t *stream = test_malloc(size), *wire = test_malloc(14 * size + 1000);
    uint8_t *back = test_malloc(size);
    size_t wired = 0, sent = 0, there = 0, got = 0;
    for (size_t i = 0; i < size; i++)
        stream[i] = (uint8_t)(i * 7 + i / 251);
    while (sent < size) {
        there = MV_MIN(size, there + step);
        sent += send_some(&writer, stream + sent, MV_MIN(there - sent, (size_t)65536),
                          room, wire, &wired);
        assert_true(sent <= there);
    }
    writer.closing = true;
    while (!outbound_closed(&writer))
        assert_int_equal(send_some(&writer, stream, 0, room, wire, &wired), 0);
    for (size_t at = 0; at < wired;) {
        size_t payload;
        int heads = outbound_read(&reader, wire + at, wired - at, &payload);
        assert_true(heads >= 0);
        at += (size_t)heads;
        memcpy(back + got, wire + at, payload);
        at += payload;
        got += payload;
        reader.left -= (uint32_t)payload;
    }
    assert_true(reader.ended);
    assert_int_equal(got, size);
    assert_memory_equal(back, stream, size);
    test_free(stream);
    test_free(wire);
    test_free(back);
}

static void streams_go_whole(void **state)
{
    (void)state;
    write_and_read_back(1, 1, 1);
    write_and_read_back(100, 100, 1);
    write_and_read_back(8192, 8192, 8192);
    write_and_read_back(300000, 65536, 1 << 20);
    write_and_read_back(300000, 70000, 5000);
    write_and_read_back(300000, 3000, 8205);
    write_and_read_back(30000, 1, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_read),
        cmocka_unit_test(streams_go_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
