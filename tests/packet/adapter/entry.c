/* SPDX-License-Identifier: BSD-3-Clause
 * See adapter.h: socket calls as packetdrill makes them, with errno, on sock.h.
 */
#include "tests/packet/adapter/adapter.h"
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdarg.h>

#define IOV_MAX_HERE 64

static int64_t finish(struct adapter *a, int64_t value)
{
    adapter_settle(a); /* what the call has caused is sent now */
    pthread_mutex_unlock(&a->lock);
    if (value >= 0)
        return value;
    errno = (int)-value;
    return -1;
}

static struct adapter *enter(void *u)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    return a;
}

static bool waits(struct adapter *a, int fd, int flags)
{
    const struct sock *s = sock_of(&a->socks, fd);
    return s && !s->nonblocking && !(flags & MSG_DONTWAIT);
}

static void sleep_for(struct adapter *a, int fd, short events)
{
    struct pollfd wanted = {.fd = fd, .events = events};
    adapter_settle(a);
    waiter_sleep(a, &wanted, 1, UINT64_MAX);
}

/* --- addresses ------------------------------------------------------------------------------------------- */

static bool address_read(const struct sockaddr *address, socklen_t len, struct ip_addr *out,
                         uint16_t *port)
{
    if (address->sa_family == AF_INET && len >= sizeof(struct sockaddr_in)) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)address;
        *out = ip_addr_from4((const uint8_t *)&in->sin_addr);
        *port = ntohs(in->sin_port);
        return true;
    }
    if (address->sa_family == AF_INET6 && len >= sizeof(struct sockaddr_in6)) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)address;
        memcpy(out->bytes, &in6->sin6_addr, sizeof out->bytes);
        *port = ntohs(in6->sin6_port);
        return true;
    }
    return false;
}

static void address_write(int domain, const struct ip_addr *address, uint16_t port,
                          struct sockaddr *out, socklen_t *len)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (!out || !len)
        return;
    memcpy(&in.sin_addr, address->bytes + 12, sizeof in.sin_addr);
    memcpy(&in6.sin6_addr, address->bytes, sizeof in6.sin6_addr);
    socklen_t full = domain == AF_INET ? sizeof in : sizeof in6;
    memcpy(out, domain == AF_INET ? (const void *)&in : (const void *)&in6,
           *len < full ? *len : full);
    *len = full;
}

static int domain_of(const struct adapter *a, int fd)
{
    int i = fd - SOCKS_FD_FIRST;
    return i >= 0 && i < SOCKS_MAX ? a->domains[i] : AF_INET;
}

/* --- opening and closing ------------------------------------------------------------------------------------ */

