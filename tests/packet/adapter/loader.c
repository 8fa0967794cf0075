/* SPDX-License-Identifier: BSD-3-Clause
 * Test of libtidegate_pktdrill.so: load it as packetdrill does (dlopen with the same flags, one symbol) and make the calls
 * that packetdrill would make, in the same order and on as many threads. scripts/test packet runs it.
 */
#include "net/net_test_support.h"
#include "tests/packet/adapter/packetdrill.h"
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define PORT     8080
#define PEER_ISS 1000u

struct world {
    struct packetdrill_interface ifc;
    struct test_pool pool;
    struct toeplitz toeplitz;
    struct ip_tuple tuple; /* as the stack sees it */
    bool ip6;
    unsigned wrong;
    uint32_t our_iss; /* the stack's */
    /* the packet received last */
    struct tcp_segment got;
    uint8_t payload[2048];
    size_t n;
    long long time_us;
};

#define CHECK(w, condition)                                                                        \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("loader.c:%d: IPv%d: %s\n", __LINE__, (w)->ip6 ? 6 : 4, #condition);            \
            (w)->wrong++;                                                                          \
        }                                                                                          \
    } while (0)

/* ifc.function(userdata, ...), as everywhere below */
#define CALL(w, function, ...) ((w)->ifc.function((w)->ifc.userdata, ##__VA_ARGS__))

static long long now_us(struct world *w)
{
    struct timeval t;
    CALL(w, gettimeofday, &t, NULL);
    return t.tv_sec * 1000000ll + t.tv_usec;
}

static socklen_t address(struct world *w, const struct ip_addr *ip, struct sockaddr_storage *out)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    memcpy(&in.sin_addr, ip->bytes + 12, 4);
    memcpy(&in6.sin6_addr, ip->bytes, 16);
    memcpy(out, w->ip6 ? (void *)&in6 : (void *)&in, w->ip6 ? sizeof in6 : sizeof in);
    return w->ip6 ? sizeof in6 : sizeof in;
}

static int send_segment(struct world *w, uint32_t seq, uint32_t ack, uint8_t flags,
                        const char *text)
{
    struct buf *b = test_frame_tcp(&w->pool.pool, &w->tuple, PEER_ISS + seq,
                                   flags & TCP_ACK ? w->our_iss + ack : 0, flags, 1000, SPAN_EMPTY,
                                   span_make(text, strlen(text)));
    int result = CALL(w, netdev_send, b->data + ETH_BYTES, b->len - (size_t)ETH_BYTES);
    buf_unref(&w->pool.pool, b);
    return result;
}

/* The stack's next packet; numbers relative. False: none, or not TCP. */
static bool receive(struct world *w)
{
    uint8_t packet[2048];
    w->n = sizeof packet;
    CHECK(w, CALL(w, netdev_receive, packet, &w->n, &w->time_us) == 0);
    if (!w->n)
        return false;
    struct buf *b = test_buf(&w->pool.pool, packet, w->n);
    wire_emit_ethernet(b, test_mac_peer, test_mac_ours, w->ip6 ? ETHERTYPE_IP6 : ETHERTYPE_IP4);
    bool tcp = wire_parse(b, &w->toeplitz) == TG_C_none && b->ip_proto == IP_PROTO_TCP;
    if (tcp) {
        w->got = wire_tcp(b);
        if (w->got.flags & TCP_SYN)
            w->our_iss = w->got.seq;
        w->tuple.local = wire_source(b);
        w->tuple.local_port = w->got.source_port;
        w->got.seq -= w->our_iss;
        w->got.ack -= PEER_ISS;
        memcpy(w->payload, b->data + b->payload, w->got.payload_bytes);
    }
    buf_unref(&w->pool.pool, b);
    return tcp;
}

