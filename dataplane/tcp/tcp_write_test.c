/* SPDX-License-Identifier: BSD-3-Clause
 * Writing and reading from the user's side: limits and WRITABLE, reservations, whole frames without a
 * copy, peek, consume, take; an empty pool at each.
 */
#include "tcp/tcp_trace.h"

#define MSS 1000u

static struct trace *established(void **state)
{
    struct trace *t = trace_start(state);
    trace_accept(t, (struct seg){.mss = MSS, .sack_ok = true, .wscale_plus_1 = 8});
    return t;
}

static struct buf_pool *pool(struct trace *t)
{
    return &t->node.pool.pool;
}

/* A frame with n bytes of our stream from `offset`. */
static struct buf *frame(struct trace *t, uint32_t offset, uint32_t n)
{
    struct buf *b = buf_alloc(pool(t));
    stream_fill(buf_put(b, (uint16_t)n), offset, n);
    return b;
}

/* --- limits ------------------------------------------------------------------------------------------------ */

static void unsent_bytes_are_limited_and_writable_comes_back(void **state)
{
    struct trace *t = established(state); /* unsent_low 32768 */
    uint8_t *bytes = calloc(1, 300000);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 65536);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 300000)), 65536);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 0);
    node_expect_no_event(&t->node);
    node_turn(&t->node); /* ten segments leave */
    node_expect_no_event(&t->node);
    assert_int_equal(trace_info(t).unsent, 55536);
    trace_pcb(t)->act->cwnd = 40000;
    tcp_mark_dirty(t->node.tcp, trace_pcb(t));
    node_turn(&t->node);
    node_expect_event(&t->node, TCP_EV_WRITABLE);
    assert_int_equal(trace_info(t).unsent, 25536);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 40000);
    node_expect_no_event(&t->node); /* once per wish */
    free(bytes);
    trace_end(t);
}

static void the_send_buffer_is_limited(void **state)
{
    struct tcp_config c = node_config();
    c.send_buffer_max = 20000;
    struct trace *t = trace_new(&c, trace_is6(state));
    trace_accept(t, (struct seg){.mss = MSS, .wscale_plus_1 = 8});
    trace_pcb(t)->act->cwnd = 100000;
    uint8_t *bytes = malloc(30000);
    stream_fill(bytes, 0, 30000);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 30000)), 20000);
    trace_collect(t);
    assert_int_equal(trace_skip(t), 20);
    assert_int_equal(tcp_write(t->node.tcp, t->h, span_make(bytes, 10)), 0);
    node_expect_no_event(&t->node);
    IN(t, .flags = A, .seq = 1, .ack = 4001);
    node_expect_no_event(&t->node); /* not worth it yet */
    IN(t, .flags = A, .seq = 1, .ack = 6001);
    node_expect_event(&t->node, TCP_EV_WRITABLE);
    assert_int_equal(tcp_writable(t->node.tcp, t->h), 6000);
    free(bytes);
    trace_end(t);
}

/* A frame per byte must not fill the pool: frames are limited as well as bytes. */
static void frames_in_the_queue_are_limited(void **state)
{
    struct trace *t = established(state);
    trace_pcb(t)->act->cwnd = 1000000;
    unsigned before = t->node.pool.outstanding, n = 0;
    while (tcp_writable(t->node.tcp, t->h) && n < 100000) {
        trace_write(t, n++, 1); /* leaves at once */
        trace_skip(t);
    }
    assert_true(n < 600);
    assert_true(t->node.pool.outstanding - before <= n);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("x")), 0);
    IN(t, .flags = A, .seq = 1, .ack = 1 + n);
    node_expect_event(&t->node, TCP_EV_WRITABLE);
    trace_end(t);
}

static void nothing_is_written_before_or_after(void **state)
{
    struct trace *t = trace_start(state);
    trace_connect(t, 0);
    struct span_room room;
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("early")), 0);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_AGAIN);
    IN(t, .flags = S | A, .seq = 0, .ack = 1, .mss = MSS);
    node_expect_event(&t->node, TCP_EV_CONNECTED | TCP_EV_WRITABLE); /* it was wished */
    tcp_shutdown(t->node.tcp, t->h);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("late")), 0);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_AGAIN);
    trace_collect(t);
    node_expect_no_event(&t->node);
    trace_end(t);
}

