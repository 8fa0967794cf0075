/* SPDX-License-Identifier: BSD-3-Clause
 * Drop rules: what they match, what they never touch, order, hits; the burst against the one-packet
 * look-up.
 */
#include "filter/filter.h"
#include "net/net_test_harness.h"

struct fixture {
    struct harness *h;
    struct filter filter;
    struct tables_rules *rules;
    uint64_t hits[TABLES_RULES_MAX];
};

static int set_up(void **state)
{
    void *h;
    harness_set_up(&h);
    struct fixture *f = calloc(1, sizeof *f);
    f->h = h;
    f->rules = calloc(1, sizeof *f->rules + TABLES_RULES_MAX * sizeof f->rules->rules[0]);
    f->filter = (struct filter){.rules = f->rules,
                                .toeplitz = &f->h->toeplitz,
                                .pool = &f->h->pool.pool,
                                .stats = &f->h->stats,
                                .rule_hits = f->hits};
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    void *h = f->h;
    free(f->rules);
    free(f);
    return harness_tear_down(&h);
}

/* "192.0.2.0/24", "2001:db8::/32", "" = any */
static void set_prefix(const char *text, uint8_t address[16], uint8_t *bits)
{
    char copy[64] = {0};
    *bits = 0;
    if (!*text)
        return;
    strncpy(copy, text, sizeof copy - 1);
    char *slash = strchr(copy, '/');
    *slash = 0;
    struct ip_addr a = test_addr(copy);
    memcpy(address, a.bytes, 16);
    *bits = (uint8_t)(strtol(slash + 1, NULL, 10) + (ip_addr_is4(&a) ? 96 : 0));
}

static struct tables_rule *add_rule(struct fixture *f, const char *source, const char *destination,
                                    uint8_t proto)
{
    struct tables_rule *r = &f->rules->rules[f->rules->count];
    *r = (struct tables_rule){.id = f->rules->count + 100,
                              .slot = TABLES_RULES_MAX - 1 - f->rules->count,
                              .proto = proto,
                              .source_port_high = UINT16_MAX,
                              .destination_port_high = UINT16_MAX};
    set_prefix(source, r->source, &r->source_bits);
    set_prefix(destination, r->destination, &r->destination_bits);
    f->rules->count++;
    return r;
}

static struct buf *tcp(struct fixture *f, const char *from, const char *to, uint16_t port)
{
    struct ip_tuple t = {test_addr(to), test_addr(from), 80, port};
    return test_frame_tcp(&f->h->pool.pool, &t, 1, 1, TCP_ACK, 1, SPAN_EMPTY, SPAN_EMPTY);
}

/* True when the packet survives; it is freed either way. */
static bool passes(struct fixture *f, struct buf *b)
{
    unsigned n = filter_burst(&f->filter, &b, 1, 0);
    if (n)
        buf_unref(&f->h->pool.pool, b);
    return n == 1;
}

static void without_rules_good_packets_pass(void **state)
{
    struct fixture *f = *state;
    assert_true(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4000)));
    f->filter.rules = NULL;
    assert_true(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4000)));
}

static void malformed_packets_are_counted_and_freed(void **state)
{
    struct fixture *f = *state;
    struct buf *b = tcp(f, "198.51.100.7", "192.0.2.1", 4000);
    b->data[20] ^= 0x20;
    assert_false(passes(f, b));
    assert_int_equal(counted(f->h, TG_C_net_ip4_checksum), 1);
    b = tcp(f, "198.51.100.7", "192.0.2.1", 4000);
    b->data[b->len - 1] ^= 1;
    assert_false(passes(f, b));
    assert_int_equal(counted(f->h, TG_C_net_l4_checksum), 1);
    assert_int_equal(f->h->pool.outstanding, 0);
}