static int entry_socket(void *u, int domain, int type, int protocol)
{
    struct adapter *a = enter(u);
    int fd = -EPROTONOSUPPORT;
    adapter_configure(a);
    if ((type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_STREAM)
        fd = sock_open(&a->socks, type & SOCK_NONBLOCK);
    if (fd >= 0)
        a->domains[fd - SOCKS_FD_FIRST] = domain;
    return (int)finish(a, fd);
}

static int entry_bind(void *u, int fd, const struct sockaddr *address, socklen_t len)
{
    struct adapter *a = enter(u);
    struct ip_addr local;
    uint16_t port;
    if (!address_read(address, len, &local, &port))
        return (int)finish(a, -EINVAL);
    adapter_local(a, &local);
    return (int)finish(a, sock_bind(&a->socks, fd, port));
}

static int entry_listen(void *u, int fd, int backlog)
{
    struct adapter *a = enter(u);
    return (int)finish(a, sock_listen(&a->socks, fd));
}

static int entry_accept(void *u, int fd, struct sockaddr *address, socklen_t *len)
{
    struct adapter *a = enter(u);
    struct tcp_info info;
    int made;
    while ((made = sock_accept(&a->socks, fd, false)) == -EAGAIN && waits(a, fd, 0))
        sleep_for(a, fd, POLLIN);
    if (made >= 0) {
        a->domains[made - SOCKS_FD_FIRST] = domain_of(a, fd);
        if (tcp_get_info(a->host.node.tcp, sock_of(&a->socks, made)->h, &info) == TG_OK)
            address_write(domain_of(a, fd), &info.tuple.remote, info.tuple.remote_port, address,
                          len);
    }
    return (int)finish(a, made);
}

static int entry_connect(void *u, int fd, const struct sockaddr *address, socklen_t len)
{
    struct adapter *a = enter(u);
    struct ip_addr remote;
    uint16_t port;
    if (!address_read(address, len, &remote, &port))
        return (int)finish(a, -EINVAL);
    if (ip_addr_is4(&remote) != ip_addr_is4(&a->host.tuple.local)) {
        struct ip_addr local =
            test_addr(ip_addr_is4(&remote) ? "192.168.0.1" : "fd3d:fa7b:d17d::1");
        adapter_local(a, &local);
    }
    int value = sock_connect(&a->socks, fd, &remote, port);
    while ((value == -EINPROGRESS || value == -EALREADY) && waits(a, fd, 0)) {
        sleep_for(a, fd, POLLOUT);
        value = sock_connect(&a->socks, fd, &remote, port);
    }
    return (int)finish(a, value);
}

static int entry_close(void *u, int fd)
{
    struct adapter *a = enter(u);
    if (epoll_close(a, fd))
        return (int)finish(a, 0);
    epoll_forget(a, fd);
    return (int)finish(a, sock_close(&a->socks, fd));
}

static int entry_shutdown(void *u, int fd, int how)
{
    struct adapter *a = enter(u);
    return (int)finish(a, sock_shutdown(&a->socks, fd, how));
}

/* --- bytes ------------------------------------------------------------------------------------------------- */

static ssize_t read_into(void *u, int fd, const struct iovec *iov, size_t count, int flags)
{
    struct adapter *a = enter(u);
    int64_t all = 0, n = 0;
    if (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL))
        return finish(a, -EOPNOTSUPP);
    for (size_t i = 0; i < count; i++) {
        n = sock_read(&a->socks, fd, iov[i].iov_base, iov[i].iov_len);
        while (n == -EAGAIN && all == 0 && waits(a, fd, flags)) {
            sleep_for(a, fd, POLLIN);
            n = sock_read(&a->socks, fd, iov[i].iov_base, iov[i].iov_len);
        }
        all += n > 0 ? n : 0;
        if (n < (int64_t)iov[i].iov_len)
            break;
    }
    return finish(a, all ? all : n);
}

static ssize_t write_from(void *u, int fd, const struct iovec *iov, size_t count, int flags)
{
    struct adapter *a = enter(u);
    int64_t all = 0, n = 0;
    if (flags & ~(MSG_DONTWAIT | MSG_NOSIGNAL))
        return finish(a, -EOPNOTSUPP);
    for (size_t i = 0; i < count; i++)
        for (size_t done = 0; done < iov[i].iov_len;) {
            n = sock_write(&a->socks, fd, (const uint8_t *)iov[i].iov_base + done,
                           iov[i].iov_len - done);
            if (n == -EAGAIN && waits(a, fd, flags)) {
                sleep_for(a, fd, POLLOUT);
                continue;
            }
            if (n < 0)
                return finish(a, all ? all : n);
            done += (size_t)n;
            all += n;
        }
    return finish(a, all);
}

static ssize_t entry_read(void *u, int fd, void *bytes, size_t n)
{
    return read_into(u, fd, &(struct iovec){bytes, n}, 1, 0);
}

static ssize_t entry_recv(void *u, int fd, void *bytes, size_t n, int flags)
{
    return read_into(u, fd, &(struct iovec){bytes, n}, 1, flags);
}

static ssize_t entry_recvfrom(void *u, int fd, void *bytes, size_t n, int flags,
                              struct sockaddr *from, socklen_t *len)
{
    if (len)
        *len = 0; /* as Linux does on a connected stream */
    return read_into(u, fd, &(struct iovec){bytes, n}, 1, flags);
}

static ssize_t entry_readv(void *u, int fd, const struct iovec *iov, int count)
{
    return read_into(u, fd, iov, (size_t)count, 0);
}

