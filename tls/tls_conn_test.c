/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of a connection's life: handshakes in any cut, bulk under back-pressure, closing, set
 * swaps.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_certificate ecdsa, rsa;
static const struct tls_policy plain_policy = {.alpn_http1 = true, .tls12 = true};

static struct tls_set *set_make(const struct tls_policy *policy)
{
    struct tls_certificate published[] = {
        test_certificate_publish(&ecdsa, SPAN_LITERAL("a.example\0*.wild.example"), true),
        test_certificate_publish(&rsa, SPAN_LITERAL("a.example\0rsa.example"), false),
    };
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(published, 2, policy, &set, &bad, problem), TG_OK);
    return set;
}

static struct test_end server_make(struct tls_set *set)
{
    struct test_end end = {0};
    assert_int_equal(tls_accept(set, &ecdsa, &end.conn), TG_OK);
    return end;
}

/* Bytes that tell where they belong. */
static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 8) * 7 + (i >> 16));
}

static void pattern_check(const struct test_bytes *got, size_t len)
{
    assert_int_equal(got->len - got->at, len);
    for (size_t i = 0; i < len; i++)
        if (got->data[got->at + i] != pattern(i))
            fail_msg("byte %zu differs", i);
}

/* A whole conversation in given cuts: handshake, a request, an answer, close_notify both ways. */
static void conversation(int version, const char *name, size_t cut, struct prng *random)
{
    struct tls_set *set = set_make(&plain_policy);
    struct test_end end = server_make(set);
    end.cut = cut;
    end.random = random;
    end.read_max = random ? 1 + prng_below(random, 2000) : 0;
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){
                              .version = version, .server_name = name, .alpn = "\x08http/1.1"});
    test_link_run(&peer, &end);
    assert_int_equal(peer.error, 0);
    assert_true(tls_handshake_done(end.conn));
    assert_int_equal(end.last, TG_AGAIN);

    uint8_t data[40000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = pattern(i);
    test_peer_write(&peer, data, sizeof data);
    test_link_run(&peer, &end);
    pattern_check(&end.got, sizeof data);
    size_t taken;
    assert_int_equal(tls_write(end.conn, span_make(data, sizeof data), &taken), TG_OK);
    assert_int_equal(taken, sizeof data);
    test_link_run(&peer, &end);
    pattern_check(&peer.got, sizeof data);

    SSL_shutdown(peer.ssl);
    test_link_run(&peer, &end);
    assert_int_equal(end.last, TG_END);
    assert_true(end.ends > 0);
    tls_shutdown(end.conn);
    test_link_run(&peer, &end);
    assert_true(peer.ended);
    test_peer_free(&peer);
    test_end_free(&end);
    tls_set_unref(set);
}

static void one_byte_at_a_time(void **state)
{
    conversation(TLS1_3_VERSION, "a.example", 1, NULL);
    conversation(TLS1_2_VERSION, "a.example", 1, NULL);
}

static void all_at_once(void **state)
{
    conversation(TLS1_3_VERSION, "x.wild.example", 0, NULL);
    conversation(TLS1_2_VERSION, NULL, 0, NULL);
    conversation(TLS1_3_VERSION, "rsa.example", 0, NULL);
    conversation(TLS1_2_VERSION, "rsa.example", 0, NULL);
}

static void random_cuts(void **state)
{
    struct prng random;
    prng_seed(&random, 20240229);
    for (unsigned i = 0; i < 40; i++)
        conversation(i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, i % 3 ? "a.example" : "rsa.example",
                     1 + prng_below(&random, 3000), &random);
}

static void info_tells_what_was_agreed(void **state)
{
    struct tls_set *set = set_make(&plain_policy);
    struct test_end end = server_make(set);
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.server_name = "A.Example",
                                                      .alpn = "\x02h2\x08http/1.1"});
    struct tls_info info;
    tls_get_info(end.conn, &info);
    assert_int_equal(info.server_name.len, 0);
    assert_false(tls_handshake_done(end.conn));
    test_link_run(&peer, &end);
    tls_get_info(end.conn, &info);
    assert_string_equal(info.version, "TLSv1.3");
    assert_string_equal(info.cipher, "TLS_AES_128_GCM_SHA256");
    assert_true(span_equal(info.server_name, SPAN_LITERAL("a.example")));
    assert_true(span_equal(info.alpn, SPAN_LITERAL("http/1.1")));
    assert_false(info.resumed);
    assert_int_equal(info.alert, 0);
    assert_ptr_equal(tls_conn_user(end.conn), &ecdsa);
    test_peer_free(&peer);
    test_end_free(&end);
    tls_set_unref(set);
}

