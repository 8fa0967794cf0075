/* SPDX-License-Identifier: BSD-3-Clause
 * tgctl origin audit: can an origin be reached past the edge? tgctl itself tries, from where it is run: nobody's view
 * of the network but the caller's counts. One GET, over TLS without a client certificate where the origin has TLS.
 * What is asked, and what an answer means:
 *
 *   no connection, or no answer in time            closed
 *   TLS ends with an alert, or breaks off          closed
 *   over TLS: 400 or 403 that speaks of a certificate (nginx), 496   closed
 *   any other HTTP answer                          open
 *   connected, and something else than HTTP came   open: the port can be reached
 */
#include "ctrlplane/cli/commands.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BODY_KEPT 4096

struct probe {
    char body[BODY_KEPT + 1]; /* what came first of it */
    size_t len;
};

struct verdict {
    bool open;
    char why[CURL_ERROR_SIZE + 64];
};

static size_t body_take(char *bytes, size_t one, size_t n, void *arg)
{
    struct probe *probe = arg;
    size_t room = BODY_KEPT - probe->len, take = n < room ? n : room;
    memcpy(probe->body + probe->len, bytes, take);
    probe->len += take;
    return one * n;
}

static void judge_status(const struct probe *probe, bool tls, long status, struct verdict *v)
{
    bool speaks = strcasestr(probe->body, "certificate") != NULL;
    v->open = !(tls && (status == 496 || ((status == 400 || status == 403) && speaks)));
    snprintf(v->why, sizeof v->why,
             v->open ? "answers %ld%s" : "answers %ld: it wants a client certificate%s", status,
             v->open && tls ? " without a client certificate" : "");
}

static void judge_failure(CURLcode code, bool connected, const char *said, bool tls,
                          struct verdict *v)
{
    v->open = connected && !tls;
    if (!connected)
        snprintf(v->why, sizeof v->why, "%s",
                 code == CURLE_OPERATION_TIMEDOUT ? "no connection in time" : "no connection");
    else if (tls)
        snprintf(v->why, sizeof v->why, "TLS refused: %s",
                 said[0] ? said : curl_easy_strerror(code));
    else if (code == CURLE_OPERATION_TIMEDOUT)
        snprintf(v->why, sizeof v->why, "accepts connections, and answers nothing");
    else
        snprintf(v->why, sizeof v->why, "accepts connections: %s",
                 said[0] ? said : curl_easy_strerror(code));
}

static bool probe_run(const char *address, long port, bool tls, const char *host, long timeout_ms,
                      struct verdict *v)
{
    struct probe probe = {0};
    char url[128], said[CURL_ERROR_SIZE] = "", header[300];
    CURL *curl = curl_easy_init();
    if (!curl)
        return false;
    snprintf(url, sizeof url, strchr(address, ':') ? "%s://[%s]:%ld/" : "%s://%s:%ld/",
             tls ? "https" : "http", address, port);
    snprintf(header, sizeof header, "Host: %.253s", host ? host : "");
    struct curl_slist *headers = host ? curl_slist_append(NULL, header) : NULL;
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L); /* an attacker does not care who answers */
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, said);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, body_take);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &probe);
    CURLcode code = curl_easy_perform(curl);
    long status = 0;
    curl_off_t connect_us = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_CONNECT_TIME_T, &connect_us);
    if (status)
        judge_status(&probe, tls, status, v);
    else
        judge_failure(code, connect_us > 0, said, tls, v);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return true;
}

/* Fill in "verdict" and "why" of one origin; *open counts. */
static bool origin_probe(json_t *origin, long timeout_ms, unsigned *open)
{
    struct verdict v;
    if (!probe_run(json_string_value(json_object_get(origin, "address")),
                   (long)json_integer_value(json_object_get(origin, "port")),
                   json_is_true(json_object_get(origin, "tls")),
                   json_string_value(json_object_get(origin, "server_name")), timeout_ms, &v))
        return false;
    *open += v.open;
    json_object_set_new(origin, "verdict", json_string(v.open ? "OPEN" : "closed"));
    json_object_set_new(origin, "why", json_string(v.why));
    return true;
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
    if (timeout_ms < 1 || !args_value(args, "--address") != !args_value(args, "--port") ||
        (name && args_value(args, "--address"))) {
        fprintf(
            stderr,
            "tgctl: give NAME, or --address with --port, or neither; --timeout in milliseconds\n");
        return TGCTL_USAGE;
    }
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
