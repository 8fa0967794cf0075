/* SPDX-License-Identifier: BSD-3-Clause
 * Keys and signatures of the keyless provider: see tls_keyless.h. Called by libcrypto through the
 * dispatch tables at the end. It must not know connections: key_operation_run (tls_key.c) finds the
 * one that waits.
 *
 * A key object is the public key as the default provider knows it, plus the SKI; everything that
 * libssl asks about a key is answered by that public key.
 */
#include "tls/tls_keyless.h"

#include "tls/tls_internal.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <stdlib.h>

#define PROVIDER_NAME "tidegate-keyless"
#define PROPERTIES    "provider=" PROVIDER_NAME
#define PARAM_SKI     "tidegate-ski" /* octet string, 20 bytes; only keyless_key_make passes it */

struct keyless_key {
    EVP_PKEY *public_key; /* of the default provider; NULL until imported */
    const char *type;     /* "EC", "RSA", "ED25519" */
    uint8_t ski[SHA_DIGEST_LENGTH];
};

/* --- keys --- */

static void *key_new(const char *type)
{
    struct keyless_key *key = calloc(1, sizeof *key);
    if (key)
        key->type = type;
    return key;
}

static void *key_new_ec(void *provider)
{
    return key_new("EC");
}

static void *key_new_rsa(void *provider)
{
    return key_new("RSA");
}

static void *key_new_ed25519(void *provider)
{
    return key_new("ED25519");
}

static void key_free(void *data)
{
    struct keyless_key *key = data;
    if (key)
        EVP_PKEY_free(key->public_key);
    free(key);
}

/* libcrypto asks what the object holds: the private half too, as far as anybody needs to know. */
static int key_has(const void *data, int selection)
{
    const struct keyless_key *key = data;
    return key && key->public_key;
}

/* Take a public key in the default provider's parameters, and the SKI where it is given. */
static int key_import(void *data, int selection, const OSSL_PARAM params[])
{
    struct keyless_key *key = data;
    const OSSL_PARAM *ski = OSSL_PARAM_locate_const(params, PARAM_SKI);
    if (ski) {
        if (ski->data_size != sizeof key->ski)
            return 0;
        memcpy(key->ski, ski->data, sizeof key->ski);
    }
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, key->type, "provider=default");
    int ok = ctx && EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, &key->public_key, EVP_PKEY_PUBLIC_KEY,
                               (OSSL_PARAM *)(uintptr_t)params) == 1;
    EVP_PKEY_CTX_free(ctx);
    return ok;
}

/* What key_import understands; libcrypto passes what another provider exports of these. */
static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_octet_string(PARAM_SKI, NULL, 0),
        OSSL_PARAM_END,
    };
    return types;
}

static int key_match(const void *a, const void *b, int selection)
{
    const struct keyless_key *x = a, *y = b;
    return x->public_key && y->public_key && EVP_PKEY_eq(x->public_key, y->public_key) == 1;
}

