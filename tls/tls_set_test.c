/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of certificate sets: which certificate a client gets, which alert when there is none, ALPN,
 * protocol policy, PEM that is refused with the index and a sentence.
 */
#include "tls/tls_test_certs.h"
#include "tls/tls_test_link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdio.h>

enum { EXACT, WILDCARD, FALLBACK, PAIR_RSA, PAIR_ECDSA, ED25519, P384, COUNT };
static struct test_certificate certs[COUNT];
static const char *const names[COUNT] = {
    [EXACT] = "www.example.com\0Other.Example.Com",
    [WILDCARD] = "*.example.com",
    [FALLBACK] = "fallback.example",
    [PAIR_RSA] = "pair.example",
    [PAIR_ECDSA] = "pair.example",
    [ED25519] = "ed.example",
    [P384] = "p384.example",
};

static struct tls_certificate publish(unsigned i)
{
    size_t len = strlen(names[i]);
    if (i == EXACT) /* two names */
        len += 1 + strlen(names[i] + len + 1);
    return test_certificate_publish(&certs[i], span_make(names[i], len + 1), i == FALLBACK);
}

static struct tls_set *set_make(bool with_fallback, const struct tls_policy *policy)
{
    struct tls_certificate published[COUNT];
    for (unsigned i = 0; i < COUNT; i++) {
        published[i] = publish(i);
        published[i].is_default = published[i].is_default && with_fallback;
    }
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(published, COUNT, policy, &set, &bad, problem), TG_OK);
    return set;
}

static const struct tls_policy plain_policy = {.alpn_http1 = true, .tls12 = true};

/* What one handshake came to. */
struct outcome {
    unsigned certificate; /* index in certs, COUNT: none seen */
    unsigned alert;       /* that our end sent */
    bool done;
    enum tg_err last;
    char version[16], cipher[64];
    size_t alpn_len;
};

static struct outcome attempt(struct tls_set *set, const struct test_peer_options *options)
{
    struct outcome o = {.certificate = COUNT};
    struct test_end end = {0};
    assert_int_equal(tls_accept(set, NULL, &end.conn), TG_OK);
    struct test_peer peer;
    test_peer_make(&peer, options);
    test_link_run(&peer, &end);
    X509 *seen = SSL_get0_peer_certificate(peer.ssl);
    for (unsigned i = 0; seen && i < COUNT; i++)
        if (X509_cmp(seen, certs[i].x509) == 0)
            o.certificate = i;
    struct tls_info info;
    tls_get_info(end.conn, &info);
    o.alert = info.alert;
    o.done = tls_handshake_done(end.conn);
    o.last = end.last;
    o.alpn_len = info.alpn.len;
    snprintf(o.version, sizeof o.version, "%s", info.version);
    snprintf(o.cipher, sizeof o.cipher, "%s", info.cipher);
    assert_int_equal(o.done, peer.error == 0);
    test_peer_free(&peer);
    test_end_free(&end);
    return o;
}

static unsigned certificate_for(struct tls_set *set, const char *name, int version,
                                const char *signatures)
{
    struct outcome o =
        attempt(set, &(struct test_peer_options){
                         .server_name = name, .version = version, .signatures = signatures});
    assert_true(o.done);
    return o.certificate;
}

static void server_name_chooses(void **state)
{
    struct tls_set *set = set_make(true, &plain_policy);
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned v = 0; v < 2; v++) {
        assert_int_equal(certificate_for(set, "www.example.com", versions[v], NULL), EXACT);
        assert_int_equal(certificate_for(set, "OTHER.example.com", versions[v], NULL), EXACT);
        assert_int_equal(certificate_for(set, "api.example.com", versions[v], NULL), WILDCARD);
        assert_int_equal(certificate_for(set, "a.b.example.com", versions[v], NULL), FALLBACK);
        assert_int_equal(certificate_for(set, "unknown.test", versions[v], NULL), FALLBACK);
        assert_int_equal(certificate_for(set, NULL, versions[v], NULL), FALLBACK);
        assert_int_equal(certificate_for(set, "ed.example", versions[v], NULL), ED25519);
        assert_int_equal(certificate_for(set, "p384.example", versions[v], NULL), P384);
    }
    tls_set_unref(set);
}

