/* SPDX-License-Identifier: BSD-3-Clause
 * Everything that follows from the configuration file: keys, clients, TLS context, audit log.
 * Immutable but for the clients' buckets. Built at the start and, whole, again at a reload; called
 * by main.c and server.c. It must not know connections.
 */
#ifndef TLS_KEYSERVER_SETUP_H
#define TLS_KEYSERVER_SETUP_H

#include "tls/keyserver/access.h"
#include "tls/keyserver/audit.h"
#include "tls/keyserver/settings.h"
#include "tls/keyserver/vault.h"

#include <openssl/ssl.h>

struct setup {
    struct settings settings;
    struct vault *vault;
    struct access *access;
    SSL_CTX *ctx;
    struct audit audit;
};

/* TG_OK: *setup is the caller's. Else `problem` says in one sentence what is wrong. */
enum tg_err setup_create(const char *path, struct setup **setup, char problem[SETTINGS_PROBLEM]);
void setup_destroy(struct setup *setup); /* NULL is allowed */

#endif
