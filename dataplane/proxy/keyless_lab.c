/* SPDX-License-Identifier: BSD-3-Clause
 * See keyless_lab.h.
 */
#include "proxy/keyless_lab.h"

#define DELAYED_MAX 256

static struct test_certificate authority, server_certificate, sites[SITES];
const char *const key_lab_names[SITES] = {"ec.example", "rsa.example", "ed.example",
                                          "home.example"};

static struct key_lab *current; /* tests run one lab at a time */
static struct tls_set *server_set;
static struct delayed {
    struct lab_conn *conn;
    tcp_handle h;
    tg_ns at;
    size_t len;
    uint8_t bytes[2 * KEYMSG_PADDED_BYTES];
} delayed[DELAYED_MAX];

void key_lab_begin(void)
{
    static const enum test_key types[SITES] = {TEST_KEY_P256, TEST_KEY_RSA, TEST_KEY_ED25519,
                                               TEST_KEY_P256};
    test_certificate_make(&authority, TEST_KEY_P256, NULL, NULL);
    test_certificate_make(&server_certificate, TEST_KEY_P256, "DNS:keys.example", &authority);
    for (unsigned i = 0; i < SITES; i++)
        test_certificate_make(&sites[i], types[i], "DNS:x.example", NULL);
}

void key_lab_end(void)
{
    for (unsigned i = 0; i < SITES; i++)
        test_certificate_free(&sites[i]);
    test_certificate_free(&server_certificate);
    test_certificate_free(&authority);
}

/* --- what a key server does ------------------------------------------------------------------- */

static unsigned server_of(const struct lab_conn *c)
{
    struct tcp_info info;
    if (tcp_get_info(c->lab->node[LAB_ORIGIN].tcp, c->h, &info) != TG_OK)
        return 2;
    return info.tuple.local_port - 2407u;
}

static void packet_say(struct lab_conn *c, struct span bytes, tg_ns delay)
{
    if (delay == 0) {
        lab_say(c, bytes);
        return;
    }
    struct delayed *d = delayed;
    while (d->len && d < delayed + DELAYED_MAX)
        d++;
    assert_true(d < delayed + DELAYED_MAX && bytes.len <= sizeof d->bytes);
    *d = (struct delayed){c, c->h, c->lab->now + delay, bytes.len, {0}};
    memcpy(d->bytes, bytes.data, bytes.len);
}

static void message_say(struct lab_conn *c, const struct keymsg *m, tg_ns delay)
{
    uint8_t room[2 * KEYMSG_PADDED_BYTES];
    struct span_writer w = span_writer_make(room, sizeof room);
    assert_int_equal(keymsg_encode(m, &w), TG_OK);
    if (current->server[server_of(c)].manner == KEY_VERSION)
        room[0] = 2;
    packet_say(c, span_writer_span(&w), delay);
}

/* The request back as what a TLS engine asks, so that tls_test_certs signs. */
static size_t request_sign(const struct keymsg *m, uint8_t out[TEST_SIGNATURE_MAX])
{
    const struct keymsg_op_info *info = keymsg_op_info(m->op);
    assert_non_null(info);
    struct tls_key_op op = {
        .id = 1,
        .kind = info->kind == KEYMSG_KIND_ECDSA       ? TLS_KEY_SIGN_ECDSA
                : info->kind == KEYMSG_KIND_RSA_PSS   ? TLS_KEY_SIGN_RSA_PSS
                : info->kind == KEYMSG_KIND_RSA_PKCS1 ? TLS_KEY_SIGN_RSA_PKCS1
                                                      : TLS_KEY_SIGN_ED25519,
        .hash_bits = keymsg_hash_bytes(info->hash) * 8,
        .input = m->payload,
    };
    memcpy(op.ski, m->ski, sizeof op.ski);
    return test_certificate_sign(sites, SITES, &op, out);
}

static void request_remember(struct key_lab *k, const struct keymsg *m)
{
    assert_true(m->sni.len <= sizeof k->sni && m->client_ip.len <= sizeof k->client_ip);
    k->sni_len = m->sni.len;
    k->client_ip_len = m->client_ip.len;
    if (m->sni.len)
        memcpy(k->sni, m->sni.data, m->sni.len);
    memcpy(k->client_ip, m->client_ip.data, m->client_ip.len);
}