/* Two certificates of one name: the client's signature algorithms decide. */
static void pair_follows_the_client(void **state)
{
    struct tls_set *set = set_make(false, &plain_policy);
    assert_int_equal(certificate_for(set, "pair.example", 0, NULL), PAIR_ECDSA);
    assert_int_equal(certificate_for(set, "pair.example", TLS1_3_VERSION, "RSA-PSS+SHA256"),
                     PAIR_RSA);
    assert_int_equal(certificate_for(set, "pair.example", TLS1_2_VERSION, "RSA+SHA256"), PAIR_RSA);
    assert_int_equal(certificate_for(set, "pair.example", TLS1_3_VERSION, "ECDSA+SHA256"),
                     PAIR_ECDSA);
    struct outcome o = attempt(set, &(struct test_peer_options){.server_name = "www.example.com",
                                                                .signatures = "RSA-PSS+SHA256"});
    assert_false(o.done); /* no certificate that this client could check */
    assert_int_equal(o.alert, SSL_AD_HANDSHAKE_FAILURE);
    tls_set_unref(set);
}

static void no_certificate_is_an_alert(void **state)
{
    struct tls_set *set = set_make(false, &plain_policy);
    struct outcome o = attempt(set, &(struct test_peer_options){.server_name = "unknown.test"});
    assert_false(o.done);
    assert_int_equal(o.last, TG_BAD_INPUT);
    assert_int_equal(o.alert, SSL_AD_UNRECOGNIZED_NAME);
    o = attempt(set, &(struct test_peer_options){.version = TLS1_3_VERSION});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_MISSING_EXTENSION);
    o = attempt(set, &(struct test_peer_options){.version = TLS1_2_VERSION});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_UNRECOGNIZED_NAME);
    tls_set_unref(set);

    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(NULL, 0, &plain_policy, &set, &bad, problem), TG_OK);
    o = attempt(set, &(struct test_peer_options){.server_name = "www.example.com"});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_UNRECOGNIZED_NAME);
    tls_set_unref(set);
}

static void alpn_is_http1_or_nothing(void **state)
{
    struct tls_set *set = set_make(true, &plain_policy);
    struct outcome o = attempt(set, &(struct test_peer_options){.alpn = "\x02h2\x08http/1.1"});
    assert_true(o.done);
    assert_int_equal(o.alpn_len, 8);
    o = attempt(set, &(struct test_peer_options){0});
    assert_true(o.done);
    assert_int_equal(o.alpn_len, 0);
    o = attempt(set, &(struct test_peer_options){.alpn = "\x02h2\x08http/1.0"});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_NO_APPLICATION_PROTOCOL);
    tls_set_unref(set);
    set = set_make(true, &(struct tls_policy){.tls12 = true});
    o = attempt(set, &(struct test_peer_options){.alpn = "\x02h2"});
    assert_true(o.done);
    assert_int_equal(o.alpn_len, 0);
    tls_set_unref(set);
}

static void protocol_policy(void **state)
{
    struct tls_set *set = set_make(true, &plain_policy);
    struct outcome o = attempt(set, &(struct test_peer_options){0});
    assert_string_equal(o.version, "TLSv1.3");
    assert_string_equal(o.cipher, "TLS_AES_128_GCM_SHA256");
    o = attempt(set, &(struct test_peer_options){.version = TLS1_2_VERSION});
    assert_string_equal(o.version, "TLSv1.2");
    assert_string_equal(o.cipher, "ECDHE-ECDSA-AES128-GCM-SHA256");
    o = attempt(set, &(struct test_peer_options){.version = TLS1_1_VERSION});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_PROTOCOL_VERSION);
    /* a client without X25519 in its key shares: HelloRetryRequest, the callback runs twice */
    o = attempt(set, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                 .groups = "P-521:P-384",
                                                 .server_name = "api.example.com"});
    assert_true(o.done);
    assert_int_equal(o.certificate, WILDCARD);
    o = attempt(set, &(struct test_peer_options){.version = TLS1_3_VERSION, .groups = "P-521"});
    assert_false(o.done);
    tls_set_unref(set);
    set = set_make(true, &(struct tls_policy){0});
    o = attempt(set, &(struct test_peer_options){.version = TLS1_2_VERSION});
    assert_false(o.done);
    assert_int_equal(o.alert, SSL_AD_PROTOCOL_VERSION);
    tls_set_unref(set);
}

/* A set of two certificates whose second is `suspect` must be refused, with its index and `words`.
 */
