/* SPDX-License-Identifier: BSD-3-Clause
 * PEM in, libcrypto objects out, with a sentence for people when it does not work. Cold code only:
 * called when a set or an origin's context is built. It must not know connections.
 */
#ifndef TLS_TLS_PEM_H
#define TLS_TLS_PEM_H

#include "base/result.h"
#include "base/span.h"
#include "tls/tls_names.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#define PEM_CHAIN_MAX     16   /* certificates of one chain */
#define PEM_TRUST_MAX     1024 /* trusted certificates of one origin */
#define PEM_PROBLEM_BYTES 256

/* One certificate with what belongs to it; the owner calls pem_pair_free. */
struct pem_pair {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf; never NULL when leaf is not */
    EVP_PKEY *key;          /* NULL: lies elsewhere */
    enum name_key_type type;
};

/* Parse a chain (leaf first) and, unless it is empty, its private key. TG_BAD_INPUT: `problem` says
 * why; *pair is all NULL. */
enum tg_err pem_pair_read(struct pem_pair *pair, struct span chain_pem, struct span key_pem,
                          char problem[PEM_PROBLEM_BYTES]);
void pem_pair_free(struct pem_pair *pair);

/* Add every certificate of `ca_pem` to the store, as trusted. TG_BAD_INPUT: none, or one that does
 * not parse. */
enum tg_err pem_trust_read(X509_STORE *store, struct span ca_pem, char problem[PEM_PROBLEM_BYTES]);

#endif
