/* SPDX-License-Identifier: BSD-3-Clause
 * A directory of PEM files into a vault: see vault.h. Cold: at the start and at a reload.
 */
#include "tls/keyserver/files.h"
#include "tls/keyserver/vault_parts.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

struct reading {
    const char *directory;
    struct vault *vault;
    unsigned room; /* of vault->keys */
    char *problem; /* [512] */
};

static enum tg_err key_bad(const struct reading *r, const char *name, const char *what)
{
    snprintf(r->problem, 512, "%.200s/%.100s: %s", r->directory, name, what);
    ERR_clear_error();
    return TG_BAD_CONFIG;
}

/* Nobody is there to type a password. */
static int password_none(char *buffer, int size, int write, void *arg)
{
    *(bool *)arg = true;
    return -1;
}

static bool type_read(EVP_PKEY *pkey, enum vault_type *type)
{
    switch (EVP_PKEY_get_base_id(pkey)) {
    case EVP_PKEY_EC:
        *type = VAULT_EC;
        return true;
    case EVP_PKEY_RSA:
        *type = VAULT_RSA;
        return EVP_PKEY_get_size(pkey) <= VAULT_RESULT_MAX;
    case EVP_PKEY_ED25519:
        *type = VAULT_ED25519;
        return true;
    default:
        return false;
    }
}

/* SHA-1 of the public key's bits as they stand in a certificate (RFC 5280 s4.2.1.2, method 1). */
static bool ski_make(EVP_PKEY *pkey, uint8_t ski[KEYMSG_SKI_BYTES])
{
    X509_PUBKEY *public_key = NULL;
    const unsigned char *bits;
    int len;
    bool ok = X509_PUBKEY_set(&public_key, pkey) == 1 &&
              X509_PUBKEY_get0_param(NULL, &bits, &len, NULL, public_key) == 1 &&
              SHA1(bits, (size_t)len, ski);
    X509_PUBKEY_free(public_key);
    return ok;
}

static enum tg_err key_parse(const struct reading *r, struct span pem, struct vault_key *key)
{
    bool encrypted = false;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.len);
    key->pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, password_none, &encrypted) : NULL;
    BIO_free(bio);
    if (!key->pkey)
        return key_bad(r, key->name,
                       encrypted ? "is encrypted: only plain keys can be used"
                                 : "holds no PEM private key that parses");
    if (!type_read(key->pkey, &key->type))
        return key_bad(r, key->name, "is neither an EC, an RSA nor an Ed25519 key");
    if (!ski_make(key->pkey, key->ski))
        return key_bad(r, key->name, "its public key cannot be encoded");
    return TG_OK;
}

static bool room_make(struct reading *r)
{
    if (r->vault->count < r->room)
        return true;
    unsigned room = r->room ? 2 * r->room : 16;
    if (room > VAULT_KEYS_MAX)
        return false;
    struct vault_key *keys = realloc(r->vault->keys, room * sizeof *keys);
    if (!keys)
        return false;
    r->vault->keys = keys;
    r->room = room;
    return true;
}

static enum tg_err key_read(struct reading *r, const char *name)
{
    char path[512];
    struct span pem;
    struct vault_key key = {.name = ""};
    if (strlen(name) >= VAULT_NAME_MAX)
        return key_bad(r, name, "has a name of more than 127 bytes");
    if (!room_make(r))
        return key_bad(r, name, "there are too many keys");
    memcpy(key.name, name, strlen(name) + 1);
    int n = snprintf(path, sizeof path, "%s/%s", r->directory, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return key_bad(r, name, "the path is too long");
    enum tg_err err = file_read(path, true, &pem, r->problem);
    if (err != TG_OK)
        return err;
    err = key_parse(r, pem, &key);
    file_wipe(&pem);
    if (err == TG_OK)
        r->vault->keys[r->vault->count++] = key;
    else
        EVP_PKEY_free(key.pkey);
    return err;
}

static bool name_is_key(const char *name)
{
    const char *dot = strrchr(name, '.');
    return name[0] != '.' && dot && (strcmp(dot, ".key") == 0 || strcmp(dot, ".pem") == 0);
}

static enum tg_err directory_read(struct reading *r)
{
    DIR *dir = opendir(r->directory);
    enum tg_err err = TG_OK;
    if (!dir) {
        snprintf(r->problem, 512, "%.300s: %s", r->directory, strerror(errno));
        return TG_BAD_CONFIG;
    }
    const struct dirent *entry;
    while (err == TG_OK && (entry = readdir(dir)))
        if (name_is_key(entry->d_name))
            err = key_read(r, entry->d_name);
    closedir(dir);
    return err;
}

/* Sorted; the same key in two files would make it unclear whose name is logged. */
static enum tg_err keys_sort(struct reading *r)
{
    struct vault *v = r->vault;
    if (v->count == 0) {
        snprintf(r->problem, 512, "%.300s: holds no *.key or *.pem file", r->directory);
        return TG_BAD_CONFIG;
    }
    qsort(v->keys, v->count, sizeof *v->keys, vault_compare_skis);
    for (unsigned i = 1; i < v->count; i++)
        if (vault_compare_skis(&v->keys[i - 1], &v->keys[i]) == 0) {
            char what[VAULT_NAME_MAX + 32];
            snprintf(what, sizeof what, "is the same key as %s", v->keys[i - 1].name);
            return key_bad(r, v->keys[i].name, what);
        }
    return TG_OK;
}

enum tg_err vault_create(const char *directory, struct vault **vault, char problem[512])
{
    struct reading r = {.directory = directory, .problem = problem};
    r.vault = calloc(1, sizeof *r.vault);
    if (!r.vault) {
        snprintf(problem, 512, "no memory");
        return TG_NO_MEMORY;
    }
    enum tg_err err = directory_read(&r);
    if (err == TG_OK)
        err = keys_sort(&r);
    if (err == TG_OK)
        *vault = r.vault;
    else
        vault_destroy(r.vault);
    return err;
}
