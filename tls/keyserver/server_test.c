/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the running key server over loopback: who gets in, pipelines, hostile and slow peers,
 * reload, the end.
 */
#include "tls/keyserver/keyserver_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct server *server;
static struct lab_edge edge;

#define CLIENTS                                                                                    \
    "{ subject = \"CN=edge1,O=Lab\"; keys = [ \"*\" ]; rate = 100000; },"                          \
    "{ subject = \"CN=wrong,O=Lab\"; keys = [ \"*\" ]; },"                                         \
    "{ subject = \"CN=foreign,O=Lab\"; keys = [ \"*\" ]; }"

static void server_start(const char *top)
{
    char problem[SETTINGS_PROBLEM];
    struct setup *setup = lab_setup(lab_config(top, CLIENTS));
    assert_int_equal(server_create(setup, &server, problem), TG_OK);
}

static int server_begin(void **state)
{
    server_start("");
    return 0;
}

static int server_end(void **state)
{
    if (edge.ssl)
        lab_disconnect(&edge);
    server_destroy(server);
    server = NULL;
    return 0;
}

static void let_in(void)
{
    lab_connect(&edge, server, "edge1", 0);
    assert_true(lab_handshake(&edge, server));
}

static void request_make(struct keymsg *m, uint32_t id, uint8_t op, const char *key)
{
    unsigned bytes = keymsg_hash_bytes(keymsg_op_info(op)->hash);
    *m = (struct keymsg){.id = id, .op = op, .payload = lab_input(bytes ? bytes : 20)};
    if (key)
        lab_ski(key, m->ski);
}

static void expect_signature(uint8_t op, const char *key)
{
    struct keymsg request, reply;
    request_make(&request, 5, op, key);
    assert_true(lab_send(&edge, server, &request));
    assert_true(lab_receive(&edge, server, &reply, 100));
    assert_int_equal(edge.taken, 1024);
    assert_int_equal(reply.major, 1);
    assert_int_equal(reply.id, 5);
    assert_int_equal(reply.op, KEYMSG_OP_RESULT);
    assert_true(lab_verify(key, keymsg_op_info(op), request.payload, reply.payload));
}

static void both_versions(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 2; i++) {
        lab_connect(&edge, server, "edge1", versions[i]);
        assert_true(lab_handshake(&edge, server));
        assert_int_equal(SSL_version(edge.ssl), versions[i]);
        expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
        expect_signature(KEYMSG_OP_RSA_PSS_SHA256, "rsa.key");
        expect_signature(KEYMSG_OP_ED25519, "ed.key");
        lab_disconnect(&edge);
    }
    lab_connect(&edge, server, "edge1", TLS1_1_VERSION);
    SSL_set_security_level(edge.ssl, 0);
    assert_false(lab_handshake(&edge, server));
}

static void who_does_not_get_in(void **state)
{
    /* no certificate, unknown subject, serverAuth only, another CA */
    static const char *const names[] = {NULL, "edge2", "wrong", "foreign"};
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned v = 0; v < 2; v++) {
            lab_connect(&edge, server, names[i], versions[v]);
            assert_false(lab_handshake(&edge, server) && !lab_closed(&edge, server, 20));
            lab_disconnect(&edge);
        }
    assert_int_equal(server_connections(server), 0);
    let_in();
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
}

/* A thousand requests in one go, in records that do not fit the server's turns: all are answered, each
 * id once. */
static void pipeline(void **state)
{
    enum { COUNT = 1005, RECORD = 15 * 1024 };
    static bool seen[COUNT];
    static uint8_t bytes[COUNT * 1024];
    struct span_writer w = span_writer_make(bytes, sizeof bytes);
    struct keymsg m;
    memset(seen, 0, sizeof seen);
    request_make(&m, 0, KEYMSG_OP_ECDSA_SHA256, "ec.key");
    for (m.id = 0; m.id < COUNT; m.id++)
        assert_int_equal(keymsg_encode(&m, &w), TG_OK);
    let_in();
    /* nothing is read until all is sent: what does not fit stays in TCP, nothing is lost */
    for (size_t at = 0; at < w.len; at += RECORD)
        assert_true(lab_send_bytes(&edge, server, span_slice(span_writer_span(&w), at, RECORD)));
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(lab_receive(&edge, server, &m, 200));
        assert_int_equal(m.op, KEYMSG_OP_RESULT);
        assert_true(m.id < COUNT && !seen[m.id]);
        seen[m.id] = true;
    }
}