/* --- reservations -------------------------------------------------------------------------------------------- */

static void reserve_and_commit(void **state)
{
    struct trace *t = established(state);
    struct span_room room;
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 256, &room), TG_OK);
    assert_int_equal(room.len, MSS);
    stream_fill(room.data, 0, 300);
    tcp_commit(t->node.tcp, t->h, 300);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 256, &room), TG_OK); /* behind it, same frame */
    assert_int_equal(room.len, MSS - 300);
    stream_fill(room.data, 300, 600);
    tcp_commit(t->node.tcp, t->h, 600);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 101, &room),
                     TG_OK); /* 100 are left: a fresh one */
    assert_int_equal(room.len, MSS);
    stream_fill(room.data, 900, 1000);
    tcp_commit(t->node.tcp, t->h, 1000);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 900);
    OUT(t, .flags = A, .seq = 901, .ack = 1, .len = 1000);
    QUIET(t);
    trace_end(t);
}

static void a_reservation_may_be_dropped(void **state)
{
    struct trace *t = established(state);
    struct span_room room;
    unsigned before = t->node.pool.outstanding;
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_OK);
    tcp_commit(t->node.tcp, t->h, 0);
    assert_int_equal(t->node.pool.outstanding, before);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_OK);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room),
                     TG_OK); /* again instead of a commit */
    assert_int_equal(t->node.pool.outstanding, before + 1);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("")), 0);
    trace_write(t, 0, 10); /* another write ends it */
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_OK);
    tcp_abort(t->node.tcp, t->h); /* not committed: goes with the connection */
    tcp_commit(t->node.tcp, t->h, 5);
    trace_end(t);
}

static void a_reset_ends_a_reservation(void **state)
{
    struct trace *t = established(state);
    struct span_room room;
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_OK);
    IN(t, .flags = R, .seq = 1);
    tcp_commit(t->node.tcp, t->h, 5);
    node_expect_closed(&t->node, 0, TG_RESET);
    trace_end(t);
}

static void an_empty_pool_refuses_and_calls_back(void **state)
{
    struct trace *t = established(state);
    struct span_room room;
    t->node.pool.limit = 0;
    assert_int_equal(tcp_reserve(t->node.tcp, t->h, 1, &room), TG_NO_MEMORY);
    assert_int_equal(tcp_write(t->node.tcp, t->h, SPAN_LITERAL("x")), 0);
    node_expect_no_event(&t->node);
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 15 * TG_MS);
    node_expect_event(&t->node, TCP_EV_WRITABLE);
    trace_write(t, 0, 10);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 10);
    trace_end(t);
}

/* --- whole frames ----------------------------------------------------------------------------------------------- */

static void a_frame_leaves_without_a_copy(void **state)
{
    struct trace *t = established(state);
    struct buf *b = frame(t, 0, MSS);
    uint8_t *payload = b->data;
    unsigned before = t->node.pool.outstanding;
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    assert_ptr_equal(trace_pcb(t)->act->snd_first, b);
    node_turn(&t->node);
    struct buf *out;
    assert_int_equal(net_take(t->node.net, &out, 1), 1);
    assert_ptr_equal(out, b); /* the very frame, and the bytes have not moved */
    assert_ptr_equal(b->data + b->len - MSS, payload);
    assert_int_equal(b->refs, 2);
    stream_verify(payload, 0, MSS);
    buf_unref(pool(t), out);
    assert_int_equal(t->node.pool.outstanding, before);
    IN(t, .flags = A, .seq = 1, .ack = 1 + MSS);
    assert_int_equal(t->node.pool.outstanding, before - 1);
    trace_end(t);
}

