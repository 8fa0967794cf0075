/* SPDX-License-Identifier: BSD-3-Clause
 * The scoreboard: whatever blocks come, in whatever order, the marks are those of a plain model; and what a
 * hostile peer's blocks cost is bounded.
 */
#include "tcp/tcp_recovery_trace.h"

#define SEGMENTS 150u

/* A connection with a large window whose whole flight is out. */
static struct trace *flight(void **state, unsigned segments)
{
    struct tcp_config c = node_config();
    c.send_buffer_max = segments * MSS + 65536;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true, .wscale_plus_1 = 15});
    IN(t, .flags = A, .seq = 1, .ack = 1, .win = 60000);
    trace_pcb(t)->act->cwnd = 1u << 30;
    for (unsigned done = 0; done < segments; done += 50) {
        trace_write(t, done * MSS, 50 * MSS);
        trace_skip(t);
    }
    assert_int_equal(trace_pcb(t)->snd_nxt, trace_pcb(t)->snd_end);
    assert_int_equal(trace_pcb(t)->act->snd_segments, segments);
    return t;
}

static void ack_blocks(struct trace *t, uint32_t ack, const struct tcp_sack_block blocks[4])
{
    struct seg s = {.flags = A, .seq = 1, .ack = ack, .win = 60000};
    memcpy(s.sack, blocks, sizeof s.sack);
    trace_in(t, &s);
    trace_skip(t);
}

/* --- against a model --------------------------------------------------------------------------------------- */

/* Bytes of edges: mostly whole segments, sometimes inside one, sometimes out of range. */
static uint32_t draw_edge(struct prng *rng)
{
    uint32_t seq = 1 + (uint32_t)prng_below(rng, SEGMENTS + 1) * MSS;
    if (prng_below(rng, 8) == 0)
        seq += (uint32_t)prng_below(rng, MSS);
    if (prng_below(rng, 50) == 0)
        seq += 0x40000000u;
    return seq;
}

static void model_mark(bool model[SEGMENTS], uint32_t una, const struct tcp_sack_block *block)
{
    uint32_t end = 1 + SEGMENTS * MSS;
    if (block->left >= block->right || block->left < una || block->right > end)
        return;
    for (unsigned i = 0; i < SEGMENTS; i++)
        if (1 + i * MSS >= block->left && 1 + (i + 1) * MSS <= block->right)
            model[i] = true;
}

static void compare(struct trace *t, const bool model[SEGMENTS], uint32_t una)
{
    const struct tcp_pcb *pcb = trace_pcb(t);
    unsigned i = (una - 1) / MSS;
    for (const struct buf *b = pcb->act->snd_first; b; b = b->link, i++)
        assert_int_equal((b->flags & BUF_TX_SACKED) != 0, model[i]);
    assert_int_equal(i, SEGMENTS);
}

static void marks_are_those_of_a_model(void **state)
{
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct trace *t = flight(state, SEGMENTS);
        struct prng rng;
        bool model[SEGMENTS] = {false};
        uint32_t una = 1;
        prng_seed(&rng, seed);
        for (unsigned step = 0; step < 60; step++) {
            struct tcp_sack_block blocks[4] = {0};
            unsigned n = 1 + (unsigned)prng_below(&rng, 4);
            if (prng_below(&rng, 6) == 0) {
                uint32_t ack = 1 + (uint32_t)prng_below(&rng, SEGMENTS - 1) * MSS;
                una = ack > una ? ack : una;
            }
            for (unsigned i = 0; i < n; i++) {
                uint32_t left = draw_edge(&rng);
                blocks[i] =
                    (struct tcp_sack_block){left, left + 1 + (uint32_t)prng_below(&rng, 9 * MSS)};
                model_mark(model, una, &blocks[i]);
            }
            ack_blocks(t, una, blocks);
            compare(t, model, una);
        }
        assert_int_equal(node_counted(&t->node, TG_C_tcp_sack_walks_cut), 0);
        trace_end(t);
    }
}

/* --- cost (CVE-2019-11478 and its kind) ---------------------------------------------------------------------- */

#define MANY 8400u
#define FEW  1500u

/* Sack every second segment, so that nothing merges, in an order that no hint helps with. */
static void scatter(struct trace *t, unsigned from, unsigned to)
{
    for (unsigned i = from; i + 7 < to; i += 8) {
        struct tcp_sack_block blocks[4];
        for (unsigned k = 0; k < 4; k++) {
            uint32_t left = 1 + (i + 2 * k + 1) * MSS;
            blocks[k] = (struct tcp_sack_block){left, left + MSS};
        }
        ack_blocks(t, 1, blocks);
    }
}

static void a_block_far_down_costs_a_bounded_walk(void **state)
{
    struct trace *t = flight(state, MANY);
    scatter(t, 0, MANY);
    assert_int_equal(node_counted(&t->node, TG_C_tcp_sack_walks_cut), 0); /* it grew in order */
    assert_int_equal(trace_pcb(t)->act->rack.sacked_count, MANY / 2);
    /* The cursor goes up, and then a hole in the middle asks for a walk over thousands of runs. */
    uint32_t left = 1 + 8300 * MSS;
    for (unsigned i = 0; i < 20; i++) {
        uint32_t low = 1 + (8200 - 2 * i) * MSS;
        ack_blocks(t, 1,
                   (struct tcp_sack_block[4]){{left + 2 * i * MSS, left + (2 * i + 1) * MSS}});
        ack_blocks(t, 1, (struct tcp_sack_block[4]){{low, low + MSS}});
    }
    assert_true(node_counted(&t->node, TG_C_tcp_sack_walks_cut) > 0);
    trace_end(t);
}

/* Blocks that repeat what is known cost no walk at all, and an honest receiver's new ones start at a hint. */
static void an_honest_receiver_is_never_cut_short(void **state)
{
    struct trace *t = flight(state, FEW);
    for (unsigned i = 1; i + 1 < FEW; i += 1 + (i % 97 == 0)) { /* one lost in a hundred */
        uint32_t left = 1 + (i - i % 97 + (i > 97 ? 1 : 0)) * MSS;
        ack_blocks(t, 1,
                   (struct tcp_sack_block[4]){{left, 1 + (i + 1) * MSS}, {1 + MSS, 1 + 90 * MSS}});
    }
    assert_int_equal(node_counted(&t->node, TG_C_tcp_sack_walks_cut), 0);
    trace_end(t);
}

/* RFC 2018 s8: a timeout of a segment that was sacked: nothing that was told holds any more. */
static void what_was_told_may_be_forgotten(void **state)
{
    struct trace *t = far_start(state);
    far_flight(t, 0, 10);
    trace_advance(t, RTT);
    far_sack(t, 0, 1, 10);
    FAR_OUT(t, 0);
    trace_advance(t, RTT);
    far_ack(t, 1); /* and no more */
    trace_advance(t, 250 * TG_MS);
    FAR_OUT(t, 1);
    struct tcp_info info = trace_info(t);
    assert_int_equal(info.segments.sacked, 0);
    assert_int_equal(info.segments.lost, 8);
    assert_int_equal(info.delivered, MSS);
    far_sack(t, 2, 3, 10); /* told anew: counted anew */
    assert_int_equal(trace_info(t).segments.sacked, 7);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(marks_are_those_of_a_model),
        BOTH(a_block_far_down_costs_a_bounded_walk),
        BOTH(an_honest_receiver_is_never_cut_short),
        BOTH(what_was_told_may_be_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
