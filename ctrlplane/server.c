/* SPDX-License-Identifier: BSD-3-Clause
 * libmicrohttpd around api_handle: collects bodies up to a limit, prints JSON.
 */
#include "ctrlplane/server.h"

#include "ctrlplane/api.h"

#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX      64
#define IDLE_TIMEOUT_S       60
#define BODY_REFUSED_AT_ONCE (64ull << 20) /* above this not even read to its end */

struct server {
    struct MHD_Daemon *daemon;
    struct control *control;
};

/* One request whose body arrives. */
struct upload {
    char *body;
    size_t len, cap;
    bool too_big;
};

static void secret_free(char *bytes, size_t len)
{
    if (bytes)
        explicit_bzero(bytes, len); /* may hold a private key */
    free(bytes);
}

/* More bytes of the body. A body over the limit is read to its end, and forgotten: a client that
 * still writes would not see the answer. */
static void upload_add(struct upload *u, const char *data, size_t len)
{
    if (u->too_big || len > SERVER_BODY_MAX - u->len) {
        u->too_big = true;
        return;
    }
    if (u->len + len > u->cap) {
        size_t cap = u->cap ? u->cap : 4096;
        while (cap < u->len + len)
            cap *= 2;
        char *grown = malloc(cap);
        tg_assert(grown);
        if (u->len)
            memcpy(grown, u->body, u->len);
        secret_free(u->body, u->len);
        u->body = grown;
        u->cap = cap;
    }
    memcpy(u->body + u->len, data, len);
    u->len += len;
}

static enum MHD_Result query_add(void *arg, enum MHD_ValueKind kind, const char *name,
                                 const char *value)
{
    struct api_request *request = arg;
    (void)kind;
    if (request->query_count < API_QUERY_MAX) {
        request->query[request->query_count].name = name;
        request->query[request->query_count].value = value ? value : "";
    }
    request->query_count++;
    return MHD_YES;
}

static enum MHD_Result response_queue(struct MHD_Connection *connection,
                                      const struct api_response *r)
{
    char *text = json_dumps(r->body, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    tg_assert(text);
    size_t len = strlen(text);
    text[len++] = '\n'; /* over the NUL: nobody reads it as a string */
    struct MHD_Response *response =
        MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE);
    const char *type = r->status >= 400 ? "application/problem+json" : "application/json";
    MHD_add_response_header(response, "Content-Type", type);
    if (r->allow)
        MHD_add_response_header(response, "Allow", r->allow);
    if (r->location[0])
        MHD_add_response_header(response, "Location", r->location);
    if (r->generation) {
        char number[24];
        snprintf(number, sizeof number, "%llu", (unsigned long long)r->generation);
        MHD_add_response_header(response, "Tidegate-Generation", number);
    }
    if (r->fleet_revision) {
        char number[24];
        snprintf(number, sizeof number, "%lld", (long long)r->fleet_revision);
        MHD_add_response_header(response, "Tidegate-Fleet-Revision", number);
    }
    enum MHD_Result result = MHD_queue_response(connection, r->status, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result too_big_queue(struct MHD_Connection *connection)
{
    struct problem problem = {0};
    problem_set(&problem, 413, "too-big", "", "the body has more than %u bytes", SERVER_BODY_MAX);
    struct api_response response = {.status = 413, .body = problem_json(&problem)};
    enum MHD_Result result = response_queue(connection, &response);
    json_decref(response.body);
    return result;
}

static enum MHD_Result request_answer(struct server *server, struct MHD_Connection *connection,
                                      const char *url, const char *method,
                                      const struct upload *upload)
{
    struct api_request request = {
        .method = method, .path = url, .body = span_make(upload->body, upload->len)};
    MHD_get_connection_values(connection, MHD_GET_ARGUMENT_KIND, query_add, &request);
    struct api_response response;
    api_handle(server->control, &request, &response);
    enum MHD_Result result = response_queue(connection, &response);
    json_decref(response.body);
    return result;
}

/* A length that is announced and absurd is refused before its first byte. */
static bool length_absurd(struct MHD_Connection *connection)
{
    const char *text = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return text && strtoull(text, NULL, 10) > BODY_REFUSED_AT_ONCE;
}

/* libmicrohttpd calls this when the head is complete, for each piece of the body, and at its
 * end. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *connection, const char *url,
                                 const char *method, const char *version, const char *data,
                                 size_t *data_len, void **context)
{
    struct upload *upload = *context;
    (void)version;
    if (!upload) {
        if (length_absurd(connection))
            return too_big_queue(connection);
        *context = calloc(1, sizeof(struct upload));
        return *context ? MHD_YES : MHD_NO;
    }
    if (*data_len) {
        upload_add(upload, data, *data_len);
        *data_len = 0;
        return MHD_YES;
    }
    if (upload->too_big)
        return too_big_queue(connection);
    return request_answer(arg, connection, url, method, upload);
}

static void on_completed(void *arg, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code)
{
    struct upload *upload = *context;
    (void)arg;
    (void)connection;
    (void)code;
    if (upload)
        secret_free(upload->body, upload->len);
    free(upload);
    *context = NULL;
}

/* Decode %XX in place, save "%00": a NUL would cut the path, and another resource would answer. */
static size_t text_unescape(void *arg, struct MHD_Connection *connection, char *text)
{
    (void)arg;
    (void)connection;
    return strstr(text, "%00") ? strlen(text) : MHD_http_unescape(text);
}

struct server *server_start(struct control *control, int listen_fd, char problem[640])
{
    struct server *server = calloc(1, sizeof *server);
    tg_assert(server);
    server->control = control;
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_access, server,
                         MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_NOTIFY_COMPLETED,
                         on_completed, NULL, MHD_OPTION_UNESCAPE_CALLBACK, text_unescape, NULL,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_TIMEOUT_S,
                         MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_END);
    if (server->daemon)
        return server;
    snprintf(problem, 640, "the HTTP server of the API does not start");
    close(listen_fd);
    free(server);
    return NULL;
}

int server_fd(const struct server *server)
{
    return MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
}

int server_timeout_ms(const struct server *server)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (MHD_get_timeout(server->daemon, &ms) != MHD_YES)
        return -1;
    return ms > 1000 ? 1000 : (int)ms;
}

void server_run(struct server *server)
{
    MHD_run(server->daemon);
}

void server_stop(struct server *server)
{
    MHD_stop_daemon(server->daemon);
    free(server);
}
