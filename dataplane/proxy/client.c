/* SPDX-License-Identifier: BSD-3-Clause
 * One client connection: TLS handshake, waiting, one request after the other, the end. client_step
 * is what the run queue calls; STEP_NEXT from the functions here means that the client is gone.
 * Called by proxy. Floor 3.
 */
#include "proxy/parts.h"

static void client_fire(struct timer *timer, void *arg, tg_ns now)
{
    struct proxy *p = arg;
    struct client *c = tg_container_of(timer, struct client, deadline.timer);
    if (!deadline_passed(p, &c->deadline, now))
        return;
    c->expired = true;
    run_queue_push(p, c);
}

/* Until when the client may stay as it is; 0: for ever. Never longer than the handshake may take. */
static void client_wait_until(struct proxy *p, struct client *c, tg_ns at)
{
    c->wait_end = at;
    if (c->early && (!at || at > c->handshake_end))
        at = c->handshake_end;
    deadline_set(p, &c->deadline, at);
}

static void client_init(struct proxy *p, struct client *c, const struct tcp_event *event)
{
    struct tcp_info info = {0};
    memset(c, 0, sizeof *c);
    c->stream.tcp = event->handle;
    c->state = CLIENT_IDLE;
    if (tcp_get_info(p->tcp, event->handle, &info) == TG_OK) {
        memcpy(c->address, info.tuple.remote.bytes, sizeof c->address);
        c->port = info.tuple.remote_port;
    }
    timer_init(&c->deadline.timer, client_fire, p);
    deadline_set(p, &c->deadline, p->now + p->config.head_timeout);
}

void client_accept(struct proxy *p, const struct tcp_event *event)
{
    struct client *c = pool_take(&p->clients);
    if (!c) {
        stats_count(p->stats, TG_C_proxy_full);
        tcp_abort(p->tcp, event->handle);
        return;
    }
    client_init(p, c, event);
    if (event->tag == PROXY_LISTEN_HTTPS) {
        c->https = true;
        c->state = CLIENT_HANDSHAKE;
        c->handshake_end = p->now + p->config.handshake_timeout;
        deadline_set(p, &c->deadline, c->handshake_end);
        if (!p->tls_set || tls_accept(p->tls_set, c, &c->stream.tls) != TG_OK) {
            stats_count(p->stats, TG_C_tls_handshakes_failed);
            client_free(p, c);
            return;
        }
    }
    tcp_set_user(p->tcp, event->handle, proxy_user(PROXY_USER_CLIENT, pool_index(&p->clients, c)));
    run_queue_push(p, c);
}

void client_free(struct proxy *p, struct client *c)
{
    if (c->request)
        request_free(p, c->request);
    keyless_cancel(p, c);
    stream_abort(p, &c->stream);
    timer_cancel(p->wheel, &c->deadline.timer);
    run_queue_remove(p, c);
    pool_give(&p->clients, c);
}

static void client_finish(struct proxy *p, struct client *c, bool linger)
{
    c->state = CLIENT_CLOSING;
    c->linger = linger;
    client_wait_until(p, c, p->now + p->config.body_timeout);
}

/* Everything said goes out, then FIN. A client that may still be sending gets it without RST, which
 * would make it throw our answer away unread (RFC 9112 s9.6). */
static enum step client_closing(struct proxy *p, struct client *c)
{
    if (c->stream.tls && c->stream.error == TG_OK && !c->cut)
        tls_shutdown(c->stream.tls);
    if (!stream_flush(p, &c->stream))
        return STEP_WAIT;
    if (c->early && !c->cut) /* the end is said when the handshake is over */
        return STEP_WAIT;
    c->early = false;
    bool ended = tcp_at_end(p->tcp, c->stream.tcp);
    if (!ended && (c->linger || tcp_unread(p->tcp, c->stream.tcp) > 0)) {
        tcp_shutdown(p->tcp, c->stream.tcp);
        c->state = CLIENT_LINGER;
        c->linger_end = p->now + p->config.body_timeout;
        deadline_set(p, &c->deadline, p->now + LINGER_TIME);
        return STEP_YIELD;
    }
    stream_close(p, &c->stream);
    client_free(p, c);
    return STEP_NEXT;
}

static enum step client_linger(struct proxy *p, struct client *c)
{
    tcp_consume(p->tcp, c->stream.tcp, tcp_unread(p->tcp, c->stream.tcp));
    if (!tcp_at_end(p->tcp, c->stream.tcp))
        return STEP_WAIT;
    stream_close(p, &c->stream);
    client_free(p, c);
    return STEP_NEXT;
}

