/* SPDX-License-Identifier: BSD-3-Clause
 * The simulated origin server: reads requests strictly, judges what the proxy made of them, answers by
 * plan, and misbehaves by plan.
 */
#include "tests/sim/http_world.h"
#include <stdio.h>
#include <stdlib.h>

#define RETRY (50 * TG_MS)

static void origin_pump(struct http_origin *o, tg_ns now);

static void origin_fail(const struct http_origin *o, const char *what)
{
    const struct http_plan *plan = o->plan;
    sim_fail(o->world->sim,
             "origin, request %d: %s (%s, up %llu of %llu, down %llu of %llu, early %d, aborts %d, "
             "misdeed %d, answered %d, reader %d)",
             plan ? (int)plan->number : -1, what, plan ? plan->method : "?",
             (unsigned long long)o->reader.body, plan ? (unsigned long long)plan->up_bytes : 0,
             (unsigned long long)o->writer.sent, plan ? (unsigned long long)plan->down_bytes : 0,
             plan && plan->early, plan && plan->aborts, plan ? (int)plan->misdeed : 0, o->answered,
             (int)o->reader.state);
}

static void origin_later(struct http_origin *o, tg_ns when)
{
    if (!timer_armed(&o->timer) || o->timer.deadline > when)
        timer_arm(&o->world->origin_host.wheel, &o->timer, when);
}

static void origin_timer(struct timer *timer, void *arg, tg_ns now)
{
    origin_pump(arg, now);
}

void http_origin_init(struct http_world *w)
{
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++) {
        w->origins[i].world = w;
        timer_init(&w->origins[i].timer, origin_timer, &w->origins[i]);
    }
}

static void origin_gone(struct http_origin *o)
{
    o->open = o->taken = false;
    timer_cancel(&o->world->origin_host.wheel, &o->timer);
}

static void origin_next_request(struct http_origin *o)
{
    o->plan = NULL;
    o->answered = false;
    o->writer.active = false;
    o->writer.done = false;
    http_reader_begin(&o->reader, false, false);
}

/* --- judging what the proxy sent --------------------------------------------------------------------------- */

static bool field_contains(const struct http_reader *r, const char *name, const char *text)
{
    size_t len;
    const char *value = http_reader_field(r, name, &len);
    return value && memmem(value, len, text, strlen(text));
}

static void judge_request(struct http_origin *o, tg_ns now)
{
    struct http_world *w = o->world;
    unsigned number = 0;
    char check[32], filler[6000];
    o->reader.head_fresh = false;
    if (sscanf(o->reader.target, "/r/%u", &number) != 1 || number >= w->plan_count) {
        origin_fail(o, "a target that nobody asked for");
        return;
    }
    struct http_plan *plan = o->plan = &w->plans[number];
    o->reader.stream = http_stream_up(plan);
    o->answer_at = now + plan->think;
    plan->asked++;
    snprintf(check, sizeof check, "%u", number * 7);
    size_t filler_len = http_filler(plan, filler, sizeof filler);
    if (strcmp(o->reader.method, plan->method) != 0)
        origin_fail(o, "another method");
    else if (!field_contains(&o->reader, "X-Sim", check))
        origin_fail(o, "a field of the client is missing");
    else if (!field_contains(&o->reader, "Host", "sim.example"))
        origin_fail(o, "wrong Host");
    else if (!field_contains(&o->reader, "X-Forwarded-For", "10.0.0.1") &&
             !field_contains(&o->reader, "X-Forwarded-For", "fd00::1"))
        origin_fail(o, "no X-Forwarded-For");
    else if (!field_contains(&o->reader, "Via", "1.1 "))
        origin_fail(o, "no Via");
    else if (!memmem(o->reader.head, o->reader.len, filler, filler_len))
        origin_fail(o, "fields were changed or reordered");
    /* Once and not again: a request may be repeated only where an origin connection died. */
    else if (plan->asked > 1 && !(w->misdeeds && plan->asked == 2))
        origin_fail(o, "asked again");
}

static void judge_body(struct http_origin *o)
{
    if (o->plan && o->reader.body != o->plan->up_bytes)
        origin_fail(o, "request body of another length");
}

