# SPDX-License-Identifier: BSD-3-Clause
"""Two sites with one service address: what runs survives while the route flips from site to site, because the node that gets
a stray packet sends it to its owner. With forwarding off everything breaks. Forged and replayed tunnel packets are counted
and dropped."""
import hashlib
import json
import os
import re
import select
import socket
import struct
import subprocess
import time

import pytest

from anycast import LARGE, Fleet, Flow, Request, socket_in
from common import TREE, wait_for

FLIPS = 20
FLIP_SECONDS = 0.15
ETH_P_ALL = 3
TUNNEL_PORT = 6080


@pytest.fixture(scope="module")
def fleet():
    if "TIDEGATE_BUILD" not in os.environ:
        subprocess.run([os.path.join(TREE, "scripts/build"), "release", "xdp"], check=True, capture_output=True, timeout=900)
    with Fleet() as fleet:
        yield fleet


class More:
    """more = More(fleet.sites); more("name"): by how much a counter has grown at these sites together."""

    def __init__(self, *sites):
        self.sites = sites
        self.before = [site.counters() for site in sites]

    def __call__(self, name):
        return sum(site.counters()[name] - old[name] for site, old in zip(self.sites, self.before))


def idle_connections(fleet):
    """A connection of each family, accepted by each site, after a request."""
    idle = []
    for site in (0, 1):
        fleet.flip(site)
        for family in (4, 6):
            request = Request(fleet.connect(family))
            for origin in (4, 6):
                own = fleet.sites[site].own[origin].encode()
                assert request.get("/", f"origin{origin}.test") == own, "the origin sees the node's own address"
            idle.append(request)
    return idle


def flows_start(fleet, seconds):
    fleet.flip(0)
    return [Flow(fleet, family, upload, seconds) for family in (4, 6) for upload in (False, True)]


def test_everything_survives_the_flipping_route(fleet, note):
    idle = idle_connections(fleet)
    want = hashlib.sha256(LARGE).hexdigest()
    more = More(*fleet.sites)
    flows = flows_start(fleet, FLIPS * FLIP_SECONDS + 0.5)
    for flip in range(1, FLIPS + 1):
        fleet.flip(flip % 2)
        time.sleep(FLIP_SECONDS)
    assert all(flow.done for flow in flows)
    for flow in flows:
        flow.finish.set()
        flow.join(30)
        assert (flow.error, flow.result) == (None, want), (flow.upload, flow.done)
    for site in (1, 0):
        fleet.flip(site)
        for request in idle:
            assert request.get("/")
    out = more("steer_tunnel_out")
    assert out > 1000 and more("steer_by_timestamp") > 1000 and more("steer_tunnel_in") >= 0.9 * out
    for name in ("rst", "tunnel_too_big", "tunnel_no_path", "tunnel_limited", "tunnel_back"):
        assert more("steer_" + name) == 0, name
    note(f"{FLIPS} flips, 0 of {len(flows) + len(idle)} connections broken, {out} packets through the tunnel")


