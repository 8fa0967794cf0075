/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of what outlives a connection or depends on time and chance: tickets, 0-RTT, virtual time,
 * seeded bytes, memory of idle connections.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>
#include <stdio.h>

static struct test_certificate ecdsa;
static const struct tls_policy plain_policy = {.alpn_http1 = true, .tls12 = true};

static struct tls_set *set_make(const struct tls_policy *policy)
{
    struct tls_certificate published =
        test_certificate_publish(&ecdsa, SPAN_LITERAL("a.example"), true);
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&published, 1, policy, &set, &bad, problem), TG_OK);
    return set;
}

static struct test_end server_make(struct tls_set *set)
{
    struct test_end end = {0};
    assert_int_equal(tls_accept(set, NULL, &end.conn), TG_OK);
    return end;
}

/* Resume with `session`; returns the new ticket (owned), checks whether it was resumed. */
static SSL_SESSION *resume(struct tls_set *set, int version, SSL_SESSION *session, uint64_t now_s,
                           bool resumed)
{
    struct test_end end = server_make(set);
    end.now_s = now_s;
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){
                              .version = version, .server_name = "a.example", .session = session});
    test_link_run(&peer, &end);
    assert_int_equal(peer.error, 0);
    struct tls_info info;
    tls_get_info(end.conn, &info);
    assert_int_equal(info.resumed, resumed);
    assert_true(span_equal(info.server_name, SPAN_LITERAL("a.example")));
    SSL_SESSION *next = peer.session;
    peer.session = NULL;
    test_peer_free(&peer);
    test_end_free(&end);
    return next;
}

/* Tickets hold across connections, and across sets (another worker, a swap). */
static void tickets_resume(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 2; i++) {
        struct tls_set *set = set_make(&plain_policy), *other = set_make(&plain_policy);
        SSL_SESSION *first = resume(set, versions[i], NULL, 0, false);
        assert_non_null(first);
        SSL_SESSION *second = resume(set, versions[i], first, 0, true);
        SSL_SESSION *third = resume(other, versions[i], first, 0, true);
        SSL_SESSION_free(first);
        SSL_SESSION_free(second);
        SSL_SESSION_free(third);
        tls_set_unref(set);
        tls_set_unref(other);
    }
}

/* A ticket of one name, shown under another or none: a full handshake. */
static void ticket_is_bound_to_its_name(void **state)
{
    static const char *const others[] = {"b.example", NULL, "A.example"};
    struct tls_set *set = set_make(&plain_policy);
    for (unsigned i = 0; i < 6; i++) {
        int version = i < 3 ? TLS1_3_VERSION : TLS1_2_VERSION;
        SSL_SESSION *session = resume(set, version, NULL, 0, false);
        struct test_end end = server_make(set);
        struct test_peer peer;
        test_peer_make(&peer, &(struct test_peer_options){.version = version,
                                                          .server_name = others[i % 3],
                                                          .session = session});
        test_link_run(&peer, &end);
        assert_int_equal(peer.error, 0);
        struct tls_info info;
        tls_get_info(end.conn, &info);
        assert_int_equal(info.resumed, i % 3 == 2);
        test_peer_free(&peer);
        test_end_free(&end);
        SSL_SESSION_free(session);
    }
    tls_set_unref(set);
}

/* Virtual time: a ticket of one moment of the simulator's clock, used later, and after its life (2
 * h). */
static void ticket_age_is_virtual(void **state)
{
    struct tls_policy policy = plain_policy;
    policy.random_seed = 7;
    struct tls_set *set = set_make(&policy);
    SSL_SESSION *first = resume(set, TLS1_3_VERSION, NULL, 1000, false);
    SSL_SESSION *second = resume(set, TLS1_3_VERSION, first, 1000 + 3600, true);
    SSL_SESSION *third = resume(set, TLS1_3_VERSION, first, 1000 + 3 * 3600, false);
    SSL_SESSION_free(first);
    SSL_SESSION_free(second);
    SSL_SESSION_free(third);
    tls_set_unref(set);
    set = set_make(&plain_policy); /* back to real randomness */
    tls_set_unref(set);
}

