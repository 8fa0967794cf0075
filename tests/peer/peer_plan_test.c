/* SPDX-License-Identifier: BSD-3-Clause
 * The peer program's commands: what is written is what is done, and a typing error is told, not guessed at.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/peer/peer_plan.h"
#include <stdio.h>
#include <string.h>

static bool plan_read(const char *text, bool connects, struct peer_plan *plan)
{
    char words[256];
    const char *problem = NULL;
    snprintf(words, sizeof words, "%s", text);
    bool good = peer_plan_read(words, connects, plan, &problem);
    assert_true(good || problem);
    return good;
}

static void a_listener_has_all_its_keys(void **state)
{
    struct peer_plan p;
    assert_true(plan_read(
        "5001 hold=1 send=1000000000 pause=3000 after=100 sink=/tmp/x watch=1 reno=1", false, &p));
    assert_int_equal(p.port, 5001);
    assert_int_equal(p.send, 1000000000);
    assert_int_equal(p.pause_ms, 3000);
    assert_int_equal(p.pause_after, 100);
    assert_string_equal(p.sink, "/tmp/x");
    assert_true(p.hold && p.watch && p.newreno && !p.echo);
    assert_int_equal(p.count, 1);
}

static void a_connect_has_an_address_of_either_family(void **state)
{
    struct peer_plan p;
    char text[46];
    assert_true(plan_read("192.0.2.2 7 echo=1 count=5000", true, &p));
    assert_true(ip_addr_is4(&p.address) && p.echo);
    assert_int_equal(p.count, 5000);
    assert_true(plan_read("2001:db8:1::2 65535", true, &p));
    assert_string_equal(ip_addr_text(&p.address, text), "2001:db8:1::2");
    assert_int_equal(p.port, 65535);
}

static void wrong_commands_are_refused(void **state)
{
    static const char *const listens[] = {"",
                                          "0",
                                          "65536",
                                          "x",
                                          "80 send",
                                          "80 send=",
                                          "80 send=-1",
                                          "80 send=1x",
                                          "80 echo=2",
                                          "80 sink=",
                                          "80 size=1",
                                          "80 echo=1 send=1",
                                          "80 count=0",
                                          "80 count=20001",
                                          "80 pause=600001"};
    static const char *const connects[] = {"", "80", "192.0.2.2", "192.0.2 80", "192.0.2.2 0"};
    struct peer_plan p;
    for (unsigned i = 0; i < TG_ARRAY_LEN(listens); i++)
        assert_false(plan_read(listens[i], false, &p));
    for (unsigned i = 0; i < TG_ARRAY_LEN(connects); i++)
        assert_false(plan_read(connects[i], true, &p));
}

static void a_path_too_long_is_refused(void **state)
{
    struct peer_plan p;
    char text[200] = "80 sink=/";
    memset(text + strlen(text), 'x', 150);
    assert_false(plan_read(text, false, &p));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_listener_has_all_its_keys),
        cmocka_unit_test(a_connect_has_an_address_of_either_family),
        cmocka_unit_test(wrong_commands_are_refused),
        cmocka_unit_test(a_path_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
