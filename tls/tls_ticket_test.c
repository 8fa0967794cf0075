/* SPDX-License-Identifier: BSD-3-Clause
 * Tickets under secrets that nodes share: who opens whose, through a rotation, and what a ticket shows in clear.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <string.h>

static struct test_certificate ecdsa;

static const struct tls_ticket_secret secret_a = {1, {0xaa, 1}}, secret_b = {2, {0xbb, 2}},
                                      secret_c = {3, {0xcc, 3}},
                                      other_a = {1, {0xaa, 9}}, /* the same id */
    renumbered_a = {9, {0xaa, 1}};

/* A node whose file says `first`, then `second` (NULL: one only; both NULL: no file). */
static struct tls_set *node_make(uint16_t slot, const struct tls_ticket_secret *first,
                                 const struct tls_ticket_secret *second)
{
    struct tls_ticket_secret secrets[TLS_TICKET_SECRETS_MAX];
    unsigned count = 0;
    if (first)
        secrets[count++] = *first;
    if (second)
        secrets[count++] = *second;
    const struct tls_policy policy = {.alpn_http1 = true,
                                      .tls12 = true,
                                      .node_slot = slot,
                                      .ticket_secrets = secrets,
                                      .ticket_secret_count = count};
    struct tls_certificate published =
        test_certificate_publish(&ecdsa, SPAN_LITERAL("a.example"), true);
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&published, 1, &policy, &set, &bad, problem), TG_OK);
    memset(secrets, 0, sizeof secrets); /* borrowed for the call */
    return set;
}

/* Connect with a session (NULL: none); *resumed says how it went. The session that the client then has; libssl does
 * not announce that of a renewed TLS 1.2 ticket. */
static SSL_SESSION *visit(struct tls_set *set, int version, SSL_SESSION *session, bool *resumed)
{
    struct test_end end = {0};
    struct test_peer peer;
    struct tls_info info;
    assert_int_equal(tls_accept(set, NULL, &end.conn), TG_OK);
    test_peer_make(&peer, &(struct test_peer_options){
                              .version = version, .server_name = "a.example", .session = session});
    test_link_run(&peer, &end);
    assert_int_equal(peer.error, 0);
    tls_get_info(end.conn, &info);
    *resumed = info.resumed;
    SSL_SESSION *next = version == TLS1_2_VERSION ? SSL_get1_session(peer.ssl) : peer.session;
    if (version == TLS1_3_VERSION)
        peer.session = NULL;
    test_peer_free(&peer);
    test_end_free(&end);
    return next;
}

static SSL_SESSION *ticket_of(struct tls_set *set, int version)
{
    bool resumed;
    SSL_SESSION *session = visit(set, version, NULL, &resumed);
    assert_non_null(session);
    assert_false(resumed);
    return session;
}

static void name_of(SSL_SESSION *session, uint8_t name[16])
{
    const unsigned char *ticket;
    size_t len;
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    assert_true(len > 16);
    memcpy(name, ticket, 16);
}

/* Does `set` resume by this ticket? `name`: of the key that the client's ticket is then under. */
static bool resumes(struct tls_set *set, int version, SSL_SESSION *session, uint8_t name[16])
{
    bool resumed;
    SSL_SESSION *next = visit(set, version, session, &resumed);
    assert_non_null(next);
    if (name)
        name_of(next, name);
    SSL_SESSION_free(next);
    return resumed;
}

static const int versions[] = {TLS1_3_VERSION, TLS1_2_VERSION};

static void nodes_of_a_fleet_open_each_others(void **state)
{
    for (unsigned v = 0; v < 2; v++) {
        struct tls_set *one = node_make(1, &secret_a, NULL), *two = node_make(2, &secret_a, NULL);
        struct tls_set *alone = node_make(3, NULL, NULL),
                       *elsewhere = node_make(4, &secret_b, NULL);
        struct tls_set *same_id = node_make(5, &other_a, NULL);
        struct tls_set *other_id = node_make(6, &renumbered_a, NULL);
        SSL_SESSION *session = ticket_of(one, versions[v]);
        assert_true(resumes(one, versions[v], session, NULL));
        assert_true(resumes(two, versions[v], session, NULL));
        assert_false(resumes(alone, versions[v], session, NULL));
        assert_false(resumes(elsewhere, versions[v], session, NULL));
        assert_false(resumes(same_id, versions[v], session, NULL));
        assert_false(resumes(other_id, versions[v], session, NULL));
        SSL_SESSION *own = ticket_of(alone, versions[v]);
        assert_true(resumes(alone, versions[v], own, NULL));
        assert_false(resumes(one, versions[v], own, NULL));
        SSL_SESSION_free(own);
        SSL_SESSION_free(session);
        struct tls_set *const all[] = {one, two, alone, elsewhere, same_id, other_id};
        for (unsigned i = 0; i < TG_ARRAY_LEN(all); i++)
            tls_set_unref(all[i]);
    }
}

/* A -> A,B -> B,A -> B -> B,C: each step opens the tickets of the one before, and renews those of its second key
 * under the first. */
