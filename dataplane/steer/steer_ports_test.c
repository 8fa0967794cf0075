/* SPDX-License-Identifier: BSD-3-Clause
 * Chosen ports: the answer's hash must lead to the right worker, for any tuple, key and number of
 * workers.
 */
#include "net/net_test_support.h"
#include "steer/steer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void random_tuple(struct prng *p, struct ip_tuple *t)
{
    for (unsigned i = 0; i < 16; i++) {
        t->local.bytes[i] = (uint8_t)prng_next(p);
        t->remote.bytes[i] = (uint8_t)prng_next(p);
    }
    if (prng_below(p, 2)) {
        t->local = ip_addr_from4(t->local.bytes);
        t->remote = ip_addr_from4(t->remote.bytes);
    }
    t->remote_port = (uint16_t)prng_next(p);
    t->local_port = (uint16_t)prng_next(p); /* must not matter */
}

/* A whole answer frame, hashed as a received packet is, must go to the worker that asked. */
static void chosen_port_reaches_its_worker(void **state)
{
    static struct toeplitz toeplitz;
    static struct steer_ports ports[16];
    const unsigned counts[] = {1, 2, 3, 4, 7, 16};
    struct test_pool pool;
    test_pool_init(&pool, 0);
    struct prng p;
    prng_seed(&p, 99);
    for (unsigned c = 0; c < TG_ARRAY_LEN(counts); c++) {
        unsigned workers = counts[c], seen4 = 0;
        test_toeplitz_init(&toeplitz, 1000 + c);
        for (unsigned w = 0; w < workers; w++)
            assert_int_equal(steer_ports_init(&ports[w], &toeplitz, w, workers, w), TG_OK);
        for (unsigned i = 0; i < 10000; i++) {
            struct ip_tuple t;
            random_tuple(&p, &t);
            unsigned w = (unsigned)prng_below(&p, workers);
            uint16_t port = steer_pick_port(&ports[w], &t, (unsigned)prng_below(&p, 3));
            assert_true(port >= STEER_PORT_FIRST);
            t.local_port = port;
            assert_int_equal(steer_worker_of(wire_tuple_hash(&toeplitz, &t), workers), w);
            seen4 += ip_addr_is4(&t.local);
        }
        assert_in_range(seen4, 4000, 6000);
        for (unsigned w = 0; w < workers; w++)
            steer_ports_free(&ports[w]);
    }
}

/* What the parser says of the answer is what the port was chosen for. */
static void answer_frame_hashes_to_the_worker(void **state)
{
    static struct toeplitz toeplitz;
    struct test_pool pool;
    struct steer_ports ports;
    test_pool_init(&pool, 0);
    test_toeplitz_init(&toeplitz, 5);
    assert_int_equal(steer_ports_init(&ports, &toeplitz, 1, 2, 7), TG_OK);
    const char *const names[][2] = {{"192.0.2.1", "198.51.100.7"},
                                    {"2001:db8::1", "2001:db8:9::7"}};
    for (unsigned i = 0; i < 200; i++) {
        struct ip_tuple t = {test_addr(names[i % 2][0]), test_addr(names[i % 2][1]), 0, 443};
        t.local_port = steer_pick_port(&ports, &t, 0);
        struct buf *b =
            test_frame_tcp(&pool.pool, &t, 1, 1, TCP_SYN | TCP_ACK, 1, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(wire_parse(b, &toeplitz), TG_C_none);
        assert_int_equal(steer_worker_of(b->rx_hash, 2), 1);
        buf_unref(&pool.pool, b);
    }
    steer_ports_free(&ports);
    assert_int_equal(pool.outstanding, 0);
}

/* Every port that reaches the worker is offered once, and then 0. */
static void tries_exhaust_all_ports_once(void **state)
{
    static struct toeplitz toeplitz;
    static uint8_t given[65536];
    const unsigned counts[] = {2, 3, 16};
    for (unsigned c = 0; c < TG_ARRAY_LEN(counts) * 2; c++) {
        struct steer_ports ports;
        unsigned workers = counts[c / 2], worker = workers - 1, right = 0, n = 0;
        test_toeplitz_init(&toeplitz, c);
        assert_int_equal(steer_ports_init(&ports, &toeplitz, worker, workers, c), TG_OK);
        struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 0, 80};
        if (c % 2)
            t = (struct ip_tuple){test_addr("2001:db8::1"), test_addr("2001:db8::2"), 0, 80};
        memset(given, 0, sizeof given);
        for (uint16_t port; (port = steer_pick_port(&ports, &t, n)) != 0; n++) {
            assert_true(port >= STEER_PORT_FIRST);
            assert_int_equal(given[port]++, 0);
        }
        assert_int_equal(steer_pick_port(&ports, &t, n + 1), 0);
        assert_int_equal(steer_pick_port(&ports, &t, UINT32_MAX), 0);
        for (unsigned port = STEER_PORT_FIRST; port < 65536; port++) {
            t.local_port = (uint16_t)port;
            bool reaches = steer_worker_of(wire_tuple_hash(&toeplitz, &t), workers) == worker;
            assert_int_equal(given[port], reaches);
            right += reaches;
        }
        assert_int_equal(n, right);
        steer_ports_free(&ports);
    }
}

