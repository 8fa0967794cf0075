/* SPDX-License-Identifier: BSD-3-Clause
 * Row tcp.pool_recovery of scripts/bench: two whole stacks in virtual time, 100 Mbit/s and 50 ms apart (tcp_path.h). One
 * connection writes without end, many write a little now and then. In the middle of it somebody takes every frame of one
 * side's pool, and every frame that comes home, for a second; then all come back.
 *
 *   tcp_pool sender|receiver PHASE_MS     (whose frames; the second begins PHASE_MS later than at phase 0)
 *
 * Prints JSON: how long after that the first new byte is delivered, and the sender's RTO at that moment: of the bulk, and
 * of that of the many for which the former is most, in parts of the latter. Exit status 1: a connection took more than
 * one RTO, or has ended.
 */
#include "tcp/tcp_internal.h"
#include "tests/bench/tcp_end.h"
#include "tests/bench/tcp_path.h"

#define PORT       80
#define SENDER     16
#define FRAMES     16384u
#define MANY       1000u
#define ALL        (MANY + 1) /* connection 0 is the bulk */
#define PIECE      200u
#define PIECE_EACH (200 * TG_MS)
#define WARM       (3 * TG_S)
#define EMPTY      TG_S
#define AFTER      (10 * TG_S)

struct connection {
    tcp_handle handle; /* at the sender */
    uint16_t port;
    uint64_t received;
    tg_ns write_next;
    tg_ns rto, first; /* at the moment when frames came back; the first new byte, after that */
};

static struct bench_end sender, receiver;
static struct path_way forth, back;
static struct connection connections[ALL];
static struct buf_queue hoard;
static uint8_t chunk[16384];
static tg_ns start, back_at; /* back_at: 0 until frames have come back */
static unsigned ended;

/* --- users ------------------------------------------------------------------------------------------- */

static void accepted(struct bench_end *end, tcp_handle h)
{
    struct tcp_info info;
    if (tcp_get_info(end->tcp, h, &info) != TG_OK)
        return;
    for (unsigned i = 0; i < ALL; i++)
        if (connections[i].port == info.tuple.remote_port)
            tcp_set_user(end->tcp, h, i + 1);
}

static void read_all(struct bench_end *end, tcp_handle h, struct connection *c, tg_ns now)
{
    struct span spans[64];
    for (unsigned n; (n = tcp_peek(end->tcp, h, spans, TG_ARRAY_LEN(spans)));) {
        uint32_t bytes = 0;
        for (unsigned i = 0; i < n; i++)
            bytes += (uint32_t)spans[i].len;
        tcp_consume(end->tcp, h, bytes);
        if (c) {
            c->received += bytes;
            if (back_at && !c->first)
                c->first = now > back_at ? now - back_at : 1;
        }
    }
}

static void receiver_user(struct bench_end *end, tg_ns now)
{
    struct tcp_event e;
    while (tcp_events(end->tcp, &e, 1)) {
        if (e.bits & TCP_EV_ACCEPTED) {
            accepted(end, e.handle);
            read_all(end, e.handle, NULL, now);
        }
        if (e.bits & TCP_EV_CLOSED)
            ended++;
        else if (e.user)
            read_all(end, e.handle, &connections[e.user - 1], now);
    }
}

static void sender_user(struct bench_end *end, tg_ns now)
{
    struct tcp_event e;
    while (tcp_events(end->tcp, &e, 1)) {
        ended += (e.bits & TCP_EV_CLOSED) != 0;
        if (e.bits & TCP_EV_CLOSED)
            continue;
        if (e.user > 1 && e.bits & TCP_EV_WRITABLE) /* there was no frame for the piece */
            (void)tcp_write(end->tcp, e.handle, span_make(chunk, PIECE));
        while (e.user == 1 &&
               tcp_write(end->tcp, e.handle, span_make(chunk, sizeof chunk)) == sizeof chunk)
            ;
    }
    for (unsigned i = 1; i < ALL; i++)
        if (now >= connections[i].write_next) {
            (void)tcp_write(end->tcp, connections[i].handle, span_make(chunk, PIECE));
            connections[i].write_next += PIECE_EACH;
        }
}

/* --- world ------------------------------------------------------------------------------------------- */

static void enter(struct bench_end *from, struct buf *burst[], unsigned n, void *arg)
{
    for (unsigned i = 0; i < n; i++)
        path_enter(arg, burst[i]->data, burst[i]->len, from->last_tick);
}

static void make(struct bench_end *end, unsigned number, tg_ns now)
{
    const struct end_config config = {
        .number = number,
        .addresses = 1,
        .frames = FRAMES,
        .tcp = {.connections_max = 2 * ALL,
                .receive_window_max = 1u << 20,
                .receive_window_initial = 1u << 20,
                .send_buffer_max = 2u << 20,
                .unsent_low = 256u << 10,
                .ooo_segments_max = 4096,
                .isn_key = {1, 2},
                .seed = number},
    };
    end_create(end, &config, now);
    end->user = number == SENDER ? sender_user : receiver_user;
}

