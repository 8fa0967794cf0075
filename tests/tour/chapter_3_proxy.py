# SPDX-License-Identifier: BSD-3-Clause
"""HTTPS in, pooled connections to the origin, SQL injections refused; what one site is told, the other does, from its own
memory, also when the store between them is gone."""
import json
import os
import re
import signal
import statistics
import tempfile
import time

from fleet import CA, ORIGIN4, RUN, SERVICE4, TREE, run, run_in, wait_for
from frame import Failed, Outcome, check

NUMBER = 3
TITLE = "Proxy, WAF, configuration"
CODE = ["dataplane/proxy/request.c", "waf/waf.h", "ctrlplane/fleet_etcd.c", "ctrlplane/fleet_keys.h"]
INJECTION = "1' OR '1'='1"
ATTACKS = {"URI": ["-G", "--data-urlencode", f"id={INJECTION}"], "header": ["-H", f"X-Search: {INJECTION}"],
           "form body": ["--data-urlencode", f"id={INJECTION}"]}
CLEAN = {"query": ["-G", "--data-urlencode", "q=it's a lovely day for O'Brien and sons"],
         "header": ["-H", "X-Search: O'Brien or sons"],
         "form body": ["--data-urlencode", "comment=Select a colour, then order 1 or 2 of them from the list"]}


def at(site):
    """curl's words for: whatever the route says, this site."""
    return ["--connect-to", f"{SERVICE4}::{site.address4}:"]


def ask(url, *options):
    """Status and X-Request-Id."""
    done = run("curl", "-sS", "-D", "-", "-o", "/dev/null", "--cacert", CA, "--max-time", "10", *options, url)
    heads = done.stdout.replace("\r", "")
    status = int(re.findall(r"^HTTP/1\.1 (\d{3})", heads, re.M)[-1])
    found = re.search(r"^x-request-id: (\S+)", heads, re.M | re.I)
    return status, found[1] if found else ""


def injections(fleet):
    """A SQL injection in the URI, in a header and in a form body is refused with 403 and an audit line"""
    rules = set()
    for name, options in ATTACKS.items():
        status, request_id = ask(f"https://{SERVICE4}/echo", *at(fleet.a), *options)
        check(status == 403, f"injection in the {name}: {status}")
        line = fleet.a.audit_line(request_id)
        check(line and line["blocked"] and line["status"] == 403, f"audit line of the injection in the {name}: {line}")
        rules.add(line["rule_id"])
    for name, options in CLEAN.items():
        status, _ = ask(f"https://{SERVICE4}/echo", *options)
        check(status == 200, f"a clean {name}: {status}")
    direct = {name: ask(f"http://{ORIGIN4}/echo", *options)[0] for name, options in ATTACKS.items()}
    fleet.a.tgctl("site", "add", "tour-off", "--host", "off.tidegate.test", "--origin", "origin")
    try:
        off = {name: ask(f"https://{SERVICE4}/echo", *at(fleet.a), "-H", "Host: off.tidegate.test", *options)[0]
               for name, options in ATTACKS.items()}
    finally:
        fleet.a.tgctl("site", "del", "tour-off")
    check(set(direct.values()) == set(off.values()) == {200}, f"controls: direct {direct}, WAF off {off}")
    return Outcome(f"3 of 3 refused with 403 and audited (rule {', '.join(map(str, sorted(rules)))}); 3 of 3 clean ones got 200",
                   "site with its WAF off: 3 of 3 got 200; straight to the origin: 3 of 3 got 200")


def origin_accepts():
    shown = run_in("origin", "cat", "/proc/net/snmp").stdout
    names, values = [line.split()[1:] for line in shown.splitlines() if line.startswith("Tcp:")]
    return int(values[names.index("PassiveOpens")])


def hundred(url, *options):
    """100 clients, one after the other, each with a connection of its own; connections that the origin took meanwhile."""
    before = origin_accepts()
    for _ in range(100):
        run("curl", "-fsS", "-o", "/dev/null", "--cacert", CA, "--max-time", "10", *options, url)
    return origin_accepts() - before


def pooled(fleet):
    """Requests of many clients share few connections to the origin"""
    with fleet.a.counting() as counters:
        ours = hundred(f"https://{SERVICE4}/", *at(fleet.a))
    direct = hundred(f"http://{ORIGIN4}/")
    check(ours <= 5, f"the origin took {ours} connections for 100 requests")
    check(direct == 100, f"straight to the origin: {direct} connections for 100 requests")
    return Outcome(f"100 HTTPS clients: the origin took {ours} new connections", f"100 clients straight to it: {direct}",
                   f"{counters['origin_reused']} requests on a pooled connection")


def in_force(site, revision):
    return site.status()["fleet"]["in_force"] >= revision


def rule_ids(site):
    return [rule["id"] for rule in site.tgctl("rule", "list")]


def write_travels(fleet, *words):
    """Milliseconds until a change written at a is in force on b's workers."""
    started = time.monotonic()
    answer = fleet.a.tgctl(*words)
    revision = fleet.a.status()["fleet"]["revision"]
    check(wait_for(lambda: in_force(fleet.b, revision), 5, 0.001), f"'{' '.join(words)}' at a is not in force at b in 5 s")
    return (time.monotonic() - started) * 1000, answer


def reachable(site, patience=0.7):
    return run("curl", "-fsS", "-o", "/dev/null", "--max-time", str(patience), f"http://{site.address4}/",
               check_status=False).returncode == 0


