/* SPDX-License-Identifier: BSD-3-Clause
 * One thread, poll, HTTP/1.1 with keep-alive; watches as chunked streams. See fake_etcd.h. Test code.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/fake_etcd_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS  32
#define BODY_MAX (8u << 20)
#define STEP_MS  1

struct client {
    int fd; /* -1: free */
    char *in;
    size_t in_len;
    bool watching;
    int64_t seen; /* revision that the watch has brought */
};

static struct client *clients_new(void)
{
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    for (unsigned i = 0; i < CLIENTS; i++)
        clients[i].fd = -1;
    return clients;
}

static void client_close(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    free(c->in);
    *c = (struct client){.fd = -1};
}

/* All of it, in pieces where the test wants them. The descriptor is non-blocking; the client reads in another
 * thread. */
static void client_send(struct fake_etcd *e, struct client *c, const char *bytes, size_t len)
{
    unsigned piece = atomic_load(&e->piece);
    while (len > 0 && c->fd >= 0 && !atomic_load(&e->stop)) {
        size_t n = piece && piece < len ? piece : len;
        ssize_t sent = send(c->fd, bytes, n, MSG_NOSIGNAL);
        if (sent > 0) {
            bytes += sent;
            len -= (size_t)sent;
            if (piece)
                nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
        } else if (errno != EAGAIN ||
                   poll(&(struct pollfd){.fd = c->fd, .events = POLLOUT}, 1, 1000) <= 0) {
            client_close(c);
        }
    }
}

static void answer_send(struct fake_etcd *e, struct client *c, const char *status, const char *type,
                        const char *body)
{
    char head[256];
    int n = snprintf(head, sizeof head,
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n\r\n", status, type,
                     strlen(body));
    client_send(e, c, head, (size_t)n);
    client_send(e, c, body, strlen(body));
}

static void chunk_send(struct fake_etcd *e, struct client *c, const char *text)
{
    char head[32];
    int n = snprintf(head, sizeof head, "%zx\r\n", strlen(text));
    client_send(e, c, head, (size_t)n);
    client_send(e, c, text, strlen(text));
    client_send(e, c, "\r\n", 2);
}

/* --- watches --------------------------------------------------------------------------------------- */

/* {"result": ...} and a newline. */
static void line_send(struct fake_etcd *e, struct client *c, json_t *result)
{
    json_t *line = json_pack("{s:o}", "result", result);
    char *text = json_dumps(line, JSON_COMPACT);
    size_t len = strlen(text);
    text = realloc(text, len + 2);
    memcpy(text + len, "\n", 2);
    chunk_send(e, c, text);
    free(text);
    json_decref(line);
}

/* A fault that happens once. */
static bool watch_fault_take(struct fake_etcd *e, enum fake_etcd_watch fault)
{
    int expected = (int)fault;
    return atomic_compare_exchange_strong(&e->watch_fault, &expected, WATCH_GOOD);
}

static void watch_begin(struct fake_etcd *e, struct client *c, const json_t *request)
{
    const json_t *create = json_object_get(request, "create_request");
    const char *start = json_string_value(json_object_get(create, "start_revision"));
    static const char head[] =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    atomic_fetch_add(&e->watches, 1);
    client_send(e, c, head, sizeof head - 1);
    if (atomic_load(&e->watch_fault) == WATCH_NEVER_BEGINS)
        return;
    c->watching = true;
    c->seen = strtoll(start, NULL, 10) - 1;
    json_t *created =
        json_pack("{s:o, s:b}", "header", fake_etcd_header(e, e->revision), "created", true);
    line_send(e, c, created);
    if (watch_fault_take(e, WATCH_COMPACTED)) {
        line_send(e, c,
                  json_pack("{s:o, s:b, s:s}", "header", fake_etcd_header(e, 0), "canceled", true,
                            "compact_revision", "99"));
        c->watching = false;
    }
}

