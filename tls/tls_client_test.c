/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of connections to origins: verification by chain, name, address and time; server name;
 * client certificate.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct test_certificate ca, origin, foreign;

/* Handshake with an origin that shows `certificate`; what our client's end came to. */
struct outcome {
    enum tg_err client, server;
    bool done;
    unsigned alert; /* that the client sent or received */
    char server_name[64];
};

static struct outcome attempt_at(const struct tls_client_config *config,
                                 const struct test_certificate *certificate, uint64_t now_s)
{
    struct tls_certificate published =
        test_certificate_publish(certificate, SPAN_LITERAL("unused.example"), true);
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&published, 1, &policy, &set, &bad, problem), TG_OK);
    struct test_end server = {.now_s = now_s}, client = {.now_s = now_s};
    assert_int_equal(tls_accept(set, NULL, &server.conn), TG_OK);
    assert_int_equal(tls_connect(config, NULL, &client.conn), TG_OK);
    assert_true(tls_pending_out(client.conn) > 100); /* the ClientHello waits */
    test_ends_run(&client, &server);
    struct tls_info info;
    struct outcome o = {client.last, server.last, tls_handshake_done(client.conn), 0, ""};
    tls_get_info(server.conn, &info);
    if (info.server_name.len)
        memcpy(o.server_name, info.server_name.data, info.server_name.len);
    tls_get_info(client.conn, &info);
    o.alert = info.alert;
    test_end_free(&client);
    test_end_free(&server);
    tls_set_unref(set);
    return o;
}

static struct outcome attempt(const struct tls_client_config *config,
                              const struct test_certificate *certificate)
{
    return attempt_at(config, certificate, 1700000000);
}

static struct tls_client_config verified(const char *name)
{
    return (struct tls_client_config){
        .server_name = span_from_string(name), .ca_pem = ca.chain_pem, .verify = true};
}

static void right_name_and_chain(void **state)
{
    struct tls_client_config config = verified("Origin.Example");
    struct outcome o = attempt(&config, &origin);
    assert_true(o.done);
    assert_string_equal(o.server_name, "origin.example");
    config = verified("a.wild.example");
    assert_true(attempt(&config, &origin).done);
}

static void addresses_are_verified_but_not_sent(void **state)
{
    struct tls_client_config config = verified("192.0.2.1");
    struct outcome o = attempt(&config, &origin);
    assert_true(o.done);
    assert_string_equal(o.server_name, "");
    config = verified("2001:db8::1");
    o = attempt(&config, &origin);
    assert_true(o.done);
    assert_string_equal(o.server_name, "");
    config = verified("192.0.2.2");
    assert_false(attempt(&config, &origin).done);
}

static void wrong_name_chain_or_time(void **state)
{
    struct tls_client_config config = verified("other.example");
    struct outcome o = attempt(&config, &origin);
    assert_false(o.done);
    assert_int_equal(o.client, TG_BAD_INPUT);
    assert_int_equal(o.server, TG_BAD_INPUT); /* our alert ended the origin's side too */
    assert_int_equal(o.alert, SSL_AD_BAD_CERTIFICATE);
    config = verified("a.b.wild.example");
    assert_false(attempt(&config, &origin).done);
    config = verified("tidegate test"); /* the common name does not count */
    assert_false(attempt(&config, &origin).done);
    config = verified("origin.example");
    o = attempt(&config, &foreign);
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_UNKNOWN_CA);
    o = attempt_at(&config, &origin, 4200000000); /* the year 2103 by the worker's clock */
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_CERTIFICATE_EXPIRED);
}

static void unverified_only_when_asked(void **state)
{
    struct tls_client_config config = {.server_name = SPAN_LITERAL("anything.example")};
    assert_true(attempt(&config, &foreign).done);
    config = (struct tls_client_config){0};
    assert_true(attempt(&config, &foreign).done);
    config.ca_pem = ca.chain_pem;
    assert_true(attempt(&config, &foreign).done);
}

