/* SPDX-License-Identifier: BSD-3-Clause
 * PEM parsing for sets and origins: see tls_pem.h. Called by tls_set.c and tls_client.c.
 */
#include "tls/tls_pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <stdio.h>

/* Fill in the sentence: what failed, and libcrypto's reason if it left one. */
static enum tg_err problem_say(char problem[PEM_PROBLEM_BYTES], const char *what)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    if (reason)
        snprintf(problem, PEM_PROBLEM_BYTES, "%s (%s)", what, reason);
    else
        snprintf(problem, PEM_PROBLEM_BYTES, "%s", what);
    ERR_clear_error();
    return TG_BAD_INPUT;
}

/* A reader over borrowed bytes; libcrypto does not copy them. */
static BIO *bio_over(struct span pem)
{
    return pem.len <= INT_MAX ? BIO_new_mem_buf(pem.len ? (const void *)pem.data : "", (int)pem.len)
                              : NULL;
}

/* An encrypted key has nobody to ask for the password: refuse instead of reading the terminal. */
static int password_none(char *buffer, int size, int write, void *arg)
{
    return -1;
}

/* True when the last read ended because there was no further PEM block: the orderly end. */
static bool pem_ended(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* Read all certificates of `pem`, at most `max`, in order into a fresh stack. */
static enum tg_err certificates_read(struct span pem, int max, STACK_OF(X509) * *out,
                                     char problem[PEM_PROBLEM_BYTES])
{
    enum tg_err err = TG_OK;
    BIO *bio = bio_over(pem);
    STACK_OF(X509) *all = sk_X509_new_null();
    if (!bio || !all) {
        err = problem_say(problem, "the certificate chain cannot be read");
        goto done;
    }
    ERR_clear_error();
    X509 *x;
    while ((x = PEM_read_bio_X509(bio, NULL, password_none, NULL))) {
        if (sk_X509_num(all) >= max || !sk_X509_push(all, x)) {
            X509_free(x);
            err = problem_say(problem, "there are too many certificates");
            goto done;
        }
    }
    if (!pem_ended())
        err = problem_say(problem, "a certificate does not parse");
    else if (sk_X509_num(all) == 0)
        err = problem_say(problem, "there is no PEM certificate");
done:
    ERR_clear_error();
    BIO_free(bio);
    if (err == TG_OK)
        *out = all;
    else
        sk_X509_pop_free(all, X509_free);
    return err;
}

/* TLS 1.3 signs on these curves only (RFC 8446 s4.2.3). */
static bool curve_known(const EVP_PKEY *key)
{
    char name[32];
    size_t len;
    if (EVP_PKEY_get_group_name(key, name, sizeof name, &len) != 1)
        return false;
    int nid = OBJ_txt2nid(name);
    return nid == NID_X9_62_prime256v1 || nid == NID_secp384r1 || nid == NID_secp521r1;
}

/* Which signatures the leaf's key makes; small and exotic keys are refused. */
static enum tg_err key_type_read(const X509 *leaf, enum name_key_type *type,
                                 char problem[PEM_PROBLEM_BYTES])
{
    EVP_PKEY *public_key = X509_get0_pubkey(leaf);
    if (!public_key)
        return problem_say(problem, "the certificate's public key does not parse");
    switch (EVP_PKEY_get_base_id(public_key)) {
    case EVP_PKEY_EC:
        *type = NAME_KEY_ECDSA;
        if (!curve_known(public_key))
            return problem_say(problem, "the EC key is not on P-256, P-384 or P-521");
        return TG_OK;
    case EVP_PKEY_RSA:
        *type = NAME_KEY_RSA;
        if (EVP_PKEY_get_bits(public_key) < 2048)
            return problem_say(problem, "the RSA key has fewer than 2048 bits");
        return TG_OK;
    case EVP_PKEY_ED25519:
        *type = NAME_KEY_ED25519;
        return TG_OK;
    default:
        return problem_say(problem, "the key is neither EC, RSA nor Ed25519");
    }
}

static enum tg_err key_read(struct pem_pair *pair, struct span pem, char problem[PEM_PROBLEM_BYTES])
{
    BIO *bio = bio_over(pem);
    ERR_clear_error();
    if (bio)
        pair->key = PEM_read_bio_PrivateKey(bio, NULL, password_none, NULL);
    BIO_free(bio);
    if (!pair->key)
        return problem_say(problem, "the private key does not parse");
    if (X509_check_private_key(pair->leaf, pair->key) != 1)
        return problem_say(problem, "the private key does not belong to the first certificate");
    return TG_OK;
}

enum tg_err pem_pair_read(struct pem_pair *pair, struct span chain_pem, struct span key_pem,
                          char problem[PEM_PROBLEM_BYTES])
{
    *pair = (struct pem_pair){0};
    enum tg_err err = certificates_read(chain_pem, PEM_CHAIN_MAX, &pair->chain, problem);
    if (err != TG_OK)
        return err;
    pair->leaf = sk_X509_shift(pair->chain);
    err = key_type_read(pair->leaf, &pair->type, problem);
    if (err == TG_OK && key_pem.len > 0)
        err = key_read(pair, key_pem, problem);
    if (err != TG_OK)
        pem_pair_free(pair);
    return err;
}

void pem_pair_free(struct pem_pair *pair)
{
    X509_free(pair->leaf);
    sk_X509_pop_free(pair->chain, X509_free);
    EVP_PKEY_free(pair->key);
    *pair = (struct pem_pair){0};
}

enum tg_err pem_trust_read(X509_STORE *store, struct span ca_pem, char problem[PEM_PROBLEM_BYTES])
{
    STACK_OF(X509) *all = NULL;
    enum tg_err err = certificates_read(ca_pem, PEM_TRUST_MAX, &all, problem);
    if (err != TG_OK)
        return err;
    for (int i = 0; i < sk_X509_num(all) && err == TG_OK; i++)
        if (X509_STORE_add_cert(store, sk_X509_value(all, i)) != 1)
            err = problem_say(problem, "a trusted certificate is not accepted");
    sk_X509_pop_free(all, X509_free);
    return err;
}
