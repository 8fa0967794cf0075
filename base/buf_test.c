/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/buf: references, chains, caches of two workers over one store, external bytes,
 * the linearised copy.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include <stdlib.h>

#define STORE_FRAMES 300
#define FRAME_BYTES  (BUF_HEADROOM + BUF_ROOM)

/* A store of heap frames, as a back end keeps them. */
struct store {
    struct buf *frames;
    uint8_t *bytes;
    struct buf *home[STORE_FRAMES];
    unsigned at_home;
    unsigned drains;
};

static unsigned store_refill(struct buf_pool *pool, struct buf *out[], unsigned n)
{
    struct store *s = pool->arg;
    unsigned got = 0;
    while (got < n && s->at_home) {
        struct buf *b = s->home[--s->at_home];
        b->pool = pool;
        buf_reset(b);
        out[got++] = b;
    }
    return got;
}

static void store_drain(struct buf_pool *pool, struct buf *bufs[], unsigned n)
{
    struct store *s = pool->arg;
    s->drains++;
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(bufs[i]->refs, 0);
        assert_true(bufs[i] >= s->frames && bufs[i] < s->frames + STORE_FRAMES);
        s->home[s->at_home++] = bufs[i];
    }
}

static void store_open(struct store *s)
{
    memset(s, 0, sizeof *s);
    s->frames = aligned_alloc(TG_CACHE_LINE, STORE_FRAMES * sizeof(struct buf));
    s->bytes = malloc((size_t)STORE_FRAMES * FRAME_BYTES);
    assert_non_null(s->frames);
    assert_non_null(s->bytes);
    memset(s->frames, 0xee, STORE_FRAMES * sizeof(struct buf));
    for (unsigned i = 0; i < STORE_FRAMES; i++) {
        s->frames[i].head = s->bytes + (size_t)i * FRAME_BYTES;
        s->frames[i].cap = FRAME_BYTES;
        s->home[s->at_home++] = &s->frames[i];
    }
}

static void store_close(struct store *s)
{
    assert_int_equal(s->at_home, STORE_FRAMES);
    free(s->frames);
    free(s->bytes);
}

