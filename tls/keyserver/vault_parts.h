/* SPDX-License-Identifier: BSD-3-Clause
 * What vault.c and vault_read.c share; nobody else includes it.
 */
#ifndef TLS_KEYSERVER_VAULT_PARTS_H
#define TLS_KEYSERVER_VAULT_PARTS_H

#include "tls/keyserver/vault.h"

#include <openssl/evp.h>

struct vault {
    struct vault_key *keys; /* sorted by SKI */
    unsigned count;
};

int vault_compare_skis(const void *a, const void *b);

#endif
