/* SPDX-License-Identifier: BSD-3-Clause
 * Row tcp.recovery_1pct of scripts/bench: one sender writes without end through a path of 100 Mbit/s and 50 ms
 * (tcp_path.h) to a receiver on our stack. The sender is our stack, in virtual time, or Linux with CUBIC, in real time
 * over a TAP device in a network namespace of its own; path and receiver are the same code for both.
 *
 *   tcp_recovery ours|linux SECONDS LOSS_PERMILLE OVERTAKEN_PERMILLE WINDOW SEED      (linux: root)
 *
 * WINDOW: bytes that the receiver offers. Path and queue hold 1.25 million together: more, and the queue overflows.
 *
 * Prints JSON: megabits of payload a second after the first WARM seconds, and what happened on the path.
 */
#include "tests/bench/tcp_end.h"
#include "tests/bench/tcp_path.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define WARM     (5 * TG_S)
#define SEND_MAX (4u << 20)
#define PORT     80
#define SENDER   16

#define CONGESTION 13 /* TCP_CONGESTION: netinet/tcp.h has a struct tcp_info, too */

static struct bench_end sender, receiver;
static struct path_way forth, back;
static uint64_t received;
static uint8_t chunk[16384];
static int tap = -1;
static uint32_t window;

static void receiver_user(struct bench_end *end, tg_ns now)
{
    struct tcp_event e;
    struct span spans[64];
    while (tcp_events(end->tcp, &e, 1))
        for (unsigned n; (n = tcp_peek(end->tcp, e.handle, spans, TG_ARRAY_LEN(spans)));) {
            uint32_t bytes = 0;
            for (unsigned i = 0; i < n; i++)
                bytes += (uint32_t)spans[i].len;
            tcp_consume(end->tcp, e.handle, bytes);
            received += bytes;
        }
}

static void sender_user(struct bench_end *end, tg_ns now)
{
    struct tcp_event e;
    while (tcp_events(end->tcp, &e, 1)) {
        if (e.bits & TCP_EV_CLOSED)
            END_FATAL("tcp_recovery: the connection has ended\n");
        while (tcp_write(end->tcp, e.handle, span_make(chunk, sizeof chunk)) == sizeof chunk)
            ;
    }
}

static void enter(struct bench_end *from, struct buf *burst[], unsigned n, void *arg)
{
    for (unsigned i = 0; i < n; i++)
        path_enter(arg, burst[i]->data, burst[i]->len, from->last_tick);
}

static void make(struct bench_end *end, unsigned number, tg_ns now)
{
    const struct end_config config = {
        .number = number,
        .addresses = 1,
        .frames = 16384,
        .tcp = {.connections_max = 16,
                .receive_window_max = window,
                .receive_window_initial = window,
                .send_buffer_max = SEND_MAX,
                .unsent_low = 256u << 10,
                .ooo_segments_max = 8192,
                .isn_key = {1, 2},
                .seed = number},
    };
    end_create(end, &config, now);
    end->user = number == SENDER ? sender_user : receiver_user;
}

/* Everything that is due at `now`, at both ends. */
static void arrive(tg_ns now)
{
    const struct path_frame *frame;
    while (path_leave(&forth, now, &frame))
        end_receive(&receiver, frame->bytes, frame->len);
    while (path_leave(&back, now, &frame)) {
        if (tap < 0)
            end_receive(&sender, frame->bytes, frame->len);
        else if (write(tap, frame->bytes, frame->len) != frame->len)
            END_FATAL("tcp_recovery: tap\n");
    }
}

static void turn(struct bench_end *end, struct path_way *way, tg_ns now)
{
    net_tick(end->net, now);
    end->last_tick = now;
    do
        (void)end_turn(end, now, enter, way);
    while (end->count);
}

/* --- our sender, virtual time ---------------------------------------------------------------------------- */

static tg_ns next_of(tg_ns now)
{
    tg_ns next = now + 100 * TG_MS;
    const tg_ns at[] = {path_next(&forth), path_next(&back), timers_next(&sender.wheel),
                        timers_next(&receiver.wheel)};
    for (unsigned i = 0; i < TG_ARRAY_LEN(at); i++)
        next = at[i] < next ? at[i] : next;
    return next > now ? next : now + 10 * TG_US;
}

static void run_ours(tg_ns end)
{
    struct ip_addr to = end_address(1);
    tg_ns now = 1000 * TG_S;
    tcp_handle h;
    make(&sender, SENDER, now);
    make(&receiver, 1, now);
    if (tcp_listen(receiver.tcp, PORT, 1) != TG_OK ||
        tcp_connect(sender.tcp, NULL, &to, PORT, 0, 0, now, &h) != TG_OK)
        END_FATAL("tcp_recovery: connect\n");
    for (tg_ns start = now; now - start < end + WARM; now = next_of(now)) {
        if (now - start < WARM)
            received = 0;
        arrive(now);
        turn(&sender, &forth, now);
        turn(&receiver, &back, now);
    }
}

