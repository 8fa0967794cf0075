/* SPDX-License-Identifier: BSD-3-Clause
 * See proxy_lab.h: what the connections of the client and the origin do.
 */
#include "proxy/proxy_lab_ends.h"
#include <stdio.h>

/* --- bytes ------------------------------------------------------------------------------------ */

static uint8_t *bytes_room(struct lab_bytes *b, size_t n)
{
    if (b->cap - b->len < n + 1) {
        b->cap = (b->len + n + 1) * 2;
        b->data = realloc(b->data, b->cap);
    }
    return b->data + b->len;
}

static void bytes_add(struct lab_bytes *b, struct span bytes)
{
    uint8_t *room = bytes_room(b, bytes.len);
    if (bytes.len)
        memcpy(room, bytes.data, bytes.len);
    b->len += bytes.len;
    b->data[b->len] = 0;
}

/* --- connections ------------------------------------------------------------------------------ */

static struct tcp *tcp_of(const struct lab_conn *c)
{
    return c->lab->node[c->host].tcp;
}

static struct lab_conn *conn_new(struct lab *lab, enum lab_host host)
{
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++) {
        struct lab_conn *c = &lab->conns[i];
        if (c->lab)
            continue;
        *c = (struct lab_conn){.lab = lab, .host = host};
        bytes_add(&c->in, SPAN_EMPTY);
        return c;
    }
    fail_msg("more than %u connections", LAB_CONNECTIONS);
    return NULL;
}

void conn_free(struct lab_conn *c)
{
    if (c->tls)
        tls_abort(c->tls);
    free(c->in.data);
    free(c->out.data);
    *c = (struct lab_conn){0};
}

static struct lab_conn *connect_to(struct lab *lab, const char *address, uint16_t port)
{
    struct lab_conn *c = conn_new(lab, LAB_CLIENT);
    struct ip_addr remote = test_addr(address);
    assert_int_equal(tcp_connect(tcp_of(c), NULL, &remote, port, 0, 0, lab->now, &c->h), TG_OK);
    return c;
}

struct lab_conn *lab_connect(struct lab *lab, uint16_t port)
{
    return connect_to(lab, "192.0.2.2", port);
}

struct lab_conn *lab_connect6(struct lab *lab, uint16_t port)
{
    return connect_to(lab, "2001:db8::2", port);
}

struct lab_conn *lab_connect_tls(struct lab *lab, const char *server_name)
{
    struct lab_conn *c = lab_connect(lab, 443);
    struct tls_client_config config = {.server_name = span_from_string(server_name)};
    assert_int_equal(tls_connect(&config, NULL, &c->tls), TG_OK);
    return c;
}

void lab_say(struct lab_conn *c, struct span bytes)
{
    bytes_add(&c->out, bytes);
}

void lab_say_text(struct lab_conn *c, const char *text)
{
    lab_say(c, span_from_string(text));
}

void lab_fin(struct lab_conn *c)
{
    c->fin_wish = true;
}

void lab_reset(struct lab_conn *c)
{
    tcp_abort(tcp_of(c), c->h);
    c->closed = true;
}

void lab_forget(struct lab_conn *c)
{
    c->in.len = c->handled = 0;
    c->in.data[0] = 0;
}

const char *lab_ask(struct lab_conn *c, const char *text)
{
    lab_say_text(c, text);
    lab_run(c->lab, 100 * TG_MS);
    return lab_text(c);
}

/* --- a turn of one connection ----------------------------------------------------------------- */

static struct lab_conn *conn_of(struct lab *lab, enum lab_host host, tcp_handle h)
{
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++)
        if (lab->conns[i].lab && lab->conns[i].host == host && lab->conns[i].h == h)
            return &lab->conns[i];
    return NULL;
}

static void take_event(struct lab *lab, enum lab_host host, const struct tcp_event *e)
{
    struct lab_conn *c = conn_of(lab, host, e->handle);
    if (e->bits & TCP_EV_ACCEPTED) {
        c = conn_new(lab, host);
        c->h = e->handle;
    }
    assert_non_null(c);
    c->connected |= (e->bits & (TCP_EV_ACCEPTED | TCP_EV_CONNECTED)) != 0;
    c->peer_fin |= (e->bits & TCP_EV_PEER_FIN) != 0;
    if (e->bits & TCP_EV_CLOSED) {
        c->closed = true;
        c->error = (enum tg_err)e->error;
    }
}

