/* SPDX-License-Identifier: BSD-3-Clause
 * .pkt scripts as events: what each form means, and where an error is told.
 */
#include "net/wire.h"
#include "tests/packet/script.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct script script;

static const struct script_event *parsed(const char *text)
{
    script_free(&script);
    if (!script_parse(text, strlen(text), &script))
        fail_msg("%s", script.error);
    assert_true(script.count > 0);
    return &script.events[0];
}

static void refused(const char *text, const char *error)
{
    script_free(&script);
    assert_false(script_parse(text, strlen(text), &script));
    assert_string_equal(script.error, error);
}

static void times(void **state)
{
    const struct script_event *e = parsed("+.5 close(3) = 0");
    assert_int_equal(e->time_kind, TIME_RELATIVE);
    assert_int_equal(e->time_ns, 500000000);
    assert_int_equal(e->time_end_ns, -1);
    e = parsed("2 close(3) = 0");
    assert_int_equal(e->time_kind, TIME_ABSOLUTE);
    e = parsed("* > . 1:1(0) ack 1");
    assert_int_equal(e->time_kind, TIME_ANY);
    e = parsed("+.1~+.2 > . 1:1(0) ack 1");
    assert_int_equal(e->time_end_ns, 200000000);
    assert_false(e->blocking);
    e = parsed("0...1.25 accept(3, ..., ...) = 4");
    assert_int_equal(e->time_end_ns, 1250000000);
    assert_true(e->blocking);
}

static void segments(void **state)
{
    const struct script_segment *s =
        &parsed("+0 < [ce] FP.EW 4294967295:9(10) ack 7 win 65535 urg 3 <mss 1460,nop,wscale 14,"
                "sackOK,TS val 1 ecr 2>")
             ->segment;
    assert_int_equal(s->flags, TCP_FIN | TCP_PSH | TCP_ACK | SCRIPT_FLAG_ECE | SCRIPT_FLAG_CWR);
    assert_int_equal(s->seq, 4294967295u);
    assert_int_equal(s->len, 10);
    assert_int_equal(s->ack, 7);
    assert_int_equal(s->window, 65535);
    assert_int_equal(s->urgent, 3);
    assert_int_equal(s->ecn, ECN_CE);
    assert_int_equal(s->options.mss, 1460);
    assert_int_equal(s->options.wscale, 14);
    assert_true(s->options.sack_permitted);
    assert_int_equal(s->options.ts_echo, 2);
    static const uint8_t kinds[] = {2, 1, 3, 4, 8};
    assert_int_equal(s->kind_count, sizeof kinds);
    assert_memory_equal(s->kinds, kinds, sizeof kinds);
}

static void sack_blocks_and_wildcards(void **state)
{
    const struct script_segment *s = &parsed("> . 1:1(0) ack 1 <nop,nop,sack 5:6 9:12>")->segment;
    assert_int_equal(s->options.sack_count, 2);
    assert_int_equal(s->options.sack[1].left, 9);
    assert_int_equal(s->options.sack[1].right, 12);
    assert_false(s->has_window);
    s = &parsed("> S 0:0(0) <...>")->segment;
    assert_true(s->any_options);
    s = &parsed("> . 1:1(0) ack 1 <nop,nop,TS val ... ecr 5>")->segment;
    assert_true(s->any_ts_value);
    assert_false(s->any_ts_echo);
}

static void a_segment_ends_with_its_line(void **state)
{
    parsed("> . 1:1(0) ack 1\n< . 1:1(0) ack 1 win 5\n");
    assert_int_equal(script.count, 2);
    assert_int_equal(script.events[1].kind, EVENT_IN);
    assert_int_equal(script.events[1].line, 2);
}

static void icmp(void **state)
{
    const struct script_event *e =
        parsed("+0 < icmp unreachable frag_needed mtu 1000 [1:1461(1460)]");
    assert_int_equal(e->kind, EVENT_ICMP);
    assert_string_equal(e->icmp.name, "frag_needed");
    assert_int_equal(e->icmp.mtu, 1000);
    assert_int_equal(e->icmp.len, 1460);
    e = parsed("+0 < icmp packet_too_big mtu 1280 [1:2(1)]");
    assert_string_equal(e->icmp.name, "");
}

