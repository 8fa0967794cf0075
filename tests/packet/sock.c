/* SPDX-License-Identifier: BSD-3-Clause
 * See sock.h.
 */
#include "tests/packet/sock.h"
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

void socks_init(struct socks *socks, struct host *host)
{
    *socks = (struct socks){.host = host};
}

struct sock *sock_of(struct socks *socks, int fd)
{
    int i = fd - SOCKS_FD_FIRST;
    return i < 0 || i >= SOCKS_MAX || socks->sockets[i].kind == SOCK_FREE ? NULL
                                                                          : &socks->sockets[i];
}

static int fd_of(const struct socks *socks, const struct sock *s)
{
    return SOCKS_FD_FIRST + (int)(s - socks->sockets);
}

static struct sock *sock_new(struct socks *socks, enum sock_kind kind)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (socks->sockets[i].kind == SOCK_FREE) {
            socks->sockets[i] = (struct sock){.kind = kind, .port = HOST_PORT};
            return &socks->sockets[i];
        }
    return NULL;
}

/* --- what the stack reports ----------------------------------------------------------------------------- */

static int error_number(const struct sock *s, enum tg_err err)
{
    switch (err) {
    case TG_RESET:
        return s->connected ? ECONNRESET : ECONNREFUSED;
    case TG_TIMEOUT:
        return ETIMEDOUT;
    case TG_UNREACHABLE:
        return EHOSTUNREACH;
    default:
        return 0;
    }
}

/* A connection that nobody has accepted yet, and that is over. */
static void accept_end(struct socks *socks, const struct tcp_event *e)
{
    struct sock waiting = {.connected = true};
    for (unsigned i = 0; i < socks->accept_count; i++)
        if (socks->accepts[i].h == e->handle) {
            socks->accepts[i].h = TCP_NONE;
            socks->accepts[i].ended = error_number(&waiting, (enum tg_err)e->error);
        }
}

static void event_take(struct socks *socks, const struct tcp_event *e)
{
    if (e->bits & TCP_EV_ACCEPTED && socks->accept_count < SOCKS_MAX) {
        socks->accepts[socks->accept_count].h = e->handle;
        socks->accepts[socks->accept_count].ended = 0;
        socks->accepts[socks->accept_count++].listener = (int)e->tag;
    }
    if (e->user == 0 || e->user > SOCKS_MAX) {
        if (e->bits & TCP_EV_CLOSED)
            accept_end(socks, e);
        return;
    }
    struct sock *s = &socks->sockets[e->user - 1];
    if (s->h != e->handle)
        return;
    s->connected |= (e->bits & TCP_EV_CONNECTED) != 0;
    s->peer_fin |= (e->bits & TCP_EV_PEER_FIN) != 0;
    if (e->bits & TCP_EV_CLOSED) {
        s->error = s->ended = error_number(s, (enum tg_err)e->error);
        s->h = TCP_NONE;
    }
}

void socks_events(struct socks *socks)
{
    struct tcp_event e[8];
    unsigned n;
    while ((n = tcp_events(socks->host->node.tcp, e, TG_ARRAY_LEN(e))))
        for (unsigned i = 0; i < n; i++)
            event_take(socks, &e[i]);
}

tcp_handle socks_connection(const struct socks *socks)
{
    for (unsigned i = SOCKS_MAX; i-- > 0;)
        if (socks->sockets[i].kind == SOCK_CONNECTION && socks->sockets[i].h)
            return socks->sockets[i].h;
    return socks->accept_count ? socks->accepts[0].h : TCP_NONE;
}

/* --- opening and closing ----------------------------------------------------------------------------------- */

int sock_open(struct socks *socks, bool nonblocking)
{
    struct sock *s = sock_new(socks, SOCK_FRESH);
    if (!s)
        return -EMFILE;
    s->nonblocking = nonblocking;
    return fd_of(socks, s);
}

int sock_bind(struct socks *socks, int fd, uint16_t port)
{
    struct sock *s = sock_of(socks, fd);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_FRESH)
        return -EINVAL;
    s->port = port ? port : HOST_PORT;
    return 0;
}

