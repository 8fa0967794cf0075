# SPDX-License-Identifier: BSD-3-Clause
"""Rows of a fleet.

ctrl.write_to_other_site: milliseconds from a PUT of a rule at one site's API until the rule is in force on the other
site's workers, over a real etcd on the same machine. Peer: the same etcd alone, from a put until a watcher has the
event, both over its JSON gateway: no validation, no tables, no workers. Interleaved, medians.

fleet.forward_latency: microseconds of a small GET over an open connection while the route leads its packets to the
other site, which sends them on to the owner through the tunnel; beside it, as the peer, the same request while the
route leads to the owner itself. Client, router, origin and both sites on this machine, the ports a TAP (DPDK build) and
a veth (XDP build): each way through the kernel is in it, as is the wake-up of a worker that sleeps. Alternating blocks,
medians."""
import base64
import contextlib
import ctypes
import http.client
import json
import os
import sys
import time

from measure import ROOT, median, say, version

sys.path.insert(0, os.path.join(ROOT, "tests/system/outside"))
import anycast  # noqa: E402
from fleet_site import ETCD_PORT, Fleet, wait_for  # noqa: E402

WRITES = 100
BLOCKS, GETS = 20, 50
CLONE_NEWNET = 0x40000000
RULE = {"protocol": "udp", "source": "198.18.0.0/15"}


def ours(writer, reader, number):
    began = time.monotonic()
    answer = writer.ask("PUT", f"/v1/rules/{number}", RULE)
    if answer.status != 201:
        raise SystemExit(f"bench: {answer}")
    wait_for(lambda: reader.in_force(answer.revision), 10, 0)
    return (time.monotonic() - began) * 1000


def text(value):
    return base64.b64encode(value.encode()).decode()


class Watcher:
    """A watch of etcd's gateway: one JSON line per event."""

    def __init__(self):
        self.writes = http.client.HTTPConnection("127.0.0.1", ETCD_PORT, timeout=10)
        self.stream = http.client.HTTPConnection("127.0.0.1", ETCD_PORT, timeout=10)
        self.stream.request("POST", "/v3/watch", json.dumps({"create_request": {
            "key": text("/bench/"), "range_end": text("/bench0")}}))
        self.events = self.stream.getresponse()
        self.events.readline()  # created

    def put(self, number):
        began = time.monotonic()
        self.writes.request("POST", "/v3/kv/put", json.dumps({
            "key": text(f"/bench/{number}"), "value": text(json.dumps(RULE))}))
        self.writes.getresponse().read()
        if b"events" not in self.events.readline():
            raise SystemExit("bench: etcd's watch brought no event")
        return (time.monotonic() - began) * 1000


def setns(fd):
    if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def inside(netns):
    """This thread in the network namespace."""
    with open("/proc/thread-self/ns/net") as back, open(f"/run/netns/{netns}") as there:
        setns(there.fileno())
        try:
            yield
        finally:
            setns(back.fileno())


def measure(fleet):
    fleet.etcd_start()
    for name in ("a", "b"):
        fleet.site(name).start()
    for site in fleet.sites:
        wait_for(site.connected)
    watcher = Watcher()
    sites, peer = [], []
    for i in range(WRITES):
        sites.append(ours(fleet.sites[i % 2], fleet.sites[1 - i % 2], i + 1))
        peer.append(watcher.put(i))
    return sites, peer


def write_to_other_site(rows):
    with Fleet() as fleet:
        with inside(fleet.netns):
            sites, peer = measure(fleet)
    say(f"ctrl.write_to_other_site: {WRITES} writes, ms: median {median(sites):.2f}, longest {max(sites):.2f}; "
        f"etcd alone {median(peer):.2f}, {max(peer):.2f}")
    rows.add("ctrl.write_to_other_site", median(sites), "ms", "etcd put to watch",
             version(["etcd", "--version"], "etcd"), median(peer), True)


def gets(request):
    took = []
    for _ in range(GETS):
        began = time.monotonic()
        if not request.get("/"):
            raise SystemExit("bench: the fleet gives no page")
        took.append((time.monotonic() - began) * 1e6)
    return took


def strays(site):
    return site.counters()["steer_tunnel_out"]


def forward_latency(rows):
    direct, forwarded = [], []
    with anycast.Fleet() as fleet:
        other = fleet.sites[1]
        fleet.flip(0)
        request = anycast.Request(fleet.connect(4))
        gets(request)
        for _ in range(BLOCKS):
            fleet.flip(0)
            before = strays(other)
            direct += gets(request)
            between = strays(other)
            fleet.flip(1)
            forwarded += gets(request)
            if between > before + GETS // 10 or strays(other) < between + GETS:
                raise SystemExit("bench: the requests did not go the way that they should")
    say(f"fleet.forward_latency: {BLOCKS * GETS} GETs each, us: direct {median(direct):.0f}, forwarded "
        f"{median(forwarded):.0f}: added {median(forwarded) - median(direct):.0f}")
    rows.add("fleet.forward_latency", median(forwarded), "us/request", "tidegate, direct", "same run",
             median(direct), True)


def run(rows):
    write_to_other_site(rows)
    forward_latency(rows)