static void bad_configurations_are_refused(void **state)
{
    struct tls_client *client;
    struct tls_conn *conn;
    char problem[256];
    struct tls_client_config config = verified("origin.example");
    config.ca_pem = SPAN_EMPTY;
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_CONFIG);
    assert_non_null(strstr(problem, "trusted certificate"));
    assert_int_equal(tls_connect(&config, NULL, &conn), TG_BAD_CONFIG);
    config = verified("");
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_CONFIG);
    config = verified("origin.example");
    config.ca_pem = SPAN_LITERAL("junk");
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_INPUT);
    config = verified("origin.example");
    config.chain_pem = origin.chain_pem;
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_INPUT);
    assert_non_null(strstr(problem, "no private key"));
    config.key_pem = foreign.key_pem;
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_INPUT);
    char name[300];
    memset(name, 'a', sizeof name);
    config = verified("");
    config.server_name = span_make(name, sizeof name);
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_CONFIG);
    config.server_name = SPAN_LITERAL("a\0b");
    assert_int_equal(tls_client_create(&config, &client, problem), TG_BAD_CONFIG);
}

/* One client for many connections; it goes with the last of them. */
static void client_outlives_its_creator(void **state)
{
    struct tls_client_config config = verified("origin.example");
    struct tls_client *client;
    char problem[256];
    assert_int_equal(tls_client_create(&config, &client, problem), TG_OK);
    struct tls_conn *a, *b;
    int user;
    assert_int_equal(tls_client_open(client, &user, &a), TG_OK);
    assert_int_equal(tls_client_open(client, NULL, &b), TG_OK);
    assert_ptr_equal(tls_conn_user(a), &user);
    tls_client_unref(client);
    struct tls_info info;
    tls_get_info(b, &info);
    assert_true(span_equal(info.server_name, SPAN_LITERAL("origin.example")));
    tls_abort(a);
    assert_true(tls_pending_out(b) > 0);
    tls_abort(b);
}

/* An origin that demands a client certificate (authenticated origin pulls), as bare libssl. */
static bool demanding_origin(const struct tls_client_config *config)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    assert_int_equal(SSL_CTX_use_cert_and_key(ctx, origin.x509, origin.key, NULL, 1), 1);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca.x509);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    /* test_peer's plumbing serves a server as well */
    struct test_peer server = {.ctx = ctx, .ssl = SSL_new(ctx)};
    SSL_set_bio(server.ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(server.ssl);
    struct test_end client = {.now_s = 1700000000};
    assert_int_equal(tls_connect(config, NULL, &client.conn), TG_OK);
    test_link_run(&server, &client);
    bool done = SSL_is_init_finished(server.ssl) && client.last == TG_AGAIN;
    test_end_free(&client);
    test_peer_free(&server);
    return done;
}

static void client_certificate(void **state)
{
    struct tls_client_config config = verified("origin.example");
    assert_false(demanding_origin(&config));
    config.chain_pem = foreign.chain_pem;
    config.key_pem = foreign.key_pem;
    assert_false(demanding_origin(&config));
    config.chain_pem = origin.chain_pem;
    config.key_pem = origin.key_pem;
    assert_true(demanding_origin(&config));
}

static int certificates_make(void **state)
{
    test_certificate_make(&ca, TEST_KEY_P256, NULL, NULL);
    test_certificate_make(&origin, TEST_KEY_P256,
                          "DNS:origin.example,DNS:*.wild.example,IP:192.0.2.1,IP:2001:db8::1", &ca);
    test_certificate_make(&foreign, TEST_KEY_P256, "DNS:origin.example", NULL);
    return tls_start() == TG_OK ? 0 : -1;
}

static int certificates_free(void **state)
{
    test_certificate_free(&ca);
    test_certificate_free(&origin);
    test_certificate_free(&foreign);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_name_and_chain),
        cmocka_unit_test(addresses_are_verified_but_not_sent),
        cmocka_unit_test(wrong_name_chain_or_time),
        cmocka_unit_test(unverified_only_when_asked),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(client_outlives_its_creator),
        cmocka_unit_test(client_certificate),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_free);
}
