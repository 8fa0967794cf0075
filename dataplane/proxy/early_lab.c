/* SPDX-License-Identifier: BSD-3-Clause
 * See early_lab.h.
 */
#include "proxy/early_lab.h"

static struct test_certificate certificate;

int early_lab_set_up(void **state)
{
    if (tls_start() != TG_OK)
        return -1;
    test_certificate_make(&certificate, TEST_KEY_P256, "DNS:a.example", NULL);
    return 0;
}

int early_lab_tear_down(void **state)
{
    test_certificate_free(&certificate);
    return 0;
}

struct early_node early_node_make(uint16_t slot, uint64_t start_s)
{
    struct early_node node = {.slot = slot};
    assert_int_equal(tls_replay_create(4096, start_s, &node.replay), TG_OK);
    return node;
}

/* Seeded, because the lab's time is not the machine's; each time another seed, or clients would repeat
 * themselves. */
void early_use(struct lab *lab, const struct early_node *node, uint32_t early_data_max)
{
    static uint64_t seed, number = 100;
    static const struct tls_ticket_secret secrets[] = {{1, {7, 7, 7}}};
    const struct tls_policy policy = {.alpn_http1 = true,
                                      .tls12 = true,
                                      .early_data_max = early_data_max,
                                      .replay = node->replay,
                                      .node_slot = node->slot,
                                      .ticket_secrets = secrets,
                                      .ticket_secret_count = 1,
                                      .random_seed = ++seed};
    struct tls_certificate c =
        test_certificate_publish(&certificate, SPAN_LITERAL("a.example\0"), true);
    struct tls_set *set;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(&c, 1, &policy, &set, &bad, problem), TG_OK);
    proxy_use_certificates(lab->proxy, set, ++number);
}

struct lab *early_lab(const struct early_node *node, struct lab_config *given)
{
    struct lab_config config = given ? *given : lab_defaults();
    config.proxy.handshake_timeout = 2 * TG_S;
    if (!config.proxy.head_timeout)
        config.proxy.head_timeout = 3 * TG_S;
    struct lab *lab = lab_new(&config);
    early_use(lab, node, EARLY_MAX);
    return lab;
}

void early_look(struct early_client *e)
{
    struct span news = span_slice(span_make(e->c->in.data, e->c->in.len), e->taken, e->c->in.len);
    test_peer_feed(&e->peer, news);
    e->taken += news.len;
    test_peer_turn(&e->peer);
}

void early_go_on(struct early_client *e)
{
    struct test_bytes out = {0};
    test_peer_drain(&e->peer, &out);
    lab_say(e->c, test_bytes_span(&out));
    test_bytes_free(&out);
    lab_run(e->c->lab, 20 * TG_MS);
    early_look(e);
}

SSL_SESSION *early_ticket(struct lab *lab)
{
    struct early_client e = {.c = lab_connect(lab, 443)};
    test_peer_make(&e.peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                        .server_name = "a.example"});
    for (unsigned i = 0; i < 4; i++) {
        early_look(&e);
        early_go_on(&e);
    }
    SSL_SESSION *session = e.peer.session;
    assert_non_null(session);
    e.peer.session = NULL;
    early_end(&e);
    return session;
}

void early_flight(struct test_peer *peer, SSL_SESSION *session, const char *text,
                  struct test_bytes *flight)
{
    size_t n;
    test_peer_make(peer, &(struct test_peer_options){.version = TLS1_3_VERSION,
                                                     .server_name = "a.example",
                                                     .session = session});
    assert_int_equal(SSL_write_early_data(peer->ssl, text, strlen(text), &n), 1);
    assert_int_equal(n, strlen(text));
    test_peer_drain(peer, flight);
}

void early_begin(struct lab *lab, struct early_client *e, SSL_SESSION *session, const char *text)
{
    struct test_bytes flight = {0};
    *e = (struct early_client){.c = lab_connect(lab, 443)};
    early_flight(&e->peer, session, text, &flight);
    lab_say(e->c, test_bytes_span(&flight));
    test_bytes_free(&flight);
    lab_run(lab, 20 * TG_MS);
    early_look(e);
}

void early_say(struct early_client *e, const char *text)
{
    test_peer_write(&e->peer, text, strlen(text));
    early_go_on(e);
}

const char *early_text(struct early_client *e)
{
    test_bytes_add(&e->peer.got, "", 1);
    e->peer.got.len--;
    return (const char *)e->peer.got.data + e->peer.got.at;
}

void early_expect(struct early_client *e, const char *part)
{
    if (!strstr(early_text(e), part))
        fail_msg("'%s' is missing in '%.2000s'", part, early_text(e));
}

void early_end(struct early_client *e)
{
    if (!e->c->closed)
        lab_fin(e->c);
    lab_run(e->c->lab, TG_S);
    test_peer_free(&e->peer);
}

struct early_fixture early_fixture_make(struct lab_config *config)
{
    struct early_fixture f = {.node = early_node_make(1, LAB_WALL - 100)};
    f.lab = early_lab(&f.node, config);
    f.session = early_ticket(f.lab);
    assert_int_equal(lab_count(f.lab, TG_C_tls_handshakes), 1);
    return f;
}

void early_fixture_end(struct early_fixture *f)
{
    lab_run(f->lab, 4 * TG_S); /* every deadline of a client */
    assert_int_equal(lab_gauges(f->lab).requests, 0);
    SSL_SESSION_free(f->session);
    lab_end(f->lab);
    tls_replay_free(f->node.replay);
}
