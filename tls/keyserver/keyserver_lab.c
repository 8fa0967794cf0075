/* SPDX-License-Identifier: BSD-3-Clause
 * Files, keys and certificates for the key server's tests: see keyserver_lab.h.
 */
#include "tls/keyserver/keyserver_lab.h"

#include <ftw.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char directory[64]; /* tests run on one thread */

const char *lab_path(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", directory, name);
    return path;
}

void lab_write(const char *name, const char *text)
{
    FILE *file = fopen(lab_path(name), "w");
    tg_assert(file && fputs(text, file) >= 0 && fclose(file) == 0);
    tg_assert(chmod(lab_path(name), 0600) == 0);
}

char *lab_read(const char *name)
{
    FILE *file = fopen(lab_path(name), "r");
    char *text = calloc(1, 1 << 20);
    tg_assert(file && text);
    tg_assert(fread(text, 1, (1 << 20) - 1, file) < (1 << 20) - 1);
    fclose(file);
    return text;
}

/* --- keys and certificates --------------------------------------------------------------------- */

static EVP_PKEY *key_make(const char *type)
{
    EVP_PKEY *key = NULL;
    if (strcmp(type, "EC") == 0)
        key = EVP_EC_gen("P-256");
    else if (strcmp(type, "P384") == 0)
        key = EVP_EC_gen("P-384");
    else if (strcmp(type, "RSA") == 0)
        key = EVP_RSA_gen(2048);
    else
        key = EVP_PKEY_Q_keygen(NULL, NULL, type);
    tg_assert(key);
    return key;
}

static void key_save(const char *file, EVP_PKEY *key, const char *password)
{
    FILE *out = fopen(lab_path(file), "w");
    tg_assert(out && PEM_write_PrivateKey(out, key, password ? EVP_aes_128_cbc() : NULL, NULL, 0,
                                          NULL, (void *)(uintptr_t)password) == 1);
    tg_assert(fclose(out) == 0 && chmod(lab_path(file), 0600) == 0);
}

void lab_key_write(const char *file, const char *type, const char *password)
{
    EVP_PKEY *key = key_make(type);
    key_save(file, key, password);
    EVP_PKEY_free(key);
}

EVP_PKEY *lab_key(const char *name)
{
    char file[128];
    snprintf(file, sizeof file, "keys/%s", name);
    FILE *in = fopen(lab_path(file), "r");
    EVP_PKEY *key = in ? PEM_read_PrivateKey(in, NULL, NULL, NULL) : NULL;
    tg_assert(key);
    fclose(in);
    return key;
}

static void extension_add(X509 *x, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    tg_assert(extension && X509_add_ext(x, extension, -1) == 1);
    X509_EXTENSION_free(extension);
}

struct issuer {
    X509 *x509;
    EVP_PKEY *key;
};

static X509 *x509_make(EVP_PKEY *key, const char *common_name, const char *usage,
                       const struct issuer *issuer)
{
    static long serial = 1;
    X509 *x = X509_new();
    tg_assert(x && X509_set_version(x, X509_VERSION_3) == 1);
    ASN1_INTEGER_set(X509_get_serialNumber(x), serial++);
    X509_gmtime_adj(X509_getm_notBefore(x), -3600);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_NAME *name = X509_get_subject_name(x);
    const unsigned char *text = (const unsigned char *)common_name;
    tg_assert(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Lab", -1,
                                         -1, 0) == 1 &&
              X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, text, -1, -1, 0) == 1 &&
              X509_set_pubkey(x, key) == 1);
    extension_add(x, NID_basic_constraints, usage ? "CA:FALSE" : "critical,CA:TRUE");
    if (usage)
        extension_add(x, NID_ext_key_usage, usage);
    X509_set_issuer_name(x, issuer ? X509_get_subject_name(issuer->x509) : name);
    tg_assert(X509_sign(x, issuer ? issuer->key : key, EVP_sha256()) > 0);
    return x;
}

static void x509_save(const char *file, X509 *x)
{
    FILE *out = fopen(lab_path(file), "w");
    tg_assert(out && PEM_write_X509(out, x) == 1 && fclose(out) == 0);
}

static void identity_save(const char *name, const char *usage, const struct issuer *issuer)
{
    char file[64];
    EVP_PKEY *key = key_make("EC");
    X509 *x = x509_make(key, name, usage, issuer);
    snprintf(file, sizeof file, "%s.pem", name);
    x509_save(file, x);
    snprintf(file, sizeof file, "%s.key", name);
    key_save(file, key, NULL);
    X509_free(x);
    EVP_PKEY_free(key);
}

