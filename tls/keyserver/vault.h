/* SPDX-License-Identifier: BSD-3-Clause
 * The private keys: read from a directory once, found by SKI, used here and nowhere else. Called by
 * setup.c (to fill it) and answer.c (to sign). It must not know who asks. Nothing here is ever
 * logged but a key's file name and its SKI, which follows from the public key.
 */
#ifndef TLS_KEYSERVER_VAULT_H
#define TLS_KEYSERVER_VAULT_H

#include "base/result.h"
#include "base/span.h"
#include "tls/keymsg.h"

#define VAULT_NAME_MAX   128  /* bytes of a file name with its NUL */
#define VAULT_KEYS_MAX   4096 /* in one directory */
#define VAULT_RESULT_MAX 2048 /* bytes of a signature: RSA with 16384 bits */

struct vault;

struct vault_key {
    uint8_t ski[KEYMSG_SKI_BYTES]; /* SHA-1 of the public key's bits */
    char name[VAULT_NAME_MAX];     /* its file */
    enum vault_type { VAULT_EC, VAULT_RSA, VAULT_ED25519 } type;
    void *pkey; /* EVP_PKEY * */
};

/* Read every file of the directory whose name ends in ".key" or ".pem" as one PEM private key: EC,
 * RSA or Ed25519. TG_BAD_CONFIG: `problem` (512 bytes) names the file: it is readable by everybody,
 * encrypted, no private key, of another kind, or twice there; or there is none at all. */
enum tg_err vault_create(const char *directory, struct vault **vault, char problem[512]);
/* The keys are wiped. NULL is allowed. */
void vault_destroy(struct vault *vault);

unsigned vault_count(const struct vault *vault);
/* In the order of SKIs; i < vault_count. */
const struct vault_key *vault_at(const struct vault *vault, unsigned i);
/* NULL: none. Lives as long as the vault. */
const struct vault_key *vault_find(const struct vault *vault, const uint8_t ski[KEYMSG_SKI_BYTES]);
/* By file name. NULL: none. */
const struct vault_key *vault_find_name(const struct vault *vault, const char *name);

/* Do what the opcode says: sign a digest or a message, decrypt raw. `out` has VAULT_RESULT_MAX
 * bytes. KEYMSG_ERROR_NONE: *len bytes are there. KEYMSG_ERROR_CRYPTO: another kind of key, another
 * length of the input, or libcrypto failed. */
enum keymsg_error vault_use(const struct vault_key *key, const struct keymsg_op_info *op,
                            struct span input, uint8_t *out, size_t *len);

#endif
