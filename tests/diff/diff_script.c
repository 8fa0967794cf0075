/* SPDX-License-Identifier: BSD-3-Clause
 * A seed makes a script: a handshake, then segments that are right, nearly right and wrong, and calls of the
 * application. A small model of where both sides stand decides what "right" is; it does not decide what is
 * expected, that do the two stacks.
 */
#include "net/net_test_support.h"
#include "tests/diff/diff.h"
#include <stdio.h>

#define MSS     1000u
#define FAR     9000000u
#define TOO_OLD 200000u

struct model {
    struct prng rng;
    struct script *script;
    uint32_t rcv, snd; /* relative: next byte that the stack expects; behind what it has sent */
    uint32_t una;      /* what we have acknowledged */
    uint32_t clock;    /* TSval */
    bool fin_in, fin_out;
};

static bool chance(struct model *m, unsigned percent)
{
    return prng_below(&m->rng, 100) < percent;
}

static struct step *add(struct model *m, enum step_kind kind, const char *name)
{
    tg_assert(m->script->count < DIFF_STEPS_MAX);
    struct step *s = &m->script->steps[m->script->count++];
    *s = (struct step){.kind = kind, .name = name, .window = 500, .ts = ++m->clock};
    return s;
}

static struct step *segment(struct model *m, const char *name, uint8_t flags, uint32_t seq,
                            uint32_t ack, uint32_t len)
{
    struct step *s = add(m, STEP_SEGMENT, name);
    s->flags = flags;
    s->seq = seq;
    s->ack = ack;
    s->len = len;
    return s;
}

static uint32_t some_bytes(struct model *m)
{
    static const uint32_t sizes[] = {1, 10, 100, 536, 999, MSS};
    return sizes[prng_below(&m->rng, TG_ARRAY_LEN(sizes))];
}

/* --- right ones ----------------------------------------------------------------------------------- */

static void good_data(struct model *m)
{
    uint32_t n = some_bytes(m);
    segment(m, "good data", TCP_ACK | TCP_PSH, m->rcv, m->snd, n);
    m->una = m->snd;
    m->rcv += m->fin_in ? 0 : n;
}

static void good_ack(struct model *m)
{
    segment(m, "good ACK", TCP_ACK, m->rcv, m->snd, 0);
    m->una = m->snd;
}

static void good_fin(struct model *m)
{
    if (m->fin_in)
        return;
    uint32_t n = chance(m, 50) ? some_bytes(m) : 0;
    segment(m, "good FIN", TCP_ACK | TCP_FIN, m->rcv, m->snd, n);
    m->una = m->snd;
    m->rcv += n + 1;
    m->fin_in = true;
}

static void app_write(struct model *m)
{
    if (m->fin_out || m->snd - m->una > 4000)
        return;
    uint32_t n = 1 + (uint32_t)prng_below(&m->rng, 600);
    add(m, STEP_WRITE, "write")->len = n;
    m->snd += n;
}

static void app_shutdown(struct model *m)
{
    if (m->fin_out)
        return;
    add(m, chance(m, 60) ? STEP_SHUTDOWN : STEP_CLOSE, "shutdown or close");
    m->snd++;
    m->fin_out = true;
}

/* --- wrong ones ------------------------------------------------------------------------------------ */

/* Where a wrong segment lies. */
static uint32_t some_place(struct model *m)
{
    switch (prng_below(&m->rng, 9)) {
    case 0:
        return m->rcv - 1;
    case 1:
        return m->rcv - (uint32_t)prng_below(&m->rng, 300);
    case 2:
        return m->rcv + 1;
    case 3:
        return m->rcv + (uint32_t)prng_below(&m->rng, 5000);
    case 4:
        return m->rcv + FAR;
    case 5:
        return m->rcv - FAR;
    case 6:
        return m->rcv + 0x80000000u;
    case 7:
        return 0;
    default:
        return m->rcv;
    }
}

static uint32_t some_ack(struct model *m)
{
    switch (prng_below(&m->rng, 9)) {
    case 0:
        return m->snd + 1;
    case 1:
        return m->snd + 1 + (uint32_t)prng_below(&m->rng, 100000);
    case 2:
        return m->una - 1;
    case 3:
        return m->una - TOO_OLD;
    case 4:
        return m->snd + 0x7fffff00u;
    case 5:
        return m->una;
    default:
        return m->snd;
    }
}

