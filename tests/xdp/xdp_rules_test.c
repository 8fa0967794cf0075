/* SPDX-License-Identifier: BSD-3-Clause
 * The same rules in the driver and in filter/: random rule sets and packets, both asked, one answer. The
 * driver may leave to filter/ what it cannot judge; it never drops what filter/ would pass (but for TCP
 * flags, which tcp/ drops), and the rule that counts a hit is the same. Needs the right to load an XDP
 * program; attaches nothing.
 */
#include "io/io_xdp_lab.h"
// clang-format off
#include "filter/filter.h"
// clang-format on
#include <stdlib.h>

static struct io_driver driver;
static struct tables_rules *table;
static struct io_drop_rule *rules;
static uint64_t hits[TABLES_RULES_MAX], seen[TABLES_RULES_MAX];
static struct stats stats;
static struct toeplitz toeplitz;
static struct buf_pool pool;
static struct filter filter = {
    .toeplitz = &toeplitz, .pool = &pool, .stats = &stats, .rule_hits = hits};

/* xorshift: the same numbers in every run */
static uint64_t state = 0x9E3779B97F4A7C15u;
static uint32_t draw(uint32_t below)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32) % below;
}

static unsigned no_refill(struct buf_pool *p, struct buf *out[], unsigned n)
{
    return 0;
}

static void no_drain(struct buf_pool *p, struct buf *bufs[], unsigned n)
{
}

static int open_all(void **unused)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {1};
    table = calloc(1, sizeof *table + TABLES_RULES_MAX * sizeof table->rules[0]);
    rules = calloc(TABLES_RULES_MAX, sizeof *rules);
    toeplitz_init(&toeplitz, key);
    buf_pool_init(&pool, no_refill, no_drain, NULL);
    filter.rules = table;
    return table && rules && lab_driver_open(&driver) ? 0 : -1;
}

static int close_all(void **unused)
{
    io_driver_close(&driver);
    free(table);
    free(rules);
    return 0;
}

/* Few different ones, so that rules and packets meet; with neighbours that a prefix just misses. */
static void draw_address(uint8_t out[16], bool is4)
{
    static const uint8_t heads[] = {0xc6, 0xc7, 0x46, 0x06};
    if (is4) {
        lab_address4(out, LAB_CLIENT4 ^ (draw(4) ? draw(4) : draw(256) << draw(24)));
        out[12] = heads[draw(8) ? 0 : draw(4)];
    } else {
        lab_address6(out, (uint8_t)draw(8));
        out[draw(16)] ^= draw(3) ? 0 : (uint8_t)(1u << draw(8));
    }
}

static uint8_t draw_prefix(uint8_t out[16], bool ours)
{
    bool is4 = draw(2);
    static const uint8_t lengths4[] = {96, 97, 104, 111, 112, 120, 127, 128};
    static const uint8_t lengths6[] = {1, 3, 16, 32, 64, 95, 96, 97, 127, 128};
    draw_address(out, is4);
    if (ours && draw(4)) {
        if (is4)
            lab_address4(out, LAB_EDGE4);
        else
            lab_address6(out, 1);
    }
    if (!draw(3))
        return 0;
    return is4 ? lengths4[draw(sizeof lengths4)] : lengths6[draw(sizeof lengths6)];
}

static void draw_ports(uint16_t *low, uint16_t *high)
{
    *low = 0;
    *high = 65535;
    switch (draw(6)) {
    case 0:
        *low = *high = (uint16_t)(1 + draw(6));
        break;
    case 1:
        *low = (uint16_t)draw(6);
        *high = (uint16_t)(*low + draw(6));
        break;
    case 2:
        *low = (uint16_t)draw(8);
        break;
    case 3:
        *high = (uint16_t)draw(8);
        *low = (uint16_t)(draw(4) ? 0 : draw(8)); /* now and then the wrong way round */
        break;
    }
}

