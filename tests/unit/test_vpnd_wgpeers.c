/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* When a peer counts as heard, by what `wg show NAME dump` says as time goes on. */
#include "check.h"

#include "guest/vpnd/wgpeers.h"

#include <stdio.h>

struct said {
    unsigned handshake, received, sent;
};

static bool look(int64_t now_s, struct said one, struct said two)
{
    char text[400];
    (void)snprintf(text, sizeof text,
                   "private\tpublic\t51820\t0x2a\n"
                   "one\tshared\t192.0.2.1:1\t0.0.0.0/0,::/0\t%u\t%u\t%u\t25\n"
                   "two\t(none)\t(none)\t(none)\t%u\t%u\t%u\toff\n",
                   one.handshake, one.received, one.sent, two.handshake, two.received,
                   two.sent);
    return wgpeers_look(text, 1000 * now_s);
}

static const struct said none;

static void nobody_without_a_handshake(void **state)
{
    (void)state;
    wgpeers_begin();
    assert_false(look(1000, none, none));
    assert_false(look(1005, (struct said){0, 0, 148}, none));
    assert_true(look(1006, (struct said){7, 92, 328}, none));
    wgpeers_begin();
    assert_false(look(1007, none, none));
    assert_true(look(1008, none, (struct said){7, 92, 180}));
}

static void keepalives_are_no_question(void **state)
{
    (void)state;
    wgpeers_begin();
    assert_true(look(0, (struct said){7, 92, 180}, none));
    for (unsigned i = 1; i <= 7; i++)
        assert_true(look(25 * i, (struct said){7, 92, 180 + 32 * i}, none));
    assert_false(look(180, (struct said){7, 92, 404}, none));
}

static void no_answer_to_data(void **state)
{
    (void)state;
    wgpeers_begin();
    assert_true(look(0, (struct said){7, 92, 180}, none));
    assert_true(look(19, (struct said){7, 92, 5000}, none));
    assert_false(look(20, (struct said){7, 92, 5000}, none));
    assert_true(look(21, (struct said){7, 124, 5100}, none));
    assert_true(look(41, (struct said){7, 124, 5399}, none));
    assert_false(look(42, (struct said){7, 124, 5400}, none));
    assert_true(look(43, (struct said){8, 216, 5500}, none));
}

static void one_of_them_is_enough(void **state)
{
    (void)state;
    wgpeers_begin();
    assert_true(look(0, (struct said){7, 92, 180}, (struct said){7, 92, 180}));
    assert_true(look(30, (struct said){7, 92, 9000}, (struct said){7, 92, 180}));
    assert_false(look(60, (struct said){7, 92, 9000}, (struct said){7, 92, 9000}));
}

static void old_handshakes(void **state)
{
    (void)state;
    wgpeers_begin();
    assert_true(look(0, (struct said){7, 92, 180}, none));
    assert_true(look(179, (struct said){7, 92, 180}, none));
    assert_false(look(180, (struct said){7, 92, 180}, none));
    assert_true(look(181, (struct said){9, 92, 180}, none));
}

static void other_text(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "", "\n", "\t\t\t\t\t\t\t", "a\tb", "x\n\n\t\n", "a\tb\tc\td\t-1\tx\ty\tz\n"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        char text[64];
        wgpeers_begin();
        (void)snprintf(text, sizeof text, "%s", texts[i]);
        (void)wgpeers_look(text, 1);
    }
    char text[100 * 16 + 1] = "";
    for (unsigned i = 0; i < 100; i++)
        (void)snprintf(text + 16 * i, 17, "p\ts\te\ta\t1\t1\t1\t0\n");
    assert_true(wgpeers_look(text, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_without_a_handshake),
        cmocka_unit_test(keepalives_are_no_question),
        cmocka_unit_test(no_answer_to_data),
        cmocka_unit_test(one_of_them_is_enough),
        cmocka_unit_test(old_handshakes),
        cmocka_unit_test(other_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
