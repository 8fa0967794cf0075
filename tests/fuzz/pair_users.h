/* SPDX-License-Identifier: BSD-3-Clause
 * For tcp_pair_fuzz: the users of its two hosts. Each connection has one at either end, which writes the one test
 * stream and checks what it reads against it, unless the wire has lied.
 */
#ifndef TESTS_FUZZ_PAIR_USERS_H
#define TESTS_FUZZ_PAIR_USERS_H

#include "tests/fuzz/fuzz_host.h"

#define PAIR_USERS 4u /* connections of a host at a time */

struct pair_user {
    tcp_handle h; /* TCP_NONE: nobody */
    uint32_t sent, received;
    bool watched;  /* both ends lived when the wire became perfect: everything must arrive */
    bool given_up; /* it may have been about to time out just then, or memory is short */
};

struct pair_side {
    struct fuzz_host *host;
    struct pair_user users[PAIR_USERS];
    tg_ns ticked;    /* last net_tick */
    bool lost_track; /* another user sits where a watched one was: the sums say nothing */
};

/* The byte of the stream at an offset. */
static inline uint8_t pair_byte(uint32_t offset)
{
    uint32_t h = offset * 2654435761u;
    return (uint8_t)(h >> 24 ^ h >> 11);
}

static inline struct pair_user *pair_user_of(struct pair_side *s, tcp_handle h)
{
    return &s->users[tcp_handle_index(h) % PAIR_USERS];
}

static inline void pair_user_begin(struct pair_side *s, tcp_handle h)
{
    struct pair_user *u = pair_user_of(s, h);
    s->lost_track = s->lost_track || u->watched;
    *u = (struct pair_user){.h = h};
}

static inline void pair_events(struct pair_side *s)
{
    struct tcp_event e;
    while (tcp_events(s->host->tcp, &e, 1)) {
        struct pair_user *u = pair_user_of(s, e.handle);
        if (e.bits & TCP_EV_ACCEPTED)
            pair_user_begin(s, e.handle);
        tg_assert(u->h == e.handle);
        if (e.bits & TCP_EV_CLOSED) {
            u->given_up = e.error == TG_TIMEOUT || e.error == TG_NO_MEMORY;
            u->h = TCP_NONE;
        }
    }
}

static inline void pair_write(struct pair_side *s, struct pair_user *u, uint32_t n)
{
    static uint8_t bytes[8192];
    n = u32_min(n, sizeof bytes);
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = pair_byte(u->sent + i);
    u->sent += (uint32_t)tcp_write(s->host->tcp, u->h, span_make(bytes, n));
}

/* Up to n bytes; the wire is honest: each is the right one. */
static inline void pair_read(struct pair_side *s, struct pair_user *u, uint32_t n, bool honest)
{
    struct span span;
    while (n && tcp_peek(s->host->tcp, u->h, &span, 1)) {
        uint32_t take = u32_min(n, (uint32_t)span.len);
        for (uint32_t i = 0; honest && i < take; i++)
            tg_assert(span.data[i] == pair_byte(u->received + i));
        u->received += take;
        n -= take;
        tcp_consume(s->host->tcp, u->h, take);
    }
}

/* The other end of a user's connection; NULL: it has none any more. */
static inline struct pair_user *pair_other_end(const struct pair_side *s, struct pair_side *other,
                                               const struct pair_user *u)
{
    struct tcp_info here, there;
    if (tcp_get_info(s->host->tcp, u->h, &here) != TG_OK)
        return NULL;
    for (unsigned i = 0; i < PAIR_USERS; i++) {
        struct pair_user *o = &other->users[i];
        if (tcp_get_info(other->host->tcp, o->h, &there) == TG_OK &&
            there.tuple.local_port == here.tuple.remote_port &&
            there.tuple.remote_port == here.tuple.local_port &&
            ip_addr_equal(&there.tuple.local, &here.tuple.remote))
            return o;
    }
    return NULL;
}

#endif
