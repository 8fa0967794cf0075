/* SPDX-License-Identifier: BSD-3-Clause
 * Owner cookies and SYN cookies, see owner_cookie.h for every bit. Called by tcp (encodes) and steer
 * (decodes). Must not know connections, fleets or time beyond its arguments. Floor 1.
 */
#include "net/owner_cookie.h"

enum owner_label { OWNER_NAMES = 1, OWNER_TAG = 2, OWNER_SYN = 3 };

#define TAG_BITS      10
#define TAG_MASK      1023u
#define NAME_MASK     4095u
#define ISN_LOW_MASK  0x7fffffu
#define SYN_MAC_TS    0x7ffffu /* 19 bits */
#define SYN_MAC_PLAIN 0x7fffu  /* 15 bits */
#define WSCALE_NONE   15u      /* in the clock's four bits */
#define SYN_CLOCKS    64u

/* --- the keyed functions --------------------------------------------------------------------- */

static uint64_t prf(const struct owner_key *key, enum owner_label label, uint16_t argument,
                    const struct ip_tuple *t, const uint32_t *client_isn)
{
    uint8_t input[3 + 2 * 16 + 4 + 4];
    unsigned n = 3;
    unsigned skip = ip_addr_is4(&t->local) ? 12 : 0, bytes = 16 - skip;
    input[0] = (uint8_t)label;
    wire_put16(input + 1, argument);
    memcpy(input + n, t->local.bytes + skip, bytes);
    memcpy(input + n + bytes, t->remote.bytes + skip, bytes);
    n += 2 * bytes;
    wire_put16(input + n, t->local_port);
    wire_put16(input + n + 2, t->remote_port);
    n += 4;
    if (client_isn) {
        wire_put32(input + n, *client_isn);
        n += 4;
    }
    return hash_sip24(key->secret, span_make(input, n));
}

static uint64_t names_of(const struct owner_key *key, const struct ip_tuple *t)
{
    return prf(key, OWNER_NAMES, 0, t, NULL);
}

static uint32_t tag_of(const struct owner_key *key, const struct ip_tuple *t, unsigned slot)
{
    return (uint32_t)prf(key, OWNER_TAG, (uint16_t)slot, t, NULL) & TAG_MASK;
}

static unsigned names_slot(uint64_t names, unsigned name)
{
    return (unsigned)(names & NAME_MASK) ^ name;
}

static uint8_t names_site(uint64_t names, unsigned high_byte)
{
    return (uint8_t)(names >> 12 ^ high_byte);
}

/* --- where the bits lie ---------------------------------------------------------------------- */

static uint32_t ts_pack(unsigned name, unsigned clock, uint32_t tag)
{
    return (name >> 4) << 24 | clock << OWNER_CLOCK_SHIFT | (name & 15) << TAG_BITS | tag;
}

/* The name, had the clock run over `carry` times. */
static unsigned ts_name(uint32_t ts, unsigned carry)
{
    return (((ts >> 24) - carry) & 0xff) << 4 | (ts >> TAG_BITS & 15);
}

static unsigned ts_clock(uint32_t ts)
{
    return ts >> OWNER_CLOCK_SHIFT & OWNER_CLOCK_MASK;
}

static uint32_t ts_base_make(const struct owner_identity *me, const struct ip_tuple *tuple,
                             uint64_t names, unsigned clock)
{
    unsigned name = names_slot(names, me->slot); /* exclusive-or: both ways alike */
    return ts_pack(name, clock, tag_of(&me->owner.key[0], tuple, me->slot));
}

/* --- a connection's cookie ------------------------------------------------------------------- */

struct owner_cookie owner_cookie_make(const struct owner_identity *me, const struct ip_tuple *tuple,
                                      unsigned clock_start, uint32_t isn_clock)
{
    tg_assert(me->owner.count > 0 && me->slot < OWNER_SLOTS - 1);
    tg_assert(clock_start <= OWNER_CLOCK_MASK);
    uint64_t names = names_of(&me->owner.key[0], tuple);
    uint32_t low = (isn_clock + (uint32_t)(names >> 32)) & ISN_LOW_MASK;
    return (struct owner_cookie){
        .ts_base = ts_base_make(me, tuple, names, clock_start),
        .isn = (uint32_t)names_site(names, me->site) << 24 | low,
    };
}

