/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of private keys that lie elsewhere: real handshakes whose signatures this test makes as a
 * key server would, in any order, late, wrong or never.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <malloc.h>

enum { ECDSA, RSA_KEY, ED25519, P384, LOCAL, COUNT };
static struct test_certificate certs[COUNT];
static const char *const names[COUNT] = {"ec.example", "rsa.example", "ed.example", "p384.example",
                                         "local.example"};
static struct tls_set *set;

/* All keys elsewhere, but one. */
static struct tls_set *set_make(void)
{
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_certificate published[COUNT];
    struct tls_set *made;
    unsigned bad;
    char problem[256];
    for (unsigned i = 0; i < COUNT; i++) {
        published[i] = test_certificate_publish(&certs[i], span_from_string(names[i]), false);
        if (i != LOCAL)
            published[i].key_pem = SPAN_EMPTY;
    }
    assert_int_equal(tls_set_create(published, COUNT, &policy, &made, &bad, problem), TG_OK);
    return made;
}

/* One connection and the client behind it. */
struct party {
    struct test_end end;
    struct test_peer peer;
};

/* Up to where the handshake waits for the key (or is over). */
static void party_start(struct party *p, const char *name, int version, const char *signatures)
{
    p->end = (struct test_end){0};
    assert_int_equal(tls_accept(set, p, &p->end.conn), TG_OK);
    test_peer_make(&p->peer, &(struct test_peer_options){.version = version,
                                                         .server_name = name,
                                                         .signatures = signatures});
    test_link_run(&p->peer, &p->end);
}

static void party_answer(struct party *p)
{
    struct tls_key_op op;
    uint8_t out[512];
    assert_int_equal(tls_key_op(p->end.conn, &op), TG_OK);
    size_t len = test_certificate_sign(certs, COUNT, &op, out);
    assert_int_equal(tls_key_done(p->end.conn, op.id, span_make(out, len)), TG_AGAIN);
}

/* Data both ways; the job is gone by then. */
static void party_talk(struct party *p)
{
    test_link_run(&p->peer, &p->end);
    assert_int_equal(p->peer.error, 0);
    assert_true(tls_handshake_done(p->end.conn));
    test_peer_write(&p->peer, "question", 8);
    test_link_run(&p->peer, &p->end);
    assert_int_equal(p->end.got.len, 8);
    size_t taken;
    assert_int_equal(tls_write(p->end.conn, SPAN_LITERAL("answer"), &taken), TG_OK);
    test_link_run(&p->peer, &p->end);
    assert_int_equal(p->peer.got.len, 6);
}

static void party_free(struct party *p)
{
    test_peer_free(&p->peer);
    test_end_free(&p->end);
}

/* One whole handshake; the operation that went out must be of this kind and hash. */
static void remote_handshake(const char *name, int version, const char *signatures,
                             enum tls_key_kind kind, unsigned hash_bits)
{
    struct party p;
    party_start(&p, name, version, signatures);
    assert_int_equal(p.end.last, TG_WANT_KEY);
    struct tls_key_op op;
    assert_int_equal(tls_key_op(p.end.conn, &op), TG_OK);
    assert_int_equal(op.kind, kind);
    assert_int_equal(op.hash_bits, hash_bits);
    assert_int_not_equal(op.id, 0);
    party_answer(&p);
    assert_int_equal(tls_key_op(p.end.conn, &op), TG_NOT_FOUND);
    party_talk(&p);
    party_free(&p);
}

static void every_kind_of_signature(void **state)
{
    remote_handshake("ec.example", TLS1_3_VERSION, NULL, TLS_KEY_SIGN_ECDSA, 256);
    remote_handshake("ec.example", TLS1_2_VERSION, NULL, TLS_KEY_SIGN_ECDSA, 256);
    remote_handshake("p384.example", TLS1_3_VERSION, NULL, TLS_KEY_SIGN_ECDSA, 384);
    remote_handshake("rsa.example", TLS1_3_VERSION, NULL, TLS_KEY_SIGN_RSA_PSS, 256);
    remote_handshake("rsa.example", TLS1_3_VERSION, "RSA-PSS+SHA512", TLS_KEY_SIGN_RSA_PSS, 512);
    remote_handshake("rsa.example", TLS1_2_VERSION, NULL, TLS_KEY_SIGN_RSA_PSS, 256);
    remote_handshake("rsa.example", TLS1_2_VERSION, "RSA+SHA256", TLS_KEY_SIGN_RSA_PKCS1, 256);
    remote_handshake("rsa.example", TLS1_2_VERSION, "RSA+SHA384", TLS_KEY_SIGN_RSA_PKCS1, 384);
    remote_handshake("ed.example", TLS1_3_VERSION, NULL, TLS_KEY_SIGN_ED25519, 0);
    remote_handshake("ed.example", TLS1_2_VERSION, NULL, TLS_KEY_SIGN_ED25519, 0);
}