/* 0-RTT: a first flight with `len` early bytes, fed in cuts; what is early and what is not is told
 * apart. */
static void early_data_once(struct tls_set *set, SSL_SESSION *session, size_t len, size_t cut,
                            size_t read_max)
{
    struct test_end end = server_make(set);
    end.cut = cut;
    end.read_max = read_max;
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    static uint8_t data[8000];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    size_t n;
    assert_int_equal(SSL_write_early_data(peer.ssl, data, len, &n), 1);
    assert_int_equal(n, len);
    test_peer_drain(&peer, &end.in);
    test_end_turn(&end); /* first flight only */
    assert_int_equal(end.early, len);
    assert_int_equal(end.got.len, len);
    assert_false(tls_handshake_done(end.conn));
    test_link_run(&peer, &end);
    assert_int_equal(peer.error, 0);
    assert_int_equal(SSL_get_early_data_status(peer.ssl), SSL_EARLY_DATA_ACCEPTED);
    assert_true(tls_handshake_done(end.conn));
    test_peer_write(&peer, "late", 4);
    test_link_run(&peer, &end);
    assert_int_equal(end.early, len);
    assert_int_equal(end.got.len, len + 4);
    assert_memory_equal(end.got.data, data, len);
    assert_memory_equal(end.got.data + len, "late", 4);
    test_peer_free(&peer);
    test_end_free(&end);
}

static void early_data_is_told_apart(void **state)
{
    struct tls_policy policy = plain_policy;
    policy.early_data_max = 8192;
    struct tls_set *set = set_make(&policy);
    SSL_SESSION *session = resume(set, TLS1_3_VERSION, NULL, 0, false);
    assert_int_equal(SSL_SESSION_get_max_early_data(session), 8192);
    early_data_once(set, session, 5000, 0, 0);
    early_data_once(set, session, 1, 0, 0);
    early_data_once(set, session, 5000, 1, 0);
    early_data_once(set, session, 8000, 100, 1);
    SSL_SESSION_free(session);
    /* the same set without a ticket, and with TLS 1.2: ordinary handshakes */
    SSL_SESSION *none = resume(set, TLS1_2_VERSION, NULL, 0, false);
    SSL_SESSION_free(none);
    tls_set_unref(set);
}

/* Early data that the set does not want is skipped, not delivered (early_data_max 0). */
static void early_data_off(void **state)
{
    struct tls_policy policy = plain_policy;
    policy.early_data_max = 8192;
    struct tls_set *set = set_make(&policy), *off = set_make(&plain_policy);
    SSL_SESSION *session = resume(set, TLS1_3_VERSION, NULL, 0, false);
    struct test_end end = server_make(off);
    struct test_peer peer;
    test_peer_make(&peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                      .server_name = "a.example",
                                                      .session = session});
    size_t n;
    assert_int_equal(SSL_write_early_data(peer.ssl, "early", 5, &n), 1);
    test_link_run(&peer, &end);
    assert_int_equal(SSL_get_early_data_status(peer.ssl), SSL_EARLY_DATA_REJECTED);
    assert_int_equal(end.got.len, 0);
    test_peer_write(&peer, "again", 5);
    test_link_run(&peer, &end);
    assert_int_equal(end.got.len, 5);
    assert_int_equal(end.early, 0);
    test_peer_free(&peer);
    test_end_free(&end);
    SSL_SESSION_free(session);
    tls_set_unref(set);
    tls_set_unref(off);
}

