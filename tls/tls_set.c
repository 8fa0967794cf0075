/* SPDX-License-Identifier: BSD-3-Clause
 * A worker's certificate set: built from PEM (cold), then only looked up, by the servername
 * callback of each handshake. Called by the housekeeping thread (create), the worker (ref, unref)
 * and libssl (callback).
 */
#include "tls/tls_internal.h"

#include "tls/tls_keyless.h"
#include "tls/tls_random.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

/* Put every certificate of the choice into the handshake; libssl takes the one that suits the
 * client's signature algorithms. */
static bool choice_apply(SSL *ssl, const struct tls_set *set, const struct name_choice *choice)
{
    for (unsigned type = 0; type < NAME_KEY_TYPES; type++) {
        uint32_t index = choice->certificate[type];
        if (index == NAME_NONE)
            continue;
        const struct pem_pair *pair = &set->pairs[index];
        if (SSL_use_cert_and_key(ssl, pair->leaf, pair->key, pair->chain, 1) != 1)
            return false;
    }
    return true;
}

static bool choice_is_none(const struct name_choice *choice)
{
    for (unsigned type = 0; type < NAME_KEY_TYPES; type++)
        if (choice->certificate[type] != NAME_NONE)
            return false;
    return true;
}

/* No certificate for this client: unrecognized_name (RFC 6066 s3); in TLS 1.3 a client that sent no
 * name at all gets missing_extension (RFC 8446 s9.2). */
static int name_refuse(const SSL *ssl, const char *name, int *alert)
{
    bool missing = !name && SSL_version(ssl) == TLS1_3_VERSION;
    *alert = missing ? SSL_AD_MISSING_EXTENSION : SSL_AD_UNRECOGNIZED_NAME;
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* The host name of a server_name extension (RFC 6066 s3); empty when there is none or libssl will
 * refuse it. */
static struct span hello_name(SSL *ssl)
{
    const unsigned char *data;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &data, &len) != 1)
        return SPAN_EMPTY;
    struct span_reader r = span_reader_make(span_make(data, len));
    (void)span_read_be16(&r); /* length of the list: of one name */
    bool host = span_read_u8(&r) == TLSEXT_NAMETYPE_host_name;
    size_t name_len = span_read_be16(&r);
    const uint8_t *name = span_read(&r, name_len);
    return host && name ? span_make(name, name_len) : SPAN_EMPTY;
}

/* Called by libssl first of all, so that the name is known when a ticket is opened. */
static int hello_note(SSL *ssl, int *alert, void *arg)
{
    *alert = SSL_AD_INTERNAL_ERROR;
    early_note(ssl);
    return conn_server_name_set(conn_of(ssl), hello_name(ssl)) ? SSL_CLIENT_HELLO_SUCCESS
                                                               : SSL_CLIENT_HELLO_ERROR;
}

/* Called by libssl for every ClientHello, with or without a name, twice after a HelloRetryRequest.
 */
