/* SPDX-License-Identifier: BSD-3-Clause
 * Row tcp.bulk_tso of scripts/bench: what a sender's own side costs with a port that cuts super-segments, without, and
 * with super-segments that net cuts itself. Three pairs of whole stacks in memory, alike but for that,
 * take turns of a millisecond each. The wire, which copies (and cuts) the frames, is nobody's; net's cut is the sender's.
 *
 *   tcp_tso CONNECTIONS SECONDS CPU
 *
 * Prints JSON: Gbit/s that the sending side could do alone on the core, each way; cycles of its stages for a
 * segment; segments of a super-segment.
 */
#include "tests/bench/tcp_end.h"

#define CHUNK       16384u
#define SLICE       TG_MS
#define PORT        80
#define CONNECTIONS 4096u

enum way { WITHOUT, WITH, SPLIT, WAYS };

struct stream {
    struct bench_end side[2]; /* 0 sends, 1 receives */
    enum way way;
    uint32_t next_port;
    uint64_t received, bad;
    uint64_t stage[STAGE_COUNT], segments, supers, super_segments; /* of the measured time */
    struct samples cost;                                           /* ns a byte */
};

static uint8_t chunk[CHUNK];
static struct stream streams[WAYS];

static uint16_t pick_port(void *arg, const struct ip_tuple *tuple, unsigned try_number)
{
    struct stream *s = arg;
    return try_number > 1000 ? 0 : (uint16_t)(16384 + s->next_port++ % 48000);
}

static void sender_user(struct bench_end *end, tg_ns now)
{
    struct stream *s = end->arg;
    struct tcp_event events[64];
    for (unsigned n; (n = tcp_events(end->tcp, events, TG_ARRAY_LEN(events)));)
        for (unsigned i = 0; i < n; i++) {
            s->bad += (events[i].bits & TCP_EV_CLOSED) != 0;
            while (tcp_write(end->tcp, events[i].handle, span_make(chunk, CHUNK)) == CHUNK)
                ;
        }
}

static void receiver_user(struct bench_end *end, tg_ns now)
{
    struct stream *s = end->arg;
    struct tcp_event events[64];
    struct span span;
    for (unsigned n; (n = tcp_events(end->tcp, events, TG_ARRAY_LEN(events)));)
        for (unsigned i = 0; i < n; i++) {
            uint32_t bytes = tcp_unread(end->tcp, events[i].handle);
            if (tcp_peek(end->tcp, events[i].handle, &span, 1))
                s->bad += span.data[0] != 'm';
            tcp_consume(end->tcp, events[i].handle, bytes);
            s->received += bytes;
        }
}

/* As a card does, but for the checksums, which the other end's port calls good. */
static void cut(struct bench_end *to, const struct buf *b)
{
    enum { IP4_LENGTH = 16, TCP_SEQ = 38 };
    uint8_t frame[2048];
    uint32_t seq = wire_get32(b->data + TCP_SEQ);
    memcpy(frame, b->data, b->len);
    for (const struct buf *piece = b->next; piece; seq += piece->len, piece = piece->next) {
        memcpy(frame + b->len, piece->data, piece->len);
        wire_put16(frame + IP4_LENGTH, (uint16_t)(b->len - ETH_BYTES + piece->len));
        wire_put32(frame + TCP_SEQ, seq);
        end_receive(to, frame, b->len + piece->len);
    }
}

static void wire(struct bench_end *from, struct buf *burst[], unsigned n, void *arg)
{
    struct stream *s = from->arg;
    for (unsigned i = 0; i < n; i++) {
        if (!burst[i]->segments) {
            end_receive(arg, burst[i]->data, burst[i]->len);
            continue;
        }
        s->supers++;
        s->super_segments += burst[i]->segments;
        cut(arg, burst[i]);
    }
}

static void stream_make(struct stream *s, enum way way, tg_ns now)
{
    s->way = way;
    for (unsigned i = 0; i < 2; i++) {
        const struct end_config config = {
            .number = i == 0 ? 16 : 1,
            .addresses = 1,
            .frames = 16384,
            .offload = true,
            .tso = way == WITH,
            .tcp = {.connections_max = CONNECTIONS,
                    .receive_window_max = 1u << 20,
                    .send_buffer_max = 1u << 20,
                    .unsent_low = 256u << 10,
                    .isn_key = {1, 2},
                    .seed = i + 1,
                    .tso_bytes_max = way != WITHOUT ? UINT32_MAX : 0,
                    .tso_segments_max = UINT8_MAX,
                    .pick_port = pick_port,
                    .pick_port_arg = s},
        };
        end_create(&s->side[i], &config, now);
        s->side[i].user = i == 0 ? sender_user : receiver_user;
        s->side[i].arg = s;
    }
    if (tcp_listen(s->side[1].tcp, PORT, 1) != TG_OK)
        END_FATAL("tcp_tso: listen\n");
}