/* All bytes of both directions of a handshake and an exchange, hashed. */
static uint64_t conversation_digest(uint64_t seed)
{
    static const uint64_t key[2] = {3, 4};
    struct tls_policy policy = plain_policy;
    policy.random_seed = seed;
    struct tls_set *set = set_make(&policy);
    struct test_end a = server_make(set), b = {0};
    a.now_s = b.now_s = 5000;
    struct tls_client_config config = {.server_name = SPAN_LITERAL("a.example")};
    assert_int_equal(tls_connect(&config, NULL, &b.conn), TG_OK);
    size_t taken, moved;
    uint64_t digest = 0;
    bool written = false;
    do {
        struct test_bytes out = {0};
        moved = test_end_drain(&b, &a.in, SIZE_MAX);
        test_end_turn(&a);
        moved += test_end_drain(&a, &out, SIZE_MAX);
        digest = digest * 31 + hash_sip24(key, test_bytes_span(&out));
        test_bytes_add(&b.in, out.data, out.len);
        test_bytes_free(&out);
        test_end_turn(&b);
        if (!written && tls_handshake_done(a.conn)) {
            assert_int_equal(tls_write(a.conn, SPAN_LITERAL("answer"), &taken), TG_OK);
            written = true;
        }
    } while (moved);
    assert_int_equal(b.got.len, 6);
    test_end_free(&b);
    test_end_free(&a);
    tls_set_unref(set);
    return digest;
}

static void seed_decides_every_byte(void **state)
{
    uint64_t one = conversation_digest(11);
    assert_int_equal(conversation_digest(11), one);
    assert_int_not_equal(conversation_digest(12), one);
    uint64_t chance = conversation_digest(0);
    assert_int_not_equal(conversation_digest(0), chance);
}

/* Bytes of heap in use. */
static size_t heap_bytes(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

/* The figure of the architecture's goal: at most 16 KiB for an idle connection. Measured without
 * sanitizers only (they replace malloc, mallinfo2 then says 0). */
static void idle_connection_memory(void **state)
{
    enum { COUNT = 50 };
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    struct tls_set *set = set_make(&plain_policy);
    for (unsigned v = 0; v < 2; v++) {
        struct test_end ends[COUNT];
        SSL_SESSION_free(resume(set, versions[v], NULL, 0, false)); /* warm what libssl caches */
        size_t before = heap_bytes();
        for (unsigned i = 0; i < COUNT; i++) {
            ends[i] = server_make(set);
            struct test_peer peer;
            test_peer_make(&peer, &(struct test_peer_options){.version = versions[v],
                                                              .server_name = "a.example"});
            test_link_run(&peer, &ends[i]);
            test_peer_write(&peer, "GET", 3);
            test_link_run(&peer, &ends[i]);
            size_t taken;
            assert_int_equal(tls_write(ends[i].conn, SPAN_LITERAL("answer"), &taken), TG_OK);
            test_link_run(&peer, &ends[i]);
            assert_int_equal(peer.got.len, 6);
            test_peer_free(&peer);
            test_bytes_free(&ends[i].in);
            test_bytes_free(&ends[i].got);
        }
        size_t each = (heap_bytes() - before) / COUNT;
        if (before)
            print_message("TLS 1.%d: %zu bytes of heap an idle connection\n", v ? 2 : 3, each);
        assert_in_range(each, before ? 4096 : 0, 16 * 1024);
        for (unsigned i = 0; i < COUNT; i++)
            test_end_free(&ends[i]);
    }
    tls_set_unref(set);
}

static int certificates_make(void **state)
{
    test_certificate_make(&ecdsa, TEST_KEY_P256, "DNS:a.example", NULL);
    return tls_start() == TG_OK ? 0 : -1;
}

static int certificates_free(void **state)
{
    test_certificate_free(&ecdsa);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tickets_resume),         cmocka_unit_test(ticket_is_bound_to_its_name),
        cmocka_unit_test(ticket_age_is_virtual),  cmocka_unit_test(early_data_is_told_apart),
        cmocka_unit_test(early_data_off),         cmocka_unit_test(seed_decides_every_byte),
        cmocka_unit_test(idle_connection_memory),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_free);
}
