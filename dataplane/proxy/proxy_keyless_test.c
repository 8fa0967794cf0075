/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of handshakes whose private key lies at a key server: answered in any order, late, wrongly,
 * never; servers that come and go; plans that change. Whole stacks, real TLS on every connection,
 * virtual time.
 */
#include "proxy/keyless_lab.h"

#define ALERT_DECRYPT_ERROR 51
#define ALERT_INTERNAL      80

static const uint16_t ports[2] = {2407, 2408};

static int begin(void **state)
{
    key_lab_begin();
    return 0;
}

static int end(void **state)
{
    key_lab_end();
    return 0;
}

static uint64_t count(const struct key_lab *k, enum tg_counter c)
{
    return lab_count(k->lab, c);
}

/* A first visit, so that the hosts know each other's MAC: more would not fit the queue for that. */
static void warm_up(struct key_lab *k)
{
    struct lab_conn *c = key_lab_visit(k, SITE_HOME);
    key_lab_run(k, 50 * TG_MS);
    expect_page(c);
}

/* Every kind of key; what the key server learns of the visitor; one at home beside them. */
static void every_kind_of_key(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    static const uint8_t client[4] = {192, 0, 2, 1};
    assert_int_equal(k->server[0].connections,
                     KEYLESS_CONNS_EACH); /* opened before the first visit */
    for (unsigned site = 0; site < SITES; site++) {
        struct lab_conn *c = key_lab_visit(k, site);
        key_lab_run(k, 100 * TG_MS);
        expect_page(c);
    }
    assert_int_equal(count(k, TG_C_keyless_requests), 3);
    assert_int_equal(count(k, TG_C_keyless_answers), 3);
    assert_int_equal(count(k, TG_C_tls_handshakes), 4);
    assert_int_equal(k->server[0].asked, 3);
    assert_true(span_equal(span_make(k->sni, k->sni_len), SPAN_LITERAL("ed.example")));
    assert_true(span_equal(span_make(k->client_ip, k->client_ip_len), span_make(client, 4)));
    assert_int_equal(count(k, TG_C_keyless_connects), KEYLESS_CONNS_EACH);
    key_lab_free(k);
}

/* Many at once, answered from the last to the first. */
static void many_at_once(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.requests_max = config.proxy.origins_max = 64;
    struct key_lab *k = key_lab_new(&config, 1);
    struct lab_conn *visits[48];
    warm_up(k);
    k->server[0].manner = KEY_BACKWARDS;
    for (unsigned i = 0; i < 48; i++)
        visits[i] = key_lab_visit(k, i % 3);
    key_lab_run(k, 500 * TG_MS);
    for (unsigned i = 0; i < 48; i++)
        expect_page(visits[i]);
    assert_int_equal(count(k, TG_C_keyless_answers), 48);
    assert_int_equal(count(k, TG_C_keyless_retries), 0);
    key_lab_free(k);
}

/* The key server is gone: an alert at once, while a site with its key at home serves. */
static void server_stopped(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    key_lab_stop(k, 0);
    key_lab_run(k, 100 * TG_MS);
    struct lab_conn *c = key_lab_visit(k, SITE_EC), *d = key_lab_visit(k, SITE_HOME);
    key_lab_run(k, 2 * TG_S);
    expect_alert(c, ALERT_INTERNAL);
    assert_true(c->peer_fin); /* and a FIN, no reset */
    expect_page(d);
    assert_int_equal(count(k, TG_C_keyless_errors), 1);
    assert_int_equal(count(k, TG_C_tls_handshakes_failed), 1);
    key_lab_start(k, 0); /* and back again */
    c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 1500 * TG_MS);
    expect_page(c);
    key_lab_free(k);
}