int sock_listen(struct socks *socks, int fd)
{
    struct sock *s = sock_of(socks, fd);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_LISTENING)
        return 0;
    if (s->kind != SOCK_FRESH)
        return -EINVAL;
    if (tcp_listen(socks->host->node.tcp, s->port, (uint32_t)fd) != TG_OK)
        return -EADDRINUSE;
    s->kind = SOCK_LISTENING;
    for (unsigned i = 0; i < s->knob_count; i++)
        (void)!tcp_set_listen_option(socks->host->node.tcp, s->port, s->knobs[i].name,
                                     s->knobs[i].value);
    return 0;
}

int sock_accept(struct socks *socks, int fd, bool nonblocking)
{
    struct sock *listener = sock_of(socks, fd);
    unsigned i = 0;
    socks_events(socks);
    if (!listener)
        return -EBADF;
    if (listener->kind != SOCK_LISTENING)
        return -EINVAL;
    while (i < socks->accept_count && socks->accepts[i].listener != fd)
        i++;
    if (i == socks->accept_count)
        return -EAGAIN;
    struct sock *s = sock_new(socks, SOCK_CONNECTION);
    if (!s)
        return -EMFILE;
    s->h = socks->accepts[i].h;
    s->error = s->ended = socks->accepts[i].ended;
    s->nonblocking = nonblocking;
    s->connected = s->told_connected = true;
    memmove(socks->accepts + i, socks->accepts + i + 1,
            (--socks->accept_count - i) * sizeof socks->accepts[0]);
    tcp_set_user(socks->host->node.tcp, s->h, (uint64_t)(s - socks->sockets) + 1);
    s->peer_fin = s->h && tcp_at_end(socks->host->node.tcp, s->h);
    return fd_of(socks, s);
}

/* What a further connect says: Linux tells the end of the attempt once. */
static int connect_again(struct sock *s)
{
    if (s->error) {
        int error = s->error;
        s->error = 0;
        return -error;
    }
    if (!s->connected)
        return s->h ? -EALREADY : -ECONNABORTED;
    if (s->told_connected)
        return -EISCONN;
    s->told_connected = true;
    return 0;
}

int sock_connect(struct socks *socks, int fd, const struct ip_addr *remote, uint16_t port)
{
    struct sock *s = sock_of(socks, fd);
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_CONNECTION)
        return connect_again(s);
    if (s->kind != SOCK_FRESH)
        return -EISCONN;
    if (tcp_connect(socks->host->node.tcp, NULL, remote, port, 0,
                    (uint64_t)(s - socks->sockets) + 1, socks->host->node.now, &s->h) != TG_OK)
        return -ENETUNREACH;
    s->kind = SOCK_CONNECTION;
    sock_knobs_apply(socks, s);
    return -EINPROGRESS;
}

int sock_close(struct socks *socks, int fd)
{
    struct sock *s = sock_of(socks, fd);
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_LISTENING)
        tcp_unlisten(socks->host->node.tcp, s->port);
    else if (s->h && s->linger_now)
        tcp_abort(socks->host->node.tcp, s->h);
    else if (s->h)
        tcp_close(socks->host->node.tcp, s->h);
    s->kind = SOCK_FREE;
    s->h = TCP_NONE;
    return 0;
}

int sock_shutdown(struct socks *socks, int fd, int how)
{
    struct sock *s = sock_of(socks, fd);
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_CONNECTION || !s->h)
        return -ENOTCONN;
    if (how != SHUT_RD)
        tcp_shutdown(socks->host->node.tcp, s->h);
    return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------- */

static size_t bytes_take(struct tcp *tcp, tcp_handle h, uint8_t *bytes, size_t max)
{
    struct span span;
    size_t taken = 0;
    while (taken < max && tcp_peek(tcp, h, &span, 1) && span.len) {
        size_t piece = span.len < max - taken ? span.len : max - taken;
        memcpy(bytes + taken, span.data, piece);
        tcp_consume(tcp, h, (uint32_t)piece);
        taken += piece;
    }
    return taken;
}

static int error_tell(struct sock *s)
{
    int error = s->error;
    s->error = 0;
    return -error;
}

int64_t sock_read(struct socks *socks, int fd, uint8_t *bytes, size_t n)
{
    struct sock *s = sock_of(socks, fd);
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_CONNECTION)
        return -ENOTCONN;
    size_t taken = s->h ? bytes_take(socks->host->node.tcp, s->h, bytes, n) : 0;
    socks_events(socks); /* the end may come behind the last byte */
    if (taken)
        return (int64_t)taken;
    if (s->error)
        return error_tell(s);
    return !s->h || tcp_at_end(socks->host->node.tcp, s->h) ? 0 : -EAGAIN;
}

