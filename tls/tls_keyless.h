/* SPDX-License-Identifier: BSD-3-Clause
 * A provider for libcrypto whose private keys lie elsewhere: libssl takes such a key for an
 * ordinary one, and its signature becomes an operation that goes out (tls_key.c). Called by
 * tls_start.c and tls_set.c.
 */
#ifndef TLS_TLS_KEYLESS_H
#define TLS_TLS_KEYLESS_H

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

/* Register and load the provider; "default" must be loaded before it, so that nobody else gets our
 * keys by accident. Once per process (cold). NULL when libcrypto refuses. */
OSSL_PROVIDER *keyless_provider_load(void);

/* A key for the leaf's public key, private half elsewhere, named by its SKI (SHA-1 of the public
 * key, RFC 5280 s4.2.1.2). The caller owns it. NULL without memory, or when the key type is not
 * ours. */
EVP_PKEY *keyless_key_make(const X509 *leaf);

#endif