/* It stops with operations out; the next one finds it again. */
static void server_restarted(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].delay = 200 * TG_MS;
    key_lab_run(k, 2 * TG_S); /* it has lived: no pause before the next connection */
    struct lab_conn *c = key_lab_visit(k, SITE_RSA);
    key_lab_run(k, 100 * TG_MS);
    assert_int_equal(k->server[0].asked, 1);
    key_lab_stop(k, 0);
    key_lab_start(k, 0);
    key_lab_run(k, TG_S);
    expect_page(c);
    assert_int_equal(k->server[0].asked, 2);
    assert_int_equal(count(k, TG_C_keyless_lost), KEYLESS_CONNS_EACH);
    assert_in_range(count(k, TG_C_keyless_retries), 1,
                    2); /* perhaps by way of the other lost one */
    key_lab_free(k);
}

/* Nothing comes back, not even a RST: the deadline is kept. */
static void black_hole(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->lab->cut[LAB_ORIGIN] = true;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 1900 * TG_MS);
    assert_int_equal(count(k, TG_C_keyless_timeouts), 0);
    assert_int_equal(k->lab->node[LAB_EDGE].stats.value[TG_C_keyless_retries], 1); /* after 1 s */
    key_lab_run(k, 200 * TG_MS);
    expect_alert(c, ALERT_INTERNAL);
    assert_int_equal(count(k, TG_C_keyless_timeouts), 1);
    key_lab_run(k, 10 * TG_S); /* given up; later visitors do not wait for the whole deadline */
    assert_int_equal(count(k, TG_C_keyless_lost), KEYLESS_CONNS_EACH);
    k->lab->cut[LAB_ORIGIN] = false;
    c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 2 * TG_S);
    expect_page(c);
    key_lab_free(k);
}

static void never_answered(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].manner = KEY_NEVER;
    struct lab_conn *c = key_lab_visit(k, SITE_EC), *d = key_lab_visit(k, SITE_HOME);
    key_lab_run(k, 500 * TG_MS);
    expect_page(d);
    assert_int_equal(k->server[0].asked, 1);
    key_lab_run(k, 1600 * TG_MS);
    assert_int_equal(k->server[0].asked, 2); /* on the other connection too */
    expect_alert(c, ALERT_INTERNAL);
    assert_int_equal(count(k, TG_C_keyless_timeouts), 1);
    key_lab_run(k, 3 * TG_S); /* it lingers a while */
    assert_int_equal(lab_gauges(k->lab).clients, 1);
    key_lab_free(k);
}

/* Later than the second try, within the deadline: the first answer counts, the other one is late. */
static void slow_answers(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].delay = 1500 * TG_MS;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 1400 * TG_MS);
    assert_int_equal(c->in.len, 0);
    key_lab_run(k, 200 * TG_MS);
    expect_page(c);
    key_lab_run(k, 2 * TG_S);
    assert_int_equal(count(k, TG_C_keyless_answers), 1);
    assert_int_equal(count(k, TG_C_keyless_late), 1);
    k->server[0].delay = 2500 * TG_MS; /* and beyond it */
    c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 6 * TG_S);
    expect_alert(c, ALERT_INTERNAL);
    assert_int_equal(count(k, TG_C_keyless_late), 3);
    assert_int_equal(count(k, TG_C_keyless_timeouts), 1);
    assert_int_equal(count(k, TG_C_keyless_lost), 0); /* slow, not dead */
    key_lab_free(k);
}

/* A wrong signature is found out by the visitor; nobody else is harmed. */
static void wrong_answers(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].manner = KEY_GARBAGE;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 100 * TG_MS);
    expect_alert(c, ALERT_DECRYPT_ERROR); /* the visitor's own */
    static const enum key_manner manners[] = {KEY_EMPTY, KEY_LONG, KEY_REFUSES};
    for (unsigned i = 0; i < TG_ARRAY_LEN(manners); i++) {
        k->server[0].manner = manners[i];
        c = key_lab_visit(k, SITE_RSA);
        key_lab_run(k, 100 * TG_MS);
        expect_alert(c, ALERT_INTERNAL);
        assert_int_equal(count(k, TG_C_keyless_errors), i + 1);
    }
    assert_int_equal(count(k, TG_C_keyless_lost), 0);
    k->server[0].manner = KEY_ANSWERS;
    c = key_lab_visit(k, SITE_RSA);
    key_lab_run(k, 100 * TG_MS);
    expect_page(c);
    key_lab_free(k);
}

