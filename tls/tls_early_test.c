/* SPDX-License-Identifier: BSD-3-Clause
 * Early data counts once: a captured first flight, sent again and again to the same worker, to another worker
 * of the node, to another node, and to the node after a restart.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "tls/tls_replay.h"
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <string.h>
#include <time.h>

static struct test_certificate ecdsa;

static struct tls_set *set_make_with(struct tls_replay *replay, uint16_t node, uint32_t most,
                                     bool key_elsewhere)
{
    const struct tls_policy policy = {.alpn_http1 = true,
                                      .tls12 = true,
                                      .early_data_max = most,
                                      .replay = replay,
                                      .node_slot = node};
    struct tls_certificate published =
        test_certificate_publish(&ecdsa, SPAN_LITERAL("a.example"), true);
    if (key_elsewhere)
        published.key_pem = SPAN_EMPTY;
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&published, 1, &policy, &set, &bad, problem), TG_OK);
    return set;
}

static struct tls_set *set_make(struct tls_replay *replay, uint16_t node)
{
    return set_make_with(replay, node, 8192, false);
}

static uint64_t wall_now(void)
{
    return (uint64_t)time(NULL);
}

static struct tls_replay *register_make(uint64_t start_s)
{
    struct tls_replay *replay;
    assert_int_equal(tls_replay_create(4096, start_s, &replay), TG_OK);
    return replay;
}

static struct test_end server_make(struct tls_set *set)
{
    struct test_end end = {.now_s = wall_now()};
    assert_int_equal(tls_accept(set, NULL, &end.conn), TG_OK);
    return end;
}

static SSL_SESSION *ticket_get(struct tls_set *set)
{
    struct test_end end = server_make(set);
    struct test_peer peer;
    test_peer_make(
        &peer, &(struct test_peer_options){.version = TLS1_3_VERSION, .server_name = "a.example"});
    test_link_run(&peer, &end);
    SSL_SESSION *session = peer.session;
    assert_non_null(session);
    peer.session = NULL;
    test_peer_free(&peer);
    test_end_free(&end);
    return session;
}

/* A client's first flight with an early request, as an observer on the wire holds it. */
static void flight_capture(SSL_SESSION *session, struct test_bytes *flight)
{
    struct test_peer peer;
    size_t n;
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    assert_int_equal(SSL_write_early_data(peer.ssl, "GET / HTTP/1.1\r\n\r\n", 18, &n), 1);
    test_peer_drain(&peer, flight);
    test_peer_free(&peer);
}

/* Bytes of early data that a worker accepts when the flight comes in. */
static size_t flight_send(struct tls_set *set, const struct test_bytes *flight)
{
    struct test_end end = server_make(set);
    struct span bytes = test_bytes_span(flight);
    test_bytes_add(&end.in, bytes.data, bytes.len);
    test_end_turn(&end);
    size_t early = end.early;
    test_end_free(&end);
    return early;
}

static void a_captured_flight_counts_once_on_a_node(void **state)
{
    struct tls_replay *replay = register_make(wall_now() - 100);
    struct tls_set *worker0 = set_make(replay, 1), *worker1 = set_make(replay, 1);
    SSL_SESSION *session = ticket_get(worker0);
    struct test_bytes flight = {0};
    flight_capture(session, &flight);
    unsigned accepted = 0;
    for (unsigned i = 0; i < 100; i++) {
        size_t early = flight_send(i % 2 ? worker1 : worker0, &flight);
        assert_true(early == 0 || early == 18);
        accepted += early > 0;
    }
    assert_int_equal(accepted, 1);
    /* another flight under the same ticket is another flight */
    struct test_bytes second = {0};
    flight_capture(session, &second);
    assert_int_equal(flight_send(worker1, &second), 18);
    test_bytes_free(&flight);
    test_bytes_free(&second);
    SSL_SESSION_free(session);
    tls_set_unref(worker0);
    tls_set_unref(worker1);
    tls_replay_free(replay);
}

