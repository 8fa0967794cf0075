/* SPDX-License-Identifier: BSD-3-Clause
 * First stage behind the port: parse a burst, drop what is malformed or matches a drop rule, verify the
 * rest. A flood that a rule matches never costs a transport checksum. Called by worker, and
 * filter_match by explain and trace. Knows nothing of connections. Floor 2.
 *
 * Rules are taken one by one for the whole burst, not packet by packet: a rule is read and its
 * prefixes turned into masks once for up to 32 packets, and the packets' keys stay in the
 * first-level cache. Before that, a summary of the burst's addresses (one bit for the head of each)
 * lets most rules pass by without a look at any packet. First match wins, for each packet by
 * itself. The cost still grows with the number of rules; the classifier that tidegate-ctl compiles
 * will replace this where there are many.
 */
#include "filter/filter.h"

enum filter_family { FILTER_IP4 = 1, FILTER_IP6 = 2 };

/* What rules look at, for each packet of a burst. Addresses as two native words: masks are made in
 * the same form. */
struct filter_key {
    uint64_t source[2], destination[2];
    uint16_t source_port, destination_port;
    uint8_t proto;
    uint8_t family; /* enum filter_family */
};

struct filter_mask {
    uint64_t value[2], mask[2];
};

static void address_load(uint64_t out[2], const uint8_t bytes[16])
{
    memcpy(out, bytes, 16);
}

/* The first `bits` bits of a 16-byte address as a mask in memory order; 0: matches everything. */
static struct filter_mask prefix_mask(const uint8_t address[16], unsigned bits)
{
    uint8_t mask[16] = {0};
    unsigned whole = bits < 128 ? bits / 8 : 16;
    memset(mask, 0xff, whole);
    if (whole < 16)
        mask[whole] = (uint8_t)(0xff00 >> bits % 8);
    struct filter_mask m;
    address_load(m.mask, mask);
    address_load(m.value, address);
    m.value[0] &= m.mask[0];
    m.value[1] &= m.mask[1];
    return m;
}

static bool prefix_matches(const uint64_t address[2], const struct filter_mask *m)
{
    return (((address[0] & m->mask[0]) ^ m->value[0]) |
            ((address[1] & m->mask[1]) ^ m->value[1])) == 0;
}

/* Families that a prefix can match. Without the question ::/1 would match IPv4, which is written
 * mapped. */
static unsigned prefix_families(const uint8_t address[16], unsigned bits)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    if (bits == 0)
        return FILTER_IP4 | FILTER_IP6;
    return bits >= 96 && memcmp(address, mapped, sizeof mapped) == 0 ? FILTER_IP4 : FILTER_IP6;
}

/* A rule in the form that is compared. */
struct filter_rule {
    struct filter_mask source, destination;
    const struct tables_rule *rule;
    unsigned families;
    bool names_ports;
};

static struct filter_rule rule_prepare(const struct tables_rule *rule)
{
    return (struct filter_rule){
        .source = prefix_mask(rule->source, rule->source_bits),
        .destination = prefix_mask(rule->destination, rule->destination_bits),
        .rule = rule,
        .families = prefix_families(rule->source, rule->source_bits) &
                    prefix_families(rule->destination, rule->destination_bits),
        .names_ports = rule->source_port_low != 0 || rule->source_port_high != UINT16_MAX ||
                       rule->destination_port_low != 0 || rule->destination_port_high != UINT16_MAX,
    };
}

/* A rule that names ports is about protocols that have some: it never matches ICMP. */
static bool ports_match(const struct tables_rule *r, const struct filter_key *k)
{
    return (k->proto == IP_PROTO_TCP || k->proto == IP_PROTO_UDP) &&
           k->source_port >= r->source_port_low && k->source_port <= r->source_port_high &&
           k->destination_port >= r->destination_port_low &&
           k->destination_port <= r->destination_port_high;
}