/* --- answering ------------------------------------------------------------------------------------------- */

static size_t answer_head(const struct http_plan *plan, char *head, size_t cap)
{
    char filler[6000], framing[64] = "";
    size_t filler_len = http_filler(plan, filler, sizeof filler);
    bool bodiless = plan->status == 204;
    if (plan->down_framing == SEND_CHUNKED)
        snprintf(framing, sizeof framing, "Transfer-Encoding: chunked\r\n");
    else if (!plan->until_close && !bodiless)
        snprintf(framing, sizeof framing, "Content-Length: %llu\r\n",
                 (unsigned long long)plan->down_bytes);
    size_t n = 0;
    for (unsigned i = 0; i < plan->informational; i++)
        n += (size_t)snprintf(head + n, cap - n, "HTTP/1.1 103 Early Hints\r\nX-Hint: %u\r\n\r\n",
                              i);
    n += (size_t)snprintf(head + n, cap - n, "HTTP/1.1 %u Sim\r\nX-Answer: %u\r\n%.*s%s%s\r\n",
                          plan->status, plan->number * 11, (int)filler_len, filler, framing,
                          plan->origin_close ? "Connection: close\r\n" : "");
    tg_assert(n < cap);
    return n;
}

/* What a misbehaving origin says instead; false: nothing at all. */
static bool misdeed_begin(struct http_origin *o, char *head, size_t *len)
{
    static const char nonsense[] = "HTTP/7.0 200 ok\nfoo\x01 bar: \r\n\r\n";
    switch (o->plan->misdeed) {
    case NONSENSE:
        memcpy(head, nonsense, sizeof nonsense - 1);
        *len = sizeof nonsense - 1;
        return true;
    case CUT_HEAD:
        *len = *len / 2;
        return true;
    case SILENCE:
        return false;
    case WELL_BEHAVED:
    case CUT_BODY:
    case MISDEEDS:
        break;
    }
    return true;
}

static void answer_begin(struct http_origin *o)
{
    const struct http_plan *plan = o->plan;
    char head[8000];
    size_t len = answer_head(plan, head, sizeof head);
    bool bodiless = strcmp(plan->method, "HEAD") == 0 || plan->status == 204 || plan->status == 304;
    enum http_send send = plan->until_close ? SEND_SIZED : plan->down_framing;
    o->answered = true;
    if (!misdeed_begin(o, head, &len))
        return;
    bool cut = plan->misdeed == CUT_HEAD || plan->misdeed == NONSENSE;
    http_writer_begin(
        &o->writer, head, len, bodiless || cut ? SEND_NOTHING : send, http_stream_down(plan),
        plan->misdeed == CUT_BODY ? plan->down_bytes / 2 : plan->down_bytes, plan->number + 5000);
    o->writer.cut = plan->misdeed == CUT_BODY;
}

/* True when the misbehaving origin has just ended the connection. */
static bool misdeed_ends(struct http_origin *o)
{
    const struct http_plan *plan = o->plan;
    bool ends = plan->misdeed == CUT_HEAD || plan->misdeed == NONSENSE || plan->misdeed == CUT_BODY;
    if (!ends || !o->answered || !o->writer.done)
        return false;
    if (plan->reset)
        pipe_abort(&o->pipe);
    else
        pipe_close(&o->pipe);
    origin_gone(o);
    return true;
}

/* --- a connection ------------------------------------------------------------------------------------------ */

static void origin_read(struct http_origin *o, tg_ns now)
{
    struct span span;
    while (o->reader.state != READ_DONE && pipe_peek(&o->pipe, &span)) {
        size_t n = http_reader_feed(&o->reader, span.data, span.len);
        pipe_consume(&o->pipe, n);
        if (o->reader.head_fresh)
            judge_request(o, now);
        if (o->reader.state == READ_BAD)
            origin_fail(o, o->reader.wrong);
        if (o->world->sim->failed)
            return;
    }
}

/* The proxy has ended its side, or the connection: fine between requests, and when the client has gone
 * or this origin has misbehaved. */
