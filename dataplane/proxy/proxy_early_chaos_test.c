/* SPDX-License-Identifier: BSD-3-Clause
 * Random clients with early data: flights cut anywhere, held, finished, left, and sent again by others, against an
 * origin that says 425 at times and thinks for a while. Whatever happens, no request is executed twice, none that
 * changes something before its client's Finished, and everything comes back.
 */
#include "proxy/early_lab.h"

#include <stdio.h>

#define RUNS    20
#define ROUNDS  120
#define AT_ONCE 6
#define PATHS   (ROUNDS * 3)
#define FLIGHTS 64

/* What became of one request; its number is its path. */
struct asked {
    bool changes;  /* a POST or a PUT */
    bool finished; /* its client's Finished has been sent */
    unsigned marked, executed;
};

static struct prng chance;
static struct asked asked[PATHS];
static unsigned asked_count;

static unsigned below(unsigned n)
{
    return (unsigned)prng_below(&chance, n);
}

static void serve(struct lab *lab, struct lab_conn *c)
{
    static struct http_head head;
    struct span body;
    if (below(4) == 0 && lab->now % 7)
        return; /* thinks */
    while (!c->closed && lab_request(c, &head, &body)) {
        bool marked = http_field_find(&head.view, SPAN_LITERAL("early-data"), 0) >= 0;
        unsigned n = (unsigned)strtoul((const char *)head.view.path.data + 1, NULL, 10);
        assert_true(n < asked_count);
        asked[n].marked += marked;
        assert_true(asked[n].marked <= 1); /* after a 425 never on its own while still early */
        if (marked && below(3) == 0) {
            lab_say_text(c, "HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n");
            continue;
        }
        asked[n].executed++;
        assert_false(marked && asked[n].changes);
        assert_true(asked[n].finished || (marked && !asked[n].changes));
        lab_say_text(c, lab->answer);
    }
    if (c->peer_fin)
        lab_fin(c);
}

/* One to three requests in a row; *first and *end say which. */
static void requests_make(char *text, size_t cap, unsigned *first, unsigned *end)
{
    size_t len = 0;
    *first = asked_count;
    for (unsigned n = 1 + below(3); n > 0; n--) {
        asked[asked_count] = (struct asked){.changes = below(3) == 0};
        if (asked[asked_count].changes)
            len += (size_t)snprintf(text + len, cap - len,
                                    "%s /%u HTTP/1.1\r\nHost: a.example\r\n"
                                    "Content-Length: 10\r\n\r\n0123456789",
                                    below(2) ? "POST" : "PUT", asked_count);
        else
            len += (size_t)snprintf(text + len, cap - len,
                                    "GET /%u HTTP/1.1\r\nHost: a.example\r\n\r\n", asked_count);
        asked_count++;
    }
    *end = asked_count;
}

struct visitor {
    struct early_client e;
    bool used, went_on;
    unsigned first, end;
};

static void visitor_begin(struct lab *lab, struct visitor *v, SSL_SESSION *session,
                          struct test_bytes *flight)
{
    char text[1024];
    *v = (struct visitor){.used = true, .e = {.c = lab_connect(lab, 443)}};
    requests_make(text, sizeof text, &v->first, &v->end);
    early_flight(&v->e.peer, session, text, flight);
    v->e.c->rate = below(3) == 0 ? 20 + below(200) : 0;
    lab_say(v->e.c, test_bytes_span(flight));
}

static void visitor_end(struct visitor *v)
{
    if (!v->e.c->closed && below(2))
        lab_reset(v->e.c);
    else if (!v->e.c->closed)
        lab_fin(v->e.c);
    test_peer_free(&v->e.peer);
    v->used = false;
}

static void visitor_turn(struct visitor *v)
{
    unsigned what = below(8);
    early_look(&v->e);
    if (what == 0 || v->e.c->closed) {
        visitor_end(v);
    } else if (what < 4 && !v->went_on && SSL_is_init_finished(v->e.peer.ssl)) {
        for (unsigned i = v->first; i < v->end; i++)
            asked[i].finished = true; /* from now on the edge may have it */
        v->went_on = true;
        early_go_on(&v->e);
    }
}

/* Everybody who has seen a flight may send it. */
static void thief(struct lab *lab, const struct test_bytes *flight)
{
    struct lab_conn *c = lab_connect(lab, 443);
    struct span bytes = span_make(flight->data, flight->len);
    lab_say(c, span_slice(bytes, 0, below(4) ? bytes.len : below((unsigned)bytes.len)));
    if (below(2))
        lab_fin(c);
}

static void one_run(uint64_t seed)
{
    struct early_node node = early_node_make(1, LAB_WALL - 100);
    struct lab_config config = lab_defaults();
    config.proxy.clients_max = 200;
    config.tcp.connections_max = 1000;
    struct lab *lab = early_lab(&node, &config);
    struct visitor visitors[AT_ONCE] = {0};
    static struct test_bytes flights[FLIGHTS];
    unsigned flight_count = 0;
    prng_seed(&chance, seed);
    asked_count = 0;
    SSL_SESSION *session = early_ticket(lab);
    lab->serve = serve;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct visitor *v = &visitors[below(AT_ONCE)];
        if (v->used)
            visitor_turn(v);
        else if (flight_count < FLIGHTS)
            visitor_begin(lab, v, session, &flights[flight_count++]);
        if (flight_count > 0 && below(2))
            thief(lab, &flights[below(flight_count)]);
        lab_run(lab, below(8) * TG_MS);
    }
    for (unsigned i = 0; i < AT_ONCE; i++)
        if (visitors[i].used)
            visitor_end(&visitors[i]);
    lab_run(lab, 6 * TG_S);
    assert_int_equal(lab_gauges(lab).clients, 0);
    unsigned executed = 0;
    for (unsigned i = 0; i < asked_count; i++) {
        if (asked[i].executed > 1)
            fail_msg("seed %lu: request %u was executed %u times", (unsigned long)seed, i,
                     asked[i].executed);
        executed += asked[i].executed;
    }
    assert_true(executed > 5); /* it is a test of something */
    for (unsigned i = 0; i < flight_count; i++)
        test_bytes_free(&flights[i]);
    SSL_SESSION_free(session);
    lab_end(lab);
    tls_replay_free(node.replay);
}

static void whatever_happens(void **state)
{
    for (uint64_t seed = 1; seed <= RUNS; seed++)
        one_run(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whatever_happens)};
    return cmocka_run_group_tests(tests, early_lab_set_up, early_lab_tear_down);
}
