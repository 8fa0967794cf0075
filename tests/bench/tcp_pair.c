/* SPDX-License-Identifier: BSD-3-Clause
 * Rows tcp.exchange, tcp.connect_close, tcp.bulk of scripts/bench: two whole stacks on one core, back to back in
 * memory. Each side's own work is timed apart; the wire's copies belong to neither.
 *
 *   tcp_pair exchange|connect|bulk CONNECTIONS SECONDS CPU OFFLOAD
 *
 * exchange   64 bytes there, 64 bytes back, one at a time on each connection
 * connect    the same, but a connection for each: connect, request, response, the server closes, the client
 *            closes
 * bulk       the client writes without end (a copy into the stack, as write(2)); the server reads
 *
 * Prints JSON: operations (exchange, connection, byte) a second that each side could do alone on the core, and
 * that both did together, wire included; cycles of each stage an operation.
 */
#include "tests/bench/tcp_end.h"

#define MESSAGE      64u
#define CHUNK        16384u
#define CLIENTS_MAX  65536u
#define SLICE        TG_MS
#define PORT         80
#define LOCAL_PORTS  48000u
#define CLIENT_FIRST 16u /* of its addresses */

enum mode { EXCHANGE, CONNECT, BULK };

struct pair {
    struct bench_end side[2]; /* 0: client, 1: server */
    enum mode mode;
    unsigned connections;
    uint64_t done; /* operations: exchanges, connections, bytes read */
    uint64_t bad;
    uint32_t next_port, next_address;
    uint64_t stage[2][STAGE_COUNT]; /* cycles of the whole run */
};

static uint8_t chunk[CHUNK];
static struct pair pair;

static uint16_t pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct pair *p = arg;
    return try_number > 1000 ? 0 : (uint16_t)(16384 + p->next_port++ % LOCAL_PORTS);
}

static void client_open(struct bench_end *end, uint64_t user, tg_ns now)
{
    struct ip_addr server = end_address(1);
    struct ip_addr local =
        end_address((uint8_t)(CLIENT_FIRST + pair.next_address++ % END_ADDRESSES));
    tcp_handle h;
    if (tcp_connect(end->tcp, &local, &server, PORT, 0, user, now, &h) != TG_OK)
        pair.bad++;
}

static void say(struct bench_end *end, tcp_handle h)
{
    if (tcp_write(end->tcp, h, span_make(chunk, MESSAGE)) != MESSAGE)
        pair.bad++;
}

/* Whole messages that wait; consumes them. */
static unsigned messages_read(struct bench_end *end, tcp_handle h)
{
    struct span span;
    unsigned n = 0;
    while (tcp_unread(end->tcp, h) >= MESSAGE && tcp_peek(end->tcp, h, &span, 1) == 1) {
        pair.bad += span.data[0] != 'm';
        tcp_consume(end->tcp, h, MESSAGE);
        n++;
    }
    return n;
}

static void bulk_write(struct bench_end *end, tcp_handle h)
{
    while (tcp_write(end->tcp, h, span_make(chunk, CHUNK)) == CHUNK)
        ;
}

static void bulk_read(struct bench_end *end, tcp_handle h)
{
    struct span spans[64];
    for (unsigned n; (n = tcp_peek(end->tcp, h, spans, TG_ARRAY_LEN(spans)));) {
        uint32_t bytes = 0;
        for (unsigned i = 0; i < n; i++)
            bytes += (uint32_t)spans[i].len;
        tcp_consume(end->tcp, h, bytes);
        pair.done += bytes;
    }
}

static void client_event(struct bench_end *end, const struct tcp_event *e, tg_ns now)
{
    if (e->bits & (TCP_EV_CONNECTED | TCP_EV_WRITABLE)) {
        if (pair.mode == BULK)
            bulk_write(end, e->handle);
        else
            say(end, e->handle);
    }
    if (e->bits & TCP_EV_READABLE && messages_read(end, e->handle)) {
        if (pair.mode == EXCHANGE)
            say(end, e->handle);
        pair.done++;
    }
    if (e->bits & TCP_EV_CLOSED) {
        pair.bad++;
    } else if (e->bits & TCP_EV_PEER_FIN) {
        tcp_close(end->tcp, e->handle);
        client_open(end, 0, now);
    }
}

static void server_event(struct bench_end *end, const struct tcp_event *e)
{
    if (!(e->bits & TCP_EV_READABLE))
        return;
    if (pair.mode == BULK) {
        bulk_read(end, e->handle);
    } else if (messages_read(end, e->handle)) {
        say(end, e->handle);
        if (pair.mode == CONNECT)
            tcp_close(end->tcp, e->handle);
    }
}

static void pair_user(struct bench_end *end, tg_ns now)
{
    struct tcp_event events[64];
    for (unsigned n; (n = tcp_events(end->tcp, events, TG_ARRAY_LEN(events)));)
        for (unsigned i = 0; i < n; i++) {
            if (end == &pair.side[0])
                client_event(end, &events[i], now);
            else
                server_event(end, &events[i]);
        }
}