/* A certificate with a local key in the same set needs nobody. */
static void local_key_beside_remote_ones(void **state)
{
    struct party p;
    party_start(&p, "local.example", 0, NULL);
    struct tls_key_op op;
    assert_int_equal(tls_key_op(p.end.conn, &op), TG_NOT_FOUND);
    party_talk(&p);
    party_free(&p);
}

/* While the operation is out nothing else enters, and nothing is consumed. */
static void nothing_enters_while_out(void **state)
{
    struct party p;
    party_start(&p, "ec.example", TLS1_3_VERSION, NULL);
    struct span noise = SPAN_LITERAL("arrives meanwhile");
    size_t n;
    bool early;
    uint8_t room[16];
    for (unsigned i = 0; i < 3; i++) {
        n = 99;
        assert_int_equal(tls_feed(p.end.conn, &noise, 1, &n, 0), TG_WANT_KEY);
        assert_int_equal(n, 0);
        assert_int_equal(tls_read(p.end.conn, room, sizeof room, &n, &early), TG_AGAIN);
        assert_int_equal(tls_write(p.end.conn, noise, &n), TG_AGAIN);
        assert_false(tls_handshake_done(p.end.conn));
        tls_shutdown(p.end.conn);
    }
    struct tls_key_op op;
    assert_int_equal(tls_key_op(p.end.conn, &op), TG_OK);
    assert_int_equal(tls_key_done(p.end.conn, op.id + 1, noise), TG_STALE);
    assert_int_equal(tls_key_done(p.end.conn, 0, noise), TG_STALE);
    party_answer(&p);
    assert_int_equal(tls_key_done(p.end.conn, op.id, noise), TG_STALE);
    party_talk(&p);
    party_free(&p);
}

/* 200 handshakes out at once, answered in a random order; ids differ. */
static void answers_in_any_order(void **state)
{
    enum { PARTIES = 200 };
    static struct party parties[PARTIES];
    unsigned order[PARTIES];
    uint64_t id_last = 0;
    struct prng random;
    prng_seed(&random, 3);
    for (unsigned i = 0; i < PARTIES; i++) {
        party_start(&parties[i], names[i % LOCAL], i % 3 ? TLS1_3_VERSION : TLS1_2_VERSION, NULL);
        assert_int_equal(parties[i].end.last, TG_WANT_KEY);
        struct tls_key_op op;
        assert_int_equal(tls_key_op(parties[i].end.conn, &op), TG_OK);
        assert_true(op.id > id_last);
        id_last = op.id;
        order[i] = i;
    }
    for (unsigned i = PARTIES - 1; i > 0; i--) {
        unsigned k = (unsigned)prng_below(&random, i + 1), swap = order[i];
        order[i] = order[k];
        order[k] = swap;
    }
    for (unsigned i = 0; i < PARTIES; i++)
        party_answer(&parties[order[i]]);
    for (unsigned i = 0; i < PARTIES; i++) {
        party_talk(&parties[i]);
        party_free(&parties[i]);
    }
}

/* The key server fails, or answers nonsense: internal_error from us, or the client's own refusal.
 */