static void another_node_resumes_but_takes_no_early_data(void **state)
{
    struct tls_replay *here = register_make(wall_now() - 100),
                      *there = register_make(wall_now() - 100);
    struct tls_set *a = set_make(here, 1), *b = set_make(there, 2);
    SSL_SESSION *session = ticket_get(a);
    struct test_bytes flight = {0};
    flight_capture(session, &flight);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(flight_send(b, &flight), 0);
    /* the same client, let on: resumed by the foreign ticket, its early data refused, not lost */
    struct test_end end = server_make(b);
    struct test_peer peer;
    struct tls_info info;
    size_t n;
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    assert_int_equal(SSL_write_early_data(peer.ssl, "early", 5, &n), 1);
    test_link_run(&peer, &end);
    tls_get_info(end.conn, &info);
    assert_true(info.resumed && tls_handshake_done(end.conn));
    assert_int_equal(SSL_get_early_data_status(peer.ssl), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(end.got.len, 0);
    assert_int_equal(flight_send(a, &flight), 18);
    test_peer_free(&peer);
    test_end_free(&end);
    test_bytes_free(&flight);
    SSL_SESSION_free(session);
    tls_set_unref(a);
    tls_set_unref(b);
    tls_replay_free(here);
    tls_replay_free(there);
}

static void a_restarted_node_refuses_until_the_window_is_over(void **state)
{
    struct tls_replay *before = register_make(wall_now() - 100), *after = register_make(wall_now());
    struct tls_set *old = set_make(before, 1), *fresh = set_make(after, 1);
    SSL_SESSION *session = ticket_get(old);
    struct test_bytes flight = {0};
    flight_capture(session, &flight);
    assert_int_equal(flight_send(old, &flight), 18);
    assert_int_equal(flight_send(fresh, &flight), 0);
    test_bytes_free(&flight);
    SSL_SESSION_free(session);
    tls_set_unref(old);
    tls_set_unref(fresh);
    tls_replay_free(before);
    tls_replay_free(after);
}

/* Without a register (tests of the record path) nothing is guarded: the control experiment. */
static void without_a_register_every_replay_counts(void **state)
{
    struct tls_set *set = set_make(NULL, 1);
    SSL_SESSION *session = ticket_get(set);
    struct test_bytes flight = {0};
    flight_capture(session, &flight);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(flight_send(set, &flight), 18);
    test_bytes_free(&flight);
    SSL_SESSION_free(session);
    tls_set_unref(set);
}

/* Answers before the client's Finished, in the middle of early data and after its end, as much as the output takes;
 * none where no early data was accepted. */
static void answers_before_finished(void **state)
{
    struct tls_replay *replay = register_make(wall_now() - 100);
    struct tls_set *set = set_make(replay, 1);
    SSL_SESSION *session = ticket_get(set);
    struct test_end end = server_make(set);
    struct test_peer peer;
    static uint8_t large[200000];
    size_t n, taken, all = 0;
    memset(large, 'L', sizeof large);
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    assert_int_equal(SSL_write_early_data(peer.ssl, "one", 3, &n), 1);
    assert_int_equal(tls_early_answer(end.conn), TLS_EARLY_NONE);
    assert_int_equal(tls_write(end.conn, SPAN_LITERAL("x"), &taken), TG_AGAIN);
    test_peer_drain(&peer, &end.in);
    test_end_turn(&end);
    assert_int_equal(end.early, 3);
    assert_int_equal(tls_early_answer(end.conn), TLS_EARLY_ACCEPTED);
    assert_true(tls_early_open(end.conn) && !tls_handshake_done(end.conn));
    assert_int_equal(tls_write(end.conn, SPAN_LITERAL("first"), &taken), TG_OK);
    /* more early data, another answer; the peer's Finished is held back all the time */
    assert_int_equal(SSL_write_early_data(peer.ssl, "two", 3, &n), 1);
    test_peer_drain(&peer, &end.in);
    test_end_turn(&end);
    assert_int_equal(end.early, 6);
    while (all < sizeof large) {
        struct test_bytes out = {0};
        enum tg_err err = tls_write(end.conn, span_make(large + all, sizeof large - all), &taken);
        assert_true(err == TG_OK || err == TG_AGAIN);
        assert_true(tls_pending_out(end.conn) <= 98304);
        all += taken;
        test_end_drain(&end, &out, SIZE_MAX);
        test_peer_feed(&peer, test_bytes_span(&out));
        test_bytes_free(&out);
    }
    test_peer_turn(&peer);
    assert_int_equal(peer.got.len, 5 + sizeof large);
    assert_memory_equal(peer.got.data, "first", 5);
    assert_memory_equal(peer.got.data + 5, large, sizeof large);
    assert_false(tls_handshake_done(end.conn));
    test_link_run(&peer, &end);
    assert_true(tls_handshake_done(end.conn) && !tls_early_open(end.conn));
    assert_int_equal(tls_early_answer(end.conn), TLS_EARLY_ACCEPTED);
    assert_int_equal(tls_write(end.conn, SPAN_LITERAL("last"), &taken), TG_OK);
    test_link_run(&peer, &end);
    assert_int_equal(peer.got.len, 9 + sizeof large);
    test_peer_free(&peer);
    test_end_free(&end);
    SSL_SESSION_free(session);
    tls_set_unref(set);
    tls_replay_free(replay);
}

/* A node that keeps less now than it did before a restart: a ticket of then may promise too much. */
static void a_ticket_that_promises_too_much_resumes_only(void **state)
{
    struct tls_replay *replay = register_make(wall_now() - 100);
    struct tls_set *before = set_make(replay, 1), *now = set_make_with(replay, 1, 4096, false);
    SSL_SESSION *session = ticket_get(before);
    struct test_bytes flight = {0};
    flight_capture(session, &flight);
    assert_int_equal(flight_send(now, &flight), 0);
    SSL_SESSION_free(session);
    session = ticket_get(now);
    flight.at = flight.len = 0;
    flight_capture(session, &flight);
    assert_int_equal(flight_send(before, &flight), 18);
    test_bytes_free(&flight);
    SSL_SESSION_free(session);
    tls_set_unref(before);
    tls_set_unref(now);
    tls_replay_free(replay);
}

/* As much as any node promises, at a node that takes less or none: skipped to the last byte, never an alert. */
static void refused_early_data_is_skipped(void **state)
{
    static const uint32_t takes[] = {0, 1, 4096, 16384};
    static uint8_t data[60000];
    struct tls_replay *replay = register_make(wall_now() - 100);
    struct tls_set *large = set_make_with(replay, 1, 65536, false);
    SSL_SESSION *session = ticket_get(large);
    for (unsigned i = 0; i < TG_ARRAY_LEN(takes); i++) {
        struct tls_set *small = set_make_with(replay, 1, takes[i], false);
        struct test_end end = server_make(small);
        struct test_peer peer;
        size_t at = 0, n;
        test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                          .server_name = "a.example",
                                                          .session = session});
        for (; at < sizeof data; at += n)
            assert_int_equal(SSL_write_early_data(peer.ssl, data, sizeof data - at, &n), 1);
        test_link_run(&peer, &end);
        assert_int_equal(peer.error, 0);
        assert_true(tls_handshake_done(end.conn));
        assert_int_equal(tls_early_answer(end.conn), TLS_EARLY_REFUSED);
        test_peer_write(&peer, "again", 5);
        test_link_run(&peer, &end);
        assert_int_equal(end.got.len, 5);
        assert_int_equal(end.early, 0);
        test_peer_free(&peer);
        test_end_free(&end);
        tls_set_unref(small);
    }
    SSL_SESSION_free(session);
    tls_set_unref(large);
    tls_replay_free(replay);
}