static void refused(struct tls_certificate suspect, const char *words)
{
    struct tls_certificate published[] = {publish(EXACT), suspect};
    struct tls_set *set = NULL;
    unsigned bad = 99;
    char problem[256] = "";
    assert_int_equal(tls_set_create(published, 2, &plain_policy, &set, &bad, problem),
                     TG_BAD_INPUT);
    assert_null(set);
    assert_int_equal(bad, 1);
    if (!strstr(problem, words))
        fail_msg("\"%s\" does not say \"%s\"", problem, words);
}

static void bad_certificates_are_named(void **state)
{
    struct tls_certificate c = publish(WILDCARD);
    c.chain_pem = SPAN_EMPTY;
    refused(c, "no PEM certificate");
    c.chain_pem = SPAN_LITERAL("hello");
    refused(c, "no PEM certificate");
    c.chain_pem = SPAN_LITERAL("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    refused(c, "a certificate does not parse");
    c = publish(WILDCARD);
    c.chain_pem.len -= 40; /* the end line is gone */
    refused(c, "a certificate does not parse");
    c = publish(WILDCARD);
    c.key_pem = certs[EXACT].key_pem;
    refused(c, "does not belong");
    c.key_pem = certs[PAIR_RSA].key_pem;
    refused(c, "does not belong");
    c.key_pem = c.chain_pem;
    refused(c, "private key does not parse");
    c.key_pem = SPAN_LITERAL("x");
    refused(c, "private key does not parse");
    c = publish(WILDCARD);
    c.names = SPAN_LITERAL("good.example\0bad name\0");
    refused(c, "\"bad name\" is not a host name");
    c.names = SPAN_LITERAL("good.example\0\0");
    refused(c, "is not a host name");
    c.names = SPAN_EMPTY;
    refused(c, "no names");
}

static void weak_and_foreign_keys_are_refused(void **state)
{
    struct test_certificate weak;
    test_certificate_make(&weak, TEST_KEY_RSA_SMALL, "DNS:weak.example", NULL);
    refused(test_certificate_publish(&weak, SPAN_LITERAL("weak.example"), false), "2048");
    test_certificate_free(&weak);

    /* an encrypted key: nobody is there to type the password */
    BIO *bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, certs[WILDCARD].key, EVP_aes_128_cbc(),
                                                   "secret", 6, NULL, NULL),
                     1);
    char *pem;
    long len = BIO_get_mem_data(bio, &pem);
    struct tls_certificate c = publish(WILDCARD);
    c.key_pem = span_make(pem, (size_t)len);
    refused(c, "private key does not parse");
    BIO_free(bio);
}

static void chains_have_a_limit(void **state)
{
    struct span one = certs[EXACT].chain_pem;
    struct test_bytes many = {0};
    for (unsigned i = 0; i < 17; i++)
        test_bytes_add(&many, one.data, one.len);
    struct tls_certificate c = publish(EXACT);
    c.chain_pem = test_bytes_span(&many);
    refused(c, "too many certificates");
    c.chain_pem.len = 3 * one.len; /* two more than needed is fine, and sent */
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&c, 1, &plain_policy, &set, &bad, problem), TG_OK);
    assert_int_equal(certificate_for(set, "www.example.com", 0, NULL), EXACT);
    tls_set_unref(set);
    test_bytes_free(&many);
}

static int certificates_make(void **state)
{
    static const enum test_key types[COUNT] = {TEST_KEY_P256, TEST_KEY_RSA,  TEST_KEY_P256,
                                               TEST_KEY_RSA,  TEST_KEY_P256, TEST_KEY_ED25519,
                                               TEST_KEY_P384};
    for (unsigned i = 0; i < COUNT; i++)
        test_certificate_make(&certs[i], types[i], "DNS:any.example", NULL);
    return tls_start() == TG_OK && tls_start() == TG_OK ? 0 : -1;
}

static int certificates_free(void **state)
{
    for (unsigned i = 0; i < COUNT; i++)
        test_certificate_free(&certs[i]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(server_name_chooses),
        cmocka_unit_test(pair_follows_the_client),
        cmocka_unit_test(no_certificate_is_an_alert),
        cmocka_unit_test(alpn_is_http1_or_nothing),
        cmocka_unit_test(protocol_policy),
        cmocka_unit_test(bad_certificates_are_named),
        cmocka_unit_test(weak_and_foreign_keys_are_refused),
        cmocka_unit_test(chains_have_a_limit),
    };
    return cmocka_run_group_tests(tests, certificates_make, certificates_free);
}