/* Packets may be cut anywhere. */
static void byte_by_byte(void **state)
{
    uint8_t bytes[2048];
    struct span_writer w = span_writer_make(bytes, sizeof bytes);
    struct keymsg m = {.id = 1, .op = KEYMSG_OP_PING, .payload = lab_input(9)};
    assert_int_equal(keymsg_encode(&m, &w), TG_OK);
    m.id = 2;
    assert_int_equal(keymsg_encode(&m, &w), TG_OK);
    let_in();
    for (size_t i = 0; i < w.len; i++) {
        assert_true(lab_send_bytes(&edge, server, span_slice(span_writer_span(&w), i, 1)));
        server_turn(server, 0, NULL);
    }
    for (uint32_t id = 1; id <= 2; id++) {
        assert_true(lab_receive(&edge, server, &m, 50));
        assert_int_equal(m.op, KEYMSG_OP_PONG);
        assert_int_equal(m.id, id);
        assert_true(span_equal(m.payload, lab_input(9)));
    }
}

/* The largest pings there are, and nobody reads the pongs: the server takes no more than it has room
 * for, and goes on when they are read. */
static void slow_reader(void **state)
{
    enum { COUNT = 200 };
    static uint8_t payload[65528];
    struct keymsg m = {.op = KEYMSG_OP_PING, .payload = span_make(payload, sizeof payload)};
    static uint8_t room[KEYMSG_PACKET_MAX];
    struct span_writer w = span_writer_make(room, sizeof room);
    assert_int_equal(keymsg_encode(&m, &w), TG_OK);
    let_in();
    unsigned sent = 0, received = 0;
    size_t at = 0;
    for (unsigned idle = 0; sent < COUNT && idle < 20;) { /* until nothing moves any more */
        size_t n = 0;
        if (SSL_write_ex(edge.ssl, room + at, w.len - at, &n)) {
            at += n;
            sent += at == w.len;
            at %= w.len;
            idle = 0;
        } else {
            idle++;
            server_turn(server, 5, NULL);
        }
    }
    assert_in_range(sent, 5, COUNT - 1);
    while (lab_receive(&edge, server, &m, 20)) {
        assert_int_equal(m.payload.len, sizeof payload);
        received++;
    }
    assert_int_equal(received, sent);
    assert_false(edge.closed);
}

static void malformed_packets(void **state)
{
    static const uint8_t twice[] = {1, 0, 0, 8, 0, 0, 0, 1, 0x11, 0, 1, 0xf1, 0x11, 0, 1, 0xf1};
    static const uint8_t beyond[] = {1, 0, 0, 4, 0, 0, 0, 1, 0x11, 0, 9, 0xf1};
    const struct span bad[] = {span_make(twice, sizeof twice), span_make(beyond, sizeof beyond)};
    for (unsigned i = 0; i < 2; i++) {
        struct keymsg m;
        let_in();
        assert_true(lab_send_bytes(&edge, server, bad[i]));
        assert_false(lab_receive(&edge, server, &m, 50)); /* no error packet */
        assert_true(edge.closed);
        lab_disconnect(&edge);
    }
    assert_int_equal(server_connections(server), 0);
}

/* Not TLS at all, and TLS that stops in the middle. */
static void strangers(void **state)
{
    lab_connect(&edge, server, "edge1", 0);
    assert_int_equal(write(edge.fd, "GET / HTTP/1.1\r\n\r\n", 18), 18);
    for (unsigned i = 0; i < 10; i++)
        server_turn(server, 5, NULL);
    assert_int_equal(server_connections(server), 0);
}

static void time_limits(void **state)
{
    server_destroy(server);
    server_start("idle_ms = 300; handshake_ms = 100;");
    lab_connect(&edge, server, "edge1", 0); /* says nothing */
    for (unsigned i = 0; i < 4; i++)
        server_turn(server, 5, NULL);
    assert_int_equal(server_connections(server), 1);
    for (unsigned i = 0; i < 60 && server_connections(server) > 0; i++)
        server_turn(server, 5, NULL);
    assert_int_equal(server_connections(server), 0);
    lab_disconnect(&edge);
    let_in();
    for (unsigned i = 0; i < 8; i++) { /* 400 ms with a ping every 50 ms: not idle */
        struct keymsg m = {.op = KEYMSG_OP_PING};
        assert_true(lab_send(&edge, server, &m));
        assert_true(lab_receive(&edge, server, &m, 50));
        usleep(50000);
    }
    assert_true(lab_closed(&edge, server, 100));
}