static void request_answer(struct key_lab *k, struct lab_conn *c, unsigned s,
                           const struct keymsg *m)
{
    static const uint8_t garbage[1200] = {1, 2, 3}, not_found = KEYMSG_ERROR_KEY_NOT_FOUND;
    static const uint8_t twice[] = {1, 0, 0, 8, 0, 0, 0, 1, 0x11, 0, 1, 0xf0, 0x11, 0, 1, 0xf0};
    static const uint8_t huge[] = {1, 0, 0xff, 0xff, 0, 0, 0, 1};
    uint8_t signature[TEST_SIGNATURE_MAX];
    struct keymsg reply = {.id = m->id, .op = KEYMSG_OP_RESULT};
    switch (k->server[s].manner) {
    case KEY_NEVER:
    case KEY_DEAF:
        return;
    case KEY_HANGS_UP:
        lab_reset(c);
        return;
    case KEY_NONSENSE:
        packet_say(c, span_make(twice, sizeof twice), 0);
        return;
    case KEY_HUGE:
        packet_say(c, span_make(huge, sizeof huge), 0);
        return;
    case KEY_GARBAGE:
        reply.payload = span_make(garbage, 72);
        break;
    case KEY_LONG:
        reply.payload = span_make(garbage, sizeof garbage);
        break;
    case KEY_EMPTY:
        break;
    case KEY_STRANGE:
        reply.op = KEYMSG_OP_SEAL;
        break;
    case KEY_REFUSES:
        reply.op = KEYMSG_OP_ERROR;
        reply.payload = span_make(&not_found, 1);
        break;
    default:
        reply.payload = span_make(signature, request_sign(m, signature));
    }
    message_say(c, &reply, k->server[s].delay);
}

static void packet_take(struct key_lab *k, struct lab_conn *c, unsigned s, struct span packet)
{
    struct keymsg m;
    assert_int_equal(keymsg_decode(packet, &m), TG_OK); /* the edge must never send such a thing */
    assert_true(packet.len == KEYMSG_PADDED_BYTES);
    if (m.op == KEYMSG_OP_PING) {
        k->server[s].pings++;
        m.op = KEYMSG_OP_PONG;
        if (k->server[s].manner != KEY_DEAF)
            message_say(c, &m, 0);
        return;
    }
    k->server[s].asked++;
    request_remember(k, &m);
    request_answer(k, c, s, &m);
}

/* Every whole request; backwards: from the last to the first. */
static void requests_take(struct key_lab *k, struct lab_conn *c, unsigned s)
{
    struct span packets[64];
    unsigned n = 0;
    size_t len;
    struct span rest = span_make(c->in.data + c->handled, c->in.len - c->handled);
    while (n < 64 && keymsg_length(rest, &len) == TG_OK && len <= rest.len) {
        packets[n++] = span_slice(rest, 0, len);
        rest = span_slice(rest, len, rest.len);
        c->handled += len;
    }
    bool backwards = k->server[s].manner == KEY_BACKWARDS;
    for (unsigned i = 0; i < n && !c->closed; i++)
        packet_take(k, c, s, packets[backwards ? n - 1 - i : i]);
}

static void key_serve(struct lab *lab, struct lab_conn *c)
{
    unsigned s = server_of(c);
    if (c->closed)
        return;
    if (s > 1) {
        lab_serve_answer(lab, c);
        return;
    }
    if (!c->tls) {
        assert_int_equal(tls_accept(server_set, NULL, &c->tls), TG_OK);
        current->server[s].connections++;
        lab_feed_tls(c);
    }
    requests_take(current, c, s);
    for (struct delayed *d = delayed; d < delayed + DELAYED_MAX; d++)
        if (d->len && d->conn == c && d->at <= lab->now) {
            if (d->h == c->h)
                lab_say(c, span_make(d->bytes, d->len));
            d->len = 0;
        }
    if (c->peer_fin)
        lab_fin(c);
}

/* --- the lab ---------------------------------------------------------------------------------- */

static struct tls_set *set_make(const struct tls_certificate list[], unsigned count)
{
    struct tls_policy policy = {.alpn_http1 = true, .tls12 = true};
    struct tls_set *set = NULL;
    unsigned bad;
    char problem[256];
    assert_int_equal(tls_set_create(list, count, &policy, &set, &bad, problem), TG_OK);
    return set;
}

