# SPDX-License-Identifier: BSD-3-Clause
"""Two sites' private keys lie at a key server on the customer's premises and nowhere else; both nodes serve them."""
import json
import os
import re
import signal
import socket
import ssl
import statistics
import sys
import threading
import time

from fleet import CA, RUN, TREE, Program, wait_for
from frame import Outcome, check

sys.path.insert(0, os.path.join(TREE, "tests/system"))
from key_search import file_holds, memory_holds, secrets_of  # noqa: E402

NUMBER = 4
TITLE = "Keyless SSL"
CODE = ["tls/keymsg.h", "tls/tls_keyless.c", "dataplane/proxy/keyless.c", "tls/keyserver"]
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
DEADLINE = 2.0  # of a key operation, seconds
HOME = "tidegate.test"
SITES = {"ECDSA": "ec.keyless.test", "RSA": "rsa.keyless.test"}
KEY_SERVER = Program("keyserver")
PREMISES = os.path.join(RUN, "premises")


def visit(site, name, version="1.3"):
    """A handshake with a new connection, verified, and the page; seconds of the handshake. Raises OSError."""
    context = ssl.create_default_context(cafile=CA)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    plain = socket.create_connection((site.address4, 443), 10)
    started = time.monotonic()
    with context.wrap_socket(plain, server_hostname=name) as sock:
        took = time.monotonic() - started
        sock.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    if not answer.startswith(b"HTTP/1.1 200 ") or b"It works" not in answer:
        raise OSError(f"{name}: {answer[:100]!r}")
    return took


def signatures():
    with open(os.path.join(RUN, "log/keyserver.jsonl")) as file:
        return [line for line in map(json.loads, file) if line.get("result") == "ok" and "op" in line]


def handshakes(fleet):
    """TLS 1.3 and 1.2, ECDSA and RSA, at both sites: the key server signs, the page comes"""
    before, took = len(signatures()), []
    for site in fleet.sites:
        for name in SITES.values():
            for version in VERSIONS:
                took.append(visit(site, name, version))
    ops = sorted({line["op"] for line in signatures()[before:]})
    signed = len(signatures()) - before
    check(signed == 8 and len(ops) == 2, f"8 handshakes, the key server signed {signed}: {ops}")
    before = len(signatures())
    home = [visit(site, HOME, version) for site in fleet.sites for version in VERSIONS]
    check(len(signatures()) == before, "the key server signed for a site whose key is at home")
    return Outcome(f"8 of 8 handshakes verified; the key server signed 8 ({', '.join(ops)})",
                   "a site with its key at home: 4 handshakes, the key server signed 0",
                   f"handshake median {statistics.median(took) * 1000:.1f} ms, key at home "
                   f"{statistics.median(home) * 1000:.1f} ms")


def node_files():
    """All that the run keeps for sites and store: state, logs, TLS files, the regions, etcd's data. Not the premises."""
    for folder, folders, files in os.walk(RUN):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in (PREMISES, f"{RUN}/bin", f"{RUN}/origin")]
        yield from (os.path.join(folder, f) for f in files)
    for site in "ab":
        with open(f"{RUN}/tidegate-{site}.conf") as file:
            yield re.search(r'^region = "(.*)";', file.read(), re.M)[1]


def places(needles):
    programs = [f"{name}-{site}" for site in "ab" for name in ("tidegate", "ctl", "bird")] + ["etcd"]
    found = [f"memory of {name}" for name in programs if memory_holds(Program(name).pid, needles)]
    return found + [path for path in node_files() if file_holds(path, needles)]


def search(fleet):
    """The private key is nowhere in memory or files of the sites and of the store between them"""
    for name in SITES.values():
        for site in fleet.sites:
            visit(site, name)
    sought = 0
    for kind in ("ec", "rsa"):
        needles = secrets_of(f"{PREMISES}/keys/{kind}.key")
        sought += len(needles)
        found = places(needles)
        check(not found, f"the private key of {kind}.keyless.test lies in {found}")
        check(memory_holds(KEY_SERVER.pid, needles), "not found at the key server either: the search is blind")
    home = places(secrets_of(f"{RUN}/tls/edge.key"))
    check("memory of tidegate-a" in home and "memory of tidegate-b" in home, f"a key that is at the sites: found in {home}")
    return Outcome(f"7 programs and {sum(1 for _ in node_files())} files searched for {sought} parts of both keys: 0 places",
                   f"the same search at the key server finds both; for the key of {HOME} it finds {len(home)} places at "
                   f"the sites")


def refused(site, name, version):
    """The alert that ends the handshake, and after how many seconds."""
    started = time.monotonic()
    try:
        visit(site, name, version)
    except ssl.SSLError as error:
        return error.reason, time.monotonic() - started
    except OSError as error:
        return repr(error), time.monotonic() - started
    return "page", time.monotonic() - started


def home_visits(site, stopping, out):
    while not stopping.is_set():
        try:
            out.append(visit(site, HOME))
        except OSError as error:
            out.append(repr(error))


def all_refused(fleet):
    """Every keyless handshake at both sites, while others visit a site with its key at home."""
    stopping, home, times = threading.Event(), [], []
    others = [threading.Thread(target=home_visits, args=(site, stopping, home)) for site in fleet.sites]
    for thread in others:
        thread.start()
    try:
        for site in fleet.sites:
            for name, version in zip(SITES.values(), VERSIONS):
                reason, took = refused(site, name, version)
                check("ALERT" in str(reason), f"{name} at {site.name}: {reason} instead of an alert")
                check(took < DEADLINE + 0.5, f"{name} at {site.name}: the alert came after {took:.1f} s")
                times.append(took)
    finally:
        stopping.set()
        for thread in others:
            thread.join()
    bad = [took for took in home if not isinstance(took, float)]
    check(home and not bad, f"visits of a site with its key at home: {bad}")
    return times, home


def key_server_gone(fleet):
    """Key server stopped, or frozen: an alert within the deadline; other sites do not notice"""
    os.kill(KEY_SERVER.pid, signal.SIGSTOP)
    try:
        frozen, home_frozen = all_refused(fleet)
    finally:
        os.kill(KEY_SERVER.pid, signal.SIGCONT)
    KEY_SERVER.stop()
    try:
        stopped, home_stopped = all_refused(fleet)
    finally:
        KEY_SERVER.start()

    def back():
        try:
            return all(visit(site, name) for site in fleet.sites for name in SITES.values())
        except OSError:
            return False
    check(wait_for(back, 10, 0.1), "the key server is back, its sites are not")
    home = home_frozen + home_stopped
    return Outcome(f"8 of 8 keyless handshakes ended by an alert; {len(home)} of {len(home)} visits of the other site well",
                   "key server there again: 4 of 4 keyless handshakes well",
                   f"alert after {max(frozen):.2f} s (frozen), {max(stopped):.2f} s (stopped); deadline {DEADLINE:.0f} s; "
                   f"other site's longest handshake {max(home) * 1000:.0f} ms")


CLAIMS = [handshakes, search, key_server_gone]
