/* SPDX-License-Identifier: BSD-3-Clause
 * One end of scripts/bench tcp's programs: pool, turn, wire, figures. See tcp_end.h.
 */
#include "tests/bench/tcp_end.h"
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

struct end_frame {
    struct buf buf;
    uint8_t bytes[BUF_HEADROOM + BUF_ROOM];
} TG_CACHE_ALIGN;

/* --- clock ------------------------------------------------------------------------------------------- */

static tg_ns monotonic(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec;
}

double end_cycles_per_ns(void)
{
    static double rate;
    if (rate == 0) {
        tg_ns start = monotonic(), now;
        uint64_t tsc = __rdtsc();
        while ((now = monotonic()) - start < 50 * TG_MS)
            ;
        rate = (double)(__rdtsc() - tsc) / (double)(now - start);
    }
    return rate;
}

tg_ns end_now(void)
{
    static double ns_per_cycle;
    if (ns_per_cycle == 0)
        ns_per_cycle = 1 / end_cycles_per_ns();
    return (tg_ns)((double)__rdtsc() * ns_per_cycle);
}

/* --- pool -------------------------------------------------------------------------------------------- */

static unsigned pool_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct bench_end *end = pool->arg;
    unsigned i = 0;
    for (; i < n && end->home_count; i++) {
        out[i] = end->home[--end->home_count];
        buf_reset(out[i]);
    }
    return i;
}

static void pool_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct bench_end *end = pool->arg;
    for (unsigned i = 0; i < n; i++)
        end->home[end->home_count++] = bufs[i];
}

static uint32_t pool_available(const struct buf_pool *pool)
{
    return ((const struct bench_end *)pool->arg)->home_count + pool->cached;
}

static void pool_make(struct bench_end *end, unsigned frames)
{
    end->frames_bytes =
        (sizeof(struct end_frame) * frames + (2u << 20)) & ~((size_t)(2u << 20) - 1);
    end->frames = aligned_alloc(2u << 20, end->frames_bytes);
    end->home = calloc(frames, sizeof *end->home);
    if (!end->frames || !end->home)
        END_FATAL("bench: no memory for %u frames\n", frames);
    (void)madvise(end->frames, end->frames_bytes, MADV_HUGEPAGE);
    buf_pool_init(&end->pool, pool_refill, pool_drain, end);
    end->pool.available = pool_available;
    end->pool.total = frames;
    for (unsigned i = 0; i < frames; i++) {
        struct end_frame *f = (struct end_frame *)(void *)end->frames + i;
        f->buf = (struct buf){.head = f->bytes, .cap = BUF_HEADROOM + BUF_ROOM, .pool = &end->pool};
        end->home[end->home_count++] = &f->buf;
    }
}

/* --- end --------------------------------------------------------------------------------------------- */

struct ip_addr end_address(uint8_t last)
{
    const uint8_t bytes[4] = {192, 0, 2, last};
    return ip_addr_from4(bytes);
}

/* The wire copies in its turn: nothing is read later. */
static bool end_tx_done(const void *arg, const struct buf *b)
{
    return true;
}

void end_create(struct bench_end *end, const struct end_config *config, tg_ns now)
{
    static const uint8_t key[TOEPLITZ_KEY_BYTES] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2,
                                                    0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0};
    static const struct ip_addr none;
    const uint8_t mac[6] = {2, 0, 0, 0, 0, (uint8_t)config->number};
    *end = (struct bench_end){.offload = config->offload};
    memcpy(end->mac, mac, 6);
    pool_make(end, config->frames);
    toeplitz_init(&end->toeplitz, key);
    timer_wheel_init(&end->wheel, now);
    struct net_config net = {.address_count = config->addresses, .port_count = 1, .answers = true};
    for (unsigned i = 0; i < config->addresses; i++)
        net.addresses[i] =
            (struct net_address){end_address((uint8_t)(config->number + i)), 96 + 24, 0};
    if (!ip_addr_equal(&config->gateway, &none)) {
        static const uint8_t any[4];
        net.route_count = 1;
        net.routes[0] = (struct net_route){ip_addr_from4(any), 96, config->gateway, 0};
    }
    memcpy(net.ports[0].mac, mac, 6);
    net.ports[0].mtu = 1500;
    net.ports[0].tso = config->tso;
    net.ports[0].tx_ip_checksum = net.ports[0].tx_l4_checksum = config->offload;
    if (net_create(&net, &end->pool, &end->stats, &end->toeplitz, 1, NULL, NULL, &end->net) !=
        TG_OK)
        END_FATAL("bench: net_create\n");
    if (config->tcp.connections_max &&
        tcp_create(&config->tcp, end->net, &end->pool, &end->wheel, &end->stats, &end->toeplitz,
                   end_tx_done, NULL, &end->tcp) != TG_OK)
        END_FATAL("bench: tcp_create\n");
}

