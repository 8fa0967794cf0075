/* SPDX-License-Identifier: BSD-3-Clause
 * The API over its socket as clients see it: raw HTTP, and tgctl with its exit codes and output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ctrlplane/control_test_support.h"
#include "ctrlplane/server.h"
#include "tls/tls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int tgctl_main(int argc, char **argv); /* of cli/, which stands above: linked, not included */

struct fixture {
    struct place place;
    struct fake fake;
    struct control control;
    struct server *server;
    pthread_t thread;
    _Atomic bool stop;
};

static void *serve(void *arg)
{
    struct fixture *f = arg;
    struct pollfd fd = {.fd = server_fd(f->server), .events = POLLIN};
    while (!atomic_load(&f->stop)) {
        poll(&fd, 1, 5);
        control_tick(&f->control, control_now());
        server_run(f->server);
    }
    return NULL;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char problem[640] = "";
    place_make(&f->place);
    fake_start(&f->fake, &f->place, 2, 0x1111);
    assert_true(control_open(&f->control, &f->place.config, problem));
    int fd = server_listen(f->place.config.socket, -1, problem);
    if (fd < 0)
        fail_msg("%s", problem);
    f->server = server_start(&f->control, fd, problem);
    assert_non_null(f->server);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f), 0);
    fake_settle(&f->fake);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    server_stop(f->server);
    control_close(&f->control);
    fake_stop(&f->fake);
    place_remove(&f->place);
    free(f);
    return 0;
}

/* --- raw HTTP ------------------------------------------------------------ */

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)(void *)&address, sizeof address), 0);
    return fd;
}

