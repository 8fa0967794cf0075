/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the BIO between libssl and spans: reads over span edges, the output queue in any pieces,
 * its bound.
 */
#include "tls/tls_bio.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"

static BIO_METHOD *method;

static void reads_walk_the_spans(void **state)
{
    struct tls_pipe pipe = {0};
    BIO *bio = bio_make(method, &pipe);
    struct span spans[] = {SPAN_LITERAL("abc"), SPAN_EMPTY,           SPAN_LITERAL("d"),
                           SPAN_EMPTY,          SPAN_LITERAL("efgh"), SPAN_EMPTY};
    in_set(&pipe.in, spans, 6);
    char room[16];
    assert_int_equal(BIO_read(bio, room, 2), 2);
    assert_int_equal(BIO_read(bio, room + 2, 3), 3);
    assert_int_equal(pipe.in.consumed, 5);
    assert_true(in_left(&pipe.in));
    assert_int_equal(BIO_read(bio, room + 5, 10), 3);
    assert_memory_equal(room, "abcdefgh", 8);
    assert_false(in_left(&pipe.in));
    assert_int_equal(pipe.in.consumed, 8);
    assert_int_equal(BIO_read(bio, room, 1), -1); /* never an end of file */
    assert_true(BIO_should_retry(bio) && BIO_should_read(bio));
    in_set(&pipe.in, NULL, 0);
    assert_int_equal(BIO_read(bio, room, 1), -1);
    assert_true(BIO_should_retry(bio));
    BIO_free(bio);
}

/* What goes in comes out in order, whatever the pieces. */
static void queue_keeps_order(void **state)
{
    struct prng random;
    prng_seed(&random, 5);
    struct tls_pipe pipe = {0};
    BIO *bio = bio_make(method, &pipe);
    static uint8_t piece[20000], room[20000];
    uint32_t written = 0, read = 0;
    for (unsigned i = 0; i < 3000; i++) {
        size_t n = prng_below(&random, i % 7 ? 300 : sizeof piece) + 1;
        for (size_t k = 0; k < n; k++)
            piece[k] = (uint8_t)((written + k) * 2654435761u >> 24);
        bool full = pipe.out.waiting >= OUT_LIMIT_HARD_BYTES;
        assert_int_equal(BIO_write(bio, piece, (int)n), full ? -1 : (int)n);
        assert_int_equal(BIO_should_write(bio) != 0, full);
        written += full ? 0 : (uint32_t)n;
        assert_int_equal(pipe.out.waiting, written - read);
        size_t got = out_drain(&pipe.out, room, prng_below(&random, i % 5 ? 500 : sizeof room));
        for (size_t k = 0; k < got; k++)
            assert_int_equal(room[k], (uint8_t)((read + k) * 2654435761u >> 24));
        read += (uint32_t)got;
    }
    assert_true(read > 1000000);
    while (pipe.out.waiting)
        read += (uint32_t)out_drain(&pipe.out, room, 1000);
    assert_int_equal(read, written);
    assert_null(pipe.out.first); /* nothing is held when nothing waits */
    assert_null(pipe.out.last);
    assert_int_equal(out_drain(&pipe.out, room, 1000), 0);
    BIO_free(bio);
}

static void bound_holds_and_lets_go(void **state)
{
    struct tls_pipe pipe = {0};
    BIO *bio = bio_make(method, &pipe);
    static uint8_t piece[16384];
    unsigned taken = 0;
    while (BIO_write(bio, piece, sizeof piece) == (int)sizeof piece)
        taken++;
    assert_int_equal(taken, OUT_LIMIT_HARD_BYTES / sizeof piece);
    assert_true(BIO_should_retry(bio) && BIO_should_write(bio));
    assert_false(pipe.out.out_of_memory);
    assert_int_equal(out_drain(&pipe.out, piece, 1), 1);
    assert_int_equal(BIO_write(bio, piece, 1), 1);
    assert_int_equal(BIO_flush(bio), 1);
    BIO_free(bio);
    out_free(&pipe.out);
    assert_int_equal(pipe.out.waiting, 0);
}

static int set_up(void **state)
{
    method = bio_method_make();
    return method ? 0 : -1;
}

static int tear_down(void **state)
{
    BIO_meth_free(method);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_walk_the_spans),
        cmocka_unit_test(queue_keeps_order),
        cmocka_unit_test(bound_holds_and_lets_go),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