static void draw_rules(unsigned n)
{
    static const uint8_t protos[] = {0, 0, 0, 6, 6, 17, 17, 1, 58, 47};
    unsigned slot = draw(TABLES_RULES_MAX);
    table->count = n;
    for (unsigned i = 0; i < n; i++) {
        struct tables_rule *r = &table->rules[i];
        *r = (struct tables_rule){.slot = (slot + i * 7) % TABLES_RULES_MAX,
                                  .proto = protos[draw(sizeof protos)]};
        r->source_bits = draw_prefix(r->source, false);
        r->destination_bits = draw(3) ? 0 : draw_prefix(r->destination, true);
        if (draw(2))
            draw_ports(&r->source_port_low, &r->source_port_high);
        else
            r->source_port_high = 65535;
        draw_ports(&r->destination_port_low, &r->destination_port_high);
        rules[i] = (struct io_drop_rule){.source_bits = r->source_bits,
                                         .destination_bits = r->destination_bits,
                                         .proto = r->proto,
                                         .source_port_low = r->source_port_low,
                                         .source_port_high = r->source_port_high,
                                         .destination_port_low = r->destination_port_low,
                                         .destination_port_high = r->destination_port_high,
                                         .slot = (uint16_t)r->slot};
        memcpy(rules[i].source, r->source, 16);
        memcpy(rules[i].destination, r->destination, 16);
    }
    assert_int_equal(io_driver_use_rules(&driver, rules, n), TG_OK);
}

/* What a packet socket's offload would do: filter/ takes no port's word for ICMP. */
static void put_icmp_checksum(struct lab_packet *p, bool is4, const uint8_t source[16])
{
    struct ip_addr from, to;
    uint8_t *l4 = p->bytes + (is4 ? 34 : 54);
    uint16_t len = (uint16_t)(p->bytes + p->len - l4);
    memcpy(from.bytes, source, 16);
    lab_address6(to.bytes, 1);
    uint32_t sum = is4 ? 0 : wire_sum_pseudo(&from, &to, 58, len);
    wire_put16(l4 + 2, 0);
    wire_put16(l4 + 2, wire_sum_finish(wire_sum(sum, span_make(l4, len))));
}

static struct lab_packet draw_packet(void)
{
    bool is4 = draw(2);
    uint8_t l4[40] = {0}, source[16], ours[16];
    static const uint8_t protos[] = {6, 17, 1};
    uint8_t proto = protos[draw(3)];
    draw_address(source, is4);
    lab_address6(ours, 1);
    l4[0] = proto == 1 ? 128 : (uint8_t)(draw(8) == 0);
    l4[1] = proto == 1 ? 0 : (uint8_t)draw(12);
    l4[3] = proto == 1 ? 0 : (uint8_t)draw(12);
    if (proto == 1 && !draw(4)) /* about neighbour discovery, to which no rule applies */
        l4[0] = (uint8_t)(131 + draw(9));
    if (proto == 6) {
        l4[12] = 5 << 4;
        l4[13] = (uint8_t)(draw(20) ? 2 : draw(256));
    } else {
        l4[5] = sizeof l4;
    }
    struct lab_packet p = is4 ? lab_ip4(wire_get32(source + 12), LAB_EDGE4, proto, l4, sizeof l4)
                              : lab_ip6(source, ours, proto == 1 ? 58 : proto, l4, sizeof l4);
    if (proto == 1)
        put_icmp_checksum(&p, is4, source);
    return p;
}

struct answer {
    int slot; /* of the rule that was hit; -1: none */
    bool passed;
};

static struct answer ask_filter(const struct lab_packet *p)
{
    static uint8_t frame[4096];
    struct buf b = {.head = frame, .cap = sizeof frame}, *burst[1] = {&b};
    struct answer answer = {.slot = -1};
    buf_reset(&b);
    b.pool = &pool;
    memcpy(buf_put(&b, p->len), p->bytes, p->len);
    b.flags = BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD; /* the driver looks at no checksum */
    memset(hits, 0, sizeof hits);
    answer.passed = filter_burst(&filter, burst, 1, 0) == 1;
    pool.cached = 0; /* the frame is ours */
    for (unsigned i = 0; i < TABLES_RULES_MAX; i++)
        if (hits[i]) {
            assert_int_equal(answer.slot, -1);
            answer.slot = (int)i;
        }
    return answer;
}

static int driver_slot(void)
{
    int slot = -1;
    for (unsigned i = 0; i < TABLES_RULES_MAX; i++) {
        uint64_t now = io_driver_hits(&driver, i);
        if (now != seen[i]) {
            assert_int_equal(now, seen[i] + 1);
            assert_int_equal(slot, -1);
            slot = (int)i;
        }
        seen[i] = now;
    }
    return slot;
}

static unsigned asked, both_dropped_by_rule, both_passed;

