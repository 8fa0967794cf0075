/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of what a broken or hostile peer sends: flipped bytes, garbage, oversized and truncated
 * records, floods of messages. Asked each time: an alert or silence, a clean end, no wrong
 * plaintext, bounded output.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_certificate ecdsa;
static struct tls_set *set;

static struct test_end server_make(void)
{
    struct test_end end = {0};
    assert_int_equal(tls_accept(set, NULL, &end.conn), TG_OK);
    return end;
}

static unsigned alert_of(const struct test_end *end)
{
    struct tls_info info;
    tls_get_info(end->conn, &info);
    return info.alert;
}

/* A failed connection does nothing more, and says so from every function. */
static void dead_check(struct test_end *end)
{
    size_t n;
    bool early;
    uint8_t room[8];
    struct span more = SPAN_LITERAL("more");
    assert_int_equal(end->last, TG_BAD_INPUT);
    assert_int_equal(tls_feed(end->conn, &more, 1, &n, 0), TG_BAD_INPUT);
    assert_int_equal(tls_read(end->conn, room, sizeof room, &n, &early), TG_BAD_INPUT);
    assert_int_equal(tls_write(end->conn, more, &n), TG_BAD_INPUT);
    assert_int_equal(n, 0);
    assert_false(tls_handshake_done(end->conn));
    size_t waiting = tls_pending_out(end->conn);
    tls_shutdown(end->conn);
    assert_int_equal(tls_pending_out(end->conn), waiting);
}

struct open_pair {
    struct test_end end;
    struct test_peer peer;
};

static void pair_open(struct open_pair *p, int version)
{
    p->end = server_make();
    test_peer_make(&p->peer,
                   &(struct test_peer_options){.version = version, .server_name = "a.example"});
    test_link_run(&p->peer, &p->end);
    assert_int_equal(p->peer.error, 0);
    assert_true(tls_handshake_done(p->end.conn));
}

static void pair_free(struct open_pair *p)
{
    test_peer_free(&p->peer);
    test_end_free(&p->end);
}

/* Run a whole client conversation with bit `bit` of byte `at` of the client's stream flipped.
 * Returns false when the stream is shorter. */
static bool flipped_conversation(int version, size_t at, unsigned bit, unsigned *unharmed)
{
    struct test_end end = server_make();
    struct test_peer peer;
    struct test_bytes back = {0};
    test_peer_make(&peer, &(struct test_peer_options){.version = version,
                                                      .server_name = "a.example",
                                                      .alpn = "\x08http/1.1"});
    size_t sent = 0, moved;
    bool written = false, hit = false;
    do {
        test_peer_turn(&peer);
        if (!written && SSL_is_init_finished(peer.ssl)) {
            test_peer_write(&peer, "only this may arrive", 20);
            SSL_shutdown(peer.ssl);
            written = true;
        }
        size_t before = end.in.len == end.in.at ? 0 : end.in.len;
        moved = test_peer_drain(&peer, &end.in);
        if (at >= sent && at < sent + moved) {
            end.in.data[before + at - sent] ^= (uint8_t)(1u << bit);
            hit = true;
        }
        sent += moved;
        test_end_turn(&end);
        moved += test_end_drain(&end, &back, SIZE_MAX);
        test_peer_feed(&peer, test_bytes_span(&back));
        back.at = back.len;
    } while (moved);
    if (end.got.len) {
        assert_int_equal(end.got.len, 20);
        assert_memory_equal(end.got.data, "only this may arrive", 20);
    }
    if (hit) {
        /* no byte may be changed unseen: the handshake's hash or the record's tag covers it, save
         * in header fields that both sides ignore (versions) */
        bool whole = end.got.len == 20 && end.last == TG_END;
        assert_true(whole || end.last == TG_BAD_INPUT || end.last == TG_AGAIN);
        *unharmed += whole;
        if (end.last == TG_BAD_INPUT)
            dead_check(&end);
    } else {
        assert_int_equal(end.last, TG_END);
    }
    test_bytes_free(&back);
    test_peer_free(&peer);
    test_end_free(&end);
    return hit;
}

