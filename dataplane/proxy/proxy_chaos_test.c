/* SPDX-License-Identifier: BSD-3-Clause
 * Random lives: clients and origins that say legal and illegal things at any speed and leave at any
 * moment, a pool that runs dry, routes that change. Each seed is one run; the lab checks every
 * invariant after every turn, and at the end that everything is back. What arrives must be what was
 * sent, or visibly cut.
 */
#include "proxy/proxy_lab.h"

#include <stdio.h>

#define SEEDS   40
#define CLIENTS 24
#define MOMENTS 60

static struct prng dice;
static struct stats totals; /* of all lives: did they meet what they should? */

static uint64_t below(uint64_t n)
{
    return prng_below(&dice, n);
}

/* --- origin: answers, well and badly ---------------------------------------------------------- */

/* A body says its own length, so that a client can tell whether it is whole: "<n>:xxxx". */
static void say_body(struct lab_conn *c, size_t n, bool chunked)
{
    char head[96], *filler = malloc(n + 1);
    memset(filler, 'x', n);
    filler[n] = 0;
    int digits = snprintf(head, sizeof head, "%zu:", n);
    size_t all = (size_t)digits + n;
    if (!chunked) {
        snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%zu:", all, n);
        lab_say_text(c, head);
        lab_say_text(c, filler);
    } else {
        snprintf(head, sizeof head,
                 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%zu:", digits, n);
        lab_say_text(c, head);
        for (size_t at = 0, part; at < n; at += part) {
            part = 1 + below(n - at < 3000 ? n - at : 3000);
            snprintf(head, sizeof head, "\r\n%zx\r\n", part);
            lab_say_text(c, head);
            lab_say(c, span_make(filler, part));
        }
        lab_say_text(c, "\r\n0\r\n\r\n");
    }
    free(filler);
}

static void answer_one(struct lab_conn *c)
{
    static const char *const bad[] = {
        "nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", "\r\n"};
    uint64_t choice = below(20);
    if (choice == 0)
        lab_say_text(c, bad[below(TG_ARRAY_LEN(bad))]);
    if (choice == 1)
        lab_reset(c);
    if (choice == 2)
        lab_fin(c);
    if (choice == 3)
        lab_say_text(c, "HTTP/1.1 103 Early Hints\r\n\r\n");
    if (choice >= 3)
        say_body(c, below(2) ? below(300) : below(90000), below(2));
}

static void serve(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    if (c->served == 0 && c->in.len) {
        c->served = 1;
        c->rate = below(4) == 0 ? 1 + below(5000) : 0;
    }
    while (!c->closed && !c->fin_wish && lab_request(c, &head, &body))
        answer_one(c);
    c->stop_reading = below(100) == 0;
    if (!c->closed && c->served && below(2000) == 0)
        lab_reset(c);
}

/* --- clients ---------------------------------------------------------------------------------- */

static void ask(struct lab_conn *c)
{
    static const char *const bad[] = {"GET / HTTP/1.1\nHost: a\n\n", "\026\003\001",
                                      "GET  / HTTP/1.1\r\n"};
    char line[128], *filler;
    size_t n = below(2) ? below(200) : below(60000);
    switch (below(8)) {
    case 0:
        lab_say_text(c, bad[below(TG_ARRAY_LEN(bad))]);
        break;
    case 1:
        snprintf(line, sizeof line,
                 "POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: %zu\r\n\r\n", n);
        lab_say_text(c, line);
        filler = calloc(1, n + 1);
        memset(filler, 'u', n);
        lab_say_text(c, filler);
        free(filler);
        break;
    case 2:
        lab_say_text(c, "PUT / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n");
        break;
    case 3:
        lab_say_text(c, "GET / HTTP/1.0\r\nHost: a.example\r\n\r\n");
        break;
    default:
        lab_say_text(c, "GET /x HTTP/1.1\r\nHost: a.example\r\n\r\n");
    }
}

/* Read what a client got, response by response: each is whole and right, or the last is cut. */
static void responses_check(struct lab_conn *c)
{
    static struct http_head head;
    struct span rest = span_make(c->in.data, c->in.len), payload;
    while (rest.len > 0) {
        size_t seen = 0, consumed, got = 0;
        enum tg_err err = h1_parse_response(rest, &seen, HTTP_GET, &head);
        if (err == TG_AGAIN)
            return;
        if (err != TG_OK)
            fail_msg("a client got '%.200s'", (const char *)rest.data);
        rest = span_slice(rest, head.bytes, rest.len);
        struct h1_body framing;
        h1_body_start(&framing, &head);
        size_t announced = SIZE_MAX;
        uint64_t number = 0;
        bool digits = true;
        do {
            err = h1_body_next(&framing, rest, &consumed, &payload);
            assert_int_not_equal(err, TG_BAD_INPUT);
            for (size_t i = 0; i < payload.len; i++) {
                if (digits && payload.data[i] >= '0' && payload.data[i] <= '9')
                    number = number * 10 + (uint64_t)(payload.data[i] - '0');
                else if (digits && payload.data[i] == ':')
                    digits = false, announced = number;
                else if (!digits)
                    got += payload.data[i] == 'x';
            }
            rest = span_slice(rest, consumed, rest.len);
        } while (err == TG_OK && rest.len);
        if (err == TG_END && head.view.status == 200 && announced != SIZE_MAX)
            assert_int_equal(got, announced); /* it says that it is whole */
    }
}

static void one_moment(struct lab *lab, struct lab_conn *clients[CLIENTS])
{
    struct lab_conn **slot = &clients[below(CLIENTS)];
    if (!*slot) {
        *slot = lab_connect(lab, 80);
        (*slot)->rate = below(4) == 0 ? 1 + below(2000) : 0;
    }
    struct lab_conn *c = *slot;
    if (c->closed || c->fin_wish) {
        responses_check(c);
        *slot = NULL;
        return;
    }
    uint64_t choice = below(20);
    if (choice < 2) { /* leaves in the middle of something */
        ask(c);
        lab_run(lab, below(5) * TG_MS);
        if (!c->closed)
            lab_reset(c);
    } else if (choice == 3)
        lab_fin(c);
    else if (choice == 4)
        c->stop_reading = !c->stop_reading;
    else
        ask(c);
}

static void one_life(uint64_t seed)
{
    struct lab_config config = lab_defaults();
    prng_seed(&dice, seed);
    config.proxy.requests_max = 4 + (uint32_t)below(20);
    config.proxy.origins_max = 2 + (uint32_t)below(10);
    config.proxy.head_timeout = config.proxy.body_timeout = TG_S + below(5) * TG_S;
    config.proxy.keepalive_timeout = TG_S;
    struct lab *lab = lab_new(&config);
    struct lab_conn *clients[CLIENTS] = {0};
    lab->serve = serve;
    for (unsigned i = 0; i < MOMENTS; i++) {
        one_moment(lab, clients);
        struct test_pool *pool = &lab->node[LAB_EDGE].pool;
        pool->limit = below(10) == 0 ? pool->outstanding + (unsigned)below(20) : UINT32_MAX;
        struct lab_site site = {"a.example", TABLES_SITE_DEFAULT, 0};
        struct lab_origin origin = {.address = "192.0.2.3",
                                    .port = below(2) ? 8000 : 8001,
                                    .connections_max = 1 + (uint32_t)below(5),
                                    .response_ms = 1 + (uint32_t)below(3000)};
        if (below(10) == 0)
            lab_use_routes(lab, &site, 1, &origin, 1, 2 + i);
        lab_run(lab, (below(2) ? below(4) : below(200)) * TG_MS);
    }
    lab->node[LAB_EDGE].pool.limit = UINT32_MAX;
    lab_run(lab, 200 * TG_S); /* every timeout passes */
    for (unsigned i = 0; i < CLIENTS; i++)
        if (clients[i])
            responses_check(clients[i]);
    struct proxy_gauges g = lab_gauges(lab);
    assert_int_equal(g.clients + g.requests + g.origins, 0);
    for (unsigned i = 0; i < TG_COUNTER_COUNT; i++)
        totals.value[i] += lab_count(lab, i);
    lab_end(lab);
}

static void many_lives(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        one_life(seed);
    }
    static const enum tg_counter met[] = {
        TG_C_http_status_1xx, TG_C_http_status_2xx,      TG_C_http_status_4xx,
        TG_C_http_status_5xx, TG_C_http_bad_request,     TG_C_proxy_client_gone,
        TG_C_proxy_full,      TG_C_proxy_client_timeout, TG_C_origin_reused,
        TG_C_origin_timeout,  TG_C_origin_bad_response,  TG_C_origin_aborted,
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(met); i++) {
        print_message("%s %llu\n", stats_name(met[i]), (unsigned long long)totals.value[met[i]]);
        assert_true(totals.value[met[i]] >= 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(many_lives)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
