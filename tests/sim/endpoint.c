/* SPDX-License-Identifier: BSD-3-Clause
 * One end of a connection at work. Every way to read and to write of tcp.h has its mode here, and every
 * byte that arrives is compared at once.
 */
#include "tests/sim/endpoint.h"

#define RETRY (5 * TG_MS) /* after an empty buffer pool */

static const struct side_plan *my_plan(const struct endpoint *ep)
{
    return &ep->plan->side[ep->side];
}

static const struct side_plan *peer_plan(const struct endpoint *ep)
{
    return &ep->plan->side[!ep->side];
}

static void endpoint_fail(const struct endpoint *ep, const char *what, uint64_t a, uint64_t b)
{
    if (ep->host->node.sim->lied)
        return;
    sim_fail(ep->host->node.sim, "%s: connection %u: %s (%llu, %llu)", ep->host->node.name,
             ep->plan->number, what, (unsigned long long)a, (unsigned long long)b);
}

static void endpoint_later(struct endpoint *ep, tg_ns when)
{
    if (!timer_armed(&ep->timer) || ep->timer.deadline > when)
        timer_arm(&ep->host->wheel, &ep->timer, when);
}

static void endpoint_timer(struct timer *timer, void *arg, tg_ns now)
{
    endpoint_pump(arg, now);
}

void endpoint_init(struct endpoint *ep, struct host *host, const struct connection_plan *plan,
                   unsigned side)
{
    *ep = (struct endpoint){.host = host, .plan = plan, .side = side};
    timer_init(&ep->timer, endpoint_timer, ep);
}

static void endpoint_finish(struct endpoint *ep, bool cut)
{
    ep->open = false;
    ep->finished = true;
    ep->cut = cut;
    timer_cancel(&ep->host->wheel, &ep->timer);
}

/* --- reading --------------------------------------------------------------------------------------------- */

static void endpoint_got(struct endpoint *ep, const uint8_t *bytes, size_t n)
{
    if (ep->read + n > peer_plan(ep)->bytes)
        endpoint_fail(ep, "more bytes than were sent", ep->read + n, peer_plan(ep)->bytes);
    size_t good = sim_stream_check(endpoint_stream(ep->plan, !ep->side), ep->read, bytes, n);
    if (good < n)
        endpoint_fail(ep, "wrong byte at this offset", ep->read + good, ep->read);
    ep->read += n;
}

/* Look at the bytes, consume some of them. Returns how many. */
static uint32_t endpoint_read_peek(struct endpoint *ep, uint32_t max)
{
    struct span spans[4];
    unsigned n = tcp_peek(ep->host->tcp, ep->handle, spans, TG_ARRAY_LEN(spans));
    uint32_t taken = 0;
    for (unsigned i = 0; i < n && taken < max; i++) {
        uint32_t piece = (uint32_t)spans[i].len;
        if (piece == 0)
            endpoint_fail(ep, "tcp_peek gave an empty span", i, n);
        if (piece > max - taken)
            piece = max - taken;
        endpoint_got(ep, spans[i].data, piece);
        taken += piece;
    }
    if (taken)
        tcp_consume(ep->host->tcp, ep->handle, taken);
    return taken;
}

/* Take whole frames. */
static uint32_t endpoint_read_take(struct endpoint *ep, uint32_t max)
{
    struct buf *b = tcp_take(ep->host->tcp, ep->handle, max);
    if (!b)
        return 0;
    uint32_t taken = buf_chain_len(b);
    if (taken == 0 || taken > max)
        endpoint_fail(ep, "tcp_take gave another length than asked for", taken, max);
    for (const struct buf *piece = b; piece; piece = piece->next)
        endpoint_got(ep, piece->data, piece->len);
    buf_unref(io_pool(ep->host->io), b);
    return taken;
}

static void endpoint_read(struct endpoint *ep, tg_ns now)
{
    const struct side_plan *plan = my_plan(ep);
    while (ep->open && tcp_unread(ep->host->tcp, ep->handle)) {
        if (plan->read_pause && now < ep->read_next) {
            endpoint_later(ep, ep->read_next);
            return;
        }
        uint32_t before = tcp_unread(ep->host->tcp, ep->handle);
        uint32_t got = plan->read == READ_PEEK ? endpoint_read_peek(ep, plan->read_chunk)
                                               : endpoint_read_take(ep, plan->read_chunk);
        if (got)
            endpoint_note(ep, "read(@, ..., %u) = %u", got, got);
        if (got == 0) { /* a split needs a buffer, and there is none */
            endpoint_later(ep, now + RETRY);
            return;
        }
        if (tcp_unread(ep->host->tcp, ep->handle) != before - got)
            endpoint_fail(ep, "tcp_unread does not add up", before, got);
        ep->read_next = now + plan->read_pause;
    }
    if (tcp_at_end(ep->host->tcp, ep->handle)) {
        if (ep->read != peer_plan(ep)->bytes && !(ep->plan->ending == END_EARLY))
            endpoint_fail(ep, "end of the stream too early", ep->read, peer_plan(ep)->bytes);
        ep->at_end = true;
    }
}