static int key_get_params(void *data, OSSL_PARAM params[])
{
    const struct keyless_key *key = data;
    return key->public_key && EVP_PKEY_get_params(key->public_key, params);
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

/* Names that no other provider has, so that the fetch of a signature ends here and nowhere else. */
static const char *operation_ec(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "TG-KEYLESS-ECDSA" : NULL;
}

static const char *operation_rsa(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "TG-KEYLESS-RSA" : NULL;
}

static const char *operation_ed25519(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "TG-KEYLESS-ED25519" : NULL;
}

/* --- signatures --- */

struct keyless_signature {
    const struct keyless_key *key;
    enum tls_key_kind kind;
    const EVP_MD *digest; /* borrowed from libcrypto's tables; NULL: Ed25519 */
};

static void *signature_new(enum tls_key_kind kind)
{
    struct keyless_signature *s = calloc(1, sizeof *s);
    if (s)
        s->kind = kind;
    return s;
}

static void *signature_new_ec(void *provider, const char *properties)
{
    return signature_new(TLS_KEY_SIGN_ECDSA);
}

/* PKCS#1 v1.5 until libssl asks for PSS. */
static void *signature_new_rsa(void *provider, const char *properties)
{
    return signature_new(TLS_KEY_SIGN_RSA_PKCS1);
}

static void *signature_new_ed25519(void *provider, const char *properties)
{
    return signature_new(TLS_KEY_SIGN_ED25519);
}

static void signature_free(void *data)
{
    free(data);
}

/* The padding, as number or as name; salt length and MGF1 hash are TLS's own (RFC 8446 s4.2.3: the
 * digest's). */
static int signature_set_params(void *data, const OSSL_PARAM params[])
{
    struct keyless_signature *s = data;
    const OSSL_PARAM *pad =
        params ? OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE) : NULL;
    if (!pad)
        return 1;
    int mode = 0;
    if (pad->data_type == OSSL_PARAM_UTF8_STRING)
        mode = strcmp(pad->data, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0 ? RSA_PKCS1_PSS_PADDING
                                                                  : RSA_PKCS1_PADDING;
    else if (!OSSL_PARAM_get_int(pad, &mode))
        return 0;
    if (mode != RSA_PKCS1_PADDING && mode != RSA_PKCS1_PSS_PADDING)
        return 0;
    s->kind = mode == RSA_PKCS1_PSS_PADDING ? TLS_KEY_SIGN_RSA_PSS : TLS_KEY_SIGN_RSA_PKCS1;
    return 1;
}

static const OSSL_PARAM *signature_settable_params(void *data, void *provider)
{
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL),
        OSSL_PARAM_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

static int signature_init(void *data, const char *digest, void *key, const OSSL_PARAM params[])
{
    struct keyless_signature *s = data;
    s->key = key;
    s->digest = digest && digest[0] ? EVP_get_digestbyname(digest) : NULL;
    if ((s->kind == TLS_KEY_SIGN_ED25519) != (s->digest == NULL))
        return 0;
    return signature_set_params(data, params);
}

/* Sign a message. Without room it is only asked for the size: then nothing goes out. */
TLS_ON_JOB_STACK
static int signature_sign(void *data, unsigned char *out, size_t *out_len, size_t room,
                          const unsigned char *message, size_t len)
{
    const struct keyless_signature *s = data;
    size_t size = (size_t)EVP_PKEY_get_size(s->key->public_key);
    if (!out) {
        *out_len = size;
        return 1;
    }
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    struct span input = span_make(message, len);
    if (s->digest) {
        if (EVP_Digest(message, len, digest, &digest_len, s->digest, NULL) != 1)
            return 0;
        input = span_make(digest, digest_len);
    }
    struct tls_key_op op = {.kind = s->kind, .hash_bits = digest_len * 8, .input = input};
    memcpy(op.ski, s->key->ski, sizeof op.ski);
    *out_len = room < size ? room : size;
    return key_operation_run(&op, out, out_len);
}

/* --- what libcrypto sees --- */

#define FN(id, function)                                                                           \
    {                                                                                              \
        id, (void (*)(void))function                                                               \
    }

#define KEY_DISPATCH(type)                                                                         \
    static const OSSL_DISPATCH key_##type[] = {                                                    \
        FN(OSSL_FUNC_KEYMGMT_NEW, key_new_##type),                                                 \
        FN(OSSL_FUNC_KEYMGMT_FREE, key_free),                                                      \
        FN(OSSL_FUNC_KEYMGMT_HAS, key_has),                                                        \
        FN(OSSL_FUNC_KEYMGMT_IMPORT, key_import),                                                  \
        FN(OSSL_FUNC_KEYMGMT_IMPORT_TYPES, key_import_types),                                      \
        FN(OSSL_FUNC_KEYMGMT_MATCH, key_match),                                                    \
        FN(OSSL_FUNC_KEYMGMT_GET_PARAMS, key_get_params),                                          \
        FN(OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, key_gettable_params),                                \
        FN(OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, operation_##type),                              \
        {0, NULL},                                                                                 \
    };                                                                                             \
    static const OSSL_DISPATCH signature_##type[] = {                                              \
        FN(OSSL_FUNC_SIGNATURE_NEWCTX, signature_new_##type),                                      \
        FN(OSSL_FUNC_SIGNATURE_FREECTX, signature_free),                                           \
        FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, signature_init),                                  \
        FN(OSSL_FUNC_SIGNATURE_DIGEST_SIGN, signature_sign),                                       \
        FN(OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, signature_set_params),                              \
        FN(OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, signature_settable_params),                    \
        {0, NULL},                                                                                 \
    };

KEY_DISPATCH(ec)
KEY_DISPATCH(rsa)
KEY_DISPATCH(ed25519)

static const OSSL_ALGORITHM *algorithms(void *provider, int operation, int *no_cache)
{
    static const OSSL_ALGORITHM keys[] = {
        {"EC:id-ecPublicKey", PROPERTIES, key_ec, "key elsewhere"},
        {"RSA:rsaEncryption", PROPERTIES, key_rsa, "key elsewhere"},
        {"ED25519", PROPERTIES, key_ed25519, "key elsewhere"},
        {NULL, NULL, NULL, NULL},
    };
    static const OSSL_ALGORITHM signatures[] = {
        {"TG-KEYLESS-ECDSA", PROPERTIES, signature_ec, "signature elsewhere"},
        {"TG-KEYLESS-RSA", PROPERTIES, signature_rsa, "signature elsewhere"},
        {"TG-KEYLESS-ED25519", PROPERTIES, signature_ed25519, "signature elsewhere"},
        {NULL, NULL, NULL, NULL},
    };
    *no_cache = 0;
    if (operation == OSSL_OP_KEYMGMT)
        return keys;
    return operation == OSSL_OP_SIGNATURE ? signatures : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *core, const OSSL_DISPATCH *in,
                         const OSSL_DISPATCH **out, void **provider)
{
    static const OSSL_DISPATCH functions[] = {FN(OSSL_FUNC_PROVIDER_QUERY_OPERATION, algorithms),
                                              {0, NULL}};
    *out = functions;
    *provider = (void *)(uintptr_t)core; /* only has to be something: no state */
    return 1;
}

OSSL_PROVIDER *keyless_provider_load(void)
{
    if (OSSL_PROVIDER_add_builtin(NULL, PROVIDER_NAME, provider_init) != 1)
        return NULL;
    return OSSL_PROVIDER_load(NULL, PROVIDER_NAME);
}

EVP_PKEY *keyless_key_make(const X509 *leaf)
{
    EVP_PKEY *public_key = X509_get0_pubkey(leaf), *key = NULL;
    uint8_t ski[SHA_DIGEST_LENGTH];
    unsigned len = sizeof ski;
    OSSL_PARAM *public_params = NULL, *all = NULL;
    OSSL_PARAM own[] = {OSSL_PARAM_octet_string(PARAM_SKI, ski, sizeof ski), OSSL_PARAM_END};
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, EVP_PKEY_get0_type_name(public_key), PROPERTIES);
    if (ctx && X509_pubkey_digest(leaf, EVP_sha1(), ski, &len) == 1 &&
        EVP_PKEY_todata(public_key, EVP_PKEY_PUBLIC_KEY, &public_params) == 1 &&
        (all = OSSL_PARAM_merge(public_params, own)) && EVP_PKEY_fromdata_init(ctx) == 1 &&
        EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_KEYPAIR, all) != 1)
        key = NULL;
    OSSL_PARAM_free(public_params);
    OPENSSL_free(all);
    EVP_PKEY_CTX_free(ctx);
    return key;
}
