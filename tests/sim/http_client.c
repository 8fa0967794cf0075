/* SPDX-License-Identifier: BSD-3-Clause
 * The simulated browser: asks for one thing after the other on a connection that it keeps, resets when
 * its plan says so, and judges every response.
 */
#include "tests/sim/http_world.h"
#include <stdio.h>
#include <stdlib.h>

#define RETRY    (50 * TG_MS)  /* after an empty buffer pool */
#define PATIENCE (1200 * TG_S) /* a reset that was lost is never heard of again */

static void client_pump(struct http_client *c, tg_ns now);

static struct http_plan *plan_of(const struct http_client *c)
{
    return &c->world->plans[c->plan];
}

static void client_fail(const struct http_client *c, const char *what)
{
    const struct http_plan *plan = plan_of(c);
    sim_fail(c->world->sim,
             "client %u, request %u (%s, up %llu, down %llu, misdeed %d): %s; status %u, body %llu",
             c->index, c->plan, plan->method, (unsigned long long)plan->up_bytes,
             (unsigned long long)plan->down_bytes, (int)plan->misdeed, what, c->reader.status,
             (unsigned long long)c->reader.body);
}

static void client_later(struct http_client *c, tg_ns when)
{
    if (!timer_armed(&c->timer) || c->timer.deadline > when)
        timer_arm(&c->world->client_host.wheel, &c->timer, when);
}

static void client_connect(struct http_client *c, tg_ns now)
{
    struct ip_addr to = c->world->service[c->ip6];
    struct tls_conn *tls = NULL;
    tcp_handle handle;
    uint16_t port = c->https ? EDGE_HTTPS_PORT : EDGE_HTTP_PORT;
    enum tg_err err =
        tcp_connect(c->world->client_host.tcp, NULL, &to, port, 0, c->index + 1, now, &handle);
    if (err == TG_OK && c->https)
        err = tls_client_open(c->world->tls_client, c, &tls);
    if (err != TG_OK) {
        client_fail(c, tg_err_text(err));
        return;
    }
    pipe_open(&c->pipe, c->world->client_host.tcp, handle, tls, edge_wall_s(&c->world->edge));
    c->open = true;
    c->used = 0;
}

static void client_timer(struct timer *timer, void *arg, tg_ns now)
{
    struct http_client *c = arg;
    if (!c->open && !c->finished)
        client_connect(c, now);
    client_pump(c, now);
}

void http_client_start(struct http_client *c, struct http_world *world, unsigned index,
                       unsigned plan, unsigned plan_end, tg_ns when)
{
    c->world = world;
    c->index = index;
    c->plan = plan;
    c->plan_end = plan_end;
    c->ip6 = sim_chance(&world->rng, 40);
    c->https = world->https && sim_chance(&world->rng, 70);
    timer_init(&c->timer, client_timer, c);
    timer_arm(&world->client_host.wheel, &c->timer, when);
}

/* The connection is no more; go on with the next plan on another one, if there is one. */
static void client_next_connection(struct http_client *c, tg_ns now)
{
    c->open = c->asking = false;
    timer_cancel(&c->world->client_host.wheel, &c->timer);
    if (c->plan < c->plan_end)
        client_later(c, now + TG_MS);
    else
        c->finished = true;
}

/* --- asking ---------------------------------------------------------------------------------------------- */

size_t http_filler(const struct http_plan *plan, char *out, size_t cap)
{
    size_t n = 0;
    static const char value[] = "the-quick-brown-fox/jumps;over=the,lazy.dog:again?and&again="
                                "for!good*measure'and(more)of~it_all";
    for (unsigned i = 0; n < plan->filler && n + 128 < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, "X-Filler-%u: %.*s\r\n", i,
                              1 + (int)(i * 13 % (sizeof value - 1)), value);
    return n;
}

