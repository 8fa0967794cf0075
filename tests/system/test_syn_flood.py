# SPDX-License-Identifier: BSD-3-Clause
"""A flood of SYNs from addresses that never answer: it fills the edge's half-open connections, and then the edge answers
with SYN cookies, so that the page is still there for everybody. When the flood is over, so are they."""
import random
import socket
import struct
import threading
import time

import pytest

from support import ALL_URLS, EDGE4, EDGE6, URL, WORKERS, Counters, curl, run, stats, wait_for
from test_bad_packets import ROUTER, Wire

FRAMES = 8000 * WORKERS  # connections = 16384 a worker: 4096 may be half open
BURST = 32
SPOOFED4, SPOOFED6 = "198.18.0.0/15", "2001:db8:bad::/48"
SYN, RST, ACK = 2, 4, 16


def words_sum(data):
    return sum(struct.unpack(f"!{len(data) // 2}H", data))


def checksum(total):
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


class Spoofer:
    """Frames by the thousand: a SYN, or the RST that ends what that SYN began."""

    def __init__(self, wire):
        mac = bytes.fromhex(wire.edge_mac.replace(":", "")) + bytes.fromhex(wire.mac.replace(":", ""))
        self.ether = {4: mac + b"\x08\0", 6: mac + b"\x86\xdd"}
        self.edge = {4: socket.inet_aton(EDGE4), 6: socket.inet_pton(socket.AF_INET6, EDGE6)}
        draw = random.Random(4)
        self.peers = [self.peer(draw, 4 + 2 * (i % 2)) for i in range(FRAMES)]

    def peer(self, draw, family):
        host = (struct.pack("!BBH", 198, 18 + draw.randrange(2), draw.randrange(1, 65535)) if family == 4 else
                bytes.fromhex("20010db80bad") + draw.randbytes(10))
        return family, host, draw.randrange(1024, 65536), draw.randrange(1 << 32)

    def frame(self, peer, flags):
        family, host, port, isn = peer
        options = bytes.fromhex("020405b40402080a0000000100000000" "01030307") if flags == SYN and port & 1 else b""
        tcp = struct.pack("!HHIIBBHHH", port, 80, (isn + (flags == RST)) & 0xffffffff, 0, (5 + len(options) // 4) << 4,
                          flags, 64240, 0, 0) + options
        both = host + self.edge[family]
        tcp = tcp[:16] + struct.pack("!H", checksum(words_sum(both + tcp) + 6 + len(tcp))) + tcp[18:]
        if family == 6:
            return self.ether[6] + struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + both + tcp
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0, 64, 6, 0)
        head = head[:10] + struct.pack("!H", checksum(words_sum(head + both)))
        return self.ether[4] + head + both + tcp

    def frames(self, flags):
        return [self.frame(peer, flags) for peer in self.peers]


class Flood:
    """All frames, again and again, in bursts with a short rest: the processors are few."""

    def __init__(self, wire, frames):
        self.sent = 0
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work, args=(wire.sock, frames))

    def work(self, sock, frames):
        while not self.stopping.is_set():
            for i, frame in enumerate(frames):
                try:
                    sock.send(frame)
                    self.sent += 1
                except OSError:  # the interface's queue is full
                    time.sleep(0.001)
                if i % BURST == 0:
                    time.sleep(0.0005)
                    if self.stopping.is_set():
                        return

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def in_router(*command):
    run("nsenter", f"--net={ROUTER}", "--", *command, check=True)


@pytest.fixture(scope="module")
def spoofer():
    """What is answered to the spoofed ones vanishes, as it would: no word comes back, not even by ICMP."""
    assert curl(URL + "/").status == 200
    wire = Wire()
    in_router("ip", "route", "add", "blackhole", SPOOFED4)
    in_router("ip", "-6", "route", "add", "blackhole", SPOOFED6)
    yield wire, Spoofer(wire)
    in_router("ip", "route", "del", "blackhole", SPOOFED4)
    in_router("ip", "-6", "route", "del", "blackhole", SPOOFED6)


def rises(name, at_least):
    before = stats()[name]
    return wait_for(lambda: stats()[name] - before >= at_least, 5)


def test_pages_under_a_syn_flood(spoofer, note):
    wire, spoofed = spoofer
    with Counters() as counters:
        with Flood(wire, spoofed.frames(SYN)) as flood:
            assert rises("tcp_syn_cookies_sent", 1000), stats()
            began, pages = time.monotonic(), 0
            while time.monotonic() - began < 1.5 or pages < 8:
                for url in ALL_URLS.values():
                    assert curl(url + "/", timeout=5).status == 200
                    pages += 1
    note(f"{flood.sent} SYNs, {counters['tcp_syn_cookies_sent']} cookies, {pages} pages")
    assert counters["tcp_accepted"] == pages, "each page's connection, and none of the flood's"
    # A SYN gets a cookie when its two buckets of the SYN cache are full; now and then one meets a free place.
    assert counters["tcp_syn_cookies_accepted"] >= pages * 9 // 10, counters.grew()
    for counter in ("tcp_full", "tcp_backlog_full", "tcp_syn_cookies_limited", "tcp_aborted"):
        assert counters[counter] == 0, counters.grew()


def test_stray_acks_make_no_connection(spoofer):
    """While cookies are out, ACKs with numbers of their own choice are looked at, and refused."""
    wire, spoofed = spoofer
    with Counters() as counters:
        for family, host, port, isn in spoofed.peers[:200]:
            wire.send(spoofed.frame((family, host, port ^ 1, isn), ACK))
        assert curl(URL + "/").status == 200
    assert counters["tcp_syn_cookies_bad"] >= 150, counters.grew()
    assert counters["tcp_accepted"] == 1, "only curl's"


def test_afterwards_no_cookie(spoofer):
    """Once the half-open connections are gone, so are the cookies, and connections are as they were."""
    wire, spoofed = spoofer
    frames = spoofed.frames(RST)

    def is_over():
        with Flood(wire, frames):
            time.sleep(0.8)
        with Counters() as counters:
            assert all(curl(url + "/").status == 200 for url in ALL_URLS.values())
        return counters["tcp_syn_cookies_sent"] == 0
    assert wait_for(is_over, 4)
