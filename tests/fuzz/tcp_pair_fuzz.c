/* SPDX-License-Identifier: BSD-3-Clause
 * Two hosts, each the whole stack, over a wire that the input holds in its hands, with a clock that it moves: what users do,
 * when time passes, what becomes of each frame (delivered in any order, lost, doubled, damaged, shortened, changed
 * with right checksums), segments that neither has sent. IPv4 or IPv6 by a bit.
 *
 * What must hold: tcp_check after each step; every byte that is read is the one that was written, as long as no
 * lie has had a right checksum; an exchange at a standing clock ends (no storm of ACKs); when the wire has become
 * perfect, everything arrives and every connection ends in bounded time; at the end each frame and timer is back.
 * Built by dataplane/tcp/meson.build with -Dfuzz=true; its seeds: tests/fuzz/corpus/tcp_pair_fuzz.
 */
#include "tests/fuzz/pair_users.h"
#include "tests/fuzz/pair_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define STEPS_MAX 300
#define EXCHANGE_ROUNDS                                                                            \
    200 /* at a standing clock; 20,000 bytes at a segment a round trip need 75 */
#define FINISH_ROUNDS   600
#define PATIENCE_ROUNDS 20
#define PATIENCE_WATCHED                                                                           \
    200 /* an RTO or a delayed ACK each: what has not arrived by then never will: streams_expect_whole sees it */
#define FINISH_STRIDE (10 * TG_S)
#define BEGINNING     (1000 * TG_S)
#define VARIANTS      32u

struct pair {
    struct pair_side side[2]; /* 0 has connected to 1 */
    bool ip6, honest;
    tg_ns now;
    struct span_reader in;
};

static struct wire wire; /* 400 KB: not for the stack */

/* --- turns ------------------------------------------------------------------------------------------------- */

static void turn(struct pair *p, unsigned side)
{
    struct fuzz_host *h = p->side[side].host;
    timers_run(&h->wheel, p->now, UINT32_MAX);
    if (p->now - p->side[side].ticked >= 100 * TG_MS) {
        net_tick(h->net, p->now);
        p->side[side].ticked = p->now;
    }
    for (unsigned i = 0; i < 100 && tcp_output(h->tcp, p->now); i++)
        wire_collect(&wire, h, !side);
    wire_collect(&wire, h, !side);
    pair_events(&p->side[side]);
    fuzz_check(h);
}

static void turns(struct pair *p)
{
    turn(p, 0);
    turn(p, 1);
}

/* The frame arrives, and stays in the wire. Two changes may leave the sum as it was: such damage is a lie, too. */
static void arrive(struct pair *p, unsigned n)
{
    const struct wire_frame *f = wire_at(&wire, n);
    enum tg_counter reason = wire_deliver(p->side[f->to].host, f, p->now);
    if (f->damaged && reason == TG_C_none)
        p->honest = false;
}

static void deliver_first(struct pair *p, unsigned count)
{
    for (; count && wire.count; count--) {
        arrive(p, 0);
        wire_remove(&wire, 0);
    }
    turns(p);
}

/* Until nobody has more to say. */
static void exchange(struct pair *p)
{
    turns(p);
    for (unsigned round = 0; wire.count; round++) {
        tg_assert(round < EXCHANGE_ROUNDS); /* else two stacks answer each other for ever */
        deliver_first(p, wire.count);
    }
}

/* --- what the wire does ------------------------------------------------------------------------------------ */

/* Of IPv6 the payload length is covered by a sum only, together with what it cuts off. */
static bool damage_shows(const struct wire_frame *f, unsigned at)
{
    bool length6 = at == ETH_BYTES + 4 || at == ETH_BYTES + 5;
    return !(length6 && wire_get16(f->bytes + 12) == ETHERTYPE_IP6);
}

static void frame_change(struct pair *p, struct wire_frame *f)
{
    uint8_t how = span_read_u8(&p->in), bits = span_read_u8(&p->in);
    unsigned header = ETH_BYTES + (p->ip6 ? 40 : 20), at = how & 0x7f;
    at = (how & 0x40 ? header + (at & 0x3f) : at) % f->len;
    bool shows = damage_shows(f, at);
    f->bytes[at] ^= bits;
    f->damaged = f->damaged || bits;
    if (bits && ((how & 0x80 && wire_checksums_fix(f)) || !shows))
        p->honest = false;
}

/* Take a piece of a segment's text away at either end, as who segments anew does: no lie, and what is left overlaps whatever
 * comes again in the old way. */
