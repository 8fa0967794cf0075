/* SPDX-License-Identifier: BSD-3-Clause
 * The shared-object interface of packetdrill (google/packetdrill, gtests/net/packetdrill/packetdrill.h): one struct of
 * functions that a .so under --so_filename fills in. The order of the fields is packetdrill's and must not change. Every
 * function takes userdata first; the rest is the system call's. Used by the adapter and by its own loader.
 */
#ifndef TESTS_PACKET_ADAPTER_PACKETDRILL_H
#define TESTS_PACKET_ADAPTER_PACKETDRILL_H

#include <poll.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>

struct packetdrill_interface {
    void *userdata;
    void (*free)(void *u);
    int (*socket)(void *u, int domain, int type, int protocol);
    int (*bind)(void *u, int fd, const struct sockaddr *address, socklen_t len);
    int (*listen)(void *u, int fd, int backlog);
    int (*accept)(void *u, int fd, struct sockaddr *address, socklen_t *len);
    int (*connect)(void *u, int fd, const struct sockaddr *address, socklen_t len);
    ssize_t (*read)(void *u, int fd, void *bytes, size_t n);
    ssize_t (*readv)(void *u, int fd, const struct iovec *iov, int count);
    ssize_t (*recv)(void *u, int fd, void *bytes, size_t n, int flags);
    ssize_t (*recvfrom)(void *u, int fd, void *bytes, size_t n, int flags, struct sockaddr *from,
                        socklen_t *len);
    ssize_t (*recvmsg)(void *u, int fd, struct msghdr *message, int flags);
    ssize_t (*write)(void *u, int fd, const void *bytes, size_t n);
    ssize_t (*writev)(void *u, int fd, const struct iovec *iov, int count);
    ssize_t (*send)(void *u, int fd, const void *bytes, size_t n, int flags);
    ssize_t (*sendto)(void *u, int fd, const void *bytes, size_t n, int flags,
                      const struct sockaddr *to, socklen_t len);
    ssize_t (*sendmsg)(void *u, int fd, const struct msghdr *message, int flags);
    int (*fcntl)(void *u, int fd, int command, ...);
    int (*ioctl)(void *u, int fd, unsigned long request, ...);
    int (*close)(void *u, int fd);
    int (*shutdown)(void *u, int fd, int how);
    int (*getsockopt)(void *u, int fd, int level, int name, void *value, socklen_t *len);
    int (*setsockopt)(void *u, int fd, int level, int name, const void *value, socklen_t len);
    int (*poll)(void *u, struct pollfd *fds, nfds_t count, int timeout_ms);
    /* One IP packet (no link header) into the stack. 0, or -1 and errno. */
    int (*netdev_send)(void *u, const void *packet, size_t n);
    /* The next IP packet that the stack has sent: *n in: room, out: bytes, 0: it sends nothing any more. */
    int (*netdev_receive)(void *u, void *packet, size_t *n, long long *time_us);
    int (*usleep)(void *u, useconds_t us);
    int (*gettimeofday)(void *u, struct timeval *time, struct timezone *zone);
    int (*epoll_create)(void *u, int size);
    int (*epoll_ctl)(void *u, int epoll, int operation, int fd, struct epoll_event *event);
    int (*epoll_wait)(void *u, int epoll, struct epoll_event *events, int max, int timeout_ms);
    int (*pipe)(void *u, int fds[2]);
    int (*splice)(void *u, int in, loff_t *in_offset, int out, loff_t *out_offset, size_t n,
                  unsigned flags);
};

/* userdata and 32 functions, without a hole. */
_Static_assert(sizeof(struct packetdrill_interface) == 33 * sizeof(void *), "packetdrill's layout");

/* What the .so exports; packetdrill looks it up by this name. */
void packetdrill_interface_init(const char *flags, struct packetdrill_interface *interface);

#endif
