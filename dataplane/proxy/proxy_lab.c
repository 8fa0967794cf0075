/* SPDX-License-Identifier: BSD-3-Clause
 * See proxy_lab.h: hosts, wire, time. What the ends say is in proxy_lab_ends.c.
 */
#include "proxy/proxy_lab.h"
#include "proxy/proxy_lab_ends.h"

#define STEPS_A_TURN 64
#define TURNS_MAX    4000000 /* a run that does not come to rest is a bug */

struct lab_config lab_defaults(void)
{
    return (struct lab_config){
        .proxy = {.workers = 1,
                  .clients_max = 64,
                  .requests_max = 32,
                  .origins_max = 32,
                  .seed = 99,
                  .via = "edge1"},
        .tcp = {.connections_max = 128,
                .time_wait_max = 64,
                .receive_window_max = 65536,
                .send_buffer_max = 65536,
                .unsent_low = 16384,
                .ooo_segments_max = 32,
                .tso_bytes_max = UINT32_MAX,
                .tso_segments_max = UINT8_MAX,
                .isn_key = {3, 4},
                .seed = 5},
    };
}

static void lab_node_init(struct lab *lab, enum lab_host host, const struct tcp_config *tcp)
{
    uint8_t number = (uint8_t)(host + 1);
    struct node_place place = {.now = lab->now,
                               .mac = {2, 0, 0, 0, 0, number},
                               .address4 = {test_addr("192.0.2.0"), 96 + 24, 0},
                               .address6 = {test_addr("2001:db8::"), 64, 0},
                               .seed = 7 + host};
    place.address4.address.bytes[15] = place.address6.address.bytes[15] = number;
    struct tcp_config config = *tcp;
    config.worker = host;
    assert_int_equal(node_open(&lab->node[host], &place, &config), TG_OK);
}

static void listen_on(struct lab *lab, enum lab_host host, uint16_t port, uint32_t tag)
{
    assert_int_equal(tcp_listen(lab->node[host].tcp, port, tag), TG_OK);
}

struct lab *lab_new(const struct lab_config *given)
{
    struct lab_config config = given ? *given : lab_defaults();
    struct lab *lab = aligned_alloc(TG_CACHE_LINE, sizeof *lab);
    memset(lab, 0, sizeof *lab);
    lab->now = LAB_START;
    for (unsigned host = 0; host < LAB_HOSTS; host++)
        lab_node_init(lab, host, &config.tcp);
    listen_on(lab, LAB_EDGE, 80, PROXY_LISTEN_HTTP);
    listen_on(lab, LAB_EDGE, 443, PROXY_LISTEN_HTTPS);
    listen_on(lab, LAB_ORIGIN, 8000, 0);
    listen_on(lab, LAB_ORIGIN, 8001, 1);
    lab->events = aligned_alloc(64, ring_bytes(LAB_EVENTS, sizeof(struct event)));
    ring_init(lab->events, LAB_EVENTS, sizeof(struct event));
    if (config.waf_transactions)
        assert_int_equal(waf_worker_create(config.waf_transactions, &lab->waf), TG_OK);
    struct node *edge = &lab->node[LAB_EDGE];
    assert_int_equal(proxy_create(&config.proxy, edge->tcp, &edge->wheel, &edge->pool.pool,
                                  &edge->stats, lab->waf, lab->events, &lab->proxy),
                     TG_OK);
    struct lab_site site = {"a.example", TABLES_SITE_DEFAULT, 0};
    struct lab_origin origin = {.address = "192.0.2.3", .port = 8000};
    lab_use_routes(lab, &site, 1, &origin, 1, 1);
    lab->serve = lab_serve_answer;
    lab->answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    return lab;
}

