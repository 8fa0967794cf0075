/* SPDX-License-Identifier: BSD-3-Clause
 * See calls.h.
 */
#include "tests/packet/calls.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

struct call {
    struct calls *calls;
    const struct script_call *text;
    int fd;
    struct sock *s;                                    /* of fd; NULL: none */
    uint32_t *read_offset, *write_offset, *write_done; /* of s */
    struct call_result *result;
};

typedef int64_t call_function(struct call *c);

void calls_init(struct calls *calls, struct host *host)
{
    *calls = (struct calls){.host = host};
    socks_init(&calls->socks, host);
}

static const char *arg(const struct call *c, unsigned i)
{
    return i < c->text->arg_count ? c->text->args[i].text : "";
}

static int64_t constant(struct call *c, const char *text)
{
    int64_t value = 0;
    if (!calls_constant(text, &value))
        c->result->unknown = text;
    return value;
}

static int64_t number(struct call *c, unsigned i)
{
    if (i < c->text->arg_count && c->text->args[i].is_number)
        return c->text->args[i].number;
    return constant(c, arg(c, i));
}

static bool waits(const struct call *c)
{
    return c->s && !c->s->nonblocking;
}

/* The same for recv and send, whose flags are argument i. */
static bool waits_unless(struct call *c, unsigned i)
{
    return waits(c) && !(i < c->text->arg_count && number(c, i) & MSG_DONTWAIT);
}

static int64_t or_wait(struct call *c, int64_t value, bool waits)
{
    c->result->would_block = waits && (value == -EAGAIN || value == -EALREADY);
    return value;
}

/* --- opening and closing ----------------------------------------------------------------------------------- */

static int64_t fresh(struct call *c, int fd)
{
    if (fd >= SOCKS_FD_FIRST)
        memset(&c->calls->streams[fd - SOCKS_FD_FIRST], 0, sizeof c->calls->streams[0]);
    return fd;
}

static int64_t do_socket(struct call *c)
{
    return fresh(c, sock_open(&c->calls->socks, strstr(arg(c, 1), "NONBLOCK") != NULL));
}

static int64_t do_bind(struct call *c)
{
    return sock_bind(&c->calls->socks, c->fd, HOST_PORT);
}

static int64_t do_listen(struct call *c)
{
    return sock_listen(&c->calls->socks, c->fd);
}

static int64_t do_accept(struct call *c)
{
    int fd = sock_accept(&c->calls->socks, c->fd, strstr(arg(c, 3), "NONBLOCK") != NULL);
    return fd < 0 ? or_wait(c, fd, waits(c)) : fresh(c, fd);
}

static int64_t do_connect(struct call *c)
{
    struct host *host = c->calls->host;
    struct tcp_info info;
    int64_t value = sock_connect(&c->calls->socks, c->fd, &host->tuple.remote, HOST_PORT);
    if (value != -EINPROGRESS)
        return or_wait(c, value, waits(c));
    if (tcp_get_info(host->node.tcp, c->s->h, &info) == TG_OK)
        host->tuple.local_port = info.tuple.local_port;
    host->tuple.remote_port = HOST_PORT;
    c->result->would_block = waits(c);
    return value;
}

static int64_t do_close(struct call *c)
{
    return sock_close(&c->calls->socks, c->fd);
}

static int64_t do_shutdown(struct call *c)
{
    return sock_shutdown(&c->calls->socks, c->fd, (int)number(c, 1));
}

static int64_t do_fcntl(struct call *c)
{
    if (!c->s)
        return -EBADF;
    if (number(c, 1) == F_GETFL)
        return O_RDWR | (c->s->nonblocking ? O_NONBLOCK : 0);
    c->s->nonblocking = number(c, 2) & O_NONBLOCK;
    return 0;
}

/* --- bytes ------------------------------------------------------------------------------------------------- */

static int64_t read_bytes(struct call *c, int64_t n, bool waits)
{
    uint8_t *bytes = malloc(n > 0 ? (size_t)n : 1);
    int64_t taken = n < 0 ? -EINVAL : sock_read(&c->calls->socks, c->fd, bytes, (size_t)n);
    for (int64_t i = 0; i < taken; i++)
        c->calls->wrong_byte |= bytes[i] != host_stream_byte(*c->read_offset + (uint32_t)i);
    if (taken > 0)
        *c->read_offset += (uint32_t)taken;
    free(bytes);
    return or_wait(c, taken, waits);
}

