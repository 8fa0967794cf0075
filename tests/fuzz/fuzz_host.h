/* SPDX-License-Identifier: BSD-3-Clause
 * For the fuzz targets of the TCP stack: one host (net, tcp, wheel, pool, counters) that is made once, and images of
 * what it was at quiet moments. An input begins with a copy of an image instead of a new stack and its handshakes,
 * which had cost more than most inputs do.
 *
 * A moment is quiet when no frame is out and net has nothing to send: then everything that the stack is lies in
 * the regions listed here, and pointers between them stay right since they are put back where they were.
 */
#ifndef TESTS_FUZZ_HOST_H
#define TESTS_FUZZ_HOST_H

#include "net/net_internal.h"
#include "net/net_test_support.h"
#include "tcp/tcp_internal.h"
#include "tests/fuzz/fuzz_pool.h"
#include <stdio.h>

#define FUZZ_REGIONS 16

struct fuzz_region {
    void *at;
    size_t len;
};

struct fuzz_host {
    struct fuzz_pool pool;
    struct stats stats;
    struct timer_wheel wheel;
    struct net *net;
    struct tcp *tcp;
    bool port_busy; /* what tx_done answers, negated */
    struct fuzz_region regions[FUZZ_REGIONS];
    unsigned region_count;
};

/* The same for every input and every host. */
static struct toeplitz fuzz_toeplitz;

static inline bool fuzz_tx_done(const void *arg, const struct buf *b)
{
    return !((const struct fuzz_host *)arg)->port_busy;
}

static inline void fuzz_icmp_error(void *arg, const struct net_icmp_error *error, tg_ns now)
{
    tcp_icmp_error(((struct fuzz_host *)arg)->tcp, error, now);
}

/* For whoever reads a finding. */
static inline void fuzz_host_print(const struct fuzz_host *h)
{
    const struct tcp *tcp = h->tcp;
    fprintf(stderr, "host: %u connections, %u half open, %u in TIME-WAIT, %u frames out of %u\n",
            tcp->pcbs.in_use, tcp->syncache.live, tcp->tw.live, h->pool.outstanding, h->pool.limit);
    for (uint32_t i = 0; i < tcp->pcbs.count; i++) {
        const struct tcp_pcb *p = tcp_pcb_at(tcp, i);
        if (!pool_is_taken(&tcp->pcbs, i))
            continue;
        fprintf(stderr, "  %u: state %u flags %#x una %u nxt %u end %u wnd %u rcv %u..%u\n", i,
                p->state, p->flags, p->snd_una, p->snd_nxt, p->snd_end, p->snd_wnd, p->rcv_nxt,
                p->rcv_adv);
        for (unsigned d = 0; p->act && d < TCP_D_KINDS; d++)
            if (p->act->deadline[d])
                fprintf(stderr, "    deadline %u at %lu\n", d, p->act->deadline[d]);
    }
}

static inline void fuzz_check(const struct fuzz_host *h)
{
    const char *wrong = tcp_check(h->tcp);
    if (!wrong)
        return;
    fprintf(stderr, "tcp_check: %s\n", wrong);
    fuzz_host_print(h);
    tg_assert(!wrong);
}

static inline void fuzz_region_add(struct fuzz_host *h, void *at, size_t len)
{
    if (len == 0)
        return;
    tg_assert(at && h->region_count < FUZZ_REGIONS);
    h->regions[h->region_count++] = (struct fuzz_region){at, len};
}

/* Whatever net_create and tcp_create have allocated; who allocates more there adds it here. */
static inline void fuzz_regions_list(struct fuzz_host *h)
{
    struct tcp *tcp = h->tcp;
    fuzz_region_add(h, &h->stats, sizeof h->stats);
    fuzz_region_add(h, &h->wheel, sizeof h->wheel);
    fuzz_region_add(h, h->net, offsetof(struct net, tx));
    fuzz_region_add(h, tcp, sizeof *tcp);
    const struct pool *pools[] = {&tcp->pcbs, &tcp->actives};
    for (unsigned i = 0; i < 2; i++) {
        fuzz_region_add(h, pools[i]->objects, (size_t)pools[i]->count * pools[i]->object_bytes);
        fuzz_region_add(h, pools[i]->free_next, pools[i]->count * sizeof(uint32_t));
    }
    fuzz_region_add(h, tcp->flows.buckets, (tcp->flows.mask + 1) * sizeof *tcp->flows.buckets);
    fuzz_region_add(h, tcp->tw.records, tcp->tw.capacity * sizeof *tcp->tw.records);
    fuzz_region_add(h, tcp->tw.addresses, tcp->tw.capacity * sizeof *tcp->tw.addresses);
    uint32_t half_open = tcp_syncache_size(&tcp->syncache);
    fuzz_region_add(h, tcp->syncache.marks, half_open * sizeof *tcp->syncache.marks);
    fuzz_region_add(h, tcp->syncache.entries, half_open * sizeof *tcp->syncache.entries);
}

