# SPDX-License-Identifier: BSD-3-Clause
"""The control plane: drop rules, its death and return, and what it refuses."""
import json
import os
import signal
import threading
import time

import pytest

from support import (AUDIT, CLIENT4, CLIENT6, EDGE4, HTTPS, URL, URL6, Load, Reader, Wrk, connect, control_pid,
                     control_start, curl, run, tgctl, wait_for)


def page_arrives(url):
    return run("curl", "-fsSg", "-k", "-o", "/dev/null", "--max-time", "3", url + "/").returncode == 0


class Flow:
    """Asks for the page all the time on one connection and remembers when the last answer came."""

    def __init__(self):
        self.sock = connect(timeout=30)
        self.last = time.monotonic()
        self.count = 0
        self.ended = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        reader = Reader(self.sock)
        try:
            while not self.ended:
                self.sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert reader.answer().status == 200
                self.last = time.monotonic()
                self.count += 1
        except (OSError, AssertionError):
            pass

    def stop(self):
        self.ended = True
        self.thread.join(30)
        self.sock.close()


def test_drop_rule_stops_traffic_and_its_end_lets_it_flow(note):
    flow = Flow()
    assert wait_for(lambda: flow.count > 10, 10)
    asked = time.monotonic()
    rule = tgctl("rule", "add", "--src", f"{CLIENT4}/32")
    in_force = time.monotonic()
    time.sleep(0.3)
    stopped = flow.last
    count = flow.count
    assert stopped - asked < 2.0
    assert not page_arrives(URL), "IPv4 is dropped"
    assert page_arrives(URL6), "IPv6 is not"
    assert flow.count == count, "nothing came after the rule was in force"
    hits = [r["hits"] for r in tgctl("rule", "list") if r["id"] == rule["id"]]
    assert hits[0] > 0
    tgctl("rule", "del", str(rule["id"]))
    removed = time.monotonic()
    assert page_arrives(URL)
    again = time.monotonic()
    assert wait_for(lambda: flow.count > count, 20), "the old connection lives on"
    flow.stop()
    note(f"last answer {max(0, stopped - asked) * 1000:.0f} ms after the command began, "
         f"rule in force after {(in_force - asked) * 1000:.0f} ms, "
         f"a new connection got its page {(again - removed) * 1000:.0f} ms after del")


def test_drop_rule_ipv6_prefix_port_protocol():
    rule = tgctl("rule", "add", "--src", "2001:db8:2::/64", "--proto", "tcp", "--dport", "443")
    try:
        assert not page_arrives(URL6.replace("http:", "https:"))
        assert page_arrives(URL6)
        assert page_arrives(HTTPS)
    finally:
        tgctl("rule", "del", str(rule["id"]))
    assert page_arrives(URL6.replace("http:", "https:"))
    assert CLIENT6.startswith("2001:db8:2:")


def test_control_plane_dies_and_traffic_goes_on(note):
    """kill -9 under load: no request fails; the restarted one finds its tables and answers."""
    rule = tgctl("rule", "add", "--src", "203.0.113.77/32", "--proto", "udp")
    load, wrk = Load(), Wrk(URL + "/")
    time.sleep(0.5)
    for _ in range(3):
        before = tgctl("status")
        os.kill(control_pid(), signal.SIGKILL)
        assert wait_for(lambda: run("tgctl", "status").returncode == 3, 5)
        time.sleep(0.5)
        assert page_arrives(URL) and page_arrives(HTTPS)
        control_start()
        after = tgctl("status")
        assert after["region"]["attached"] and after["region"]["boot_id"] == before["region"]["boot_id"]
        assert after["resources"] == before["resources"]
        assert {kind: g["current"] for kind, g in after["generations"].items()} == \
            {kind: g["current"] for kind, g in before["generations"].items()}, "nothing was published anew"
        assert rule["id"] in [r["id"] for r in tgctl("rule", "list")]
    requests, errors = wrk.stop()
    done, failures = load.stop()
    tgctl("rule", "del", str(rule["id"]))
    note(f"3 kills, {requests + done} requests, 0 failed")
    assert not errors and not failures, f"{errors} {failures[:3]}"
    assert requests > 500 and done > 50


def test_control_plane_killed_while_it_changes_rules():
    """SIGKILL in the middle of changes: what was answered with 200 is there, and the traffic flows."""
    for _ in range(3):
        acknowledged = []

        def change():
            for n in range(250):
                done = run("tgctl", "-o", "json", "rule", "add", "--src", f"10.0.0.{n}/32")
                if done.returncode != 0:
                    return
                acknowledged.append(json.loads(done.stdout)["id"])
        thread = threading.Thread(target=change)
        thread.start()
        assert wait_for(lambda: len(acknowledged) > 5, 10)
        os.kill(control_pid(), signal.SIGKILL)
        thread.join()
        assert page_arrives(URL)
        control_start()
        there = {r["id"] for r in tgctl("rule", "list")}
        assert set(acknowledged) <= there
        for number in there:
            tgctl("rule", "del", str(number))
    assert tgctl("rule", "list") == []


def test_site_and_origin_are_resources():
    assert [o["name"] for o in tgctl("origin", "list")] == ["origin"]
    assert [s["name"] for s in tgctl("site", "list")] == ["default"]
    done = run("tgctl", "origin", "del", "origin")
    assert done.returncode == 1 and "default" in done.stderr, "a site uses it"


BAD = {
    "prefix": (["rule", "add", "--src", "198.51.100.1/33"], "/source"),
    "host bits": (["rule", "add", "--src", "198.51.100.1/24"], "/source"),
    "protocol": (["rule", "add", "--proto", "carrier-pigeon"], "/protocol"),
    "port": (["rule", "add", "--proto", "tcp", "--dport", "70000"], "/destination_port"),
    "origin address": (["origin", "add", "x", "--address", "example.com", "--port", "80"], "/address"),
    "unknown origin": (["site", "add", "x", "--host", "x.test", "--origin", "nobody"], "/origin"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_resource_names_the_field(name):
    words, pointer = BAD[name]
    done = run("tgctl", "-o", "json", *words)
    assert done.returncode == 1
    assert pointer in done.stdout + done.stderr


def test_api_speaks_problem_json():
    socket = os.environ["TIDEGATE_SOCKET"]
    for method, path, body, status in (("PUT", "/v1/rules/5", "{", 400), ("GET", "/v1/nothing", None, 404),
                                       ("PATCH", "/v1/rules/5", "{}", 405),
                                       ("PUT", "/v1/rules/5", '{"sorce": "::/0"}', 422)):
        data = ["--data-binary", body] if body else []
        done = run("curl", "-sS", "-i", "--unix-socket", socket, "-X", method, *data, "http://localhost" + path)
        head, _, document = done.stdout.partition("\n\n")
        assert f" {status} " in head.splitlines()[0], done.stdout
        assert "application/problem+json" in head.lower()
        assert json.loads(document)["status"] == status


def test_audit_file_is_json_lines():
    curl(URL + "/?q=<script>alert(1)</script>")
    assert wait_for(lambda: os.path.getsize(AUDIT) > 0, 5)
    with open(AUDIT) as file:
        for line in file:
            json.loads(line)


def test_status_and_stats():
    status = tgctl("status")
    assert status["data_plane"] == "running" and status["workers_alive"] == len(tgctl("workers"))
    assert EDGE4 and run("tgctl", "status").stdout and run("tgctl", "stats").stdout and run("tgctl", "workers").stdout
