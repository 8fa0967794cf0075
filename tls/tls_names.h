/* SPDX-License-Identifier: BSD-3-Clause
 * Host name -> certificates, for one certificate set. Built once (cold), then only read. The names
 * come from the control plane, the look-ups from clients, so the hash is keyed. Called by
 * tls_set.c; it must not know OpenSSL: a certificate is an index here.
 */
#ifndef TLS_TLS_NAMES_H
#define TLS_TLS_NAMES_H

#include "base/result.h"
#include "base/span.h"

#define NAME_BYTES_MAX 253        /* of a host name without its trailing dot (RFC 1035 s2.3.4) */
#define NAME_NONE      UINT32_MAX /* no certificate */

/* A name may have one certificate of each key type: the client's signature algorithms decide. */
enum name_key_type { NAME_KEY_ECDSA, NAME_KEY_RSA, NAME_KEY_ED25519, NAME_KEY_TYPES };

struct name_choice {
    uint32_t certificate[NAME_KEY_TYPES]; /* index, or NAME_NONE */
};

struct name_entry {
    uint32_t offset; /* of the name in names */
    uint32_t len;    /* bytes; 0: empty slot */
    struct name_choice choice;
};

struct name_table {
    struct name_entry *entries; /* open addressing, linear probing, at most half full */
    uint32_t mask;              /* entries - 1 */
    uint8_t *names;             /* all names one behind the other, lower case */
    uint32_t names_len, names_cap;
    uint64_t key[2];
};

static inline struct name_choice name_choice_none(void)
{
    return (struct name_choice){{NAME_NONE, NAME_NONE, NAME_NONE}};
}

/* Add `certificate` for its key type; the first of a type stays (order is the control plane's
 * preference). */
static inline void name_choice_add(struct name_choice *choice, enum name_key_type type,
                                   uint32_t certificate)
{
    if (choice->certificate[type] == NAME_NONE)
        choice->certificate[type] = certificate;
}

/* Room for `names` names of together `bytes` bytes. TG_NO_MEMORY. */
enum tg_err name_table_init(struct name_table *table, uint32_t names, uint32_t bytes,
                            const uint64_t key[2]);
void name_table_free(struct name_table *table);

/* Add one name, any case. "*.example.com" stands for one label. TG_BAD_INPUT: not a host name. */
enum tg_err name_table_add(struct name_table *table, struct span name, enum name_key_type type,
                           uint32_t certificate);

/* The certificates for a client's server name, any case: the exact name before the wildcard; NULL
 * if none. */
const struct name_choice *name_table_find(const struct name_table *table, struct span name);

#endif