static void stream_turn(struct stream *s)
{
    tg_ns now = end_now();
    (void)end_turn(&s->side[0], now, wire, &s->side[1]);
    (void)end_turn(&s->side[1], now, wire, &s->side[0]);
}

static void stream_run(struct stream *s, tg_ns time)
{
    for (tg_ns start = end_now(); end_now() - start < time;)
        stream_turn(s);
}

static void stream_start(struct stream *s, unsigned connections)
{
    struct ip_addr server = end_address(1);
    stream_run(s, 10 * TG_MS); /* addresses are announced */
    for (unsigned i = 0; i < connections; i++) {
        tcp_handle h;
        if (tcp_connect(s->side[0].tcp, NULL, &server, PORT, 0, 0, end_now(), &h) != TG_OK)
            s->bad++;
    }
    stream_run(s, 300 * TG_MS); /* warm */
    s->supers = s->super_segments = 0;
}

/* A slice's cost a byte, of the sending side alone. */
static void slice(struct stream *s)
{
    struct bench_end *end = &s->side[0];
    uint64_t received = s->received, out = end->stats.value[TG_C_tcp_out_segments];
    memset(end->cycles, 0, sizeof end->cycles);
    stream_run(s, SLICE);
    for (unsigned i = 0; i < STAGE_COUNT; i++)
        s->stage[i] += end->cycles[i];
    s->segments += end->stats.value[TG_C_tcp_out_segments] - out;
    if (s->received > received)
        samples_add(&s->cost, (double)end_cycles(end) / end_cycles_per_ns() /
                                  (double)(s->received - received));
}

static void report(struct stream *s, const char *name)
{
    static const char *const names[STAGE_COUNT] = {"parse", "tcp_in", "user", "tcp_out", "io"};
    printf("\"%s\": {\"gbit\": %.2f, \"cycles\": {", name, 8 / samples_median(&s->cost));
    for (unsigned i = 0; i < STAGE_COUNT; i++)
        printf("%s\"%s\": %.1f", i ? ", " : "", names[i],
               (double)s->stage[i] / (double)s->segments);
    uint64_t again = s->side[0].stats.value[TG_C_tcp_retransmits];
    printf("}, \"row\": %.1f, \"retransmits\": %lu, \"bad\": %lu}",
           s->supers ? (double)s->super_segments / (double)s->supers : 1, (unsigned long)again,
           (unsigned long)s->bad);
}

int main(int argc, char **argv)
{
    if (argc != 4)
        END_FATAL("usage: tcp_tso CONNECTIONS SECONDS CPU\n");
    unsigned connections = (unsigned)strtoul(argv[1], NULL, 10);
    tg_ns seconds = strtoul(argv[2], NULL, 10);
    end_pin((unsigned)strtoul(argv[3], NULL, 10));
    if (connections < 1 || connections > CONNECTIONS || seconds < 1 || seconds > 60)
        return 2;
    memset(chunk, 'm', sizeof chunk);
    for (unsigned i = 0; i < WAYS; i++) {
        stream_make(&streams[i], (enum way)i, end_now());
        stream_start(&streams[i], connections);
    }
    for (tg_ns start = end_now(); end_now() - start < seconds * TG_S;)
        for (unsigned i = 0; i < WAYS; i++)
            slice(&streams[i]);
    static const char *const names[WAYS] = {"without", "with", "split"};
    bool worked = true;
    for (unsigned i = 0; i < WAYS; i++) {
        printf(i ? ", " : "{");
        report(&streams[i], names[i]);
        uint64_t cut_by_net = streams[i].side[0].stats.value[TG_C_net_super_segments_cut];
        worked &= (streams[i].supers > 0) == (i == WITH) && (cut_by_net > 0) == (i == SPLIT) &&
                  streams[i].bad == 0;
    }
    printf("}\n");
    return worked ? 0 : 1;
}