/* --- whose packet? --------------------------------------------------------------------------- */

bool owner_cookie_slot(const struct owner_keys *keys, const struct owner_slots *live,
                       const struct ip_tuple *tuple, uint32_t ts, uint16_t *slot)
{
    uint64_t names[OWNER_KEYS];
    tg_assert(keys->count <= OWNER_KEYS);
    for (unsigned k = 0; k < keys->count; k++)
        names[k] = names_of(&keys->key[k], tuple);
    for (unsigned carry = 0; carry < OWNER_CARRIES; carry++)
        for (unsigned k = 0; k < keys->count; k++) {
            unsigned found = names_slot(names[k], ts_name(ts, carry));
            /* The set first: most forgeries name nobody, and the tag costs a hash. */
            if (!owner_set_has(live->bits, found) ||
                tag_of(&keys->key[k], tuple, found) != (ts & TAG_MASK))
                continue;
            *slot = (uint16_t)found;
            return true;
        }
    return false;
}

unsigned owner_cookie_sites(const struct owner_keys *keys, const struct owner_sites *live,
                            const struct ip_tuple *tuple, uint32_t seq,
                            uint8_t out[OWNER_SITES_FOUND])
{
    unsigned n = 0;
    uint64_t names[OWNER_KEYS];
    struct owner_sites found = {{0}};
    tg_assert(keys->count <= OWNER_KEYS);
    for (unsigned k = 0; k < keys->count; k++)
        names[k] = names_of(&keys->key[k], tuple);
    for (unsigned carry = 0; carry < OWNER_ISN_CARRIES; carry++)
        for (unsigned k = 0; k < keys->count; k++) {
            uint8_t site = names_site(names[k], (seq >> 24) - carry);
            if (!owner_set_has(live->bits, site) || owner_set_has(found.bits, site))
                continue;
            owner_set_add(found.bits, site);
            out[n++] = site;
        }
    return n;
}

bool owner_cookie_timestamps(struct span options, uint32_t *value, uint32_t *echo)
{
    enum { END = 0, NOP = 1, TIMESTAMPS = 8, TIMESTAMPS_BYTES = 10 };
    for (size_t at = 0; at < options.len && options.data[at] != END;) {
        const uint8_t *p = options.data + at;
        size_t left = options.len - at;
        if (p[0] == NOP) {
            at++;
            continue;
        }
        if (left < 2 || p[1] < 2 || p[1] > left)
            return false;
        if (p[0] == TIMESTAMPS && p[1] == TIMESTAMPS_BYTES) {
            *value = wire_get32(p + 2);
            *echo = wire_get32(p + 6);
            return true;
        }
        at += p[1];
    }
    return false;
}

/* --- SYN cookies ----------------------------------------------------------------------------- */

static const uint16_t mss_table[8] = {272, 536, 1220, 1300, 1360, 1400, 1440, 1460};
static const uint8_t wscale_table[8] = {0, 0, 1, 2, 4, 6, 7, 8}; /* entry 0: none */

static unsigned mss_index(uint16_t mss)
{
    unsigned i = 0;
    while (i + 1 < TG_ARRAY_LEN(mss_table) && mss_table[i + 1] <= mss)
        i++;
    return i;
}

static unsigned wscale_index(const struct owner_syn *o)
{
    unsigned i = 1;
    if (!o->has_wscale)
        return 0;
    while (i + 1 < TG_ARRAY_LEN(wscale_table) && wscale_table[i + 1] <= o->wscale)
        i++;
    return i;
}

/* The options as their bits: what the MAC covers and, without the first, what the fields hold. */
struct syn_bits {
    bool timestamps, sack, ecn;
    unsigned mss, wscale; /* indices; with timestamps the scale's own four bits */
};

static struct syn_bits syn_bits_of(const struct owner_syn *o)
{
    unsigned exact = o->has_wscale ? o->wscale : WSCALE_NONE;
    return (struct syn_bits){
        .timestamps = o->timestamps,
        .sack = o->sack,
        .ecn = o->timestamps && o->ecn,
        .mss = mss_index(o->mss),
        .wscale = o->timestamps ? exact : wscale_index(o),
    };
}

