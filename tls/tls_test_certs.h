/* SPDX-License-Identifier: BSD-3-Clause
 * Certificates for tests, made by libcrypto when a test starts: nothing to expire, no key in the
 * tree. Called by the tests and the fuzz target of tls/ and by whoever tests with TLS.
 */
#ifndef TLS_TLS_TEST_CERTS_H
#define TLS_TLS_TEST_CERTS_H

#include "tls/tls.h"

enum test_key { TEST_KEY_P256, TEST_KEY_P384, TEST_KEY_RSA, TEST_KEY_RSA_SMALL, TEST_KEY_ED25519 };

struct test_certificate {
    void *x509, *key; /* X509 *, EVP_PKEY * */
    struct span chain_pem, key_pem;
};

/* Make a key and a certificate for it. `names`: subjectAltName as OpenSSL writes it
 * ("DNS:a.example,IP:192.0.2.1"), NULL: a certificate authority. `issuer` NULL: self-signed. Not
 * valid before 1 s after the epoch, nor after the year 2099. Aborts when libcrypto fails. */
void test_certificate_make(struct test_certificate *certificate, enum test_key type,
                           const char *names, const struct test_certificate *issuer);
void test_certificate_free(struct test_certificate *certificate);

/* As the control plane publishes it. `names`: host names as in struct tls_certificate. */
struct tls_certificate test_certificate_publish(const struct test_certificate *certificate,
                                                struct span names, bool is_default);

/* A key server: does what the operation says with the certificate whose key it names, and returns
 * the signature's length. Aborts when there is none. */
#define TEST_SIGNATURE_MAX 512
size_t test_certificate_sign(const struct test_certificate certificates[], unsigned count,
                             const struct tls_key_op *op, uint8_t out[TEST_SIGNATURE_MAX]);

#endif
