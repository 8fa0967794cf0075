/* SPDX-License-Identifier: BSD-3-Clause
 * See calls.h. Errors are named as errno.h names them.
 */
#include "tests/packet/calls.h"
#include <stdio.h>

typedef struct call_result call_function(struct calls *calls, struct socket *s,
                                         const struct script_call *call);

static struct call_result returned(int64_t value)
{
    return (struct call_result){.value = value};
}

static struct call_result failed(const char *error)
{
    return (struct call_result){.value = -1, .error = error};
}

static struct call_result blocks(void)
{
    return (struct call_result){.value = -1, .error = "EAGAIN", .would_block = true};
}

static struct call_result unknown(void)
{
    return (struct call_result){.value = -1, .error = "ENOPROTOOPT", .unknown = true};
}

void calls_init(struct calls *calls, struct host *host)
{
    *calls = (struct calls){.host = host};
}

static int socket_number(const struct calls *calls, const struct socket *s)
{
    return CALLS_FD_FIRST + (int)(s - calls->sockets);
}

static struct socket *socket_new(struct calls *calls, enum socket_kind kind)
{
    for (unsigned i = 0; i < CALLS_SOCKETS; i++)
        if (calls->sockets[i].kind == SOCKET_FREE) {
            calls->sockets[i] = (struct socket){.kind = kind};
            return &calls->sockets[i];
        }
    return NULL;
}

static const char *arg(const struct script_call *call, unsigned i)
{
    return i < call->arg_count ? call->args[i].text : "";
}

static bool arg_has(const struct script_call *call, unsigned i, const char *word)
{
    return strstr(arg(call, i), word) != NULL;
}

static int64_t arg_number(const struct script_call *call, unsigned i)
{
    return i < call->arg_count && call->args[i].is_number ? call->args[i].number : 0;
}

/* --- what the stack reports ----------------------------------------------------------------------------- */

static const char *error_name(const struct socket *s, enum tg_err err)
{
    switch (err) {
    case TG_RESET:
        return s->connected ? "ECONNRESET" : "ECONNREFUSED";
    case TG_TIMEOUT:
        return "ETIMEDOUT";
    case TG_UNREACHABLE:
        return "EHOSTUNREACH";
    default:
        return NULL;
    }
}

static void event_take(struct calls *calls, const struct tcp_event *e)
{
    if (e->bits & TCP_EV_ACCEPTED && calls->accept_count < CALLS_SOCKETS)
        calls->accepts[calls->accept_count++] = e->handle;
    if (e->user == 0 || e->user > CALLS_SOCKETS)
        return;
    struct socket *s = &calls->sockets[e->user - 1];
    if (s->h != e->handle)
        return;
    s->connected |= (e->bits & TCP_EV_CONNECTED) != 0;
    s->peer_fin |= (e->bits & TCP_EV_PEER_FIN) != 0;
    if (e->bits & TCP_EV_CLOSED) {
        s->error = s->ended = error_name(s, (enum tg_err)e->error);
        s->h = TCP_NONE;
    }
}

void calls_events(struct calls *calls)
{
    struct tcp_event e[8];
    unsigned n;
    while ((n = tcp_events(calls->host->tcp, e, TG_ARRAY_LEN(e))))
        for (unsigned i = 0; i < n; i++)
            event_take(calls, &e[i]);
}

tcp_handle calls_connection(const struct calls *calls)
{
    for (unsigned i = CALLS_SOCKETS; i-- > 0;)
        if (calls->sockets[i].kind == SOCKET_CONNECTION && calls->sockets[i].h)
            return calls->sockets[i].h;
    return calls->accept_count ? calls->accepts[0] : TCP_NONE;
}

/* --- opening and closing ----------------------------------------------------------------------------------- */

static void knobs_apply(struct calls *calls, struct socket *s)
{
    for (unsigned i = 0; i < s->knob_count; i++)
        (void)!tcp_set_option(calls->host->tcp, s->h, s->knobs[i].name, s->knobs[i].value);
}

