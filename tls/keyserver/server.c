/* SPDX-License-Identifier: BSD-3-Clause
 * The poll loop: see server.h.
 */
#include "tls/keyserver/server.h"

#include "base/log.h"
#include "tls/keyserver/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ACCEPTS_MAX 16 /* in one turn */

struct server {
    struct setup *setup;
    int listen_fd; /* -1: closed */
    struct link *links;
    struct pollfd *polls;  /* [limit + 1]; the last one is the listening socket */
    unsigned limit, count; /* links[0..count) live */
    tg_ns full_said_at;    /* 0: never */
};

static uint64_t clock_read(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * TG_S + (uint64_t)t.tv_nsec;
}

/* --- listening --------------------------------------------------------------------------------- */

/* The address as sockaddr; its length, 0: no address. */
static socklen_t address_make(const struct settings *s, struct sockaddr_storage *out)
{
    struct sockaddr_in *in4 = (void *)out;
    struct sockaddr_in6 *in6 = (void *)out;
    *out = (struct sockaddr_storage){0};
    if (inet_pton(AF_INET, s->address, &in4->sin_addr) == 1) {
        in4->sin_family = AF_INET;
        in4->sin_port = htons((uint16_t)s->port);
        return sizeof *in4;
    }
    if (inet_pton(AF_INET6, s->address, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)s->port);
        return sizeof *in6;
    }
    return 0;
}

static enum tg_err listen_bad(const struct settings *s, const char *what, char *problem)
{
    snprintf(problem, SETTINGS_PROBLEM, "%s: address: cannot listen on %s port %u: %s", s->path,
             s->address, s->port, what);
    return TG_SYSTEM;
}

static enum tg_err listen_open(struct server *server, char *problem)
{
    const struct settings *s = &server->setup->settings;
    struct sockaddr_storage address;
    socklen_t len = address_make(s, &address);
    const int on = 1, off = 0;
    if (len == 0)
        return listen_bad(s, "it is no IPv4 or IPv6 address", problem);
    int fd = socket(address.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return listen_bad(s, strerror(errno), problem);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.ss_family == AF_INET6) /* "::" takes IPv4 as well, whatever the system's default */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)&address, len) != 0 || listen(fd, 64) != 0) {
        enum tg_err err = listen_bad(s, strerror(errno), problem);
        close(fd);
        return err;
    }
    server->listen_fd = fd;
    return TG_OK;
}

enum tg_err server_create(struct setup *setup, struct server **out, char problem[SETTINGS_PROBLEM])
{
    struct server *server = calloc(1, sizeof *server);
    enum tg_err err = TG_NO_MEMORY;
    snprintf(problem, SETTINGS_PROBLEM, "no memory");
    if (!server)
        return err;
    server->setup = setup;
    server->listen_fd = -1;
    server->limit = setup->settings.connections;
    server->links = calloc(server->limit, sizeof *server->links);
    server->polls = calloc(server->limit + 1, sizeof *server->polls);
    if (server->links && server->polls)
        err = listen_open(server, problem);
    if (err == TG_OK) {
        *out = server;
        return TG_OK;
    }
    server->setup = NULL;
    server_destroy(server);
    return err;
}

void server_destroy(struct server *server)
{
    if (!server)
        return;
    while (server->count > 0)
        link_close(&server->links[--server->count]);
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    setup_destroy(server->setup);
    free(server->links);
    free(server->polls);
    free(server);
}

unsigned server_port(const struct server *server)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    if (getsockname(server->listen_fd, (struct sockaddr *)&address, &len) != 0)
        return 0;
    return ntohs(address.ss_family == AF_INET
                     ? ((struct sockaddr_in *)(void *)&address)->sin_port
                     : ((struct sockaddr_in6 *)(void *)&address)->sin6_port);
}

unsigned server_connections(const struct server *server)
{
    return server->count;
}

/* --- connections ------------------------------------------------------------------------------- */

