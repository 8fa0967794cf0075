/* SPDX-License-Identifier: BSD-3-Clause
 * lossy_bridge: joins two interfaces of its network namespace by a bad line, for the kernel here has no netem.
 *
 *   lossy_bridge A B [--seed N] [--both OPTIONS] [--to-a OPTIONS] [--to-b OPTIONS]
 *   OPTIONS: loss=%,duplicate=%,reorder=%,delay=ms,jitter=ms,reorder-delay=ms,rate=Mbit/s,queue=kB
 *
 * It reads and writes through packet sockets, which serve a TAP's kernel side and a veth's end alike. The interfaces that
 * feed it must not hand over what only a network card can finish: `ethtool -K X tx off tso off gso off` at the far ends
 * (a frame above 2,048 bytes is dropped and counted). It says "lossy_bridge: ready"; SIGTERM ends it, with one line of
 * JSON on standard output that says what it did. Exit status 2: wrong usage, 1: the system refused.
 */
#include "tests/peer/lossy_lane.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>

#define BRIDGE_SOCKET_BYTES (64 << 20)

static volatile sig_atomic_t bridge_stop;

static void bridge_on_signal(int signal)
{
    bridge_stop = 1;
}

static int bridge_usage(const char *problem)
{
    fprintf(
        stderr,
        "lossy_bridge: %s\nusage: lossy_bridge A B [--seed N] [--both OPTIONS] [--to-a OPTIONS] "
        "[--to-b OPTIONS]\n",
        problem);
    return 2;
}

static tg_ns bridge_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (tg_ns)t.tv_sec * TG_S + (tg_ns)t.tv_nsec;
}

/* A packet socket on an interface: all that comes in, nothing of what goes out, no queueing discipline. -1: refused. */
static int bridge_open(const char *interface)
{
    const int one = 1, bytes = BRIDGE_SOCKET_BYTES;
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(ETH_P_ALL),
                                  .sll_ifindex = (int)if_nametoindex(interface)};
    int s = address.sll_ifindex ? socket(AF_PACKET, SOCK_RAW, 0) : -1;
    struct packet_mreq all = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
    if (s < 0 || setsockopt(s, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) ||
        setsockopt(s, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one) ||
        setsockopt(s, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) ||
        setsockopt(s, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) ||
        setsockopt(s, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) ||
        bind(s, (struct sockaddr *)&address, sizeof address)) {
        fprintf(stderr, "lossy_bridge: interface %s: %s\n", interface, strerror(errno));
        return -1;
    }
    return s;
}

static void bridge_run(struct lane lanes[2])
{
    struct pollfd ready[2] = {{lanes[0].in, POLLIN, 0}, {lanes[1].in, POLLIN, 0}};
    while (!bridge_stop) {
        unsigned work = 0;
        for (unsigned i = 0; i < 2; i++) {
            work += lane_receive(&lanes[i], bridge_now());
            work += lane_send(&lanes[i], bridge_now());
        }
        if (work)
            continue;
        tg_ns now = bridge_now(), next = now + TG_S;
        for (unsigned i = 0; i < 2; i++)
            next = lane_next(&lanes[i]) < next ? lane_next(&lanes[i]) : next;
        tg_ns wait = next > now ? next - now : 0;
        struct timespec t = {(time_t)(wait / TG_S), (long)(wait % TG_S)};
        ppoll(ready, 2, &t, NULL);
    }
}

static void bridge_report(const char *name, const struct lane *l, const char *end)
{
    struct tpacket_stats kernel = {0};
    socklen_t size = sizeof kernel;
    getsockopt(l->in, SOL_PACKET, PACKET_STATISTICS, &kernel, &size);
    printf("\"%s\": {\"frames\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"lost\": %" PRIu64
           ", \"duplicated\": %" PRIu64 ", \"reordered\": %" PRIu64 ", \"queue_full\": %" PRIu64
           ", \"sent\": %" PRIu64 ", \"too_long\": %" PRIu64 ", \"no_slot\": %" PRIu64
           ", \"refused\": %" PRIu64 ", \"missed\": %u}%s",
           name, l->path.frames, l->path.bytes, l->path.lost, l->path.duplicated, l->path.reordered,
           l->path.queue_full, l->sent, l->too_long, l->no_slot, l->refused, kernel.tp_drops, end);
}

/* options[0]: towards A. False: *problem says why. */
static bool bridge_options(int argc, char **argv, uint64_t *seed, struct lossy_options options[2],
                           const char **problem)
{
    static const struct option names[] = {{"seed", required_argument, NULL, 's'},
                                          {"both", required_argument, NULL, '2'},
                                          {"to-a", required_argument, NULL, 'a'},
                                          {"to-b", required_argument, NULL, 'b'},
                                          {0}};
    char *end;
    *problem = "an unknown option, or one without its value";
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == '?')
            return false;
        if (c == 's') {
            *seed = strtoull(optarg, &end, 0);
            *problem = "the seed is a number";
            if (end == optarg || *end)
                return false;
            continue;
        }
        if (c != 'b' && !lossy_options_read(optarg, &options[0], problem))
            return false;
        if (c != 'a' && !lossy_options_read(optarg, &options[1], problem))
            return false;
    }
    *problem = "two interfaces are wanted";
    return argc - optind == 2;
}

int main(int argc, char **argv)
{
    static struct lane lanes[2];
    struct lossy_options options[2] = {0};
    uint64_t seed = 1;
    const char *problem;
    int sockets[2];
    if (!bridge_options(argc, argv, &seed, options, &problem))
        return bridge_usage(problem);
    for (unsigned i = 0; i < 2; i++)
        if ((sockets[i] = bridge_open(argv[optind + (int)i])) < 0)
            return 1;
    for (unsigned i = 0; i < 2; i++)
        if (!lane_init(&lanes[i], &options[i], seed * 2 + i, sockets[1 - i], sockets[i]))
            return bridge_usage("no memory");
    const struct sigaction action = {.sa_handler = bridge_on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    prctl(PR_SET_TIMERSLACK, 1000UL); /* 1 us: delays are fractions of a millisecond */
    fprintf(stderr, "lossy_bridge: ready\n");
    bridge_run(lanes);
    printf("{\"seed\": %" PRIu64 ", ", seed);
    bridge_report("to_a", &lanes[0], ", ");
    bridge_report("to_b", &lanes[1], "}\n");
    for (unsigned i = 0; i < 2; i++)
        lane_free(&lanes[i]);
    return 0;
}