static void text_cut(struct pair *p, struct wire_frame *f, unsigned n, bool front)
{
    bool ip6 = wire_get16(f->bytes + 12) == ETHERTYPE_IP6;
    uint8_t *ip = f->bytes + ETH_BYTES, *tcp = ip + (ip6 ? 40 : 20);
    if (f->len < tcp + TCP_BYTES - f->bytes || ip[ip6 ? 6 : 9] != IP_PROTO_TCP)
        return;
    uint8_t *text = tcp + (tcp[12] >> 4) * 4, *end = f->bytes + f->len;
    if (text >= end || tcp[13] & TCP_SYN)
        return;
    n = 1 + n % (unsigned)(end - text);
    if (front) {
        memmove(text, text + n, (size_t)(end - text) - n);
        wire_put32(tcp + 4, wire_get32(tcp + 4) + n);
    } else {
        tcp[13] &= (uint8_t)~TCP_FIN;
    }
    f->len = (uint16_t)(f->len - n);
    wire_put16(ip + (ip6 ? 4 : 2), (uint16_t)(f->len - ETH_BYTES - (ip6 ? 40 : 0)));
    if (wire_checksums_fix(f) && f->damaged)
        p->honest = false;
}

/* A frame that ends too early; or shorter segments. */
static void frame_shorten(struct pair *p, struct wire_frame *f)
{
    uint16_t n = span_read_be16(&p->in);
    if (n & 0x8000) {
        text_cut(p, f, n & 0x3fff, n & 0x4000);
    } else {
        f->len = (uint16_t)(1 + n % f->len);
        f->damaged = true;
    }
}

static void frame_step(struct pair *p, unsigned what)
{
    if (wire.count == 0)
        return;
    unsigned n = span_read_u8(&p->in) % wire.count;
    switch (what) {
    case 8:
        arrive(p, n);
        wire_remove(&wire, n);
        turns(p);
        return;
    case 9:
        wire_remove(&wire, n);
        return;
    case 10:
        wire_duplicate(&wire, n);
        return;
    case 11:
        frame_change(p, wire_at(&wire, n));
        return;
    default:
        frame_shorten(p, wire_at(&wire, n));
    }
}

/* A segment from somebody who knows the connection's numbers, or nearly. */
static void inject(struct pair *p, unsigned side)
{
    struct fuzz_host *h = p->side[side].host;
    uint8_t how = span_read_u8(&p->in), flags = span_read_u8(&p->in);
    const struct tcp_pcb *pcb = tcp_pcb_find(h->tcp, p->side[side].users[how % PAIR_USERS].h);
    if (!pcb || !fuzz_pool_has(&h->pool, 1))
        return;
    static const uint8_t bytes[1400];
    struct tcp_options o = {.has_timestamps = tcp_has(pcb, TCP_F_TIMESTAMPS) && how & 4,
                            .ts_value = pcb->ts_recent + (how >> 6)};
    uint8_t options[TCP_OPTIONS_MAX];
    size_t options_len = tcp_options_emit(&o, options, sizeof options);
    uint32_t seq = pcb->rcv_nxt, ack = pcb->snd_nxt;
    seq += how & 8 ? (uint32_t)(int16_t)span_read_be16(&p->in) : 0;
    ack -= how & 16 ? (uint32_t)(int16_t)span_read_be16(&p->in) : 0;
    size_t n = how & 32 ? span_read_be16(&p->in) % sizeof bytes : 0;
    struct buf *b =
        test_frame_tcp(&h->pool.pool, &pcb->tuple, seq, ack, flags, span_read_be16(&p->in),
                       span_make(options, options_len), span_make(bytes, n));
    p->honest = false;
    if (wire_parse(b, &fuzz_toeplitz) == TG_C_none)
        tcp_input(h->tcp, &b, 1, p->now);
    else
        buf_unref(&h->pool.pool, b);
    turns(p);
}

/* --- what users do ----------------------------------------------------------------------------------------- */

static bool connect_out(struct pair *p, unsigned from)
{
    struct pair_side *s = &p->side[from];
    const struct net_address *there = p->side[!from].host->net->config.addresses;
    tcp_handle h;
    enum tg_err err = tcp_connect(s->host->tcp, NULL, &there[p->ip6].address, 80, 0, 0, p->now, &h);
    if (err == TG_OK)
        pair_user_begin(s, h);
    return err == TG_OK;
}

static void knob(struct pair *p, struct tcp *tcp, tcp_handle h)
{
    static const uint8_t names[] = {
        TCP_OPT_NAGLE,          TCP_OPT_QUICKACK,    TCP_OPT_CONGESTION,    TCP_OPT_MSS,
        TCP_OPT_RECEIVE_WINDOW, TCP_OPT_SEND_BUFFER, TCP_OPT_NOTSENT_LOWAT, TCP_OPT_DSCP};
    uint8_t name = span_read_u8(&p->in);
    (void)tcp_set_option(tcp, h, names[name % sizeof names], span_read_be16(&p->in));
}

