/* SPDX-License-Identifier: BSD-3-Clause
 * Our own answers: short, complete, never cached, with the request id that the audit line has.
 * Called by request. Floor 3.
 */
#include "proxy/parts.h"

#define SECONDS_PER_DAY 86400

void count_status(struct proxy *p, unsigned status)
{
    static const enum tg_counter classes[] = {TG_C_http_status_1xx, TG_C_http_status_2xx,
                                              TG_C_http_status_3xx, TG_C_http_status_4xx,
                                              TG_C_http_status_5xx};
    if (status >= 100 && status < 600)
        stats_count(p->stats, classes[status / 100 - 1]);
}

static void two_digits(char *at, unsigned v)
{
    at[0] = (char)('0' + v / 10 % 10);
    at[1] = (char)('0' + v % 10);
}

/* IMF-fixdate (RFC 9110 s5.6.7) of a POSIX time. Days to civil date by the usual era arithmetic
 * over years that start in March, so that the leap day comes last. */
static void date_format(uint64_t second, char text[30])
{
    static const char days[] = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    uint64_t day = second / SECONDS_PER_DAY, rest = second % SECONDS_PER_DAY;
    uint64_t z = day + 719468, era = z / 146097, of_era = z % 146097;
    uint64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    uint64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t march_month = (5 * of_year + 2) / 153;
    unsigned of_month = (unsigned)(of_year - (153 * march_month + 2) / 5 + 1);
    unsigned month = (unsigned)(march_month < 10 ? march_month + 3 : march_month - 9);
    unsigned year = (unsigned)(year_of_era + era * 400 + (month <= 2));
    memcpy(text, "Thu, 01 Jan 1970 00:00:00 GMT", 30);
    memcpy(text, days + day % 7 * 3, 3);
    two_digits(text + 5, of_month);
    memcpy(text + 8, months + (month - 1) * 3, 3);
    two_digits(text + 12, year / 100);
    two_digits(text + 14, year);
    two_digits(text + 17, (unsigned)(rest / 3600));
    two_digits(text + 20, (unsigned)(rest / 60 % 60));
    two_digits(text + 23, (unsigned)(rest % 60));
}

static void write_date(struct proxy *p, struct span_writer *w)
{
    uint64_t second = proxy_wall_ns(p) / TG_S;
    if (p->date_second != second || !p->date_text[0])
        date_format(second, p->date_text);
    p->date_second = second;
    h1_write_field(w, SPAN_LITERAL("Date"), span_make(p->date_text, 29));
}

static void write_text(const struct request *r, struct span_writer *w)
{
    span_write_decimal(w, r->status);
    span_write(w, " ", 1);
    span_write_string(w, http_status_phrase(r->status));
    span_write_span(w, SPAN_LITERAL("\nrequest id: "));
    heads_write_request_id(w, r->id);
    span_write(w, "\n", 1);
}

static void write_reply(struct proxy *p, const struct request *r, struct span_writer *w)
{
    uint8_t text[128];
    struct span_writer body = span_writer_make(text, sizeof text);
    write_text(r, &body);
    h1_write_status_line(w, r->status);
    write_date(p, w);
    span_write_span(
        w, SPAN_LITERAL("Content-Type: text/plain\r\nCache-Control: no-store\r\nX-Request-Id: "));
    heads_write_request_id(w, r->id);
    span_write_span(w, SPAN_LITERAL("\r\nContent-Length: "));
    span_write_decimal(w, body.len);
    span_write_string(w, r->keep_client ? "\r\n" : "\r\nConnection: close\r\n");
    if (r->keep_client && r->head.minor == 0)
        span_write_span(w, SPAN_LITERAL("Connection: keep-alive\r\n"));
    h1_write_end(w);
    if (r->head.method != HTTP_HEAD)
        span_write_span(w, span_writer_span(&body));
}

/* Made again after a short write: its length never changes, only the seconds of Date may. */
enum step reply_step(struct proxy *p, struct request *r)
{
    struct span_writer w = span_writer_make(p->scratch, sizeof p->scratch);
    write_reply(p, r, &w);
    tg_assert(w.ok);
    while (r->response_sent < w.len) {
        size_t n = stream_write(p, &r->client->stream,
                                span_slice(span_writer_span(&w), r->response_sent, w.len));
        if (n == 0)
            return STEP_WAIT;
        r->response_sent += (uint32_t)n;
    }
    count_status(p, r->status);
    stats_count(p->stats, TG_C_http_responses);
    return STEP_NEXT;
}