static void watch_misbehave(struct fake_etcd *e, struct client *c)
{
    if (watch_fault_take(e, WATCH_BAD_LINE))
        chunk_send(e, c, "{\"result\":{\"header\n");
    if (watch_fault_take(e, WATCH_ERROR_LINE))
        chunk_send(e, c,
                   "{\"error\":{\"grpc_code\":14,\"http_code\":503,\"message\":\"etcdserver: no "
                   "leader\",\"http_status\":\"Service Unavailable\"}}\n");
    if (watch_fault_take(e, WATCH_BAD_BASE64))
        line_send(e, c,
                  json_pack("{s:o, s:[{s:{s:s, s:s, s:s}}]}", "header",
                            fake_etcd_header(e, e->revision + 1), "events", "kv", "key", "?!",
                            "mod_revision", "999", "value", "e30="));
}

static void watch_feed(struct fake_etcd *e, struct client *c)
{
    int64_t last;
    json_t *events;
    watch_misbehave(e, c);
    while ((events = fake_etcd_events(e, c->seen, &last)) != NULL) {
        int fault = atomic_load(&e->watch_fault);
        c->seen = last;
        int64_t shown = fault == WATCH_BACKWARDS ? 1 : e->revision;
        json_t *result =
            json_pack("{s:o, s:O}", "header", fake_etcd_header(e, shown), "events", events);
        if (fault != WATCH_SILENT)
            line_send(e, c, result);
        else
            json_decref(result);
        if (fault == WATCH_STALE)
            line_send(e, c,
                      json_pack("{s:o, s:O}", "header", fake_etcd_header(e, e->revision), "events",
                                events));
        json_decref(events);
    }
}

/* --- requests -------------------------------------------------------------------------------------- */

/* True: the fault was the answer. */
static bool fault_answer(struct fake_etcd *e, struct client *c, int fault)
{
    static const struct {
        const char *status, *type, *body;
    } answers[] = {
        [ETCD_ERROR_500] = {"500 Internal Server Error", "text/plain", "oh dear\n"},
        [ETCD_NO_LEADER] = {"503 Service Unavailable", "application/json",
                            "{\"error\":\"etcdserver: no leader\",\"message\":\"etcdserver: no "
                            "leader\",\"code\":14}"},
        [ETCD_NO_SPACE] = {"429 Too Many Requests", "application/json",
                           "{\"error\":\"etcdserver: mvcc: database space exceeded\","
                           "\"code\":8}"},
        [ETCD_NOT_ETCD] = {"404 Not Found", "text/html", "<html>nothing here</html>"},
        [ETCD_GARBAGE] = {"200 OK", "application/json", "{\"header\":{\"revi"},
        [ETCD_WRONG_JSON] = {"200 OK", "application/json",
                             "{\"header\":{\"revision\":\"-5\"},\"kvs\":7,\"succeeded\":\"yes\"}"},
        [ETCD_CLOSE] = {NULL, NULL, NULL},
    };
    if (fault == ETCD_GOOD || fault == ETCD_LATE_CLOSE)
        return false;
    if (fault == ETCD_CLOSE)
        client_close(c);
    else if (fault != ETCD_HANG)
        answer_send(e, c, answers[fault].status, answers[fault].type, answers[fault].body);
    return true;
}

static void json_answer(struct fake_etcd *e, struct client *c, json_t *answer, int fault)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    if (fault == ETCD_LATE_CLOSE)
        client_close(c);
    else
        answer_send(e, c, "200 OK", "application/json", text);
    free(text);
    json_decref(answer);
}

static void request_serve(struct fake_etcd *e, struct client *c, const char *path,
                          const json_t *request)
{
    bool write = strcmp(path, "/v3/kv/txn") == 0;
    int fault =
        atomic_load(write && atomic_load(&e->fault) == ETCD_GOOD ? &e->fault_write : &e->fault);
    if (write)
        atomic_fetch_add(&e->writes, 1);
    if (fault_answer(e, c, fault))
        return;
    if (strcmp(path, "/v3/kv/range") == 0) {
        bool audit = json_is_true(json_object_get(request, "keys_only"));
        atomic_fetch_add(audit ? &e->audits : &e->lists, 1);
        json_answer(e, c, fake_etcd_range(e, request), fault);
    } else if (write) {
        json_answer(e, c, fake_etcd_txn(e, request), fault);
    } else if (strcmp(path, "/v3/watch") == 0) {
        watch_begin(e, c, request);
    } else {
        answer_send(e, c, "404 Not Found", "text/plain", "Not Found\n");
    }
}