static struct call_result do_socket(struct calls *calls, struct socket *s,
                                    const struct script_call *call)
{
    s = socket_new(calls, SOCKET_FRESH);
    if (!s)
        return failed("EMFILE");
    s->nonblocking = arg_has(call, 1, "NONBLOCK");
    return returned(socket_number(calls, s));
}

static struct call_result do_nothing(struct calls *calls, struct socket *s,
                                     const struct script_call *call)
{
    return returned(0);
}

static struct call_result do_listen(struct calls *calls, struct socket *s,
                                    const struct script_call *call)
{
    if (tcp_listen(calls->host->tcp, HOST_PORT, 1) != TG_OK)
        return failed("EADDRINUSE");
    s->kind = SOCKET_LISTENING;
    for (unsigned i = 0; i < s->knob_count; i++)
        (void)!tcp_set_listen_option(calls->host->tcp, HOST_PORT, s->knobs[i].name,
                                     s->knobs[i].value);
    return returned(0);
}

static struct call_result do_accept(struct calls *calls, struct socket *listener,
                                    const struct script_call *call)
{
    if (calls->accept_count == 0)
        return blocks();
    struct socket *s = socket_new(calls, SOCKET_CONNECTION);
    if (!s)
        return failed("EMFILE");
    s->h = calls->accepts[0];
    s->connected = true;
    memmove(calls->accepts, calls->accepts + 1, --calls->accept_count * sizeof calls->accepts[0]);
    tcp_set_user(calls->host->tcp, s->h, (uint64_t)(s - calls->sockets) + 1);
    s->peer_fin = tcp_at_end(calls->host->tcp, s->h);
    return returned(socket_number(calls, s));
}

static struct call_result do_connect(struct calls *calls, struct socket *s,
                                     const struct script_call *call)
{
    struct host *host = calls->host;
    struct tcp_info info;
    if (s->kind == SOCKET_CONNECTION)
        return s->ended ? failed(s->ended) : s->connected ? returned(0) : blocks();
    host->tuple.remote_port = HOST_PORT;
    s->kind = SOCKET_CONNECTION;
    if (tcp_connect(host->tcp, NULL, &host->tuple.remote, HOST_PORT, 0,
                    (uint64_t)(s - calls->sockets) + 1, host->now, &s->h) != TG_OK ||
        tcp_get_info(host->tcp, s->h, &info) != TG_OK)
        return failed("ENETUNREACH");
    host->tuple.local_port = info.tuple.local_port;
    knobs_apply(calls, s);
    if (!s->nonblocking)
        return blocks();
    return failed("EINPROGRESS");
}

static struct call_result do_close(struct calls *calls, struct socket *s,
                                   const struct script_call *call)
{
    if (s->kind == SOCKET_LISTENING)
        tcp_unlisten(calls->host->tcp, HOST_PORT);
    else if (s->h && s->linger_now)
        tcp_abort(calls->host->tcp, s->h);
    else if (s->h)
        tcp_close(calls->host->tcp, s->h);
    s->kind = SOCKET_FREE;
    return returned(0);
}

static struct call_result do_shutdown(struct calls *calls, struct socket *s,
                                      const struct script_call *call)
{
    if (s->kind != SOCKET_CONNECTION || !s->h)
        return failed("ENOTCONN");
    if (!arg_has(call, 1, "SHUT_RD") || arg_has(call, 1, "SHUT_RDWR"))
        tcp_shutdown(calls->host->tcp, s->h);
    return returned(0);
}

static struct call_result do_fcntl(struct calls *calls, struct socket *s,
                                   const struct script_call *call)
{
    if (arg_has(call, 1, "F_GETFL"))
        return returned(2 | (s->nonblocking ? 0x800 : 0));
    s->nonblocking = arg_has(call, 2, "O_NONBLOCK");
    return returned(0);
}

/* --- bytes ------------------------------------------------------------------------------------------------- */

