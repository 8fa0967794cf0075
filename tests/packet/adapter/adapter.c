/* SPDX-License-Identifier: BSD-3-Clause
 * See adapter.h: the stack, its clock, its wire.
 */
#include "tests/packet/adapter/adapter.h"
#include "tests/packet/knobs.h"
#include <errno.h>
#include <stdio.h>

/* --- the stack ------------------------------------------------------------------------------------------- */

static void packet_keep(void *arg, const uint8_t *packet, size_t len, tg_ns time)
{
    struct adapter *a = arg;
    if (a->end - a->first == ADAPTER_PACKETS_MAX || len > ADAPTER_PACKET_MAX)
        return; /* a thousand packets that nobody wants: as good as lost */
    struct adapter_packet *p = &a->packets[a->end++ % ADAPTER_PACKETS_MAX];
    p->time = time;
    p->len = len;
    memcpy(p->bytes, packet, len);
}

/* What the script's sysctl commands have said, when bin/sysctl stands in for the system's. */
static void commands_read(struct host *host)
{
    char text[8192];
    const char *path = getenv("TIDEGATE_PKTDRILL_SYSCTL");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file)
        return;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = 0;
    knobs_read(host, text, NULL);
}

static void stack_open(struct adapter *a, const struct ip_addr *local, tg_ns now)
{
    host_defaults(&a->host, !ip_addr_is4(local));
    knobs_read(&a->host, a->settings, NULL);
    commands_read(&a->host);
    a->host.tuple.local = *local;
    a->host.prefix4 = a->host.prefix6 = 0; /* whoever a script talks to is a neighbour */
    a->host.on_packet = packet_keep;
    a->host.on_packet_arg = a;
    a->host.node.now = now;
    tg_assert(host_open(&a->host));
}

static bool stack_used(const struct adapter *a)
{
    for (unsigned i = 0; i < SOCKS_MAX; i++)
        if (a->socks.sockets[i].kind == SOCK_LISTENING ||
            a->socks.sockets[i].kind == SOCK_CONNECTION)
            return true;
    return tcp_connection_count(a->host.node.tcp) || tcp_time_wait_count(a->host.node.tcp);
}

void adapter_local(struct adapter *a, const struct ip_addr *local)
{
    tg_ns now = a->host.node.now;
    static const struct ip_addr any6, any4 = {{[10] = 0xff, [11] = 0xff}};
    if (ip_addr_equal(local, &a->host.tuple.local) || ip_addr_equal(local, &any6) ||
        ip_addr_equal(local, &any4) || stack_used(a))
        return;
    host_close(&a->host);
    stack_open(a, local, now);
}

void adapter_configure(struct adapter *a)
{
    struct ip_addr local = a->host.tuple.local;
    tg_ns now = a->host.node.now;
    if (stack_used(a))
        return;
    host_close(&a->host);
    stack_open(a, &local, now);
}

/* --- the clock -------------------------------------------------------------------------------------------- */

static void checked(const char *wrong)
{
    if (wrong)
        fprintf(stderr, "tidegate: tcp_check: %s\n", wrong);
    tg_assert(!wrong);
}

void adapter_settle(struct adapter *a)
{
    checked(host_settle(&a->host));
    waiters_wake(a);
}

void adapter_advance(struct adapter *a, tg_ns until)
{
    stamps_await(a);
    while (a->host.node.now < until) {
        tg_ns next = timers_next(&a->host.node.wheel), deadline = waiters_deadline(a);
        next = next > a->host.node.now ? next : a->host.node.now + TIMER_TICK;
        next = deadline < next && deadline > a->host.node.now ? deadline : next;
        checked(host_advance(&a->host, next < until ? next : until, false));
        waiters_wake(a);
        stamps_await(a);
    }
}

static int entry_usleep(void *u, useconds_t us)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    adapter_advance(a, a->host.node.now + us * TG_US);
    pthread_mutex_unlock(&a->lock);
    return 0;
}