/* The same as every_combination_of_tcp_flags of io_xdp_driver_test.c. */
static void tcp_flags_that_mean_nothing_are_dropped(void **state)
{
    struct fixture *f = *state;
    unsigned dropped = 0;
    for (unsigned flags = 0; flags < 512; flags++) {
        bool ip6 = flags & 256;
        bool nonsense = !(flags & (TCP_SYN | TCP_RST | TCP_ACK)) ||
                        (flags & TCP_SYN && flags & (TCP_FIN | TCP_RST));
        struct ip_tuple t = {test_addr(ip6 ? "2001:db8::1" : "192.0.2.1"),
                             test_addr(ip6 ? "2001:db8::2" : "198.51.100.9"), 80, 4000};
        struct buf *b =
            test_frame_tcp(&f->h->pool.pool, &t, 1, 1, (uint8_t)flags, 1, SPAN_EMPTY, SPAN_EMPTY);
        assert_int_equal(passes(f, b), !nonsense);
        dropped += nonsense;
        assert_int_equal(f->h->stats.value[TG_C_tcp_bad_segment], dropped);
    }
    assert_int_equal(dropped,
                     2 * (32 + 96)); /* of 8: FIN or none; SYN with FIN, RST, both, or not */
}

static void prefixes_match_their_family(void **state)
{
    struct fixture *f = *state;
    add_rule(f, "198.51.100.0/24", "", 0);
    assert_false(passes(f, tcp(f, "198.51.100.255", "192.0.2.1", 4000)));
    assert_true(passes(f, tcp(f, "198.51.101.0", "192.0.2.1", 4000)));
    assert_true(passes(f, tcp(f, "2001:db8:9::1", "2001:db8::1", 4000)));
    f->rules->count = 0;
    add_rule(f, "0.0.0.0/0", "", 0); /* all of IPv4, nothing of IPv6 */
    assert_false(passes(f, tcp(f, "8.8.8.8", "192.0.2.1", 4000)));
    assert_true(passes(f, tcp(f, "2001:db8:9::1", "2001:db8::1", 4000)));
    f->rules->count = 0;
    add_rule(f, "2001:db8:8000::/33", "", 0);
    assert_false(passes(f, tcp(f, "2001:db8:8000::1", "2001:db8::1", 4000)));
    assert_true(passes(f, tcp(f, "2001:db8:7fff::1", "2001:db8::1", 4000)));
    assert_true(passes(f, tcp(f, "8.8.8.8", "192.0.2.1", 4000)));
    f->rules->count = 0;
    add_rule(f, "", "", 0); /* anything */
    assert_false(passes(f, tcp(f, "8.8.8.8", "192.0.2.1", 4000)));
    assert_false(passes(f, tcp(f, "2001:db8:9::1", "2001:db8::1", 4000)));
    assert_int_equal(counted(f->h, TG_C_filter_rule), 5);
}

/* ::/1 holds ::ffff:0:0/96, where IPv4 is written: it must not match it. */
static void short_ip6_prefix_leaves_ip4_alone(void **state)
{
    struct fixture *f = *state;
    add_rule(f, "::/1", "", 0);
    assert_true(passes(f, tcp(f, "8.8.8.8", "192.0.2.1", 4000)));
    assert_false(passes(f, tcp(f, "2001:db8:9::1", "2001:db8::1", 4000)));
    f->rules->count = 0;
    add_rule(f, "", "::/80", 0);
    assert_true(passes(f, tcp(f, "8.8.8.8", "192.0.2.1", 4000)));
}

