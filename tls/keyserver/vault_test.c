/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the private keys: every opcode with every kind of key, and directories that are refused.
 */
#include "tls/keyserver/keyserver_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/rsa.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = {"ec.key", "p384.pem", "rsa.key", "ed.key"};

static struct vault *vault_open(void)
{
    struct vault *vault;
    char problem[512];
    assert_int_equal(vault_create(lab_path("keys"), &vault, problem), TG_OK);
    return vault;
}

static void found_by_ski_and_name(void **state)
{
    struct vault *vault = vault_open();
    assert_int_equal(vault_count(vault), 4);
    for (unsigned i = 0; i < TG_ARRAY_LEN(names); i++) {
        uint8_t ski[KEYMSG_SKI_BYTES];
        lab_ski(names[i], ski); /* by way of a certificate, as the edge has it */
        const struct vault_key *key = vault_find(vault, ski);
        assert_non_null(key);
        assert_string_equal(key->name, names[i]);
        assert_ptr_equal(vault_find_name(vault, names[i]), key);
        ski[0] ^= 1;
        assert_null(vault_find(vault, ski));
    }
    assert_null(vault_find_name(vault, "none.key"));
    vault_destroy(vault);
    vault_destroy(NULL);
}

/* Which kind of key an opcode is for. */
static bool belongs(const struct vault_key *key, const struct keymsg_op_info *op)
{
    switch (op->kind) {
    case KEYMSG_KIND_ECDSA:
        return key->type == VAULT_EC;
    case KEYMSG_KIND_ED25519:
        return key->type == VAULT_ED25519;
    case KEYMSG_KIND_RSA_PKCS1:
    case KEYMSG_KIND_RSA_PSS:
        return key->type == VAULT_RSA;
    default:
        return false;
    }
}

static void signature_expect(const struct vault_key *key, const struct keymsg_op_info *op)
{
    uint8_t out[VAULT_RESULT_MAX];
    size_t len, digest = keymsg_hash_bytes(op->hash);
    struct span input = lab_input(digest ? digest : 100);
    enum keymsg_error error = vault_use(key, op, input, out, &len);
    if (!belongs(key, op)) {
        assert_int_equal(error, KEYMSG_ERROR_CRYPTO);
        return;
    }
    assert_int_equal(error, KEYMSG_ERROR_NONE);
    assert_true(lab_verify(key->name, op, input, span_make(out, len)));
    if (key->type == VAULT_RSA)
        assert_int_equal(len, 256);
    if (key->type == VAULT_ED25519)
        assert_int_equal(len, 64);
    out[len / 2] ^= 1;
    assert_false(lab_verify(key->name, op, input, span_make(out, len)));
    if (digest) { /* a digest of another length is refused */
        assert_int_equal(vault_use(key, op, lab_input(digest - 1), out, &len), KEYMSG_ERROR_CRYPTO);
        assert_int_equal(vault_use(key, op, lab_input(digest + 1), out, &len), KEYMSG_ERROR_CRYPTO);
        assert_int_equal(vault_use(key, op, SPAN_EMPTY, out, &len), KEYMSG_ERROR_CRYPTO);
    }
}

static void every_opcode_with_every_key(void **state)
{
    struct vault *vault = vault_open();
    unsigned signing = 0;
    for (unsigned op = 0; op < 256; op++) {
        const struct keymsg_op_info *info = keymsg_op_info((uint8_t)op);
        if (!info || info->kind == KEYMSG_KIND_DECRYPT_RSA)
            continue;
        signing += info->kind <= KEYMSG_KIND_ED25519;
        for (unsigned i = 0; i < vault_count(vault); i++)
            signature_expect(vault_at(vault, i), info);
    }
    assert_int_equal(signing, 16);
    vault_destroy(vault);
}