/* A microsecond passes, unless it is the stamp of a call's end. */
static int entry_gettimeofday(void *u, struct timeval *time, struct timezone *zone)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    unsigned due = a->stamps_due;
    stamp_taken(a);
    if (due == a->stamps_due)
        adapter_advance(a, a->host.node.now + TG_US);
    time->tv_sec = (time_t)(a->host.node.now / TG_S);
    time->tv_usec = (suseconds_t)(a->host.node.now % TG_S / TG_US);
    pthread_mutex_unlock(&a->lock);
    return 0;
}

/* --- the wire ----------------------------------------------------------------------------------------------- */

static struct ip_addr destination_of(const uint8_t *packet)
{
    struct ip_addr address;
    if (packet[0] >> 4 == 4)
        return ip_addr_from4(packet + 16);
    memcpy(address.bytes, packet + 24, sizeof address.bytes);
    return address;
}

static int entry_netdev_send(void *u, const void *packet, size_t n)
{
    struct adapter *a = u;
    const uint8_t *ip = packet;
    int result = 0;
    if (n < IP4_BYTES || (ip[0] >> 4 == 6 && n < IP6_BYTES)) {
        errno = EINVAL;
        return -1;
    }
    pthread_mutex_lock(&a->lock);
    struct ip_addr destination = destination_of(ip);
    adapter_local(a, &destination);
    if (!host_receive_packet(&a->host, packet, n)) {
        errno = EMSGSIZE;
        result = -1;
    }
    adapter_settle(a);
    pthread_mutex_unlock(&a->lock);
    return result;
}

/* The packets that wait come first. With none, time runs until one is sent; when nothing is ever to be sent the answer is
 * no bytes, which fails the script (an error would make packetdrill ask for ever). */
static int entry_netdev_receive(void *u, void *packet, size_t *n, long long *time_us)
{
    struct adapter *a = u;
    pthread_mutex_lock(&a->lock);
    tg_ns limit = a->host.node.now + ADAPTER_IDLE_MAX;
    while (a->first == a->end && a->host.node.now < limit) {
        tg_ns next = timers_next(&a->host.node.wheel);
        if (next == UINT64_MAX)
            break;
        adapter_advance(a, next > a->host.node.now ? next : a->host.node.now + TIMER_TICK);
    }
    if (a->first == a->end) {
        *n = 0;
        *time_us = (long long)(a->host.node.now / TG_US);
    } else {
        const struct adapter_packet *p = &a->packets[a->first++ % ADAPTER_PACKETS_MAX];
        *n = *n < p->len ? *n : p->len;
        memcpy(packet, p->bytes, *n);
        *time_us = (long long)(p->time / TG_US);
    }
    pthread_mutex_unlock(&a->lock);
    return 0;
}

/* --- the whole ------------------------------------------------------------------------------------------------ */

static void entry_free(void *u)
{
    struct adapter *a = u;
    if (!host_close(&a->host))
        fprintf(stderr, "tidegate: frames or timers were not given back\n");
    pthread_cond_destroy(&a->changed);
    pthread_mutex_destroy(&a->lock);
    free(a->packets);
    free(a);
}

void packetdrill_interface_init(const char *flags, struct packetdrill_interface *interface)
{
    struct adapter *a = calloc(1, sizeof *a);
    struct ip_addr local = test_addr("192.168.0.1");
    tg_assert(a);
    a->packets = calloc(ADAPTER_PACKETS_MAX, sizeof *a->packets);
    tg_assert(a->packets);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->changed, NULL);
    snprintf(a->settings, sizeof a->settings, "%s", flags ? flags : "");
    stack_open(a, &local, HOST_START);
    socks_init(&a->socks, &a->host);
    *interface = (struct packetdrill_interface){.userdata = a,
                                                .free = entry_free,
                                                .netdev_send = entry_netdev_send,
                                                .netdev_receive = entry_netdev_receive,
                                                .usleep = entry_usleep,
                                                .gettimeofday = entry_gettimeofday};
    entry_fill(interface);
}