/* 10 MB each way at once; our output is drained in small pieces, our reader is slow. */
static void bulk_under_back_pressure(void **state)
{
    enum { TOTAL = 10 << 20, PIECE = 100000 };
    struct tls_set *set = set_make(&plain_policy);
    struct test_end a = server_make(set), b = {0};
    struct tls_client_config config = {.server_name = SPAN_LITERAL("a.example")};
    assert_int_equal(tls_connect(&config, NULL, &b.conn), TG_OK);
    test_ends_run(&b, &a);
    assert_true(tls_handshake_done(a.conn) && tls_handshake_done(b.conn));
    static uint8_t data[TOTAL];
    for (size_t i = 0; i < TOTAL; i++)
        data[i] = pattern(i);
    size_t sent[2] = {0}, waiting_max = 0, stops = 0;
    struct test_end *ends[2] = {&a, &b};
    while (a.got.len < TOTAL || b.got.len < TOTAL) {
        for (unsigned i = 0; i < 2; i++) {
            struct test_end *from = ends[i], *to = ends[1 - i];
            size_t left = TOTAL - sent[i], taken;
            enum tg_err err = tls_write(
                from->conn, span_make(data + sent[i], left < PIECE ? left : PIECE), &taken);
            assert_true(err == TG_OK || (err == TG_AGAIN && taken == 0));
            stops += taken < PIECE;
            sent[i] += taken;
            if (tls_pending_out(from->conn) > waiting_max)
                waiting_max = tls_pending_out(from->conn);
            if (to->in.len - to->in.at < 100000)
                test_end_drain(from, &to->in, 7001);
            to->got_max = to->got.len + 5000; /* the reader takes 5000 bytes a turn */
            test_end_turn(to);
        }
    }
    assert_true(stops > 100);
    assert_in_range(waiting_max, 1, 65536);
    pattern_check(&a.got, TOTAL);
    pattern_check(&b.got, TOTAL);
    test_end_free(&b);
    test_end_free(&a);
    tls_set_unref(set);
}

/* With a reader that takes nothing, at most one record leaves the receive queue. */
static void one_record_is_taken_ahead(void **state)
{
    struct tls_set *set = set_make(&plain_policy);
    struct test_end end = server_make(set);
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.server_name = "a.example"});
    test_link_run(&peer, &end);
    static uint8_t data[100000];
    test_peer_write(&peer, data, sizeof data);
    test_peer_drain(&peer, &end.in);
    struct span all = test_bytes_span(&end.in);
    size_t consumed, n;
    assert_int_equal(tls_feed(end.conn, &all, 1, &consumed, 0), TG_OK);
    assert_in_range(consumed, 16384, 16384 + 5 + 256);
    struct span rest = span_slice(all, consumed, SIZE_MAX);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tls_feed(end.conn, &rest, 1, &consumed, 0), TG_OK);
        assert_int_equal(consumed, 0);
    }
    uint8_t room[20000];
    bool early = true;
    assert_int_equal(tls_read(end.conn, room, sizeof room, &n, &early), TG_OK);
    assert_int_equal(n, 16384);
    assert_false(early);
    assert_int_equal(tls_read(end.conn, room, sizeof room, &n, &early), TG_AGAIN);
    assert_int_equal(n, 0);
    test_peer_free(&peer);
    test_end_free(&end);
    tls_set_unref(set);
}