static struct tls_set *edge_set(void)
{
    struct tls_certificate list[SITES];
    for (unsigned i = 0; i < SITES; i++) {
        struct span names = span_make(key_lab_names[i], strlen(key_lab_names[i]) + 1);
        list[i] = test_certificate_publish(&sites[i], names, false);
        if (i != SITE_HOME)
            list[i].key_pem = SPAN_EMPTY;
    }
    return set_make(list, SITES);
}

void key_lab_plan(struct key_lab *k, const char *name, const uint16_t ports[], unsigned count,
                  uint64_t number)
{
    struct keyless_server server = {
        .server_name = span_from_string(name),
        .ca_pem = authority.chain_pem,
        .chain_pem = sites[SITE_HOME].chain_pem, /* any certificate with its key */
        .key_pem = sites[SITE_HOME].key_pem,
        .address_count = count,
    };
    struct keyless_key keys[SITE_HOME];
    struct ip_addr address = test_addr("192.0.2.3");
    struct keyless_plan *plan;
    unsigned bad;
    char problem[256];
    for (unsigned i = 0; i < count; i++) {
        memcpy(server.addresses[i].address, address.bytes, 16);
        server.addresses[i].port = ports[i];
    }
    for (unsigned i = 0; i < SITE_HOME; i++) {
        keys[i].server = 0;
        assert_int_equal(tls_certificate_ski(sites[i].chain_pem, keys[i].ski), TG_OK);
    }
    assert_int_equal(keyless_plan_create(edge_set(), &server, count ? 1 : 0, keys,
                                         count ? SITE_HOME : 0, &plan, &bad, problem),
                     TG_OK);
    proxy_use_keyless(k->lab->proxy, plan, number);
}

void key_lab_start(struct key_lab *k, unsigned server)
{
    uint16_t port = (uint16_t)(2407 + server);
    assert_int_equal(tcp_listen(k->lab->node[LAB_ORIGIN].tcp, port, 7), TG_OK);
}

void key_lab_stop(struct key_lab *k, unsigned server)
{
    tcp_unlisten(k->lab->node[LAB_ORIGIN].tcp, (uint16_t)(2407 + server));
    for (unsigned i = 0; i < LAB_CONNECTIONS; i++) {
        struct lab_conn *c = &k->lab->conns[i];
        if (c->lab && c->host == LAB_ORIGIN && !c->closed && server_of(c) == server)
            lab_reset(c);
    }
}

struct key_lab *key_lab_new(const struct lab_config *config, unsigned addresses)
{
    static const uint16_t ports[2] = {2407, 2408};
    struct lab_config defaults = lab_defaults();
    defaults.proxy.handshake_timeout = 20 * TG_S;
    struct key_lab *k = calloc(1, sizeof *k);
    struct tls_certificate own = test_certificate_publish(
        &server_certificate, span_make("keys.example", sizeof "keys.example"), true);
    memset(delayed, 0, sizeof delayed);
    k->lab = lab_new(config ? config : &defaults);
    k->lab->serve = key_serve;
    current = k;
    server_set = set_make(&own, 1);
    key_lab_start(k, 0);
    key_lab_start(k, 1);
    key_lab_plan(k, "keys.example", ports, addresses, 1);
    key_lab_run(k, 50 * TG_MS);
    return k;
}

void key_lab_free(struct key_lab *k)
{
    lab_end(k->lab);
    tls_set_unref(server_set);
    current = NULL;
    free(k);
}

void key_lab_run(struct key_lab *k, tg_ns ns)
{
    for (tg_ns t = 0; t < ns; t += 5 * TG_MS)
        lab_run(k->lab, 5 * TG_MS);
}

struct lab_conn *key_lab_visit(struct key_lab *k, unsigned site)
{
    struct lab_conn *c = lab_connect_tls(k->lab, key_lab_names[site]);
    lab_say_text(c, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n");
    return c;
}

void expect_page(struct lab_conn *c)
{
    expect_status(c, 200);
    expect_in(c, "\r\n\r\nhello");
}

void expect_alert(struct lab_conn *c, unsigned alert)
{
    struct tls_info info;
    tls_get_info(c->tls, &info);
    assert_int_equal(info.alert, alert);
    assert_int_equal(c->in.len, 0);
    assert_false(tls_handshake_done(c->tls));
}
