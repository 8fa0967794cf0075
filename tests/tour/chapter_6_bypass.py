# SPDX-License-Identifier: BSD-3-Clause
"""Path A goes through the edge, path B straight to the origin. What closes path B: a client certificate that only the edge
has, a list of the edge's addresses in front of the origin; and an audit that says whether it is closed."""
import contextlib
import json
import os
import tempfile

import guarded
from chapter_3_proxy import ATTACKS, ask
from fleet import ORIGIN4, RUN, run, run_in, wait_for
from frame import Outcome, check

NUMBER = 6
TITLE = "The bypass matrix"
CODE = ["dataplane/proxy/origin_tls.c", "tls/tls_client.c", "ctrlplane/cli/origin_guard.c", "ctrlplane/cli/origin_audit.c"]
HOST = "pulls.tidegate.test"
GUARDED, OPEN, EXPIRED = 8444, 8445, 8446
servers = {}


def origins_there():
    if not servers:
        guarded.files_make()
        servers[GUARDED] = guarded.origin_start(ORIGIN4, GUARDED)
        servers[OPEN] = guarded.origin_start(ORIGIN4, OPEN, guard=False)
        servers[EXPIRED] = guarded.origin_start(ORIGIN4, EXPIRED, "expired", guard=False)


class PulledSite:
    """A site whose origin the edge asks over TLS; certificate=None: without a client certificate."""

    def __init__(self, fleet, port, certificate="edge"):
        self.fleet, self.port = fleet, port
        self.pull = ["--chain", guarded.path(f"{certificate}.pem"), "--key", guarded.path(f"{certificate}.key")] \
            if certificate else []

    def __enter__(self):
        origins_there()
        self.fleet.a.tgctl("origin", "add", "tour-pulls", "--address", ORIGIN4, "--port", str(self.port), "--tls",
                           "--server-name", guarded.NAME, "--ca", guarded.path("origins-ca.pem"), *self.pull)
        self.fleet.a.tgctl("site", "add", "tour-pulls", "--host", HOST, "--origin", "tour-pulls", "--waf")
        check(wait_for(lambda: any(s["name"] == "tour-pulls" for s in self.fleet.b.tgctl("site", "list")), 5),
              "the site does not reach b")
        return self

    def __exit__(self, *_):
        self.fleet.a.tgctl("site", "del", "tour-pulls")
        self.fleet.a.tgctl("origin", "del", "tour-pulls")

    def ask(self, site, *options):
        return ask(f"https://{site.address4}/", "-k", "-H", f"Host: {HOST}", *options)[0]


def pulls(fleet):
    """An origin that demands a client certificate refuses the attacker's handshake and takes the edge's"""
    origins_there()
    bare = guarded.direct(ORIGIN4, GUARDED)
    own = guarded.direct(ORIGIN4, GUARDED, "attacker")
    check("ALERT" in bare and "ALERT" in own, f"the attacker, without a certificate: {bare}, with his own: {own}")
    with PulledSite(fleet, GUARDED) as site:
        status = [site.ask(s) for s in fleet.sites]
        injected = site.ask(fleet.a, *ATTACKS["URI"])
        check(status == [200, 200], f"through the edge: {status}")
        check(injected == 403, f"an injection through the edge: {injected}")
    with PulledSite(fleet, GUARDED, None) as site:
        without = site.ask(fleet.a)
        check(without == 502, f"the edge without its certificate: {without}")
    open_direct = guarded.direct(ORIGIN4, OPEN)
    check(" 200 " in open_direct, f"straight to the unguarded origin: {open_direct}")
    return Outcome(f"attacker: {bare}, with a certificate of his own {own}; by way of both sites 200, an injection 403",
                   f"origin that demands none: the attacker's injection goes straight in, {open_direct}; edge without its "
                   f"certificate: {without}")