static void wrong_one(struct model *m)
{
    static const uint8_t flags[] = {
        TCP_ACK,           TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN,           TCP_RST,
        TCP_RST | TCP_ACK, TCP_SYN,           TCP_SYN | TCP_ACK,           0,
        TCP_FIN,           TCP_ACK | TCP_URG, TCP_FIN | TCP_PSH | TCP_URG,
    };
    uint8_t f = flags[prng_below(&m->rng, TG_ARRAY_LEN(flags))];
    if (!(f & (TCP_ACK | TCP_RST | TCP_SYN)) &&
        chance(m, 80)) /* they differ always, outside of the window */
        f |= TCP_ACK;
    bool may_carry = !(f & (TCP_SYN | TCP_RST));
    struct step *s = segment(m, "any segment", f, some_place(m), some_ack(m),
                             may_carry && chance(m, 60) ? some_bytes(m) : 0);
    if (chance(m, 10))
        s->window = 0;
    if (chance(m, 10))
        s->ts -= 500; /* older than the SYN's: PAWS */
}

static void old_data(struct model *m)
{
    uint32_t back = 1 + (uint32_t)prng_below(&m->rng, m->rcv > 400 ? 400 : m->rcv - 1);
    segment(m, "old data", TCP_ACK | TCP_PSH, m->rcv - back, m->snd, some_bytes(m));
}

static void early_data(struct model *m)
{
    segment(m, "early data", TCP_ACK | TCP_PSH, m->rcv + 1 + (uint32_t)prng_below(&m->rng, 3000),
            m->snd, some_bytes(m));
}

/* --- the whole ------------------------------------------------------------------------------------- */

static void handshake(struct model *m)
{
    struct step *syn = segment(m, "SYN", TCP_SYN, 0, 0, 0);
    syn->options.has_mss = true;
    syn->options.mss = MSS;
    syn->options.sack_permitted = chance(m, 70);
    syn->options.has_wscale = chance(m, 70);
    syn->options.wscale = 7;
    syn->options.has_timestamps = m->script->ts;
    m->rcv = m->snd = m->una = 1;
    if (chance(m, 15))
        wrong_one(m); /* in SYN-RECEIVED */
    good_ack(m);
    segment(m, "first data", TCP_ACK | TCP_PSH, 1, 1, 400);
    m->rcv += 400;
    add(m, STEP_READ, "read");
}

static void one_step(struct model *m)
{
    uint64_t what = prng_below(&m->rng, 100);
    if (what < 20)
        good_data(m);
    else if (what < 28)
        good_ack(m);
    else if (what < 33)
        good_fin(m);
    else if (what < 45)
        app_write(m);
    else if (what < 50)
        app_shutdown(m);
    else if (what < 57)
        add(m, STEP_READ, "read");
    else if (what < 65)
        old_data(m);
    else if (what < 73)
        early_data(m);
    else
        wrong_one(m);
}

void script_make(uint64_t seed, struct script *script)
{
    struct model m = {.script = script, .clock = DIFF_START_TS};
    prng_seed(&m.rng, seed);
    *script = (struct script){.seed = seed, .ip6 = seed & 1};
    script->ts = chance(&m, 50);
    handshake(&m);
    unsigned n = 2 + (unsigned)prng_below(&m.rng, 9);
    for (unsigned i = 0; i < n && script->count < DIFF_STEPS_MAX - 2; i++)
        one_step(&m);
    /* Both must now say where they stand: an old byte is always answered with an ACK. */
    segment(&m, "where are you", TCP_ACK, 1, m.snd, 1);
}

void script_print(const struct script *script, unsigned upto)
{
    static const char *const kinds[] = {"segment", "read", "write", "shutdown", "close"};
    printf("    IPv%d, timestamps %s\n", script->ip6 ? 6 : 4, script->ts ? "on" : "off");
    for (unsigned i = 0; i <= upto && i < script->count; i++) {
        const struct step *s = &script->steps[i];
        printf("    %2u %-8s", i, kinds[s->kind]);
        if (s->kind == STEP_SEGMENT)
            printf(" %-14s %s%s%s%s%s%s seq %d ack %d len %u win %u ts %u", s->name,
                   s->flags & TCP_SYN ? "S" : "", s->flags & TCP_FIN ? "F" : "",
                   s->flags & TCP_RST ? "R" : "", s->flags & TCP_PSH ? "P" : "",
                   s->flags & TCP_URG ? "U" : "", s->flags & TCP_ACK ? "." : "", (int)s->seq,
                   (int)s->ack, s->len, s->window, s->ts);
        else if (s->kind == STEP_WRITE)
            printf(" %u bytes", s->len);
        printf("\n");
    }
}