/* --- Linux's sender, real time --------------------------------------------------------------------------- */

/* A network namespace of this process alone, with one device whose other end we are. */
static void tap_open(void)
{
    struct ifreq r = {.ifr_flags = IFF_TAP | IFF_NO_PI, .ifr_name = "tap0"};
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd;
    bool up = unshare(CLONE_NEWNET) == 0 &&
              (tap = open("/dev/net/tun", O_RDWR | O_NONBLOCK)) >= 0 &&
              ioctl(tap, TUNSETIFF, &r) == 0 && (fd = socket(AF_INET, SOCK_DGRAM, 0)) >= 0;
    inet_pton(AF_INET, "192.0.2.16", &a.sin_addr);
    memcpy(&r.ifr_addr, &a, sizeof a);
    up = up && ioctl(fd, SIOCSIFADDR, &r) == 0;
    inet_pton(AF_INET, "255.255.255.0", &a.sin_addr);
    memcpy(&r.ifr_netmask, &a, sizeof a);
    up = up && ioctl(fd, SIOCSIFNETMASK, &r) == 0;
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    if (!up || ioctl(fd, SIOCSIFFLAGS, &r))
        END_FATAL("tcp_recovery: no tap device\n");
    close(fd);
}

static _Noreturn void linux_send(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, CONGESTION, "cubic", 5) ||
        connect(fd, (struct sockaddr *)&to, sizeof to))
        _exit(1);
    while (write(fd, chunk, sizeof chunk) > 0)
        ;
    _exit(1);
}

static void tap_read(tg_ns now)
{
    uint8_t frame[2048];
    for (ssize_t n; (n = read(tap, frame, sizeof frame)) > 0;)
        path_enter(&forth, frame, (unsigned)n, now);
}

static void run_linux(tg_ns end)
{
    tap_open();
    make(&receiver, 1, end_now());
    if (tcp_listen(receiver.tcp, PORT, 1) != TG_OK)
        END_FATAL("tcp_recovery: listen\n");
    pid_t child = fork();
    if (child == 0)
        linux_send();
    struct pollfd wait = {.fd = tap, .events = POLLIN};
    tg_ns start = end_now(), now = start;
    for (; now - start < end + WARM; now = end_now()) {
        if (now - start < WARM)
            received = 0;
        tap_read(now);
        arrive(now);
        turn(&receiver, &back, now);
        tg_ns next = path_next(&forth) < path_next(&back) ? path_next(&forth) : path_next(&back);
        struct timespec t = {.tv_nsec = next > now + TG_MS ? (long)TG_MS
                                                           : (long)(next > now ? next - now : 0)};
        (void)ppoll(&wait, 1, &t, NULL);
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        END_FATAL("usage: tcp_recovery ours|linux SECONDS LOSS_PERMILLE OVERTAKEN_PERMILLE WINDOW "
                  "SEED\n");
    tg_ns seconds = strtoul(argv[2], NULL, 10);
    forth.loss_permille = (unsigned)strtoul(argv[3], NULL, 10);
    forth.overtaken_permille = (unsigned)strtoul(argv[4], NULL, 10);
    window = (uint32_t)strtoul(argv[5], NULL, 10);
    prng_seed(&forth.prng, strtoul(argv[6], NULL, 10));
    if (argv[1][0] == 'o')
        run_ours(seconds * TG_S);
    else
        run_linux(seconds * TG_S);
    const uint64_t *c = sender.stats.value;
    printf(
        "{\"mbit\": %.3f, \"data\": %lu, \"lost\": %lu, \"overflowed\": %lu, \"overtaken\": %lu, "
        "\"retransmits\": %lu, \"timeouts\": %lu, \"recoveries\": %lu, \"undone\": %lu, "
        "\"duplicates\": %lu}\n",
        (double)received * 8 / 1e6 / (double)seconds, (unsigned long)forth.taken,
        (unsigned long)forth.lost, (unsigned long)forth.overflowed, (unsigned long)forth.overtaken,
        (unsigned long)c[TG_C_tcp_retransmits], (unsigned long)c[TG_C_tcp_rto],
        (unsigned long)c[TG_C_tcp_fast_retransmit], (unsigned long)c[TG_C_tcp_recoveries_undone],
        (unsigned long)receiver.stats.value[TG_C_tcp_duplicate]);
    return received ? 0 : 1;
}