static void tls_take(struct lab_conn *c, struct span bytes)
{
    size_t at = 0, consumed = 1;
    c->cipher_bytes += bytes.len;
    while (at < bytes.len && consumed) {
        struct span rest = span_slice(bytes, at, bytes.len);
        enum tg_err err = tls_feed(c->tls, &rest, 1, &consumed, LAB_WALL);
        assert_true(err == TG_OK || err == TG_AGAIN || err == TG_END || err == TG_BAD_INPUT);
        at += consumed;
        size_t n = 0;
        do {
            bool early;
            err = tls_read(c->tls, bytes_room(&c->in, 4096), 4096, &n, &early);
            c->in.len += n;
            c->in.data[c->in.len] = 0;
        } while (n > 0);
        c->tls_end |= err == TG_END;
    }
}

void lab_feed_tls(struct lab_conn *c)
{
    struct lab_bytes cipher = c->in;
    c->in = (struct lab_bytes){0};
    bytes_add(&c->in, SPAN_EMPTY);
    tls_take(c, span_make(cipher.data, cipher.len));
    free(cipher.data);
}

static bool conn_read(struct lab_conn *c)
{
    struct span span;
    bool any = false;
    while (!c->stop_reading && !c->closed && tcp_peek(tcp_of(c), c->h, &span, 1) == 1) {
        if (c->tls)
            tls_take(c, span);
        else
            bytes_add(&c->in, span);
        tcp_consume(tcp_of(c), c->h, (uint32_t)span.len);
        any = true;
    }
    return any;
}

static void tls_say(struct lab_conn *c)
{
    while (c->out_at < c->out.len && tls_handshake_done(c->tls)) {
        size_t taken;
        struct span rest = span_make(c->out.data + c->out_at, c->out.len - c->out_at);
        if (tls_write(c->tls, span_slice(rest, 0, 16000), &taken) != TG_OK || !taken)
            break;
        c->out_at += taken;
        if (c->rate)
            break;
    }
    if (c->fin_wish && c->out_at == c->out.len)
        tls_shutdown(c->tls);
    while (tls_pending_out(c->tls) > 0) {
        struct span_room room;
        if (tcp_reserve(tcp_of(c), c->h, 1, &room) != TG_OK)
            return;
        size_t most = c->rate && c->rate < room.len ? c->rate : room.len;
        tcp_commit(tcp_of(c), c->h, tls_drain(c->tls, room.data, most));
        if (c->rate)
            return;
    }
}

static void conn_write(struct lab_conn *c)
{
    if (!c->connected || c->closed)
        return;
    if (c->tls) {
        tls_say(c);
    } else if (c->out_at < c->out.len) {
        struct span rest = span_make(c->out.data + c->out_at, c->out.len - c->out_at);
        c->out_at += tcp_write(tcp_of(c), c->h, span_slice(rest, 0, c->rate ? c->rate : rest.len));
    }
    bool said = c->out_at == c->out.len && (!c->tls || tls_pending_out(c->tls) == 0);
    if (c->fin_wish && !c->fin_said && said) {
        tcp_shutdown(tcp_of(c), c->h);
        c->fin_said = true;
    }
}

bool ends_turn(struct lab *lab, enum lab_host host)
{
    struct tcp_event e;
    while (tcp_events(lab->node[host].tcp, &e, 1))
        take_event(lab, host, &e);
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++) {
        struct lab_conn *c = &lab->conns[i];
        if (!c->lab || c->host != host)
            continue;
        conn_read(c);
        if (host == LAB_ORIGIN && lab->serve)
            lab->serve(lab, c);
        conn_write(c);
    }
    return false;
}

bool ends_pending(const struct lab *lab)
{
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++) {
        const struct lab_conn *c = &lab->conns[i];
        bool waits = c->out_at < c->out.len || (c->tls && tls_pending_out(c->tls) > 0);
        if (c->lab && c->rate && !c->closed && waits)
            return true;
    }
    return false;
}