static void open_all(tg_ns now)
{
    struct ip_addr to = end_address(1);
    if (tcp_listen(receiver.tcp, PORT, 1) != TG_OK)
        END_FATAL("tcp_pool: listen\n");
    for (unsigned i = 0; i < ALL; i++) {
        struct connection *c = &connections[i];
        struct tcp_info info;
        if (tcp_connect(sender.tcp, NULL, &to, PORT, 0, i + 1, now, &c->handle) != TG_OK ||
            tcp_get_info(sender.tcp, c->handle, &info) != TG_OK)
            END_FATAL("tcp_pool: connect\n");
        c->port = info.tuple.local_port;
        c->write_next = now + TG_S + i * (PIECE_EACH / MANY);
    }
}

static void arrive(tg_ns now)
{
    const struct path_frame *frame;
    while (path_leave(&forth, now, &frame))
        end_receive(&receiver, frame->bytes, frame->len);
    while (path_leave(&back, now, &frame))
        end_receive(&sender, frame->bytes, frame->len);
}

static void turn(struct bench_end *end, struct path_way *way, tg_ns now)
{
    net_tick(end->net, now);
    end->last_tick = now;
    do
        (void)end_turn(end, now, enter, way);
    while (end->count);
}

static tg_ns next_of(tg_ns now)
{
    tg_ns next = now + TG_MS;
    const tg_ns at[] = {path_next(&forth), path_next(&back), timers_next(&sender.wheel),
                        timers_next(&receiver.wheel)};
    for (unsigned i = 0; i < TG_ARRAY_LEN(at); i++)
        next = at[i] < next ? at[i] : next;
    return next > now ? next : now + 10 * TG_US;
}

/* All that is there, and what has come home since. */
static void frames_take(struct bench_end *end)
{
    for (struct buf *b; (b = buf_alloc(&end->pool));)
        buf_queue_push(&hoard, b);
}

/* Where the sender's own frames were gone, the RTO is that before any backoff: it knows. Where the receiver's were, the
 * sender cannot tell that from a broken path: its RTO as it has backed off. */
static void frames_return(struct bench_end *end, tg_ns now)
{
    for (struct buf *b; (b = buf_queue_pop(&hoard));)
        buf_unref(&end->pool, b);
    back_at = now;
    for (unsigned i = 0; i < ALL; i++) {
        const struct tcp_pcb *pcb = tcp_pcb_find(sender.tcp, connections[i].handle);
        if (pcb)
            connections[i].rto = end == &sender || !pcb->act ? pcb->rto : tcp_rto(sender.tcp, pcb);
    }
}

static void run(struct bench_end *victim, tg_ns phase)
{
    tg_ns now = start = 1000 * TG_S, empty_from = start + WARM + phase;
    make(&sender, SENDER, now);
    make(&receiver, 1, now);
    open_all(now);
    for (; now < empty_from + EMPTY + AFTER; now = next_of(now)) {
        if (now >= empty_from && now < empty_from + EMPTY)
            frames_take(victim);
        else if (now >= empty_from && !back_at)
            frames_return(victim, now);
        arrive(now);
        turn(&sender, &forth, now);
        turn(&receiver, &back, now);
    }
}

/* --- figures ----------------------------------------------------------------------------------------- */

static double share(const struct connection *c)
{
    return c->first && c->rto ? (double)c->first / (double)c->rto : 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        END_FATAL("usage: tcp_pool sender|receiver PHASE_MS\n");
    prng_seed(&forth.prng, 1); /* neither loses nor overtakes, but asks it */
    prng_seed(&back.prng, 2);
    bool ours = argv[1][0] == 's';
    run(ours ? &sender : &receiver, strtoul(argv[2], NULL, 10) * TG_MS);
    const struct connection *bulk = &connections[0], *worst = &connections[1];
    for (unsigned i = 2; i < ALL; i++)
        worst = share(&connections[i]) > share(worst) ? &connections[i] : worst;
    const struct bench_end *victim = ours ? &sender : &receiver;
    printf(
        "{\"bulk_ms\": %.2f, \"bulk_rto_ms\": %.2f, \"worst_ms\": %.2f, \"worst_rto_ms\": %.2f, "
        "\"connections\": %u, \"ended\": %u, \"exhausted\": %lu, \"lost\": %lu, \"received\": %lu, "
        "\"timeouts\": %lu, \"shed\": %lu}\n",
        (double)bulk->first / 1e6, (double)bulk->rto / 1e6, (double)worst->first / 1e6,
        (double)worst->rto / 1e6, ALL, ended, (unsigned long)victim->pool.exhausted,
        (unsigned long)victim->lost, (unsigned long)bulk->received,
        (unsigned long)sender.stats.value[TG_C_tcp_rto],
        (unsigned long)victim->stats.value[TG_C_tcp_pressure_shed]);
    return ended || share(bulk) > 1 || share(worst) > 1;
}