/* Around the lengths at which the burst's summary starts to decide (16 and 32 bits). */
static void prefixes_around_the_summary_match(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *rule, *in, *out;
    } cases[] = {{"198.50.0.0/15", "198.51.0.1", "198.52.0.1"},
                 {"198.51.0.0/16", "198.51.0.1", "198.50.0.1"},
                 {"198.51.128.0/17", "198.51.128.1", "198.51.127.1"},
                 {"2001:db8::/31", "2001:db9::1", "2001:dba::1"},
                 {"2001:db8::/32", "2001:db8::1", "2001:db9::1"},
                 {"2001:db8:8000::/33", "2001:db8:8000::1", "2001:db8:7fff::1"}};
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases) * 2; i++) {
        bool source = i % 2;
        const char *us = strchr(cases[i / 2].in, ':') ? "fd00::1" : "192.0.2.1";
        f->rules->count = 0;
        add_rule(f, source ? cases[i / 2].rule : "", source ? "" : cases[i / 2].rule, 0);
        const char *const others[] = {cases[i / 2].in, cases[i / 2].out};
        for (unsigned out = 0; out < 2; out++)
            assert_int_equal(
                passes(f, tcp(f, source ? others[out] : us, source ? us : others[out], 4000)), out);
    }
}

static void host_bits_of_a_rule_do_not_matter(void **state)
{
    struct fixture *f = *state;
    add_rule(f, "198.51.100.77/24", "", 0);
    assert_false(passes(f, tcp(f, "198.51.100.1", "192.0.2.1", 4000)));
}

static void destination_protocol_and_ports_count(void **state)
{
    struct fixture *f = *state;
    struct tables_rule *r = add_rule(f, "", "192.0.2.1/32", IP_PROTO_TCP);
    r->source_port_low = 4000;
    r->source_port_high = 4010;
    assert_true(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 3999)));
    assert_false(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4000)));
    assert_false(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4010)));
    assert_true(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4011)));
    assert_true(passes(f, tcp(f, "198.51.100.7", "192.0.2.2", 4000)));
    struct ip_tuple t = {test_addr("192.0.2.1"), test_addr("198.51.100.7"), 80, 4005};
    assert_true(passes(f, test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY)));
    r->proto = 0;
    assert_false(passes(f, test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY)));
    r->destination_port_low = r->destination_port_high = 81;
    assert_true(passes(f, test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY)));
}

static struct buf *echo(struct fixture *f, const char *from, const char *to, uint8_t type)
{
    struct ip_addr s = test_addr(from), d = test_addr(to);
    return test_frame_icmp(&f->h->pool.pool, &s, &d, type, 0, 1, SPAN_LITERAL("0123456789abcdef"));
}

static void icmp_is_matched_by_rules_without_ports(void **state)
{
    struct fixture *f = *state;
    struct tables_rule *r = add_rule(f, "198.51.100.0/24", "", 0);
    assert_false(passes(f, echo(f, "198.51.100.7", "192.0.2.1", 8)));
    r->destination_port_high = 80; /* 0..80 would match ICMP's "port" 0 if it had one */
    assert_true(passes(f, echo(f, "198.51.100.7", "192.0.2.1", 8)));
    f->rules->count = 0;
    add_rule(f, "", "", IP_PROTO_ICMP6);
    assert_true(passes(f, echo(f, "198.51.100.7", "192.0.2.1", 8)));
    assert_false(passes(f, echo(f, "2001:db8:9::1", "2001:db8::1", 128)));
}

static void link_life_is_never_filtered(void **state)
{
    struct fixture *f = *state;
    struct ip_addr us = test_addr("192.0.2.1"), peer = test_addr("192.0.2.9");
    add_rule(f, "", "", 0);
    assert_true(
        passes(f, test_frame_arp(&f->h->pool.pool, 1, test_mac_peer, &peer, test_mac_ours, &us)));
    for (unsigned type = 0; type < 256; type++)
        assert_int_equal(passes(f, echo(f, "2001:db8::9", "2001:db8::1", (uint8_t)type)),
                         type >= 133 && type <= 137);
}

static void handed_over_frames_pass_untouched(void **state)
{
    struct fixture *f = *state;
    add_rule(f, "", "", 0);
    struct buf *b = tcp(f, "198.51.100.7", "192.0.2.1", 4000);
    assert_int_equal(wire_parse(b, &f->h->toeplitz), TG_C_none);
    b->flags |= BUF_HANDED_OVER;
    struct buf before = *b;
    assert_int_equal(filter_burst(&f->filter, &b, 1, 0), 1);
    assert_memory_equal(b, &before, sizeof before);
    buf_unref(&f->h->pool.pool, b);
}

