/* SPDX-License-Identifier: BSD-3-Clause
 * Finding and using the private keys: see vault.h. Reading them is vault_read.c's.
 */
#include "tls/keyserver/vault_parts.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>

void vault_destroy(struct vault *vault)
{
    if (!vault)
        return;
    for (unsigned i = 0; i < vault->count; i++)
        EVP_PKEY_free(vault->keys[i].pkey); /* libcrypto clears private numbers */
    free(vault->keys);
    free(vault);
}

unsigned vault_count(const struct vault *vault)
{
    return vault->count;
}

const struct vault_key *vault_at(const struct vault *vault, unsigned i)
{
    tg_assert(i < vault->count);
    return &vault->keys[i];
}

int vault_compare_skis(const void *a, const void *b)
{
    const struct vault_key *x = a, *y = b;
    return memcmp(x->ski, y->ski, sizeof x->ski);
}

const struct vault_key *vault_find(const struct vault *vault, const uint8_t ski[KEYMSG_SKI_BYTES])
{
    struct vault_key wanted;
    memcpy(wanted.ski, ski, sizeof wanted.ski);
    return bsearch(&wanted, vault->keys, vault->count, sizeof wanted, vault_compare_skis);
}

const struct vault_key *vault_find_name(const struct vault *vault, const char *name)
{
    for (unsigned i = 0; i < vault->count; i++)
        if (strcmp(vault->keys[i].name, name) == 0)
            return &vault->keys[i];
    return NULL;
}

/* --- using them -------------------------------------------------------------------------------- */

static const EVP_MD *digest_of(enum keymsg_hash hash)
{
    switch (hash) {
    case KEYMSG_HASH_MD5_SHA1:
        return EVP_md5_sha1();
    case KEYMSG_HASH_SHA1:
        return EVP_sha1();
    case KEYMSG_HASH_SHA224:
        return EVP_sha224();
    case KEYMSG_HASH_SHA256:
        return EVP_sha256();
    case KEYMSG_HASH_SHA384:
        return EVP_sha384();
    case KEYMSG_HASH_SHA512:
        return EVP_sha512();
    default:
        return NULL;
    }
}

/* A digest, signed. EC: libcrypto takes it as it is; RSA: the padding names the hash. */
static bool digest_sign(EVP_PKEY_CTX *ctx, const struct keymsg_op_info *op, struct span digest,
                        uint8_t *out, size_t *len)
{
    if (EVP_PKEY_sign_init(ctx) != 1)
        return false;
    if (op->kind != KEYMSG_KIND_ECDSA) {
        bool pss = op->kind == KEYMSG_KIND_RSA_PSS;
        int padding = pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;
        if (EVP_PKEY_CTX_set_rsa_padding(ctx, padding) != 1 ||
            EVP_PKEY_CTX_set_signature_md(ctx, digest_of(op->hash)) != 1 ||
            (pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) != 1))
            return false;
    }
    return EVP_PKEY_sign(ctx, out, len, digest.data, digest.len) == 1;
}

/* Raw: what the key server must not do is tell good padding from bad. */
static bool raw_decrypt(EVP_PKEY_CTX *ctx, EVP_PKEY *key, struct span input, uint8_t *out,
                        size_t *len)
{
    return input.len == (size_t)EVP_PKEY_get_size(key) && EVP_PKEY_decrypt_init(ctx) == 1 &&
           EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
           EVP_PKEY_decrypt(ctx, out, len, input.data, input.len) == 1;
}

static bool message_sign(EVP_PKEY *key, struct span message, uint8_t *out, size_t *len)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = md && EVP_DigestSignInit(md, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestSign(md, out, len, message.data, message.len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

static bool type_fits(enum vault_type type, enum keymsg_kind kind)
{
    switch (kind) {
    case KEYMSG_KIND_ECDSA:
        return type == VAULT_EC;
    case KEYMSG_KIND_ED25519:
        return type == VAULT_ED25519;
    case KEYMSG_KIND_RSA_PKCS1:
    case KEYMSG_KIND_RSA_PSS:
    case KEYMSG_KIND_DECRYPT_RSA:
        return type == VAULT_RSA;
    default:
        return false;
    }
}

enum keymsg_error vault_use(const struct vault_key *key, const struct keymsg_op_info *op,
                            struct span input, uint8_t *out, size_t *len)
{
    unsigned digest_bytes = keymsg_hash_bytes(op->hash);
    bool ok = false;
    *len = VAULT_RESULT_MAX;
    if (!type_fits(key->type, op->kind) || (digest_bytes && input.len != digest_bytes))
        return KEYMSG_ERROR_CRYPTO;
    if (op->kind == KEYMSG_KIND_ED25519) {
        ok = message_sign(key->pkey, input, out, len);
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
        ok = ctx &&
             (op->kind == KEYMSG_KIND_DECRYPT_RSA ? raw_decrypt(ctx, key->pkey, input, out, len)
                                                  : digest_sign(ctx, op, input, out, len));
        EVP_PKEY_CTX_free(ctx);
    }
    if (!ok)
        ERR_clear_error();
    return ok ? KEYMSG_ERROR_NONE : KEYMSG_ERROR_CRYPTO;
}