static void client_ask(struct http_client *c)
{
    struct http_plan *plan = plan_of(c);
    char head[8000], filler[6000];
    size_t filler_len = http_filler(plan, filler, sizeof filler);
    char framing[64] = "";
    if (plan->up_framing == SEND_SIZED)
        snprintf(framing, sizeof framing, "Content-Length: %llu\r\n",
                 (unsigned long long)plan->up_bytes);
    else if (plan->up_framing == SEND_CHUNKED)
        snprintf(framing, sizeof framing, "Transfer-Encoding: chunked\r\n");
    int n = snprintf(head, sizeof head,
                     "%s /r/%u HTTP/1.1\r\nHost: sim.example\r\nX-Sim: %u\r\n%.*s%s%s\r\n",
                     plan->method, plan->number, plan->number * 7, (int)filler_len, filler, framing,
                     plan->client_close ? "Connection: close\r\n" : "");
    tg_assert(n > 0 && (size_t)n < sizeof head);
    http_writer_begin(&c->writer, head, (size_t)n, plan->up_framing, http_stream_up(plan),
                      plan->up_bytes, plan->number);
    http_reader_begin(&c->reader, true, strcmp(plan->method, "HEAD") == 0);
    c->asking = true;
    c->used++;
}

/* --- judging --------------------------------------------------------------------------------------------- */

static bool field_is_number(const struct http_reader *r, const char *name, unsigned number)
{
    size_t len;
    const char *value = http_reader_field(r, name, &len);
    return value && strtoul(value, NULL, 10) == number;
}

static void judge_head(struct http_client *c)
{
    const struct http_plan *plan = plan_of(c);
    size_t len;
    c->reader.head_fresh = false;
    c->reader.stream = http_stream_down(plan);
    if (!http_reader_field(&c->reader, "X-Request-Id", &len))
        client_fail(c, "no request id in the response");
    if (c->reader.status >= 500 && !http_reader_field(&c->reader, "X-Answer", &len) &&
        (plan->misdeed != WELL_BEHAVED || (c->world->starved && c->reader.status != 504) ||
         (c->world->deaf_ever && c->reader.status == 502)))
        c->reader.stream = 0; /* the proxy's own words follow: judged by length only */
    else if (c->reader.status != plan->status)
        client_fail(c, "wrong status");
    else if (!field_is_number(&c->reader, "X-Answer", plan->number * 11))
        client_fail(c, "a field of the origin is missing");
    else if (!http_reader_field(&c->reader, "Via", &len))
        client_fail(c, "no Via");
}

/* A response to a misdeed: what may the client see? Never a whole-looking answer that is not whole. */
static void judge_misdeed(struct http_client *c)
{
    static const unsigned expected[MISDEEDS] = {
        [CUT_HEAD] = 502, [NONSENSE] = 502, [SILENCE] = 504};
    const struct http_plan *plan = plan_of(c);
    if (plan->misdeed == CUT_BODY && c->reader.status == 502)
        return; /* the end came before the head had left for the client */
    if (plan->reset && c->reader.status == 504)
        return; /* the reset took the bytes with it, and then got lost */
    if (expected[plan->misdeed] != c->reader.status)
        client_fail(c, "wrong status for what the origin did");
}

static void judge_response(struct http_client *c)
{
    struct http_plan *plan = plan_of(c);
    bool refused = c->reader.stream == 0; /* an answer of the edge itself */
    bool bodiless = c->reader.no_body || plan->status == 204 || plan->status == 304;
    uint64_t bytes = bodiless ? 0 : plan->down_bytes;
    if (refused && (c->world->starved || (c->world->deaf_ever && c->reader.status == 502)))
        ; /* it said so */
    else if (plan->misdeed != WELL_BEHAVED)
        judge_misdeed(c);
    else if (c->reader.body != bytes)
        client_fail(c, "body of another length");
    else if (c->reader.informational != plan->informational)
        client_fail(c, "informational responses lost or doubled");
    plan->done = true;
}

/* The response is whole: keep the connection or not. */
static void client_response_done(struct http_client *c, tg_ns now)
{
    struct http_plan *plan = plan_of(c);
    judge_response(c);
    bool keep = !c->reader.close && !plan->client_close && !c->writer.active;
    c->asking = false;
    c->plan++;
    if (keep && c->plan < c->plan_end) {
        c->ask_at = now + plan_of(c)->pause;
        return;
    }
    pipe_close(&c->pipe);
    client_next_connection(c, now);
}

