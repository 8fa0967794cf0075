# SPDX-License-Identifier: BSD-3-Clause
"""The exception TAP from outside (exception_lab.py): the kernel behind tidegate and the router reach each other while
tidegate serves; a flood does not silence BGP; without tidegate there is no TAP, and no route by it."""
import os
import signal
import subprocess
import threading
import time

import pytest

from common import BUILD, TREE, wait_for
from exception_lab import KERNEL4, KERNEL6, OURS4, OURS6, ROUTER4, ROUTER6, TAP, Lab, config

PEERS = [("router", KERNEL4), ("router", KERNEL6), ("kernel", ROUTER4), ("kernel", ROUTER6)]

# argv: address. An echo request and its answer, five times; prints how many came back whole.
PING = """
import os, socket, sys, time
six = ":" in sys.argv[1]
s = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_RAW, 58 if six else 1)
s.settimeout(5)
def checksum(b):
    total = sum(int.from_bytes(b[i:i + 2], "big") for i in range(0, len(b), 2))
    return ~(total + (total >> 16) + (total >> 32)) & 0xffff
count = 0
for sequence in range(5):
    ident = os.getpid() & 0xffff
    body = ident.to_bytes(2, "big") + sequence.to_bytes(2, "big") + os.urandom(1400)
    head = bytes([128 if six else 8, 0])
    total = 0 if six else sum(int.from_bytes((head + b"\\0\\0" + body)[i:i + 2], "big") for i in range(0, 1408, 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    s.sendto(head + (0 if six else ~total & 0xffff).to_bytes(2, "big") + body, (sys.argv[1], 0))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        answer = s.recv(2000)
        answer = answer if six else answer[20:]
        if answer[0] == (129 if six else 0) and answer[4:] == body:
            count += 1
            break
print(count)
"""

# argv: address, port. Counts what one connection brings, and answers with the digest.
SINK = """
import hashlib, socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind((sys.argv[1], int(sys.argv[2])))
s.listen()
print("ready")
connection, _ = s.accept()
digest = hashlib.sha256()
while True:
    piece = connection.recv(65536)
    if not piece:
        break
    digest.update(piece)
connection.sendall(digest.hexdigest().encode())
connection.close()
"""

# argv: address, port, bytes. Sends that much, prints "the same" when the answer is the digest of it.
SOURCE = """
import hashlib, os, socket, sys
c = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
c.settimeout(60)
data = os.urandom(int(sys.argv[3]))
c.sendall(data)
c.shutdown(socket.SHUT_WR)
print("the same" if c.recv(100).decode() == hashlib.sha256(data).hexdigest() else "another")
"""

# argv: address. A BGP speaker as far as TCP goes: gives back what it gets.
ECHO = """
import socket, sys
s = socket.create_server((sys.argv[1], 179), family=socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
print("ready")
c, _ = s.accept()
while True:
    piece = c.recv(4096)
    if not piece:
        break
    c.sendall(piece)
"""

# argv: address, seconds. Keepalives of 19 bytes over one connection with TTL security (RFC 5082), as BIRD's "ttl security
# on" makes it; prints count, the longest answer in ms, and segments sent again (tcpi_total_retrans of linux/tcp.h).
KEEPALIVE = """
import socket, sys, time
six = ":" in sys.argv[1]
c = socket.socket(socket.AF_INET6 if six else socket.AF_INET)
c.setsockopt(*((socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS) if six else (socket.IPPROTO_IP, socket.IP_TTL)), 255)
c.settimeout(10)
c.connect((sys.argv[1], 179))
end, worst, count = time.monotonic() + float(sys.argv[2]), 0, 0
while time.monotonic() < end:
    begun = time.monotonic()
    c.sendall(bytes(19))
    got = 0
    while got < 19:
        piece = c.recv(19 - got)
        assert piece, "closed"
        got += len(piece)
    worst, count = max(worst, time.monotonic() - begun), count + 1
    time.sleep(0.02)
print(count, round(worst * 1000),
      int.from_bytes(c.getsockopt(socket.IPPROTO_TCP, 11, 104)[100:104], "little"))
"""

