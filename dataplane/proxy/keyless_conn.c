/* SPDX-License-Identifier: BSD-3-Clause
 * Connections to key servers: kept open and warm, so that an operation costs one round trip. Called
 * by keyless.c, and with TCP's events by proxy. Floor 3.
 */
#include "proxy/keyless_parts.h"

#define PENALTY_SUSPECT (1u << 16) /* it owes an answer for a while */
#define PENALTY_ADDRESS (1u << 17) /* the same machine */

/* --- choosing --------------------------------------------------------------------------------- */

static bool conn_usable(const struct key_conn *conn)
{
    return conn && conn->state == KEY_OPEN && conn->stream.error == TG_OK &&
           conn->ops < KEYLESS_CONN_OPS_MAX;
}

struct key_conn *key_conn_choose(const struct proxy *p, const struct key_server *server,
                                 const struct key_conn *other)
{
    struct key_conn *best = NULL;
    uint32_t least = UINT32_MAX;
    for (unsigned e = 0; e < server->endpoint_count; e++)
        for (unsigned i = 0; i < KEYLESS_CONNS_EACH; i++) {
            struct key_conn *conn = server->endpoints[e].conns[i];
            if (!conn_usable(conn) || conn == other)
                continue;
            uint32_t cost = conn->ops;
            if (conn->asked_at && p->now - conn->asked_at > KEYLESS_TRY)
                cost += PENALTY_SUSPECT;
            if (other && other->endpoint == conn->endpoint)
                cost += PENALTY_ADDRESS;
            if (cost < least) {
                best = conn;
                least = cost;
            }
        }
    return best;
}

/* --- opening and losing ----------------------------------------------------------------------- */

static void endpoint_connect(struct proxy *p, struct key_server *server, struct endpoint *endpoint,
                             struct key_conn **slot)
{
    struct key_conn *conn = pool_take(&p->keyless->conns);
    struct ip_addr remote;
    if (!conn)
        return;
    memset(conn, 0, offsetof(struct key_conn, in));
    memcpy(remote.bytes, endpoint->at.address, sizeof remote.bytes);
    conn->server = server;
    conn->endpoint = endpoint;
    conn->begun = p->now;
    uint64_t user = proxy_user(PROXY_USER_KEY, pool_index(&p->keyless->conns, conn));
    enum tg_err err = tcp_connect(p->tcp, NULL, &remote, endpoint->at.port, KEYLESS_CONNECT, user,
                                  p->now, &conn->stream.tcp);
    *slot = conn;
    if (err != TG_OK)
        conn->stream.error = err; /* the tick that called finds it */
}

static void conn_detach(struct key_conn *conn)
{
    for (unsigned i = 0; conn->endpoint && i < KEYLESS_CONNS_EACH; i++)
        if (conn->endpoint->conns[i] == conn)
            conn->endpoint->conns[i] = NULL;
}

void key_conn_free(struct proxy *p, struct key_conn *conn)
{
    conn_detach(conn);
    stream_abort(p, &conn->stream);
    pool_give(&p->keyless->conns, conn);
}

/* A connection that lived for a while may come back at once; else the pauses grow. */
static void endpoint_rest(struct proxy *p, struct endpoint *endpoint, bool lived)
{
    tg_ns wait = endpoint->wait ? 2 * endpoint->wait : KEYLESS_WAIT;
    endpoint->wait = lived ? 0 : wait < KEYLESS_WAIT_MAX ? wait : KEYLESS_WAIT_MAX;
    endpoint->lost_at = p->now;
}

static bool endpoint_ready(const struct proxy *p, const struct key_server *server,
                           const struct endpoint *endpoint)
{
    tg_ns wait = endpoint->wait;
    if (server->ops > 0 && wait > KEYLESS_WAIT)
        wait = KEYLESS_WAIT;
    return p->now - endpoint->lost_at >= wait;
}

/* Nothing is open, nothing is under way, and nothing will be soon. */
static bool server_is_down(const struct proxy *p, const struct key_server *server)
{
    for (unsigned e = 0; e < server->endpoint_count; e++) {
        if (endpoint_ready(p, server, &server->endpoints[e]))
            return false;
        for (unsigned i = 0; i < KEYLESS_CONNS_EACH; i++)
            if (server->endpoints[e].conns[i])
                return false;
    }
    return true;
}

static void conn_lose(struct proxy *p, struct key_conn *conn)
{
    struct key_server *server = conn->server;
    bool open = conn->state == KEY_OPEN;
    stats_count(p->stats, open ? TG_C_keyless_lost : TG_C_keyless_connect_failed);
    if (conn->endpoint)
        endpoint_rest(p, conn->endpoint, open && p->now - conn->begun > KEYLESS_CONNECT);
    conn_detach(conn);
    conn->state = KEY_CONNECTING; /* not usable */
    key_ops_lost(p, conn);
    key_conn_free(p, conn);
    if (server && server_is_down(p, server))
        key_ops_fail_waiting(p, server);
}

