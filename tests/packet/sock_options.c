/* SPDX-License-Identifier: BSD-3-Clause
 * Socket options in Linux's names, numbers and units on tcp_set_option.
 */
#include "tests/packet/linux_tcp.h"
#include "tests/packet/sock.h"
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

struct knob {
    int level, name; /* as setsockopt has them */
    enum tcp_option_name option;
    uint32_t unit; /* of Linux in ours */
};

static const struct knob knobs[] = {
    {SOL_SOCKET, SO_KEEPALIVE, TCP_OPT_KEEPALIVE, 1},
    {SOL_SOCKET, SO_RCVBUF, TCP_OPT_RECEIVE_WINDOW, 1},
    {SOL_SOCKET, SO_SNDBUF, TCP_OPT_SEND_BUFFER, 1},
    {IPPROTO_TCP, TCP_NODELAY, TCP_OPT_NAGLE, 1},
    {IPPROTO_TCP, TCP_CORK, TCP_OPT_CORK, 1},
    {IPPROTO_TCP, TCP_KEEPIDLE, TCP_OPT_KEEP_IDLE, 1000},
    {IPPROTO_TCP, TCP_KEEPINTVL, TCP_OPT_KEEP_INTERVAL, 1000},
    {IPPROTO_TCP, TCP_KEEPCNT, TCP_OPT_KEEP_COUNT, 1},
    {IPPROTO_TCP, TCP_USER_TIMEOUT, TCP_OPT_USER_TIMEOUT, 1},
    {IPPROTO_TCP, TCP_NOTSENT_LOWAT, TCP_OPT_NOTSENT_LOWAT, 1},
    {IPPROTO_TCP, TCP_QUICKACK, TCP_OPT_QUICKACK, 1},
    {IPPROTO_TCP, TCP_CONGESTION, TCP_OPT_CONGESTION, 1},
    {IPPROTO_TCP, TCP_MAXSEG, TCP_OPT_MSS, 1},
};

static const char *const congestion_names[TCP_CC_COUNT] = {
    [TCP_CC_CUBIC] = "cubic", [TCP_CC_NEWRENO] = "reno"};

static const struct knob *knob_find(int level, int name)
{
    for (unsigned i = 0; i < TG_ARRAY_LEN(knobs); i++)
        if (knobs[i].level == level && knobs[i].name == name)
            return &knobs[i];
    return NULL;
}

/* False: no such congestion control, or no int. */
static bool knob_value(const struct knob *k, const void *value, size_t len, uint64_t *out)
{
    int number;
    if (k->option == TCP_OPT_CONGESTION) {
        for (unsigned i = 0; i < TCP_CC_COUNT; i++)
            if (strlen(congestion_names[i]) == strnlen(value, len) &&
                memcmp(congestion_names[i], value, strnlen(value, len)) == 0) {
                *out = i;
                return true;
            }
        return false;
    }
    if (len < sizeof number)
        return false;
    memcpy(&number, value, sizeof number);
    *out = k->option == TCP_OPT_NAGLE ? number == 0 : (uint64_t)(int64_t)number * k->unit;
    return true;
}

static int knob_keep(struct sock *s, enum tcp_option_name name, uint64_t value)
{
    for (unsigned i = 0; i < s->knob_count; i++)
        if (s->knobs[i].name == name) {
            s->knobs[i].value = value;
            return 0;
        }
    if (s->knob_count == SOCKS_KNOBS_MAX)
        return -ENOBUFS;
    s->knobs[s->knob_count].name = name;
    s->knobs[s->knob_count++].value = value;
    return 0;
}

void sock_knobs_apply(struct socks *socks, struct sock *s)
{
    for (unsigned i = 0; i < s->knob_count; i++)
        (void)!tcp_set_option(socks->host->node.tcp, s->h, s->knobs[i].name, s->knobs[i].value);
}

int sock_set(struct socks *socks, int fd, int level, int name, const void *value, size_t len)
{
    struct sock *s = sock_of(socks, fd);
    const struct knob *k = knob_find(level, name);
    struct tcp *tcp = socks->host->node.tcp;
    uint64_t number;
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (level == SOL_SOCKET && (name == SO_REUSEADDR || name == SO_REUSEPORT))
        return 0;
    if (level == SOL_SOCKET && name == SO_LINGER) {
        struct linger linger;
        if (len < sizeof linger)
            return -EINVAL;
        memcpy(&linger, value, sizeof linger);
        s->linger_now = linger.l_onoff && linger.l_linger == 0;
        return 0;
    }
    if (!k)
        return -ENOPROTOOPT;
    if (!knob_value(k, value, len, &number))
        return k->option == TCP_OPT_CONGESTION ? -ENOENT : -EINVAL;
    if (s->kind == SOCK_CONNECTION)
        return tcp_set_option(tcp, s->h, k->option, number) == TG_OK ? 0 : -EINVAL;
    if (s->kind == SOCK_LISTENING)
        return tcp_set_listen_option(tcp, s->port, k->option, number) == TG_OK ? 0 : -EINVAL;
    return knob_keep(s, k->option, number);
}

static int out_write(void *value, size_t *len, const void *from, size_t n)
{
    *len = *len < n ? *len : n;
    memcpy(value, from, *len);
    return 0;
}

static int out_number(void *value, size_t *len, int number)
{
    return out_write(value, len, &number, sizeof number);
}

static int info_get(struct socks *socks, const struct sock *s, void *value, size_t *len)
{
    struct tcp_info info;
    struct linux_tcp_info out = {.tcpi_state = 7};
    if (s->h && tcp_get_info(socks->host->node.tcp, s->h, &info) == TG_OK)
        linux_tcp_info_fill(&info, &out);
    return out_write(value, len, &out, sizeof out);
}

static bool knob_ask(struct socks *socks, const struct sock *s, const struct knob *k,
                     uint64_t *number)
{
    struct tcp_info info;
    for (unsigned i = 0; s->kind != SOCK_CONNECTION && i < s->knob_count; i++)
        if (s->knobs[i].name == k->option) {
            *number = s->knobs[i].value;
            return true;
        }
    if (k->option == TCP_OPT_MSS && tcp_get_info(socks->host->node.tcp, s->h, &info) == TG_OK) {
        *number = info.mss;
        return true;
    }
    return tcp_get_option(socks->host->node.tcp, s->h, k->option, number) == TG_OK;
}

int sock_get(struct socks *socks, int fd, int level, int name, void *value, size_t *len)
{
    struct sock *s = sock_of(socks, fd);
    const struct knob *k = knob_find(level, name);
    uint64_t number;
    socks_events(socks);
    if (!s)
        return -EBADF;
    if (level == SOL_SOCKET && name == SO_ERROR) {
        int error = s->error;
        s->error = 0;
        return out_number(value, len, error);
    }
    if (level == IPPROTO_TCP && name == TCP_INFO)
        return info_get(socks, s, value, len);
    if (!k)
        return -ENOPROTOOPT;
    if (!knob_ask(socks, s, k, &number))
        return -EINVAL;
    if (k->option == TCP_OPT_CONGESTION)
        return out_write(value, len, congestion_names[number],
                         strlen(congestion_names[number]) + 1);
    return out_number(value, len,
                      k->option == TCP_OPT_NAGLE ? number == 0 : (int)(number / k->unit));
}