void lab_end(struct lab *lab)
{
    assert_null(proxy_check(lab->proxy));
    proxy_destroy(lab->proxy);
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++)
        conn_free(&lab->conns[i]);
    for (struct lab_frame *f; (f = lab->first); free(f))
        lab->first = f->next;
    for (unsigned host = 0; host < LAB_HOSTS; host++) {
        struct node *node = &lab->node[host];
        node_close(node);
        assert_int_equal(node->pool.outstanding, 0);
        assert_int_equal(node->wheel.armed, 0);
    }
    waf_worker_destroy(lab->waf);
    free(lab->events);
    free(lab->routes);
    free(lab);
}

/* --- tables ----------------------------------------------------------------------------------- */

static struct tables_string put_string(uint8_t *block, uint32_t *at, const char *text)
{
    struct tables_string s = {*at, (uint32_t)strlen(text)};
    memcpy(block + *at, text, s.len);
    *at += s.len;
    return s;
}

void lab_use_routes(struct lab *lab, const struct lab_site sites[], unsigned site_count,
                    const struct lab_origin origins[], unsigned origin_count, uint64_t number)
{
    size_t room = 65536;
    uint8_t *block = calloc(1, room);
    struct tables_routes *t = (struct tables_routes *)(void *)block;
    t->site_count = site_count;
    t->site_offset = sizeof *t;
    t->origin_count = origin_count;
    t->origin_offset = t->site_offset + site_count * (uint32_t)sizeof(struct tables_site);
    t->default_site = UINT32_MAX;
    struct tables_site *s = (struct tables_site *)(void *)(block + t->site_offset);
    struct tables_origin *o = (struct tables_origin *)(void *)(block + t->origin_offset);
    uint32_t at = t->origin_offset + origin_count * (uint32_t)sizeof *o;
    for (unsigned i = 0; i < site_count; i++) {
        s[i] =
            (struct tables_site){.id = i + 1, .flags = sites[i].flags, .origin = sites[i].origin};
        s[i].host = put_string(block, &at, sites[i].host);
        if (sites[i].flags & TABLES_SITE_DEFAULT)
            t->default_site = i;
    }
    for (unsigned i = 0; i < origin_count; i++) {
        const struct lab_origin *given = &origins[i];
        o[i] = (struct tables_origin){.id = i + 1,
                                      .flags = given->flags,
                                      .port = given->port,
                                      .connections_max = given->connections_max,
                                      .connect_timeout_ms = given->connect_ms,
                                      .response_timeout_ms = given->response_ms,
                                      .idle_timeout_ms = given->idle_ms};
        struct ip_addr address = test_addr(given->address);
        memcpy(o[i].address, address.bytes, 16);
        o[i].name = put_string(block, &at, "origin");
        o[i].server_name = put_string(block, &at, given->server_name ? given->server_name : "");
        o[i].ca_pem = put_string(block, &at, given->ca ? given->ca : "");
        o[i].chain_pem = put_string(block, &at, given->chain ? given->chain : "");
        o[i].key_pem = put_string(block, &at, given->key ? given->key : "");
    }
    t->header = (struct tables_header){TABLES_ROUTES, at, number};
    assert_true(at <= room && tables_routes_valid(t, at));
    struct origin_plan *plan;
    unsigned bad;
    char problem[256];
    assert_int_equal(origin_plan_create(t, &plan, &bad, problem), TG_OK);
    proxy_use_routes(lab->proxy, plan, number);
    free(lab->routes);
    lab->routes = t;
}

/* --- wire ------------------------------------------------------------------------------------- */

static void wire_put(struct lab *lab, unsigned from, const struct buf *b)
{
    struct lab_frame *f = malloc(sizeof *f);
    assert_null(b->next);
    assert_true(b->len <= sizeof f->bytes);
    *f = (struct lab_frame){.at = lab->now + LAB_DELAY, .from = from, .len = b->len};
    memcpy(f->bytes, b->data, b->len);
    lab->data_frames[from] += b->len > 100;
    if (lab->last)
        lab->last->next = f;
    else
        lab->first = f;
    lab->last = f;
}

