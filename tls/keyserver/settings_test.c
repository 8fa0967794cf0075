/* SPDX-License-Identifier: BSD-3-Clause
 * Tests of the configuration file: what every mistake says, with file, line and key; clients against
 * keys; rates.
 */
#include "tls/keyserver/keyserver_lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define EDGE1 "{ subject = \"CN=edge1,O=Lab\"; keys = [ \"*\" ]; }"

static void defaults_and_values(void **state)
{
    struct settings s;
    char problem[SETTINGS_PROBLEM];
    const char *path = lab_config("", EDGE1);
    assert_int_equal(settings_read(path, &s, problem), TG_OK);
    assert_string_equal(s.address, "127.0.0.1");
    assert_int_equal(s.port, 2407);
    assert_int_equal(s.connections, 256);
    assert_int_equal(s.idle_ms, 30000);
    assert_int_equal(s.client_count, 1);
    assert_true(s.clients[0].every_key);
    assert_false(s.clients[0].decrypt || s.clients[0].weak_hashes);
    assert_int_equal(s.clients[0].rate, 1000);
    assert_int_equal(s.clients[0].burst, 2000);
    settings_release(&s);
    path = lab_config("port = 1; idle_ms = 100; user = \"nobody\";",
                      "{ subject = \"CN=a\"; keys = [ \"x\", \"y\" ]; rate = 7; decrypt = true; },"
                      "{ subject = \"CN=b\"; keys = [ ]; burst = 3; weak_hashes = true; }");
    assert_int_equal(settings_read(path, &s, problem), TG_OK);
    assert_int_equal(s.port, 1);
    assert_string_equal(s.user, "nobody");
    assert_int_equal(s.client_count, 2);
    assert_int_equal(s.clients[0].key_count, 2);
    assert_string_equal(s.clients[0].keys[1], "y");
    assert_int_equal(s.clients[0].burst, 14);
    assert_true(s.clients[0].decrypt);
    assert_int_equal(s.clients[1].key_count, 0);
    assert_int_equal(s.clients[1].burst, 3);
    assert_true(s.clients[1].weak_hashes);
    settings_release(&s);
}

static void expect_bad(const char *path, const char *sentence)
{
    struct settings s;
    char problem[SETTINGS_PROBLEM] = "", wanted[SETTINGS_PROBLEM];
    assert_int_equal(settings_read(path, &s, problem), TG_BAD_CONFIG);
    snprintf(wanted, sizeof wanted, "%s%s", path, sentence);
    assert_string_equal(problem, wanted);
}

/* The lab's file has `top` on line 1, clients on line 7. */
static void every_mistake_is_named(void **state)
{
    static const struct {
        const char *top, *clients, *sentence;
    } cases[] = {
        {"prot = 1;", EDGE1, ":1: prot: unknown key"},
        {"port = 0;", EDGE1, ":1: port: must be in 1..65535"},
        {"port = 65536;", EDGE1, ":1: port: must be in 1..65535"},
        {"port = \"x\";", EDGE1, ":1: port: must be a whole number"},
        {"port = 1.5;", EDGE1, ":1: port: must be a whole number"},
        {"audit = 1;", EDGE1, ":1: audit: must be a string"},
        {"idle_ms = 99;", EDGE1, ":1: idle_ms: must be in 100..3600000"},
        {"connections = 5000;", EDGE1, ":1: connections: must be in 1..4096"},
        {"port = ;", EDGE1, ":1: syntax error"},
        {"", "", ":7: clients: must be a list ( { ... } ) of at least one client"},
        {"", "7", ":7: clients: every entry must be a group { ... }"},
        {"", "{ keys = [ \"*\" ]; }", ":7: subject: is missing"},
        {"", "{ subject = \"CN=a\"; }",
         ":7: keys: is missing: name files of the key directory, or \"*\""},
        {"", "{ subject = \"CN=a\"; keys = \"*\"; }", ":7: keys: must be an array of strings"},
        {"", "{ subject = \"CN=a\"; keys = [ 1 ]; }",
         ":7: keys: must hold strings of 1..255 characters"},
        {"", "{ subject = \"CN=a\"; keys = [ \"\" ]; }",
         ":7: keys: must hold strings of 1..255 characters"},
        {"", "{ subject = \"CN=a\"; keys = [ ]; rate = 0; }", ":7: rate: must be in 1..1000000"},
        {"", "{ subject = \"CN=a\"; keys = [ ]; decrypt = 1; }",
         ":7: decrypt: must be true or false"},
        {"", "{ subject = \"CN=a\"; keys = [ ]; sign = true; }", ":7: sign: unknown key"},
        {"", EDGE1 ", " EDGE1, ":7: subject: stands there already"},
    };
    for (unsigned i = 0; i < TG_ARRAY_LEN(cases); i++)
        expect_bad(lab_config(cases[i].top, cases[i].clients), cases[i].sentence);
    lab_write("little.conf", "keys = \"k\";\ncertificate = \"c\";\nkey = \"k\";\n");
    expect_bad(lab_path("little.conf"), ":1: client_ca: is missing");
    expect_bad(lab_path("none.conf"), ": cannot be read");
}