static bool rule_matches(const struct filter_rule *r, const struct filter_key *k)
{
    return prefix_matches(k->source, &r->source) &&
           prefix_matches(k->destination, &r->destination) && r->families & k->family &&
           (r->rule->proto == 0 || r->rule->proto == k->proto) &&
           (!r->names_ports || ports_match(r->rule, k));
}

int filter_match(const struct tables_rules *rules, const struct ip_addr *source,
                 const struct ip_addr *destination, uint8_t proto, uint16_t source_port,
                 uint16_t destination_port)
{
    struct filter_key k = {.source_port = source_port,
                           .destination_port = destination_port,
                           .proto = proto,
                           .family = ip_addr_is4(source) ? FILTER_IP4 : FILTER_IP6};
    address_load(k.source, source->bytes);
    address_load(k.destination, destination->bytes);
    for (uint32_t i = 0; rules && i < rules->count; i++) {
        struct filter_rule r = rule_prepare(&rules->rules[i]);
        if (rule_matches(&r, &k))
            return (int)i;
    }
    return -1;
}

/* ARP and neighbour discovery are the link's own life: a rule that cut them off would cut off
 * everything. */
static bool rules_apply(const struct buf *b)
{
    if (b->flags & BUF_HANDED_OVER || b->ip_version == 0)
        return false;
    uint8_t type = b->ip_proto == IP_PROTO_ICMP6 ? wire_l4(b)[0] : 0;
    return type < 133 || type > 137;
}

static void key_load(struct filter_key *k, const struct buf *b)
{
    struct ip_addr source = wire_source(b), destination = wire_destination(b);
    address_load(k->source, source.bytes);
    address_load(k->destination, destination.bytes);
    k->proto = b->ip_proto;
    k->family = b->ip_version == 4 ? FILTER_IP4 : FILTER_IP6;
    k->source_port = k->destination_port = 0;
    if (b->ip_proto == IP_PROTO_TCP || b->ip_proto == IP_PROTO_UDP) {
        k->source_port = wire_get16(wire_l4(b));
        k->destination_port = wire_get16(wire_l4(b) + 2);
    }
}

/* A bit for the head of each address in the burst: 16 bits of IPv4, 32 of IPv6, hashed to 10. At
 * most 32 of 1024 bits are set, so a rule with a prefix at least that long passes by with 97 % if
 * no packet is meant. */
struct filter_summary {
    uint64_t source[16], destination[16];
};

static unsigned summary_bit(const uint8_t address[16], unsigned family)
{
    uint32_t head = family == FILTER_IP4 ? wire_get16(address + 12) : wire_get32(address);
    return head * 0x9E3779B1u >> 22; /* Fibonacci hashing */
}

static void summary_add(uint64_t seen[16], const uint64_t address[2], unsigned family)
{
    uint8_t bytes[16];
    memcpy(bytes, address, sizeof bytes);
    unsigned bit = summary_bit(bytes, family);
    seen[bit / 64] |= 1ull << bit % 64;
}

static bool prefix_may_match(const uint64_t seen[16], const uint8_t address[16], unsigned bits)
{
    unsigned family = prefix_families(address, bits);
    if (bits < (family == FILTER_IP4 ? 96u + 16 : 32u))
        return true;
    unsigned bit = summary_bit(address, family);
    return seen[bit / 64] >> bit % 64 & 1;
}

static bool rule_may_match(const struct filter_summary *s, const struct tables_rule *rule)
{
    return prefix_may_match(s->source, rule->source, rule->source_bits) &&
           prefix_may_match(s->destination, rule->destination, rule->destination_bits);
}

static void drop(struct filter *filter, struct buf *b, enum tg_counter reason)
{
    b->verdict = BUF_DROP;
    b->reason = (uint16_t)reason;
    stats_count(filter->stats, reason);
    buf_unref(filter->pool, b);
}

/* A segment without SYN, RST and ACK is dropped in every state (RFC 9293 s3.10.7); SYN with FIN or RST only
 * scanners send. tcp would say so too, but behind steer, which would carry it to another node first. The
 * program in the driver has the same rule (io_xdp.bpf.c). */