static int servername_choose(SSL *ssl, int *alert, void *arg)
{
    const struct tls_set *set = arg;
    const char *name = conn_of(ssl)->server_name;
    const struct name_choice *choice = NULL;
    if (name)
        choice = name_table_find(&set->names, span_from_string(name));
    if (!choice)
        choice = &set->fallback;
    if (choice_is_none(choice))
        return name_refuse(ssl, name, alert);
    if (!choice_apply(ssl, set, choice)) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* The next name of a list of names that each end with a NUL; empty when there is none. */
static struct span names_next(struct span *names)
{
    const uint8_t *end = names->len ? memchr(names->data, 0, names->len) : NULL;
    size_t len = end ? (size_t)(end - names->data) : names->len;
    struct span name = span_slice(*names, 0, len);
    *names = span_slice(*names, end ? len + 1 : len, SIZE_MAX);
    return name;
}

/* Enter one certificate's names, and the certificate as a default. */
static enum tg_err names_enter(struct tls_set *set, const struct tls_certificate *certificate,
                               uint32_t index, char problem[PEM_PROBLEM_BYTES])
{
    struct span rest = certificate->names;
    if (rest.len == 0 && !certificate->is_default) {
        snprintf(problem, PEM_PROBLEM_BYTES, "it has no names and is not the default");
        return TG_BAD_INPUT;
    }
    enum name_key_type type = set->pairs[index].type;
    while (rest.len) {
        struct span name = names_next(&rest);
        if (name_table_add(&set->names, name, type, index) != TG_OK) {
            snprintf(problem, PEM_PROBLEM_BYTES, "\"%.*s\" is not a host name",
                     (int)(name.len < 100 ? name.len : 100), (const char *)name.data);
            return TG_BAD_INPUT;
        }
    }
    if (certificate->is_default)
        name_choice_add(&set->fallback, type, index);
    return TG_OK;
}

/* Parse one certificate; a missing private key lies elsewhere. */
static enum tg_err pair_make(struct tls_set *set, const struct tls_certificate *certificate,
                             uint32_t index, char problem[PEM_PROBLEM_BYTES])
{
    struct pem_pair *pair = &set->pairs[index];
    enum tg_err err = pem_pair_read(pair, certificate->chain_pem, certificate->key_pem, problem);
    if (err != TG_OK)
        return err;
    set->count = index + 1;
    if (pair->key)
        return TG_OK;
    set->keys_remote = true;
    pair->key = keyless_key_make(pair->leaf);
    return pair->key ? TG_OK : TG_NO_MEMORY;
}

/* A name table that is large enough for all certificates' names. */
static enum tg_err names_make(struct tls_set *set, const struct tls_certificate certificates[],
                              unsigned count)
{
    uint32_t names = 0, bytes = 0;
    for (unsigned i = 0; i < count; i++) {
        struct span rest = certificates[i].names;
        bytes += (uint32_t)rest.len;
        while (rest.len) {
            (void)names_next(&rest);
            names++;
        }
    }
    uint64_t key[2];
    if (RAND_bytes((unsigned char *)key, sizeof key) != 1)
        return TG_SYSTEM;
    return name_table_init(&set->names, names, bytes, key);
}

/* The parts that do not depend on single certificates. */
static enum tg_err set_make(struct tls_set *set, const struct tls_certificate certificates[],
                            unsigned count, const struct tls_policy *policy)
{
    static _Atomic uint64_t sets; /* cold; makes operation ids unique in the process */
    *set = (struct tls_set){.refs = 1,
                            .serial = atomic_fetch_add(&sets, 1) + 1,
                            .deterministic = policy->random_seed != 0,
                            .early_data_max = policy->early_data_max,
                            .replay = policy->replay,
                            .node_slot = policy->node_slot,
                            .fallback = name_choice_none()};
    set->pairs = calloc(count ? count : 1, sizeof set->pairs[0]);
    set->ctx = SSL_CTX_new(TLS_server_method());
    if (!set->pairs || !set->ctx || !context_policy_common(set->ctx, policy->tls12) ||
        !context_policy_server(set->ctx, policy) || !tickets_set_up(set, policy))
        return TG_NO_MEMORY;
    SSL_CTX_set_client_hello_cb(set->ctx, hello_note, NULL);
    SSL_CTX_set_tlsext_servername_callback(set->ctx, servername_choose);
    SSL_CTX_set_tlsext_servername_arg(set->ctx, set);
    return names_make(set, certificates, count);
}

enum tg_err tls_set_create(const struct tls_certificate certificates[], unsigned count,
                           const struct tls_policy *policy, struct tls_set **out, unsigned *bad,
                           char problem[256])
{
    (void)tls_process_get();
    *bad = 0;
    problem[0] = 0;
    random_seed_set(policy->random_seed);
    struct tls_set *set = malloc(sizeof *set);
    if (!set)
        return TG_NO_MEMORY;
    enum tg_err err = set_make(set, certificates, count, policy);
    for (unsigned i = 0; err == TG_OK && i < count; i++) {
        *bad = i;
        err = pair_make(set, &certificates[i], i, problem);
        if (err == TG_OK)
            err = names_enter(set, &certificates[i], i, problem);
    }
    ERR_clear_error();
    if (err == TG_OK)
        *out = set;
    else
        tls_set_unref(set);
    return err;
}

void tls_set_ref(struct tls_set *set)
{
    set->refs++;
}

void tls_set_unref(struct tls_set *set)
{
    tg_assert(set->refs > 0);
    if (--set->refs > 0)
        return;
    for (unsigned i = 0; i < set->count; i++)
        pem_pair_free(&set->pairs[i]);
    free(set->pairs);
    name_table_free(&set->names);
    SSL_CTX_free(set->ctx);
    OPENSSL_cleanse(set->ticket_keys, sizeof set->ticket_keys);
    free(set);
}
