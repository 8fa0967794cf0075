/* SPDX-License-Identifier: BSD-3-Clause
 * The kernel's side of scripts/bench tcp: the same as tcp_pair does, both ends in this process, on one processor,
 * over loopback, by epoll.
 *
 *   tcp_peer exchange|connect|bulk CONNECTIONS SECONDS CPU
 *   tcp_peer idle CONNECTIONS           kernel bytes of an idle accepted socket, by /proc/slabinfo (root)
 *
 * Prints JSON: {"both": operations or bytes a second of processor time, since the machine may be shared} or
 * {"bytes": of the accepted end}.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64u
#define CHUNK   16384u
#define ADDRESSES                                                                                  \
    32u /* 127.0.1.x that clients bind to, so that TIME-WAIT does not use up the ports */
#define SERVER   (1ull << 32)
#define LISTENER (1ull << 33)

enum mode { EXCHANGE, CONNECT, BULK };

static char chunk[CHUNK];
static enum mode mode;
static int epoll_fd;
static unsigned next_address;
static uint64_t done, bad;
static struct sockaddr_in server;

static _Noreturn void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd, uint64_t kind, uint32_t events)
{
    struct epoll_event e = {.events = events, .data.u64 = kind | (uint32_t)fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e))
        fail("epoll_ctl");
}

static int listener_make(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    socklen_t len = sizeof server;
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || bind(fd, (struct sockaddr *)&server, len) || listen(fd, 65535) ||
        getsockname(fd, (struct sockaddr *)&server, &len))
        fail("listen");
    return fd;
}

static int client_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in local = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(0x7f000101u + next_address++ % ADDRESSES)};
    if (fd < 0)
        fail("socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&local, sizeof local) ||
        (connect(fd, (struct sockaddr *)&server, sizeof server) && errno != EINPROGRESS))
        fail("connect");
    return fd;
}

static void accept_all(int listener)
{
    int one = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(fd, SERVER, EPOLLIN);
    }
}

static void say(int fd)
{
    if (write(fd, chunk, MESSAGE) != MESSAGE)
        bad++;
}

static void server_readable(int fd)
{
    char in[65536];
    ssize_t n = read(fd, in, mode == BULK ? sizeof in : MESSAGE);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN)
            close(fd);
        return;
    }
    if (mode == BULK) {
        done += (uint64_t)n;
        return;
    }
    say(fd);
    if (mode == CONNECT)
        close(fd);
}

static void client_ready(int fd, uint32_t events)
{
    char in[MESSAGE];
    if (mode == BULK) {
        while (write(fd, chunk, CHUNK) == CHUNK)
            ;
        return;
    }
    if (events & EPOLLOUT) { /* connected: from now on it reads */
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint32_t)fd};
        epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &e);
        say(fd);
    }
    if (!(events & EPOLLIN))
        return;
    if (read(fd, in, sizeof in) == MESSAGE) {
        done++;
        if (mode == EXCHANGE) {
            say(fd);
            return;
        }
    }
    close(fd);
    watch(client_open(), 0, EPOLLOUT);
}

static double seconds_now(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void run(double seconds)
{
    struct epoll_event events[64];
    for (double end = seconds_now(CLOCK_MONOTONIC) + seconds; seconds_now(CLOCK_MONOTONIC) < end;) {
        int n = epoll_wait(epoll_fd, events, 64, 100);
        for (int i = 0; i < n; i++) {
            int fd = (int)(uint32_t)events[i].data.u64;
            if (events[i].data.u64 & LISTENER)
                accept_all(fd);
            else if (events[i].data.u64 & SERVER)
                server_readable(fd);
            else
                client_ready(fd, events[i].events);
        }
    }
}

/* Bytes of all objects that live in the kernel's slab caches. */
static double slab_bytes(void)
{
    char line[512], name[64];
    unsigned long active, all, size;
    double sum = 0;
    FILE *f = fopen("/proc/slabinfo", "r");
    if (!f)
        fail("/proc/slabinfo");
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "%63s %lu %lu %lu", name, &active, &all, &size) == 4)
            sum += (double)active * (double)size;
    fclose(f);
    return sum;
}

/* Both ends are sockets here: an end costs half of what they cost together. The server's waits in epoll, the
 * client's does not. */
static int idle(unsigned connections)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (limit.rlim_max < connections * 2 + 64 || setrlimit(RLIMIT_NOFILE, &limit))
        fail("setrlimit");
    int listener = listener_make();
    double before = slab_bytes();
    for (unsigned i = 0; i < connections; i++) {
        (void)client_open();
        if (i % 512 == 511)
            accept_all(listener);
    }
    accept_all(listener);
    usleep(200000);
    printf("{\"bytes\": %.0f}\n", (slab_bytes() - before) / connections / 2);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    epoll_fd = epoll_create1(0);
    unsigned connections = (unsigned)strtoul(argv[2], NULL, 10);
    if (argv[1][0] == 'i')
        return idle(connections);
    if (argc != 5)
        return 2;
    mode = argv[1][0] == 'e' ? EXCHANGE : argv[1][0] == 'c' ? CONNECT : BULK;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)strtoul(argv[4], NULL, 10), &set);
    if (sched_setaffinity(0, sizeof set, &set))
        fail("sched_setaffinity");
    memset(chunk, 'm', sizeof chunk);
    int listener = listener_make();
    watch(listener, LISTENER, EPOLLIN);
    for (unsigned i = 0; i < connections; i++)
        watch(client_open(), 0, EPOLLOUT);
    run(0.3);
    uint64_t before = done;
    double start = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
    run(strtod(argv[3], NULL));
    printf("{\"both\": %.1f, \"bad\": %lu}\n",
           (double)(done - before) / (seconds_now(CLOCK_PROCESS_CPUTIME_ID) - start),
           (unsigned long)bad);
    return bad ? 1 : 0;
}
