/* SPDX-License-Identifier: BSD-3-Clause
 * libcurl's multi interface on an epoll descriptor. See fleet_etcd_http.h.
 */
#include "ctrlplane/fleet_etcd_http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ROUNDS_MAX 16 /* of one http_run: a peer that floods us must not keep us here */

struct http {
    CURLM *multi;
    int epoll;
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    struct http *http = arg;
    struct epoll_event event = {.data.fd = fd};
    (void)easy;
    (void)known;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(http->epoll, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    event.events |= what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0;
    event.events |= what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0;
    if (epoll_ctl(http->epoll, EPOLL_CTL_MOD, fd, &event) != 0 && errno == ENOENT)
        epoll_ctl(http->epoll, EPOLL_CTL_ADD, fd, &event);
    return 0;
}

struct http *http_open(void)
{
    struct http *http = calloc(1, sizeof *http);
    tg_assert(http);
    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->multi = curl_multi_init();
    http->epoll = epoll_create1(EPOLL_CLOEXEC);
    tg_assert(http->multi && http->epoll >= 0);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    return http;
}

void http_close(struct http *http)
{
    curl_multi_cleanup(http->multi);
    close(http->epoll);
    free(http);
}

int http_fd(const struct http *http)
{
    return http->epoll;
}

int http_timeout_ms(const struct http *http)
{
    long ms = -1;
    curl_multi_timeout(http->multi, &ms);
    return ms > 1000 ? 1000 : (int)ms;
}

static size_t on_bytes(char *data, size_t size, size_t count, void *arg)
{
    struct http_request *r = arg;
    size_t n = size * count;
    if (n > HTTP_ANSWER_MAX - r->len)
        return 0; /* libcurl ends the request */
    if (r->len + n + 1 > r->cap) {
        size_t cap = r->cap ? r->cap : 4096;
        while (cap < r->len + n + 1)
            cap *= 2;
        r->bytes = realloc(r->bytes, cap);
        tg_assert(r->bytes);
        r->cap = cap;
    }
    memcpy(r->bytes + r->len, data, n);
    r->len += n;
    r->bytes[r->len] = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->status);
    return n;
}

static struct curl_slist *headers_make(void)
{
    static const char *const lines[] = {
        "Content-Type: application/json", "Expect:", /* no 100-continue: a round trip for nothing */
        "Grpc-Metadata-hasleader: true", /* a member cut off from its leader says so, and ends watches */
    };
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < TG_ARRAY_LEN(lines); i++)
        list = curl_slist_append(list, lines[i]);
    tg_assert(list);
    return list;
}

void http_post(struct http *http, struct http_request *r, const char *base, const char *path,
               char *body, long timeout_ms)
{
    char url[512];
    tg_assert(!r->easy);
    snprintf(url, sizeof url, "%s%s", base, path);
    *r = (struct http_request){.easy = curl_easy_init(), .headers = headers_make(), .body = body};
    tg_assert(r->easy);
    curl_easy_setopt(r->easy, CURLOPT_URL, url);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(r->easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_TCP_NODELAY, 1L);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(r->easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)HTTP_CONNECT_MS);
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    CURLMcode code = curl_multi_add_handle(http->multi, r->easy);
    tg_assert(code == CURLM_OK);
}

void http_stop(struct http *http, struct http_request *r)
{
    if (r->easy) {
        curl_multi_remove_handle(http->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    curl_slist_free_all(r->headers);
    free(r->body);
    free(r->bytes);
    *r = (struct http_request){0};
}

/* One request has come to its end. */
static void request_end(struct http_request *r, CURLcode code)
{
    long sent = 0;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &r->status);
    curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &sent);
    r->done = true;
    if (code == CURLE_OK) {
        r->result = HTTP_ANSWERED;
        return;
    }
    r->result = sent > 0 ? HTTP_BROKEN : HTTP_NOT_SENT;
    if (code == CURLE_WRITE_ERROR)
        snprintf(r->problem, sizeof r->problem, "the answer is longer than %u bytes",
                 HTTP_ANSWER_MAX);
    else
        snprintf(r->problem, sizeof r->problem, "%s%.150s",
                 sent > 0 ? "the connection broke: " : "", curl_easy_strerror(code));
}

static void ended_collect(struct http *http)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        char *private = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result; /* the message goes with its handle */
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &private);
        request_end((struct http_request *)(void *)private, code);
    }
}

void http_run(struct http *http)
{
    int running;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        struct epoll_event events[8];
        int n = epoll_wait(http->epoll, events, TG_ARRAY_LEN(events), 0);
        for (int i = 0; i < n; i++) {
            int mask = events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0;
            mask |= events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
            mask |= events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
            curl_multi_socket_action(http->multi, events[i].data.fd, mask, &running);
        }
        bool due = http_timeout_ms(http) == 0;
        if (due)
            curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
        if (n <= 0 && !due)
            break;
    }
    ended_collect(http);
}

bool http_line(struct http_request *r, size_t *offset, struct span *line)
{
    const char *start = r->bytes ? r->bytes + *offset : NULL;
    const char *newline = start ? memchr(start, '\n', r->len - *offset) : NULL;
    if (newline) {
        *line = span_make(start, (size_t)(newline - start));
        *offset += line->len + 1;
        return true;
    }
    if (*offset > 0) {
        memmove(r->bytes, start, r->len - *offset);
        r->len -= *offset;
        *offset = 0;
    }
    return false;
}