static void decrypts_raw(void **state)
{
    struct vault *vault = vault_open();
    const struct keymsg_op_info *op = keymsg_op_info(KEYMSG_OP_RSA_DECRYPT);
    const struct vault_key *key = vault_find_name(vault, "rsa.key");
    uint8_t plain[256] = {0, 2}, cipher[256], out[VAULT_RESULT_MAX];
    size_t len = sizeof cipher;
    memset(plain + 2, 0x77, sizeof plain - 2);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key->pkey, NULL);
    assert_true(EVP_PKEY_encrypt_init(ctx) == 1 &&
                EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_NO_PADDING) == 1 &&
                EVP_PKEY_encrypt(ctx, cipher, &len, plain, sizeof plain) == 1);
    EVP_PKEY_CTX_free(ctx);
    assert_int_equal(vault_use(key, op, span_make(cipher, 256), out, &len), KEYMSG_ERROR_NONE);
    assert_int_equal(len, 256); /* padding and all */
    assert_memory_equal(out, plain, 256);
    assert_int_equal(vault_use(key, op, span_make(cipher, 255), out, &len), KEYMSG_ERROR_CRYPTO);
    memset(cipher, 0xff, sizeof cipher); /* not below the modulus */
    assert_int_equal(vault_use(key, op, span_make(cipher, 256), out, &len), KEYMSG_ERROR_CRYPTO);
    const struct vault_key *ec = vault_find_name(vault, "ec.key");
    assert_int_equal(vault_use(ec, op, span_make(cipher, 256), out, &len), KEYMSG_ERROR_CRYPTO);
    vault_destroy(vault);
}

static void expect_refused(const char *file, const char *text)
{
    struct vault *vault = NULL;
    char problem[512] = "", wanted[300];
    assert_int_equal(vault_create(lab_path("keys"), &vault, problem), TG_BAD_CONFIG);
    snprintf(wanted, sizeof wanted, "%s: %s", lab_path(file), text);
    assert_string_equal(problem, wanted);
    assert_null(vault);
}

static void refused_directories(void **state)
{
    struct vault *vault;
    char problem[512];
    lab_write("keys/bad.key", "-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n");
    expect_refused("keys/bad.key", "holds no PEM private key that parses");
    lab_write("keys/bad.key", "");
    expect_refused("keys/bad.key", "holds no PEM private key that parses");
    lab_key_write("keys/bad.key", "EC", "secret");
    expect_refused("keys/bad.key", "is encrypted: only plain keys can be used");
    lab_key_write("keys/bad.key", "ED448", NULL);
    expect_refused("keys/bad.key", "is neither an EC, an RSA nor an Ed25519 key");
    lab_key_write("keys/bad.key", "EC", NULL);
    chmod(lab_path("keys/bad.key"), 0604);
    expect_refused("keys/bad.key", "everybody may read it: chmod o= it");
    unlink(lab_path("keys/bad.key"));
    mkdir(lab_path("keys/bad.key"), 0700);
    expect_refused("keys/bad.key", "is not a file");
    rmdir(lab_path("keys/bad.key"));
    mkdir(lab_path("empty"), 0700);
    assert_int_equal(vault_create(lab_path("empty"), &vault, problem), TG_BAD_CONFIG);
    assert_non_null(strstr(problem, "holds no *.key or *.pem file"));
    assert_int_equal(vault_create(lab_path("missing"), &vault, problem), TG_BAD_CONFIG);
    assert_non_null(strstr(problem, "missing: No such file or directory"));
}

static void the_same_key_twice(void **state)
{
    struct vault *vault;
    char problem[512];
    assert_int_equal(link(lab_path("keys/ec.key"), lab_path("keys/copy.key")), 0);
    assert_int_equal(vault_create(lab_path("keys"), &vault, problem), TG_BAD_CONFIG);
    assert_non_null(strstr(problem, "is the same key as"));
    unlink(lab_path("keys/copy.key"));
}

static void other_files_are_not_keys(void **state)
{
    lab_write("keys/README", "not a key");
    lab_write("keys/.hidden.key", "not a key");
    lab_write("keys/key", "not a key");
    struct vault *vault = vault_open();
    assert_int_equal(vault_count(vault), 4);
    vault_destroy(vault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_ski_and_name), cmocka_unit_test(every_opcode_with_every_key),
        cmocka_unit_test(decrypts_raw),          cmocka_unit_test(refused_directories),
        cmocka_unit_test(the_same_key_twice),    cmocka_unit_test(other_files_are_not_keys),
    };
    return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