# argv: interface, destination hardware address, seconds, kind. From many sources far away: "udp" to addresses that are not
# tidegate's, the kernel's own among them, or "bgp": SYNs to the kernel's port 179. At most 40,000 a second, which is some
# times what the kernel may get, and what a virtual port carries: losses in the port are not what is tested. Prints how many.
FLOOD = """
import socket, sys, time
def checksum(b):
    total = sum(int.from_bytes(b[i:i + 2], "big") for i in range(0, len(b), 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return (~total & 0xffff).to_bytes(2, "big")
def frame(number):
    source, tcp = bytes((203, 0, 113, 2 + number)), sys.argv[4] == "bgp"
    destination = bytes((198, 51, 100, 18 if tcp else 18 + number % 12))
    if tcp:
        l4 = bytearray((30000 + number).to_bytes(2, "big") + bytes.fromhex("00b3 00000001 00000000 5002 1000 0000 0000"))
        l4[16:18] = checksum(source + destination + bytes((0, 6, 0, 20)) + l4)
    else:
        l4 = bytes.fromhex("c0001388 001c 0000") + bytes(20)
    ip = bytearray.fromhex("4500") + (20 + len(l4)).to_bytes(2, "big") + \\
        bytes.fromhex("00004000") + bytes((60, 6 if tcp else 17, 0, 0)) + source + destination
    ip[10:12] = checksum(ip)
    return bytes.fromhex(sys.argv[2].replace(":", "") + "020000000009 0800") + bytes(ip) + bytes(l4)
frames = [frame(i) for i in range(240)]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind((sys.argv[1], 0))
print("ready")
begun, count = time.monotonic(), 0
while time.monotonic() < begun + float(sys.argv[3]):
    for f in frames:
        try:
            s.send(f)
        except OSError:
            time.sleep(0.0001)
        count += 1
        if count % 20 == 0:
            time.sleep(max(0, begun + count / 40000 - time.monotonic()))
print(count)
"""


@pytest.fixture(scope="module", params=[("af-xdp", 1), ("af-xdp", 2), ("tap", 1)], ids=lambda p: f"{p[0]}-{p[1]}")
def lab(request):
    kind, workers = request.param
    with Lab(kind, workers) as made:
        yield made


def python(lab, role, program, *arguments, timeout=120):
    done = lab.run(role, "/usr/bin/python3", "-c", program, *map(str, arguments), check=False, timeout=timeout)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("role,address", PEERS)
def test_ping(lab, role, address):
    assert python(lab, role, PING, address) == "5"


class Pages(threading.Thread):
    """curl again and again, until ended."""

    def __init__(self, lab):
        super().__init__()
        self.lab, self.ending, self.statuses = lab, False, []

    def run(self):
        while not self.ending:
            self.statuses += [self.lab.page(OURS4), self.lab.page(OURS6)]

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *error):
        self.ending = True
        self.join()


def test_transfers_beside_pages(lab, note):
    """Whole and right over the TAP, in both directions and families, while tidegate serves."""
    with Pages(lab) as pages:
        for number, (role, address) in enumerate(PEERS):
            other = "kernel" if role == "router" else "router"
            sink = lab.python(other, SINK, address, str(5000 + number))
            assert python(lab, role, SOURCE, address, 5000 + number, 4 << 20) == "the same"
            sink.wait(10)
    assert len(pages.statuses) >= 4 and set(pages.statuses) == {"200"}, pages.statuses
    counters = lab.counters()
    assert counters["exception_in"] > 5000 and counters["exception_out"] > 5000
    note(f"4 x 4 MiB beside {len(pages.statuses)} pages, {counters.get('exception_policed', 0)} frames policed")


@pytest.mark.parametrize("kind,address", [("udp", KERNEL4), ("udp", KERNEL6), ("bgp", KERNEL4)])
def test_flood_does_not_silence_bgp(lab, note, kind, address):
    """Neither one at all that is not ours, nor one at BGP's own port."""
    seconds = 4
    lab.python("kernel", ECHO, address)
    before = lab.counters()
    flood = lab.python("router", FLOOD, lab.router_interface, lab.mac(), str(seconds), kind)
    with Pages(lab) as pages:
        count, worst, again = map(int, python(lab, "router", KEEPALIVE, address, seconds - 1).split())
    sent = int(flood.stdout.readline())
    assert flood.wait(10) == 0
    now = lab.counters()
    policed, spared = ("exception_policed", "exception_policed_control")[::1 if kind == "udp" else -1]
    dropped = now.get(policed, 0) - before.get(policed, 0)
    assert sent > 50_000 and dropped > 1000, (sent, dropped)
    assert now.get(spared, 0) == before.get(spared, 0)
    assert count >= 5 and worst < 5000, (count, worst, again)
    assert set(pages.statuses) <= {"200"}, pages.statuses
    note(f"{sent // seconds // 1000} k frames/s, {dropped * 100 // sent} % policed; {count} keepalives, slowest {worst} ms, "
         f"{again} lost")