static void wire_collect(struct lab *lab, unsigned from)
{
    struct buf *b;
    while (net_take(lab->node[from].net, &b, 1)) {
        wire_put(lab, from, b);
        buf_unref(&lab->node[from].pool.pool, b);
    }
}

static void node_receive(struct lab *lab, struct node *node, const struct lab_frame *f)
{
    bool broadcast = (f->bytes[0] & 1) != 0;
    if (!broadcast && memcmp(f->bytes, node->mac, 6) != 0)
        return;
    struct buf *b = buf_alloc(&node->pool.pool);
    if (!b)
        return; /* a port without descriptors drops */
    memcpy(buf_put(b, f->len), f->bytes, f->len);
    node->now = lab->now;
    (void)node_take(node, b);
}

static void wire_deliver(struct lab *lab)
{
    for (struct lab_frame *f; (f = lab->first) && f->at <= lab->now; free(f)) {
        lab->first = f->next;
        if (!lab->first)
            lab->last = NULL;
        for (unsigned to = 0; to < LAB_HOSTS; to++)
            if (to != f->from && !lab->cut[to] && !lab->cut[f->from])
                node_receive(lab, &lab->node[to], f);
    }
}

/* --- time ------------------------------------------------------------------------------------- */

static void check(const char *who, const char *broken)
{
    if (broken)
        fail_msg("%s: %s", who, broken);
}

static void turn(struct lab *lab)
{
    const struct proxy_budget budget = {.steps_max = STEPS_A_TURN};
    int64_t wall = (int64_t)(LAB_WALL * TG_S) - (int64_t)LAB_START;
    wire_deliver(lab);
    for (unsigned host = 0; host < LAB_HOSTS; host++) {
        timers_run(&lab->node[host].wheel, lab->now, UINT32_MAX);
        net_tick(lab->node[host].net, lab->now);
    }
    lab->more = proxy_run(lab->proxy, lab->now, wall, &budget);
    lab->more |= ends_turn(lab, LAB_CLIENT);
    lab->more |= ends_turn(lab, LAB_ORIGIN);
    for (unsigned host = 0; host < LAB_HOSTS; host++) {
        while (tcp_output(lab->node[host].tcp, lab->now))
            wire_collect(lab, host);
        wire_collect(lab, host);
        check("tcp", tcp_check(lab->node[host].tcp));
    }
    check("proxy", proxy_check(lab->proxy));
}

static tg_ns next_event(const struct lab *lab)
{
    tg_ns next = lab->first ? lab->first->at : UINT64_MAX;
    for (unsigned host = 0; host < LAB_HOSTS; host++) {
        tg_ns timer = timers_next(&lab->node[host].wheel);
        next = timer < next ? timer : next;
    }
    if (ends_pending(lab) && lab->now + TG_MS < next)
        next = lab->now + TG_MS;
    return next;
}

void lab_run(struct lab *lab, tg_ns for_ns)
{
    tg_ns end = lab->now + for_ns;
    for (unsigned turns = 0;; turns++) {
        if (turns == TURNS_MAX)
            fail_msg("the lab does not come to rest");
        turn(lab);
        if (lab->more && lab->now < end) { /* for ever, without a frame to go on with */
            lab->now += TG_US;             /* work takes time */
            continue;
        }
        tg_ns next = next_event(lab);
        if (next > end)
            break;
        lab->now = next > lab->now ? next : lab->now + TG_US;
    }
    if (lab->now < end)
        lab->now = end;
    turn(lab);
}

uint64_t lab_count(const struct lab *lab, enum tg_counter c)
{
    return lab->node[LAB_EDGE].stats.value[c];
}

struct proxy_gauges lab_gauges(const struct lab *lab)
{
    struct proxy_gauges gauges;
    proxy_get_gauges(lab->proxy, &gauges);
    return gauges;
}
