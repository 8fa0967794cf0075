/* SPDX-License-Identifier: BSD-3-Clause
 * Drop rules for the program in the driver: from a list in which the first match counts to the rows of
 * io_xdp_layout.h. Called by the housekeeping thread. Cold; makes no map and loads nothing, so it works
 * after tidegate has dropped its rights (Linux 5.19 or newer; before, the kernel refuses and the rules
 * are in force in filter/ alone).
 */
#include "io/io_xdp.h"
#include <bpf/bpf.h>
#include <stdlib.h>
#include <time.h>

#define PROTO_TCP 6
#define PROTO_UDP 17

/* Longer than any run of the program: who has read `rules_in_force` before it changed is done. */
#define IO_GRACE TG_MS

static void row_set(struct io_xdp_row *row, unsigned rule)
{
    row->words[rule / 64] |= 1ull << rule % 64;
}

static bool names_source_port(const struct io_drop_rule *r)
{
    return r->source_port_low != 0 || r->source_port_high != UINT16_MAX;
}

static bool names_destination_port(const struct io_drop_rule *r)
{
    return r->destination_port_low != 0 || r->destination_port_high != UINT16_MAX;
}

/* A rule that names ports is about protocols that have some: it never matches ICMP (as in filter/). */
static void rules_by_protocol(struct io_xdp_generation *g, const struct io_drop_rule rules[],
                              unsigned n)
{
    memset(g->proto, 0, sizeof g->proto);
    for (unsigned i = 0; i < n; i++) {
        bool ports = names_source_port(&rules[i]) || names_destination_port(&rules[i]);
        for (unsigned proto = 0; proto < 256; proto++) {
            if (rules[i].proto != 0 && rules[i].proto != proto)
                continue;
            if (!ports || proto == PROTO_TCP || proto == PROTO_UDP)
                row_set(&g->proto[proto], i);
        }
    }
}

struct port_range {
    uint32_t low, high;
};

static struct port_range rule_ports(const struct io_drop_rule *r, enum io_xdp_dimension dimension)
{
    if (dimension == IO_XDP_SOURCE)
        return (struct port_range){r->source_port_low, r->source_port_high};
    return (struct port_range){r->destination_port_low, r->destination_port_high};
}

/* Ports between two cuts are one class; a cut is where a range starts, or the port behind its end. */
static void rules_by_port(struct io_xdp_generation *g, enum io_xdp_dimension dimension,
                          const struct io_drop_rule rules[], unsigned n)
{
    uint16_t *class_of = g->port_class[dimension];
    bool cut[65537] = {false};
    uint16_t class = 0;
    for (unsigned i = 0; i < n; i++) {
        struct port_range range = rule_ports(&rules[i], dimension);
        cut[range.low] = cut[range.high + 1] = true;
    }
    for (uint32_t port = 0; port < 65536; port++) {
        if (port && cut[port])
            class ++;
        class_of[port] = class;
    }
    tg_assert(class < IO_XDP_CLASSES);
    memset(g->ports[dimension], 0, (class + 1u) * sizeof g->ports[dimension][0]);
    for (unsigned i = 0; i < n;
         i++) { /* low > high matches nothing: low starts a class of its own */
        struct port_range range = rule_ports(&rules[i], dimension);
        for (unsigned c = class_of[range.low]; c <= class_of[range.high]; c++)
            row_set(&g->ports[dimension][c], i);
    }
}

/* A rule's prefix in one dimension and family. */
struct prefix {
    uint8_t address[16]; /* IPv4: the first four bytes; nothing behind the prefix */
    uint8_t bits;
    uint16_t rule;
};

static void prefix_cut(uint8_t address[16], unsigned bits)
{
    for (unsigned i = 0; i < 16; i++) {
        unsigned keep = bits < 8 * i ? 0 : bits - 8 * i;
        if (keep < 8)
            address[i] &= (uint8_t)(0xff00 >> keep);
    }
}

/* False when the rule's prefix is of the other family. Bits 0 are of both. */
static bool prefix_of(const struct io_drop_rule *r, enum io_xdp_dimension dimension,
                      unsigned family, struct prefix *out)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *address = dimension == IO_XDP_SOURCE ? r->source : r->destination;
    unsigned bits = dimension == IO_XDP_SOURCE ? r->source_bits : r->destination_bits;
    bool is4 = bits >= 96 && !memcmp(address, mapped, sizeof mapped);
    memset(out, 0, sizeof *out);
    if (bits == 0)
        return true;
    if (is4 != (family == 4))
        return false;
    memcpy(out->address, address + (is4 ? 12 : 0), is4 ? 4 : 16);
    out->bits = (uint8_t)(bits - (is4 ? 96 : 0));
    prefix_cut(out->address, out->bits);
    return true;
}

static bool prefix_covers(const struct prefix *wide, const struct prefix *narrow)
{
    uint8_t cut[16];
    if (wide->bits > narrow->bits)
        return false;
    memcpy(cut, narrow->address, sizeof cut);
    prefix_cut(cut, wide->bits);
    return memcmp(cut, wide->address, sizeof cut) == 0;
}

/* What covers comes before what it covers. */
static int prefix_order(const void *a, const void *b)
{
    const struct prefix *x = a, *y = b;
    int by_address = memcmp(x->address, y->address, sizeof x->address);
    if (by_address)
        return by_address;
    return x->bits != y->bits ? x->bits - y->bits : x->rule - y->rule;
}

static bool prefix_same(const struct prefix *a, const struct prefix *b)
{
    return a->bits == b->bits && !memcmp(a->address, b->address, sizeof a->address);
}