static void first_match_takes_the_hit(void **state)
{
    struct fixture *f = *state;
    add_rule(f, "203.0.113.0/24", "", 0);
    add_rule(f, "198.51.100.0/24", "", IP_PROTO_TCP);
    add_rule(f, "198.51.0.0/16", "", 0);
    assert_false(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4000)));
    assert_false(passes(f, tcp(f, "198.51.7.7", "192.0.2.1", 4000)));
    assert_false(passes(f, tcp(f, "198.51.100.7", "192.0.2.1", 4001)));
    assert_int_equal(f->hits[TABLES_RULES_MAX - 1], 0);
    assert_int_equal(f->hits[TABLES_RULES_MAX - 2], 2);
    assert_int_equal(f->hits[TABLES_RULES_MAX - 3], 1);
    f->filter.rule_hits = NULL; /* allowed */
    assert_false(passes(f, tcp(f, "198.51.7.7", "192.0.2.1", 4000)));
}

static void burst_keeps_survivors_in_order(void **state)
{
    struct fixture *f = *state;
    struct buf *burst[TG_BURST], *sent[TG_BURST];
    add_rule(f, "198.51.100.0/24", "", 0);
    for (unsigned i = 0; i < TG_BURST; i++) { /* every third by rule, every fifth malformed */
        burst[i] = tcp(f, i % 3 ? "203.0.113.1" : "198.51.100.7", "192.0.2.1", (uint16_t)(i + 1));
        if (i % 5 == 0)
            burst[i]->data[12] = 0x99;
        sent[i] = burst[i];
    }
    unsigned n = filter_burst(&f->filter, burst, TG_BURST, 0), at = 0;
    for (unsigned i = 0; i < TG_BURST; i++)
        if (i % 3 && i % 5)
            assert_ptr_equal(burst[at++], sent[i]);
    assert_int_equal(at, n);
    assert_int_equal(f->h->pool.outstanding, n);
    assert_int_equal(counted(f->h, TG_C_net_ethertype), 7);
    assert_int_equal(counted(f->h, TG_C_filter_rule), 8);
    for (unsigned i = 0; i < n; i++)
        buf_unref(&f->h->pool.pool, burst[i]);
    assert_int_equal(filter_burst(&f->filter, burst, 0, 0), 0);
}

/* The slow and obvious way, for comparison: bit by bit. */
static bool bits_equal(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    for (unsigned i = 0; i < bits; i++)
        if ((a[i / 8] ^ b[i / 8]) & (0x80 >> i % 8))
            return false;
    return true;
}

static int naive_match(const struct tables_rules *t, const struct ip_tuple *p, uint8_t proto)
{
    for (uint32_t i = 0; i < t->count; i++) {
        const struct tables_rule *r = &t->rules[i];
        bool rule6 = r->source_bits && r->source_bits < 96, four = ip_addr_is4(&p->remote);
        if (!(rule6 && four) && bits_equal(p->remote.bytes, r->source, r->source_bits) &&
            bits_equal(p->local.bytes, r->destination, r->destination_bits) &&
            (!r->proto || r->proto == proto) && p->remote_port >= r->source_port_low &&
            p->remote_port <= r->source_port_high && p->local_port >= r->destination_port_low &&
            p->local_port <= r->destination_port_high)
            return (int)i;
    }
    return -1;
}

/* Few distinct addresses and ports, so that rules and packets meet. */
static struct ip_addr random_address(struct prng *p, bool four)
{
    struct ip_addr a = test_addr(four ? "198.51.0.0" : "2001:db8::");
    a.bytes[14] = (uint8_t)prng_below(p, 4);
    a.bytes[15] = (uint8_t)prng_below(p, 8);
    return a;
}