static void compare(const struct lab_packet *p)
{
    enum io_xdp_reason reason = lab_judge(&driver, p->bytes, p->len);
    struct answer answer = ask_filter(p);
    int slot = driver_slot();
    asked++;
    both_dropped_by_rule += slot >= 0 && answer.slot >= 0;
    both_passed += reason == IO_XDP_socket && answer.passed;
    assert_int_equal(reason == IO_XDP_rule, slot >= 0);
    if (reason == IO_XDP_kernel || reason == IO_XDP_tcp_flags)
        return;           /* not ours; tcp/'s to drop */
    if (answer.slot >= 0) /* filter/ could judge it, so the driver can */
        assert_int_equal(slot, answer.slot);
    else if (slot >= 0)
        assert_false(answer.passed); /* dropped for its headers, which the driver looks at less */
    if (reason != IO_XDP_socket)
        assert_false(answer.passed);
}

static void random_rules_and_packets(void **unused)
{
    asked = both_dropped_by_rule = both_passed = 0;
    for (unsigned set = 0; set < 150; set++) {
        draw_rules(set % 10 ? draw(30) : draw(300));
        for (unsigned i = 0; i < 150; i++) {
            struct lab_packet p = draw_packet();
            compare(&p);
        }
    }
    print_message("%u asked, %u dropped by a rule, %u passed\n", asked, both_dropped_by_rule,
                  both_passed);
    assert_true(both_dropped_by_rule > asked / 10);
    assert_true(both_passed > asked / 10);
}

static void bent_packets(void **unused)
{
    asked = both_dropped_by_rule = both_passed = 0;
    for (unsigned set = 0; set < 60; set++) {
        draw_rules(draw(30));
        for (unsigned i = 0; i < 200; i++) {
            struct lab_packet p = draw_packet();
            for (unsigned bend = draw(4); bend > 0; bend--)
                p.bytes[14 + draw(p.len - 14u)] = (uint8_t)draw(256);
            compare(&p);
        }
    }
    assert_true(both_dropped_by_rule > asked / 20);
    assert_true(both_passed > asked / 20);
}

static void as_many_rules_as_there_may_be(void **unused)
{
    for (unsigned set = 0; set < 3; set++) {
        draw_rules(TABLES_RULES_MAX);
        for (unsigned i = 0; i < 400; i++) {
            struct lab_packet p = draw_packet();
            compare(&p);
        }
    }
    assert_int_equal(io_driver_use_rules(&driver, rules, TABLES_RULES_MAX + 1), TG_TOO_BIG);
    struct lab_packet p = draw_packet();
    compare(&p); /* a refused set leaves the old one in force */
    rules[0].slot = TABLES_RULES_MAX;
    assert_int_equal(io_driver_use_rules(&driver, rules, 1), TG_BAD_INPUT);
    compare(&p);
}

static void no_rules_drop_nothing(void **unused)
{
    draw_rules(0);
    for (unsigned i = 0; i < 200; i++) {
        struct lab_packet p = draw_packet();
        compare(&p);
        assert_int_equal(driver_slot(), -1);
    }
}

/* A chain of ever longer prefixes of one address, in every order: the first rule counts, not the longest. */
static void nested_prefixes(void **unused)
{
    struct lab_packet p = lab_udp4(5, 6, 4, 0);
    for (unsigned round = 0; round < 20; round++) {
        draw_rules(33);
        for (unsigned i = 0; i < 33; i++) {
            unsigned bits = 96 + (i * 7 + round) % 33;
            table->rules[i] = (struct tables_rule){.slot = i,
                                                   .source_bits = (uint8_t)bits,
                                                   .source_port_high = 65535,
                                                   .destination_port_high = 65535};
            lab_address4(table->rules[i].source, LAB_CLIENT4 ^ (i % 3 == 0 && bits == 128));
            rules[i] = (struct io_drop_rule){.slot = (uint16_t)i,
                                             .source_bits = (uint8_t)bits,
                                             .source_port_high = 65535,
                                             .destination_port_high = 65535};
            memcpy(rules[i].source, table->rules[i].source, 16);
        }
        for (unsigned n = 33; n > 0; n--) {
            table->count = n;
            assert_int_equal(io_driver_use_rules(&driver, rules + 33 - n, n), TG_OK);
            memmove(table->rules, table->rules + (n < 33), n * sizeof table->rules[0]);
            compare(&p);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_rules_and_packets),
        cmocka_unit_test(bent_packets),
        cmocka_unit_test(as_many_rules_as_there_may_be),
        cmocka_unit_test(no_rules_drop_nothing),
        cmocka_unit_test(nested_prefixes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
