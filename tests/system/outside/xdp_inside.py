# SPDX-License-Identifier: BSD-3-Clause
"""An edge of the XDP build under floods; run by test_xdp.py inside scripts/run --xdp. Each claim has its control: the
same packets without the rule, the same connection to an address that is not ours."""
import ctypes
import os
import random
import re
import socket
import struct
import sys
import threading

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from support import ALL_URLS, EDGE4, EDGE_PID, URL, Counters, curl, origin_file, run, sha256_file, tgctl, wait_for  # noqa: E402

ROUTER = os.environ["TIDEGATE_ROUTER_NETNS"]
PORT = os.environ["TIDEGATE_ROUTER_PORT"]
KERNEL4 = "192.0.2.9"  # of the kernel, on the same interface
CLONE_NEWNET = 0x40000000
FLOOD = 20000


def socket_in(namespace, make):
    """A socket that make() opens in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as mine, open(namespace) as other:
        assert libc.setns(other.fileno(), CLONE_NEWNET) == 0
        try:
            return make()
        finally:
            assert libc.setns(mine.fileno(), CLONE_NEWNET) == 0


class Wire(socket.socket):
    """A packet socket on the router's interface to the edge."""

    def __init__(self):
        super().__init__(socket.AF_PACKET, socket.SOCK_RAW, 0)
        self.bind((PORT, 0))
        shown = run("nsenter", f"--net={ROUTER}", "--", "ip", "neigh", "show", EDGE4).stdout
        self.edge = bytes.fromhex(re.search(r"lladdr (\S+)", shown)[1].replace(":", ""))


@pytest.fixture(scope="module")
def wire():
    curl(URL + "/")
    sock = socket_in(ROUTER, Wire)
    yield sock
    sock.close()



def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def ip4(sock, source, proto, payload):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, proto, 0, socket.inet_aton(source),
                       socket.inet_aton(EDGE4))
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return sock.edge + b"\x02\0\0\0\0\x01" + b"\x08\0" + head + payload


def spoofed(sock, draw):
    source = f"198.18.{draw.randrange(256)}.{draw.randrange(1, 255)}"
    return ip4(sock, source, 17, struct.pack("!HHHH", draw.randrange(1, 65536), 53, 8 + 22, 0) + bytes(22))


def tcp(sock, flags, offset=5, sport=4000, dport=80):
    return ip4(sock, "198.51.100.1", 6, struct.pack("!HHIIBBHHH", sport, dport, 1, 0, offset << 4, flags, 1024, 0, 0))


class Asking:
    """The page, again and again, beside the flood."""

    def __enter__(self):
        self.stopping = threading.Event()
        self.statuses = []
        self.thread = threading.Thread(target=self.work)
        self.thread.start()
        return self

    def work(self):
        while not self.stopping.is_set():
            self.statuses.append(curl(URL + "/").status)

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()


def flood(sock, frames):
    with Asking() as asking, Counters() as counters:
        for frame in frames:
            sock.send(frame)
        curl(URL + "/")
    assert set(asking.statuses) == {200} and len(asking.statuses) >= 3
    return counters


def test_pages():
    for url in ALL_URLS.values():
        assert curl(url + "/").status == 200


def test_large_download(tmp_path):
    """100 MB by two workers on one queue, byte for byte."""
    whole = origin_file("large", 100 << 20)
    got = str(tmp_path / "got")
    assert run("curl", "-sSf", "-o", got, URL + "/large").returncode == 0
    assert sha256_file(got) == sha256_file(whole)
    os.unlink(got)


def test_no_hugepage():
    with open(f"/proc/{EDGE_PID}/smaps") as file:
        assert not re.search(r"^(Shared|Private)_Hugetlb: +[1-9]", file.read(), re.M)


def test_spoofed_udp_flood_ends_in_the_driver(wire):
    draw = random.Random(1)
    frames = [spoofed(wire, draw) for _ in range(FLOOD)]
    rule = tgctl("rule", "add", "--src", "198.18.0.0/15", "--proto", "udp")
    try:
        counters = flood(wire, frames)
        assert wait_for(lambda: hits(rule["id"]) > 0.9 * FLOOD)
    finally:
        tgctl("rule", "del", str(rule["id"]))
    assert counters["io_driver_drops"] > 0.9 * FLOOD
    assert counters["filter_rule"] == counters["io_driver_drops"], "all of them in the driver"
    control = flood(wire, frames)
    assert control["io_driver_drops"] == 0
    assert control["io_rx_packets"] + control["io_rx_missed"] > 0.9 * FLOOD, "without the rule the workers get them"


def hits(rule_id):
    return next(r["hits"] for r in tgctl("rule", "list") if r["id"] == rule_id)


def test_malformed_syns_end_in_the_driver(wire):
    bad = [tcp(wire, 0x03), tcp(wire, 0x06), tcp(wire, 0), tcp(wire, 0x29), tcp(wire, 0x02, offset=4),
           tcp(wire, 0x02, sport=0), tcp(wire, 0x02, dport=0)]
    counters = flood(wire, bad * 500)
    assert counters["tcp_bad_segment"] == 4 * 500
    assert counters["net_tcp_offset"] == 500
    assert counters["net_tcp_port"] == 2 * 500
    assert counters["io_driver_drops"] == 7 * 500
    counters = flood(wire, [ip4(wire, "198.51.100.1", 17, struct.pack("!HHHH", 5, 6, 99, 0))] * 100)
    assert counters["net_l4_short"] == counters["io_driver_drops"] == 100


def test_kernel_lives_on_the_same_interface(wire):
    """ssh, say: what is not for our addresses goes to the kernel, whatever rules are in force."""
    edge = f"--net=/proc/{EDGE_PID}/ns/net"
    run("nsenter", edge, "--", "ip", "address", "add", f"{KERNEL4}/24", "dev", "tgx0", check=True)
    listener = socket_in(f"/proc/{EDGE_PID}/ns/net", lambda: socket.create_server((KERNEL4, 22)))
    rule = tgctl("rule", "add", "--proto", "tcp", "--dport", "22")
    try:
        client = socket_in(ROUTER, lambda: socket.create_connection((KERNEL4, 22), 5))
        server, _ = listener.accept()
        server.sendall(b"SSH-2.0-kernel\r\n" * 10000)
        server.close()
        got = b""
        while piece := client.recv(65536):
            got += piece
        client.close()
        assert got == b"SSH-2.0-kernel\r\n" * 10000
        with pytest.raises(OSError):  # the same port on an address of ours
            socket_in(ROUTER, lambda: socket.create_connection((EDGE4, 22), 1))
        assert hits(rule["id"]) >= 1
    finally:
        tgctl("rule", "del", str(rule["id"]))
        listener.close()
        run("nsenter", edge, "--", "ip", "address", "del", f"{KERNEL4}/24", "dev", "tgx0")
    assert curl(URL + "/").status == 200