void lab_ski(const char *name, uint8_t ski[KEYMSG_SKI_BYTES])
{
    EVP_PKEY *key = lab_key(name), *signer = key_make("EC");
    struct issuer issuer = {x509_make(signer, "any", NULL, NULL), signer};
    X509 *x = x509_make(key, "any", "serverAuth", &issuer);
    unsigned len = KEYMSG_SKI_BYTES;
    tg_assert(X509_pubkey_digest(x, EVP_sha1(), ski, &len) == 1 && len == KEYMSG_SKI_BYTES);
    X509_free(x);
    X509_free(issuer.x509);
    EVP_PKEY_free(key);
    EVP_PKEY_free(signer);
}

/* --- the directory ------------------------------------------------------------------------------ */

int lab_set_up(void **state)
{
    snprintf(directory, sizeof directory, "/tmp/tidegate-keyserver.XXXXXX");
    tg_assert(mkdtemp(directory) && mkdir(lab_path("keys"), 0700) == 0);
    struct issuer ca = {.key = key_make("EC")}, other = {.key = key_make("EC")};
    ca.x509 = x509_make(ca.key, "lab CA", NULL, NULL);
    other.x509 = x509_make(other.key, "other CA", NULL, NULL);
    x509_save("ca.pem", ca.x509);
    identity_save("server", "serverAuth", &ca);
    identity_save("edge1", "clientAuth", &ca);
    identity_save("edge2", "clientAuth", &ca);
    identity_save("wrong", "serverAuth", &ca);
    identity_save("foreign", "clientAuth", &other);
    lab_key_write("keys/ec.key", "EC", NULL);
    lab_key_write("keys/p384.pem", "P384", NULL);
    lab_key_write("keys/rsa.key", "RSA", NULL);
    lab_key_write("keys/ed.key", "ED25519", NULL);
    X509_free(ca.x509);
    X509_free(other.x509);
    EVP_PKEY_free(ca.key);
    EVP_PKEY_free(other.key);
    return 0;
}

static int entry_remove(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    return remove(path);
}

int lab_tear_down(void **state)
{
    return nftw(directory, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

const char *lab_config(const char *top, const char *clients)
{
    static char text[8192];
    int n = snprintf(text, sizeof text,
                     "%s\naddress = \"127.0.0.1\";\nkeys = \"%s\";\ncertificate = \"%s\";\n"
                     "key = \"%s\";\nclient_ca = \"%s\";\nclients = ( %s );\n",
                     top, lab_path("keys"), lab_path("server.pem"), lab_path("server.key"),
                     lab_path("ca.pem"), clients);
    tg_assert(n > 0 && (size_t)n < sizeof text);
    lab_write("keyserver.conf", text);
    return lab_path("keyserver.conf");
}

struct setup *lab_setup(const char *config)
{
    struct setup *setup;
    char problem[SETTINGS_PROBLEM] = "";
    if (setup_create(config, &setup, problem) != TG_OK) {
        fprintf(stderr, "%s\n", problem);
        tg_assert(!"the lab's own configuration is refused");
    }
    setup->settings.port = 0; /* any that is free */
    return setup;
}

/* --- signatures --------------------------------------------------------------------------------- */

struct span lab_input(size_t len)
{
    static uint8_t bytes[1024];
    tg_assert(len <= sizeof bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(i + 1);
    return span_make(bytes, len);
}

static const EVP_MD *digest_named(enum keymsg_hash hash)
{
    static const char *const names[KEYMSG_HASH_COUNT] = {NULL,     "MD5-SHA1", "SHA1",  "SHA224",
                                                         "SHA256", "SHA384",   "SHA512"};
    return names[hash] ? EVP_get_digestbyname(names[hash]) : NULL;
}

static bool message_verify(EVP_PKEY *key, struct span message, struct span signature)
{
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit(md, NULL, NULL, NULL, key) == 1 &&
              EVP_DigestVerify(md, signature.data, signature.len, message.data, message.len) == 1;
    EVP_MD_CTX_free(md);
    return ok;
}

bool lab_verify(const char *name, const struct keymsg_op_info *op, struct span input,
                struct span signature)
{
    EVP_PKEY *key = lab_key(name);
    bool ok;
    if (op->kind == KEYMSG_KIND_ED25519) {
        ok = message_verify(key, input, signature);
    } else {
        EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
        ok = EVP_PKEY_verify_init(ctx) == 1;
        if (op->kind != KEYMSG_KIND_ECDSA) {
            bool pss = op->kind == KEYMSG_KIND_RSA_PSS;
            ok = ok &&
                 EVP_PKEY_CTX_set_rsa_padding(ctx, pss ? RSA_PKCS1_PSS_PADDING
                                                       : RSA_PKCS1_PADDING) == 1 &&
                 EVP_PKEY_CTX_set_signature_md(ctx, digest_named(op->hash)) == 1 &&
                 (!pss || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, RSA_PSS_SALTLEN_DIGEST) == 1);
        }
        ok = ok && EVP_PKEY_verify(ctx, signature.data, signature.len, input.data, input.len) == 1;
        EVP_PKEY_CTX_free(ctx);
    }
    EVP_PKEY_free(key);
    return ok;
}