static void peer_name(const struct sockaddr_storage *address, char out[64])
{
    char text[INET6_ADDRSTRLEN] = "?";
    const struct sockaddr_in *in4 = (const void *)address;
    const struct sockaddr_in6 *in6 = (const void *)address;
    bool is4 = address->ss_family == AF_INET;
    inet_ntop(address->ss_family,
              is4 ? (const void *)&in4->sin_addr : (const void *)&in6->sin6_addr, text,
              sizeof text);
    snprintf(out, 64, "%s port %u", text, ntohs(is4 ? in4->sin_port : in6->sin6_port));
}

static void link_remove(struct server *server, unsigned i)
{
    link_close(&server->links[i]);
    server->count--;
    if (i != server->count)
        server->links[i] = server->links[server->count];
}

/* Room for one more: a stranger's unfinished handshake gives way, never an edge that is here. */
static bool room_make(struct server *server, tg_ns now)
{
    unsigned oldest = server->count;
    if (server->count < server->limit)
        return true;
    for (unsigned i = 0; i < server->count; i++)
        if (server->links[i].state == LINK_HANDSHAKE &&
            (oldest == server->count || server->links[i].deadline < server->links[oldest].deadline))
            oldest = i;
    if (oldest < server->count) {
        link_remove(server, oldest);
        return true;
    }
    if (server->full_said_at == 0 || now - server->full_said_at > TG_S) {
        log_warn("%u connections are here, no more are taken (connections)", server->count);
        server->full_said_at = now;
    }
    return false;
}

static void accept_all(struct server *server, tg_ns now)
{
    const int on = 1;
    for (unsigned i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof address;
        char peer[64];
        int fd = accept4(server->listen_fd, (struct sockaddr *)&address, &len,
                         SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        if (!room_make(server, now)) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        peer_name(&address, peer);
        if (link_open(&server->links[server->count], server->setup, fd, peer, now) == TG_OK)
            server->count++;
    }
}

/* --- the loop ---------------------------------------------------------------------------------- */

/* Fill in what to wait for; returns for how long at most. */
static int polls_make(struct server *server, int timeout_ms, tg_ns now)
{
    for (unsigned i = 0; i < server->count; i++) {
        const struct link *link = &server->links[i];
        server->polls[i] = (struct pollfd){.fd = link->fd, .events = link_events(link)};
        tg_ns left = link->busy || link->deadline <= now ? 0 : link->deadline - now;
        if (timeout_ms < 0 || left / TG_MS < (tg_ns)timeout_ms)
            timeout_ms = link->busy ? 0 : (int)(left / TG_MS) + 1;
    }
    server->polls[server->count] = (struct pollfd){.fd = server->listen_fd, .events = POLLIN};
    return timeout_ms;
}

void server_turn(struct server *server, int timeout_ms, const void *mask)
{
    unsigned count = server->count;
    timeout_ms = polls_make(server, timeout_ms, clock_read(CLOCK_MONOTONIC));
    struct timespec wait = {timeout_ms / 1000, timeout_ms % 1000 * 1000000L};
    int ready = ppoll(server->polls, count + 1, timeout_ms < 0 ? NULL : &wait, mask);
    tg_ns now = clock_read(CLOCK_MONOTONIC);
    uint64_t wall_ns = clock_read(CLOCK_REALTIME);
    /* from the end, because a link that goes is replaced by the last one */
    for (unsigned i = count; i-- > 0;) {
        struct link *link = &server->links[i];
        bool event = ready > 0 && server->polls[i].revents;
        if (event || link->busy || link->state == LINK_DRAIN || now >= link->deadline)
            link_step(link, server->setup, now, wall_ns);
        if (link->state == LINK_OVER)
            link_remove(server, i);
    }
    if (ready > 0 && server->listen_fd >= 0 && server->polls[count].revents)
        accept_all(server, now);
    audit_flush(&server->setup->audit, now);
}

void server_use(struct server *server, struct setup *setup)
{
    struct setup *old = server->setup;
    server->setup = setup;
    for (unsigned i = 0; i < server->count; i++)
        link_rebind(&server->links[i], setup);
    setup_destroy(old);
}

bool server_drain(struct server *server)
{
    if (server->listen_fd >= 0)
        close(server->listen_fd);
    server->listen_fd = -1;
    for (unsigned i = server->count; i-- > 0;) {
        link_drain(&server->links[i]);
        if (server->links[i].state == LINK_OVER)
            link_remove(server, i);
    }
    return server->count == 0;
}