static void any_flipped_byte(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (unsigned v = 0; v < 2; v++) {
        size_t at = 0;
        unsigned unharmed = 0;
        while (flipped_conversation(versions[v], at, (unsigned)at % 8, &unharmed))
            at++;
        assert_in_range(at, 250, 1000);
        assert_in_range(unharmed, 0, 2); /* the version of the first record is not looked at */
    }
}

/* A flipped byte in a record of an open connection, anywhere in its sealed part. */
static void flipped_record(int version, bool closing)
{
    for (size_t at = 5; at < 27; at++) {
        struct open_pair p;
        pair_open(&p, version);
        if (closing)
            SSL_shutdown(p.peer.ssl);
        else
            test_peer_write(&p.peer, "data", 4);
        test_peer_drain(&p.peer, &p.end.in);
        if (at < p.end.in.len) {
            p.end.in.data[at] ^= 0x20;
            test_end_turn(&p.end);
            assert_int_equal(alert_of(&p.end), SSL_AD_BAD_RECORD_MAC);
            assert_int_equal(p.end.got.len, 0);
            assert_true(tls_pending_out(p.end.conn) > 0);
            dead_check(&p.end);
        }
        pair_free(&p);
    }
}

static void flipped_data_and_alert(void **state)
{
    flipped_record(TLS1_3_VERSION, false);
    flipped_record(TLS1_3_VERSION, true);
    flipped_record(TLS1_2_VERSION, false);
    flipped_record(TLS1_2_VERSION, true);
}

static void replayed_and_reordered_records(void **state)
{
    struct open_pair p;
    pair_open(&p, TLS1_3_VERSION);
    test_peer_write(&p.peer, "once", 4);
    test_peer_drain(&p.peer, &p.end.in);
    struct test_bytes copy = {0};
    struct span all = test_bytes_span(&p.end.in);
    test_bytes_add(&copy, all.data, all.len);
    test_end_turn(&p.end);
    assert_int_equal(p.end.got.len, 4);
    test_bytes_add(&p.end.in, copy.data, copy.len);
    test_end_turn(&p.end);
    assert_int_equal(p.end.got.len, 4);
    dead_check(&p.end);
    test_bytes_free(&copy);
    pair_free(&p);
}

/* Feed one connection these bytes, before any handshake; it must fail, with this alert (0: none).
 */
static void refuse_first_bytes(struct span bytes, unsigned alert)
{
    struct test_end end = server_make();
    test_bytes_add(&end.in, bytes.data, bytes.len);
    test_end_turn(&end);
    assert_int_equal(alert_of(&end), alert);
    assert_int_equal(tls_pending_out(end.conn), alert ? 7 : 0);
    dead_check(&end);
    test_end_free(&end);
}