static bool tcp_flags_mean_nothing(const struct buf *b)
{
    if (b->ip_version == 0 || b->ip_proto != IP_PROTO_TCP)
        return false;
    uint8_t flags = wire_l4(b)[13];
    return !(flags & (TCP_SYN | TCP_RST | TCP_ACK)) ||
           (flags & TCP_SYN && flags & (TCP_FIN | TCP_RST));
}

static enum tg_counter parse(struct buf *b)
{
    if (b->flags & BUF_HANDED_OVER)
        return TG_C_none;
    enum tg_counter reason = wire_parse_headers(b);
    if (TG_LIKELY(reason == TG_C_none) && tcp_flags_mean_nothing(b))
        reason = TG_C_tcp_bad_segment;
    return reason;
}

/* First stage: what is malformed goes. Returns how many are left, in order. */
static unsigned parse_burst(struct filter *filter, struct buf *burst[], unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++)
        __builtin_prefetch(burst[i]->data);
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        enum tg_counter reason = parse(b);
        if (TG_LIKELY(reason == TG_C_none))
            burst[kept++] = b;
        else
            drop(filter, b, reason);
    }
    return kept;
}

static_assert(TG_BURST <= 32, "packets of a burst are bits of a uint32_t");

/* Packets among `open` that the rule matches. */
static uint32_t rule_hits(const struct tables_rule *rule, const struct filter_key keys[],
                          uint32_t open)
{
    struct filter_rule r = rule_prepare(rule);
    uint32_t hits = 0;
    for (uint32_t left = open; left; left &= left - 1) {
        unsigned i = (unsigned)__builtin_ctz(left);
        hits |= (uint32_t)rule_matches(&r, &keys[i]) << i;
    }
    return hits;
}

/* Second stage: bit i of the result: burst[i] matches a rule (its hit is counted). */
static uint32_t match_burst(struct filter *filter, struct buf *const burst[], unsigned n)
{
    const struct tables_rules *rules = filter->rules;
    struct filter_key keys[TG_BURST];
    struct filter_summary summary = {0};
    uint32_t open = 0, matched = 0; /* open: packets that no rule has matched yet */
    for (unsigned i = 0; i < n; i++) {
        if (!rules_apply(burst[i]))
            continue;
        key_load(&keys[i], burst[i]);
        summary_add(summary.source, keys[i].source, keys[i].family);
        summary_add(summary.destination, keys[i].destination, keys[i].family);
        open |= 1u << i;
    }
    for (uint32_t r = 0; r < rules->count && open; r++) {
        const struct tables_rule *rule = &rules->rules[r];
        uint32_t hits = rule_may_match(&summary, rule) ? rule_hits(rule, keys, open) : 0;
        if (!hits)
            continue;
        if (filter->rule_hits)
            filter->rule_hits[rule->slot] += (unsigned)__builtin_popcount(hits);
        open &= ~hits;
        matched |= hits;
    }
    return matched;
}

/* Third stage: what no rule matched is checked to the end. */
static unsigned verify_burst(struct filter *filter, struct buf *burst[], unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        enum tg_counter reason = TG_C_none;
        if (!(b->flags & BUF_HANDED_OVER))
            reason = wire_verify(b, filter->toeplitz);
        if (TG_LIKELY(reason == TG_C_none))
            burst[kept++] = b;
        else
            drop(filter, b, reason);
    }
    return kept;
}

unsigned filter_burst(struct filter *filter, struct buf *burst[], unsigned n, tg_ns now)
{
    tg_assert(n <= TG_BURST);
    n = parse_burst(filter, burst, n);
    uint32_t matched = 0;
    if (filter->rules && filter->rules->count)
        matched = match_burst(filter, burst, n);
    if (!matched)
        return verify_burst(filter, burst, n);
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        if (matched >> i & 1)
            drop(filter, burst[i], TG_C_filter_rule);
        else
            burst[kept++] = burst[i];
    }
    return verify_burst(filter, burst, kept);
}