static void failed_operations(void **state)
{
    static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};
    static const uint8_t nonsense[600];
    for (unsigned i = 0; i < 8; i++) {
        struct party p;
        party_start(&p, i & 2 ? "rsa.example" : "ec.example", versions[i & 1], NULL);
        struct tls_key_op op;
        struct tls_info info;
        assert_int_equal(tls_key_op(p.end.conn, &op), TG_OK);
        /* empty: failed; larger than a signature of this key can be: refused */
        struct span result = i & 4 ? span_make(nonsense, sizeof nonsense) : SPAN_EMPTY;
        assert_int_equal(tls_key_done(p.end.conn, op.id, result), TG_BAD_INPUT);
        tls_get_info(p.end.conn, &info);
        assert_int_equal(info.alert, SSL_AD_INTERNAL_ERROR);
        assert_true(tls_pending_out(p.end.conn) > 0);
        test_link_run(&p.peer, &p.end);
        assert_int_equal(p.peer.error, SSL_ERROR_SSL);
        party_free(&p);

        party_start(&p, "ec.example", versions[i & 1], NULL);
        assert_int_equal(tls_key_op(p.end.conn, &op), TG_OK);
        assert_int_equal(tls_key_done(p.end.conn, op.id, span_make(nonsense, 70)), TG_AGAIN);
        test_link_run(&p.peer, &p.end); /* the client finds the signature wrong */
        assert_int_equal(p.end.last, TG_BAD_INPUT);
        assert_false(tls_handshake_done(p.end.conn));
        party_free(&p);
    }
}

/* A resumed session needs no key operation at all. */
static void resumption_needs_no_key(void **state)
{
    struct party p;
    party_start(&p, "ec.example", TLS1_3_VERSION, NULL);
    party_answer(&p);
    party_talk(&p);
    SSL_SESSION *session = p.peer.session;
    p.peer.session = NULL;
    party_free(&p);
    assert_non_null(session);
    assert_int_equal(tls_accept(set, NULL, &p.end.conn), TG_OK);
    test_peer_make(&p.peer,
                   &(struct test_peer_options){.server_name = "ec.example", .session = session});
    party_talk(&p);
    struct tls_info info;
    tls_get_info(p.end.conn, &info);
    assert_true(info.resumed);
    party_free(&p);
    SSL_SESSION_free(session);
}

/* Abort while the key is out, again and again: no job and no stack is lost. LeakSanitizer watches
 * in its build, the heap's size in the plain one (where a lost job would be 34.7 KB each). */
static void abort_while_out(void **state)
{
    enum { ROUNDS = 400 };
    size_t before = 0, after;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct party p;
        party_start(&p, names[i % LOCAL], i % 2 ? TLS1_3_VERSION : TLS1_2_VERSION, NULL);
        assert_int_equal(p.end.last, TG_WANT_KEY);
        party_free(&p);
        if (i == 50)
            before = mallinfo2().uordblks;
    }
    after = mallinfo2().uordblks;
    assert_true(after < before + 100 * 1024);
}

/* The set goes while an operation is out: the connection holds it. */
static void set_outlives_its_owner(void **state)
{
    struct party finished, aborted;
    struct tls_set *kept = set;
    set = set_make();
    party_start(&finished, "ec.example", TLS1_3_VERSION, NULL);
    party_start(&aborted, "rsa.example", TLS1_2_VERSION, NULL);
    tls_set_unref(set);
    set = kept;
    party_answer(&finished);
    party_talk(&finished);
    party_free(&finished);
    party_free(&aborted);
}

static int set_up(void **state)
{
    static const enum test_key types[COUNT] = {TEST_KEY_P256, TEST_KEY_RSA, TEST_KEY_ED25519,
                                               TEST_KEY_P384, TEST_KEY_P256};
    for (unsigned i = 0; i < COUNT; i++)
        test_certificate_make(&certs[i], types[i], "DNS:any.example", NULL);
    if (tls_start() != TG_OK)
        return -1;
    set = set_make();
    return 0;
}

static int tear_down(void **state)
{
    tls_set_unref(set);
    for (unsigned i = 0; i < COUNT; i++)
        test_certificate_free(&certs[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_signature),  cmocka_unit_test(local_key_beside_remote_ones),
        cmocka_unit_test(nothing_enters_while_out), cmocka_unit_test(answers_in_any_order),
        cmocka_unit_test(failed_operations),        cmocka_unit_test(resumption_needs_no_key),
        cmocka_unit_test(abort_while_out),          cmocka_unit_test(set_outlives_its_owner),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