/* 0, or why nothing can be written. */
static int may_write(struct socks *socks, struct sock *s)
{
    struct tcp_info info;
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind != SOCK_CONNECTION)
        return -EPIPE;
    if (s->error)
        return error_tell(s);
    if (!s->h || tcp_get_info(socks->host->node.tcp, s->h, &info) != TG_OK)
        return -EPIPE;
    if (!s->connected)
        return -EAGAIN;
    if (info.state != TCP_S_ESTABLISHED && info.state != TCP_S_CLOSE_WAIT)
        return -EPIPE;
    return 0;
}

int64_t sock_write(struct socks *socks, int fd, const uint8_t *bytes, size_t n)
{
    struct sock *s = sock_of(socks, fd);
    int error = may_write(socks, s);
    if (error)
        return error;
    size_t taken = tcp_write(socks->host->node.tcp, s->h, span_make(bytes, n));
    return taken || n == 0 ? (int64_t)taken : -EAGAIN;
}

int64_t sock_send_buf(struct socks *socks, int fd, const uint8_t *bytes, size_t n)
{
    struct sock *s = sock_of(socks, fd);
    struct buf_pool *pool = &socks->host->node.pool.pool;
    int error = n > BUF_ROOM ? -EMSGSIZE : may_write(socks, s);
    if (error)
        return error;
    struct buf *b = buf_alloc(pool);
    tg_assert(b);
    memcpy(buf_put(b, (uint16_t)n), bytes, n);
    if (tcp_send_buf(socks->host->node.tcp, s->h, b) == TG_OK)
        return (int64_t)n;
    buf_unref(pool, b);
    return -EAGAIN;
}

int64_t sock_reserve(struct socks *socks, int fd, const uint8_t *bytes, size_t n, size_t min)
{
    struct sock *s = sock_of(socks, fd);
    struct span_room room;
    int error = may_write(socks, s);
    if (error)
        return error;
    if (tcp_reserve(socks->host->node.tcp, s->h, min, &room) != TG_OK)
        return -EAGAIN;
    n = n < room.len ? n : room.len;
    memcpy(room.data, bytes, n);
    tcp_commit(socks->host->node.tcp, s->h, n);
    return (int64_t)n;
}

int sock_ioctl(struct socks *socks, int fd, unsigned long request, int *out)
{
    struct sock *s = sock_of(socks, fd);
    struct tcp_info info;
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (s->kind == SOCK_CONNECTION && !s->h)
        info = (struct tcp_info){.unread = 0};
    else if (tcp_get_info(socks->host->node.tcp, s->h, &info) != TG_OK)
        return -EINVAL;
    if (request == SIOCINQ)
        *out = (int)info.unread;
    else if (request == SIOCOUTQNSD)
        *out = (int)info.unsent;
    else if (request == SIOCOUTQ)
        *out = (int)(info.unsent + info.unacked);
    else
        return -ENOTTY;
    return 0;
}

short sock_poll(struct socks *socks, int fd)
{
    struct sock *s = sock_of(socks, fd);
    struct tcp *tcp = socks->host->node.tcp;
    struct tcp_info info;
    short bits = 0;
    socks_events(socks);
    if (!s)
        return POLLNVAL;
    if (s->kind == SOCK_LISTENING) {
        for (unsigned i = 0; i < socks->accept_count; i++)
            bits |= socks->accepts[i].listener == fd ? POLLIN : 0;
        return bits;
    }
    if (s->kind == SOCK_FRESH)
        return POLLOUT | POLLHUP;
    if (s->error)
        bits |= POLLERR;
    if (!s->h || tcp_get_info(tcp, s->h, &info) != TG_OK)
        return bits | POLLIN | POLLOUT | POLLRDHUP | POLLHUP;
    if (info.unread || tcp_at_end(tcp, s->h))
        bits |= POLLIN;
    if (s->peer_fin)
        bits |= POLLRDHUP;
    if (s->connected && (tcp_writable(tcp, s->h) ||
                         (info.state != TCP_S_ESTABLISHED && info.state != TCP_S_CLOSE_WAIT)))
        bits |= POLLOUT;
    return bits;
}