/* A reset would take what the network still owes the client of our answer: as long as some is not
 * acknowledged, the lingering goes on, within the time that a body may take. */
static bool linger_goes_on(struct proxy *p, struct client *c)
{
    struct tcp_info info;
    if (p->now >= c->linger_end || tcp_get_info(p->tcp, c->stream.tcp, &info) != TG_OK ||
        info.unsent + info.unacked == 0)
        return false;
    deadline_set(p, &c->deadline, p->now + LINGER_TIME);
    return true;
}

static void handshake_failed(struct proxy *p, struct client *c)
{
    struct tls_info info;
    tls_get_info(c->stream.tls, &info);
    stats_count(p->stats, TG_C_tls_handshakes_failed);
    if (info.alert == 112) /* unrecognized_name, RFC 6066 s3 */
        stats_count(p->stats, TG_C_tls_no_certificate);
}

/* What a step of the handshake came to. */
static enum step client_handshake_went(struct proxy *p, struct client *c, enum tg_err err)
{
    switch (err) {
    case TG_OK:
        stats_count(p->stats, TG_C_tls_handshakes);
        c->state = CLIENT_IDLE;
        deadline_set(p, &c->deadline, p->now + p->config.head_timeout);
        return STEP_YIELD;
    case TG_AGAIN:
        return STEP_WAIT;
    case TG_WANT_KEY:
        c->state = CLIENT_PARKED;
        return keyless_begin(p, c) ? STEP_WAIT : STEP_YIELD;
    default:
        handshake_failed(p, c);
        client_finish(p, c, true);
        return STEP_YIELD;
    }
}

static enum step client_handshake(struct proxy *p, struct client *c)
{
    enum tg_err err = stream_handshake(p, &c->stream);
    early_tell(p, c);
    if (err == TG_AGAIN && c->stream.early_left > 0) {
        c->early = true;
        c->state = CLIENT_IDLE;
        client_wait_until(p, c, p->now + p->config.head_timeout);
        return STEP_YIELD;
    }
    return client_handshake_went(p, c, err);
}

/* The handshake goes on beside what came as early data. If it fails, there is nobody to answer. */
static void client_handshake_beside(struct proxy *p, struct client *c)
{
    enum tg_err err = stream_handshake(p, &c->stream);
    if (err == TG_AGAIN)
        return;
    c->early = false;
    if (err == TG_OK) {
        stats_count(p->stats, TG_C_tls_handshakes);
        client_wait_until(p, c, c->wait_end);
        return;
    }
    handshake_failed(p, c);
    if (c->request) {
        stats_count(p->stats, TG_C_proxy_client_gone);
        request_free(p, c->request);
        c->request = NULL;
    }
    client_finish(p, c, true);
}

/* The handshake goes on with the key operation's result, once it is over. */
static enum step client_parked(struct proxy *p, struct client *c)
{
    struct span result;
    struct tls_key_op op;
    if (!keyless_result(c, &result))
        return STEP_WAIT;
    enum tg_err err = tls_key_op(c->stream.tls, &op);
    tg_assert(err == TG_OK);
    err = tls_key_done(c->stream.tls, op.id, result);
    keyless_cancel(p, c);
    c->state = CLIENT_HANDSHAKE;
    if (err == TG_OK || err == TG_AGAIN)
        return STEP_YIELD; /* what has arrived meanwhile */
    if (err == TG_BAD_INPUT)
        c->stream.error = err;
    return client_handshake_went(p, c, err);
}

static enum step client_idle(struct proxy *p, struct client *c)
{
    struct span bytes;
    switch (stream_peek(p, &c->stream, &bytes)) {
    case TG_OK:
        c->request = request_begin(p, c);
        if (c->request) {
            c->state = CLIENT_REQUEST;
            return STEP_YIELD;
        }
        stats_count(p->stats, TG_C_proxy_full);
        stream_put(p, &c->stream,
                   SPAN_LITERAL("HTTP/1.1 503 Service Unavailable\r\n"
                                "Content-Length: 0\r\nConnection: close\r\n\r\n"));
        count_status(p, 503);
        client_finish(p, c, true);
        return STEP_YIELD;
    case TG_AGAIN:
        return STEP_WAIT;
    case TG_BAD_INPUT:
        stats_count(p->stats, TG_C_tls_bad_records);
        /* fall through */
    default:
        client_finish(p, c, false);
        return STEP_YIELD;
    }
}

