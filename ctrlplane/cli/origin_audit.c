/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl origin audit: can an origin be reached past the edge? tgctl itself tries, from where it is run: nobody's view
 * of the network but the caller's counts. One GET, over TLS with the origin's name but without a client certificate
 * where the origin has TLS. What is asked, and what an answer means:
 *
 *   no connection                                                    closed
 *   TLS ends with an alert about certificates, or breaks off         closed
 *   over TLS: 400 or 403 that speaks of a certificate (nginx), 496   closed
 *   any other HTTP answer                                            open
 *   connected, and something else than HTTP or TLS came, or nothing  open: the port can be reached
 *   TLS fails otherwise: no answer in time, an alert that is about a name or a version     unclear: who asks in
 *                                                                    another way may get in; counts as open
 */
#include "ctrlplane/cli/commands.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define BODY_KEPT 4096
#define LOOKS_MAX 3

struct probe {
    char body[BODY_KEPT + 1]; /* what came first of it */
    size_t len;
    bool connected; /* the last socket was, when it was closed */
};

enum way { WAY_CLOSED, WAY_OPEN, WAY_UNCLEAR };

struct verdict {
    enum way way;
    char why[CURL_ERROR_SIZE + 64];
};

/* What is tried. */
struct attempt {
    const char *address;
    long port;
    bool tls;
    const char *name; /* SNI and Host; NULL: none */
    long timeout_ms;
};

static size_t body_take(char *bytes, size_t one, size_t n, void *arg)
{
    struct probe *probe = arg;
    size_t room = BODY_KEPT - probe->len, take = n < room ? n : room;
    memcpy(probe->body + probe->len, bytes, take);
    probe->len += take;
    return one * n;
}

/* libcurl tells no time of connecting when TLS fails; the socket itself knows. */
static int socket_close(void *arg, curl_socket_t socket)
{
    struct probe *probe = arg;
    struct sockaddr_storage peer;
    socklen_t len = sizeof peer;
    probe->connected = getpeername(socket, (struct sockaddr *)&peer, &len) == 0;
    return close(socket);
}

static void judge_status(const struct probe *probe, bool tls, long status, struct verdict *v)
{
    bool speaks = strcasestr(probe->body, "certificate") != NULL;
    bool wants = tls && (status == 496 || ((status == 400 || status == 403) && speaks));
    v->way = wants ? WAY_CLOSED : WAY_OPEN;
    snprintf(v->why, sizeof v->why,
             wants ? "answers %ld: it wants a client certificate%s" : "answers %ld%s", status,
             !wants && tls ? " without a client certificate" : "");
}

static bool says_any(const char *said, const char *const texts[])
{
    for (; *texts; texts++)
        if (strcasestr(said, *texts))
            return true;
    return false;
}

/* TLS failed on a connection that was there. Only what an attacker cannot help closes the origin: an alert for want
 * of a certificate that is trusted (RFC 8446 s6.2; TLS 1.2 has handshake_failure for it), or no word at all. */
static enum way judge_tls(CURLcode code, const char *said)
{
    static const char *const certificate[] = {"certificate", "unknown ca", "access denied",
                                              "handshake failure", NULL};
    static const char *const broke[] = {"reset", "syscall", "unexpected eof", "broken pipe", NULL};
    if (strcasestr(said, "alert"))
        return says_any(said, certificate) ? WAY_CLOSED : WAY_UNCLEAR;
    if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_GOT_NOTHING)
        return WAY_UNCLEAR;
    return says_any(said, broke) ? WAY_CLOSED : WAY_UNCLEAR;
}

static void judge_failure(CURLcode code, bool connected, const char *said, bool tls,
                          struct verdict *v)
{
    said = said[0] ? said : curl_easy_strerror(code);
    v->way = !connected ? WAY_CLOSED : tls ? judge_tls(code, said) : WAY_OPEN;
    if (!connected)
        snprintf(v->why, sizeof v->why, "%s",
                 code == CURLE_OPERATION_TIMEDOUT ? "no connection in time" : "no connection");
    else if (tls)
        snprintf(v->why, sizeof v->why,
                 v->way == WAY_CLOSED ? "TLS refused: %s"
                                      : "TLS fails, but not for want of a "
                                        "certificate: %s",
                 said);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(v->why, sizeof v->why, "accepts connections, and answers nothing");
    else
        snprintf(v->why, sizeof v->why, "accepts connections: %s", said);
}

/* The URL has the name, so that it goes into SNI; the connection goes to the address whatever DNS says. */
static void attempt_url(const struct attempt *a, char url[512], char connect_to[128])
{
    unsigned char bytes[16];
    const char *scheme = a->tls ? "https" : "http";
    bool named = a->name && inet_pton(AF_INET, a->name, bytes) != 1 &&
                 inet_pton(AF_INET6, a->name, bytes) != 1;
    bool six = strchr(a->address, ':') != NULL;
    snprintf(connect_to, 128, six ? "::[%s]:%ld" : "::%s:%ld", a->address, a->port);
    if (named)
        snprintf(url, 512, "%s://%.253s:%ld/", scheme, a->name, a->port);
    else
        snprintf(url, 512, six ? "%s://[%s]:%ld/" : "%s://%s:%ld/", scheme, a->address, a->port);
}

/* What is there but no TLS; texts of several versions of OpenSSL. */
static bool speaks_no_tls(const char *said)
{
    static const char *const texts[] = {"wrong version number", "packet length too long",
                                        "http request", NULL};
    return says_any(said, texts);
}