static void burst_agrees_with_look_up_and_with_the_obvious_way(void **state)
{
    struct fixture *f = *state;
    struct prng p;
    prng_seed(&p, 11);
    unsigned dropped = 0, passed = 0;
    for (unsigned round = 0; round < 400; round++) {
        f->rules->count = 0;
        for (uint64_t n = prng_below(&p, 20); n; n--) {
            struct tables_rule *r = add_rule(f, "", "", (uint8_t)(prng_below(&p, 3) ? 0 : 6));
            struct ip_addr a = random_address(&p, prng_below(&p, 2));
            memcpy(r->source, a.bytes, 16);
            r->source_bits = (uint8_t)(prng_below(&p, 4) ? 110 + prng_below(&p, 19) : 0);
            if (prng_below(&p, 4) == 0 && !ip_addr_is4(&a))
                r->source_bits = (uint8_t)prng_below(&p, 129);
            memcpy(r->destination, random_address(&p, ip_addr_is4(&a)).bytes, 16);
            r->destination_bits = (uint8_t)(prng_below(&p, 2) ? 96 + prng_below(&p, 33) : 0);
            r->destination_port_low = (uint16_t)prng_below(&p, 4);
        }
        struct buf *burst[TG_BURST] = {NULL};
        bool drop[TG_BURST];
        unsigned n = (unsigned)prng_below(&p, TG_BURST + 1), survivors = 0;
        for (unsigned i = 0; i < n; i++) {
            bool four = prng_below(&p, 2), udp = prng_below(&p, 2);
            struct ip_tuple t = {random_address(&p, four), random_address(&p, four),
                                 (uint16_t)(1 + prng_below(&p, 5)), 7};
            t.local.bytes[13] = 1; /* source and destination differ */
            burst[i] = udp ? test_frame_udp(&f->h->pool.pool, &t, SPAN_EMPTY)
                           : test_frame_tcp(&f->h->pool.pool, &t, 1, 1, TCP_ACK, 1, SPAN_EMPTY,
                                            SPAN_EMPTY);
            uint8_t proto = udp ? IP_PROTO_UDP : IP_PROTO_TCP;
            int want = naive_match(f->rules, &t, proto);
            assert_int_equal(
                filter_match(f->rules, &t.remote, &t.local, proto, t.remote_port, t.local_port),
                want);
            drop[i] = want >= 0;
            survivors += !drop[i];
        }
        struct buf *kept[TG_BURST];
        memcpy(kept, burst, sizeof kept);
        unsigned left = filter_burst(&f->filter, kept, n, 0), at = 0;
        assert_int_equal(left, survivors);
        for (unsigned i = 0; i < n; i++)
            if (!drop[i])
                assert_ptr_equal(kept[at++], burst[i]);
        for (unsigned i = 0; i < left; i++)
            buf_unref(&f->h->pool.pool, kept[i]);
        dropped += n - left;
        passed += left;
    }
    assert_true(dropped > 500 && passed > 500);
}

static void look_up_without_rules_finds_none(void **state)
{
    struct ip_addr a = test_addr("192.0.2.1");
    assert_int_equal(filter_match(NULL, &a, &a, 6, 1, 2), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(without_rules_good_packets_pass),
        TEST(malformed_packets_are_counted_and_freed),
        TEST(tcp_flags_that_mean_nothing_are_dropped),
        TEST(prefixes_match_their_family),
        TEST(short_ip6_prefix_leaves_ip4_alone),
        TEST(prefixes_around_the_summary_match),
        TEST(host_bits_of_a_rule_do_not_matter),
        TEST(destination_protocol_and_ports_count),
        TEST(icmp_is_matched_by_rules_without_ports),
        TEST(link_life_is_never_filtered),
        TEST(handed_over_frames_pass_untouched),
        TEST(first_match_takes_the_hit),
        TEST(burst_keeps_survivors_in_order),
        TEST(burst_agrees_with_look_up_and_with_the_obvious_way),
        TEST(look_up_without_rules_finds_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