/* --- writing --------------------------------------------------------------------------------------------- */

/* Each returns bytes written; 0: not now (an event or the timer comes). */
static size_t endpoint_write_copy(struct endpoint *ep, size_t n)
{
    uint8_t bytes[8192];
    if (n > sizeof bytes)
        n = sizeof bytes;
    sim_stream_fill(endpoint_stream(ep->plan, ep->side), ep->written, bytes, n);
    return tcp_write(ep->host->tcp, ep->handle, span_make(bytes, n));
}

static size_t endpoint_write_reserve(struct endpoint *ep, size_t n, tg_ns now)
{
    struct span_room room;
    size_t min = n < 200 ? n : 200;
    enum tg_err err = tcp_reserve(ep->host->tcp, ep->handle, min, &room);
    if (err == TG_NO_MEMORY)
        endpoint_later(ep, now + RETRY);
    if (err != TG_OK)
        return 0;
    if (room.len < min)
        endpoint_fail(ep, "tcp_reserve gave less than asked for", room.len, min);
    if (n > room.len)
        n = room.len;
    sim_stream_fill(endpoint_stream(ep->plan, ep->side), ep->written, room.data, n);
    tcp_commit(ep->host->tcp, ep->handle, n);
    endpoint_note(ep, "tcp_reserve(@, ..., %zu, %zu) = %zu", n, min, n);
    return n;
}

static size_t endpoint_write_buf(struct endpoint *ep, size_t n, tg_ns now)
{
    struct tcp_info info;
    struct buf *b = buf_alloc(io_pool(ep->host->io));
    if (!b) {
        endpoint_later(ep, now + RETRY);
        return 0;
    }
    if (tcp_get_info(ep->host->tcp, ep->handle, &info) == TG_OK && n > info.mss)
        n = info.mss;
    if (n > BUF_ROOM)
        n = BUF_ROOM;
    sim_stream_fill(endpoint_stream(ep->plan, ep->side), ep->written, buf_put(b, (uint16_t)n), n);
    enum tg_err err = tcp_send_buf(ep->host->tcp, ep->handle, b);
    if (err == TG_OK) {
        endpoint_note(ep, "tcp_send_buf(@, ..., %zu) = %zu", n, n);
        return n;
    }
    buf_unref(io_pool(ep->host->io), b);
    if (err == TG_NO_MEMORY)
        endpoint_later(ep, now + RETRY);
    return 0;
}

static size_t endpoint_write_some(struct endpoint *ep, size_t n, tg_ns now)
{
    switch (my_plan(ep)->write) {
    case WRITE_RESERVE:
        return endpoint_write_reserve(ep, n, now);
    case WRITE_BUF:
        return endpoint_write_buf(ep, n, now);
    case WRITE_COPY:
    case WRITE_MODES:
        break;
    }
    size_t wrote = endpoint_write_copy(ep, n);
    if (wrote == 0) /* full (WRITABLE comes) or no buffers (it does not) */
        endpoint_later(ep, now + 50 * RETRY);
    else
        endpoint_note(ep, "write(@, ..., %zu) = %zu", wrote, wrote);
    return wrote;
}

static void endpoint_write(struct endpoint *ep, tg_ns now)
{
    const struct side_plan *plan = my_plan(ep);
    if (plan->after_peer && !ep->at_end)
        return;
    while (ep->open && ep->written < plan->bytes) {
        if (plan->write_pause && now < ep->write_next) {
            endpoint_later(ep, ep->write_next);
            return;
        }
        uint64_t left = plan->bytes - ep->written;
        if (plan->cork && ep->written % 3 == 0) {
            ep->corked = !ep->corked;
            tcp_cork(ep->host->tcp, ep->handle, ep->corked);
            endpoint_note(ep, "setsockopt(@, SOL_TCP, TCP_CORK, [%d], 4) = 0", ep->corked);
        }
        size_t n = left < plan->write_chunk ? (size_t)left : plan->write_chunk;
        size_t wrote = endpoint_write_some(ep, n, now);
        if (wrote > n)
            endpoint_fail(ep, "more taken than given", wrote, n);
        if (wrote == 0)
            return;
        ep->written += wrote;
        ep->write_next = now + plan->write_pause;
    }
}

/* --- ending ---------------------------------------------------------------------------------------------- */

static void endpoint_close(struct endpoint *ep)
{
    tcp_close(ep->host->tcp, ep->handle);
    endpoint_note(ep, "close(@) = 0");
}

static void endpoint_abort(struct endpoint *ep)
{
    tcp_abort(ep->host->tcp, ep->handle);
    endpoint_note(ep, "setsockopt(@, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0");
    endpoint_note(ep, "close(@) = 0");
}