static int listening(struct world *w)
{
    struct sockaddr_storage local;
    socklen_t len = address(w, &w->tuple.local, &local);
    int fd = CALL(w, socket, w->ip6 ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP), on = 1;
    CHECK(w, fd >= 0);
    CHECK(w, CALL(w, setsockopt, fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0);
    CHECK(w, CALL(w, bind, fd, (struct sockaddr *)&local, len) == 0);
    CHECK(w, CALL(w, listen, fd, 1) == 0);
    return fd;
}

static void handshake(struct world *w)
{
    CHECK(w, send_segment(w, 0, 0, TCP_SYN, "") == 0);
    CHECK(w, receive(w) && w->got.flags == (TCP_SYN | TCP_ACK) && w->got.ack == 1);
    CHECK(w, send_segment(w, 1, 1, TCP_ACK, "") == 0);
}

/* --- a server with a blocking accept --------------------------------------------------------------------- */

struct blocked {
    struct world *w;
    int fd, result;
    pid_t thread;
    long long end_us;
};

static void *accept_thread(void *arg)
{
    struct blocked *b = arg;
    struct sockaddr_storage from = {0};
    socklen_t len = sizeof from;
    __atomic_store_n(&b->thread, gettid(), __ATOMIC_RELEASE);
    b->result = CALL(b->w, accept, b->fd, (struct sockaddr *)&from, &len);
    b->end_us = now_us(b->w);
    CHECK(b->w, from.ss_family == (b->w->ip6 ? AF_INET6 : AF_INET));
    return NULL;
}

/* packetdrill looks in /proc whether its thread sleeps. */
static bool sleeps(const struct blocked *b)
{
    char path[64], state = 0;
    for (unsigned i = 0; i < 2000 && state != 'S'; i++) {
        pid_t thread = __atomic_load_n(&b->thread, __ATOMIC_ACQUIRE);
        usleep(500);
        snprintf(path, sizeof path, "/proc/self/task/%d/stat", thread);
        FILE *file = thread ? fopen(path, "r") : NULL;
        if (file && fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
            state = 0;
        if (file)
            fclose(file);
    }
    return state == 'S';
}

static void server(struct world *w)
{
    struct blocked b = {.w = w, .fd = listening(w)};
    pthread_t thread;
    char bytes[16] = "";
    struct {
        uint8_t state;
        uint8_t rest[300];
    } info; /* struct tcp_info begins with tcpi_state */
    socklen_t len = sizeof info;
    pthread_create(&thread, NULL, accept_thread, &b);
    CHECK(w, sleeps(&b));
    CALL(w, usleep, 100000);
    handshake(w);
    long long acked_us = w->time_us; /* no time passes between the two packets */
    CALL(w, usleep, 1000000);
    pthread_join(thread, NULL);
    CHECK(w, b.result >= 0);
    CHECK(w, b.end_us - acked_us < 100);
    CHECK(w, now_us(w) - acked_us >= 1000000);

    struct pollfd fds = {.fd = b.result, .events = POLLIN | POLLOUT};
    CHECK(w, CALL(w, poll, &fds, 1, 0) == 1 && fds.revents == POLLOUT);
    CHECK(w, send_segment(w, 1, 1, TCP_ACK | TCP_PSH, "hello") == 0);
    CHECK(w, CALL(w, poll, &fds, 1, 0) == 1 && fds.revents == (POLLIN | POLLOUT));
    CHECK(w, CALL(w, read, b.result, bytes, sizeof bytes) == 5 && strcmp(bytes, "hello") == 0);
    CHECK(w, receive(w) && w->got.ack == 6);
    CHECK(w, CALL(w, write, b.result, "worlds", 6) == 6);
    CHECK(w, receive(w) && w->got.seq == 1 && w->got.payload_bytes == 6);
    CHECK(w, memcmp(w->payload, "worlds", 6) == 0);
    CHECK(w, send_segment(w, 6, 7, TCP_ACK, "") == 0);
    CHECK(w, CALL(w, getsockopt, b.result, IPPROTO_TCP, 11 /* TCP_INFO */, &info, &len) == 0);
    CHECK(w, info.state == 1);
    CHECK(w, CALL(w, close, b.result) == 0);
    CHECK(w, receive(w) && w->got.flags == (TCP_FIN | TCP_ACK) && w->got.seq == 7);
    CHECK(w, send_segment(w, 6, 8, TCP_FIN | TCP_ACK, "") == 0);
    CHECK(w, receive(w) && w->got.flags == TCP_ACK && w->got.ack == 7);
    CHECK(w, CALL(w, close, b.fd) == 0);
}

/* --- a client; time jumps to the next timer --------------------------------------------------------------- */

static void client(struct world *w)
{
    struct sockaddr_storage remote;
    struct timespec before, after;
    socklen_t len = address(w, &w->tuple.remote, &remote);
    int fd = CALL(w, socket, w->ip6 ? AF_INET6 : AF_INET, SOCK_STREAM, IPPROTO_TCP), error = -1;
    w->tuple.remote_port = PORT;
    CHECK(w, CALL(w, fcntl, fd, F_SETFL, O_RDWR | O_NONBLOCK) == 0);
    errno = 0;
    CHECK(w, CALL(w, connect, fd, (struct sockaddr *)&remote, len) == -1 && errno == EINPROGRESS);
    CHECK(w, receive(w) && w->got.flags == TCP_SYN);
    long long first_us = w->time_us;
    clock_gettime(CLOCK_MONOTONIC, &before);
    CHECK(w, receive(w) && w->got.flags == TCP_SYN && w->got.seq == 0); /* nobody has answered */
    CHECK(w, w->time_us - first_us > 900000 && w->time_us - first_us < 1100000);
    CHECK(w, receive(w) && w->got.flags == TCP_SYN);
    CHECK(w, w->time_us - first_us > 2900000 && w->time_us - first_us < 3100000);
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK(w, (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                 1000);
    CHECK(w, now_us(w) >= w->time_us);
    CHECK(w, send_segment(w, 0, 1, TCP_SYN | TCP_ACK, "") == 0);
    CHECK(w, receive(w) && w->got.flags == TCP_ACK && w->got.ack == 1);
    len = sizeof error;
    CHECK(w, CALL(w, getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0);
    char ab[] = "ab", cde[] = "cde";
    struct iovec iov[2] = {{ab, 2}, {cde, 3}};
    CHECK(w, CALL(w, writev, fd, iov, 2) == 5);
    CHECK(w, receive(w) && w->got.payload_bytes == 5 && memcmp(w->payload, "abcde", 5) == 0);
    CHECK(w, send_segment(w, 1, 6, TCP_RST | TCP_ACK, "") == 0);
    CHECK(w, CALL(w, recv, fd, ab, 1, 0) == -1 && errno == ECONNRESET);
    CHECK(w, CALL(w, close, fd) == 0);
}

/* --- packets that nobody has asked for; the end ------------------------------------------------------------ */

static void queue(struct world *w)
{
    CHECK(w, send_segment(w, 7, 50, TCP_ACK, "") == 0);
    CALL(w, usleep, 500000);
    CHECK(w, send_segment(w, 9, 60, TCP_ACK, "") == 0);
    CALL(w, usleep, 500000);
    CHECK(w, receive(w) && w->got.flags == TCP_RST && w->got.seq == 50);
    long long first_us = w->time_us;
    CHECK(w, receive(w) && w->got.flags == TCP_RST && w->got.seq == 60);
    CHECK(w, w->time_us - first_us == 500000);
    CHECK(w, !receive(w) && w->n == 0); /* nothing will ever come: no error, no bytes */
}

static void errors(struct world *w)
{
    struct sockaddr bad = {.sa_family = AF_UNIX};
    char byte;
    int fds[2];
    CHECK(w, CALL(w, read, 3, &byte, 1) == -1 && errno == EBADF);
    CHECK(w, CALL(w, socket, AF_INET, SOCK_DGRAM, 0) == -1 && errno == EPROTONOSUPPORT);
    int fd = CALL(w, socket, AF_INET, SOCK_STREAM, 0);
    CHECK(w, CALL(w, bind, fd, &bad, sizeof bad) == -1 && errno == EINVAL);
    CHECK(w, CALL(w, read, fd, &byte, 1) == -1 && errno == ENOTCONN);
    CHECK(w, CALL(w, accept, fd, NULL, NULL) == -1 && errno == EINVAL);
    CHECK(w,
          CALL(w, setsockopt, fd, IPPROTO_TCP, 9999, &fd, sizeof fd) == -1 && errno == ENOPROTOOPT);
    CHECK(w, CALL(w, netdev_send, "xyz", 3) == -1 && errno == EINVAL);
    CHECK(w, CALL(w, pipe, fds) == -1 && errno == ENOSYS);
    CHECK(w, CALL(w, close, fd) == 0);
    CHECK(w, CALL(w, close, fd) == -1 && errno == EBADF);
}

static void epoll(struct world *w)
{
    int fd = listening(w), set = CALL(w, epoll_create, 1);
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 77}}, got = {0};
    CHECK(w, CALL(w, epoll_ctl, set, EPOLL_CTL_ADD, fd, &event) == 0);
    CHECK(w, CALL(w, epoll_ctl, set, EPOLL_CTL_ADD, fd, &event) == -1 && errno == EEXIST);
    CHECK(w, CALL(w, epoll_wait, set, &got, 1, 0) == 0);
    handshake(w);
    CHECK(w, CALL(w, epoll_wait, set, &got, 1, 0) == 1);
    CHECK(w, got.events == EPOLLIN && got.data.u64 == 77);
    int connection = CALL(w, accept, fd, NULL, NULL);
    CHECK(w, connection >= 0);
    CHECK(w, CALL(w, epoll_wait, set, &got, 1, 0) == 0);
    CHECK(w, CALL(w, close, set) == 0);
    CHECK(w, CALL(w, close, connection) == 0);
    CHECK(w, CALL(w, close, fd) == 0);
}

/* What a script's sysctl command writes down counts for the sockets behind it. */
static void settings(struct world *w)
{
    char path[] = "/tmp/tidegate-loader-XXXXXX";
    int file = mkstemp(path), error = 0;
    struct sockaddr_storage remote;
    socklen_t len = address(w, &w->tuple.remote, &remote), size = sizeof error;
    CHECK(w, dprintf(file, "-q net.ipv4.tcp_syn_retries=1\n") > 0);
    close(file);
    setenv("TIDEGATE_PKTDRILL_SYSCTL", path, 1);
    int fd = CALL(w, socket, w->ip6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, IPPROTO_TCP);
    CHECK(w, CALL(w, connect, fd, (struct sockaddr *)&remote, len) == -1 && errno == EINPROGRESS);
    unsetenv("TIDEGATE_PKTDRILL_SYSCTL");
    unlink(path);
    CHECK(w, receive(w) && w->got.flags == TCP_SYN);
    CHECK(w, receive(w) && w->got.flags == TCP_SYN);
    CHECK(w, !receive(w) && w->n == 0);
    CHECK(w,
          CALL(w, getsockopt, fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == ETIMEDOUT);
    CHECK(w, CALL(w, close, fd) == 0);
}

static void complete(struct world *w)
{
    void *const *pointers = (void *const *)&w->ifc;
    for (unsigned i = 0; i < sizeof w->ifc / sizeof *pointers; i++)
        CHECK(w, pointers[i]);
}

int main(int argc, char **argv)
{
    setlinebuf(stdout); /* a call that never ends must not hide what was wrong before */
    static void (*const scenarios[])(struct world * w) = {server, client,   queue,   errors,
                                                          epoll,  settings, complete};
    void *so =
        argc == 2 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE | RTLD_DEEPBIND) : NULL;
    void (*init)(const char *, struct packetdrill_interface *) = NULL;
    unsigned passed = 0, failed = 0;
    if (so)
        *(void **)&init = dlsym(so, "packetdrill_interface_init");
    if (!init) {
        printf("usage: loader LIBRARY (%s)\n0 passed, 1 failed\n", argc == 2 ? dlerror() : "");
        return 1;
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(scenarios) * 2; i++) {
        static struct world w;
        memset(&w, 0, sizeof w);
        w.ip6 = i % 2;
        w.tuple = (struct ip_tuple){test_addr(w.ip6 ? "fd3d:fa7b:d17d::7" : "192.168.42.7"),
                                    test_addr(w.ip6 ? "2001:db8::1" : "192.0.2.1"), PORT, 40000};
        test_pool_init(&w.pool, 0);
        test_toeplitz_init(&w.toeplitz, 3);
        init("net.ipv4.tcp_syn_retries=3", &w.ifc);
        scenarios[i / 2](&w);
        w.ifc.free(w.ifc.userdata);
        w.wrong ? failed++ : passed++;
    }
    printf("%u passed, %u failed\n", passed, failed);
    return failed != 0;
}
