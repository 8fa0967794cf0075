/* SPDX-License-Identifier: BSD-3-Clause
 * How a key is named when it lies elsewhere. Cold: called when tables are compiled and built.
 */
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>

/* Nobody is there to type a password. */
static int password_none(char *buffer, int size, int write, void *arg)
{
    return -1;
}

enum tg_err tls_certificate_ski(struct span chain_pem, uint8_t ski[20])
{
    unsigned len = 20;
    if (chain_pem.len == 0 || chain_pem.len > 1 << 24)
        return TG_BAD_INPUT;
    BIO *bio = BIO_new_mem_buf(chain_pem.data, (int)chain_pem.len);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, password_none, NULL) : NULL;
    bool ok = leaf && X509_pubkey_digest(leaf, EVP_sha1(), ski, &len) == 1 && len == 20;
    X509_free(leaf);
    BIO_free(bio);
    ERR_clear_error();
    return ok ? TG_OK : TG_BAD_INPUT;
}
