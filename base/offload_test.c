/* SPDX-License-Identifier: BSD-3-Clause
 * Unit tests of base/offload: what a card makes of a super-segment, and that io's own cut makes the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/offload.h"
#include <stdlib.h>

enum { PIECES = 3, SEGMENT = 1001, LAST = 77, IP4 = 20, IP6 = 40, TCP = 32, ETH = 14 };
enum { FIN = 1, PSH = 8, ACK = 16, ECE = 64, CWR = 128 };

static struct buf_pool pool;
static unsigned out; /* frames that are not at home */

static unsigned refill(struct buf_pool *p, struct buf *bufs[], unsigned n)
{
    struct buf *b = aligned_alloc(TG_CACHE_LINE, sizeof *b);
    memset(b, 0, sizeof *b);
    b->cap = BUF_HEADROOM + BUF_ROOM;
    b->head = malloc(b->cap);
    b->pool = p;
    buf_reset(b);
    bufs[0] = b;
    out++;
    return 1;
}

static void drain(struct buf_pool *p, struct buf *bufs[], unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        free(bufs[i]->head);
        free(bufs[i]);
        out--;
    }
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned get16(const uint8_t *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* RFC 1071, over the pseudo-header, too: 0 when the checksum in it is right. */
static unsigned sum_all(uint32_t sum, const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static unsigned ip_bytes(unsigned version)
{
    return version == 4 ? IP4 : IP6;
}

static size_t addresses_at(unsigned version)
{
    return ETH + (version == 4 ? 12 : 8);
}

static void headers_write(uint8_t *p, unsigned version, unsigned payload)
{
    unsigned ip = ip_bytes(version);
    memset(p, 0, ETH + ip + TCP);
    p[ETH] = version == 4 ? 0x45 : 0x60;
    put16(p + ETH + (version == 4 ? 2 : 4), TCP + payload + (version == 4 ? IP4 : 0));
    if (version == 4)
        put16(p + ETH + 4, 0xffff); /* the identification wraps */
    p[ETH + (version == 4 ? 9 : 6)] = 6;
    for (unsigned i = 0; i < ip_bytes(version) - (version == 4 ? 12u : 8u); i++)
        p[addresses_at(version) + i] = (uint8_t)(17 * i + 3);
    uint8_t *tcp = p + ETH + ip;
    put16(tcp + 4, 0xffff); /* and the sequence number carries over */
    put16(tcp + 6, 0xfff0);
    tcp[12] = TCP / 4 << 4;
    tcp[13] = FIN | PSH | ACK | ECE | CWR;
    size_t n = ip_bytes(version) - (version == 4 ? 12u : 8u);
    put16(tcp + 16, ~sum_all(6, p + addresses_at(version), n) & 0xffff);
}

/* The pieces are kept[]'s, too, as the send queue's are. */
static struct buf *super_make(struct buf *kept[PIECES], unsigned version, uint16_t flags)
{
    struct buf *b = buf_alloc(&pool), *at = b;
    uint16_t ip = (uint16_t)ip_bytes(version);
    headers_write(buf_put(b, (uint16_t)(ETH + ip + TCP)), version, (PIECES - 1) * SEGMENT + LAST);
    b->l3 = ETH;
    b->l4 = (uint16_t)(ETH + ip);
    b->ip_version = (uint8_t)version;
    b->ip_proto = 6;
    b->flags |= BUF_TX_L4_CSUM | flags;
    b->port = 2;
    b->segments = PIECES;
    b->super.segment_bytes = SEGMENT;
    for (unsigned i = 0; i < PIECES; i++) {
        kept[i] = buf_alloc(&pool);
        uint16_t bytes = i + 1 < PIECES ? SEGMENT : LAST;
        memset(buf_put(kept[i], bytes), (int)(i + 1), bytes);
        at = at->next = buf_ref(kept[i]);
    }
    return b;
}

static void assert_segment(const uint8_t *frame, size_t len, unsigned version, unsigned i)
{
    unsigned ip = ip_bytes(version), payload = i + 1 < PIECES ? SEGMENT : LAST;
    const uint8_t *tcp = frame + ETH + ip;
    assert_int_equal(len, ETH + ip + TCP + payload);
    if (version == 4) {
        assert_int_equal(get16(frame + ETH + 2), len - ETH);
        assert_int_equal(get16(frame + ETH + 4), (0xffff + i) & 0xffff);
        assert_int_equal(sum_all(0, frame + ETH, IP4), 0);
    } else {
        assert_int_equal(get16(frame + ETH + 4), len - ETH - IP6);
    }
    uint32_t seq = (uint32_t)get16(tcp + 4) << 16 | get16(tcp + 6);
    assert_int_equal(seq, (uint32_t)(0xfffffff0u + i * SEGMENT));
    assert_int_equal(tcp[13], ACK | ECE | (i == 0 ? CWR : 0) | (i + 1 == PIECES ? FIN | PSH : 0));
    uint32_t pseudo =
        ~sum_all(6 + TCP + payload, frame + addresses_at(version), ip - (version == 4 ? 12 : 8)) &
        0xffff;
    assert_int_equal(sum_all(pseudo, tcp, TCP + payload), 0);
    for (unsigned k = 0; k < payload; k++)
        assert_int_equal(tcp[TCP + k], i + 1);
}

static void release(struct buf *kept[PIECES])
{
    for (unsigned i = 0; i < PIECES; i++) {
        assert_int_equal(kept[i]->refs, 1);
        assert_null(kept[i]->next);
        buf_unref(&pool, kept[i]);
    }
    buf_pool_flush(&pool);
    assert_int_equal(out, 0);
}

static void a_card_cuts(void **state)
{
    static uint8_t whole[8192], frame[2048];
    for (unsigned version = 4; version <= 6; version += 2) {
        struct buf *kept[PIECES], *b = super_make(kept, version, version == 4 ? BUF_TX_IP_CSUM : 0);
        struct span bytes = span_make(whole, offload_gather(b, whole, sizeof whole));
        for (unsigned i = 0; i < PIECES; i++)
            assert_segment(frame, offload_cut(b, bytes, i, frame), version, i);
        assert_int_equal(offload_cut(b, bytes, PIECES, frame), 0);
        buf_unref(&pool, b); /* it was the pieces' other holder */
        release(kept);
    }
}

static void split_makes_the_same_in_place(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        unsigned version = i == 0 ? 6 : 4;
        struct buf *kept[PIECES], *frames[PIECES];
        struct buf *b = super_make(kept, version, i == 2 ? BUF_TX_IP_CSUM : 0);
        offload_split(&pool, b, frames);
        for (unsigned k = 0; k < PIECES; k++) {
            struct buf *f = frames[k];
            assert_ptr_equal(f, kept[k]);
            assert_int_equal(f->refs, 2);
            assert_int_equal(f->port, 2);
            offload_checksums(f, f->data, f->len); /* as the port does */
            assert_segment(f->data, f->len, version, k);
            buf_unref(&pool, f);
        }
        release(kept);
    }
}

/* Only the frame has a hold on them: dropped, they go with it. */
static void a_dropped_one_takes_what_is_its_own(void **state)
{
    struct buf *kept[PIECES], *b = super_make(kept, 4, 0);
    buf_unref(&pool, kept[0]);
    buf_unref(&pool, kept[2]);
    buf_unref(&pool, b);
    buf_pool_flush(&pool);
    assert_int_equal(out, 1);
    assert_null(kept[1]->next);
    assert_int_equal(kept[1]->refs, 1);
    buf_unref(&pool, kept[1]);
    buf_pool_flush(&pool);
    assert_int_equal(out, 0);
}

static int open_pool(void **state)
{
    buf_pool_init(&pool, refill, drain, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_cuts),
        cmocka_unit_test(split_makes_the_same_in_place),
        cmocka_unit_test(a_dropped_one_takes_what_is_its_own),
    };
    return cmocka_run_group_tests(tests, open_pool, NULL);
}
