/* SPDX-License-Identifier: BSD-3-Clause
 * The secrets file's reader: the documented form, every refusal with its line and key, and that no refusal quotes a
 * secret or leaves one behind.
 */
// clang-format off
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on
#include "contract/secrets.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET "000102030405060708090a0B0C0d0e0f"
#define KEY    "( { id = 1; secret = \"" SECRET "\"; } );\n"
#define OWNER  "owner = " KEY
#define SYN    "syn = " KEY
#define TUNNEL "tunnel = " KEY
#define TICKET "ticket = " KEY
#define BUCKET "bucket = \"f0e0d0c0b0a090807060504030201000\";\n"
#define TWO(a, b)                                                                                  \
    "( { id = " #a "; secret = \"" SECRET "\"; },\n  { id = " #b                                   \
    "; secret = \"ffffffffffffffffffffffffffffffff\"; } );\n"

static struct secrets secrets;
static char problem[512];

static enum tg_err load_mode(const char *text, mode_t mode)
{
    static const uint8_t none[sizeof secrets];
    char path[] = "/tmp/secrets_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    close(fd);
    problem[0] = '\0';
    memset(&secrets, 0xa5, sizeof secrets);
    enum tg_err result = secrets_load(path, &secrets, problem);
    unlink(path);
    if (result == TG_OK)
        return result;
    assert_memory_equal(&secrets, none, sizeof secrets);
    assert_memory_equal(problem, path, strlen(path));
    memmove(problem, problem + strlen(path), strlen(problem + strlen(path)) + 1);
    assert_null(strstr(problem, "0102"));
    return result;
}

static void assert_refused(const char *text, const char *why)
{
    assert_int_equal(load_mode(text, 0600), TG_BAD_CONFIG);
    assert_string_equal(problem, why);
}