static uint32_t bytes_take(struct calls *calls, struct socket *s, uint32_t max)
{
    struct tcp *tcp = calls->host->tcp;
    struct span spans[16];
    uint32_t left = tcp_unread(tcp, s->h), taken = 0;
    left = left < max ? left : max;
    while (left) {
        unsigned n = tcp_peek(tcp, s->h, spans, 1);
        uint32_t piece = n == 0 ? 0 : spans[0].len < left ? (uint32_t)spans[0].len : left;
        if (piece == 0)
            break;
        for (uint32_t i = 0; i < piece; i++)
            calls->wrong_byte |= spans[0].data[i] != host_stream_byte(s->read_offset + i);
        tcp_consume(tcp, s->h, piece);
        s->read_offset += piece;
        taken += piece;
        left -= piece;
    }
    return taken;
}

/* The bytes' place among the arguments: read(fd, ..., n), recv(fd, ..., n, flags). */
static struct call_result do_read(struct calls *calls, struct socket *s,
                                  const struct script_call *call)
{
    if (s->kind != SOCKET_CONNECTION)
        return failed("ENOTCONN");
    uint32_t n = s->h ? bytes_take(calls, s, (uint32_t)arg_number(call, 2)) : 0;
    calls_events(calls); /* the end may come behind the last byte */
    if (n)
        return returned(n);
    if (s->error) {
        struct call_result r = failed(s->error);
        s->error = NULL;
        return r;
    }
    if (!s->h || tcp_at_end(calls->host->tcp, s->h))
        return returned(0);
    return blocks();
}

static struct call_result do_write(struct calls *calls, struct socket *s,
                                   const struct script_call *call)
{
    if (s->kind != SOCKET_CONNECTION)
        return failed("EPIPE");
    if (s->error) {
        struct call_result r = failed(s->error);
        s->error = NULL;
        return r;
    }
    struct tcp_info info;
    if (!s->h || tcp_get_info(calls->host->tcp, s->h, &info) != TG_OK)
        return failed("EPIPE");
    if (!s->connected)
        return blocks();
    if (info.state != TCP_S_ESTABLISHED && info.state != TCP_S_CLOSE_WAIT)
        return failed("EPIPE");
    uint32_t n = (uint32_t)arg_number(call, 2);
    uint8_t *bytes = malloc(n ? n : 1);
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = host_stream_byte(s->write_offset + i);
    size_t taken = tcp_write(calls->host->tcp, s->h, span_make(bytes, n));
    free(bytes);
    s->write_offset += (uint32_t)taken;
    return taken || n == 0 ? returned((int64_t)taken) : blocks();
}

static struct call_result do_ioctl(struct calls *calls, struct socket *s,
                                   const struct script_call *call)
{
    struct tcp_info info;
    struct call_result r = returned(0);
    if (!s->h || tcp_get_info(calls->host->tcp, s->h, &info) != TG_OK)
        return failed("EINVAL");
    if (arg_has(call, 1, "INQ") || arg_has(call, 1, "FIONREAD"))
        snprintf(r.out, sizeof r.out, "%u", info.unread);
    else if (arg_has(call, 1, "OUTQNSD"))
        snprintf(r.out, sizeof r.out, "%u", info.unsent);
    else if (arg_has(call, 1, "OUTQ"))
        snprintf(r.out, sizeof r.out, "%u", info.unsent + info.unacked);
    else
        return unknown();
    return r;
}

/* --- knobs --------------------------------------------------------------------------------------------------- */

struct knob {
    const char *name; /* as setsockopt has it */
    enum tcp_option_name option;
    uint32_t unit; /* of Linux in ours */
};

static const struct knob knobs[] = {
    {"SO_KEEPALIVE", TCP_OPT_KEEPALIVE, 1},
    {"SO_RCVBUF", TCP_OPT_RECEIVE_WINDOW, 1},
    {"SO_SNDBUF", TCP_OPT_SEND_BUFFER, 1},
    {"TCP_NODELAY", TCP_OPT_NAGLE, 1},
    {"TCP_CORK", TCP_OPT_CORK, 1},
    {"TCP_KEEPIDLE", TCP_OPT_KEEP_IDLE, 1000},
    {"TCP_KEEPINTVL", TCP_OPT_KEEP_INTERVAL, 1000},
    {"TCP_KEEPCNT", TCP_OPT_KEEP_COUNT, 1},
    {"TCP_USER_TIMEOUT", TCP_OPT_USER_TIMEOUT, 1},
    {"TCP_NOTSENT_LOWAT", TCP_OPT_NOTSENT_LOWAT, 1},
    {"TCP_QUICKACK", TCP_OPT_QUICKACK, 1},
    {"TCP_CONGESTION", TCP_OPT_CONGESTION, 1},
    {"TCP_MAXSEG", TCP_OPT_MSS, 1},
};

