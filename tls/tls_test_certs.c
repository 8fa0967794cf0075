/* SPDX-License-Identifier: BSD-3-Clause
 * Certificates for tests: see tls_test_certs.h. Not linked into any program.
 */
#include "tls/tls_test_certs.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static EVP_PKEY *key_make(enum test_key type)
{
    EVP_PKEY *key = NULL;
    switch (type) {
    case TEST_KEY_P256:
        key = EVP_EC_gen("P-256");
        break;
    case TEST_KEY_P384:
        key = EVP_EC_gen("P-384");
        break;
    case TEST_KEY_RSA:
        key = EVP_RSA_gen(2048);
        break;
    case TEST_KEY_RSA_SMALL:
        key = EVP_RSA_gen(1024);
        break;
    case TEST_KEY_ED25519:
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        break;
    }
    tg_assert(key);
    return key;
}

static void extension_add(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    tg_assert(extension && X509_add_ext(x, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

/* The bytes of a memory BIO as a span on the heap; frees the BIO. */
static struct span bio_take(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    tg_assert(len > 0);
    uint8_t *copy = malloc((size_t)len);
    tg_assert(copy);
    memcpy(copy, data, (size_t)len);
    BIO_free(bio);
    return span_make(copy, (size_t)len);
}

/* The fields that every certificate has. */
static X509 *x509_make(EVP_PKEY *key, const char *common_name)
{
    static long serial = 1; /* tests run on one thread */
    X509 *x = X509_new();
    tg_assert(x && X509_set_version(x, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    ASN1_TIME_set(X509_getm_notBefore(x), 1);
    ASN1_TIME_set_string_X509(X509_getm_notAfter(x), "20991231235959Z");
    tg_assert(X509_set_pubkey(x, key) == 1);
    tg_assert(X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC,
                                         (const unsigned char *)common_name, -1, -1, 0) == 1);
    return x;
}

void test_certificate_make(struct test_certificate *certificate, enum test_key type,
                           const char *names, const struct test_certificate *issuer)
{
    EVP_PKEY *key = key_make(type);
    X509 *x = x509_make(key, names ? "tidegate test" : "tidegate test CA");
    X509 *issuer_x = issuer ? issuer->x509 : x;
    EVP_PKEY *issuer_key = issuer ? issuer->key : key;
    tg_assert(X509_set_issuer_name(x, X509_get_subject_name(issuer_x)) == 1);
    extension_add(x, issuer_x, NID_basic_constraints, names ? "CA:FALSE" : "critical,CA:TRUE");
    if (names)
        extension_add(x, issuer_x, NID_subject_alt_name, names);
    bool ed25519 = EVP_PKEY_get_base_id(issuer_key) == EVP_PKEY_ED25519;
    tg_assert(X509_sign(x, issuer_key, ed25519 ? NULL : EVP_sha256()) > 0);

    BIO *chain = BIO_new(BIO_s_mem()), *secret = BIO_new(BIO_s_mem());
    tg_assert(PEM_write_bio_X509(chain, x) == 1);
    if (issuer)
        tg_assert(PEM_write_bio_X509(chain, issuer_x) == 1);
    tg_assert(PEM_write_bio_PrivateKey(secret, key, NULL, NULL, 0, NULL, NULL) == 1);
    *certificate = (struct test_certificate){x, key, bio_take(chain), bio_take(secret)};
}

void test_certificate_free(struct test_certificate *certificate)
{
    X509_free(certificate->x509);
    EVP_PKEY_free(certificate->key);
    free((void *)(uintptr_t)certificate->chain_pem.data);
    free((void *)(uintptr_t)certificate->key_pem.data);
    *certificate = (struct test_certificate){0};
}

struct tls_certificate test_certificate_publish(const struct test_certificate *certificate,
                                                struct span names, bool is_default)
{
    return (struct tls_certificate){names, certificate->chain_pem, certificate->key_pem,
                                    is_default};
}

static EVP_PKEY *key_find(const struct test_certificate certificates[], unsigned count,
                          const uint8_t wanted[20])
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t ski[20];
        unsigned len = sizeof ski;
        tg_assert(X509_pubkey_digest(certificates[i].x509, EVP_sha1(), ski, &len) == 1);
        if (memcmp(ski, wanted, sizeof ski) == 0)
            return certificates[i].key;
    }
    return NULL;
}

/* Ed25519 signs the message itself. */
static size_t message_sign(EVP_PKEY *key, struct span message, uint8_t *out)
{
    size_t len = TEST_SIGNATURE_MAX;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    tg_assert(EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1);
    tg_assert(EVP_DigestSign(md, out, &len, message.data, message.len) == 1);
    EVP_MD_CTX_free(md);
    return len;
}

size_t test_certificate_sign(const struct test_certificate certificates[], unsigned count,
                             const struct tls_key_op *op, uint8_t out[TEST_SIGNATURE_MAX])
{
    EVP_PKEY *key = key_find(certificates, count, op->ski);
    size_t len = TEST_SIGNATURE_MAX;
    tg_assert(key && op->input.len * 8 >= op->hash_bits);
    if (op->kind == TLS_KEY_SIGN_ED25519)
        return message_sign(key, op->input, out);
    const EVP_MD *digest = op->hash_bits == 256   ? EVP_sha256()
                           : op->hash_bits == 384 ? EVP_sha384()
                                                  : EVP_sha512();
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
    tg_assert(EVP_PKEY_sign_init(ctx) == 1 && EVP_PKEY_CTX_set_signature_md(ctx, digest) == 1);
    if (op->kind == TLS_KEY_SIGN_RSA_PSS) {
        tg_assert(EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PSS_PADDING) == 1);
        tg_assert(EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
    }
    tg_assert(EVP_PKEY_sign(ctx, out, &len, op->input.data, op->input.len) == 1);
    EVP_PKEY_CTX_free(ctx);
    return len;
}
