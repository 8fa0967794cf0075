/* SPDX-License-Identifier: BSD-3-Clause
 * The configuration reader: the documented example, defaults, and one refusal of every kind with its
 * file, line and key.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "contract/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PORT "ports = ( { device = \"net_null0\"; addresses = [ \"192.0.2.1/24\" ]; } );\n"

static struct config config;
static char problem[512];

static enum tg_err load_text(const char *text)
{
    char path[] = "/tmp/config_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    problem[0] = '\0';
    enum tg_err result = config_load(path, &config, problem);
    unlink(path);
    if (result == TG_OK)
        return result;
    /* strip the random path, so that tests compare ":LINE: key: ..." */
    assert_memory_equal(problem, path, strlen(path));
    memmove(problem, problem + strlen(path), strlen(problem + strlen(path)) + 1);
    return result;
}

static void example_is_valid(void **state)
{
    assert_int_equal(config_load(CONFIG_EXAMPLE, &config, problem), TG_OK);
    assert_string_equal(config.node_name, "edge1");
    assert_int_equal(config.port_count, 1);
    assert_string_equal(config.ports[0].device, "net_tap0,iface=tgt0");
    assert_int_equal(config.ports[0].address_count, 2);
    assert_int_equal(config.ports[0].addresses[0].bits, 120);
    assert_int_equal(config.ports[0].addresses[0].address[15], 1);
    assert_int_equal(config.ports[0].addresses[1].bits, 64);
    assert_int_equal(config.route_count, 2);
    assert_int_equal(config.routes[0].prefix.bits, 96);
    assert_int_equal(config.routes[0].gateway[15], 254);
    assert_int_equal(config.routes[1].prefix.bits, 0);
    assert_int_equal(config.http_port_count, 1);
    assert_int_equal(config.https_ports[0], 443);
    assert_int_equal(config.cpu_count, 2);
    assert_int_equal(config.keepalive_ms, 75000);
}

static void example_shows_the_defaults(void **state)
{
    struct config from_example;
    assert_int_equal(config_load(CONFIG_EXAMPLE, &from_example, problem), TG_OK);
    assert_int_equal(load_text(PORT), TG_OK);
    assert_string_equal(config.region, from_example.region);
    assert_int_equal(config.arena_mb, from_example.arena_mb);
    assert_int_equal(config.workers, from_example.workers);
    assert_int_equal(config.buffers, from_example.buffers);
    assert_int_equal(config.connections, from_example.connections);
    assert_int_equal(config.requests, from_example.requests);
    assert_int_equal(config.receive_window, from_example.receive_window);
    assert_int_equal(config.head_ms, from_example.head_ms);
    assert_int_equal(config.handshake_ms, from_example.handshake_ms);
    assert_string_equal(config.socket, from_example.socket);
    assert_string_equal(config.state, from_example.state);
    assert_int_equal(config.node_site, from_example.node_site);
    assert_string_equal(config.secrets, from_example.secrets);
    assert_string_equal(config.exception, from_example.exception);
    assert_int_equal(config.early_data, from_example.early_data);
    assert_string_equal(config.audit, from_example.audit);
    assert_int_equal(config.apply_timeout_ms, from_example.apply_timeout_ms);
    assert_true(config.hugepages && config.idle_sleep && config.tso);
    assert_true(from_example.tso);
    assert_int_equal(load_text(PORT "tso = false;\n"), TG_OK);
    assert_false(config.tso);
}

static void fleet_is_read(void **state)
{
    assert_int_equal(load_text(PORT
                               "control = { fleet = \"lab-1\"; etcd = [ \"http://192.0.2.5:2379\", "
                               "\"https://[2001:db8::5]:2379\" ]; };\n"),
                     TG_OK);
    assert_string_equal(config.fleet, "lab-1");
    assert_int_equal(config.etcd_count, 2);
    assert_string_equal(config.etcd[0], "http://192.0.2.5:2379");
    assert_string_equal(config.etcd[1], "https://[2001:db8::5]:2379");
    assert_int_equal(load_text(PORT), TG_OK);
    assert_int_equal(config.etcd_count, 0);
    assert_string_equal(config.fleet, "");
}

