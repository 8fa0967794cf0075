/* SPDX-License-Identifier: BSD-3-Clause
 * Names of constants that scripts use in socket calls.
 */
#include "tests/packet/calls.h"
#include "tests/packet/linux_tcp.h"
#include <ctype.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define NAME(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }

static const struct {
    const char *name;
    int64_t value;
} constants[] = {
    NAME(SOL_SOCKET),
    NAME(IPPROTO_TCP),
    NAME(SOCK_STREAM),
    NAME(SOCK_NONBLOCK),
    NAME(SOCK_CLOEXEC),
    NAME(AF_INET),
    NAME(AF_INET6),
    NAME(SO_ERROR),
    NAME(SO_KEEPALIVE),
    NAME(SO_LINGER),
    NAME(SO_RCVBUF),
    NAME(SO_SNDBUF),
    NAME(SO_REUSEADDR),
    NAME(SO_REUSEPORT),
    NAME(TCP_NODELAY),
    NAME(TCP_CORK),
    NAME(TCP_KEEPIDLE),
    NAME(TCP_KEEPINTVL),
    NAME(TCP_KEEPCNT),
    NAME(TCP_USER_TIMEOUT),
    NAME(TCP_NOTSENT_LOWAT),
    NAME(TCP_QUICKACK),
    NAME(TCP_CONGESTION),
    NAME(TCP_MAXSEG),
    NAME(TCP_INFO),
    NAME(F_GETFL),
    NAME(F_SETFL),
    NAME(O_RDWR),
    NAME(O_NONBLOCK),
    NAME(SHUT_RD),
    NAME(SHUT_WR),
    NAME(SHUT_RDWR),
    NAME(SIOCINQ),
    NAME(SIOCOUTQ),
    NAME(SIOCOUTQNSD),
    {"FIONREAD", SIOCINQ},
    {"SOL_TCP", IPPROTO_TCP},
    NAME(POLLIN),
    NAME(POLLOUT),
    NAME(POLLERR),
    NAME(POLLHUP),
    NAME(POLLRDHUP),
    NAME(POLLPRI),
    NAME(POLLNVAL),
    NAME(MSG_DONTWAIT),
    NAME(MSG_NOSIGNAL),
    NAME(MSG_MORE),
    NAME(MSG_WAITALL),
};

static bool word_value(const char *word, size_t n, int64_t *value)
{
    char *end;
    if (n && (isdigit((unsigned char)word[0]) || word[0] == '-')) {
        *value = strtoll(word, &end, 0);
        return end == word + n;
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(constants); i++)
        if (strlen(constants[i].name) == n && memcmp(constants[i].name, word, n) == 0) {
            *value = constants[i].value;
            return true;
        }
    return false;
}

bool calls_constant(const char *text, int64_t *value)
{
    int64_t all = 0, one = 0;
    for (const char *p = text;; p++) {
        size_t n = 0;
        p += strspn(p, " ");
        n = strcspn(p, " |");
        if (!word_value(p, n, &one))
            return false;
        all |= one;
        p += n;
        p += strspn(p, " ");
        if (*p != '|')
            return *p == 0 && (*value = all, true);
    }
}
