/* SPDX-License-Identifier: BSD-3-Clause
 * Linux's stream sockets on the stack's own API, just enough of them for scripts: what calls.c (scripts as text) and
 * adapter/ (packetdrill's own calls) stand on. No call waits: where Linux would, the answer is -EAGAIN and the caller asks
 * again when time has passed.
 *
 * Calls return what Linux's would, or -errno. A file descriptor is CALLS_FD_FIRST plus an index.
 */
#ifndef TESTS_PACKET_SOCK_H
#define TESTS_PACKET_SOCK_H

#include "tests/packet/host.h"

#define SOCKS_MAX       16
#define SOCKS_FD_FIRST  3
#define SOCKS_KNOBS_MAX 12

enum sock_kind { SOCK_FREE, SOCK_FRESH, SOCK_LISTENING, SOCK_CONNECTION };

struct sock {
    enum sock_kind kind;
    tcp_handle h;  /* TCP_NONE: over */
    uint16_t port; /* bound, or HOST_PORT */
    bool nonblocking, connected, told_connected, peer_fin, linger_now;
    int error; /* errno of what ended it, until SO_ERROR or a call has told; 0: nothing */
    int ended; /* the same for good */
    struct {
        enum tcp_option_name name;
        uint64_t value;
    } knobs[SOCKS_KNOBS_MAX]; /* set before there was a connection */
    unsigned knob_count;
};

struct socks {
    struct host *host;
    struct sock sockets[SOCKS_MAX];
    struct {
        tcp_handle h;
        int listener, ended; /* errno of one that ended before accept */
    } accepts[SOCKS_MAX];
    unsigned accept_count;
};

void socks_init(struct socks *socks, struct host *host);
/* Fetch what the stack has to report. */
void socks_events(struct socks *socks);
/* NULL: EBADF. */
struct sock *sock_of(struct socks *socks, int fd);
/* The connection that assertions are about: the last one; TCP_NONE. */
tcp_handle socks_connection(const struct socks *socks);

int sock_open(struct socks *socks, bool nonblocking);
int sock_bind(struct socks *socks, int fd, uint16_t port);
int sock_listen(struct socks *socks, int fd);
int sock_accept(struct socks *socks, int fd, bool nonblocking);
/* The first call: -EINPROGRESS. Later ones: -EALREADY, 0 once, -EISCONN, or why it failed. */
int sock_connect(struct socks *socks, int fd, const struct ip_addr *remote, uint16_t port);
int sock_close(struct socks *socks, int fd);
int sock_shutdown(struct socks *socks, int fd, int how);
int64_t sock_read(struct socks *socks, int fd, uint8_t *bytes, size_t n);
int64_t sock_write(struct socks *socks, int fd, const uint8_t *bytes, size_t n);
/* By tcp.h's other ways: a frame of the caller's own (n of a frame at most), and room in the stack's, `min` at least. */
int64_t sock_send_buf(struct socks *socks, int fd, const uint8_t *bytes, size_t n);
int64_t sock_reserve(struct socks *socks, int fd, const uint8_t *bytes, size_t n, size_t min);
/* SIOCINQ, SIOCOUTQ, SIOCOUTQNSD. */
int sock_ioctl(struct socks *socks, int fd, unsigned long request, int *out);
/* POLL* bits that hold now, whether asked for or not. */
short sock_poll(struct socks *socks, int fd);

/* sock_options.c. value and len as Linux has them: int, struct linger, a name, struct tcp_info. */
int sock_set(struct socks *socks, int fd, int level, int name, const void *value, size_t len);
int sock_get(struct socks *socks, int fd, int level, int name, void *value, size_t *len);
/* Give a connection what was set before there was one. */
void sock_knobs_apply(struct socks *socks, struct sock *s);

#endif