static uint32_t syn_mac(const struct owner_key *key, const struct ip_tuple *tuple,
                        uint32_t client_isn, const struct syn_bits *b)
{
    unsigned bits = (unsigned)b->timestamps << 15 | b->mss << 8 | b->wscale << 2 |
                    (unsigned)b->sack << 1 | (unsigned)b->ecn;
    uint64_t mac = prf(key, OWNER_SYN, (uint16_t)bits, tuple, &client_isn);
    return (uint32_t)mac & (b->timestamps ? SYN_MAC_TS : SYN_MAC_PLAIN);
}

struct owner_cookie owner_syn_encode(const struct owner_identity *me, const struct ip_tuple *tuple,
                                     uint32_t client_isn, const struct owner_syn *options)
{
    tg_assert(me->owner.count > 0 && me->syn.count > 0 && options->wscale <= 14);
    const struct owner_key *key = &me->syn.key[0];
    uint64_t names = names_of(&me->owner.key[0], tuple);
    struct syn_bits b = syn_bits_of(options);
    unsigned clock = b.wscale << 2 | (unsigned)b.sack << 1 | (unsigned)b.ecn;
    uint32_t low = (key->id & 1) << 22 | b.mss << 19 | syn_mac(key, tuple, client_isn, &b);
    if (!b.timestamps) {
        low |= b.wscale << 16 | (uint32_t)b.sack << 15;
        clock = 0;
    }
    return (struct owner_cookie){
        .ts_base = ts_base_make(me, tuple, names, clock),
        .isn = (uint32_t)names_site(names, me->site) << 24 | low,
    };
}

/* The bits that an ACK says it had. */
static struct syn_bits syn_bits_from(uint32_t isn, const uint32_t *ts_echo)
{
    struct syn_bits b = {.timestamps = ts_echo != NULL, .mss = isn >> 19 & 7};
    if (ts_echo) {
        unsigned clock = ts_clock(*ts_echo);
        b.wscale = clock >> 2 & 15;
        b.sack = clock >> 1 & 1;
        b.ecn = clock & 1;
    } else {
        b.wscale = isn >> 16 & 7;
        b.sack = isn >> 15 & 1;
    }
    return b;
}

/* 0 when site, bit 23, name, tag and clock are what we would have sent under this owner key. */
static uint32_t syn_names_differ(const struct owner_identity *me, const struct owner_key *key,
                                 const struct ip_tuple *tuple, uint32_t isn,
                                 const uint32_t *ts_echo)
{
    uint64_t names = names_of(key, tuple);
    uint32_t differ = (uint32_t)names_site(names, me->site) ^ isn >> 24;
    differ |= isn >> 23 & 1;
    if (ts_echo) {
        uint32_t mine = ts_pack(names_slot(names, me->slot), 0, tag_of(key, tuple, me->slot));
        uint32_t free_bits = (SYN_CLOCKS - 1) << OWNER_CLOCK_SHIFT;
        differ |= (*ts_echo ^ mine) & ~free_bits;
    }
    return differ;
}

bool owner_syn_verify(const struct owner_identity *me, const struct ip_tuple *tuple,
                      uint32_t client_isn, uint32_t isn, const uint32_t *ts_echo,
                      struct owner_syn *options)
{
    const struct owner_key *key = NULL;
    for (unsigned k = 0; k < me->syn.count && !key; k++)
        if ((me->syn.key[k].id & 1) == (isn >> 22 & 1))
            key = &me->syn.key[k];
    if (!key)
        return false;
    struct syn_bits b = syn_bits_from(isn, ts_echo);
    uint32_t differ =
        syn_mac(key, tuple, client_isn, &b) ^ (isn & (b.timestamps ? SYN_MAC_TS : SYN_MAC_PLAIN));
    bool ours = false;
    for (unsigned k = 0; k < me->owner.count; k++)
        ours |= syn_names_differ(me, &me->owner.key[k], tuple, isn, ts_echo) == 0;
    if (differ != 0 || !ours)
        return false;
    bool has_wscale = b.timestamps ? b.wscale != WSCALE_NONE : b.wscale != 0;
    *options = (struct owner_syn){
        .mss = mss_table[b.mss],
        .has_wscale = has_wscale,
        .wscale = (uint8_t)(!has_wscale    ? 0
                            : b.timestamps ? b.wscale
                                           : wscale_table[b.wscale]),
        .sack = b.sack,
        .timestamps = b.timestamps,
        .ecn = b.ecn,
    };
    return true;
}