/* True when this side has just ended the connection against the other's will. */
static bool endpoint_cut(struct endpoint *ep)
{
    const struct connection_plan *plan = ep->plan;
    if (plan->ender != ep->side || ep->written + ep->read < plan->end_after)
        return false;
    if (plan->ending == END_ABORT)
        endpoint_abort(ep);
    else if (plan->ending == END_EARLY)
        endpoint_close(ep);
    else
        return false;
    endpoint_finish(ep, true);
    return true;
}

static void endpoint_end(struct endpoint *ep)
{
    const struct side_plan *plan = my_plan(ep);
    if (ep->written < plan->bytes || (plan->after_peer && !ep->at_end))
        return;
    if (ep->corked) {
        ep->corked = false;
        tcp_cork(ep->host->tcp, ep->handle, false);
        endpoint_note(ep, "setsockopt(@, SOL_TCP, TCP_CORK, [0], 4) = 0");
    }
    if (ep->at_end && plan->close) {
        endpoint_close(ep);
        endpoint_finish(ep, false);
    } else if (!ep->shut) {
        tcp_shutdown(ep->host->tcp, ep->handle);
        endpoint_note(ep, "shutdown(@, SHUT_WR) = 0");
        ep->shut = true;
    }
}

void endpoint_pump(struct endpoint *ep, tg_ns now)
{
    if (!ep->open)
        return;
    endpoint_read(ep, now);
    if (!ep->open || endpoint_cut(ep))
        return;
    endpoint_write(ep, now);
    if (!endpoint_cut(ep))
        endpoint_end(ep);
}

bool endpoint_is_excused(const struct endpoint *ep)
{
    const uint64_t *other = ep->peer->host->stats.value;
    bool unknown = ep->side == 0 && !ep->peer->open && !ep->peer->finished;
    return ep->excused || ep->peer->excused || (unknown && other[TG_C_tcp_syn_cookies_sent]);
}

/* While cookies are out, what may be data ahead of its proof is not reset: the ACK that challenges a reset is, too
 * (tcp_cookie.c). */
static bool unheard_of(const struct endpoint *ep, enum tg_err error)
{
    return error == TG_TIMEOUT && ep->side == 0 && ep->plan->ending != END_ORDERLY &&
           ep->peer->finished && ep->peer->host->stats.value[TG_C_tcp_syn_cookies_sent];
}

/* Resets that the memory governor has counted; and what comes of a cookie. */
static bool ended_by_shortage(const struct endpoint *ep, enum tg_err error)
{
    return unheard_of(ep, error) ||
           (error == TG_NO_MEMORY && ep->host->stats.value[TG_C_tcp_shed_connections]) ||
           (error == TG_RESET && ep->peer->host->stats.value[TG_C_tcp_shed_connections]) ||
           endpoint_is_excused(ep);
}

/* The connection is gone (only after everything has been read): was it meant to go this way? */
static void endpoint_closed(struct endpoint *ep, enum tg_err error)
{
    if (ep->peer_fin && ep->read == peer_plan(ep)->bytes)
        ep->at_end = true;
    bool whole = ep->at_end && ep->shut;
    bool good = whole && (error == TG_END || error == TG_RESET);
    ep->excused = !good && ended_by_shortage(ep, error);
    if (ep->excused) {
        endpoint_finish(ep, true);
        return;
    }
    switch (ep->plan->ending) {
    case END_ORDERLY:
        /* A reset after everything is through: the peer's TIME-WAIT was over before our FIN's ACK. */
        if (!good)
            endpoint_fail(ep, tg_err_text(error), ep->written, ep->read);
        break;
    case END_NONE:
        break;
    case END_REFUSED:
        if (error != TG_RESET)
            endpoint_fail(ep, tg_err_name(error), 0, 0);
        break;
    case END_ABORT:
    case END_EARLY:
        if (error != TG_END && error != TG_RESET)
            endpoint_fail(ep, tg_err_name(error), ep->written, ep->read);
        break;
    }
    endpoint_finish(ep, !whole);
}

void endpoint_event(struct endpoint *ep, const struct tcp_event *event, tg_ns now)
{
    if (!ep->open || ep->handle != event->handle) {
        endpoint_fail(ep, "event for a handle that is not open", event->handle, event->bits);
        return;
    }
    if (event->bits & TCP_EV_CONNECTED && ep->side != 0)
        endpoint_fail(ep, "a passive connection reports CONNECTED", event->bits, 0);
    ep->peer_fin |= (event->bits & TCP_EV_PEER_FIN) != 0;
    if (event->bits & ~(unsigned)TCP_EV_CLOSED)
        endpoint_pump(ep, now);
    if (ep->open && event->bits & TCP_EV_CLOSED)
        endpoint_closed(ep, (enum tg_err)event->error);
}

void endpoint_abandon(struct endpoint *ep)
{
    if (!ep->open)
        return;
    endpoint_abort(ep);
    endpoint_finish(ep, true);
}