static void attempt_set(CURL *curl, const struct attempt *a, struct probe *probe, char *said)
{
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* an attacker does not care who answers */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, a->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, said);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, probe);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETFUNCTION, socket_close);
    curl_easy_setopt(curl, CURLOPT_CLOSESOCKETDATA, probe);
}

static bool probe_run(const struct attempt *a, struct verdict *v)
{
    struct probe probe = {0};
    char url[512], connect_to[128], said[CURL_ERROR_SIZE] = "", header[300];
    CURL *curl = curl_easy_init();
    if (!curl)
        return false;
    attempt_url(a, url, connect_to);
    snprintf(header, sizeof header, "Host: %.253s", a->name ? a->name : "");
    struct curl_slist *headers = a->name ? curl_slist_append(NULL, header) : NULL;
    struct curl_slist *to = curl_slist_append(NULL, connect_to);
    attempt_set(curl, a, &probe, said);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CONNECT_TO, to);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(headers);
    curl_slist_free_all(to);
    curl_easy_cleanup(curl);
    bool connected =
        code == CURLE_OPERATION_TIMEDOUT ? probe.connected : code != CURLE_COULDNT_CONNECT;
    if (!status && a->tls && connected && speaks_no_tls(said)) {
        struct attempt plain = *a;
        plain.tls = false;
        return probe_run(&plain, v);
    }
    if (status)
        judge_status(&probe, a->tls, status, v);
    else
        judge_failure(code, connected, said, a->tls, v);
    return true;
}

/* Fill in "verdict" and "why" of one origin; *open counts what is not closed. */
static bool origin_probe(json_t *origin, long timeout_ms, unsigned *open)
{
    static const char *const names[] = {"closed", "OPEN", "unclear"};
    const struct attempt attempt = {
        .address = json_string_value(json_object_get(origin, "address")),
        .port = (long)json_integer_value(json_object_get(origin, "port")),
        .tls = json_is_true(json_object_get(origin, "tls")),
        .name = json_string_value(json_object_get(origin, "server_name")),
        .timeout_ms = timeout_ms,
    };
    struct verdict v = {.way = WAY_UNCLEAR};
    /* a reset can overtake the alert that explains it: then another look */
    for (unsigned look = 0; look < LOOKS_MAX && v.way == WAY_UNCLEAR; look++)
        if (!probe_run(&attempt, &v))
            return false;
    *open += v.way != WAY_CLOSED;
    json_object_set_new(origin, "verdict", json_string(names[v.way]));
    json_object_set_new(origin, "why", json_string(v.why));
    return true;
}

/* The command line says it all, or names an origin, or means all of them. A typing error must never end as "closed". */
static bool audit_words_good(const struct arg args[], const char *name, long timeout_ms)
{
    unsigned char bytes[16];
    const char *address = args_value(args, "--address"), *port = args_value(args, "--port");
    bool good = timeout_ms >= 1 && !address == !port && !(name && address);
    if (address && good)
        good = inet_pton(strchr(address, ':') ? AF_INET6 : AF_INET, address, bytes) == 1 &&
               port[strspn(port, "0123456789")] == 0 && strtol(port, NULL, 10) >= 1 &&
               strtol(port, NULL, 10) <= 65535;
    if (!good)
        fprintf(stderr, "tgctl: give NAME, or --address IP with --port, or neither; --timeout in "
                        "milliseconds\n");
    return good;
}

/* What to look at: one that is described on the command line, one by name, or all. */
static enum exit_code origins_find(const struct client *client, const struct arg args[],
                                   const char *name, json_t **out)
{
    char path[1024] = "/v1/origins";
    const char *address = args_value(args, "--address");
    if (address) {
        json_t *one =
            json_pack("{s:s, s:b}", "address", address, "tls", args_value(args, "--tls") != NULL);
        command_set_number_or_string(one, "port", args_value(args, "--port"));
        command_set_string(one, "server_name", args_value(args, "--server-name"));
        *out = json_pack("[o]", one);
        return TGCTL_OK;
    }
    if (name && !client_segment_add(path, sizeof path, name))
        return TGCTL_USAGE;
    enum exit_code code = client_call(client, "GET", path, NULL, out);
    if (code == TGCTL_OK && name)
        *out = json_pack("[o]", *out);
    return code;
}

enum exit_code command_origin_audit(const struct client *client, int argc, char **argv)
{
    static const struct column columns[] = {{"NAME", "name", "-"},
                                            {"ADDRESS", "address", NULL},
                                            {"PORT", "port", NULL},
                                            {"TLS", "tls", "-"},
                                            {"VERDICT", "verdict", NULL},
                                            {"WHY", "why", NULL},
                                            {0}};
    struct arg args[] = {
        {.name = "--address"},     {.name = "--port"},    {.name = "--tls", .is_flag = true},
        {.name = "--server-name"}, {.name = "--timeout"}, {0}};
    const char *name = NULL;
    json_t *origins, *origin;
    unsigned open = 0;
    size_t i;
    if (!args_read(argc, argv, args, &name, 0, 1))
        return TGCTL_USAGE;
    const char *timeout = args_value(args, "--timeout");
    long timeout_ms = timeout ? strtol(timeout, NULL, 10) : 3000;
    if (!audit_words_good(args, name, timeout_ms))
        return TGCTL_USAGE;
    enum exit_code code = origins_find(client, args, name, &origins);
    if (code != TGCTL_OK)
        return code;
    json_array_foreach(origins, i, origin) if (!origin_probe(origin, timeout_ms, &open)) code =
        TGCTL_REFUSED;
    if (!command_print_json(client, origins))
        table_print(stdout, origins, columns);
    json_decref(origins);
    return code == TGCTL_OK && open ? TGCTL_OPEN : code;
}
