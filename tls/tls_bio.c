/* SPDX-License-Identifier: BSD-3-Clause
 * The BIO between libssl and a connection's pipe: see tls_bio.h. Called by libssl and tls_conn.c.
 */
#include "tls/tls_bio.h"

#include <limits.h>
#include <stdlib.h>

struct out_chunk {
    struct out_chunk *next;
    uint32_t head, tail, cap; /* bytes[head..tail) wait */
    uint8_t bytes[];
};

bool in_left(struct tls_in *in)
{
    while (in->count && in->offset >= in->spans[0].len) {
        in->spans++;
        in->count--;
        in->offset = 0;
    }
    return in->count > 0;
}

static size_t in_take(struct tls_in *in, uint8_t *room, size_t cap)
{
    size_t n = 0;
    while (n < cap && in_left(in)) {
        struct span piece = span_slice(in->spans[0], in->offset, cap - n);
        memcpy(room + n, piece.data, piece.len);
        n += piece.len;
        in->offset += piece.len;
    }
    in->consumed += n;
    return n;
}

/* A fresh last chunk with room for n bytes at least; NULL without memory. */
static struct out_chunk *out_grow(struct tls_out *out, size_t n)
{
    size_t cap = n > OUT_CHUNK_BYTES ? n : OUT_CHUNK_BYTES;
    struct out_chunk *c = malloc(sizeof *c + cap);
    if (!c)
        return NULL;
    *c = (struct out_chunk){.cap = (uint32_t)cap};
    if (out->last)
        out->last->next = c;
    else
        out->first = c;
    out->last = c;
    return c;
}

/* All n bytes or, without memory, none. */
static bool out_append(struct tls_out *out, const uint8_t *bytes, size_t n)
{
    struct out_chunk *c = out->last;
    size_t fits = c ? c->cap - c->tail : 0;
    if (fits > n)
        fits = n;
    struct out_chunk *more = NULL;
    if (fits < n && !(more = out_grow(out, n - fits))) {
        out->out_of_memory = true;
        return false;
    }
    if (fits) {
        memcpy(c->bytes + c->tail, bytes, fits);
        c->tail += (uint32_t)fits;
    }
    if (more) {
        memcpy(more->bytes, bytes + fits, n - fits);
        more->tail = (uint32_t)(n - fits);
    }
    out->waiting += n;
    return true;
}

size_t out_drain(struct tls_out *out, uint8_t *room, size_t cap)
{
    size_t n = 0;
    while (n < cap && out->first) {
        struct out_chunk *c = out->first;
        struct span piece = span_slice(span_make(c->bytes, c->tail), c->head, cap - n);
        memcpy(room + n, piece.data, piece.len);
        n += piece.len;
        c->head += (uint32_t)piece.len;
        if (c->head < c->tail)
            break;
        out->first = c->next;
        if (!out->first)
            out->last = NULL;
        free(c);
    }
    out->waiting -= n;
    return n;
}

void out_free(struct tls_out *out)
{
    while (out->first) {
        struct out_chunk *c = out->first;
        out->first = c->next;
        free(c);
    }
    *out = (struct tls_out){0};
}

/* libssl asks for the next bytes of a record: what the spans hold, else "come back". Never an end
 * of file: the end of TCP's stream is the caller's business. */
static int pipe_read(BIO *bio, char *room, int cap)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    fibre_enter(&pipe->worker_stack);
    BIO_clear_retry_flags(bio);
    size_t n = cap > 0 ? in_take(&pipe->in, (uint8_t *)room, (size_t)cap) : 0;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    return (int)n;
}

/* libssl hands a record or a flight over: all of it, or "come back" at the hard bound. */
static int pipe_write(BIO *bio, const char *bytes, int n)
{
    struct tls_pipe *pipe = BIO_get_data(bio);
    fibre_enter(&pipe->worker_stack);
    BIO_clear_retry_flags(bio);
    if (n <= 0)
        return 0;
    if (pipe->out.waiting >= OUT_LIMIT_HARD_BYTES) {
        BIO_set_retry_write(bio);
        return -1;
    }
    return out_append(&pipe->out, (const uint8_t *)bytes, (size_t)n) ? n : -1;
}

/* Only flush means something: nothing is held back, so it has always happened. */
static long pipe_ctrl(BIO *bio, int command, long number, void *pointer)
{
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *bio_method_make(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "tidegate");
    if (method && BIO_meth_set_read(method, pipe_read) && BIO_meth_set_write(method, pipe_write) &&
        BIO_meth_set_ctrl(method, pipe_ctrl))
        return method;
    BIO_meth_free(method);
    return NULL;
}

BIO *bio_make(const BIO_METHOD *method, struct tls_pipe *pipe)
{
    BIO *bio = BIO_new(method);
    if (bio) {
        BIO_set_data(bio, pipe);
        BIO_set_init(bio, 1);
    }
    return bio;
}