/* A port just used rests: opens in a row to one remote take different ports. */
static void ports_rest_between_opens(void **state)
{
    static struct toeplitz toeplitz;
    static uint8_t given[65536];
    struct steer_ports ports;
    test_toeplitz_init(&toeplitz, 5);
    assert_int_equal(steer_ports_init(&ports, &toeplitz, 0, 2, 3), TG_OK);
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 0, 80};
    for (unsigned open = 0; open < 5000; open++) {
        unsigned tries = open % 3; /* some opens meet ports in use */
        for (unsigned n = 0; n <= tries; n++)
            assert_int_equal(given[steer_pick_port(&ports, &t, n)]++, 0);
    }
    steer_ports_free(&ports);
}

/* The next port cannot be told from the last one (RFC 6056): steps repeat no more than chance lets
 * them. */
static void ports_are_not_in_sequence(void **state)
{
    static struct toeplitz toeplitz;
    struct steer_ports ports;
    test_toeplitz_init(&toeplitz, 5);
    assert_int_equal(steer_ports_init(&ports, &toeplitz, 0, 2, 3), TG_OK);
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("192.0.2.9"), 0, 80};
    unsigned rising = 0, last = 0;
    for (unsigned open = 0; open < 2000; open++) {
        unsigned port = steer_pick_port(&ports, &t, 0);
        rising += port > last;
        last = port;
    }
    assert_in_range(rising, 850, 1150);
    steer_ports_free(&ports);
}

/* A key of zeros hashes everything to 0: no port reaches worker 1, and it is said. */
static void useless_key_is_refused(void **state)
{
    static struct toeplitz toeplitz;
    static const uint8_t zeros[TOEPLITZ_KEY_BYTES];
    struct steer_ports ports;
    toeplitz_init(&toeplitz, zeros);
    assert_int_equal(steer_ports_init(&ports, &toeplitz, 1, 2, 3), TG_BAD_CONFIG);
    assert_int_equal(steer_ports_init(&ports, &toeplitz, 0, 1, 3), TG_OK); /* one worker: any key */
    steer_ports_free(&ports);
}

/* How often a random key is refused: the comment in steer.h says about one in a thousand for 16
 * workers. */
static void random_keys_are_rarely_refused(void **state)
{
    static struct toeplitz toeplitz;
    unsigned refused2 = 0, refused16 = 0;
    for (unsigned key = 0; key < 150; key++) {
        struct steer_ports ports;
        test_toeplitz_init(&toeplitz, 5000 + key);
        if (steer_ports_init(&ports, &toeplitz, 0, 2, key) != TG_OK)
            refused2++;
        else
            steer_ports_free(&ports);
        if (steer_ports_init(&ports, &toeplitz, 5, 16, key) != TG_OK)
            refused16++;
        else
            steer_ports_free(&ports);
    }
    assert_int_equal(refused2, 0);
    assert_in_range(refused16, 0, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chosen_port_reaches_its_worker),
        cmocka_unit_test(answer_frame_hashes_to_the_worker),
        cmocka_unit_test(tries_exhaust_all_ports_once),
        cmocka_unit_test(ports_rest_between_opens),
        cmocka_unit_test(ports_are_not_in_sequence),
        cmocka_unit_test(useless_key_is_refused),
        cmocka_unit_test(random_keys_are_rarely_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