/* --- packets ---------------------------------------------------------------------------------- */

void key_conn_say(struct proxy *p, struct key_conn *conn, const struct keymsg *m)
{
    uint8_t room[2 * KEYMSG_PADDED_BYTES];
    struct span_writer w = span_writer_make(room, sizeof room);
    enum tg_err err = keymsg_encode(m, &w);
    tg_assert(err == TG_OK);
    stream_put(p, &conn->stream, span_writer_span(&w));
    conn->said = p->now;
    if (!conn->asked_at)
        conn->asked_at = p->now;
    conn->unsaid = p->keyless->unsaid = true;
}

/* One packet from the server; false: it is not what a key server says. */
static bool packet_take(struct proxy *p, struct key_conn *conn, struct span packet)
{
    struct keymsg m;
    if (keymsg_decode(packet, &m) != TG_OK || m.major != KEYMSG_MAJOR)
        return false;
    if (m.op == KEYMSG_OP_RESULT || m.op == KEYMSG_OP_ERROR)
        key_op_answer(p, conn, &m);
    else if (m.op != KEYMSG_OP_PONG)
        return false;
    conn->asked_at = conn->ops ? p->now : 0;
    return true;
}

/* All whole packets of what is here. */
static bool packets_take(struct proxy *p, struct key_conn *conn)
{
    size_t at = 0, len;
    while (keymsg_length(span_make(conn->in + at, conn->in_len - at), &len) == TG_OK) {
        if (len > sizeof conn->in)
            return false;
        if (len > conn->in_len - at)
            break;
        if (!packet_take(p, conn, span_make(conn->in + at, len)))
            return false;
        at += len;
    }
    memmove(conn->in, conn->in + at, conn->in_len - at);
    conn->in_len -= (uint32_t)at;
    return true;
}

/* What has arrived; TG_AGAIN: all of it is taken. */
static enum tg_err conn_read(struct proxy *p, struct key_conn *conn)
{
    for (;;) {
        struct span bytes;
        enum tg_err err = stream_peek(p, &conn->stream, &bytes);
        if (err != TG_OK)
            return err;
        bytes = span_slice(bytes, 0, sizeof conn->in - conn->in_len);
        memcpy(conn->in + conn->in_len, bytes.data, bytes.len);
        conn->in_len += (uint32_t)bytes.len;
        stream_consume(p, &conn->stream, bytes.len);
        if (!packets_take(p, conn)) {
            stats_count(p->stats, TG_C_keyless_bad_packets);
            return TG_BAD_INPUT;
        }
    }
}

/* --- events and time -------------------------------------------------------------------------- */

static void conn_opened(struct proxy *p, struct key_conn *conn)
{
    stats_count(p->stats, TG_C_keyless_connects);
    conn->state = KEY_OPEN;
    conn->begun = conn->said = p->now;
    if (!conn->server)
        return;
    conn->endpoint->wait = 0;
    key_ops_send(p, conn->server);
}

/* Go on with whatever has arrived. */
static void conn_step(struct proxy *p, struct key_conn *conn)
{
    enum tg_err err = TG_AGAIN;
    if (conn->state == KEY_HANDSHAKE) {
        err = stream_handshake(p, &conn->stream);
        if (err == TG_OK)
            conn_opened(p, conn);
    }
    if (conn->state == KEY_OPEN)
        err = conn_read(p, conn);
    if (err != TG_AGAIN)
        conn_lose(p, conn);
    else if (conn->stream.starved || conn->stream.held_bytes)
        conn->unsaid = p->keyless->unsaid = true;
}

static void conn_connected(struct proxy *p, struct key_conn *conn)
{
    conn->state = KEY_HANDSHAKE;
    if (!conn->server || tls_client_open(conn->server->client, NULL, &conn->stream.tls) != TG_OK)
        conn_lose(p, conn);
    else
        conn->unsaid = p->keyless->unsaid = true;
}

void keyless_event(struct proxy *p, uint32_t index, const struct tcp_event *event)
{
    struct key_conn *conn = pool_at(&p->keyless->conns, index);
    if (!pool_is_taken(&p->keyless->conns, index) || conn->stream.tcp != event->handle)
        return; /* news of one that was let go */
    if (event->bits & TCP_EV_CLOSED) {
        conn->stream.tcp = TCP_NONE;
        conn_lose(p, conn);
    } else if ((event->bits & TCP_EV_CONNECTED) && conn->state == KEY_CONNECTING) {
        conn_connected(p, conn);
    } else {
        conn_step(p, conn);
    }
}

void keyless_flush(struct proxy *p)
{
    struct keyless *k = p->keyless;
    while (
        k->unsaid) { /* a lost connection's operations go to others, which may have had their turn */
        k->unsaid = false;
        for (uint32_t i = 0; i < k->conns.count; i++) {
            struct key_conn *conn = pool_at(&k->conns, i);
            if (!pool_is_taken(&k->conns, i) || !conn->unsaid)
                continue;
            conn->unsaid = false;
            stream_flush(p, &conn->stream); /* what stays behind: WRITABLE, or the next tick */
            if (conn->stream.error != TG_OK)
                conn_lose(p, conn);
        }
    }
}

