/* SPDX-License-Identifier: BSD-3-Clause
 * tcp_peer_app: our TCP on a real port, for another TCP to talk to. Started by tests/peer/peer.py.
 *
 *   tcp_peer_app DEVICE IPV4 IPV6 [--payload FILE] [--connections N] [--window BYTES] [--seed N]
 *
 * DEVICE as in a configuration: "net_tap0,iface=x", "net_af_xdp0,iface=x,..." (DPDK's build), "x" (the one without). The
 * addresses lie in a /24 and a /64. It says "tcp_peer_app: ready", then takes commands on standard input, a line each, and
 * answers "ok", "wrong: WHY" or what was asked for; lines of peer_conn.h come in between.
 *
 *   listen ..., connect ...   peer_plan.h
 *   unlisten PORT            once its connections have ended
 *   release                   those that hold their FIN back send it
 *   status                    counts of connections and bytes, and whether the stack's invariants hold
 *   counters                  the stack's counters that are not 0, as JSON
 *   quit                      (or the end of the input) end
 */
#include "tests/peer/peer_conn.h"
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define APP_TURNS_A_LOOK   64u /* at standard input */
#define APP_TURNS_TO_SLEEP 32u

static void app_status(const struct peer *p)
{
    const char *broken = tcp_check(p->node.tcp);
    printf("status live=%u accepted=%lu connected=%lu closed=%lu failed=%lu received=%lu sent=%lu "
           "time_wait=%u frames=%lu check=%s\n",
           p->live, (unsigned long)p->accepted, (unsigned long)p->connected,
           (unsigned long)p->closed, (unsigned long)p->failed, (unsigned long)p->received,
           (unsigned long)p->sent, tcp_time_wait_count(p->node.tcp),
           (unsigned long)io_pool(p->node.io)->in_use, broken ? broken : "whole");
}

static void app_counters(const struct peer *p)
{
    const char *comma = "";
    printf("counters {");
    for (unsigned c = 0; c < TG_COUNTER_COUNT; c++)
        if (p->node.stats.value[c]) {
            printf("%s\"%s\": %lu", comma, stats_name((enum tg_counter)c),
                   (unsigned long)p->node.stats.value[c]);
            comma = ", ";
        }
    printf("}\n");
}

static void app_open(struct peer *p, char *words, bool connects, tg_ns now)
{
    struct peer_plan plan;
    const char *problem;
    if (!peer_plan_read(words, connects, &plan, &problem)) {
        printf("wrong: %s\n", problem);
        return;
    }
    if (plan.send && !p->payload) {
        printf("wrong: send needs --payload\n");
        return;
    }
    enum tg_err result = connects ? peer_connect(p, &plan, now) : peer_listen(p, &plan);
    if (result == TG_OK)
        printf("ok\n");
    else
        printf("wrong: %s\n", tg_err_text(result));
}

/* False: quit. */
static bool app_command(struct peer *p, char *line, tg_ns now)
{
    char *words = line + strcspn(line, " ");
    if (*words)
        *words++ = 0;
    if (!strcmp(line, "quit"))
        return false;
    if (!strcmp(line, "listen") || !strcmp(line, "connect")) {
        app_open(p, words, line[0] == 'c', now);
    } else if (!strcmp(line, "unlisten")) {
        bool done = peer_unlisten(p, (uint16_t)strtoul(words, NULL, 10));
        printf(done ? "ok\n" : "wrong: nobody listens there, or its connections live\n");
    } else if (!strcmp(line, "release")) {
        peer_release(p, now);
        printf("ok\n");
    } else if (!strcmp(line, "status")) {
        app_status(p);
    } else if (!strcmp(line, "counters")) {
        app_counters(p);
    } else {
        printf("wrong: no command %s\n", line);
    }
    return true;
}

/* Commands that have come in whole lines. False: quit, or the end of the input. */
static bool app_commands(struct peer *p, tg_ns now)
{
    static char text[1024];
    static size_t len;
    fflush(stdout);
    ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (n == 0)
        return false;
    if (n < 0)
        return true;
    len += (size_t)n;
    text[len] = 0;
    for (char *end; (end = strchr(text, '\n'));) {
        *end++ = 0;
        if (!app_command(p, text, now))
            return false;
        fflush(stdout);
        len -= (size_t)(end - text);
        memmove(text, end, len + 1);
    }
    return len < sizeof text - 1;
}

static void app_run(struct peer *p)
{
    tg_ns now = io_now(p->node.io);
    for (unsigned turn = 0, idle = 0;; turn++) {
        bool worked = peer_node_input(&p->node, &now) > 0;
        worked |= peer_conns_run(p, now);
        worked |= peer_node_output(&p->node, now) > 0;
        if ((turn % APP_TURNS_A_LOOK == 0 || idle > APP_TURNS_TO_SLEEP) && !app_commands(p, now))
            return;
        idle = worked ? 0 : idle + 1;
        if (idle > APP_TURNS_TO_SLEEP)
            io_wait(p->node.io, now + 100 * TG_US);
    }
}

static bool app_payload(struct peer *p, const char *path)
{
    struct stat s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &s) || s.st_size == 0)
        return false;
    p->payload_len = (size_t)s.st_size;
    p->payload = mmap(NULL, p->payload_len, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return p->payload != MAP_FAILED;
}

static bool app_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && *out >= min && *out <= max;
}

static const char *app_options(int argc, char **argv, struct peer *p, struct peer_node_options *o)
{
    static const struct option names[] = {{"payload", required_argument, NULL, 'p'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"seed", required_argument, NULL, 's'},
                                          {0}};
    uint64_t number;
    for (int c; (c = getopt_long(argc, argv, "", names, NULL)) != -1;) {
        if (c == '?')
            return "an unknown option, or one without its value";
        if (c == 'p' && !app_payload(p, optarg))
            return "the payload file cannot be read, or is empty";
        if (c == 'c' && !app_number(optarg, 1, PLAN_COUNT_MAX, &number))
            return "--connections is a number from 1 to 20000";
        if (c == 'w' && !app_number(optarg, 16384, 1u << 26, &number))
            return "--window is a number from 16384 to 2^26";
        if (c == 's' && !app_number(optarg, 0, UINT64_MAX / 2, &o->seed))
            return "--seed is a number";
        if (c == 'c')
            o->connections = (uint32_t)number;
        if (c == 'w')
            o->window = (uint32_t)number;
    }
    if (argc - optind != 3)
        return "a device and two addresses are wanted";
    o->device = argv[optind];
    if (ip_addr_parse(argv[optind + 1], &o->local4) != TG_OK || !ip_addr_is4(&o->local4) ||
        ip_addr_parse(argv[optind + 2], &o->local6) != TG_OK || ip_addr_is4(&o->local6))
        return "an IPv4 address and an IPv6 address are wanted";
    return NULL;
}

int main(int argc, char **argv)
{
    static struct peer p;
    struct peer_node_options options = {.connections = 8192, .window = 1u << 20, .seed = 1};
    const char *problem = app_options(argc, argv, &p, &options);
    if (problem) {
        fprintf(stderr, "tcp_peer_app: %s\n", problem);
        return 2;
    }
    if (!peer_conns_init(&p, options.connections) || !peer_node_open(&p.node, &options))
        return 1;
    int flags = fcntl(STDIN_FILENO, F_GETFL);
    if (flags < 0 || fcntl(STDIN_FILENO, F_SETFL, flags | O_NONBLOCK) < 0)
        return 1;
    signal(SIGPIPE, SIG_IGN);
    printf("tcp_peer_app: ready\n");
    app_run(&p);
    peer_node_close(&p.node);
    return 0;
}