static const struct knob *knob_find(const char *name)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(knobs); i++)
        if (strcmp(knobs[i].name, name) == 0)
            return &knobs[i];
    return NULL;
}

static uint64_t knob_value(const struct knob *k, const struct script_call *call)
{
    if (k->option == TCP_OPT_CONGESTION)
        return arg_has(call, 3, "cubic") ? TCP_CC_CUBIC : TCP_CC_NEWRENO;
    uint64_t v = (uint64_t)arg_number(call, 3);
    return k->option == TCP_OPT_NAGLE ? v == 0 : v * k->unit;
}

static struct call_result do_setsockopt(struct calls *calls, struct socket *s,
                                        const struct script_call *call)
{
    const struct knob *k = knob_find(arg(call, 2));
    if (arg_has(call, 2, "SO_REUSEADDR"))
        return returned(0);
    if (arg_has(call, 2, "SO_LINGER")) {
        s->linger_now = arg_has(call, 3, "onoff=1") && arg_has(call, 3, "linger=0");
        return returned(0);
    }
    if (!k)
        return unknown();
    uint64_t value = knob_value(k, call);
    if (s->kind == SOCKET_CONNECTION)
        return tcp_set_option(calls->host->tcp, s->h, k->option, value) == TG_OK ? returned(0)
                                                                                 : failed("EINVAL");
    if (s->kind == SOCKET_LISTENING)
        return tcp_set_listen_option(calls->host->tcp, HOST_PORT, k->option, value) == TG_OK
                   ? returned(0)
                   : failed("EINVAL");
    if (s->knob_count == CALLS_KNOBS_MAX)
        return failed("ENOBUFS");
    s->knobs[s->knob_count].name = k->option;
    s->knobs[s->knob_count++].value = value;
    return returned(0);
}

static struct call_result do_getsockopt(struct calls *calls, struct socket *s,
                                        const struct script_call *call)
{
    struct call_result r = returned(0);
    const struct knob *k = knob_find(arg(call, 2));
    uint64_t value;
    if (arg_has(call, 2, "SO_ERROR")) {
        snprintf(r.out, sizeof r.out, "%s", s->error ? s->error : "0");
        s->error = NULL;
        return r;
    }
    if (arg_has(call, 2, "TCP_INFO"))
        return r;
    if (!k)
        return unknown();
    if (tcp_get_option(calls->host->tcp, s->h, k->option, &value) != TG_OK)
        return failed("EINVAL");
    value = k->option == TCP_OPT_NAGLE ? value == 0 : value / k->unit;
    snprintf(r.out, sizeof r.out, "%llu", (unsigned long long)value);
    return r;
}

/* --- by name --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    call_function *function;
} functions[] = {
    {"socket", do_socket},
    {"bind", do_nothing},
    {"listen", do_listen},
    {"accept", do_accept},
    {"connect", do_connect},
    {"close", do_close},
    {"shutdown", do_shutdown},
    {"fcntl", do_fcntl},
    {"read", do_read},
    {"recv", do_read},
    {"write", do_write},
    {"send", do_write},
    {"sendto", do_write},
    {"ioctl", do_ioctl},
    {"setsockopt", do_setsockopt},
    {"getsockopt", do_getsockopt},
};

struct call_result calls_do(struct calls *calls, const struct script_call *call)
{
    bool makes = strcmp(call->name, "socket") == 0;
    int64_t number = arg_number(call, 0) - CALLS_FD_FIRST;
    struct socket *s = NULL;
    calls_events(calls);
    if (!makes) {
        if (number < 0 || number >= CALLS_SOCKETS || calls->sockets[number].kind == SOCKET_FREE)
            return failed("EBADF");
        s = &calls->sockets[number];
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(functions); i++)
        if (strcmp(functions[i].name, call->name) == 0)
            return functions[i].function(calls, s, call);
    return unknown();
}