/* A host with number n on 192.0.2.0/24 and 2001:db8:1::/64, whose MAC is `mac`. With a total of `frames` the memory
 * governor is at work; 0: many, and it is not. */
static inline struct fuzz_host *fuzz_host_new(const struct tcp_config *config, const uint8_t mac[6],
                                              unsigned n, unsigned frames, tg_ns now)
{
    struct fuzz_host *h = aligned_alloc(TG_CACHE_LINE, sizeof *h);
    tg_assert(h);
    memset(h, 0, sizeof *h);
    fuzz_pool_init(&h->pool, frames);
    if (fuzz_toeplitz.table[0][1] == 0)
        test_toeplitz_init(&fuzz_toeplitz, 7);
    timer_wheel_init(&h->wheel, now);
    struct net_config c = {.port_count = 1, .address_count = 2, .answers = true};
    memcpy(c.ports[0].mac, mac, 6);
    c.ports[0].mtu = 1500;
    c.addresses[0] = (struct net_address){test_addr("192.0.2.0"), 96 + 24, 0};
    c.addresses[1] = (struct net_address){test_addr("2001:db8:1::"), 64, 0};
    c.addresses[0].address.bytes[15] = c.addresses[1].address.bytes[15] = (uint8_t)n;
    tg_assert(net_create(&c, &h->pool.pool, &h->stats, &fuzz_toeplitz, n, fuzz_icmp_error, h,
                         &h->net) == TG_OK);
    tg_assert(tcp_create(config, h->net, &h->pool.pool, &h->wheel, &h->stats, &fuzz_toeplitz,
                         fuzz_tx_done, h, &h->tcp) == TG_OK);
    tg_assert(tcp_listen(h->tcp, 80, 1) == TG_OK);
    fuzz_regions_list(h);
    return h;
}

/* --- images --------------------------------------------------------------------------------------------- */

static inline size_t fuzz_image_bytes(const struct fuzz_host *h)
{
    size_t sum = 0;
    for (unsigned i = 0; i < h->region_count; i++)
        sum += h->regions[i].len;
    return sum;
}

/* What the host is now, on the heap for ever. The moment must be quiet. */
static inline uint8_t *fuzz_host_image(const struct fuzz_host *h)
{
    tg_assert(h->pool.outstanding == 0 && net_tx_room(h->net) == NET_TX_QUEUE);
    uint8_t *image = malloc(fuzz_image_bytes(h)), *p = image;
    tg_assert(image);
    for (unsigned i = 0; i < h->region_count; p += h->regions[i].len, i++)
        memcpy(p, h->regions[i].at, h->regions[i].len);
    return image;
}

/* Make the host what it was. Every frame must have come back. */
static inline void fuzz_host_restore(struct fuzz_host *h, const uint8_t *image)
{
    for (unsigned i = 0; i < h->region_count; image += h->regions[i].len, i++)
        memcpy(h->regions[i].at, image, h->regions[i].len);
    h->port_busy = false;
    fuzz_pool_reset(&h->pool);
}

/* End what an input left, as tcp_destroy and net_destroy do, but for the memory. No frame may be out then and no timer
 * armed but the stack's own three. */
static inline void fuzz_host_end(struct fuzz_host *h)
{
    struct tcp *tcp = h->tcp;
    struct buf *b;
    for (uint32_t i = 0; i < tcp->pcbs.count; i++)
        if (pool_is_taken(&tcp->pcbs, i))
            tcp_pcb_free(tcp, tcp_pcb_at(tcp, i));
    neigh_flush(h->net);
    while (net_take(h->net, &b, 1))
        buf_unref(&h->pool.pool, b);
    timer_cancel(&h->wheel, &tcp->keep_timer);
    timer_cancel(&h->wheel, &tcp->syncache.timer);
    timer_cancel(&h->wheel, &tcp->tw.timer);
    tg_assert(h->pool.outstanding == 0);
    tg_assert(h->wheel.armed == 0);
}

#endif