def test_our_own_traffic_never_reaches_the_kernel(lab):
    """UDP to tidegate's own address is dropped as ever, TCP is served; the kernel sees neither."""
    before = lab.counters().get("exception_in", 0)
    send = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n" \
           "for i in range(50): s.sendto(b'x', (sys.argv[1], 53))"
    dropped = lab.counters().get("net_protocol", 0)
    python(lab, "router", send, OURS4)
    assert lab.page(OURS4) == "200"

    def counted():
        """50 datagrams dropped as net_protocol"""
        return lab.counters().get("net_protocol", 0) - dropped >= 50
    wait_for(counted)
    assert lab.counters().get("exception_in", 0) - before < 20  # the link's own chatter


@pytest.mark.parametrize("kind", ["af-xdp", "tap"])
def test_tap_and_routes_go_with_tidegate(kind):
    """BIRD withdraws what has no interface."""
    with Lab(kind, number=1) as lab:
        lab.ip("kernel", "route", "add", "192.0.2.1/32", "dev", TAP)
        lab.ip("kernel", "-6", "route", "add", "2001:db8:f::1/128", "dev", TAP)
        assert "192.0.2.1" in lab.ip("kernel", "route")
        lab.tidegate.send_signal(signal.SIGKILL)

        def gone():
            """no TAP and no route"""
            return TAP not in lab.ip("kernel", "link") and "192.0.2.1" not in lab.ip("kernel", "route") and \
                "2001:db8:f::1" not in lab.ip("kernel", "-6", "route")
        wait_for(gone, 5)


def test_tap_down_and_deleted():
    """What the operator does to the interface costs the kernel its traffic, and tidegate nothing."""
    with Lab("af-xdp", number=3) as lab:
        lab.ip("kernel", "link", "set", TAP, "down")
        lab.run("router", "/usr/bin/python3", "-c", PING.replace("settimeout(5)", "settimeout(0.3)"), KERNEL4, check=False)

        def refused():
            """frames that the TAP did not take"""
            return lab.counters().get("exception_refused", 0) > 0
        wait_for(refused, 5)
        assert lab.page(OURS4) == "200"
        lab.ip("kernel", "link", "set", TAP, "up")
        assert python(lab, "router", PING, KERNEL4) == "5"
        lab.ip("kernel", "link", "delete", TAP)

        def told():
            """the log says that the interface has been deleted"""
            return f"interface {TAP} has been deleted" in lab.log("tidegate.log")
        wait_for(told, 5)
        assert lab.page(OURS4) == "200" and lab.page(OURS6) == "200"
        lab.tidegate.terminate()
        assert lab.tidegate.wait(10) == 0


# BFD counts a peer as dead after 5 x 300 ms: a test must not hang on a busy machine's moods, and 1.5 s of silence
# would be a real failure.
BIRD = """
router id {own4};
protocol device {{ }}
protocol bfd {{ interface "{interface}" {{ min rx interval 300 ms; min tx interval 300 ms; multiplier 5; }}; }}
{routes}
template bgp peer {{
    local as {own_as}; hold time 9; bfd on;
    connect delay time 1; connect retry time 1; error wait time 1, 2;
}}
protocol bgp peer4 from peer {{ source address {own4}; neighbor {peer4} as {peer_as}; ipv4 {{ {ipv4} }}; }}
protocol bgp peer6 from peer {{ source address {own6}; neighbor {peer6} as {peer_as}; ipv6 {{ {ipv6} }}; }}
"""


class Bird:
    def __init__(self, lab, role, **values):
        self.lab, self.role = lab, role
        self.path = os.path.join(lab.folder, f"bird-{role}")
        with open(self.path + ".conf", "w") as file:
            file.write(BIRD.format(**values))
        lab.spawn(role, f"bird-{role}.log", "/usr/sbin/bird", "-f", "-c", self.path + ".conf", "-s", self.path + ".ctl",
                  "-P", self.path + ".pid")

    def ask(self, *words):
        return self.lab.run(self.role, "birdc", "-s", self.path + ".ctl", *words, check=False).stdout

    def sessions(self):
        """peer -> since when it is up (in seconds; BIRD tells the same moment a millisecond apart), for BGP by the protocol's
        name, for BFD by address."""
        lines = [line.split() for line in (self.ask("show", "protocols") + self.ask("show", "bfd", "sessions")).split("\n")]
        clock = {line[0]: line[4 if line[1] == "BGP" else 3].split(":") for line in lines
                 if len(line) >= 6 and (line[1] == "BGP" and line[5] == "Established" or line[2] == "Up")}
        return {peer: int(h) * 3600 + int(m) * 60 + float(s) for peer, (h, m, s) in clock.items()}


