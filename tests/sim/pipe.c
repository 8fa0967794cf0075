/* SPDX-License-Identifier: BSD-3-Clause
 * The two faces of a pipe. The loop around TLS is the one that tls.h describes.
 */
#include "tests/sim/pipe.h"
#include "tls/tls_random.h"
#include "tls/tls_test_certs.h"
#include <stdio.h>

/* One for the process: making keys is slow, and its bytes do not depend on the seed of a run. */
static struct test_certificate certificate;

void pipe_tls_start(void)
{
    static bool started;
    if (started)
        return;
    started = true;
    random_seed_set(1);
    tg_assert(tls_start() == TG_OK);
    test_certificate_make(&certificate, TEST_KEY_P256, "DNS:sim.example", NULL);
}

struct tls_set *pipe_tls_set(uint64_t seed)
{
    static const char name[] = "sim.example";
    const struct tls_policy policy = {.alpn_http1 = true, .tls12 = true, .random_seed = seed | 1};
    struct tls_certificate published =
        test_certificate_publish(&certificate, span_make(name, sizeof name), true);
    struct tls_set *set = NULL;
    unsigned bad;
    char problem[256] = "";
    if (tls_set_create(&published, 1, &policy, &set, &bad, problem) != TG_OK)
        fprintf(stderr, "tls_set_create: %s\n", problem);
    tg_assert(set);
    return set;
}

void pipe_open(struct pipe *p, struct tcp *tcp, tcp_handle handle, struct tls_conn *tls,
               uint64_t wall_s)
{
    p->tcp = tcp;
    p->handle = handle;
    p->tls = tls;
    p->wall_s = wall_s;
    p->failed = p->ended = false;
    p->at = p->len = 0;
}

bool pipe_drained(struct pipe *p)
{
    while (p->tls && tls_pending_out(p->tls) > 0) {
        struct span_room room;
        if (tcp_reserve(p->tcp, p->handle, 1, &room) != TG_OK)
            return false;
        tcp_commit(p->tcp, p->handle, tls_drain(p->tls, room.data, room.len));
    }
    return true;
}

/* One round of input: cipher text to TLS, plaintext to plain[] when that is empty. True: it moved. */
static bool tls_round(struct pipe *p)
{
    struct span spans[8];
    unsigned n = tcp_peek(p->tcp, p->handle, spans, TG_ARRAY_LEN(spans));
    size_t consumed = 0;
    enum tg_err err = tls_feed(p->tls, spans, n, &consumed, p->wall_s);
    tcp_consume(p->tcp, p->handle, (uint32_t)consumed);
    if (err == TG_BAD_INPUT || err == TG_NO_MEMORY)
        p->failed = true;
    if (err == TG_END)
        p->ended = true;
    if (p->at == p->len) {
        bool early;
        p->at = p->len = 0;
        if (tls_read(p->tls, p->plain, sizeof p->plain, &p->len, &early) == TG_END)
            p->ended = true;
    }
    pipe_drained(p);
    return consumed > 0 || p->len > p->at;
}

bool pipe_peek(struct pipe *p, struct span *out)
{
    if (!p->tls)
        return tcp_peek(p->tcp, p->handle, out, 1) == 1;
    while (p->at == p->len && !p->failed && tls_round(p))
        ;
    *out = span_make(p->plain + p->at, p->len - p->at);
    return out->len > 0;
}

void pipe_consume(struct pipe *p, size_t n)
{
    if (p->tls)
        p->at += n;
    else
        tcp_consume(p->tcp, p->handle, (uint32_t)n);
}

size_t pipe_write(struct pipe *p, struct span bytes)
{
    size_t taken = 0;
    if (!p->tls)
        return tcp_write(p->tcp, p->handle, bytes);
    /* A record a time, so that the pieces on the wire differ in size as the writes do. */
    if (pipe_drained(p) && tls_write(p->tls, bytes, &taken) != TG_OK)
        taken = 0;
    pipe_drained(p);
    return taken;
}

bool pipe_at_end(struct pipe *p)
{
    if (!p->tls)
        return tcp_at_end(p->tcp, p->handle);
    return p->at == p->len && (p->ended || tcp_at_end(p->tcp, p->handle));
}

static void pipe_release(struct pipe *p)
{
    if (p->tls)
        tls_abort(p->tls);
    p->tls = NULL;
}

void pipe_close(struct pipe *p)
{
    if (p->tls)
        tls_shutdown(p->tls);
    pipe_drained(p);
    pipe_release(p);
    tcp_close(p->tcp, p->handle);
}

void pipe_abort(struct pipe *p)
{
    pipe_release(p);
    tcp_abort(p->tcp, p->handle);
}

void pipe_lost(struct pipe *p)
{
    pipe_release(p);
}