static enum tg_err prefix_insert(struct io_driver *d, unsigned generation,
                                 enum io_xdp_dimension dimension, unsigned family,
                                 const struct prefix *p, const struct io_xdp_row *row)
{
    struct io_xdp_prefix key = {.bits = IO_XDP_TAG_BITS + p->bits,
                                .generation = (uint8_t)generation,
                                .dimension = (uint8_t)dimension,
                                .family = (uint8_t)family};
    memcpy(key.address, p->address, sizeof key.address);
    if (bpf_map_update_elem(d->prefixes_map, &key, row, BPF_ANY) != 0)
        return TG_SYSTEM;
    tg_assert(d->key_count[generation] < IO_XDP_PREFIXES / 2);
    d->keys[generation][d->key_count[generation]++] = key;
    return TG_OK;
}

/* The row of a prefix holds its own rules and those of every prefix that covers it. Sorted, the ones that
 * cover it are a stack, one for each length at most. */
static enum tg_err rules_by_prefix(struct io_driver *d, unsigned generation,
                                   enum io_xdp_dimension dimension, unsigned family,
                                   const struct io_drop_rule rules[], unsigned n)
{
    struct prefix list[IO_XDP_RULES];
    struct {
        struct prefix prefix;
        struct io_xdp_row row;
    } stack[130];
    unsigned count = 0, depth = 0;
    for (unsigned i = 0; i < n; i++)
        if (prefix_of(&rules[i], dimension, family, &list[count]))
            list[count++].rule = (uint16_t)i;
    qsort(list, count, sizeof list[0], prefix_order);
    for (unsigned i = 0; i < count;) {
        const struct prefix *p = &list[i];
        while (depth && !prefix_covers(&stack[depth - 1].prefix, p))
            depth--;
        tg_assert(depth < TG_ARRAY_LEN(stack));
        if (depth)
            stack[depth].row = stack[depth - 1].row;
        else
            memset(&stack[0].row, 0, sizeof stack[0].row);
        for (; i < count && prefix_same(&list[i], p); i++)
            row_set(&stack[depth].row, list[i].rule);
        stack[depth].prefix = *p;
        if (prefix_insert(d, generation, dimension, family, p, &stack[depth].row) != TG_OK)
            return TG_SYSTEM;
        depth++;
    }
    return TG_OK;
}

static void generation_clear(struct io_driver *d, unsigned generation)
{
    for (unsigned i = 0; i < d->key_count[generation]; i++)
        (void)bpf_map_delete_elem(d->prefixes_map, &d->keys[generation][i]);
    d->key_count[generation] = 0;
}

static uint32_t rules_use(const struct io_drop_rule rules[], unsigned n)
{
    uint32_t uses = 0;
    for (unsigned i = 0; i < n; i++) {
        uses |= rules[i].source_bits ? IO_XDP_USES_SOURCE : 0;
        uses |= rules[i].destination_bits ? IO_XDP_USES_DESTINATION : 0;
        uses |= names_source_port(&rules[i]) ? IO_XDP_USES_SOURCE_PORT : 0;
        uses |= names_destination_port(&rules[i]) ? IO_XDP_USES_DESTINATION_PORT : 0;
    }
    return uses;
}

static enum tg_err generation_write(struct io_driver *d, unsigned generation,
                                    const struct io_drop_rule rules[], unsigned n)
{
    struct io_xdp_generation *g =
        (void *)((uint8_t *)d->generations + generation * d->generation_bytes);
    static const uint8_t families[] = {4, 6};
    g->words = (n + 63) / 64;
    g->uses = rules_use(rules, n);
    for (unsigned i = 0; i < n; i++)
        g->slot[i] = rules[i].slot;
    rules_by_protocol(g, rules, n);
    for (unsigned dimension = IO_XDP_SOURCE; dimension <= IO_XDP_DESTINATION; dimension++) {
        if (g->uses & (IO_XDP_USES_SOURCE_PORT << dimension))
            rules_by_port(g, dimension, rules, n);
        for (unsigned f = 0; f < 2 && g->uses & (IO_XDP_USES_SOURCE << dimension); f++)
            if (rules_by_prefix(d, generation, dimension, families[f], rules, n) != TG_OK)
                return TG_SYSTEM;
    }
    return TG_OK;
}

static_assert(IO_XDP_USES_SOURCE << IO_XDP_DESTINATION == IO_XDP_USES_DESTINATION, "shifted");
static_assert(IO_XDP_USES_SOURCE_PORT << IO_XDP_DESTINATION == IO_XDP_USES_DESTINATION_PORT,
              "shifted");

enum tg_err io_driver_use_rules(struct io_driver *d, const struct io_drop_rule rules[], unsigned n)
{
    unsigned generation = d->shared->rules_in_force == 1 ? 1 : 0;
    if (n > IO_XDP_RULES)
        return TG_TOO_BIG;
    for (unsigned i = 0; i < n; i++)
        if (rules[i].slot >= IO_XDP_RULES)
            return TG_BAD_INPUT;
    nanosleep(&(struct timespec){.tv_nsec = (long)IO_GRACE}, NULL);
    generation_clear(d, generation);
    enum tg_err result = generation_write(d, generation, rules, n);
    uint32_t in_force = result == TG_OK && n ? generation + 1 : 0;
    __atomic_store_n(&d->shared->rules_in_force, in_force, __ATOMIC_RELEASE);
    return result;
}

enum tg_err io_host_use_rules(struct io_host *host, const struct io_drop_rule rules[], unsigned n)
{
    enum tg_err result = TG_OK;
    for (unsigned p = 0; p < host->port_count && result == TG_OK; p++)
        result = io_driver_use_rules(&host->ports[p].driver, rules, n);
    for (unsigned p = 0; p < host->port_count && result != TG_OK; p++)
        __atomic_store_n(&host->ports[p].driver.shared->rules_in_force, 0, __ATOMIC_RELEASE);
    return result;
}