def expired(fleet):
    """An origin whose certificate has expired is not talked to"""
    with PulledSite(fleet, EXPIRED) as site, fleet.a.counting() as counters:
        status = site.ask(fleet.a)
    grown = {name: counters[name] for name in counters.after if name.startswith("origin_tls") and counters[name]}
    check(status == 502, f"an origin with an expired certificate: {status}")
    check(grown, "no counter of origins' TLS says why")
    with PulledSite(fleet, OPEN) as site:
        good = site.ask(fleet.a)
    check(good == 200, f"the same with a good certificate: {good}")
    return Outcome(f"502, counted ({', '.join(f'{k} {v}' for k, v in grown.items())})",
                   f"the same with a good certificate: {good}")


def audit(fleet, port):
    """tgctl's own look from the client's place: (exit status, "OPEN: why"). A reset that overtakes the alert is unclear to it:
    asked again."""
    for _ in range(3):
        done = fleet.a.tgctl("origin", "audit", "--address", ORIGIN4, "--port", str(port), "--tls", "--server-name",
                             guarded.NAME, "--timeout", "1000", check_status=False)
        check(done.returncode in (0, 4), f"tgctl origin audit: {done.stderr}")
        found = json.loads(done.stdout)[0]
        if found["verdict"] != "unclear":
            break
    return done.returncode, f"{found['verdict']}: {found['why']}"


@contextlib.contextmanager
def nftables(rules):
    """tgctl's list, loaded at the origin."""
    with tempfile.NamedTemporaryFile("w", suffix=".nft", dir=RUN) as file:
        file.write(rules)
        file.flush()
        run_in("origin", "nft", "-f", file.name)
    try:
        yield
    finally:
        run_in("origin", "nft", "delete", "table", "inet", "tidegate_origin")


@contextlib.contextmanager
def xdp(source):
    """tgctl's program, compiled, before the origin's network stack."""
    path = os.path.join(RUN, "tour-guard.bpf")
    with open(f"{path}.c", "w") as file:
        file.write(source)
    run("clang", "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu", "-c", f"{path}.c", "-o",
        f"{path}.o")
    run_in("origin", "ip", "link", "set", "dev", "eth0", "xdpgeneric", "obj", f"{path}.o", "sec", "xdp")
    try:
        yield
    finally:
        run_in("origin", "ip", "link", "set", "dev", "eth0", "xdpgeneric", "off")


def address_list(fleet, form, in_force):
    before = guarded.direct(ORIGIN4, OPEN)
    with PulledSite(fleet, OPEN) as site:
        text = run("tgctl", "-s", fleet.a.socket, "origin", "addresses", "--port", str(OPEN), "--format", form).stdout
        with in_force(text):
            after = guarded.direct(ORIGIN4, OPEN)
            status = [site.ask(s) for s in fleet.sites]
            closed = audit(fleet, OPEN)
    check(after.startswith("no connection"), f"the attacker with the list in force: {after}")
    check(status == [200, 200], f"by way of both sites with the list in force: {status}")
    check(closed[0] == 0 and closed[1].startswith("closed"), f"audit with the list in force: {closed}")
    check(" 200 " in before, f"the attacker without the list: {before}")
    return Outcome(f"attacker: {after}; by way of both sites {status[0]}, {status[1]}; audit says {closed[1]}",
                   f"without the list the attacker gets {before}")


def nftables_list(fleet):
    """The fleet's own addresses as nftables: the attacker gets no connection, both sites do"""
    return address_list(fleet, "nftables", nftables)


def xdp_list(fleet):
    """The same as an XDP program before the origin's network stack"""
    return address_list(fleet, "xdp", xdp)


def audits(fleet):
    """tgctl origin audit: closed for the origin that demands a certificate, open for the one that does not"""
    origins_there()
    closed, opened = audit(fleet, GUARDED), audit(fleet, OPEN)
    check(closed[0] == 0 and closed[1].startswith("closed"), f"the guarded origin: {closed}")
    check(opened[0] == 4 and opened[1].startswith("OPEN"), f"the unguarded origin: {opened}")
    return Outcome(f"guarded origin: exit {closed[0]}, {closed[1]}", f"unguarded origin: exit {opened[0]}, {opened[1]}")


CLAIMS = [pulls, expired, nftables_list, xdp_list, audits]
