/* SPDX-License-Identifier: BSD-3-Clause
 * Assertions over TCP_INFO: operators, names, units, and what cannot be computed.
 */
#include "tests/packet/expression.h"
#include "tests/packet/linux_tcp.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct tcp_info info = {.mss = 1000,
                                     .unsent = 77,
                                     .cwnd = 10500,
                                     .ssthresh = UINT32_MAX,
                                     .srtt = 20 * TG_MS,
                                     .rto = 220 * TG_MS,
                                     .state = TCP_S_ESTABLISHED,
                                     .ca_state = TCP_CA_RECOVERY,
                                     .segments = {7, 3, 2, 1}};
static char why[300];

static bool holds(const char *text)
{
    why[0] = 0;
    return expression_check(&info, text, why, sizeof why);
}

static void names_have_linux_units(void **state)
{
    assert_true(holds("assert tcpi_snd_cwnd == 10"));
    assert_true(holds("assert tcpi_rtt == 20000 and tcpi_rto == 220000"));
    assert_true(holds("assert tcpi_state == TCP_ESTABLISHED"));
    assert_true(holds("assert tcpi_ca_state == TCP_CA_Recovery"));
    assert_true(holds("assert tcpi_snd_ssthresh == 2147483647"));
    assert_true(holds("assert (tcpi_unacked, 0)[0]") == false);
    assert_true(holds("assert tcpi_unacked == 7\nassert tcpi_sacked == 3\n"
                      "assert tcpi_lost == 2; assert tcpi_retrans == 1\n"));
}

static void operators_bind_as_in_python(void **state)
{
    assert_true(holds("assert 1 + 2 * 3 == 7 and (1 + 2) * 3 == 9"));
    assert_true(holds("assert not 1 == 2 or 1 / 0 == 0") == false);
    assert_true(holds("assert 1 == 1 or 2 == 1 and 2 == 3"));
    assert_true(holds("assert 1 < 2 <= 2 < 3 and not 1 < 2 < 2"));
    assert_true(holds("assert -3 < -2 and 7 // 2 == 3 and 0x10 == 16"));
}

static void what_does_not_hold_says_the_values(void **state)
{
    assert_false(holds("assert tcpi_snd_cwnd == 11, tcpi_snd_cwnd"));
    assert_non_null(strstr(why, "tcpi_snd_cwnd=10"));
    assert_false(holds("assert tcpi_state == TCP_ESTABLISHED\nassert 0"));
}

static void what_cannot_be_computed_fails(void **state)
{
    static const char *const texts[] = {"assert",
                                        "assert tcpi_no_such == 0",
                                        "assert (1",
                                        "assert 1 /",
                                        "print tcpi_rtt",
                                        "assert 1 == 1 1",
                                        "assert 1 / 0",
                                        "import os",
                                        "assert tcpi_rtt[0]"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (holds(texts[i]))
            fail_msg("%s", texts[i]);
}

static void depth_and_range_have_limits(void **state)
{
    char text[600] = "assert ";
    memset(text + strlen(text), '(', 500);
    assert_false(holds(text));
    assert_true(holds("assert 9223372036854775807 + 1 == -9223372036854775807 - 1"));
    assert_false(holds("assert (-9223372036854775807 - 1) / -1 == 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_linux_units),
        cmocka_unit_test(operators_bind_as_in_python),
        cmocka_unit_test(what_does_not_hold_says_the_values),
        cmocka_unit_test(what_cannot_be_computed_fails),
        cmocka_unit_test(depth_and_range_have_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