static void calls(void **state)
{
    const struct script_call *c = &parsed("+0 sendmsg(4, {msg_name(...)=..., msg_iov(1)=[{..., "
                                          "9}], msg_flags=0}, 0) = -1 EAGAIN (x)")
                                       ->call;
    assert_string_equal(c->name, "sendmsg");
    assert_int_equal(c->arg_count, 3);
    assert_int_equal(c->args[0].number, 4);
    assert_string_equal(c->args[1].text, "{msg_name(...)=..., msg_iov(1)=[{..., 9}], msg_flags=0}");
    assert_int_equal(c->result.number, -1);
    assert_string_equal(c->error, "EAGAIN");
    c = &parsed("+0 getsockopt(3, SOL_TCP, TCP_INFO, ..., ...) = ...")->call;
    assert_false(c->result.is_number);
    c = &parsed("+0 setsockopt(3, SOL_SOCKET, SO_SNDBUF, [5000], 4) = 0")->call;
    assert_true(c->args[3].is_number);
    assert_int_equal(c->args[3].number, 5000);
}

static void code_and_commands(void **state)
{
    const struct script_event *e = parsed("`sysctl -q a=1\n b=2`\n+0 %{ assert 1 == 1 }%");
    assert_int_equal(e->kind, EVENT_COMMAND);
    assert_string_equal(e->text, "sysctl -q a=1\n b=2");
    assert_int_equal(script.events[1].kind, EVENT_CODE);
    assert_int_equal(script.events[1].line, 3);
}

static void settings(void **state)
{
    parsed("--tolerance_usecs=9000\n--ip_version=ipv6\n--mss=1000\n--turns\n0 close(3) = 0");
    assert_int_equal(script.tolerance_us, 9000);
    assert_true(script.turns);
    assert_false(script.ip4);
    assert_true(script.ip6);
}

static void errors_say_where(void **state)
{
    refused("+0 > X 1:1(0)", "1:6: TCP flags were expected: letters of SFRPU.EW, or -");
    refused("0 close(3) = 0\n+0 < . 1:5(3) ack 1",
            "2:14: end minus sequence number is not the length");
    refused("+0 < S 0:0(0) win 65536", "1:24: a window has 16 bits");
    refused("+0 < S 0:0(0) <mss 65536>", "1:25: an MSS has 16 bits");
    refused("+0 < S 0:0(0) <what 1>",
            "1:16: no such TCP option: mss, wscale, sackOK, sack, TS, nop, eol");
    refused("+0 close(3 = 0", "1:15: ',' or ')' was expected");
    refused("+0 close(3)", "1:12: '=' was expected");
    refused("+0 `true", "1:9: the text is not closed");
    refused("+x", "1:2: a time in seconds was expected");
    refused("+0 < [ecn] . 1:1(0)", "1:11: noecn, ect0, ect1 or ce was expected");
}

static void cut_anywhere_it_is_read_or_refused(void **state)
{
    static const char text[] = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
                               "+.1 < [ect0] SEW 0:0(0) win 5 <mss 1000,sackOK,nop,wscale 7>\n"
                               "+0...1 read(4, ..., 5) = -1 EAGAIN (x)\n"
                               "+0 < icmp unreachable frag_needed mtu 1000 [1:2(1)]\n"
                               "%{ assert tcpi_rto > 1 }%\n`x`";
    for (size_t n = 0; n < sizeof text; n++) {
        char *copy = malloc(n ? n : 1); /* its end is the heap's: a byte too far is seen */
        memcpy(copy, text, n);
        script_free(&script);
        if (!script_parse(copy, n, &script))
            assert_true(script.error[0] >= '1' && script.error[0] <= '9');
        free(copy);
    }
    script_free(&script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),
        cmocka_unit_test(segments),
        cmocka_unit_test(sack_blocks_and_wildcards),
        cmocka_unit_test(a_segment_ends_with_its_line),
        cmocka_unit_test(icmp),
        cmocka_unit_test(calls),
        cmocka_unit_test(code_and_commands),
        cmocka_unit_test(settings),
        cmocka_unit_test(errors_say_where),
        cmocka_unit_test(cut_anywhere_it_is_read_or_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