/* What is no packet of the protocol ends the connection; the operation goes on at the other server. */
static void hostile_packets(void **state)
{
    static const enum key_manner manners[] = {KEY_NONSENSE, KEY_HUGE, KEY_VERSION, KEY_STRANGE};
    for (unsigned i = 0; i < TG_ARRAY_LEN(manners); i++) {
        struct key_lab *k = key_lab_new(NULL, 2);
        k->server[0].manner = manners[i];
        struct lab_conn *visits[4];
        for (unsigned v = 0; v < 4; v++)
            visits[v] = key_lab_visit(k, v % 3);
        key_lab_run(k, 500 * TG_MS);
        for (unsigned v = 0; v < 4; v++)
            expect_page(visits[v]);
        assert_true(count(k, TG_C_keyless_bad_packets) > 0);
        assert_int_equal(count(k, TG_C_keyless_lost), count(k, TG_C_keyless_bad_packets));
        assert_int_equal(k->server[1].asked, 4);
        key_lab_free(k);
    }
}

/* A request that makes its server hang up is not sent for ever. */
static void poison(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 2);
    k->server[0].manner = k->server[1].manner = KEY_HANGS_UP;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 5 * TG_S);
    expect_alert(c, ALERT_INTERNAL);
    assert_in_range(k->server[0].asked + k->server[1].asked, 2, KEYLESS_LOSSES_MAX + 1);
    assert_int_equal(count(k, TG_C_keyless_errors), 1);
    key_lab_free(k);
}

/* Two servers: one refuses (it has not got the key yet), is silent, or dies: nobody notices. */
static void the_other_server(void **state)
{
    static const enum key_manner manners[] = {KEY_REFUSES, KEY_EMPTY, KEY_NEVER, KEY_DEAF};
    for (unsigned i = 0; i < TG_ARRAY_LEN(manners); i++) {
        struct key_lab *k = key_lab_new(NULL, 2);
        k->server[0].manner = manners[i];
        for (unsigned v = 0; v < 6; v++) {
            struct lab_conn *c = key_lab_visit(k, SITE_EC);
            key_lab_run(k, 1200 * TG_MS);
            expect_page(c);
        }
        assert_int_equal(count(k, TG_C_keyless_answers), 6);
        assert_int_equal(count(k, TG_C_keyless_errors) + count(k, TG_C_keyless_timeouts), 0);
        key_lab_free(k);
    }
}

static void one_of_two_dies(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 2);
    struct lab_conn *visits[30];
    k->server[0].delay = k->server[1].delay = 20 * TG_MS;
    for (unsigned i = 0; i < 30; i++) {
        if (i == 15)
            key_lab_stop(k, 1);
        visits[i] = key_lab_visit(k, i % 3);
        key_lab_run(k, 5 * TG_MS);
    }
    key_lab_run(k, TG_S);
    for (unsigned i = 0; i < 30; i++)
        expect_page(visits[i]);
    assert_true(count(k, TG_C_keyless_retries) > 0);
    assert_int_equal(count(k, TG_C_keyless_errors), 0);
    key_lab_free(k);
}

/* The visitor leaves while its operation is out; the answer finds nobody, also not the next one. */
static void visitor_leaves(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].delay = 300 * TG_MS;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 100 * TG_MS);
    lab_reset(c);
    key_lab_run(k, 20 * TG_MS);
    assert_int_equal(lab_gauges(k->lab).clients, 0);
    assert_int_equal(k->lab->proxy->keyless->ops.in_use, 0);
    struct lab_conn *d = key_lab_visit(k, SITE_RSA);
    key_lab_run(k, TG_S);
    expect_page(d);
    assert_int_equal(count(k, TG_C_keyless_late), 1);
    assert_int_equal(count(k, TG_C_keyless_answers), 1);
    key_lab_free(k);
}