/* A blocking write goes on until all is taken. */
static int64_t write_bytes(struct call *c, int64_t n, bool waits)
{
    if (n < 0)
        return -EINVAL;
    uint32_t left = (uint32_t)n - *c->write_done;
    uint8_t *bytes = malloc(left ? left : 1);
    for (uint32_t i = 0; i < left; i++)
        bytes[i] = host_stream_byte(*c->write_offset + i);
    int64_t taken = sock_write(&c->calls->socks, c->fd, bytes, left);
    free(bytes);
    if (taken > 0)
        *c->write_offset += (uint32_t)taken;
    if (waits && taken >= 0 && taken < left) {
        *c->write_done += (uint32_t)taken;
        taken = -EAGAIN;
    } else if (taken >= 0) {
        taken += *c->write_done;
    }
    if (!(waits && taken == -EAGAIN))
        *c->write_done = 0;
    return or_wait(c, taken, waits);
}

/* "[{..., 500}, {..., 20}]", or a msghdr with msg_iov(N)=[...]: the sum of the lengths. */
static int64_t iov_bytes(const char *text)
{
    const char *iov = strstr(text, "msg_iov");
    int64_t sum = 0;
    for (const char *p = iov ? iov : text; (p = strstr(p, "{...")) != NULL;) {
        p += strcspn(p, ",}");
        if (*p == ',')
            sum += strtoll(p + 1, NULL, 0);
    }
    return sum;
}

static int64_t do_read(struct call *c)
{
    return c->s ? read_bytes(c, number(c, 2), waits_unless(c, 3)) : -EBADF;
}

static int64_t do_readv(struct call *c)
{
    return c->s ? read_bytes(c, iov_bytes(arg(c, 1)), waits(c)) : -EBADF;
}

static int64_t do_recvmsg(struct call *c)
{
    return c->s ? read_bytes(c, iov_bytes(arg(c, 1)), waits_unless(c, 2)) : -EBADF;
}

static int64_t do_write(struct call *c)
{
    return c->s ? write_bytes(c, number(c, 2), waits_unless(c, 3)) : -EBADF;
}

static int64_t do_writev(struct call *c)
{
    return c->s ? write_bytes(c, iov_bytes(arg(c, 1)), waits(c)) : -EBADF;
}

static int64_t do_sendmsg(struct call *c)
{
    return c->s ? write_bytes(c, iov_bytes(arg(c, 1)), waits_unless(c, 2)) : -EBADF;
}

/* tcp_send_buf(fd, ..., n) and tcp_reserve(fd, ..., n, min): tcp.h's own ways to write. */
static int64_t do_write_own(struct call *c)
{
    int64_t n = number(c, 2);
    if (!c->s || n < 0 || n > BUF_ROOM)
        return -EBADF;
    uint8_t bytes[BUF_ROOM];
    for (uint32_t i = 0; i < n; i++)
        bytes[i] = host_stream_byte(*c->write_offset + i);
    int64_t taken =
        strcmp(c->text->name, "tcp_reserve") == 0
            ? sock_reserve(&c->calls->socks, c->fd, bytes, (size_t)n, (size_t)number(c, 3))
            : sock_send_buf(&c->calls->socks, c->fd, bytes, (size_t)n);
    if (taken > 0)
        *c->write_offset += (uint32_t)taken;
    return taken;
}

static int64_t do_ioctl(struct call *c)
{
    int out = 0;
    int value = sock_ioctl(&c->calls->socks, c->fd, (unsigned long)number(c, 1), &out);
    if (value == 0)
        snprintf(c->result->out, sizeof c->result->out, "%d", out);
    return value;
}

/* --- poll: [{fd=3, events=POLLIN, revents=POLLIN}] ------------------------------------------------------------ */

/* The text behind "name=" up to ',' or '}'. */
static bool field_value(const char *from, const char *name, int64_t *value)
{
    char text[80];
    const char *p = strstr(from, name);
    if (!p)
        return false;
    p += strlen(name);
    size_t n = strcspn(p, ",}");
    if (n >= sizeof text)
        return false;
    memcpy(text, p, n);
    text[n] = 0;
    return calls_constant(text, value);
}

static int64_t do_poll(struct call *c)
{
    int64_t ready = 0;
    c->result->mismatch[0] = 0;
    for (const char *p = arg(c, 0); (p = strchr(p, '{')) != NULL; p++) {
        int64_t fd, events, revents = 0;
        if (!field_value(p, "fd=", &fd) || !field_value(p, "events=", &events)) {
            c->result->unknown = p;
            return 0;
        }
        short got =
            sock_poll(&c->calls->socks, (int)fd) & (short)(events | POLLERR | POLLHUP | POLLNVAL);
        ready += got != 0;
        if (field_value(p, "revents=", &revents) && got != revents)
            snprintf(c->result->mismatch, sizeof c->result->mismatch,
                     "fd %d has events 0x%x, wanted 0x%x", (int)fd, (unsigned)got,
                     (unsigned)revents);
    }
    c->result->would_block = ready == 0 && number(c, 2) != 0;
    return ready;
}