def same_sessions(before, after):
    """None has broken in between: a new one would be younger."""
    return before.keys() == after.keys() and all(abs(before[peer] - after[peer]) < 0.5 for peer in before)


def bird_pair(lab):
    site = Bird(lab, "kernel", own4=KERNEL4, own6=KERNEL6, peer4=ROUTER4, peer6=ROUTER6, own_as=64500, peer_as=64496,
                interface=TAP, routes=f'protocol static {{ ipv4; route 192.0.2.1/32 via "{TAP}"; }}\n'
                f'protocol static {{ ipv6; route 2001:db8:f::1/128 via "{TAP}"; }}',
                ipv4=f"import none; export filter {{ bgp_next_hop = {OURS4}; accept; }};",
                ipv6=f"import none; export filter {{ bgp_next_hop = {OURS6}; accept; }};")
    router = Bird(lab, "router", own4=ROUTER4, own6=ROUTER6, peer4=KERNEL4, peer6=KERNEL6, own_as=64496, peer_as=64500,
                  interface=lab.router_interface, ipv4="import all; export none;", ipv6="import all; export none;",
                  routes="protocol kernel { ipv4 { import none; export all; }; }\n"
                  "protocol kernel { ipv6 { import none; export all; }; }")
    return site, router


def announced(lab):
    """Which of the two service addresses the router's kernel sends to tidegate."""
    return [f"via {OURS4} " in lab.ip("router", "route", "show", "192.0.2.1"),
            f"via {OURS6} " in lab.ip("router", "-6", "route", "show", "2001:db8:f::1")]


def test_bird_announces_and_withdraws(note):
    """BGP and BFD, both families, over the TAP; a flood breaks no session; tidegate's end takes the routes away."""
    with Lab("af-xdp", number=2) as lab:
        site, _ = bird_pair(lab)

        def up():
            """both routes at the router, two BGP and two BFD sessions"""
            return announced(lab) == [True, True] and len(site.sessions()) == 4
        wait_for(up, 30)
        before = site.sessions()
        flood = lab.python("router", FLOOD, lab.router_interface, lab.mac(), "4", "udp")
        flood.wait(30)
        assert same_sessions(before, site.sessions()) and announced(lab) == [True, True]
        lab.tidegate.send_signal(signal.SIGKILL)
        begun = time.monotonic()

        def withdrawn():
            """no route to the service at the router"""
            return announced(lab) == [False, False]
        wait_for(withdrawn, 8)
        note(f"{len(before)} sessions through the flood; routes gone {time.monotonic() - begun:.1f} s after kill -9")


def refused(folder, build, text):
    path = os.path.join(folder, "refused.conf")
    with open(path, "w") as file:
        file.write(text)
    done = subprocess.run(["unshare", "--net", "sh", "-c",
                           "ip link add eth0 type veth peer name eth1 && ip link set eth0 up && ip link set eth1 up && "
                           f"exec '{build}/dataplane/tidegate' -c '{path}'"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    return done.stderr.strip().split("\n")[-1]


def test_name_of_another_interface_is_refused(tmp_path):
    text = config(tmp_path, "net_tap0,iface=tgt0", exception="eth1")
    assert refused(tmp_path, BUILD, text) == \
        "tidegate: node.exception: TAP eth1: an interface of this name is there: remove it, or choose another name"


def test_build_without_dpdk_needs_none_and_says_so(tmp_path):
    subprocess.run([os.path.join(TREE, "scripts/run"), "--xdp", "--", "true"], check=True, capture_output=True, timeout=900)
    text = config(tmp_path, "eth0")
    assert refused(tmp_path, os.path.join(TREE, "build-xdp"), text) == \
        'tidegate: node.exception: in this build the driver leaves what is not ours to the kernel, on eth0 itself: ' \
        'set exception = ""'