static void writing_stops_at_the_limit(void **state)
{
    struct tls_set *set = set_make(&plain_policy);
    struct test_end end = server_make(set);
    static uint8_t data[200000];
    size_t taken;
    assert_int_equal(tls_write(end.conn, span_make(data, 10), &taken), TG_AGAIN);
    assert_int_equal(taken, 0); /* no handshake yet */
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.server_name = "a.example"});
    test_link_run(&peer, &end);
    assert_int_equal(tls_write(end.conn, SPAN_EMPTY, &taken), TG_OK);
    assert_int_equal(tls_pending_out(end.conn), 0);
    assert_int_equal(tls_write(end.conn, span_make(data, sizeof data), &taken), TG_OK);
    assert_in_range(taken, 60000, 65536);
    assert_int_equal(tls_write(end.conn, span_make(data, sizeof data), &taken), TG_AGAIN);
    assert_int_equal(taken, 0);
    assert_in_range(tls_pending_out(end.conn), 60000, 65536);
    uint8_t room[40000];
    assert_int_equal(tls_drain(end.conn, room, sizeof room), sizeof room);
    assert_int_equal(tls_write(end.conn, span_make(data, sizeof data), &taken), TG_OK);
    tls_shutdown(end.conn);
    assert_int_equal(tls_write(end.conn, span_make(data, 10), &taken), TG_AGAIN);
    test_peer_free(&peer);
    test_end_free(&end);
    tls_set_unref(set);
}

/* The peer's close_notify ends reading only: we may still write (RFC 8446 s6.1). */
static void half_close(void **state)
{
    struct tls_set *set = set_make(&plain_policy);
    struct test_end end = server_make(set);
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.server_name = "a.example"});
    test_link_run(&peer, &end);
    test_peer_write(&peer, "last words", 10);
    SSL_shutdown(peer.ssl);
    test_peer_drain(&peer, &end.in);
    test_bytes_add(&end.in, "noise after the end", 19);
    test_end_turn(&end);
    assert_int_equal(end.last, TG_END);
    assert_int_equal(end.got.len, 10);
    assert_int_equal(end.in.at, end.in.len); /* the noise is swallowed */
    size_t taken;
    assert_int_equal(tls_write(end.conn, SPAN_LITERAL("answer"), &taken), TG_OK);
    tls_shutdown(end.conn);
    tls_shutdown(end.conn);
    test_link_run(&peer, &end);
    assert_int_equal(peer.got.len, 6);
    assert_true(peer.ended);
    test_peer_free(&peer);
    test_end_free(&end);
    tls_set_unref(set);
}

/* A set swap while connections live: the old set goes with its last connection (ASan watches). */
static void swap_under_live_connections(void **state)
{
    struct tls_set *old = set_make(&plain_policy);
    struct test_end end = server_make(old), late = server_make(old);
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.server_name = "a.example"});
    test_link_run(&peer, &end);
    struct tls_set *fresh = set_make(&plain_policy);
    tls_set_unref(old);
    test_peer_write(&peer, "still here", 10);
    test_link_run(&peer, &end);
    assert_int_equal(end.got.len, 10);
    struct test_peer late_peer; /* accepted before the swap, shakes hands after it */
    test_peer_make(&late_peer, &(struct test_peer_options){.server_name = "a.example"});
    test_link_run(&late_peer, &late);
    assert_true(tls_handshake_done(late.conn));
    test_peer_free(&peer);
    test_peer_free(&late_peer);
    test_end_free(&end);
    test_end_free(&late);
    tls_set_ref(fresh);
    tls_set_unref(fresh);
    tls_set_unref(fresh);
}

static int certificates_make(void **state)
{
    test_certificate_make(&ecdsa, TEST_KEY_P256, "DNS:a.example", NULL);
    test_certificate_make(&rsa, TEST_KEY_RSA, "DNS:rsa.example", NULL);
    return tls_start() == TG_OK ? 0 : -1;
}

static int certificates_free(void **state)
{
    test_certificate_free(&ecdsa);
    test_certificate_free(&rsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_byte_at_a_time),
        cmocka_unit_test(all_at_once),
        cmocka_unit_test(random_cuts),
        cmocka_unit_test(info_tells_what_was_agreed),
        cmocka_unit_test(bulk_under_back_pressure),
        cmocka_unit_test(one_record_is_taken_ahead),
        cmocka_unit_test(writing_stops_at_the_limit),
        cmocka_unit_test(half_close),
        cmocka_unit_test(swap_under_live_connections),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_free);
}