/* --- options ------------------------------------------------------------------------------------------------- */

/* "[1]", "{onoff=1, linger=0}", "\"cubic\"" as Linux's bytes; the length, 0: not understood. */
static size_t value_encode(const char *text, uint8_t out[64])
{
    int64_t onoff, seconds = 0;
    if (field_value(text, "onoff=", &onoff)) {
        (void)field_value(text, "linger=", &seconds);
        struct linger linger = {(int)onoff, (int)seconds};
        memcpy(out, &linger, sizeof linger);
        return sizeof linger;
    }
    text += text[0] == '[';
    if (text[0] == '"') {
        size_t n = strcspn(text + 1, "\"");
        n = n < 63 ? n : 63;
        memcpy(out, text + 1, n);
        return n;
    }
    char *end;
    int value = (int)strtoll(text, &end, 0);
    memcpy(out, &value, sizeof value);
    return end == text ? 0 : sizeof value;
}

static int64_t do_setsockopt(struct call *c)
{
    uint8_t value[64];
    size_t len = value_encode(arg(c, 3), value);
    if (!len)
        c->result->unknown = arg(c, 3);
    return sock_set(&c->calls->socks, c->fd, (int)number(c, 1), (int)number(c, 2), value, len);
}

static int64_t do_getsockopt(struct call *c)
{
    union {
        int number;
        char bytes[512];
    } v = {.bytes = ""};
    size_t len = sizeof v;
    int64_t level = number(c, 1), name = number(c, 2);
    int value = sock_get(&c->calls->socks, c->fd, (int)level, (int)name, v.bytes, &len);
    if (value < 0)
        return value;
    if (strcmp(arg(c, 2), "SO_ERROR") == 0 && v.number)
        snprintf(c->result->out, sizeof c->result->out, "%s", strerrorname_np(v.number));
    else if (strcmp(arg(c, 2), "TCP_CONGESTION") == 0)
        snprintf(c->result->out, sizeof c->result->out, "\"%.40s\"", v.bytes);
    else if (len == sizeof v.number)
        snprintf(c->result->out, sizeof c->result->out, "%d", v.number);
    return value;
}

/* --- by name --------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    call_function *function;
} functions[] = {
    {"socket", do_socket},
    {"bind", do_bind},
    {"listen", do_listen},
    {"accept", do_accept},
    {"accept4", do_accept},
    {"connect", do_connect},
    {"close", do_close},
    {"shutdown", do_shutdown},
    {"fcntl", do_fcntl},
    {"read", do_read},
    {"recv", do_read},
    {"recvfrom", do_read},
    {"readv", do_readv},
    {"recvmsg", do_recvmsg},
    {"write", do_write},
    {"send", do_write},
    {"sendto", do_write},
    {"writev", do_writev},
    {"sendmsg", do_sendmsg},
    {"tcp_send_buf", do_write_own},
    {"tcp_reserve", do_write_own},
    {"ioctl", do_ioctl},
    {"poll", do_poll},
    {"setsockopt", do_setsockopt},
    {"getsockopt", do_getsockopt},
};

struct call_result calls_do(struct calls *calls, const struct script_call *text)
{
    struct call_result result = {0};
    struct call c = {.calls = calls, .text = text, .result = &result};
    bool has_fd = strcmp(text->name, "socket") != 0 && strcmp(text->name, "poll") != 0;
    if (has_fd) {
        c.fd = text->arg_count && text->args[0].is_number ? (int)text->args[0].number : -1;
        c.s = sock_of(&calls->socks, c.fd);
    }
    if (c.s) {
        unsigned i = (unsigned)(c.fd - SOCKS_FD_FIRST);
        c.read_offset = &calls->streams[i].read_offset;
        c.write_offset = &calls->streams[i].write_offset;
        c.write_done = &calls->streams[i].write_done;
    }
    result.unknown = text->name;
    for (unsigned i = 0; i < TG_ARRAY_LEN(functions); i++)
        if (strcmp(functions[i].name, text->name) == 0) {
            result.unknown = NULL;
            result.value = functions[i].function(&c);
            break;
        }
    if (result.value < 0) {
        result.error = (int)-result.value;
        result.value = -1;
    }
    return result;
}