static void origin_left_alone(struct http_origin *o, bool live)
{
    bool between = !o->plan && o->reader.state == READ_HEAD && o->reader.len == 0;
    /* After an early answer nobody needs the rest of the request. */
    bool excused = o->plan && (o->plan->aborted || o->plan->misdeed != WELL_BEHAVED ||
                               (o->plan->early && o->answered));
    /* In mid-head it is unknown whose request it was: excused when somebody aborts in this run. */
    excused |= o->world->starved || o->world->alone;
    for (unsigned i = 0; i < o->world->plan_count && !o->plan; i++)
        excused |= o->world->plans[i].aborts;
    if (!between && !excused)
        origin_fail(o, "the proxy left in the middle of a request");
    if (live && between)
        pipe_close(&o->pipe);
    else if (live)
        pipe_abort(&o->pipe);
    else
        pipe_lost(&o->pipe);
    origin_gone(o);
}

static void origin_pump(struct http_origin *o, tg_ns now)
{
    while (o->open && !o->world->sim->failed) {
        origin_read(o, now);
        bool whole = o->reader.state == READ_DONE;
        if (o->world->sim->failed || !o->plan)
            return;
        if (!o->answered && (whole || o->plan->early)) {
            if (now < o->answer_at) {
                origin_later(o, o->answer_at);
                return;
            }
            answer_begin(o);
        }
        if (o->writer.active && !http_writer_pump(&o->writer, &o->pipe))
            origin_later(o, now + RETRY);
        if (misdeed_ends(o) || !whole || !o->writer.done)
            return;
        judge_body(o);
        if (o->plan->origin_close || o->plan->until_close) {
            pipe_close(&o->pipe);
            origin_gone(o);
            return;
        }
        origin_next_request(o);
    }
}

static void origin_accept(struct http_world *w, const struct tcp_event *e)
{
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++) {
        struct http_origin *o = &w->origins[i];
        if (o->taken)
            continue;
        struct tls_conn *tls = NULL;
        if (w->origin_set && tls_accept(w->origin_set, o, &tls) != TG_OK)
            sim_fail(w->sim, "origin: tls_accept");
        pipe_open(&o->pipe, w->origin_host.tcp, e->handle, tls, edge_wall_s(&w->edge));
        o->taken = o->open = true;
        origin_next_request(o);
        tcp_set_user(w->origin_host.tcp, e->handle, i + 1);
        return;
    }
    sim_fail(w->sim, "origin: more than %d connections", HTTP_ORIGINS_MAX);
}

static struct http_origin *origin_of(struct http_world *w, const struct tcp_event *e)
{
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++)
        if (w->origins[i].open && w->origins[i].pipe.handle == e->handle)
            return &w->origins[i];
    return NULL;
}

static void origin_event(struct http_origin *o, const struct tcp_event *e, tg_ns now)
{
    if (e->bits & TCP_EV_CLOSED) {
        origin_left_alone(o, false);
        return;
    }
    origin_pump(o, now);
    if (o->open && pipe_at_end(&o->pipe))
        origin_left_alone(o, true);
}

bool http_origin_turn(void *arg, tg_ns now)
{
    struct http_world *w = arg;
    struct tcp_event events[8];
    unsigned n = tcp_events(w->origin_host.tcp, events, TG_ARRAY_LEN(events));
    for (unsigned i = 0; i < n && !w->sim->failed; i++) {
        bool came_and_went = events[i].bits & TCP_EV_ACCEPTED && events[i].bits & TCP_EV_CLOSED;
        if (events[i].bits & TCP_EV_ACCEPTED && !came_and_went)
            origin_accept(w, &events[i]);
        struct http_origin *o = origin_of(w, &events[i]);
        if (o)
            origin_event(o, &events[i], now);
        else if (!came_and_went)
            sim_fail(w->sim, "origin: event of nobody");
    }
    return n > 0;
}

void http_origin_end(struct http_world *w)
{
    for (unsigned i = 0; i < HTTP_ORIGINS_MAX; i++) {
        struct http_origin *o = &w->origins[i];
        if (!o->open)
            continue;
        pipe_abort(&o->pipe);
        origin_gone(o);
    }
}