/* Where the private key lies elsewhere, handshakes run in jobs; a ticket needs no key, and its early data and the
 * answer to it none either. */
static void early_data_where_the_key_is_elsewhere(void **state)
{
    struct tls_replay *replay = register_make(wall_now() - 100);
    struct tls_set *local = set_make(replay, 1), *keyless = set_make_with(replay, 1, 8192, true);
    SSL_SESSION *session = ticket_get(local);
    struct test_end end = server_make(keyless);
    struct test_peer peer;
    size_t n, taken;
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    assert_int_equal(SSL_write_early_data(peer.ssl, "early", 5, &n), 1);
    test_peer_drain(&peer, &end.in);
    end.cut = 7;
    test_end_turn(&end);
    assert_int_equal(end.early, 5);
    assert_int_equal(tls_write(end.conn, SPAN_LITERAL("answer"), &taken), TG_OK);
    assert_false(tls_handshake_done(end.conn));
    test_link_run(&peer, &end);
    assert_true(tls_handshake_done(end.conn));
    assert_int_equal(peer.got.len, 6);
    assert_int_equal(SSL_get_early_data_status(peer.ssl), SSL_EARLY_DATA_ACCEPTED);
    test_peer_free(&peer);
    test_end_free(&end);
    SSL_SESSION_free(session);
    tls_set_unref(local);
    tls_set_unref(keyless);
    tls_replay_free(replay);
}