/* --- expectations ----------------------------------------------------------------------------- */

const char *lab_padded(const char *start, size_t fill, const char *end)
{
    static struct lab_bytes text;
    text.len = 0;
    bytes_add(&text, span_from_string(start));
    memset(bytes_room(&text, fill), 'x', fill);
    text.len += fill;
    bytes_add(&text, span_from_string(end));
    return (const char *)text.data;
}

const char *lab_text(struct lab_conn *c)
{
    return (const char *)c->in.data;
}

void expect_status(struct lab_conn *c, unsigned status)
{
    char want[24];
    snprintf(want, sizeof want, "HTTP/1.1 %u ", status);
    if (strncmp(lab_text(c), want, strlen(want)) != 0)
        fail_msg("want status %u, got '%.300s'", status, lab_text(c));
}

void expect_in(struct lab_conn *c, const char *part)
{
    if (!strstr(lab_text(c), part))
        fail_msg("'%s' is missing in '%.2000s'", part, lab_text(c));
}

void expect_not_in(struct lab_conn *c, const char *part)
{
    if (strstr(lab_text(c), part))
        fail_msg("'%s' is in '%.2000s'", part, lab_text(c));
}

unsigned lab_open_count(const struct lab *lab, enum lab_host host)
{
    unsigned n = 0;
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++)
        n += lab->conns[i].lab && lab->conns[i].host == host && !lab->conns[i].closed;
    return n;
}

struct lab_conn *lab_origin_conn(struct lab *lab, unsigned n)
{
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++)
        if (lab->conns[i].lab && lab->conns[i].host == LAB_ORIGIN && n-- == 0)
            return &lab->conns[i];
    fail_msg("no such origin connection");
    return NULL;
}

/* --- origin scripts --------------------------------------------------------------------------- */

bool lab_request(struct lab_conn *c, struct http_head *head, struct span *body)
{
    static struct lab_bytes plain;
    struct span rest = span_make(c->in.data + c->handled, c->in.len - c->handled), payload;
    size_t seen = 0, consumed;
    if (rest.len == 0)
        return false;
    enum tg_err err = h1_parse_request(rest, &seen, head);
    if (err == TG_AGAIN)
        return false;
    if (err != TG_OK) /* the edge must never send such a thing */
        fail_msg("the origin got a bad head: %s\n%.2000s", head->error, (const char *)rest.data);
    struct h1_body framing;
    h1_body_start(&framing, head);
    plain.len = 0;
    bytes_add(&plain, SPAN_EMPTY);
    rest = span_slice(rest, head->bytes, rest.len);
    do {
        err = h1_body_next(&framing, rest, &consumed, &payload);
        bytes_add(&plain, payload);
        rest = span_slice(rest, consumed, rest.len);
    } while (err == TG_OK && rest.len);
    if (err == TG_BAD_INPUT)
        fail_msg("the origin got a bad body");
    if (err != TG_END)
        return false;
    c->handled = (size_t)(rest.data - c->in.data);
    *body = span_make(plain.data, plain.len);
    return true;
}

void lab_serve_answer(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    while (!c->closed && lab_request(c, &head, &body)) {
        c->served++;
        lab_say_text(c, lab->answer);
    }
    if (c->peer_fin)
        lab_fin(c);
}

unsigned lab_origin_served(const struct lab *lab)
{
    unsigned n = 0;
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++)
        if (lab->conns[i].lab && lab->conns[i].host == LAB_ORIGIN)
            n += lab->conns[i].served;
    return n;
}

static void serve_tls(struct lab *lab, struct lab_conn *c)
{
    if (!c->tls && c->in.len > 0) { /* what came before belongs to TLS */
        assert_int_equal(tls_accept(lab->origin_set, NULL, &c->tls), TG_OK);
        lab_feed_tls(c);
    }
    if (c->tls)
        lab_serve_answer(lab, c);
}

void lab_serve_by_tls(struct lab *lab, struct tls_set *set)
{
    lab->origin_set = set;
    lab->serve = serve_tls;
}