/* With all places taken a stranger's handshake gives way to the next one; who is in stays. */
static void connections_limit(void **state)
{
    struct lab_edge silent[2], second;
    server_destroy(server);
    server_start("connections = 2;");
    let_in();
    for (unsigned i = 0; i < 2; i++) {
        lab_connect(&silent[i], server, "edge1", 0);
        for (unsigned turn = 0; turn < 4; turn++)
            server_turn(server, 5, NULL);
    }
    assert_int_equal(server_connections(server), 2);
    lab_connect(&second, server, "edge1", 0);
    assert_true(lab_handshake(&second, server));
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    struct lab_edge third;
    lab_connect(&third, server, "edge1", 0); /* both places belong to edges now */
    assert_false(lab_handshake(&third, server));
    lab_disconnect(&second);
    lab_disconnect(&third);
    lab_disconnect(&silent[0]);
    lab_disconnect(&silent[1]);
}

static void reload(void **state)
{
    let_in();
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
    server_use(server, lab_setup(lab_config(
                           "", "{ subject = \"CN=edge1,O=Lab\"; keys = [ \"rsa.key\" ]; }")));
    struct keymsg m;
    request_make(&m, 1, KEYMSG_OP_ECDSA_SHA256, "ec.key");
    assert_true(lab_send(&edge, server, &m)); /* the same connection, the new rules */
    assert_true(lab_receive(&edge, server, &m, 50));
    assert_int_equal(m.op, KEYMSG_OP_ERROR);
    assert_int_equal(m.payload.data[0], KEYMSG_ERROR_KEY_NOT_FOUND);
    expect_signature(KEYMSG_OP_RSA_SHA256, "rsa.key");
    server_use(server,
               lab_setup(lab_config("", "{ subject = \"CN=edge2,O=Lab\"; keys = [ \"*\" ]; }")));
    assert_true(lab_closed(&edge, server, 50)); /* edge1 is gone from the list */
    lab_disconnect(&edge);
    lab_connect(&edge, server, "edge2", 0);
    assert_true(lab_handshake(&edge, server));
    expect_signature(KEYMSG_OP_ECDSA_SHA256, "ec.key");
}

/* What was answered still goes out; then the connection ends in order. */
static void drain(void **state)
{
    struct keymsg m = {.id = 3, .op = KEYMSG_OP_PING};
    let_in();
    assert_true(lab_send(&edge, server, &m));
    server_turn(server, 50, NULL);
    assert_false(server_drain(server));
    assert_true(lab_receive(&edge, server, &m, 50));
    assert_int_equal(m.id, 3);
    assert_true(lab_closed(&edge, server, 50));
    assert_int_equal(edge.error, SSL_ERROR_ZERO_RETURN); /* close_notify */
    assert_true(server_drain(server));
}

static void port_is_taken(void **state)
{
    struct setup *setup = lab_setup(lab_config("", CLIENTS));
    struct server *second;
    char problem[SETTINGS_PROBLEM];
    setup->settings.port = server_port(server);
    assert_int_equal(server_create(setup, &second, problem), TG_SYSTEM);
    assert_non_null(strstr(problem, "Address already in use"));
    snprintf(setup->settings.address, sizeof setup->settings.address, "nowhere");
    assert_int_equal(server_create(setup, &second, problem), TG_SYSTEM);
    assert_non_null(strstr(problem, "it is no IPv4 or IPv6 address"));
    setup_destroy(setup);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, server_begin, server_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_versions),
        TEST(who_does_not_get_in),
        TEST(pipeline),
        TEST(byte_by_byte),
        TEST(slow_reader),
        TEST(malformed_packets),
        TEST(strangers),
        TEST(time_limits),
        TEST(connections_limit),
        TEST(reload),
        TEST(drain),
        TEST(port_is_taken),
    };
    return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