/* Parked: nothing that arrives is looked at, and the handshake's own deadline is kept. */
static void parked(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.handshake_timeout = TG_S;
    struct key_lab *k = key_lab_new(&config, 1);
    k->server[0].manner = KEY_NEVER;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 100 * TG_MS);
    struct tcp *tcp = k->lab->node[LAB_CLIENT].tcp;
    assert_int_equal(tcp_write(tcp, c->h, SPAN_LITERAL("garbage")), 7);
    key_lab_run(k, 100 * TG_MS);
    const struct client *client = pool_at(&k->lab->proxy->clients, 0);
    assert_int_equal(client->state, CLIENT_PARKED);
    assert_int_equal(lab_gauges(k->lab).clients, 1);
    key_lab_run(k, TG_S);
    assert_int_equal(c->error, TG_RESET);
    assert_int_equal(lab_gauges(k->lab).clients, 0);
    assert_int_equal(k->lab->proxy->keyless->ops.in_use, 0);
    assert_int_equal(count(k, TG_C_tls_handshakes_failed), 1);
    key_lab_free(k);
}

/* A fifth operation at one server does not fit: refused at once, the four go on. */
static void too_many(void **state)
{
    struct lab_config config = lab_defaults();
    config.proxy.keyless_ops_max = 8;
    struct key_lab *k = key_lab_new(&config, 1);
    struct lab_conn *visits[6];
    warm_up(k);
    k->server[0].delay = 500 * TG_MS;
    for (unsigned i = 0; i < 6; i++)
        visits[i] = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 300 * TG_MS);
    assert_int_equal(count(k, TG_C_keyless_errors), 2);
    key_lab_run(k, TG_S);
    unsigned pages = 0;
    for (unsigned i = 0; i < 6; i++)
        if (visits[i]->in.len) {
            expect_page(visits[i]);
            pages++;
        } else {
            expect_alert(visits[i], ALERT_INTERNAL);
        }
    assert_int_equal(pages, 4);
    key_lab_free(k);
}

/* Idle connections are kept alive by pings; one that is deaf is given up. */
static void pings(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    key_lab_run(k, 61 * TG_S);
    assert_in_range(k->server[0].pings, 5 * KEYLESS_CONNS_EACH, 6 * KEYLESS_CONNS_EACH);
    assert_int_equal(k->server[0].connections, KEYLESS_CONNS_EACH);
    assert_int_equal(count(k, TG_C_keyless_lost), 0);
    k->server[0].manner = KEY_DEAF;
    key_lab_run(k, 16 * TG_S);
    assert_int_equal(count(k, TG_C_keyless_lost), KEYLESS_CONNS_EACH);
    assert_int_equal(k->server[0].connections, 2 * KEYLESS_CONNS_EACH);
    key_lab_free(k);
}

/* A server that is not who it should be gets nothing to sign. */
static void impostor(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    key_lab_plan(k, "other.example", ports, 1, 2);
    key_lab_run(k, 100 * TG_MS);
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 2 * TG_S);
    expect_alert(c, ALERT_INTERNAL);
    assert_int_equal(k->server[0].asked, 0);
    assert_true(count(k, TG_C_keyless_connect_failed) >= KEYLESS_CONNS_EACH);
    assert_true(count(k, TG_C_keyless_connect_failed) < 20); /* no storm */
    key_lab_free(k);
}

/* No key server at all: an alert at once. */
static void nobody_to_ask(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 0);
    struct lab_conn *c = key_lab_visit(k, SITE_EC), *d = key_lab_visit(k, SITE_HOME);
    key_lab_run(k, 50 * TG_MS);
    expect_alert(c, ALERT_INTERNAL);
    expect_page(d);
    assert_int_equal(count(k, TG_C_keyless_errors), 1);
    key_lab_free(k);
}

/* The same servers in a new plan: connections stay, operations go on. */
static void plan_with_the_same_server(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 2);
    k->server[0].delay = k->server[1].delay = 300 * TG_MS;
    struct lab_conn *c = key_lab_visit(k, SITE_EC), *d = key_lab_visit(k, SITE_RSA);
    key_lab_run(k, 100 * TG_MS);
    key_lab_plan(k, "keys.example", (const uint16_t[]){2408, 2407}, 2, 2);
    assert_int_equal(proxy_oldest(k->lab->proxy, TABLES_CERTIFICATES), 2);
    key_lab_run(k, TG_S);
    expect_page(c);
    expect_page(d);
    assert_int_equal(k->server[0].connections + k->server[1].connections, 2 * KEYLESS_CONNS_EACH);
    assert_int_equal(count(k, TG_C_keyless_retries), 0);
    key_lab_free(k);
}