static void small_frames_are_appended(void **state)
{
    struct trace *t = established(state);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, frame(t, 0, 300)), TG_OK);
    unsigned before = t->node.pool.outstanding;
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, frame(t, 300, 200)), TG_OK);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, frame(t, 500, 1)), TG_OK);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, buf_alloc(pool(t))), TG_OK); /* empty */
    assert_int_equal(t->node.pool.outstanding, before);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 501);
    QUIET(t);
    trace_end(t);
}

static void what_cannot_be_a_segment_is_copied(void **state)
{
    struct trace *t = established(state);
    /* too long */
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, frame(t, 0, 1500)), TG_OK);
    /* no headroom */
    struct buf *b = buf_alloc(pool(t));
    b->data = b->head;
    stream_fill(buf_put(b, 400), 1500, 400);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    /* a chain */
    b = frame(t, 1900, 100);
    b->next = frame(t, 2000, 700);
    b->next->next = frame(t, 2700, 300);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    /* shared: somebody else reads it */
    b = frame(t, 3000, 500);
    buf_ref(b);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    assert_int_equal(b->refs, 1);
    buf_unref(pool(t), b);
    uint32_t seq = 1;
    trace_collect(t);
    while (seq < 3501) {
        OUT(t, .flags = A, .seq = seq, .ack = 1, .len = ANY);
        assert_true(t->out.payload_bytes > 0 && t->out.payload_bytes <= MSS);
        seq += t->out.payload_bytes;
    }
    QUIET(t);
    trace_end(t);
}

static unsigned released;
static void release(void *arg, const uint8_t *data)
{
    assert_ptr_equal(arg, &released);
    released++;
}

static void external_bytes_are_copied_and_released(void **state)
{
    struct trace *t = established(state);
    uint8_t bytes[600];
    stream_fill(bytes, 0, 600);
    struct buf_external external = {release, &released};
    struct buf *b = buf_alloc(pool(t));
    b->external = &external;
    b->data = bytes;
    b->len = 600;
    released = 0;
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    assert_int_equal(released, 1);
    memset(bytes, 0, sizeof bytes);
    trace_collect(t);
    OUT(t, .flags = A, .seq = 1, .ack = 1, .len = 600);
    trace_end(t);
}

static void a_refused_frame_stays_the_callers(void **state)
{
    struct trace *t = established(state);
    struct buf *b = frame(t, 0, 1500);
    t->node.pool.limit = 0;
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_AGAIN); /* needs a copy */
    assert_int_equal(trace_info(t).unsent, 0);
    t->node.pool.limit = UINT32_MAX;
    trace_advance(t, 15 * TG_MS);
    node_expect_event(&t->node, TCP_EV_WRITABLE);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_OK);
    uint8_t *bytes = calloc(1, 70000);
    while (tcp_write(t->node.tcp, t->h, span_make(bytes, 70000)))
        ;
    free(bytes);
    b = frame(t, 0, 500);
    assert_int_equal(tcp_send_buf(t->node.tcp, t->h, b), TG_AGAIN);
    assert_int_equal(b->refs, 1);
    assert_int_equal(b->len, 500);
    buf_unref(pool(t), b);
    trace_end(t);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static void peek_and_consume(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 1000);
    IN(t, .flags = A, .seq = 2001, .ack = 1, .len = 100);
    trace_skip(t);
    struct span s[4];
    struct tcp *tcp = t->node.tcp;
    assert_int_equal(tcp_unread(tcp, t->h), 2100);
    assert_int_equal(tcp_peek(tcp, t->h, s, 1), 1);
    assert_int_equal(tcp_peek(tcp, t->h, s, 4), 3);
    assert_int_equal(s[0].len, 1000);
    assert_int_equal(s[2].len, 100);
    stream_verify(s[1].data, 1000, 1000);
    tcp_consume(tcp, t->h, 0);
    tcp_consume(tcp, t->h, 1);
    tcp_consume(tcp, t->h, 1000); /* over a frame's edge */
    assert_int_equal(tcp_peek(tcp, t->h, s, 4), 2);
    assert_int_equal(s[0].len, 999);
    stream_verify(s[0].data, 1001, 999);
    tcp_consume(tcp, t->h, 1099);
    assert_int_equal(tcp_peek(tcp, t->h, s, 4), 0);
    assert_int_equal(tcp_unread(tcp, t->h), 0);
    node_check(&t->node);
    trace_end(t);
}

