/* SPDX-License-Identifier: BSD-3-Clause
 * Heads as we say them: the request to the origin, the response to the client. Written anew from
 * what was parsed; fields of one connection are left out, ours are added (RFC 9110 s7.6). Called by
 * request and response. Floor 3.
 */
#include "proxy/parts.h"

#define IS(name, literal) span_equal_nocase((name), SPAN_LITERAL(literal))

/* Eight digits in the order of memory: a nibble a byte, then '0' to each and the way to 'a' to those above 9. */
static uint64_t hex_digits(uint32_t value)
{
    uint64_t n = value;
    n = (n << 16 | n) & 0x0000ffff0000ffff;
    n = (n << 8 | n) & 0x00ff00ff00ff00ff;
    n = (n << 4 | n) & 0x0f0f0f0f0f0f0f0f;
    uint64_t letters = (n + 0x0606060606060606) >> 4 & 0x0101010101010101;
    return __builtin_bswap64(n + 0x3030303030303030 + letters * ('a' - '0' - 10));
}

void heads_write_request_id(struct span_writer *w, uint64_t id)
{
    uint64_t digits[2] = {hex_digits((uint32_t)(id >> 32)), hex_digits((uint32_t)id)};
    span_write(w, digits, sizeof digits);
}

/* The request target in origin form (RFC 9112 s3.2.1): of an absolute one, what stands behind the
 * authority. */
static void write_target(const struct head_view *view, enum http_method method,
                         struct span_writer *w)
{
    if (view->target.data[0] == '/' || view->target.data[0] == '*') {
        span_write_span(w, view->target);
        return;
    }
    bool bare = view->path.data < view->target.data ||
                view->path.data >= view->target.data + view->target.len; /* "/" of the parser */
    if (method == HTTP_OPTIONS && bare && !view->query.data) {
        span_write(w, "*", 1); /* RFC 9112 s3.2.4 */
        return;
    }
    span_write_span(w, view->path);
    if (view->query.data) {
        span_write(w, "?", 1);
        span_write_span(w, view->query);
    }
}

static void write_host(const struct request *r, struct span_writer *w)
{
    span_write_span(w, SPAN_LITERAL("Host: "));
    span_write_span(w, r->head.host.len ? r->head.host : r->site_host);
    if (r->head.host_port) {
        span_write(w, ":", 1);
        span_write_decimal(w, r->head.host_port);
    }
    span_write(w, "\r\n", 2);
}

static void write_address(const uint8_t address[16], struct span_writer *w)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(address, mapped, sizeof mapped) == 0) {
        for (unsigned i = 12; i < 16; i++) {
            if (i > 12)
                span_write(w, ".", 1);
            span_write_decimal(w, address[i]);
        }
        return;
    }
    struct ip_addr ip;
    char text[46];
    memcpy(ip.bytes, address, sizeof ip.bytes);
    span_write_string(w, ip_addr_text(&ip, text));
}

/* One line: what earlier proxies said, then the client as we see it. */
static void write_forwarded_for(const struct request *r, struct span_writer *w)
{
    span_write_span(w, SPAN_LITERAL("X-Forwarded-For: "));
    int i = -1;
    while ((i = http_field_find(&r->head.view, SPAN_LITERAL("x-forwarded-for"),
                                (unsigned)(i + 1))) >= 0) {
        if (r->head.fields[i].value.len == 0 || h1_is_hop_by_hop(&r->head, (unsigned)i))
            continue;
        span_write_span(w, r->head.fields[i].value);
        span_write(w, ", ", 2);
    }
    write_address(r->client->address, w);
    span_write(w, "\r\n", 2);
}

static void write_framing(enum http_framing framing, uint64_t length, struct span_writer *w)
{
    if (framing == HTTP_CHUNKED) {
        span_write_span(w, SPAN_LITERAL("Transfer-Encoding: chunked\r\n"));
    } else if (framing == HTTP_SIZED) {
        span_write_span(w, SPAN_LITERAL("Content-Length: "));
        span_write_decimal(w, length);
        span_write(w, "\r\n", 2);
    }
}

static void write_ours(const struct proxy *p, const struct request *r, struct span_writer *w)
{
    h1_write_field(w, SPAN_LITERAL("Via"), p->via);
    span_write_span(w, SPAN_LITERAL("X-Request-Id: "));
    heads_write_request_id(w, r->id);
    span_write(w, "\r\n", 2);
}

/* Fields that we write ourselves, whatever the client said. */
static bool request_field_is_ours(const struct request *r, struct span name)
{
    switch (name.len) {
    case 4:
        return IS(name, "host");
    case 6:
        return r->head.minor == 0 && IS(name, "expect");
    case 10:
        return IS(name, "early-data");
    case 12:
        return IS(name, "x-request-id");
    case 15:
        return IS(name, "x-forwarded-for");
    case 17:
        return IS(name, "x-forwarded-proto");
    default:
        return false;
    }
}

void heads_write_request(const struct proxy *p, const struct request *r, struct span_writer *w)
{
    const struct head_view *view = &r->head.view;
    span_write_span(w, view->method);
    span_write(w, " ", 1);
    write_target(view, r->head.method, w);
    span_write(w, " HTTP/1.1\r\n", 11);
    write_host(r, w);
    for (unsigned i = 0; i < view->field_count; i++)
        if (!h1_is_hop_by_hop(&r->head, i) && !request_field_is_ours(r, view->fields[i].name))
            h1_write_field(w, view->fields[i].name, view->fields[i].value);
    write_forwarded_for(r, w);
    h1_write_field(w, SPAN_LITERAL("X-Forwarded-Proto"),
                   r->client->https ? SPAN_LITERAL("https") : SPAN_LITERAL("http"));
    early_write_field(r, w);
    write_ours(p, r, w);
    write_framing(r->head.framing, r->head.content_length, w);
    h1_write_end(w);
}

/* A response without a body may still say how long one would be (RFC 9110 s8.6: HEAD and 304). */
static void write_bodiless_length(const struct http_head *head, struct span_writer *w)
{
    unsigned status = head->view.status;
    if (status >= 200 && status != 204 &&
        http_field_find(&head->view, SPAN_LITERAL("content-length"), 0) >= 0)
        write_framing(HTTP_SIZED, head->content_length, w);
}

void heads_write_response(const struct proxy *p, const struct request *r,
                          const struct http_head *head, struct span_writer *w)
{
    const struct head_view *view = &head->view;
    h1_write_status_line(w, view->status);
    for (unsigned i = 0; i < view->field_count; i++)
        if (!h1_is_hop_by_hop(head, i) && !IS(view->fields[i].name, "x-request-id"))
            h1_write_field(w, view->fields[i].name, view->fields[i].value);
    write_ours(p, r, w);
    if (view->status >= 200) {
        if (head->framing == HTTP_NO_BODY)
            write_bodiless_length(head, w);
        else
            write_framing(r->down.out, head->content_length, w);
        if (!r->keep_client)
            span_write_span(w, SPAN_LITERAL("Connection: close\r\n"));
        else if (r->head.minor == 0)
            span_write_span(w, SPAN_LITERAL("Connection: keep-alive\r\n"));
    }
    h1_write_end(w);
}
