/* SPDX-License-Identifier: BSD-3-Clause
 * Whether early data (0-RTT, RFC 8446 s8) counts: the ticket must be this node's own, and the flight must be
 * new in the node's register. Called by libssl's callbacks. libssl itself has checked the binder and the
 * ticket's age by then. A refusal costs the client one round trip and nothing else.
 */
#include "tls/tls_internal.h"
#include "tls/tls_replay.h"

static_assert(sizeof((struct tls_conn){0}).binder == REPLAY_KEY_BYTES, "the binder names a flight");

/* pre_shared_key (RFC 8446 s4.2.11): identities<7..2^16-1>, binders<33..2^16-1>, each binder <32..255>. libssl
 * looks at the first identity only when early data is offered, so the first binder names the flight. */
void early_note(SSL *ssl)
{
    struct tls_conn *conn = conn_of(ssl);
    const unsigned char *data;
    size_t len;
    conn->binder_known = false;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_psk, &data, &len) != 1)
        return;
    struct span_reader r = span_reader_make(span_make(data, len));
    size_t identities = span_read_be16(&r);
    (void)span_read(&r, identities);
    (void)span_read_be16(&r); /* length of the list of binders */
    uint8_t binder_len = span_read_u8(&r);
    const uint8_t *binder = span_read(&r, binder_len);
    if (!binder || binder_len < sizeof conn->binder)
        return; /* libssl refuses it in its own words */
    memcpy(conn->binder, binder, sizeof conn->binder);
    conn->binder_known = true;
}

static bool ticket_is_ours(const struct tls_conn *conn, SSL_SESSION *session)
{
    void *data;
    size_t len;
    uint16_t slot;
    if (!session || SSL_SESSION_get0_ticket_appdata(session, &data, &len) != 1 ||
        len != sizeof slot)
        return false;
    memcpy(&slot, data, sizeof slot);
    /* A ticket from before a restart may promise more than we keep now. */
    return slot == conn->set->node_slot &&
           SSL_SESSION_get_max_early_data(session) <= conn->set->early_data_max;
}

static int early_allow(SSL *ssl, void *arg)
{
    struct tls_conn *conn = conn_of(ssl);
    if (!conn->set->replay)
        return 1;
    if (!conn->binder_known || !ticket_is_ours(conn, SSL_get0_session(ssl)))
        return 0;
    enum replay_answer answer = tls_replay_admit(conn->set->replay, conn->binder, conn->now_s);
    conn->early_replayed = answer == REPLAY_SEEN;
    return answer == REPLAY_NEW;
}

/* Early data that is refused is skipped, not an error: so much of it as a ticket of another node, or of ours
 * before a restart, may have promised (bytes; the most that the configuration takes). What is accepted is bounded by
 * the ticket's own promise, which early_allow compares with the policy. */
#define EARLY_SKIP_MAX 65536

bool early_set_up(SSL_CTX *ctx, const struct tls_policy *policy)
{
    uint32_t most =
        policy->early_data_max > EARLY_SKIP_MAX ? policy->early_data_max : EARLY_SKIP_MAX;
    if (SSL_CTX_set_recv_max_early_data(ctx, most) != 1)
        return false;
    if (policy->early_data_max == 0)
        return true;
    /* tickets stay stateless: libssl's own guard needs a session cache shared by all workers */
    SSL_CTX_set_options(ctx, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_allow_early_data_cb(ctx, early_allow, NULL);
    return SSL_CTX_set_max_early_data(ctx, policy->early_data_max) == 1;
}

enum tls_early tls_early_answer(const struct tls_conn *conn)
{
    if (!conn->set)
        return TLS_EARLY_NONE;
    switch (SSL_get_early_data_status(conn->ssl)) {
    case SSL_EARLY_DATA_ACCEPTED:
        return TLS_EARLY_ACCEPTED;
    case SSL_EARLY_DATA_REJECTED:
        return conn->early_replayed ? TLS_EARLY_REPLAYED : TLS_EARLY_REFUSED;
    default:
        return TLS_EARLY_NONE;
    }
}

bool tls_early_open(const struct tls_conn *conn)
{
    return conn->early_open && (conn->phase == CONN_EARLY || conn->phase == CONN_HANDSHAKE);
}

bool early_ticket_stamp(const struct tls_conn *conn, SSL_SESSION *session)
{
    uint16_t slot = conn->set->node_slot;
    return SSL_SESSION_set1_ticket_appdata(session, &slot, sizeof slot) == 1;
}