/* Why it was refused: the counters tell an attack from a client that roams. */
static void the_reason_is_told(void **state)
{
    struct tls_replay *replay = register_make(wall_now() - 100), *young = register_make(wall_now());
    struct tls_set *here = set_make(replay, 1), *there = set_make(replay, 2);
    struct tls_set *fresh = set_make(young, 1);
    SSL_SESSION *session = ticket_get(here);
    struct test_bytes flight = {0};
    struct tls_set *const sets[] = {there, fresh, here, here, there};
    static const enum tls_early wants[] = {TLS_EARLY_REFUSED, TLS_EARLY_REFUSED, TLS_EARLY_ACCEPTED,
                                           TLS_EARLY_REPLAYED, TLS_EARLY_REFUSED};
    flight_capture(session, &flight);
    for (unsigned i = 0; i < 5; i++) {
        struct test_end end = server_make(sets[i]);
        struct span bytes = test_bytes_span(&flight);
        size_t taken;
        test_bytes_add(&end.in, bytes.data, bytes.len);
        test_end_turn(&end);
        assert_int_equal(tls_early_answer(end.conn), wants[i]);
        assert_int_equal(tls_early_open(end.conn), wants[i] == TLS_EARLY_ACCEPTED);
        assert_int_equal(tls_write(end.conn, SPAN_LITERAL("x"), &taken),
                         wants[i] == TLS_EARLY_ACCEPTED ? TG_OK : TG_AGAIN);
        test_end_free(&end);
    }
    test_bytes_free(&flight);
    SSL_SESSION_free(session);
    tls_set_unref(here);
    tls_set_unref(there);
    tls_set_unref(fresh);
    tls_replay_free(replay);
    tls_replay_free(young);
}

static int start(void **state)
{
    if (tls_start() != TG_OK)
        return -1;
    test_certificate_make(&ecdsa, TEST_KEY_P256, "DNS:a.example", NULL);
    return 0;
}

static int stop(void **state)
{
    test_certificate_free(&ecdsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_captured_flight_counts_once_on_a_node),
        cmocka_unit_test(another_node_resumes_but_takes_no_early_data),
        cmocka_unit_test(a_restarted_node_refuses_until_the_window_is_over),
        cmocka_unit_test(without_a_register_every_replay_counts),
        cmocka_unit_test(answers_before_finished),
        cmocka_unit_test(a_ticket_that_promises_too_much_resumes_only),
        cmocka_unit_test(refused_early_data_is_skipped),
        cmocka_unit_test(early_data_where_the_key_is_elsewhere),
        cmocka_unit_test(the_reason_is_told),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