/* Another server: what is out is still answered by the old one, which is then let go. */
static void plan_with_another_server(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].delay = 300 * TG_MS;
    struct lab_conn *c = key_lab_visit(k, SITE_EC);
    key_lab_run(k, 100 * TG_MS);
    key_lab_plan(k, "keys.example", ports + 1, 1, 2);
    struct lab_conn *d = key_lab_visit(k, SITE_RSA);
    key_lab_run(k, TG_S);
    expect_page(c);
    expect_page(d);
    assert_int_equal(k->server[0].asked, 1);
    assert_int_equal(k->server[1].asked, 1);
    assert_int_equal(k->lab->proxy->keyless->conns.in_use, KEYLESS_CONNS_EACH);
    assert_int_equal(count(k, TG_C_keyless_lost), 0);
    key_lab_plan(k, "keys.example", ports, 0, 3); /* and none any more */
    key_lab_run(k, TG_S);
    assert_int_equal(k->lab->proxy->keyless->conns.in_use, 0);
    key_lab_free(k);
}

/* The end of everything with operations in every state. */
static void ends_in_the_middle(void **state)
{
    struct key_lab *k = key_lab_new(NULL, 1);
    k->server[0].manner = KEY_NEVER;
    for (unsigned i = 0; i < 8; i++)
        key_lab_visit(k, i % 3);
    key_lab_run(k, 50 * TG_MS);
    key_lab_stop(k, 0);
    key_lab_visit(k, SITE_EC);
    lab_run(k->lab, 3 * TG_MS);
    key_lab_free(k);
}

static void plans_that_are_refused(void **state)
{
    struct keyless_server server = {.server_name = SPAN_LITERAL("keys.example")};
    struct keyless_plan *plan;
    unsigned bad = 99;
    char problem[256];
    uint8_t ski[20];
    assert_int_equal(keyless_plan_create(NULL, &server, 1, NULL, 0, &plan, &bad, problem),
                     TG_BAD_CONFIG); /* no address */
    assert_int_equal(bad, 0);
    server.address_count = 1;
    assert_int_equal(keyless_plan_create(NULL, &server, 1, NULL, 0, &plan, &bad, problem),
                     TG_BAD_CONFIG); /* no anchor: never unverified */
    assert_string_equal(problem, "verification needs a trusted certificate and a name");
    server.ca_pem = SPAN_LITERAL("nonsense");
    assert_int_equal(keyless_plan_create(NULL, &server, 1, NULL, 0, &plan, &bad, problem),
                     TG_BAD_INPUT);
    assert_int_equal(tls_certificate_ski(SPAN_LITERAL("nonsense"), ski), TG_BAD_INPUT);
    assert_int_equal(tls_certificate_ski(SPAN_EMPTY, ski), TG_BAD_INPUT);
}

int main(void)
{
    tg_assert(tls_start() == TG_OK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_key),
        cmocka_unit_test(many_at_once),
        cmocka_unit_test(server_stopped),
        cmocka_unit_test(server_restarted),
        cmocka_unit_test(black_hole),
        cmocka_unit_test(never_answered),
        cmocka_unit_test(slow_answers),
        cmocka_unit_test(wrong_answers),
        cmocka_unit_test(hostile_packets),
        cmocka_unit_test(poison),
        cmocka_unit_test(the_other_server),
        cmocka_unit_test(one_of_two_dies),
        cmocka_unit_test(visitor_leaves),
        cmocka_unit_test(parked),
        cmocka_unit_test(too_many),
        cmocka_unit_test(pings),
        cmocka_unit_test(impostor),
        cmocka_unit_test(nobody_to_ask),
        cmocka_unit_test(plan_with_the_same_server),
        cmocka_unit_test(plan_with_another_server),
        cmocka_unit_test(ends_in_the_middle),
        cmocka_unit_test(plans_that_are_refused),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