/* One connection's deadlines. */
static void conn_tick(struct proxy *p, struct key_conn *conn)
{
    bool open = conn->state == KEY_OPEN;
    if (!conn->server && conn->ops == 0) {
        stream_close(p, &conn->stream);
        key_conn_free(p, conn);
    } else if (conn->stream.error != TG_OK || (!open && p->now - conn->begun > KEYLESS_CONNECT) ||
               (conn->asked_at && p->now - conn->asked_at > KEYLESS_SILENCE)) {
        conn_lose(p, conn);
    } else {
        if (open && p->now - conn->said >= KEYLESS_PING)
            key_conn_say(p, conn, &(struct keymsg){.id = 0, .op = KEYMSG_OP_PING});
        if (conn->stream.starved) {
            conn->stream.starved = false;
            if (conn->state != KEY_CONNECTING)
                conn_step(p, conn);
        }
    }
}

void key_conns_tick(struct proxy *p)
{
    struct keyless *k = p->keyless;
    for (unsigned s = 0; k->plan && s < k->plan->server_count; s++) {
        struct key_server *server = &k->plan->servers[s];
        for (unsigned e = 0; e < server->endpoint_count; e++) {
            struct endpoint *endpoint = &server->endpoints[e];
            if (!endpoint_ready(p, server, endpoint))
                continue;
            for (unsigned i = 0; i < KEYLESS_CONNS_EACH; i++)
                if (!endpoint->conns[i])
                    endpoint_connect(p, server, endpoint, &endpoint->conns[i]);
        }
    }
    for (uint32_t i = 0; i < k->conns.count; i++)
        if (pool_is_taken(&k->conns, i))
            conn_tick(p, pool_at(&k->conns, i));
}

/* --- plans ------------------------------------------------------------------------------------ */

/* The place of a connection in a server of the new plan; NULL: it has none. */
static struct key_conn **place_find(struct key_server *server, const struct key_conn *conn,
                                    struct endpoint **endpoint)
{
    for (unsigned e = 0; e < server->endpoint_count; e++) {
        *endpoint = &server->endpoints[e];
        if (memcmp((*endpoint)->at.address, conn->endpoint->at.address, 16) != 0 ||
            (*endpoint)->at.port != conn->endpoint->at.port)
            continue;
        for (unsigned i = 0; i < KEYLESS_CONNS_EACH; i++)
            if (!(*endpoint)->conns[i])
                return &(*endpoint)->conns[i];
    }
    return NULL;
}

static void conn_rebind(struct keyless_plan *plan, struct key_conn *conn)
{
    struct key_server *old = conn->server;
    conn->server = NULL;
    for (unsigned s = 0; old && s < plan->server_count && !conn->server; s++) {
        struct key_server *server = &plan->servers[s];
        struct endpoint *endpoint;
        if (memcmp(server->identity, old->identity, sizeof old->identity) != 0)
            continue;
        struct key_conn **place = place_find(server, conn, &endpoint);
        if (place) {
            *place = conn;
            conn->server = server;
            conn->endpoint = endpoint;
        }
    }
    if (!conn->server)
        conn->endpoint = NULL;
}

void key_conns_rebind(struct proxy *p)
{
    struct keyless *k = p->keyless;
    for (uint32_t i = 0; i < k->conns.count; i++)
        if (pool_is_taken(&k->conns, i))
            conn_rebind(k->plan, pool_at(&k->conns, i));
}

/* --- looking in ------------------------------------------------------------------------------- */

static uint32_t tries_on(const struct keyless *k, const struct key_conn *conn)
{
    uint32_t n = 0;
    for (const struct key_op *op = k->first; op; op = op->next)
        for (unsigned i = 0; i < op->tries_made; i++)
            n += op->tries[i].conn == conn;
    return n;
}

const char *key_conns_check(const struct proxy *p)
{
    const struct keyless *k = p->keyless;
    uint32_t placed = 0, with_place = 0;
    for (unsigned s = 0; k->plan && s < k->plan->server_count; s++)
        for (unsigned e = 0; e < k->plan->servers[s].endpoint_count; e++)
            for (unsigned i = 0; i < KEYLESS_CONNS_EACH; i++) {
                const struct endpoint *endpoint = &k->plan->servers[s].endpoints[e];
                placed += endpoint->conns[i] != NULL;
                if (endpoint->conns[i] && endpoint->conns[i]->endpoint != endpoint)
                    return "a key server's connection is somebody else's";
            }
    for (uint32_t i = 0; i < k->conns.count; i++) {
        const struct key_conn *conn = pool_at(&k->conns, i);
        if (!pool_is_taken(&k->conns, i))
            continue;
        with_place += conn->endpoint != NULL;
        if (tries_on(k, conn) != conn->ops)
            return "count of a connection's key operations";
    }
    return placed == with_place ? NULL : "connections to key servers leak";
}