/* One whole request in the buffer? */
static bool request_take(struct fake_etcd *e, struct client *c)
{
    char *end = c->in ? strstr(c->in, "\r\n\r\n") : NULL;
    char *length = end ? strcasestr(c->in, "content-length:") : NULL;
    if (!length || length > end)
        return false;
    size_t head = (size_t)(end - c->in) + 4, body = strtoul(length + 15, NULL, 10);
    if (c->in_len < head + body)
        return false;
    char path[64] = "";
    sscanf(c->in, "POST %63s", path);
    json_t *request = json_loadb(c->in + head, body, 0, NULL);
    memmove(c->in, c->in + head + body, c->in_len - head - body + 1);
    c->in_len -= head + body;
    pthread_mutex_lock(&e->lock);
    request_serve(e, c, path, request);
    pthread_mutex_unlock(&e->lock);
    json_decref(request);
    return c->fd >= 0;
}

static void client_read(struct fake_etcd *e, struct client *c)
{
    c->in = realloc(c->in, c->in_len + 65536 + 1);
    ssize_t n = recv(c->fd, c->in + c->in_len, 65536, MSG_DONTWAIT);
    if (n == 0 || c->in_len > BODY_MAX) {
        client_close(c);
        return;
    }
    if (n < 0)
        return;
    c->in_len += (size_t)n;
    c->in[c->in_len] = 0;
    while (request_take(e, c))
        ;
}

static void client_accept(struct fake_etcd *e, struct client *clients)
{
    int fd = accept4(e->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;
    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].fd < 0) {
            clients[i].fd = fd;
            return;
        }
    }
    close(fd);
}

static void clients_serve(struct fake_etcd *e, struct client *clients)
{
    struct pollfd fds[CLIENTS + 1] = {{.fd = e->listen_fd, .events = POLLIN}};
    bool kick = atomic_exchange(&e->kick, false);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (kick)
            client_close(&clients[i]);
        fds[i + 1] = (struct pollfd){.fd = clients[i].fd, .events = POLLIN};
    }
    poll(fds, CLIENTS + 1, STEP_MS);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (clients[i].fd >= 0 && fds[i + 1].revents)
            client_read(e, &clients[i]);
        pthread_mutex_lock(&e->lock);
        if (clients[i].fd >= 0 && clients[i].watching)
            watch_feed(e, &clients[i]);
        pthread_mutex_unlock(&e->lock);
    }
    if (fds[0].revents)
        client_accept(e, clients);
}

static void *server_run(void *arg)
{
    struct fake_etcd *e = arg;
    struct client *clients = clients_new();
    while (!atomic_load(&e->stop))
        clients_serve(e, clients);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
    free(clients);
    return NULL;
}

/* On the port that it had, if it had one. */
void fake_etcd_up(struct fake_etcd *e)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)e->port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int one = 1;
    e->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(e->listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    assert_int_equal(bind(e->listen_fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    assert_int_equal(listen(e->listen_fd, 16), 0);
    getsockname(e->listen_fd, (struct sockaddr *)(void *)&address, &len);
    e->port = ntohs(address.sin_port);
    atomic_store(&e->stop, false);
    assert_int_equal(pthread_create(&e->thread, NULL, server_run, e), 0);
}

void fake_etcd_down(struct fake_etcd *e)
{
    atomic_store(&e->stop, true);
    pthread_join(e->thread, NULL);
    close(e->listen_fd);
}

void fake_etcd_start(struct fake_etcd *e)
{
    memset(e, 0, sizeof *e);
    memcpy(e->cluster, "111", 4);
    e->keys = json_object();
    e->history = json_array();
    e->revision = 1;
    pthread_mutex_init(&e->lock, NULL);
    fake_etcd_up(e);
}

void fake_etcd_stop(struct fake_etcd *e)
{
    if (!atomic_load(&e->stop))
        fake_etcd_down(e);
    pthread_mutex_destroy(&e->lock);
    json_decref(e->keys);
    json_decref(e->history);
}

void fake_etcd_url(const struct fake_etcd *e, char url[256])
{
    snprintf(url, 256, "http://127.0.0.1:%u", e->port);
}