static void take_gives_the_frame_itself(void **state)
{
    struct trace *t = established(state);
    struct seg s = {.flags = A, .seq = 1, .ack = 1, .len = 1000};
    struct buf *b = trace_make(t, &s);
    assert_int_equal(node_receive(&t->node, b), TG_C_none);
    assert_null(tcp_take(t->node.tcp, t->h, 0));
    struct buf *taken = tcp_take(t->node.tcp, t->h, 1000);
    assert_ptr_equal(taken, b);
    assert_int_equal(taken->len, 1000);
    assert_true(buf_headroom(taken) >= TCP_HEADERS_MAX);
    stream_verify(taken->data, 0, 1000);
    assert_null(tcp_take(t->node.tcp, t->h, 1000));
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 0);
    buf_unref(pool(t), taken);
    node_check(&t->node);
    trace_end(t);
}

static void take_cuts_what_is_too_long(void **state)
{
    struct trace *t = established(state);
    IN(t, .flags = A, .seq = 1, .ack = 1, .len = 1000);
    uint32_t at = 0;
    while (at < 1000) {
        struct buf *b = tcp_take(t->node.tcp, t->h, 300);
        assert_int_equal(b->len, at < 900 ? 300 : 100);
        stream_verify(b->data, at, b->len);
        at += b->len;
        assert_int_equal(tcp_unread(t->node.tcp, t->h), 1000 - at);
        buf_unref(pool(t), b);
    }
    IN(t, .flags = A, .seq = 1001, .ack = 1, .len = 500);
    t->node.pool.limit = 0;
    assert_null(tcp_take(t->node.tcp, t->h, 300)); /* no frame for the piece: nothing is lost */
    t->node.pool.limit = UINT32_MAX;
    assert_int_equal(tcp_unread(t->node.tcp, t->h), 500);
    trace_read(t, 1000, 500);
    trace_end(t);
}

static void a_taken_frame_is_sent_on(void **state)
{
    struct trace *t = established(state);
    for (unsigned i = 0; i < 3; i++) {
        struct seg s = {.flags = A, .seq = 1 + i * MSS, .ack = 1, .len = MSS};
        struct buf *b = trace_make(t, &s);
        assert_int_equal(node_receive(&t->node, b), TG_C_none);
        struct buf *taken = tcp_take(t->node.tcp, t->h, trace_info(t).mss);
        assert_ptr_equal(taken, b);
        assert_int_equal(tcp_send_buf(t->node.tcp, t->h, taken), TG_OK);
        assert_ptr_equal(trace_pcb(t)->act->snd_last, b); /* in its own frame */
    }
    trace_collect(t);
    for (unsigned i = 0; i < 3; i++)
        OUT(t, .flags = A, .seq = 1 + i * MSS, .ack = 3001, .len = MSS);
    trace_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(unsent_bytes_are_limited_and_writable_comes_back),
        BOTH(the_send_buffer_is_limited),
        BOTH(frames_in_the_queue_are_limited),
        BOTH(nothing_is_written_before_or_after),
        BOTH(reserve_and_commit),
        BOTH(a_reservation_may_be_dropped),
        BOTH(a_reset_ends_a_reservation),
        BOTH(an_empty_pool_refuses_and_calls_back),
        BOTH(a_frame_leaves_without_a_copy),
        BOTH(small_frames_are_appended),
        BOTH(what_cannot_be_a_segment_is_copied),
        BOTH(external_bytes_are_copied_and_released),
        BOTH(a_refused_frame_stays_the_callers),
        BOTH(peek_and_consume),
        BOTH(take_gives_the_frame_itself),
        BOTH(take_cuts_what_is_too_long),
        BOTH(a_taken_frame_is_sent_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
