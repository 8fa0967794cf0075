/* SPDX-License-Identifier: BSD-3-Clause
 * Session tickets: the keys that they are made under, what they carry besides libssl's own, and when one
 * counts. Called by tls_set.c (cold) and by libssl's callbacks in handshakes. Whether early data counts is
 * tls_early.c's.
 *
 * Keys of a fleet are derived from a secret that all its nodes have, so that nothing needs to be sent among
 * them and a client resumes wherever the route takes it. Rotation: a new secret comes second into every node's
 * file, then first, then the old one goes; each of these steps finds all tickets of the step before.
 */
#include "tls/tls_internal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

/* --- keys ------------------------------------------------------------------------------------- */

/* HKDF-SHA256 (RFC 5869) without salt; info: a label and the id, big-endian. */
static bool ticket_key_derive(const struct tls_ticket_secret *from, struct ticket_key *to)
{
    char label[] = "tidegate ticket 1\0\0\0\0";
    uint8_t secret[sizeof from->secret];
    for (unsigned i = 0; i < 4; i++)
        label[sizeof label - 5 + i] = (char)(from->id >> (24 - 8 * i));
    memcpy(secret, from->secret, sizeof secret);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret, sizeof secret),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, label, sizeof label - 1),
        OSSL_PARAM_construct_end(),
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok = ctx && EVP_KDF_derive(ctx, (uint8_t *)to, sizeof *to, params) == 1;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    OPENSSL_cleanse(secret, sizeof secret);
    return ok;
}

/* The fleet's; without such ones the process's, or in a seeded set one that follows from the seed. */
static bool ticket_keys_take(struct tls_set *set, const struct tls_policy *policy)
{
    tg_assert(policy->ticket_secret_count <= TLS_TICKET_SECRETS_MAX);
    for (unsigned i = 0; i < policy->ticket_secret_count; i++)
        if (!ticket_key_derive(&policy->ticket_secrets[i], &set->ticket_keys[i]))
            return false;
    set->ticket_key_count = policy->ticket_secret_count;
    if (set->ticket_key_count > 0)
        return true;
    set->ticket_key_count = 1;
    set->ticket_keys[0] = tls_process_get()->ticket_key;
    return !policy->random_seed ||
           RAND_bytes((uint8_t *)&set->ticket_keys[0], sizeof set->ticket_keys[0]) == 1;
}

static bool ticket_key_start(const struct ticket_key *key, const uint8_t *iv,
                             EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    uint8_t mac_key[sizeof key->mac];
    memcpy(mac_key, key->mac, sizeof mac_key);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, mac_key, sizeof mac_key),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = EVP_MAC_CTX_set_params(mac, params) == 1 &&
              EVP_CipherInit_ex2(cipher, tls_process_get()->ticket_cipher, key->cipher, iv, encrypt,
                                 NULL) == 1;
    OPENSSL_cleanse(mac_key, sizeof mac_key);
    return ok;
}

/* libssl asks for the key of a ticket: to make one (encrypt), or by its name to open one. 0: not ours, a full
 * handshake; 2: ours, and the client gets a new one. In TLS 1.3 it always does: a client uses each once (RFC
 * 8446 appendix C.4). */
static int ticket_key_find(SSL *ssl, unsigned char name[16], unsigned char *iv,
                           EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    const struct tls_set *set = conn_of(ssl)->set;
    if (encrypt) {
        const struct ticket_key *key = &set->ticket_keys[0];
        memcpy(name, key->name, sizeof key->name);
        int iv_len = EVP_CIPHER_get_iv_length(tls_process_get()->ticket_cipher);
        return RAND_bytes(iv, iv_len) == 1 && ticket_key_start(key, iv, cipher, mac, 1) ? 1 : -1;
    }
    for (unsigned i = 0; i < set->ticket_key_count; i++) {
        const struct ticket_key *key = &set->ticket_keys[i];
        if (memcmp(name, key->name, sizeof key->name) != 0)
            continue;
        if (!ticket_key_start(key, iv, cipher, mac, 0))
            return -1;
        return i > 0 || SSL_version(ssl) == TLS1_3_VERSION ? 2 : 1;
    }
    return 0;
}

/* --- what is in them -------------------------------------------------------------------------- */

/* A ticket's issue time is the worker's, so that virtual time counts. */
static int ticket_stamp(SSL *ssl, void *arg)
{
    struct tls_conn *conn = conn_of(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    if (session && conn->now_s)
        SSL_SESSION_set_time(session, (long)conn->now_s);
    return !session || early_ticket_stamp(conn, session);
}

/* The time by libssl's own clock, which a new session carries. */
static long libssl_now(void)
{
    SSL_SESSION *fresh = SSL_SESSION_new();
    long now = fresh ? SSL_SESSION_get_time(fresh) : 0;
    SSL_SESSION_free(fresh);
    return now;
}

/* A ticket counts for the server name that it was issued for. The RFCs leave most of that to the
 * client (RFC 8446 s4.6.1); a server of many customers does not. */
static bool ticket_name_fits(const struct tls_conn *conn, const SSL_SESSION *session)
{
    const char *issued = SSL_SESSION_get0_hostname(session), *asked = conn->server_name;
    return issued && asked ? span_equal_nocase(span_from_string(issued), span_from_string(asked))
                           : !issued && !asked;
}

/* libssl compares a ticket's time with its own clock. Under virtual time the age is moved onto that
 * clock. */
static SSL_TICKET_RETURN ticket_open(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                     size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    struct tls_conn *conn = conn_of(ssl);
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!ticket_name_fits(conn, session))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (conn->set->deterministic) {
        long age = (long)conn->now_s - SSL_SESSION_get_time(session);
        SSL_SESSION_set_time(session, libssl_now() - (age > 0 ? age : 0));
    }
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

bool tickets_set_up(struct tls_set *set, const struct tls_policy *policy)
{
    return ticket_keys_take(set, policy) &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(set->ctx, ticket_key_find) == 1 &&
           SSL_CTX_set_num_tickets(set->ctx, 1) == 1 &&
           SSL_CTX_set_session_ticket_cb(set->ctx, ticket_stamp, ticket_open, NULL) == 1;
}