static ssize_t entry_recvmsg(void *u, int fd, struct msghdr *message, int flags)
{
    message->msg_flags = 0;
    message->msg_controllen = 0;
    message->msg_namelen = 0;
    return read_into(u, fd, message->msg_iov, message->msg_iovlen, flags);
}

static ssize_t entry_write(void *u, int fd, const void *bytes, size_t n)
{
    return write_from(u, fd, &(struct iovec){(void *)(uintptr_t)bytes, n}, 1, 0);
}

static ssize_t entry_send(void *u, int fd, const void *bytes, size_t n, int flags)
{
    return write_from(u, fd, &(struct iovec){(void *)(uintptr_t)bytes, n}, 1, flags);
}

static ssize_t entry_sendto(void *u, int fd, const void *bytes, size_t n, int flags,
                            const struct sockaddr *to, socklen_t len)
{
    return write_from(u, fd, &(struct iovec){(void *)(uintptr_t)bytes, n}, 1, flags);
}

static ssize_t entry_writev(void *u, int fd, const struct iovec *iov, int count)
{
    return write_from(u, fd, iov, (size_t)count, 0);
}

static ssize_t entry_sendmsg(void *u, int fd, const struct msghdr *message, int flags)
{
    return write_from(u, fd, message->msg_iov, message->msg_iovlen, flags);
}

/* --- the rest ------------------------------------------------------------------------------------------------ */

static int entry_fcntl(void *u, int fd, int command, ...)
{
    struct adapter *a = enter(u);
    struct sock *s = sock_of(&a->socks, fd);
    va_list args;
    if (!s)
        return (int)finish(a, -EBADF);
    if (command == F_GETFL)
        return (int)finish(a, O_RDWR | (s->nonblocking ? O_NONBLOCK : 0));
    if (command != F_SETFL)
        return (int)finish(a, -EINVAL);
    va_start(args, command);
    s->nonblocking = va_arg(args, int) & O_NONBLOCK;
    va_end(args);
    return (int)finish(a, 0);
}

static int entry_ioctl(void *u, int fd, unsigned long request, ...)
{
    struct adapter *a = enter(u);
    va_list args;
    va_start(args, request);
    int *out = va_arg(args, int *);
    va_end(args);
    return (int)finish(a, sock_ioctl(&a->socks, fd, request, out));
}

static int entry_getsockopt(void *u, int fd, int level, int name, void *value, socklen_t *len)
{
    struct adapter *a = enter(u);
    size_t n = *len;
    int result = sock_get(&a->socks, fd, level, name, value, &n);
    *len = (socklen_t)n;
    return (int)finish(a, result);
}

static int entry_setsockopt(void *u, int fd, int level, int name, const void *value, socklen_t len)
{
    struct adapter *a = enter(u);
    return (int)finish(a, sock_set(&a->socks, fd, level, name, value, len));
}

static int entry_pipe(void *u, int fds[2])
{
    errno = ENOSYS;
    return -1;
}

static int entry_splice(void *u, int in, loff_t *in_offset, int out, loff_t *out_offset, size_t n,
                        unsigned flags)
{
    errno = ENOSYS;
    return -1;
}

void entry_fill(struct packetdrill_interface *i)
{
    i->socket = entry_socket, i->bind = entry_bind, i->listen = entry_listen;
    i->accept = entry_accept, i->connect = entry_connect;
    i->close = entry_close, i->shutdown = entry_shutdown;
    i->read = entry_read, i->readv = entry_readv, i->recv = entry_recv;
    i->recvfrom = entry_recvfrom, i->recvmsg = entry_recvmsg;
    i->write = entry_write, i->writev = entry_writev, i->send = entry_send;
    i->sendto = entry_sendto, i->sendmsg = entry_sendmsg;
    i->fcntl = entry_fcntl, i->ioctl = entry_ioctl;
    i->getsockopt = entry_getsockopt, i->setsockopt = entry_setsockopt;
    i->poll = entry_poll, i->epoll_create = entry_epoll_create;
    i->epoll_ctl = entry_epoll_ctl, i->epoll_wait = entry_epoll_wait;
    i->pipe = entry_pipe, i->splice = entry_splice;
}
