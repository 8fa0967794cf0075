/* SPDX-License-Identifier: BSD-3-Clause
 * HTTP over the unix socket. See client.h.
 */
#include "ctrlplane/cli/client.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_BYTES_MAX (64u << 20)
#define TIMEOUT_S        120L /* a change waits for apply_timeout_ms, <= 60 s, at most twice */

struct answer {
    char *bytes;
    size_t len;
};

static size_t on_bytes(char *data, size_t size, size_t count, void *arg)
{
    struct answer *a = arg;
    size_t n = size * count;
    if (n > ANSWER_BYTES_MAX - a->len)
        return 0;
    char *grown = realloc(a->bytes, a->len + n + 1);
    if (!grown)
        return 0;
    memcpy(grown + a->len, data, n);
    a->bytes = grown;
    a->len += n;
    return n;
}

/* The problem of an answer, as two lines at most. */
static void problem_print(const json_t *problem, long status)
{
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    const char *pointer = json_string_value(json_object_get(problem, "pointer"));
    if (!detail)
        fprintf(stderr, "tgctl: refused with status %ld\n", status);
    else if (pointer)
        fprintf(stderr, "tgctl: %s: %s\n", pointer, detail);
    else
        fprintf(stderr, "tgctl: %s\n", detail);
}

static enum exit_code answer_take(const struct client *client, const struct answer *a, long status,
                                  json_t **out)
{
    json_t *value = json_loadb(a->bytes ? a->bytes : "", a->len, JSON_DECODE_ANY, NULL);
    if (!value) {
        fprintf(stderr,
                "tgctl: the answer is not JSON (status %ld): is %s the socket of tidegate-ctl?\n",
                status, client->socket);
        return TGCTL_REFUSED;
    }
    if (status < 300) {
        *out = value;
        return TGCTL_OK;
    }
    if (client->json) {
        json_dumpf(value, stdout, JSON_INDENT(2));
        putchar('\n');
    }
    problem_print(value, status);
    json_decref(value);
    return TGCTL_REFUSED;
}

static enum exit_code connect_failed(const struct client *client, CURLcode code, long os_error)
{
    if (code == CURLE_COULDNT_CONNECT && (os_error == EACCES || os_error == EPERM))
        fprintf(stderr,
                "tgctl: no right to use %s: run as root, or as a member of the group in the "
                "configuration\n",
                client->socket);
    else if (code == CURLE_COULDNT_CONNECT)
        fprintf(
            stderr,
            "tgctl: tidegate-ctl does not answer at %s: start it, or name its socket with -s or "
            "TIDEGATE_SOCKET\n",
            client->socket);
    else
        fprintf(stderr, "tgctl: the connection to %s failed: %s: is tidegate-ctl still running?\n",
                client->socket, curl_easy_strerror(code));
    return TGCTL_NO_CONNECTION;
}

enum exit_code client_call(const struct client *client, const char *method, const char *path,
                           json_t *body, json_t **answer)
{
    char url[4096 + 32];
    struct answer received = {0};
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    snprintf(url, sizeof url, "http://localhost%s", path);
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!curl || !headers) {
        fprintf(stderr, "tgctl: out of memory\n");
        exit(TGCTL_REFUSED);
    }
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, client->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, TIMEOUT_S);
    curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &received);
    if (text) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, text);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(text));
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    }
    CURLcode code = curl_easy_perform(curl);
    long status = 0, os_error = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &os_error);
    enum exit_code result = code == CURLE_OK ? answer_take(client, &received, status, answer)
                                             : connect_failed(client, code, os_error);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    free(received.bytes);
    free(text);
    return result;
}

static bool escaped_add(char *path, unsigned cap, const char *text)
{
    char *escaped = curl_easy_escape(NULL, text, 0);
    size_t n = strlen(path);
    bool fits = escaped && n + strlen(escaped) < cap;
    if (fits)
        memcpy(path + n, escaped, strlen(escaped) + 1);
    curl_free(escaped);
    return fits;
}

bool client_segment_add(char *path, unsigned cap, const char *segment)
{
    size_t n = strlen(path);
    if (n + 2 > cap)
        return false;
    memcpy(path + n, "/", 2);
    return escaped_add(path, cap, segment);
}

bool client_query_add(char *path, unsigned cap, const char *name, const char *value)
{
    if (!value)
        return true;
    size_t n = strlen(path), need = strlen(name) + 3;
    if (n + need > cap)
        return false;
    snprintf(path + n, cap - n, "%c%s=", strchr(path, '?') ? '&' : '?', name);
    return escaped_add(path, cap, value);
}