def test_control_without_forwarding_all_break(fleet, note):
    """The same connections, one flip, forwarding off: each is reset."""
    for site in fleet.sites:
        site.tgctl("fleet", "forward", "off")
    try:
        idle = idle_connections(fleet)
        more = More(*fleet.sites)
        flows = flows_start(fleet, 3)
        wait_for(lambda: all(flow.done > 1 << 20 for flow in flows))
        fleet.flip(1)
        for flow in flows:
            flow.join(30)
            assert isinstance(flow.error, (ConnectionResetError, BrokenPipeError)), (flow.upload, flow.error, flow.done)
        for number, request in enumerate(idle):
            fleet.flip(1 - number // 2)
            with pytest.raises((ConnectionResetError, BrokenPipeError)):
                request.get("/")
        assert more("steer_tunnel_out") == 0 and more("steer_rst") >= len(flows) + len(idle)
        note(f"{len(flows) + len(idle)} of {len(flows) + len(idle)} connections reset by one flip")
    finally:
        for site in fleet.sites:
            site.tgctl("fleet", "forward", "on")
    fleet.flip(0)
    request = Request(fleet.connect(4))
    assert request.get("/")
    fleet.flip(1)
    assert request.get("/"), "forwarding is on again"


def test_clients_without_timestamps(fleet, note):
    """The sequence number names the site of a connection that has sent less than 8 MiB."""
    fleet.timestamps(False)
    try:
        idle = idle_connections(fleet)
    finally:
        fleet.timestamps(True)
    more = More(*fleet.sites)
    for flip in range(6):
        fleet.flip(flip % 2)
        for request in idle:
            assert request.get("/")
    assert more("steer_by_sequence") >= 12 and more("steer_by_timestamp") == 0 and more("steer_rst") == 0
    note(f"{len(idle)} connections, {more('steer_tunnel_out')} packets through the tunnel")


def test_without_control_planes_and_over_their_restart(fleet):
    """Forwarding is the data plane's alone; tidegate-ctl comes back without a new generation."""
    idle = idle_connections(fleet)
    before = [site.generation() for site in fleet.sites]
    for site in fleet.sites:
        site.control_end()
    try:
        for to in (1, 0):
            fleet.flip(to)
            for request in idle:
                assert request.get("/")
    finally:
        for site in fleet.sites:
            site.start_control()
        for site in fleet.sites:
            wait_for(site.control_ready)
    assert [site.generation() for site in fleet.sites] == before
    for request in idle:
        assert request.get("/")


def keys_set(fleet, *generations):
    """The secrets file gets these keys for owners, SYN cookies and the tunnel, the first to make new ones with; then the
    nodes get them one after the other, while the route flips."""
    with open(fleet.secrets) as file:
        text = file.read()
    for use in ("owner", "syn", "tunnel"):
        keys = ", ".join(f'{{ id = {number}; secret = "{hashlib.md5(f"{use}{number}".encode()).hexdigest()}"; }}'
                         for number in generations)
        text = re.sub(rf"^{use} *=.*$", f"{use} = ( {keys} );", text, flags=re.M)
    with open(fleet.secrets, "w") as file:
        file.write(text)
    for site in fleet.sites:
        site.control_end()
        site.start_control()
        wait_for(site.control_ready)
        wait_for(site.applied)
        yield


def test_keys_change_under_living_connections(fleet):
    """The new key behind the old, then in front, then alone: what lives under the old one lives until that is gone."""
    for _ in keys_set(fleet, 1):
        pass
    old = idle_connections(fleet)
    more = More(*fleet.sites)
    for generations in ((1, 2), (2, 1)):
        for _ in keys_set(fleet, *generations):
            for to in (1, 0):
                fleet.flip(to)
                for request in old:
                    assert request.get("/")
    new = idle_connections(fleet)
    for _ in keys_set(fleet, 2):
        for to in (1, 0):
            fleet.flip(to)
            for request in new:
                assert request.get("/")
    assert more("steer_rst") == 0 and more("steer_tunnel_key") == 0 and more("steer_tunnel_bad_mac") == 0
    fleet.flip(1)
    with pytest.raises((ConnectionResetError, BrokenPipeError)):  # of site a; its key is gone
        old[0].get("/")
    assert old[2].get("/"), "and of site b, where the route leads"


def test_a_node_that_left_is_no_friend(fleet):
    """What a's tunnel brings is refused by b as soon as a is none of its nodes; and works again when it is."""
    a, b = fleet.sites
    fleet.flip(1)
    request = Request(fleet.connect(4))
    assert request.get("/")
    b.tgctl("node", "del", "a")
    fleet.flip(0)
    more = More(a, b)
    request.sock.sendall(b"GET / HTTP/1.1\r\nHost: fleet.test\r\n\r\n")
    wait_for(lambda: more("steer_tunnel_not_fleet"))
    assert more("steer_tunnel_in") == 0
    fleet.tell(b)
    assert request.file.read(request.head()) == b.own[4].encode(), "sent again, and answered"


def test_service_addresses_answer_arp_and_nd(fleet):
    """On either build, for a router that has them on its link."""
    for site in (0, 1):
        fleet.flip(site, on_link=True)
        for family in (4, 6):
            assert Request(fleet.connect(family)).get("/") == fleet.sites[site].own[4].encode()


def test_a_dead_node_s_connections_end(fleet, note):
    """A reset beats a hang: the owner that starts anew has no such connection, and says so to the ingress."""
    b = fleet.sites[1]
    fleet.flip(1)
    requests = [Request(fleet.connect(family)) for family in (4, 6)]
    for request in requests:
        assert request.get("/") == b.own[4].encode()
    fleet.flip(0)
    b.edge.kill()
    b.edge.wait()
    b.start_edge()
    wait_for(b.edge_ready)
    wait_for(lambda: json.loads(b.tgctl("fleet", "status").stdout)["member"] and b.applied())
    more = More(*fleet.sites)
    began = time.monotonic()
    for request in requests:
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            request.get("/")
    assert more("steer_tunnel_back") >= 2 and more("steer_rst") >= 2
    note(f"reset within {(time.monotonic() - began) * 1000:.0f} ms")
    fleet.flip(1)
    assert fleet.page(4) == fleet.page(6) == b.own[4].encode()


# --- strangers in the tunnel ---------------------------------------------------------------------------------------------

class Tap:
    """What the router sends to site b."""

    def __init__(self, fleet):
        def make():
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
            sock.bind(("tgfb1", ETH_P_ALL))
            return sock
        self.sock = socket_in(fleet.router, make)

    def tunnelled(self, request):
        """A packet from site a to site b through the tunnel, from its Ethernet header on: of a request that is answered."""
        self.sock.setblocking(False)
        while readable([self.sock], 0):
            self.sock.recv(4096)
        self.sock.settimeout(5)
        assert request.get("/")
        while True:
            frame = self.sock.recv(4096)
            if frame[12:14] == b"\x08\0" and frame[23] == 17 and struct.unpack("!H", frame[36:38])[0] == TUNNEL_PORT:
                return frame


def readable(sockets, seconds):
    return select.select(sockets, [], [], seconds)[0]


GUE = 14 + 20 + 8


def changed(frame, offset, value):
    """The frame with other bytes there; the UDP checksum is left out, which is allowed over IPv4."""
    frame = frame[:offset] + value + frame[offset + len(value):]
    return frame[:40] + b"\0\0" + frame[42:]


def source_changed(frame, source):
    head = frame[14:24] + b"\0\0" + socket.inet_aton(source) + frame[30:34]
    total = sum(struct.unpack("!10H", head))
    total = (total >> 16) + (total & 0xffff)
    total = ~(total + (total >> 16)) & 0xffff
    return changed(frame[:14] + head[:10] + struct.pack("!H", total) + head[12:] + frame[34:], GUE, frame[GUE:GUE + 1])


def forgeries(frame):
    """What makes b drop it, and the frame with that wrong."""
    return {
        "steer_tunnel_bad_mac": changed(frame, GUE + 31, bytes([frame[GUE + 31] ^ 1])),  # the MAC itself
        "steer_tunnel_bad_header": changed(frame, GUE + 4, b"\0\0"),  # the layout
        "steer_tunnel_key": changed(frame, GUE + 7, bytes([frame[GUE + 7] ^ 0x80])),
        "steer_tunnel_not_fleet": source_changed(frame, "10.91.0.9"),
    }


def test_forged_and_replayed_tunnel_packets(fleet, note):
    b = fleet.sites[1]
    fleet.flip(1)
    request = Request(fleet.connect(4))
    assert request.get("/") == b.own[4].encode()
    fleet.flip(0)
    tap = Tap(fleet)
    names = list(forgeries(tap.tunnelled(request)))
    for name in names:
        more = More(b)
        bad = forgeries(tap.tunnelled(request))[name]  # from a fresh one: old ones are refused as such
        taken = more("steer_tunnel_in")
        for _ in range(10):
            tap.sock.send(bad)
        wait_for(lambda: more(name) == 10)
        assert more("steer_tunnel_in") - taken <= 1, name  # the client's last acknowledgement may come late
    more = More(b)
    tap.sock.send(changed(tap.tunnelled(request), GUE + 32 + 24, b"xxxx"))  # of the packet inside: the MAC covers its head
    wait_for(lambda: more("steer_tunnel_bad_mac") == 1)

    # Replayed at once it is a duplicate, which TCP knows; later it is refused.
    frame = tap.tunnelled(request)
    more = More(b)
    for _ in range(10):
        tap.sock.send(frame)
    wait_for(lambda: more("steer_tunnel_in") + more("steer_tunnel_old") >= 10)
    assert more("http_requests") == 0 and request.get("/")
    time.sleep(2.1)
    more = More(b)
    for _ in range(10):
        tap.sock.send(frame)
    wait_for(lambda: more("steer_tunnel_old") == 10)
    assert more("steer_tunnel_in") == 0
    assert request.get("/"), "the connection lives on"
    shown = json.loads(b.tgctl("fleet", "status").stdout)["strangers"]
    assert all(shown[name] >= 10 for name in (*names, "steer_tunnel_old")), shown
    note(f"{10 * len(names) + 1} forged and 10 replayed: none taken")


# --- two nodes at one site -------------------------------------------------------------------------------------------------

def owners(fleet, count):
    """New connections over the first site's router, after a request: by the node that took them."""
    taken = {}
    for _ in range(count):
        request = Request(fleet.connect(4))
        taken.setdefault(request.get("/").decode(), []).append(request)
    return taken


def test_a_node_joins_a_site(fleet, note):
    """It takes its share of new connections, whichever of the two the router sends them to; living ones stay."""
    a = fleet.sites[0]
    fleet.flip(0)
    old = owners(fleet, 30)
    assert list(old) == [a.own[4]]
    fleet.join()
    c = fleet.sites[2]
    shared = owners(fleet, 40)
    assert set(shared) == {a.own[4], c.own[4]} and min(map(len, shared.values())) >= 5
    more = More(a, c)
    for to in (2, 0):
        fleet.flip(to)
        for requests in (*old.values(), *shared.values()):
            for request in requests:
                assert request.get("/")
    assert more("steer_rst") == 0 and more("steer_by_bucket") > 10
    note(f"{len(shared[c.own[4]])} of 40 new ones are the new node's, {more('steer_tunnel_out')} packets between the two")

    # and leaves: what it has lives on as long as the route leads there, new ones are the other's
    for node in fleet.sites[:2]:
        node.tgctl("node", "del", "c")
    assert list(owners(fleet, 20)) == [a.own[4]]
    for request in (*old[a.own[4]], *shared[a.own[4]]):
        assert request.get("/")