static void pair_make(bool offload, tg_ns now)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct end_config config = {
            .number = i == 0 ? CLIENT_FIRST : 1,
            .addresses = i == 0 ? END_ADDRESSES : 1,
            .frames = 16384,
            .offload = offload,
            .tcp = {.connections_max = CLIENTS_MAX,
                    .time_wait_max = CLIENTS_MAX,
                    .receive_window_max = 1u << 20,
                    .send_buffer_max = 1u << 20,
                    .unsent_low = 256u << 10,
                    .tso_bytes_max = UINT32_MAX, /* net cuts */
                    .tso_segments_max = UINT8_MAX,
                    .isn_key = {1, 2},
                    .seed = i + 1,
                    .pick_port = pick_port,
                    .pick_port_arg = &pair},
        };
        end_create(&pair.side[i], &config, now);
        pair.side[i].user = pair_user;
    }
    if (tcp_listen(pair.side[1].tcp, PORT, 1) != TG_OK)
        END_FATAL("tcp_pair: listen\n");
}

static void both_turn(void)
{
    tg_ns now = end_now();
    (void)end_turn(&pair.side[0], now, end_wire_to, &pair.side[1]);
    (void)end_turn(&pair.side[1], now, end_wire_to, &pair.side[0]);
}

/* A slice's cost an operation, in nanoseconds: of either side, and of the clock. */
static void slice(struct samples side[2], struct samples *both)
{
    uint64_t done = pair.done;
    tg_ns start = end_now();
    for (unsigned i = 0; i < 2; i++)
        memset(pair.side[i].cycles, 0, sizeof pair.side[i].cycles);
    while (end_now() - start < SLICE)
        both_turn();
    double elapsed = (double)(end_now() - start), operations = (double)(pair.done - done);
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned s = 0; s < STAGE_COUNT; s++)
            pair.stage[i][s] += pair.side[i].cycles[s];
        if (operations > 0)
            samples_add(&side[i],
                        (double)end_cycles(&pair.side[i]) / end_cycles_per_ns() / operations);
    }
    if (operations > 0)
        samples_add(both, elapsed / operations);
}

static void report(struct samples side[2], struct samples *both, uint64_t done)
{
    static const char *const names[STAGE_COUNT] = {"parse", "tcp_in", "user", "tcp_out", "io"};
    printf("{\"client\": %.1f, \"server\": %.1f, \"both\": %.1f", 1e9 / samples_median(&side[0]),
           1e9 / samples_median(&side[1]), 1e9 / samples_median(both));
    for (unsigned i = 0; i < 2; i++) {
        printf(", \"%s_cycles\": {", i ? "server" : "client");
        for (unsigned s = 0; s < STAGE_COUNT; s++)
            printf("%s\"%s\": %.4g", s ? ", " : "", names[s],
                   (double)pair.stage[i][s] / (double)done);
        printf("}");
    }
    uint64_t again = pair.side[0].stats.value[TG_C_tcp_retransmits] +
                     pair.side[1].stats.value[TG_C_tcp_retransmits];
    printf(", \"bad\": %lu, \"retransmits\": %lu, \"lost\": %lu}\n", (unsigned long)pair.bad,
           (unsigned long)again, (unsigned long)(pair.side[0].lost + pair.side[1].lost));
}

int main(int argc, char **argv)
{
    static struct samples side[2], both;
    if (argc != 6)
        END_FATAL("usage: tcp_pair exchange|connect|bulk CONNECTIONS SECONDS CPU OFFLOAD\n");
    pair.mode = argv[1][0] == 'e' ? EXCHANGE : argv[1][0] == 'c' ? CONNECT : BULK;
    pair.connections = (unsigned)strtoul(argv[2], NULL, 10);
    tg_ns seconds = strtoul(argv[3], NULL, 10);
    end_pin((unsigned)strtoul(argv[4], NULL, 10));
    if (pair.connections < 1 || pair.connections > CLIENTS_MAX / 2 || seconds < 1 || seconds > 60)
        return 2;
    memset(chunk, 'm', sizeof chunk);
    tg_ns start = end_now();
    pair_make(argv[5][0] == '1', start);
    while (end_now() - start < 10 * TG_MS) /* addresses are announced */
        both_turn();
    for (unsigned i = 0; i < pair.connections; i++)
        client_open(&pair.side[0], 0, end_now());
    for (start = end_now(); end_now() - start < 300 * TG_MS;) /* warm */
        both_turn();
    uint64_t done = pair.done;
    for (start = end_now(); end_now() - start < seconds * TG_S;)
        slice(side, &both);
    report(side, &both, pair.done - done);
    return pair.bad == 0 && pair.done > done ? 0 : 1;
}
