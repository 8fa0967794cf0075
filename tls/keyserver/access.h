/* SPDX-License-Identifier: BSD-3-Clause
 * Who may do what: client certificates by subject, their keys, their rates. Called by answer.c for
 * every request and by link.c once a connection. It must not know sockets. Without an entry here
 * the holder of an edge's certificate gets nothing: a key server that asks nobody signs for
 * everybody who stole one.
 */
#ifndef TLS_KEYSERVER_ACCESS_H
#define TLS_KEYSERVER_ACCESS_H

#include "tls/keyserver/settings.h"
#include "tls/keyserver/vault.h"

struct access;

struct access_client {
    const char *subject;
    bool every_key, decrypt, weak_hashes;
    uint8_t (*skis)[KEYMSG_SKI_BYTES]; /* sorted */
    unsigned ski_count;
    /* token bucket, in thousandths of an operation */
    uint64_t rate, burst, tokens;
    tg_ns filled_at; /* 0: never */
    uint64_t unsaid; /* refusals by rate that no audit line has told yet */
    tg_ns refusal_said_at;
};

/* Resolve the settings' clients against the keys that are there. TG_BAD_CONFIG: `problem` names line
 * and key that is wrong. The settings must outlive it. */
enum tg_err access_create(const struct settings *settings, const struct vault *vault,
                          struct access **access, char problem[SETTINGS_PROBLEM]);
void access_destroy(struct access *access); /* NULL is allowed */

/* NULL: nobody known. */
struct access_client *access_find(struct access *access, const char *subject);
bool access_allows(const struct access_client *client, const uint8_t ski[KEYMSG_SKI_BYTES]);
/* Take one operation out of the client's bucket; false: it is empty. */
bool access_take(struct access_client *client, tg_ns now);

#endif
