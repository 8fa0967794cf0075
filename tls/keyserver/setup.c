/* SPDX-License-Identifier: BSD-3-Clause
 * From the configuration file to what the server works with: see setup.h.
 */
#include "tls/keyserver/setup.h"

#include "tls/keyserver/files.h"
#include "tls/tls_pem.h"

#include <stdio.h>
#include <stdlib.h>

/* The reference speaks TLS 1.2 only, with the two AES-256 suites; we speak 1.3 too, and on 1.2 what
 * is of the same kind. */
static const char suites_tls12[] =
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

static enum tg_err named_bad(const char *file, const char *sentence, char *problem)
{
    snprintf(problem, SETTINGS_PROBLEM, "%.200s: %.200s", file, sentence);
    return TG_BAD_CONFIG;
}

/* Connections live long and are few: no session is worth a ticket. */
static bool policy_set(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return SSL_CTX_set_num_tickets(ctx, 0) == 1 &&
           SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ctx, suites_tls12) == 1 &&
           SSL_CTX_set1_groups_list(ctx, "X25519:P-256:P-384") == 1;
}

static enum tg_err identity_load(SSL_CTX *ctx, const struct settings *s, char *problem)
{
    struct span chain, key;
    struct pem_pair pair = {0};
    char sentence[PEM_PROBLEM_BYTES];
    enum tg_err err = file_read(s->certificate, false, &chain, problem);
    if (err != TG_OK)
        return err;
    err = file_read(s->key, true, &key, problem);
    if (err == TG_OK) {
        if (key.len == 0)
            err = named_bad(s->key, "is empty", problem);
        else if (pem_pair_read(&pair, chain, key, sentence) != TG_OK)
            err = named_bad(s->certificate, sentence, problem);
        else if (SSL_CTX_use_cert_and_key(ctx, pair.leaf, pair.key, pair.chain, 1) != 1)
            err = named_bad(s->certificate, "libssl does not take it", problem);
    }
    pem_pair_free(&pair);
    file_wipe(&key);
    file_wipe(&chain);
    return err;
}

static enum tg_err trust_load(SSL_CTX *ctx, const struct settings *s, char *problem)
{
    struct span ca;
    char sentence[PEM_PROBLEM_BYTES];
    enum tg_err err = file_read(s->client_ca, false, &ca, problem);
    if (err != TG_OK)
        return err;
    if (pem_trust_read(SSL_CTX_get_cert_store(ctx), ca, sentence) != TG_OK)
        err = named_bad(s->client_ca, sentence, problem);
    file_wipe(&ca);
    return err;
}

static enum tg_err context_create(struct setup *setup, char *problem)
{
    setup->ctx = SSL_CTX_new(TLS_server_method());
    if (!setup->ctx || !policy_set(setup->ctx)) {
        snprintf(problem, SETTINGS_PROBLEM, "libssl does not give a context");
        return TG_SYSTEM;
    }
    enum tg_err err = identity_load(setup->ctx, &setup->settings, problem);
    return err == TG_OK ? trust_load(setup->ctx, &setup->settings, problem) : err;
}

enum tg_err setup_create(const char *path, struct setup **out, char problem[SETTINGS_PROBLEM])
{
    struct setup *setup = calloc(1, sizeof *setup);
    if (!setup) {
        snprintf(problem, SETTINGS_PROBLEM, "no memory");
        return TG_NO_MEMORY;
    }
    setup->audit.fd = -1;
    enum tg_err err = settings_read(path, &setup->settings, problem);
    if (err == TG_OK)
        err = vault_create(setup->settings.keys, &setup->vault, problem);
    if (err == TG_OK)
        err = access_create(&setup->settings, setup->vault, &setup->access, problem);
    if (err == TG_OK)
        err = context_create(setup, problem);
    if (err == TG_OK)
        err = audit_open(&setup->audit, setup->settings.audit, problem);
    if (err == TG_OK)
        *out = setup;
    else
        setup_destroy(setup);
    return err;
}

void setup_destroy(struct setup *setup)
{
    if (!setup)
        return;
    audit_close(&setup->audit);
    SSL_CTX_free(setup->ctx);
    access_destroy(setup->access);
    vault_destroy(setup->vault);
    settings_release(&setup->settings);
    free(setup);
}