static void rotation_loses_no_ticket(void **state)
{
    const struct tls_ticket_secret *const steps[][2] = {{&secret_a, NULL},
                                                        {&secret_a, &secret_b},
                                                        {&secret_b, &secret_a},
                                                        {&secret_b, NULL},
                                                        {&secret_b, &secret_c}};
    for (unsigned v = 0; v < 2; v++) {
        struct tls_set *sets[5];
        SSL_SESSION *tickets[5];
        uint8_t names[5][16], name[16];
        for (unsigned i = 0; i < 5; i++) {
            sets[i] = node_make((uint16_t)i, steps[i][0], steps[i][1]);
            tickets[i] = ticket_of(sets[i], versions[v]);
            name_of(tickets[i], names[i]);
        }
        assert_memory_equal(names[0], names[1], 16);
        assert_memory_equal(names[2], names[3], 16);
        assert_memory_not_equal(names[1], names[2], 16);
        for (unsigned i = 0; i < 4; i++) { /* nodes of both steps are at work at the same time */
            assert_true(resumes(sets[i + 1], versions[v], tickets[i], name));
            if (i == 1) /* made under A, opened where B is first */
                assert_memory_equal(name, names[2], 16);
            assert_true(resumes(sets[i], versions[v], tickets[i + 1], name) || i == 3);
        }
        assert_false(resumes(sets[3], versions[v], tickets[0], NULL)); /* A has gone */
        for (unsigned i = 0; i < 5; i++) {
            SSL_SESSION_free(tickets[i]);
            tls_set_unref(sets[i]);
        }
    }
}

static bool same_ticket(const SSL_SESSION *a, const SSL_SESSION *b)
{
    const unsigned char *ticket_a, *ticket_b;
    size_t len_a, len_b;
    SSL_SESSION_get0_ticket(a, &ticket_a, &len_a);
    SSL_SESSION_get0_ticket(b, &ticket_b, &len_b);
    return len_a == len_b && memcmp(ticket_a, ticket_b, len_a) == 0;
}

/* A client uses a TLS 1.3 ticket once and needs the next one; in TLS 1.2 it keeps it. */
static void a_used_ticket_is_followed_by_another(void **state)
{
    struct tls_set *set = node_make(1, &secret_a, &secret_b);
    for (unsigned v = 0; v < 2; v++) {
        bool resumed;
        SSL_SESSION *session = ticket_of(set, versions[v]);
        SSL_SESSION *next = visit(set, versions[v], session, &resumed);
        assert_true(resumed);
        assert_non_null(next);
        assert_int_equal(same_ticket(session, next), versions[v] == TLS1_2_VERSION);
        SSL_SESSION_free(session);
        SSL_SESSION_free(next);
    }
    tls_set_unref(set);
}

/* Every byte of a ticket counts: changed, it is a stranger's, and the handshake goes on as a whole one. */
static void a_changed_ticket_opens_nothing(void **state)
{
    struct tls_set *set = node_make(1, &secret_a, NULL);
    SSL_SESSION *session = ticket_of(set, TLS1_3_VERSION);
    const unsigned char *ticket;
    size_t len;
    SSL_SESSION_get0_ticket(session, &ticket, &len);
    for (size_t i = 0; i < len; i += 5) {
        unsigned char *at = (unsigned char *)(uintptr_t)ticket + i;
        *at ^= 0x40;
        assert_false(resumes(set, TLS1_3_VERSION, session, NULL));
        *at ^= 0x40;
    }
    assert_true(resumes(set, TLS1_3_VERSION, session, NULL));
    SSL_SESSION_free(session);
    tls_set_unref(set);
}

/* HKDF-SHA256 of the secret aa 01 00.. with info "tidegate ticket 1" and the id 00000001: the first 16 bytes are the
 * name. Golden: nodes of two versions must agree. Made with: openssl kdf -keylen 16 -kdfopt digest:SHA256 -kdfopt
 * hexkey:aa010000000000000000000000000000 -kdfopt hexinfo:7469646567617465207469636b6574203100000001 HKDF */
static void the_name_follows_from_secret_and_id(void **state)
{
    static const uint8_t golden[16] = {0x8d, 0x7b, 0x3a, 0x08, 0x89, 0x74, 0xb7, 0x41,
                                       0x9f, 0x0a, 0xae, 0xed, 0x6a, 0x50, 0x51, 0xcc};
    struct tls_set *set = node_make(1, &secret_a, NULL);
    SSL_SESSION *session = ticket_of(set, TLS1_3_VERSION);
    uint8_t name[16];
    name_of(session, name);
    assert_memory_equal(name, golden, 16);
    SSL_SESSION_free(session);
    tls_set_unref(set);
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
        cmocka_unit_test(nodes_of_a_fleet_open_each_others),
        cmocka_unit_test(rotation_loses_no_ticket),
        cmocka_unit_test(a_used_ticket_is_followed_by_another),
        cmocka_unit_test(a_changed_ticket_opens_nothing),
        cmocka_unit_test(the_name_follows_from_secret_and_id),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