static void fresh_buffer_is_empty(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *b = buf_alloc(&pool);
    assert_non_null(b);
    assert_int_equal(b->refs, 1);
    assert_int_equal(b->len, 0);
    assert_int_equal(buf_headroom(b), BUF_HEADROOM);
    assert_int_equal(buf_tailroom(b), BUF_ROOM);
    assert_int_equal(b->flags, 0);
    assert_int_equal(b->verdict, BUF_PASS);
    assert_int_equal(b->flow, BUF_FLOW_NONE);
    assert_null(b->next);
    assert_null(b->external);
    assert_int_equal(pool.in_use, 1);
    /* What the last user left must not show. */
    b->flags = 0xffff & ~BUF_PORT_HOLDS;
    b->verdict = BUF_DROP;
    b->flow = 7;
    memset(buf_put(b, 100), 1, 100);
    buf_unref(&pool, b);
    struct buf *again = buf_alloc(&pool);
    assert_ptr_equal(again, b); /* last given, first taken: warm */
    assert_int_equal(again->flags, 0);
    assert_int_equal(again->verdict, BUF_PASS);
    assert_int_equal(again->flow, BUF_FLOW_NONE);
    assert_int_equal(again->len, 0);
    buf_unref(&pool, again);
    buf_unref(&pool, NULL);
    assert_int_equal(pool.in_use, 0);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void last_reference_frees(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *b = buf_alloc(&pool);
    assert_ptr_equal(buf_ref(b), b);
    buf_unref(&pool, b);
    assert_int_equal(pool.in_use, 1);
    assert_int_equal(b->refs, 1);
    buf_unref(&pool, b);
    assert_int_equal(pool.in_use, 0);
    buf_pool_flush(&pool);
    assert_int_equal(pool.cached, 0);
    store_close(&s);
}

static void chain_frees_every_piece(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *a = buf_alloc(&pool), *b = buf_alloc(&pool), *c = buf_alloc(&pool);
    a->next = b;
    b->next = c;
    buf_put(a, 10);
    buf_put(b, 20);
    buf_put(c, 30);
    assert_int_equal(buf_chain_len(a), 60);
    buf_unref(&pool, a);
    assert_int_equal(pool.in_use, 0);

    /* A piece that somebody else holds too stays, with what hangs on it. */
    a = buf_alloc(&pool), b = buf_alloc(&pool), c = buf_alloc(&pool);
    a->next = b;
    b->next = c;
    buf_ref(b);
    buf_unref(&pool, a);
    assert_int_equal(pool.in_use, 2);
    assert_int_equal(b->refs, 1);
    assert_ptr_equal(b->next, c);
    buf_unref(&pool, b);
    assert_int_equal(pool.in_use, 0);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void empty_store_is_counted(void **state)
{
    struct store s;
    struct buf_pool pool;
    struct buf *held[STORE_FRAMES];
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    for (unsigned i = 0; i < STORE_FRAMES; i++) {
        held[i] = buf_alloc(&pool);
        assert_non_null(held[i]);
        for (unsigned j = 0; j < i; j++)
            assert_ptr_not_equal(held[i], held[j]);
    }
    assert_null(buf_alloc(&pool));
    assert_null(buf_alloc(&pool));
    assert_int_equal(pool.exhausted, 2);
    assert_int_equal(pool.in_use, STORE_FRAMES);
    for (unsigned i = 0; i < STORE_FRAMES; i++)
        buf_unref(&pool, held[i]);
    assert_int_equal(pool.in_use, 0);
    assert_true(s.drains >= 2 && s.drains <= 10); /* in batches, not one by one */
    buf_pool_flush(&pool);
    store_close(&s);
}

static void buffer_of_another_store_goes_home(void **state)
{
    struct store s[2];
    struct buf_pool pool[2];
    for (int i = 0; i < 2; i++) {
        store_open(&s[i]);
        buf_pool_init(&pool[i], store_refill, store_drain, &s[i]);
    }
    struct buf *b = buf_alloc(&pool[0]);
    unsigned cached = pool[1].cached;
    buf_unref(&pool[1], b);
    assert_int_equal(pool[1].cached, cached);
    assert_int_equal(s[0].drains, 1);
    assert_int_equal(pool[0].in_use + pool[1].in_use, 0);
    for (int i = 0; i < 2; i++) {
        buf_pool_flush(&pool[i]);
        store_close(&s[i]);
    }
}

/* The port may still read it: it must not be lent out again before the back end says so. */
static void buffer_that_the_port_holds_is_not_cached(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *b = buf_alloc(&pool);
    unsigned cached = pool.cached, at_home = s.at_home;
    b->flags |= BUF_PORT_HOLDS;
    buf_unref(&pool, b);
    assert_int_equal(pool.cached, cached);
    assert_int_equal(s.at_home, at_home + 1);
    assert_int_equal(pool.in_use, 0);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void workers_of_one_store_share_it(void **state)
{
    struct store s;
    struct buf_pool pool[2];
    store_open(&s);
    buf_pool_init(&pool[0], store_refill, store_drain, &s);
    buf_pool_init(&pool[1], store_refill, store_drain, &s);
    for (unsigned round = 0; round < 1000; round++)
        buf_unref(&pool[1], buf_alloc(&pool[0]));
    assert_int_equal(pool[0].in_use + pool[1].in_use, 0);
    assert_int_equal(pool[0].exhausted, 0);
    buf_pool_flush(&pool[0]);
    buf_pool_flush(&pool[1]);
    store_close(&s);
}

static unsigned released;
static void external_release(void *arg, const uint8_t *data)
{
    assert_ptr_equal(data, arg);
    released++;
}

static void external_bytes_are_released_once(void **state)
{
    static const uint8_t page[4096];
    struct store s;
    struct buf_pool pool;
    struct buf_external external = {external_release, (void *)page};
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    released = 0;
    struct buf *b = buf_alloc(&pool);
    b->external = &external;
    b->data = (uint8_t *)page;
    b->len = sizeof page;
    buf_ref(b);
    buf_unref(&pool, b);
    assert_int_equal(released, 0);
    buf_unref(&pool, b);
    assert_int_equal(released, 1);
    b = buf_alloc(&pool);
    assert_null(b->external);
    assert_int_equal(buf_headroom(b), BUF_HEADROOM);
    buf_unref(&pool, b);
    assert_int_equal(released, 1);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void push_pull_put_trim_move_the_edges(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *b = buf_alloc(&pool);
    memcpy(buf_put(b, 5), "hello", 5);
    memcpy(buf_push(b, 3), "abc", 3);
    assert_int_equal(b->len, 8);
    assert_memory_equal(b->data, "abchello", 8);
    buf_pull(b, 4);
    buf_trim(b, 3);
    assert_true(span_equal(buf_span(b), SPAN_LITERAL("ell")));
    assert_int_equal(buf_headroom(b), BUF_HEADROOM + 1);
    assert_int_equal(buf_tailroom(b), BUF_ROOM - 4);
    buf_unref(&pool, b);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void linearise_copies_bytes_and_parse(void **state)
{
    struct store s;
    struct buf_pool pool;
    store_open(&s);
    buf_pool_init(&pool, store_refill, store_drain, &s);
    struct buf *a = buf_alloc(&pool), *b = buf_alloc(&pool), *c = buf_alloc(&pool);
    memset(buf_put(a, 1000), 'a', 1000);
    memset(buf_put(c, 1048), 'c', 1048);
    a->next = b; /* an empty piece in the middle */
    b->next = c;
    a->flags = BUF_PARSED | BUF_RX_HASH;
    a->l3 = 14, a->l4 = 34, a->payload = 54, a->l4_len = 2014;
    a->ip_version = 4, a->ip_proto = 6;
    a->worker = 3, a->port = 1, a->verdict = BUF_CORE, a->reason = 9;
    a->rx_ns = 123456789, a->rx_hash = 0xabcdef01, a->flow = 77;
    a->seq = 5, a->seq_end = 6, a->tx_ns = 8, a->tx_delivered = 9;
    struct buf *copy = buf_linearise(&pool, a);
    assert_non_null(copy);
    assert_null(copy->next);
    assert_int_equal(copy->len, 2048);
    for (unsigned i = 0; i < 2048; i++)
        assert_int_equal(copy->data[i], i < 1000 ? 'a' : 'c');
    assert_int_equal(copy->flags, a->flags);
    assert_int_equal(copy->l3, 14);
    assert_int_equal(copy->l4, 34);
    assert_int_equal(copy->payload, 54);
    assert_int_equal(copy->l4_len, 2014);
    assert_int_equal(copy->ip_version, 4);
    assert_int_equal(copy->ip_proto, 6);
    assert_int_equal(copy->worker, 3);
    assert_int_equal(copy->port, 1);
    assert_int_equal(copy->verdict, BUF_CORE);
    assert_int_equal(copy->reason, 9);
    assert_int_equal(copy->rx_ns, 123456789);
    assert_int_equal(copy->rx_hash, 0xabcdef01);
    assert_int_equal(copy->flow, 77);
    assert_int_equal(copy->seq, 5);
    assert_int_equal(copy->seq_end, 6);
    assert_int_equal(copy->tx_ns, 8);
    assert_int_equal(copy->tx_delivered, 9);
    buf_put(b, 1); /* one byte too many */
    assert_null(buf_linearise(&pool, a));
    buf_unref(&pool, copy);
    buf_unref(&pool, a);
    assert_int_equal(pool.in_use, 0);
    buf_pool_flush(&pool);
    store_close(&s);
}

static void queue_is_first_in_first_out(void **state)
{
    struct buf b[3];
    struct buf_queue q = {0};
    assert_null(buf_queue_pop(&q));
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 3; i++)
            buf_queue_push(&q, &b[i]);
        assert_int_equal(q.count, 3);
        for (int i = 0; i < 3; i++)
            assert_ptr_equal(buf_queue_pop(&q), &b[i]);
        assert_null(buf_queue_pop(&q));
        assert_null(q.last);
        assert_int_equal(q.count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fresh_buffer_is_empty),
        cmocka_unit_test(last_reference_frees),
        cmocka_unit_test(chain_frees_every_piece),
        cmocka_unit_test(empty_store_is_counted),
        cmocka_unit_test(buffer_of_another_store_goes_home),
        cmocka_unit_test(buffer_that_the_port_holds_is_not_cached),
        cmocka_unit_test(workers_of_one_store_share_it),
        cmocka_unit_test(external_bytes_are_released_once),
        cmocka_unit_test(push_pull_put_trim_move_the_edges),
        cmocka_unit_test(linearise_copies_bytes_and_parse),
        cmocka_unit_test(queue_is_first_in_first_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