/* --- wire -------------------------------------------------------------------------------------------- */

void end_receive(struct bench_end *end, const uint8_t *frame, unsigned bytes)
{
    enum { IP4_SOURCE = 26, ADDRESSES_AND_PORTS = 12 };
    struct buf *b = end->count < END_QUEUE ? buf_alloc(&end->pool) : NULL;
    if (!b) {
        end->lost++;
        return;
    }
    memcpy(buf_put(b, (uint16_t)bytes), frame, bytes);
    if (end->offload) {
        b->flags |= BUF_RX_IP_CSUM_GOOD | BUF_RX_L4_CSUM_GOOD | BUF_RX_HASH;
        b->rx_hash = toeplitz_hash(&end->toeplitz, frame + IP4_SOURCE, ADDRESSES_AND_PORTS);
    }
    end->arrived[(end->head + end->count++) % END_QUEUE] = b;
}

void end_wire_to(struct bench_end *from, struct buf *burst[], unsigned n, void *arg)
{
    for (unsigned i = 0; i < n; i++) {
        tg_assert(!burst[i]->next);
        end_receive(arg, burst[i]->data, burst[i]->len);
    }
}

/* --- turn -------------------------------------------------------------------------------------------- */

static uint64_t stage_end(struct bench_end *end, enum end_stage stage, uint64_t since)
{
    uint64_t now = __rdtsc();
    end->cycles[stage] += now - since;
    return now;
}

/* Parse as filter does; what is not TCP goes to net. Returns how many are left for tcp. */
static unsigned turn_parse(struct bench_end *end, struct buf *burst[], unsigned n, tg_ns now)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n; i++) {
        struct buf *b = burst[i];
        if (wire_parse(b, &end->toeplitz) != TG_C_none)
            buf_unref(&end->pool, b);
        else if (b->ip_proto == IP_PROTO_TCP && end->tcp)
            burst[kept++] = b;
        else
            net_input(end->net, b, now);
    }
    return kept;
}

/* The frames to the wire; its own time is taken out. */
static unsigned turn_send(struct bench_end *end, end_wire wire, void *arg)
{
    struct buf *burst[TG_BURST];
    unsigned sent = 0;
    uint64_t t = __rdtsc();
    for (unsigned n; (n = net_take(end->net, burst, TG_BURST)); sent += n) {
        (void)stage_end(end, STAGE_IO, t);
        wire(end, burst, n, arg);
        t = __rdtsc();
        for (unsigned i = 0; i < n; i++)
            buf_unref(&end->pool, burst[i]);
    }
    (void)stage_end(end, STAGE_IO, t);
    return sent;
}

bool end_turn(struct bench_end *end, tg_ns now, end_wire wire, void *arg)
{
    struct buf *burst[TG_BURST];
    unsigned n = 0, sent = 0;
    for (; n < TG_BURST && end->count; n++, end->count--, end->head = (end->head + 1) % END_QUEUE)
        burst[n] = end->arrived[end->head];
    uint64_t t = __rdtsc();
    unsigned kept = turn_parse(end, burst, n, now);
    t = stage_end(end, STAGE_PARSE, t);
    if (end->tcp) {
        tcp_input(end->tcp, burst, kept, now);
        t = stage_end(end, STAGE_INPUT, t);
        timers_run(&end->wheel, now, 256);
        end->user(end, now);
        t = stage_end(end, STAGE_USER, t);
        bool more = true;
        for (unsigned pass = 0; more && pass < END_PASSES; pass++) {
            t = __rdtsc();
            more = tcp_output(end->tcp, now);
            (void)stage_end(end, STAGE_OUTPUT, t);
            sent += turn_send(end, wire, arg);
        }
    } else {
        sent = turn_send(end, wire, arg);
    }
    if (now - end->last_tick >= 100 * TG_MS) {
        net_tick(end->net, now);
        end->last_tick = now;
    }
    return n || sent;
}

void end_pin(unsigned cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}