/* The edge has ended the connection (FIN or RST) while a response was due, or before. */
static void client_cut(struct http_client *c, bool fin, tg_ns now)
{
    struct http_plan *plan = plan_of(c);
    if (c->world->alone) {
        c->world->broken++;
        c->plan = c->plan_end; /* one connection a client */
        if (c->open)
            pipe_abort(&c->pipe);
        client_next_connection(c, now);
        return;
    }
    if (!c->asking && c->world->starved) {
        client_next_connection(c, now);
        return;
    }
    if (!c->asking) {
        client_fail(c, "the edge closed a connection that was to be kept");
        return;
    }
    if (fin)
        http_reader_end(&c->reader);
    bool excused = plan->misdeed == CUT_BODY || c->world->starved;
    if (excused && c->reader.state != READ_DONE) {
        plan->done = true; /* a truncated answer that looks like one: right */
        c->plan++;
    } else {
        client_fail(c, c->reader.wrong ? c->reader.wrong : "the connection was reset");
        return;
    }
    if (c->open && fin)
        pipe_abort(&c->pipe);
    client_next_connection(c, now);
}

static void client_read(struct http_client *c, tg_ns now)
{
    struct span span;
    while (c->open && !c->world->sim->failed && pipe_peek(&c->pipe, &span)) {
        if (!c->asking) {
            client_fail(c, "bytes that nobody asked for");
            return;
        }
        bool foreign = c->reader.stream == 0 && c->reader.state == READ_SIZED;
        size_t n = span.len;
        if (foreign) { /* the text of an error page is the proxy's business */
            n = n < c->reader.left ? n : (size_t)c->reader.left;
            c->reader.left -= n;
            if (c->reader.left == 0)
                c->reader.state = READ_DONE;
        } else {
            n = http_reader_feed(&c->reader, span.data, span.len);
        }
        pipe_consume(&c->pipe, n);
        if (c->reader.head_fresh)
            judge_head(c);
        if (c->reader.state == READ_BAD)
            client_fail(c, c->reader.wrong);
        else if (c->reader.state == READ_DONE)
            client_response_done(c, now);
    }
}

static bool client_aborts(struct http_client *c, tg_ns now)
{
    struct http_plan *plan = plan_of(c);
    if (!c->asking || !plan->aborts || c->writer.sent + c->reader.body < plan->abort_after)
        return false;
    plan->aborted = true;
    pipe_abort(&c->pipe);
    c->plan++;
    client_next_connection(c, now);
    return true;
}

/* A truncated answer whose reset was lost: the client hears nothing, for ever. */
static bool client_gives_up(struct http_client *c, tg_ns now)
{
    if (!c->asking || !(plan_of(c)->misdeed == CUT_BODY || c->world->starved))
        return false;
    if (now < c->asked_at + PATIENCE) {
        client_later(c, c->asked_at + PATIENCE);
        return false;
    }
    plan_of(c)->done = true;
    pipe_abort(&c->pipe);
    c->plan++;
    client_next_connection(c, now);
    return true;
}

static void client_pump(struct http_client *c, tg_ns now)
{
    if (!c->open)
        return;
    client_read(c, now);
    if (c->open && c->pipe.failed)
        client_fail(c, "TLS failed");
    if (c->open && client_gives_up(c, now))
        return;
    if (!c->open || c->world->sim->failed || client_aborts(c, now))
        return;
    if (!c->asking && now < c->ask_at) {
        client_later(c, c->ask_at);
        return;
    }
    if (!c->asking) {
        client_ask(c);
        c->asked_at = now;
    }
    if (!http_writer_pump(&c->writer, &c->pipe))
        client_later(c, now + RETRY);
    client_aborts(c, now);
}

static void client_event(struct http_client *c, const struct tcp_event *e, tg_ns now)
{
    if (!c->open || e->handle != c->pipe.handle) {
        client_fail(c, "event for a connection that is closed");
        return;
    }
    if (!(e->bits & TCP_EV_CLOSED))
        client_pump(c, now);
    bool fin = c->open && !(e->bits & TCP_EV_CLOSED) && pipe_at_end(&c->pipe);
    if (c->open && (fin || e->bits & TCP_EV_CLOSED)) {
        if (e->bits & TCP_EV_CLOSED) {
            pipe_lost(&c->pipe);
            c->open = false;
        }
        client_cut(c, fin, now);
    }
}

bool http_client_turn(void *arg, tg_ns now)
{
    struct http_world *w = arg;
    struct tcp_event events[8];
    unsigned n = tcp_events(w->client_host.tcp, events, TG_ARRAY_LEN(events));
    for (unsigned i = 0; i < n && !w->sim->failed; i++) {
        if (events[i].user < 1 || events[i].user > w->client_count)
            sim_fail(w->sim, "client: event of nobody");
        else
            client_event(&w->clients[events[i].user - 1], &events[i], now);
    }
    return n > 0;
}