static void example_is_valid(void **state)
{
    struct settings s;
    char problem[SETTINGS_PROBLEM] = "";
    assert_int_equal(settings_read(KEYSERVER_EXAMPLE, &s, problem), TG_OK);
    assert_string_equal(s.clients[0].keys[0], "shop.key");
    settings_release(&s);
}

static void expect_setup_refused(const char *path, const char *part)
{
    struct setup *setup;
    char problem[SETTINGS_PROBLEM] = "";
    assert_int_not_equal(setup_create(path, &setup, problem), TG_OK);
    if (!strstr(problem, part))
        fail_msg("\"%s\" lacks \"%s\"", problem, part);
}

static void files_that_do_not_fit(void **state)
{
    expect_setup_refused(lab_config("", "{ subject = \"CN=a\"; keys = [ \"no.key\" ]; }"),
                         ".conf:7: keys: there is no key \"no.key\" in ");
    expect_setup_refused(
        lab_config(
            "", "{ subject = \"CN=a\"; keys = [ \"00112233445566778899aabbccddeeff00112233\" ]; }"),
        "there is no key \"0011");
    expect_setup_refused(lab_config("audit = \"/nowhere/audit\";", EDGE1),
                         "/nowhere/audit: cannot be opened for appending: No such file");
    rename(lab_path("server.key"), lab_path("kept.key"));
    expect_setup_refused(lab_config("", EDGE1), "server.key: No such file");
    lab_write("server.key", "");
    expect_setup_refused(lab_config("", EDGE1), "server.key: is empty");
    lab_key_write("server.key", "EC", NULL);
    expect_setup_refused(lab_config("", EDGE1), "server.pem: the private key does not belong");
    rename(lab_path("kept.key"), lab_path("server.key"));
    rename(lab_path("ca.pem"), lab_path("kept.pem"));
    lab_write("ca.pem", "nothing");
    expect_setup_refused(lab_config("", EDGE1), "ca.pem: there is no PEM certificate");
    rename(lab_path("kept.pem"), lab_path("ca.pem"));
    setup_destroy(lab_setup(lab_config("", EDGE1)));
}

static void keys_by_name_and_by_ski(void **state)
{
    uint8_t ec[KEYMSG_SKI_BYTES], rsa[KEYMSG_SKI_BYTES], ed[KEYMSG_SKI_BYTES];
    char clients[512], hex[64];
    lab_ski("ec.key", ec);
    lab_ski("rsa.key", rsa);
    lab_ski("ed.key", ed);
    for (unsigned i = 0; i < KEYMSG_SKI_BYTES; i++)
        snprintf(hex + 2 * i, 3, i % 2 ? "%02x" : "%02X", rsa[i]);
    snprintf(clients, sizeof clients, "{ subject = \"CN=a\"; keys = [ \"ec.key\", \"%s\" ]; }",
             hex);
    struct setup *setup = lab_setup(lab_config("", clients));
    struct access_client *client = access_find(setup->access, "CN=a");
    assert_non_null(client);
    assert_null(access_find(setup->access, "CN=A"));
    assert_true(access_allows(client, ec));
    assert_true(access_allows(client, rsa));
    assert_false(access_allows(client, ed));
    setup_destroy(setup);
}

static void rate_and_burst(void **state)
{
    struct setup *setup = lab_setup(
        lab_config("", "{ subject = \"CN=a\"; keys = [ \"*\" ]; rate = 100; burst = 5; }"));
    struct access_client *client = access_find(setup->access, "CN=a");
    tg_ns now = 77 * TG_S;
    for (unsigned i = 0; i < 5; i++)
        assert_true(access_take(client, now));
    assert_false(access_take(client, now));
    assert_false(access_take(client, now + 9 * TG_MS)); /* one every 10 ms */
    assert_true(access_take(client, now + 10 * TG_MS));
    assert_false(access_take(client, now + 10 * TG_MS));
    unsigned taken = 0;
    for (tg_ns t = 0; t < 10 * TG_S; t += 100 * TG_US) /* fractions are not lost */
        taken += access_take(client, now + 10 * TG_MS + t);
    assert_in_range(taken, 998, 1000);
    for (unsigned i = 0; i < 5; i++) /* no more than the burst after any pause */
        assert_true(access_take(client, now + 100000 * TG_S));
    assert_false(access_take(client, now + 100000 * TG_S));
    setup_destroy(setup);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_values),     cmocka_unit_test(every_mistake_is_named),
        cmocka_unit_test(example_is_valid),        cmocka_unit_test(files_that_do_not_fit),
        cmocka_unit_test(keys_by_name_and_by_ski), cmocka_unit_test(rate_and_burst),
    };
    return cmocka_run_group_tests(tests, lab_set_up, lab_tear_down);
}