static void documented_form_is_read(void **state)
{
    static const uint8_t first[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    assert_int_equal(load_mode(OWNER SYN TUNNEL TICKET BUCKET, 0640), TG_OK);
    for (unsigned use = 0; use < SECRETS_USES; use++) {
        assert_int_equal(secrets.counts[use], 1);
        assert_int_equal(secrets.keys[use][0].id, 1);
        assert_memory_equal(secrets.keys[use][0].secret, first, 16);
    }
    assert_int_equal(secrets.bucket[0], 0xf0);
    assert_int_equal(secrets.bucket[15], 0);
}

static void two_keys_keep_their_order(void **state)
{
    assert_int_equal(load_mode(BUCKET "owner = " TWO(7, 6) "syn = " TWO(2, 1) "tunnel = " TWO(
                                   256, 1) "ticket = " TWO(4294967295L, 0),
                               0600),
                     TG_OK);
    assert_int_equal(secrets.counts[TABLES_KEY_OWNER], 2);
    assert_int_equal(secrets.keys[TABLES_KEY_OWNER][0].id, 7);
    assert_int_equal(secrets.keys[TABLES_KEY_OWNER][1].id, 6);
    assert_int_equal(secrets.keys[TABLES_KEY_OWNER][1].secret[3], 0xff);
    assert_true(secrets.keys[SECRETS_TICKET][0].id == UINT32_MAX);
}

static void ids_that_look_the_same_are_refused(void **state)
{
    assert_refused("owner = " TWO(3, 3) SYN TUNNEL TICKET BUCKET,
                   ":1: owner: two keys with one id");
    assert_refused("ticket = " TWO(3, 3) SYN TUNNEL OWNER BUCKET,
                   ":1: ticket: two keys with one id");
    assert_refused(OWNER "syn = " TWO(1, 3) TUNNEL TICKET BUCKET,
                   ":2: syn: one id must be even and one odd");
    assert_refused(OWNER SYN "tunnel = " TWO(1, 257) TICKET BUCKET,
                   ":3: tunnel: the ids must differ in their low 8 bits");
}

static void missing_parts_are_named(void **state)
{
    assert_refused("", ":1: owner: is missing");
    assert_refused(OWNER TUNNEL TICKET BUCKET, ":1: syn: is missing");
    assert_refused(OWNER SYN TICKET BUCKET, ":1: tunnel: is missing");
    assert_refused(OWNER SYN TUNNEL BUCKET, ":1: ticket: is missing");
    assert_refused(OWNER SYN TUNNEL TICKET, ":1: bucket: is missing");
    assert_refused("owner = ( { id = 1; } );", ":1: owner: an entry needs id and secret");
    assert_refused("\nowner = ( { secret = \"" SECRET "\"; } );",
                   ":2: owner: an entry needs id and secret");
}

static void wrong_types_and_values_are_refused(void **state)
{
    static const char secret[] = ":1: secret: must be a string of 32 hexadecimal digits, not all 0";
    static const char list[] = ":1: owner: must be a list ( ... ) of one or two keys";
    static const char id[] = ":1: id: must be a whole number in 0..4294967295";
    assert_refused("owner = 1;", list);
    assert_refused("owner = ( );", list);
    assert_refused("owner = [ 1 ];", list);
    assert_refused("owner = ( {}, {}, {} );", list);
    assert_refused("owner = ( 1 );",
                   ":1: owner: every entry must be a group { id = ...; secret = ...; }");
    assert_refused("owner = ( { id = -1; } );", id);
    assert_refused("owner = ( { id = 4294967296L; } );", id);
    assert_refused("owner = ( { id = \"1\"; } );", id);
    assert_refused("owner = ( { id = 1.5; } );", id);
    assert_refused("owner = ( { secret = 1; } );", secret);
    assert_refused("owner = ( { secret = \"\"; } );", secret);
    assert_refused("owner = ( { secret = \"0102030405060708090a0b0c0d0e0f\"; } );", secret);
    assert_refused("owner = ( { secret = \"" SECRET "10\"; } );", secret);
    assert_refused("owner = ( { secret = \"g00102030405060708090a0b0c0d0e0f\"; } );", secret);
    assert_refused("owner = ( { secret = \"00000000000000000000000000000000\"; } );", secret);
    assert_refused("bucket = ( \"" SECRET "\" );",
                   ":1: bucket: must be a string of 32 hexadecimal digits, not all 0");
    assert_refused("owner = ( { key = 1; } );", ":1: owner: unknown key in an entry");
    assert_refused(BUCKET "cookie = 1;", ":2: cookie: unknown key");
}

static void mistakes_of_form_name_the_line(void **state)
{
    assert_refused(BUCKET "owner = ( { id = 1; secret = \"" SECRET "\"; }\n", ":3: syntax error");
    assert_refused(BUCKET BUCKET, ":2: duplicate setting name");
}

static void files_that_others_read_are_refused(void **state)
{
    static const mode_t open[] = {0604, 0602, 0601, 0644};
    for (unsigned i = 0; i < TG_ARRAY_LEN(open); i++) {
        assert_int_equal(load_mode(OWNER SYN TUNNEL TICKET BUCKET, open[i]), TG_BAD_CONFIG);
        assert_string_equal(problem, ": others may read or write it: chmod 640, or 600");
    }
    assert_int_equal(secrets_load("/nonexistent/secrets", &secrets, problem), TG_BAD_CONFIG);
    assert_string_equal(problem, "/nonexistent/secrets: cannot be read");
    assert_int_equal(secrets_load("/tmp", &secrets, problem), TG_BAD_CONFIG);
    assert_string_equal(problem, "/tmp: is not a regular file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documented_form_is_read),
        cmocka_unit_test(two_keys_keep_their_order),
        cmocka_unit_test(ids_that_look_the_same_are_refused),
        cmocka_unit_test(missing_parts_are_named),
        cmocka_unit_test(wrong_types_and_values_are_refused),
        cmocka_unit_test(mistakes_of_form_name_the_line),
        cmocka_unit_test(files_that_others_read_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
