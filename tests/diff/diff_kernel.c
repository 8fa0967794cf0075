/* SPDX-License-Identifier: BSD-3-Clause
 * The kernel's end: this process moves into a network namespace of its own, opens a TUN device there and plays
 * the peer of many connections at once, all of them at the same step. The kernel runs in real time: after each
 * step everything that it says within some milliseconds is taken.
 */
#include "tests/diff/diff.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define QUIET_MS  3
#define BATCH_MS  180 /* below the kernel's least retransmission timeout, 200 */
#define TRIES_MAX 20

static int tun = -1, listener = -1;
static unsigned
    next_number; /* every connection has a port of its own, TIME-WAIT would be in the way */

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "kernel's end: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void set(const char *name, const char *value)
{
    char path[200];
    snprintf(path, sizeof path, "/proc/sys/net/%s", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, value, strlen(value)) < 0)
        give_up(path);
    close(fd);
}

static void ip(const char *const argv[])
{
    pid_t child;
    int status;
    if (posix_spawnp(&child, argv[0], NULL, NULL, (char *const *)argv, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0)
        give_up(argv[2]);
}

/* No timer of its own but the retransmission timeout, no limit on challenge ACKs over all connections, and RFC 1337
 * as we have it. */
static void kernel_settings(void)
{
    set("ipv4/tcp_early_retrans", "0");
    set("ipv4/tcp_challenge_ack_limit", "1000000");
    set("ipv4/tcp_syncookies", "0");
    set("ipv4/tcp_max_syn_backlog", "4096");
    set("core/somaxconn", "4096");
    set("ipv4/tcp_rfc1337", "1");
    set("ipv4/conf/all/rp_filter", "0");
    set("ipv6/conf/all/accept_dad", "0");
}

static void tun_open(void)
{
    struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    snprintf(r.ifr_name, sizeof r.ifr_name, "tgd0");
    tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &r) < 0)
        give_up("TUN device");
    ip((const char *const[]){"ip", "link", "set", "lo", "up", NULL});
    ip((const char *const[]){"ip", "link", "set", "tgd0", "up", "txqueuelen", "10000", NULL});
    ip((const char *const[]){"ip", "addr", "add", "192.0.2.1/24", "dev", "tgd0", NULL});
    ip((const char *const[]){"ip", "addr", "add", "2001:db8::1/64", "dev", "tgd0", "nodad", NULL});
}

static void listener_open(void)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = htons(DIFF_PORT)};
    int off = 0;
    listener = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
        bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 4096) < 0)
        give_up("listening socket");
}

/* --- one batch -------------------------------------------------------------------------------------- */

struct batch {
    const struct script *scripts;
    struct view *views;
    unsigned n, first; /* number of the first script's port */
    int fd[256];
};

static void batch_accept(struct batch *b)
{
    struct sockaddr_in6 from;
    socklen_t len = sizeof from;
    int fd, on = 1;
    while ((fd = accept4(listener, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC)) >=
           0) {
        unsigned i = ntohs(from.sin6_port) - 2000u - b->first;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (i < b->n && b->fd[i] < 0)
            b->fd[i] = fd;
        else
            close(fd);
    }
}

/* Take what the kernel sends until it is quiet. */
static void batch_drain(struct batch *b, unsigned step)
{
    uint8_t packet[2048];
    for (;;) {
        struct pollfd p = {.fd = tun, .events = POLLIN};
        ssize_t n = read(tun, packet, sizeof packet);
        if (n < 0 && poll(&p, 1, QUIET_MS) == 0)
            return;
        if (n < 40)
            continue;
        bool six = packet[0] >> 4 == 6;
        if (packet[six ? 6 : 9] != IPPROTO_TCP)
            continue;
        const uint8_t *tcp = packet + (six ? 40 : (packet[0] & 15) * 4);
        unsigned i = (unsigned)(tcp[2] << 8 | tcp[3]) - 2000u - b->first;
        if (i >= b->n)
            continue;
        struct ip_tuple tuple = script_tuple(&b->scripts[i], b->first + i);
        view_take(&b->views[i], step, &tuple, span_make(packet, (size_t)n));
    }
}

static int batch_read(int fd)
{
    char bytes[65536];
    int sum = 0;
    for (ssize_t n; fd >= 0 && (n = recv(fd, bytes, sizeof bytes, 0)) > 0;)
        sum += (int)n;
    return sum;
}

static void batch_do(struct batch *b, unsigned i, unsigned number)
{
    const struct step *step = &b->scripts[i].steps[number];
    struct observation *seen = &b->views[i].seen[number];
    char bytes[1000] = {0};
    if (step->kind == STEP_SEGMENT) {
        uint8_t packet[2048];
        struct ip_tuple tuple = script_tuple(&b->scripts[i], b->first + i);
        size_t n = script_packet(&b->scripts[i], step, &b->views[i], &tuple, packet);
        if (write(tun, packet, n) != (ssize_t)n)
            give_up("write to TUN");
    } else if (step->kind == STEP_READ) {
        seen->result = batch_read(b->fd[i]);
    } else if (step->kind == STEP_WRITE) {
        seen->result = b->fd[i] < 0 ? -1 : (int)send(b->fd[i], bytes, step->len, MSG_NOSIGNAL);
    } else if (step->kind == STEP_SHUTDOWN) {
        shutdown(b->fd[i], SHUT_WR);
    } else if (step->kind == STEP_CLOSE && b->fd[i] >= 0) {
        close(b->fd[i]);
        b->fd[i] = -2;
    }
}

static void batch_end(struct batch *b)
{
    struct linger now = {1, 0};
    for (unsigned i = 0; i < b->n; i++)
        if (b->fd[i] >= 0) {
            setsockopt(b->fd[i], SOL_SOCKET, SO_LINGER, &now, sizeof now);
            close(b->fd[i]);
        }
    b->n = 0; /* what still comes is nobody's */
    batch_drain(b, 0);
}

/* Run a batch once; how long it took, in milliseconds. */
static int64_t batch_run(const struct script scripts[], struct view views[], unsigned n)
{
    struct batch b = {.scripts = scripts, .views = views, .n = n, .first = next_number};
    struct timespec start, end;
    tg_assert(n <= TG_ARRAY_LEN(b.fd));
    memset(views, 0, n * sizeof *views);
    for (unsigned i = 0; i < n; i++)
        b.fd[i] = -1;
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (unsigned step = 0; step < DIFF_STEPS_MAX; step++) {
        bool any = false;
        for (unsigned i = 0; i < n; i++)
            if (step < scripts[i].count) {
                batch_do(&b, i, step);
                any = true;
            }
        if (!any)
            break;
        batch_drain(&b, step);
        batch_accept(&b);
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    batch_end(&b);
    next_number = (next_number + n) % 60000;
    return (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
}

/* On a busy machine this process may stand still for so long that the kernel's timers fire: then once more. */
bool kernel_run(const struct script scripts[], struct view views[], unsigned n)
{
    for (unsigned tries = 0; tries < TRIES_MAX; tries++)
        if (batch_run(scripts, views, n) < BATCH_MS)
            return true;
    return false;
}

/* The device comes up in the kernel's own time; IPv6 does not answer before. */
static void kernel_wait(void)
{
    static struct script script;
    static struct view view;
    script_make(1, &script);
    tg_assert(script.ip6);
    for (unsigned tries = 0; tries < 100 && !view.known; tries++)
        (void)batch_run(&script, &view, 1);
    if (!view.known)
        give_up("IPv6");
}

void kernel_open(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        give_up("a network namespace (root is needed)");
    tun_open();
    kernel_settings();
    listener_open();
    kernel_wait();
}