static void user_step(struct pair *p, unsigned side, uint8_t what)
{
    struct pair_side *s = &p->side[side];
    struct tcp *tcp = s->host->tcp;
    struct pair_user *u = &s->users[what >> 6];
    switch (what & 7) {
    case 0:
    case 1:
        pair_write(s, u, span_read_be16(&p->in));
        break;
    case 2:
        pair_read(s, u, span_read_be16(&p->in), p->honest);
        break;
    case 3:
        tcp_shutdown(tcp, u->h);
        break;
    case 4:
        if (what & 8) {
            tcp_close(tcp, u->h);
            u->h = TCP_NONE;
        } else {
            tcp_cork(tcp, u->h, what & 16);
        }
        break;
    case 5:
        if (what & 8) {
            tcp_abort(tcp, u->h);
            u->h = TCP_NONE;
        } else {
            tcp_sleep(tcp, 2);
        }
        break;
    case 6:
        connect_out(p, side);
        break;
    default:
        knob(p, tcp, u->h);
    }
    turn(p, side);
}

static void fault(struct pair *p, unsigned side, bool port)
{
    struct fuzz_host *h = p->side[side].host;
    if (port)
        h->port_busy = !h->port_busy;
    else
        h->pool.limit = h->pool.limit == UINT32_MAX ? h->pool.outstanding : UINT32_MAX;
}

static tg_ns next_event(const struct pair *p)
{
    tg_ns a = timers_next(&p->side[0].host->wheel), b = timers_next(&p->side[1].host->wheel);
    return a < b ? a : b;
}

static void time_step(struct pair *p, unsigned how)
{
    static const tg_ns times[] = {0,           TG_MS,    10 * TG_MS, 45 * TG_MS,
                                  250 * TG_MS, 2 * TG_S, 65 * TG_S,  400 * TG_S};
    tg_ns next = next_event(p);
    if (how)
        p->now += times[how];
    else if (next > p->now && next != UINT64_MAX)
        p->now = next;
    turns(p);
}

static void step(struct pair *p)
{
    uint8_t op = span_read_u8(&p->in);
    unsigned what = op & 15, side = op >> 4 & 1, how = op >> 5;
    if (what <= 4)
        user_step(p, side, span_read_u8(&p->in));
    else if (what == 5)
        time_step(p, how);
    else if (what <= 7)
        deliver_first(p, how + 1);
    else if (what <= 12)
        frame_step(p, what);
    else if (what == 13)
        inject(p, side);
    else if (what == 14)
        exchange(p);
    else
        fault(p, side, how & 1);
}

/* --- beginning and end --------------------------------------------------------------------------------------- */

static void watch(struct pair *p)
{
    for (unsigned i = 0; i < PAIR_USERS; i++) {
        struct pair_user *u = &p->side[0].users[i];
        struct pair_user *o = pair_other_end(&p->side[0], &p->side[1], u);
        if (o)
            u->watched = o->watched = true;
    }
}

static bool over(const struct pair *p)
{
    for (unsigned side = 0; side < 2; side++) {
        const struct fuzz_host *h = p->side[side].host;
        if (tcp_connection_count(h->tcp) || tcp_half_open_count(h->tcp) ||
            tcp_time_wait_count(h->tcp) || h->pool.outstanding)
            return false; /* a frame may wait for a neighbour a little longer */
    }
    return true;
}

/* Users read everything and have nothing more to say. */
static void users_finish(struct pair *p)
{
    for (unsigned side = 0; side < 2; side++) {
        struct pair_side *s = &p->side[side];
        for (unsigned i = 0; i < PAIR_USERS; i++) {
            tcp_cork(s->host->tcp, s->users[i].h, false);
            pair_read(s, &s->users[i], UINT32_MAX, p->honest);
            tcp_shutdown(s->host->tcp, s->users[i].h);
        }
    }
}

/* A user may wait for ever at a window that a lie has shut (RFC 9293 MUST-37), or for the FIN of a peer that is gone
 * and whose RST was lost. Without users the stack has to come to an end by itself. */
static void users_leave(struct pair *p, bool watched_too)
{
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < PAIR_USERS; i++) {
            struct pair_user *u = &p->side[side].users[i];
            if (p->honest && u->watched && !watched_too)
                continue;
            tcp_close(p->side[side].host->tcp, u->h);
            u->h = TCP_NONE;
        }
}

/* Neighbours have no timer in the wheel, net_tick asks them. */
static bool neighbour_awaited(const struct fuzz_host *h)
{
    for (unsigned i = 0; i < NET_NEIGHBOURS_MAX; i++)
        if (h->net->neigh.entries[i].queued)
            return true;
    return false;
}