static void not_tls_at_all(void **state)
{
    refuse_first_bytes(SPAN_LITERAL("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), 0);
    refuse_first_bytes(SPAN_LITERAL("SSH-2.0-OpenSSH_9.2\r\n"), 0);
    refuse_first_bytes(SPAN_LITERAL("\x16\x03\x01\x00\x04\x02\x00\x00\x00"),
                       SSL_AD_UNEXPECTED_MESSAGE); /* a ServerHello */
    refuse_first_bytes(SPAN_LITERAL("\x17\x03\x03\x00\x10"
                                    "0123456789abcdef"),
                       SSL_AD_UNEXPECTED_MESSAGE); /* data before a handshake */
    refuse_first_bytes(SPAN_LITERAL("\x16\x03\x01\x00\x04\x01\xff\xff\xff"),
                       SSL_AD_ILLEGAL_PARAMETER); /* a ClientHello of 16 MB */
}

static void oversized_records(void **state)
{
    /* RFC 8446 s5.1 and s5.2: 2^14 bytes in the clear, 2^14 + 256 sealed */
    refuse_first_bytes(SPAN_LITERAL("\x16\x03\x01\xff\xff\x01"), SSL_AD_RECORD_OVERFLOW);
    struct open_pair p;
    pair_open(&p, TLS1_3_VERSION);
    static uint8_t record[5 + 16384 + 257] = {0x17, 0x03, 0x03, 0x41, 0x01};
    test_bytes_add(&p.end.in, record, sizeof record);
    test_end_turn(&p.end);
    assert_int_equal(alert_of(&p.end), SSL_AD_RECORD_OVERFLOW);
    dead_check(&p.end);
    pair_free(&p);
}

static void random_garbage(void **state)
{
    struct prng random;
    prng_seed(&random, 77);
    unsigned failed = 0;
    for (unsigned i = 0; i < 300; i++) {
        struct test_end end = server_make();
        uint8_t bytes[600];
        for (size_t k = 0; k < sizeof bytes; k++)
            bytes[k] = (uint8_t)prng_next(&random);
        if (i % 2) /* a believable header, so that more is read */
            memcpy(bytes, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11);
        test_bytes_add(&end.in, bytes, sizeof bytes);
        test_end_turn(&end);
        assert_false(tls_handshake_done(end.conn));
        failed += end.last == TG_BAD_INPUT;
        test_end_free(&end);
    }
    assert_in_range(failed, 290, 300);
}

/* The peer stops in mid-record and goes: nothing is delivered, nothing said, no TG_END (the caller
 * sees TCP's end and knows that the stream is cut). */
static void truncated_stream(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    for (unsigned v = 0; v < 2; v++) {
        struct open_pair p;
        pair_open(&p, versions[v]);
        test_peer_write(&p.peer, "whole", 5);
        test_peer_write(&p.peer, "never whole", 11);
        test_peer_drain(&p.peer, &p.end.in);
        p.end.in.len -= 1;
        test_end_turn(&p.end);
        assert_int_equal(p.end.last, TG_AGAIN);
        assert_int_equal(p.end.got.len, 5);
        assert_int_equal(p.end.ends, 0);
        assert_int_equal(tls_pending_out(p.end.conn), 0);
        pair_free(&p);
    }
    for (size_t len = 0; len < 200; len += 13) { /* and in mid-ClientHello */
        struct test_end end = server_make();
        struct test_peer peer;
        test_peer_make(&peer, &(struct test_peer_options){.server_name = "a.example"});
        test_peer_turn(&peer);
        test_peer_drain(&peer, &end.in);
        end.in.len = len;
        test_end_turn(&end);
        assert_int_equal(end.last, TG_AGAIN);
        test_peer_free(&peer);
        test_end_free(&end);
    }
}

/* Key updates that ask for ours, without end, from a peer that reads nothing: our output stays
 * bounded, then so does what we take. */
static void key_update_flood(void **state)
{
    struct open_pair p;
    pair_open(&p, TLS1_3_VERSION);
    size_t fed = 0;
    for (unsigned i = 0; i < 6000; i++) {
        assert_int_equal(SSL_key_update(p.peer.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(p.peer.ssl), 1);
        fed += test_peer_drain(&p.peer, &p.end.in);
    }
    /* one call works through a bounded number */
    struct span all = test_bytes_span(&p.end.in);
    size_t consumed;
    assert_int_equal(tls_feed(p.end.conn, &all, 1, &consumed, 0), TG_OK);
    assert_in_range(consumed, 1, 2000);
    p.end.in.at += consumed;
    test_end_turn(&p.end);
    assert_int_equal(p.end.last, TG_OK);
    assert_true(p.end.in.at < p.end.in.len); /* stopped by the bound, not by the end */
    assert_in_range(tls_pending_out(p.end.conn), 65536, 98304 + 64);
    assert_true(fed > 98304);
    /* once our output is drained it goes on, to the last byte, and the connection still works */
    test_peer_write(&p.peer, "fine", 4);
    test_link_run(&p.peer, &p.end);
    assert_int_equal(p.end.got.len, 4);
    assert_int_equal(p.end.in.at, p.end.in.len);
    pair_free(&p);
}

/* A TLS 1.2 client that wants to renegotiate is told no (RFC 5246 s7.2.2) and may go on. */
static void renegotiation_is_refused(void **state)
{
    struct open_pair p;
    pair_open(&p, TLS1_2_VERSION);
    assert_int_equal(SSL_renegotiate(p.peer.ssl), 1);
    (void)SSL_do_handshake(p.peer.ssl);
    assert_true(test_peer_drain(&p.peer, &p.end.in) > 0);
    test_end_turn(&p.end);
    assert_int_equal(p.end.last, TG_AGAIN);
    assert_int_equal(alert_of(&p.end), SSL_AD_NO_RENEGOTIATION);
    assert_true(tls_handshake_done(p.end.conn));
    size_t taken;
    assert_int_equal(tls_write(p.end.conn, SPAN_LITERAL("alive"), &taken), TG_OK);
    assert_int_equal(taken, 5);
    pair_free(&p);
}

/* A client that has our flight and answers with a plaintext alert (TLS 1.2): fatal, or
 * close_notify, which is no orderly end in mid-handshake. */
static void alert_in_mid_handshake(struct span alert, unsigned expected)
{
    struct test_end end = server_make();
    struct test_peer peer;
    test_peer_make(
        &peer, &(struct test_peer_options){.version = TLS1_2_VERSION, .server_name = "a.example"});
    test_peer_turn(&peer);
    test_peer_drain(&peer, &end.in);
    test_end_turn(&end);
    assert_int_equal(end.last, TG_AGAIN);
    test_bytes_add(&end.in, alert.data, alert.len);
    test_end_turn(&end);
    assert_int_equal(alert_of(&end), expected);
    assert_int_equal(end.ends, 0);
    dead_check(&end);
    test_peer_free(&peer);
    test_end_free(&end);
}

static void alerts_from_the_peer(void **state)
{
    alert_in_mid_handshake(SPAN_LITERAL("\x15\x03\x03\x00\x02\x02\x2a"), SSL_AD_BAD_CERTIFICATE);
    alert_in_mid_handshake(SPAN_LITERAL("\x15\x03\x03\x00\x02\x01\x00"), SSL_AD_CLOSE_NOTIFY);
    /* before anything else an alert has no place */
    refuse_first_bytes(SPAN_LITERAL("\x15\x03\x01\x00\x02\x02\x28"), SSL_AD_UNEXPECTED_MESSAGE);
}

/* The origin's side of it: garbage and flipped bytes for our client. */
static void broken_origin(void **state)
{
    struct tls_client_config config = {.server_name = SPAN_LITERAL("a.example")};
    for (size_t at = 0; at < 700; at++) {
        struct test_end server = server_make(), client = {0};
        assert_int_equal(tls_connect(&config, NULL, &client.conn), TG_OK);
        test_end_drain(&client, &server.in, SIZE_MAX);
        test_end_turn(&server);
        test_end_drain(&server, &client.in, SIZE_MAX);
        if (at < client.in.len)
            client.in.data[at] ^= 0x10;
        test_end_turn(&client);
        test_end_drain(&client, &server.in, SIZE_MAX);
        test_end_turn(&server);
        assert_true(at < 5 || !tls_handshake_done(client.conn) || at >= client.in.len ||
                    client.last == TG_AGAIN);
        assert_true(client.last == TG_BAD_INPUT || client.last == TG_AGAIN);
        assert_int_equal(client.got.len, 0);
        test_end_free(&client);
        test_end_free(&server);
    }
    struct test_end client = {0};
    assert_int_equal(tls_connect(&config, NULL, &client.conn), TG_OK);
    test_bytes_add(&client.in, "HTTP/1.1 400 Bad Request\r\n\r\n", 28);
    test_end_turn(&client);
    dead_check(&client);
    test_end_free(&client);
}

static int set_up(void **state)
{
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    test_certificate_make(&ecdsa, TEST_KEY_P256, "DNS:a.example", NULL);
    struct tls_certificate c = test_certificate_publish(&ecdsa, SPAN_LITERAL("a.example"), true);
    unsigned bad;
    char problem[256];
    if (tls_start() != TG_OK)
        return -1;
    return tls_set_create(&c, 1, &policy, &set, &bad, problem) == TG_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    tls_set_unref(set);
    test_certificate_free(&ecdsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_flipped_byte),
        cmocka_unit_test(flipped_data_and_alert),
        cmocka_unit_test(replayed_and_reordered_records),
        cmocka_unit_test(not_tls_at_all),
        cmocka_unit_test(oversized_records),
        cmocka_unit_test(random_garbage),
        cmocka_unit_test(truncated_stream),
        cmocka_unit_test(key_update_flood),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(alerts_from_the_peer),
        cmocka_unit_test(broken_origin),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
