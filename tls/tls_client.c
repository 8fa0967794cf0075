/* SPDX-License-Identifier: BSD-3-Clause
 * Connections to origins: server name, verification, client certificate. Called by the proxy's
 * origin pool and by tests. Once opened, a connection is tls_conn.c's.
 */
#include "tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>

/* What we offer when the configuration says nothing. */
static const uint8_t alpn_http1[] = "\x08http/1.1";

/* Copy the name in lower case; TG_BAD_CONFIG when it is no host name or address. */
static enum tg_err host_take(struct tls_client *client, struct span name)
{
    if (name.len > NAME_BYTES_MAX || (name.len && memchr(name.data, 0, name.len)))
        return TG_BAD_CONFIG;
    for (size_t i = 0; i < name.len; i++)
        client->host[i] = (char)span_lower_byte(name.data[i]);
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(client->host);
    client->host_is_address = address != NULL;
    ASN1_OCTET_STRING_free(address);
    ERR_clear_error();
    return TG_OK;
}

/* Trust ca_pem only, and only for the host: both must be there, so that a gap in the configuration
 * never means an unverified origin. */
static enum tg_err verify_set_up(struct tls_client *client, struct span ca_pem, char *problem)
{
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(client->ctx);
    if (ca_pem.len == 0 || client->host[0] == 0) {
        snprintf(problem, PEM_PROBLEM_BYTES, "verification needs a trusted certificate and a name");
        return TG_BAD_CONFIG;
    }
    enum tg_err err = pem_trust_read(SSL_CTX_get_cert_store(client->ctx), ca_pem, problem);
    if (err != TG_OK)
        return err;
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS |
                                               X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    int set = client->host_is_address ? X509_VERIFY_PARAM_set1_ip_asc(param, client->host)
                                      : X509_VERIFY_PARAM_set1_host(param, client->host, 0);
    if (set != 1)
        return TG_BAD_CONFIG;
    SSL_CTX_set_verify(client->ctx, SSL_VERIFY_PEER, NULL);
    client->verify = true;
    return TG_OK;
}

static enum tg_err certificate_set_up(struct tls_client *client, struct span chain, struct span key,
                                      char *problem)
{
    struct pem_pair pair;
    enum tg_err err = pem_pair_read(&pair, chain, key, problem);
    if (err != TG_OK)
        return err;
    if (!pair.key) {
        snprintf(problem, PEM_PROBLEM_BYTES, "the client certificate has no private key");
        err = TG_BAD_INPUT;
    } else if (SSL_CTX_use_cert_and_key(client->ctx, pair.leaf, pair.key, pair.chain, 1) != 1) {
        err = TG_NO_MEMORY;
    }
    pem_pair_free(&pair);
    return err;
}

static enum tg_err client_make(struct tls_client *client, const struct tls_client_config *config,
                               char *problem)
{
    *client = (struct tls_client){.refs = 1};
    client->ctx = SSL_CTX_new(TLS_client_method());
    struct span alpn = config->alpn.len ? config->alpn : span_make(alpn_http1, 9);
    if (!client->ctx || !context_policy_common(client->ctx, true) ||
        SSL_CTX_set_alpn_protos(client->ctx, alpn.data, (unsigned)alpn.len) != 0)
        return TG_NO_MEMORY;
    enum tg_err err = host_take(client, config->server_name);
    if (err == TG_OK && config->verify)
        err = verify_set_up(client, config->ca_pem, problem);
    if (err == TG_OK && config->chain_pem.len)
        err = certificate_set_up(client, config->chain_pem, config->key_pem, problem);
    return err;
}

enum tg_err tls_client_create(const struct tls_client_config *config, struct tls_client **out,
                              char problem[256])
{
    (void)tls_process_get();
    problem[0] = 0;
    struct tls_client *client = malloc(sizeof *client);
    if (!client)
        return TG_NO_MEMORY;
    enum tg_err err = client_make(client, config, problem);
    ERR_clear_error();
    if (err == TG_OK)
        *out = client;
    else
        tls_client_unref(client);
    return err;
}

void tls_client_unref(struct tls_client *client)
{
    tg_assert(client->refs > 0);
    if (--client->refs > 0)
        return;
    SSL_CTX_free(client->ctx);
    free(client);
}

enum tg_err tls_client_open(struct tls_client *client, void *user, struct tls_conn **out)
{
    struct tls_conn *conn = conn_make(client->ctx, CONN_HANDSHAKE, user);
    if (!conn)
        return TG_NO_MEMORY;
    conn->client = client;
    client->refs++;
    SSL_set_connect_state(conn->ssl);
    bool named = conn_server_name_set(conn, span_from_string(client->host));
    if (named && client->host[0] && !client->host_is_address)
        named = SSL_set_tlsext_host_name(conn->ssl, client->host) == 1;
    /* The ClientHello is made here, so that the caller drains it into its first segment. */
    if (!named || conn_advance(conn) != TG_AGAIN) {
        tls_abort(conn);
        return TG_NO_MEMORY;
    }
    *out = conn;
    return TG_OK;
}

enum tg_err tls_connect(const struct tls_client_config *config, void *user, struct tls_conn **conn)
{
    struct tls_client *client;
    char problem[PEM_PROBLEM_BYTES];
    enum tg_err err = tls_client_create(config, &client, problem);
    if (err != TG_OK)
        return err;
    err = tls_client_open(client, user, conn);
    tls_client_unref(client);
    return err;
}