def rule_travels(fleet):
    """A rule written by the API at site a is in force at site b within a second"""
    took = []
    rule = ["rule", "add", "--dst", f"{fleet.b.address4}/32", "--proto", "tcp", "--dport", "80"]
    for _ in range(5):
        check(reachable(fleet.b, 5), "site b's own address does not answer before the rule")
        add, answer = write_travels(fleet, *rule)
        check(not reachable(fleet.b), "the rule is in force at b, and its packets still pass")
        remove, _ = write_travels(fleet, "rule", "del", str(answer["id"]))
        check(reachable(fleet.b, 5), "the rule is gone, and packets do not pass")
        took += [add, remove]
    check(max(took) < 1000, f"a change took {max(took):.0f} ms")
    # the control: nothing but the store carries it
    os.kill(fleet.etcd.pid, signal.SIGSTOP)
    try:
        before = rule_ids(fleet.b)
        done = fleet.a.tgctl(*rule, check_status=False)
        check(done.returncode != 0, "with the store frozen a write is answered as done")
        check(rule_ids(fleet.b) == before and reachable(fleet.b, 5), "with the store frozen the rule came to b")
        said = json.loads(done.stdout or "{}") if done.stdout.startswith("{") else {}
    finally:
        os.kill(fleet.etcd.pid, signal.SIGCONT)
    settle(fleet)
    return Outcome(f"in force on b's worker after {statistics.median(took):.0f} ms (median of {len(took)} changes, tgctl's "
                   f"start included), longest {max(took):.0f} ms",
                   f"store frozen: the write at a is refused ({said.get('status', done.stderr.strip()[:80])}), b unchanged")


def settle(fleet):
    """Both sites connected to the store again, all of it in force, no rule left."""
    for site in fleet.sites:
        def well(site=site):
            state = site.status()["fleet"]
            return state["connected"] and state["in_force"] == state["revision"]
        check(wait_for(well, 20, 0.02), f"site {site.name} does not come back to the store: {site.status()['fleet']}")
    for rule in rule_ids(fleet.a):
        fleet.a.tgctl("rule", "del", str(rule))
    check(wait_for(lambda: not rule_ids(fleet.b), 5), "rules stay at b")


def store_gone(fleet):
    """With etcd killed in mid-watch both sites go on serving; writes are refused with a message that names the store"""
    fleet.etcd.stop(signal.SIGKILL)
    try:
        for site in fleet.sites:
            check(wait_for(lambda site=site: not site.status()["fleet"]["connected"], 10), f"{site.name} does not notice")
        pages = 0
        for _ in range(20):
            fleet.both_serve()
            pages += 2
        done = fleet.a.tgctl("rule", "add", "--src", "198.18.0.0/15", check_status=False)
        message = (done.stdout + done.stderr).strip()
        check(done.returncode == 1 and os.environ["TIDEGATE_STORE"] in message, f"a write without the store: {message}")
        injected, _ = ask(f"http://{SERVICE4}/echo", *at(fleet.a), *ATTACKS["URI"])
        check(injected == 403, f"the WAF without the store: {injected}")
    finally:
        fleet.etcd.start()
    started = time.monotonic()
    settle(fleet)
    back = time.monotonic() - started
    took, answer = write_travels(fleet, "rule", "add", "--src", "198.18.0.0/15")
    fleet.a.tgctl("rule", "del", str(answer["id"]))
    settle(fleet)
    return Outcome(f"{pages} of {pages} pages served by both sites, WAF in force",
                   f"the one thing that needs the store, a write, is refused: {json_detail(message)}",
                   f"both connected {back:.1f} s after etcd's start; the next change took {took:.0f} ms")


def json_detail(text):
    try:
        problem = json.JSONDecoder().raw_decode(text[text.index("{"):])[0]
        where = f" (rule at index {problem['index']})" if "index" in problem else ""
        return problem["detail"].rstrip(".") + where
    except (ValueError, KeyError):
        return text.splitlines()[0][:160]


def bad_rule(fleet):
    """A WAF rule that does not compile is refused with its place and changes nothing"""
    with open(os.path.join(TREE, "scripts/waf-rules.json")) as file:
        rules = json.load(file)
    broken = rules + [{"id": 7, "targets": ["uri"], "pattern": "not(fine", "message": "m", "action": "block"}]
    good = rules + [{"id": 7, "targets": ["uri"], "pattern": "tour-word", "message": "m", "action": "block"}]
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=RUN) as file:
        def load(content):
            file.seek(0)
            file.truncate()
            json.dump(content, file)
            file.flush()
            return fleet.a.tgctl("waf", "load", file.name, check_status=False)
        done = load(broken)
        message = (done.stdout + done.stderr).strip()
        check(done.returncode == 1 and f"index {len(rules)}" in json_detail(message), f"a bad rule: {message}")
        check(ask(f"http://{SERVICE4}/echo", *at(fleet.a), *ATTACKS["URI"])[0] == 403, "the old rules are gone")
        try:
            accepted = load(good)
            check(accepted.returncode == 0, f"the same with the pattern mended: {accepted.stderr}")
            check(ask(f"http://{SERVICE4}/?q=tour-word", *at(fleet.a))[0] == 403, "the new rule is not in force")
        finally:
            load(rules)
    if not wait_for(lambda: ask(f"http://{SERVICE4}/?q=tour-word", *at(fleet.a))[0] == 200, 5, 0.05):
        raise Failed("the old rules do not come back")
    return Outcome(f"refused: {json_detail(message)}; the old rules stay in force",
                   "the same rules with the pattern mended are taken, and in force at once")


CLAIMS = [injections, pooled, rule_travels, store_gone, bad_rule]