/* The request has ended; what becomes of the connection? */
static enum step client_request_ended(struct proxy *p, struct client *c)
{
    struct request *r = c->request;
    bool aborted = r->phase == REQUEST_ABORT, whole = r->up.done;
    bool keep = r->keep_client && r->phase == REQUEST_END;
    c->cut = r->phase == REQUEST_CUT;
    if (c->stream.error == TG_BAD_INPUT)
        stats_count(p->stats, TG_C_tls_bad_records);
    c->request = NULL;
    request_free(p, r);
    if (aborted) {
        client_free(p, c);
        return STEP_NEXT;
    }
    if (!keep) {
        client_finish(p, c, !whole);
        return STEP_YIELD;
    }
    c->state = CLIENT_IDLE;
    client_wait_until(p, c, p->now + p->config.keepalive_timeout);
    bool more =
        c->stream.tls || tcp_unread(p->tcp, c->stream.tcp) > 0 || tcp_at_end(p->tcp, c->stream.tcp);
    return more ? STEP_YIELD : STEP_WAIT;
}

static enum step client_request(struct proxy *p, struct client *c)
{
    enum step step = request_step(p, c->request);
    if (step == STEP_NEXT)
        return client_request_ended(p, c);
    client_wait_until(p, c, request_deadline(c->request));
    return step;
}

/* The deadline has passed. STEP_NEXT: that was the end of the client. */
static enum step client_expire(struct proxy *p, struct client *c)
{
    if (c->early && c->handshake_end <= p->now) {
        stats_count(p->stats, TG_C_proxy_client_timeout);
        stats_count(p->stats, TG_C_tls_handshakes_failed);
        client_free(p, c);
        return STEP_NEXT;
    }
    switch (c->state) {
    case CLIENT_REQUEST:
        request_expire(p, c->request);
        return STEP_YIELD;
    case CLIENT_IDLE:
        stats_count(p->stats, TG_C_proxy_client_timeout);
        client_finish(p, c, false);
        return STEP_YIELD;
    case CLIENT_HANDSHAKE:
    case CLIENT_PARKED:
        stats_count(p->stats, TG_C_proxy_client_timeout);
        stats_count(p->stats, TG_C_tls_handshakes_failed);
        break;
    case CLIENT_CLOSING:
        stats_count(p->stats, TG_C_proxy_client_timeout);
        break;
    case CLIENT_LINGER:
        if (linger_goes_on(p, c))
            return STEP_YIELD;
        break;
    }
    client_free(p, c);
    return STEP_NEXT;
}

static enum step client_state_step(struct proxy *p, struct client *c)
{
    switch (c->state) {
    case CLIENT_HANDSHAKE:
        return client_handshake(p, c);
    case CLIENT_PARKED:
        return client_parked(p, c);
    case CLIENT_IDLE:
        return client_idle(p, c);
    case CLIENT_REQUEST:
        return client_request(p, c);
    case CLIENT_CLOSING:
        return client_closing(p, c);
    case CLIENT_LINGER:
        return client_linger(p, c);
    }
    return STEP_WAIT;
}

/* What the step has left with the streams goes out together. */
static void client_flush(struct proxy *p, struct client *c)
{
    struct origin_conn *o = c->request ? c->request->origin : NULL;
    stream_flush(p, &c->stream);
    if (o && o->stream.error == TG_OK)
        stream_flush(p, &o->stream);
}

/* Somebody found no buffer: nothing will wake this client but the next turn. */
static bool client_starved(struct client *c)
{
    struct origin_conn *o = c->request ? c->request->origin : NULL;
    bool starved = c->stream.starved || (o && o->stream.starved);
    c->stream.starved = false;
    if (o)
        o->stream.starved = false;
    return starved;
}

enum step client_step(struct proxy *p, struct client *c)
{
    if (c->stream.tcp == TCP_NONE) {
        if (c->request)
            stats_count(p->stats, TG_C_proxy_client_gone);
        client_free(p, c);
        return STEP_NEXT;
    }
    if (c->early)
        client_handshake_beside(p, c);
    if (c->expired) {
        c->expired = false;
        if (c->deadline.at && c->deadline.at <= p->now && client_expire(p, c) == STEP_NEXT)
            return STEP_NEXT;
    }
    enum step step = client_state_step(p, c);
    if (step == STEP_NEXT)
        return STEP_NEXT;
    client_flush(p, c);
    if (c->stream.error == TG_NO_MEMORY) {
        client_free(p, c);
        return STEP_NEXT;
    }
    return client_starved(c) && step == STEP_WAIT ? STEP_STARVED : step;
}