/* Send head and `body_len` bytes of body, read to the end. The caller frees. */
static char *exchange(struct fixture *f, const char *head, size_t body_len)
{
    int fd = connect_to(f->place.config.socket);
    char *answer = calloc(1, 1 << 20), *body = malloc(body_len + 1);
    memset(body, ' ', body_len + 1);
    assert_int_equal(send(fd, head, strlen(head), MSG_NOSIGNAL), (ssize_t)strlen(head));
    for (size_t at = 0; at < body_len;) {
        ssize_t n = send(fd, body + at, body_len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    size_t len = 0;
    ssize_t n;
    while ((n = recv(fd, answer + len, (1 << 20) - 1 - len, 0)) > 0)
        len += (size_t)n;
    close(fd);
    free(body);
    return answer;
}

static void starts_with(char *answer, const char *start)
{
    if (strncmp(answer, start, strlen(start)) != 0)
        fail_msg("%.300s", answer);
    free(answer);
}

static void socket_has_mode_0660(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->place.config.socket, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
}

static void live_socket_is_refused_stale_one_replaced(void **state)
{
    struct fixture *f = *state;
    char problem[640], path[256];
    assert_int_equal(server_listen(f->place.config.socket, -1, problem), -1);
    assert_non_null(strstr(problem, "another tidegate-ctl answers there"));
    snprintf(path, sizeof path, "%s/stale.sock", f->place.directory);
    int fd = server_listen(path, -1, problem);
    assert_true(fd >= 0);
    close(fd); /* the file stays: as after a kill -9 */
    fd = server_listen(path, -1, problem);
    assert_true(fd >= 0);
    close(fd);
    snprintf(path, sizeof path, "%s/file", f->place.directory);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    assert_int_equal(server_listen(path, -1, problem), -1);
    assert_non_null(strstr(problem, "is not a socket"));
    assert_int_equal(server_listen("/nonexistent/directory/x.sock", -1, problem), -1);
    assert_non_null(strstr(problem, "cannot listen"));
}

static void heads_carry_the_right_fields(void **state)
{
    struct fixture *f = *state;
    char *a = exchange(f,
                       "PUT /v1/rules/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                       "Content-Length: 19\r\n\r\n{\"protocol\": \"tcp\"}",
                       0);
    assert_non_null(strstr(a, "HTTP/1.1 201 Created"));
    assert_non_null(strstr(a, "Location: /v1/rules/7\r\n"));
    assert_non_null(strstr(a, "Tidegate-Generation: 2\r\n"));
    assert_non_null(strstr(a, "Content-Type: application/json\r\n"));
    free(a);
    a = exchange(f, "POST /v1/rules/7 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0);
    assert_non_null(strstr(a, "HTTP/1.1 405 "));
    assert_non_null(strstr(a, "Allow: GET, PUT, DELETE\r\n"));
    assert_non_null(strstr(a, "Content-Type: application/problem+json\r\n"));
    free(a);
    starts_with(
        exchange(f, "GET /v1/rules/7%00x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
        "HTTP/1.1 404");
    starts_with(
        exchange(f, "GET /v1/rules/%37 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
        "HTTP/1.1 200");
    starts_with(exchange(f, "GET /v1/\xff\xfe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
                "HTTP/1.1 404");
    starts_with(
        exchange(f, "GET /v1/stats?%ff=1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
        "HTTP/1.1 400");
}

static void large_bodies_are_refused(void **state)
{
    struct fixture *f = *state;
    starts_with(exchange(f,
                         "PUT /v1/waf/rules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Length: 4194305\r\n\r\n",
                         4194305),
                "HTTP/1.1 413");
    /* exactly the limit goes through to the parser: white space is no JSON */
    starts_with(exchange(f,
                         "PUT /v1/waf/rules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Length: 4194304\r\n\r\n",
                         4194304),
                "HTTP/1.1 400");
    starts_with(exchange(f,
                         "PUT /v1/waf/rules HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                         "Content-Length: 99999999999\r\n\r\n",
                         0),
                "HTTP/1.1 413");
}

static void half_requests_do_no_harm(void **state)
{
    struct fixture *f = *state;
    static const char *const pieces[] = {
        "",
        "GE",
        "GET /v1/status HTTP/1.1\r\n",
        "\r\n\r\n",
        "\0\1\2\3",
        "PUT /v1/rules/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"};
    for (size_t i = 0; i < TG_ARRAY_LEN(pieces); i++) {
        int fd = connect_to(f->place.config.socket);
        (void)!write(fd, pieces[i], strlen(pieces[i]));
        close(fd);
    }
    starts_with(exchange(f, "GET /v1/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 0),
                "HTTP/1.1 200");
}

/* --- tgctl ------------------------------------------------------------ */

struct run {
    int code;
    char out[16384], err[4096];
};

static size_t file_take(const char *path, char *out, size_t cap)
{
    FILE *file = fopen(path, "r");
    size_t n = fread(out, 1, cap - 1, file);
    fclose(file);
    out[n] = 0;
    return n;
}

/* Let what is written to `fd` go to a file; returns the descriptor to give back. */
static int redirect(int fd, const char *path)
{
    int saved = dup(fd), file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    assert_true(saved >= 0 && file >= 0);
    dup2(file, fd);
    close(file);
    return saved;
}

static void redirect_end(int fd, int saved)
{
    dup2(saved, fd);
    close(saved);
}

/* Run tgctl with words separated by single blanks, in this process: a fork beside threads may hang
 * under sanitizers. */
static struct run tgctl(struct fixture *f, const char *words)
{
    struct run r = {0};
    char copy[1024], out[128], err[128], *argv[32] = {(char[]){"tgctl"}}, *save = NULL;
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", words);
    snprintf(out, sizeof out, "%s/out", f->place.directory);
    snprintf(err, sizeof err, "%s/err", f->place.directory);
    for (char *w = strtok_r(copy, " ", &save); w; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    setenv("TIDEGATE_SOCKET", f->place.config.socket, 1);
    fflush(NULL);
    int saved_out = redirect(1, out), saved_err = redirect(2, err);
    r.code = tgctl_main(argc, argv);
    fflush(NULL);
    redirect_end(1, saved_out);
    redirect_end(2, saved_err);
    file_take(out, r.out, sizeof r.out);
    file_take(err, r.err, sizeof r.err);
    return r;
}

static void expect(struct fixture *f, const char *words, int code, const char *out, const char *err)
{
    struct run r = tgctl(f, words);
    if (r.code != code || (out && !strstr(r.out, out)) || (err && !strstr(r.err, err)))
        fail_msg("tgctl %s: %d\n%s\n%s", words, r.code, r.out, r.err);
}

static void tgctl_rules(void **state)
{
    struct fixture *f = *state;
    expect(f, "rule list", 0, "none\n", NULL);
    expect(f, "rule add --id 7 --src 192.0.2.0/24 --proto tcp --dport 80-90", 0,
           "rule 7 is in force on every worker\n", NULL);
    expect(f, "rule add --dst 2001:db8::/32 --sport 53", 0, "rule 8 is in force", NULL);
    expect(f, "rule list", 0,
           "ID  SOURCE        SPORT  DESTINATION    DPORT  PROTOCOL  HITS\n"
           "7   192.0.2.0/24  any    any            80-90  tcp       0\n"
           "8   any           53     2001:db8::/32  any    any       0\n",
           NULL);
    expect(f, "-o json rule list", 0, "\"destination\": \"2001:db8::/32\"", NULL);
    expect(f, "rule add --src 192.0.2.1/24", 1, NULL,
           "tgctl: /source: \"192.0.2.1/24\" has bits set");
    expect(f, "rule add --src 192.0.2.1/24 -o json", 1, "\"pointer\": \"/source\"",
           "tgctl: /source");
    expect(f, "rule add --id 0 --proto tcp", 1, NULL, "is not a rule id");
    expect(f, "rule add --id 7/8 --proto tcp", 1, NULL, "tgctl: ");
    expect(f, "rule del 7", 0, "deleted 7\n", NULL);
    expect(f, "rule del 7", 1, NULL, "there is no rule \"7\"");
}

static void tgctl_nodes_and_fleet(void **state)
{
    struct fixture *f = *state;
    expect(f, "node list", 0, "none\n", NULL);
    expect(f, "node add b --slot 6 --site 3 --address4 10.0.0.6 --address6 2001:DB8::6", 0,
           "node b is in force on every worker\n", NULL);
    expect(f, "node add c --slot 7 --site 0 --address6 2001:db8::7", 0, "node c is in force", NULL);
    expect(f, "node list", 0,
           "NAME  SLOT  SITE  ADDRESS4  ADDRESS6\n"
           "b     6     3     10.0.0.6  2001:db8::6\n"
           "c     7     0     -         2001:db8::7\n",
           NULL);
    expect(f, "node add d --slot 6 --site 3 --address4 10.0.0.8", 1, NULL,
           "tgctl: /slot: node \"b\" has this slot already");
    expect(f, "node add d --slot x --site 3 --address4 10.0.0.8", 1, NULL, "tgctl: /slot: ");
    expect(f, "node add us --slot 5 --site 0 --address4 10.0.0.5", 1, NULL,
           "tgctl: /address4: node \"us\" has our slot, but 10.0.0.5 is not");
    expect(f, "node add d --slot 6", 2, NULL, "--site is missing");
    expect(f, "fleet status", 0,
           "node        test, slot 5, site 0: alone: none of the nodes has our slot 5\n"
           "nodes       2\nforwarding  on\nstore       embedded, connected",
           NULL);
    expect(f, "fleet forward off", 0, "forwarding is off on every worker\n", NULL);
    expect(f, "fleet status", 0, "forwarding  off\n", NULL);
    expect(f, "fleet forward maybe", 2, NULL, "forward must be on or off");
    expect(f, "fleet forward on", 0, "forwarding is on", NULL);
    expect(f, "-o json fleet status", 0, "\"forward\": true", NULL);
    expect(f, "node del b", 0, "deleted b\n", NULL);
    expect(f, "node del b", 1, NULL, "there is no node \"b\"");
}

static void tgctl_makes_secrets(void **state)
{
    struct fixture *f = *state;
    struct secrets first, second;
    struct stat info;
    char path[128], words[256], problem[512];
    snprintf(path, sizeof path, "%s/secrets", f->place.directory);
    snprintf(words, sizeof words, "fleet keygen --out %s", path);
    expect(f, words, 0, "new keys", NULL);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(secrets_load(path, &first, problem), TG_OK);
    expect(f, words, 1, "", "not overwritten");
    assert_int_equal(secrets_load(path, &second, problem), TG_OK);
    assert_memory_equal(&first, &second, sizeof first);
    assert_int_equal(unlink(path), 0);
    expect(f, words, 0, NULL, NULL);
    assert_int_equal(secrets_load(path, &second, problem), TG_OK);
    for (unsigned use = 0; use < SECRETS_USES; use++) {
        assert_memory_not_equal(first.keys[use][0].secret, second.keys[use][0].secret, 16);
        assert_memory_not_equal(first.keys[use][0].secret, first.bucket, 16);
    }
    expect(f, "fleet keygen --out /nonexistent/secrets", 1, NULL, "No such file or directory");
}

static void tgctl_usage_and_connection(void **state)
{
    struct fixture *f = *state;
    expect(f, "", 2, NULL, "usage: tgctl");
    expect(f, "help", 0, "rule add", NULL);
    expect(f, "rule", 2, NULL, "usage: tgctl");
    expect(f, "rule del", 2, NULL, "usage: tgctl rule del ID");
    expect(f, "rule del 1 2", 2, NULL, "unexpected \"2\"");
    expect(f, "rule add --colour red", 2, NULL, "unknown option --colour");
    expect(f, "rule add --src", 2, NULL, "--src needs a value");
    expect(f, "rule add --src a --src b", 2, NULL, "given twice");
    expect(f, "site add x", 2, NULL, "--origin is missing");
    expect(f, "-o yaml status", 2, NULL, "-o must be json or table");
    expect(f, "status -s", 2, NULL, "-s needs a value");
    expect(f, "-s /nonexistent/sock status", 3, NULL,
           "tidegate-ctl does not answer at /nonexistent/sock: start it");
    expect(f, "waf load /nonexistent", 2, NULL, "cannot be read");
}

static void pem_put(struct fixture *f, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", f->place.directory, name);
    FILE *file = fopen(path, "w");
    fputs(text, file);
    fclose(file);
}

static void tgctl_sites_and_certificates(void **state)
{
    struct fixture *f = *state;
    char words[512];
    expect(f, "origin add o --address 10.0.0.1 --port 8080 --idle-timeout 500", 0,
           "origin o is in force", NULL);
    expect(f, "origin add p --address 10.0.0.1 --port http", 1, NULL, "/port");
    expect(f, "site add www --host a.example,*.b.example --origin o --waf --default", 0,
           "site www is in force", NULL);
    expect(f, "site list", 0, "www   a.example,*.b.example  o       yes  yes", NULL);
    expect(f, "origin list", 0, "500", NULL);
    expect(f, "origin del o", 1, NULL, "site \"www\" uses origin \"o\"");
    expect(f, "explain --src 10.0.0.1 --host x.b.example", 0,
           "packet  passes: no drop rule matches\nsite    www (as \"*.b.example\"), WAF on\n"
           "origin  o at 10.0.0.1 port 8080\n",
           NULL);
    pem_put(f, "chain.pem", test_chain_pem);
    pem_put(f, "key.pem", test_key_pem);
    pem_put(f, "other.pem", test_other_key_pem);
    snprintf(words, sizeof words,
             "cert add c --names test.example --chain %s/chain.pem --key %s/key.pem",
             f->place.directory, f->place.directory);
    expect(f, words, 0, "certificate c is in force", NULL);
    snprintf(words, sizeof words, "cert add c --default --chain %s/chain.pem --key %s/other.pem",
             f->place.directory, f->place.directory);
    expect(f, words, 1, NULL, "/key_pem");
    expect(f, "cert list", 0, "c     test.example  no       -", NULL);
    snprintf(words, sizeof words, "cert add d --names d.example --chain %s/chain.pem --keyserver k",
             f->place.directory);
    expect(f, words, 1, NULL, "there is no key server \"k\"");
    char keyserver[512];
    snprintf(keyserver, sizeof keyserver,
             "keyserver add k --address 192.0.2.1,[2001:db8::1]:99 --server-name keys.example "
             "--ca %s/chain.pem --chain %s/chain.pem --key %s/key.pem",
             f->place.directory, f->place.directory, f->place.directory);
    expect(f, keyserver, 0, "key server k is in force", NULL);
    expect(f, words, 0, "certificate d is in force", NULL);
    expect(f, "cert list", 0, "d     d.example     no       k", NULL);
    expect(f, "keyserver list", 0, "k     192.0.2.1:2407,[2001:db8::1]:99  keys.example", NULL);
    expect(f, "keyserver del k", 1, NULL, "certificate \"d\" uses key server \"k\"");
    expect(f, "cert add d --chain x", 2, NULL, "give either --key or --keyserver");
    expect(f, "cert del d", 0, "deleted d", NULL);
    expect(f, "keyserver del k", 0, "deleted k", NULL);
    expect(f, "cert del c", 0, "deleted c", NULL);
    expect(f, "site del www", 0, "deleted www", NULL);
}

static void tgctl_waf(void **state)
{
    struct fixture *f = *state;
    char words[256];
    pem_put(f, "waf.json",
            "[{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"x\", \"message\": \"m\", "
            "\"action\": \"block\"}]");
    pem_put(f, "bad.json",
            "[{\"id\": 1, \"targets\": [\"uri\"], \"pattern\": \"x(\", \"message\": \"m\", "
            "\"action\": \"block\"}]");
    pem_put(f, "no.json", "[\n{]");
    snprintf(words, sizeof words, "waf load %s/waf.json", f->place.directory);
    expect(f, words, 0, "1 WAF rules are in force", NULL);
    snprintf(words, sizeof words, "waf load %s/bad.json", f->place.directory);
    expect(f, words, 1, NULL, "/0/pattern");
    snprintf(words, sizeof words, "waf load %s/no.json", f->place.directory);
    expect(f, words, 2, NULL, "no.json:2:");
    expect(f, "waf list", 0, "1   block   uri      m", NULL);
    expect(f, "waf clear", 0, "0 WAF rules", NULL);
}

static void tgctl_views(void **state)
{
    struct fixture *f = *state;
    region_worker(&f->fake.region, 1)->stats.value[TG_C_tcp_accepted] = 5;
    expect(f, "status", 0, "data plane    running, 2 workers", NULL);
    expect(f, "-o json status", 0, "\"data_plane\": \"running\"", NULL);
    expect(f, "workers", 0, "WORKER  CPU  ALIVE", NULL);
    expect(f, "stats", 0, "tcp_accepted                 5\n", NULL);
    expect(f, "stats -w 0 -a", 0, "tcp_accepted                 0\n", NULL);
    expect(f, "stats -w 9", 1, NULL, "query parameter \"worker\"");
    expect(f, "audit -n 5", 0, "none", NULL);
    struct event e = {.kind = EVENT_WAF, .rule_id = 9, .client = {[15] = 1}, .method_len = 5};
    memcpy(e.method, "\033[31m", 5); /* colours of strangers stay out of the terminal */
    ring_push(region_events(&f->fake.region, 0), &e, 1);
    usleep(50000);
    struct run r = tgctl(f, "audit");
    assert_null(strchr(r.out, '\033'));
    assert_non_null(strstr(r.out, "?[31m"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(socket_has_mode_0660, setup, teardown),
        cmocka_unit_test_setup_teardown(live_socket_is_refused_stale_one_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(heads_carry_the_right_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(large_bodies_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(half_requests_do_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_rules, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_usage_and_connection, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_nodes_and_fleet, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_makes_secrets, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_sites_and_certificates, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_waf, setup, teardown),
        cmocka_unit_test_setup_teardown(tgctl_views, setup, teardown),
    };
    if (tls_start() != TG_OK)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