static void refusals_name_line_and_key(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"workers = 2;\nworker = 3;\n" PORT, ":2: worker: unknown key"},
        {PORT "workers = \"two\";\n", ":2: workers: must be a whole number"},
        {PORT "node = {\n site = 256; };\n", ":3: site: must be in 0..255"},
        {PORT "node = { exception = \"sixteen-letters-\"; };\n",
         ":2: exception: must have 0..15 characters"},
        {PORT "\nworkers = 17;\n", ":3: workers: must be in 1..16"},
        {PORT "workers = 0;\n", ":2: workers: must be in 1..16"},
        {PORT "hugepages = 1;\n", ":2: hugepages: must be true or false"},
        {PORT "region = 5;\n", ":2: region: must be a string"},
        {PORT "region = \"\";\n", ":2: region: must have 1..255 characters"},
        {PORT "limits = {\n  connections = 5;\n};\n", ":3: connections: must be in 64..16777215"},
        {PORT "limits = 5;\n", ":2: limits: must be a group { ... }"},
        {PORT "timeouts = { head = 5; };\n", ":2: head: unknown key"},
        {PORT "listen = { http = [ 0 ]; };\n", ":2: http: must hold port numbers 1..65535"},
        {PORT "listen = { http = 80; };\n", ":2: http: must be a list"},
        {PORT "listen = { gopher = [ 70 ]; };\n", ":2: gopher: unknown key"},
        {PORT "cpus = [ -1 ];\n", ":2: cpus: must hold processor numbers 0..1023"},
        {PORT "node = { name = \"a b\"; };\n",
         ":1: node.name: may hold letters, digits and '-' only"},
        {PORT "routes = ( { prefix = \"0.0.0.0\"; gateway = \"192.0.2.9\"; } );\n",
         ":2: prefix: must be a string such as \"0.0.0.0/0\""},
        {PORT "routes = ( { prefix = \"0.0.0.0/33\"; gateway = \"192.0.2.9\"; } );\n",
         ":2: prefix: must be a string such as \"0.0.0.0/0\""},
        {PORT "routes = ( { prefix = \"0.0.0.0/0\"; } );\n",
         ":2: gateway: must be an address such as \"192.0.2.254\""},
        {PORT "routes = ( { prefix = \"::/0\"; gateway = \"2001:db8::1\"; port = 1; } );\n",
         ":2: port: names no entry of ports"},
        {"ports = ( { device = \"x\"; } );\n",
         ":1: addresses: is missing: at least one \"address/bits\" is needed"},
        {"ports = ( { addresses = [ \"192.0.2.1/24\" ]; } );\n", ":1: device: is missing"},
        {"ports = ( { device = \"x\"; addresses = [ \"192.0.2.1\" ]; } );\n",
         ":1: addresses: must hold strings such as \"192.0.2.1/24\""},
        {PORT "control = {\n fleet = \"a/b\"; etcd = [ \"http://h:1\" ]; };\n",
         ":2: fleet: may hold letters, digits, '-' and '_' only"},
        {PORT "control = { fleet = \"lab\"; };\n",
         ":2: etcd: is missing: a fleet needs at least one endpoint"},
        {PORT "control = { etcd = [ \"http://h:1\" ]; };\n",
         ":2: fleet: is missing: etcd is where a fleet's resources are"},
        {PORT "control = { fleet = \"lab\"; etcd = [ \"h:2379\" ]; };\n",
         ":2: etcd: must hold strings such as \"http://192.0.2.5:2379\""},
        {PORT "control = { fleet = \"lab\"; etcd = [ \"http://h:1/\" ]; };\n",
         ":2: etcd: must hold strings such as \"http://192.0.2.5:2379\""},
        {PORT "control = { fleet = \"lab\"; etcd = [ \"http://u:p@h:1\" ]; };\n",
         ":2: etcd: must hold strings such as \"http://192.0.2.5:2379\""},
        {PORT "control = { fleet = \"lab\"; etcd = [ 5 ]; };\n",
         ":2: etcd: must hold strings such as \"http://192.0.2.5:2379\""},
        {PORT "control = { fleet = \"lab\"; etcd = \"http://h:1\"; };\n",
         ":2: etcd: must be a list"},
        {PORT
         "control = { fleet = \"l\"; etcd = [ \"a\", \"a\", \"a\", \"a\", \"a\", \"a\" ]; };\n",
         ":2: etcd: at most 5 entries are possible"},
        {"workers = 1;\n", ":1: ports: is missing: at least one port is needed"},
        {"workers = ;\n", ":1: syntax error"},
    };
    for (size_t i = 0; i < TG_ARRAY_LEN(cases); i++) {
        assert_int_equal(load_text(cases[i].text), TG_BAD_CONFIG);
        assert_string_equal(problem, cases[i].problem);
    }
}

static void missing_file_is_said(void **state)
{
    assert_int_equal(config_load("/nonexistent/tidegate.conf", &config, problem), TG_BAD_CONFIG);
    assert_string_equal(problem, "/nonexistent/tidegate.conf: cannot be read");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(example_is_valid),     cmocka_unit_test(example_shows_the_defaults),
        cmocka_unit_test(fleet_is_read),        cmocka_unit_test(refusals_name_line_and_key),
        cmocka_unit_test(missing_file_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