static void time_finish(struct pair *p)
{
    bool waits = neighbour_awaited(p->side[0].host) || neighbour_awaited(p->side[1].host);
    tg_ns next = next_event(p), stride = p->now + FINISH_STRIDE;
    if (next == UINT64_MAX || (waits && next > stride))
        next = stride;
    p->now = next > p->now ? next : p->now + TG_MS;
}

static void finish(struct pair *p)
{
    watch(p);
    for (unsigned round = 0; !over(p); round++) {
        if (round == FINISH_ROUNDS)
            for (unsigned side = 0; side < 2; side++)
                fuzz_host_print(p->side[side].host);
        tg_assert(round < FINISH_ROUNDS); /* else something waits for ever */
        users_finish(p);
        exchange(p);
        users_finish(p);
        if (round >= PATIENCE_ROUNDS)
            users_leave(p, round >= PATIENCE_WATCHED);
        time_finish(p);
    }
}

/* Both ends were alive and the wire told no lie: both streams are whole. A connection's users need not sit at
 * the same number at both ends: hence sums. */
static void streams_expect_whole(const struct pair *p)
{
    uint64_t sent[2] = {0}, received[2] = {0};
    for (unsigned side = 0; side < 2; side++)
        for (unsigned i = 0; i < PAIR_USERS; i++) {
            const struct pair_user *u = &p->side[side].users[i];
            if ((u->watched && u->given_up) || p->side[side].lost_track)
                return;
            sent[side] += u->watched ? u->sent : 0;
            received[side] += u->watched ? u->received : 0;
        }
    if (sent[0] != received[1] || sent[1] != received[0])
        fprintf(stderr, "sent %lu and %lu, received %lu and %lu\n", sent[0], sent[1], received[1],
                received[0]);
    tg_assert(sent[0] == received[1] && sent[1] == received[0]);
}

static struct fuzz_host *host_new(unsigned n, unsigned variant)
{
    struct tcp_config config = {.worker = n,
                                .connections_max = PAIR_USERS,
                                /* at one end: two that wait for each other's room would take R2 */
                                .active_max = variant & 8 && n == 2 ? 2 : 0,
                                .half_open_max = 2,
                                .time_wait_max = 2,
                                .receive_window_max = variant & 2 ? 4096 : 120000,
                                .send_buffer_max = 20000,
                                .unsent_low = 4096,
                                .ooo_segments_max = 5,
                                .tso_bytes_max = UINT32_MAX,
                                .tso_segments_max = UINT8_MAX,
                                .ecn = variant & 4 ? TCP_ECN_ON : TCP_ECN_AGREE,
                                .no_pacing = variant & 4,
                                .nagle = variant & 4,
                                .isn_key = {n, 2},
                                .seed = n};
    const uint8_t mac[6] = {2, 0, 0, 0, 1, (uint8_t)n};
    return fuzz_host_new(&config, mac, n, variant & 16 ? 64 : 0, BEGINNING);
}

/* A connection stands, the link has been learnt; the first input that wants it makes it. */
static struct pair pair_begin(unsigned variant)
{
    static struct start {
        struct pair pair;
        uint8_t *images[2];
    } starts[VARIANTS];
    struct start *s = &starts[variant];
    wire_reset(&wire);
    if (!s->images[0]) {
        struct pair *p = &s->pair;
        *p = (struct pair){.ip6 = variant & 1, .honest = true, .now = BEGINNING};
        for (unsigned side = 0; side < 2; side++)
            p->side[side].host = host_new(1 + side, variant);
        tg_assert(connect_out(p, 0));
        exchange(p);
        p->now += TG_S;
        exchange(p);
        tg_assert(pair_other_end(&p->side[0], &p->side[1], &p->side[0].users[0]));
        for (unsigned side = 0; side < 2; side++)
            s->images[side] = fuzz_host_image(p->side[side].host);
    }
    for (unsigned side = 0; side < 2; side++)
        fuzz_host_restore(s->pair.side[side].host, s->images[side]);
    return s->pair;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct span_reader in = span_reader_make(span_make(data, len));
    uint8_t how = span_read_u8(&in);
    struct pair p = pair_begin((how & 15u) | (how & 0x40 ? 16 : 0));
    p.in = in;
    for (unsigned i = 0; i < STEPS_MAX && p.in.ok && span_reader_left(&p.in); i++)
        step(&p);
    for (unsigned side = 0; side < 2; side++) {
        p.side[side].host->pool.limit = UINT32_MAX;
        p.side[side].host->port_busy = false;
    }
    if ((how & 0x30) == 0x30) { /* a good end costs more than most inputs do: not for every one */
        finish(&p);
        if (p.honest)
            streams_expect_whole(&p);
    }
    for (unsigned side = 0; side < 2; side++)
        fuzz_host_end(p.side[side].host);
    return 0;
}
