# SPDX-License-Identifier: BSD-3-Clause
"""Broken packets, sent straight at the edge's port from the router's side: each raises its counter, none is answered
as if it were whole, and the edge goes on. Scapy builds, a packet socket in the router's namespace sends."""
import ctypes
import os
import re
import socket

import pytest
from scapy.all import (ARP, ICMP, IP, TCP, UDP, Ether, ICMPv6EchoRequest, ICMPv6ND_NS, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, Raw, fragment)

from support import CLIENT4, CLIENT6, EDGE4, EDGE6, HTTPS, URL, WORKERS, Counters, curl, run, wait_for

ROUTER = os.environ["TIDEGATE_ROUTER_NETNS"]
PORT = os.environ["TIDEGATE_ROUTER_PORT"]
CLONE_NEWNET = 0x40000000


def in_router(*command):
    return run("nsenter", f"--net={ROUTER}", "--", *command).stdout


class Wire:
    """A packet socket on the router's interface to the edge."""

    def __init__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/self/ns/net") as mine, open(ROUTER) as router:
            assert libc.setns(router.fileno(), CLONE_NEWNET) == 0
            try:
                self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
                self.sock.bind((PORT, 0))
            finally:
                assert libc.setns(mine.fileno(), CLONE_NEWNET) == 0
        self.sock.settimeout(2)
        self.mac = re.search(r"link/ether (\S+)", in_router("ip", "link", "show", PORT))[1]
        neighbour = re.search(rf"{re.escape(EDGE4)} .*lladdr (\S+)", in_router("ip", "neigh", "show", "dev", PORT))
        self.edge_mac = neighbour[1]

    def ether(self, **more):
        return Ether(src=self.mac, dst=self.edge_mac, **more)

    def send(self, packet):
        self.sock.send(packet if isinstance(packet, bytes) else bytes(packet))

    def ask(self, packet, matches):
        """Send, and wait for the answer; frames of earlier tests fill the socket's queue, so they go first."""
        self.sock.setblocking(False)
        try:
            while True:
                self.sock.recv(2048)
        except BlockingIOError:
            pass
        self.sock.settimeout(2)
        self.send(packet)
        return self.answer(matches)

    def answer(self, matches):
        """The first frame from the edge that matches, or None."""
        found = []

        def look():
            frame = self.sock.recv(2048)
            if frame[6:12] == bytes.fromhex(self.edge_mac.replace(":", "")):
                packet = Ether(frame)
                if matches(packet):
                    found.append(packet)
            return found
        try:
            wait_for(look, 2, 0)
        except TimeoutError:
            pass
        return found[0] if found else None


@pytest.fixture(scope="module")
def wire():
    assert curl(URL + "/").status == 200  # the router knows the edge's address now
    return Wire()


def syn4(**fields):
    return IP(src=CLIENT4, dst=EDGE4) / TCP(sport=4000, dport=80, flags="S", seq=1000, **fields)


def syn6(**fields):
    return IPv6(src=CLIENT6, dst=EDGE6) / TCP(sport=4000, dport=80, flags="S", seq=1000, **fields)


def fragments():
    return fragment(IP(src=CLIENT4, dst=EDGE4) / TCP(dport=80) / Raw(b"x" * 100), 64)


def changed(packet, offset, value, size=1):
    """Built with right checksums, then bytes overwritten."""
    data = bytearray(bytes(packet))
    data[offset:offset + size] = value.to_bytes(size, "big")
    return bytes(data)


def with_ip_checksum(data):
    """The IPv4 header's checksum made right again, so that another lie is found."""
    data = bytearray(data)
    data[10:12] = b"\0\0"
    length = (data[0] & 15) * 4
    total = sum(int.from_bytes(data[i:i + 2], "big") for i in range(0, length, 2))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    data[10:12] = (0xffff - total).to_bytes(2, "big")
    return bytes(data)


# name -> (counter, frame after the Ethernet header as bytes or packet, EtherType)
BAD4 = {
    "IPv4 header checksum": ("net_ip4_checksum", lambda: changed(syn4(), 10, 0x1234, 2)),
    "IPv4 total length too long": ("net_ip4_length", lambda: with_ip_checksum(changed(syn4(), 2, 1400, 2))),
    "IPv4 total length too short": ("net_ip4_length", lambda: with_ip_checksum(changed(syn4(), 2, 10, 2))),
    "IPv4 header length 4": ("net_ip4_header", lambda: with_ip_checksum(changed(syn4(), 0, 0x44))),
    "IPv4 version 5": ("net_ip4_header", lambda: with_ip_checksum(changed(syn4(), 0, 0x55))),
    "IPv4 options": ("net_ip4_options", lambda: IP(src=CLIENT4, dst=EDGE4, options=b"\x01" * 4) / TCP(dport=80)),
    "IPv4 cut in the header": ("net_short_frame", lambda: bytes(syn4())[:12]),
    "first fragment": ("net_fragment", lambda: fragments()[0]),
    "last fragment": ("net_fragment", lambda: fragments()[-1]),
    "source 0.0.0.0": ("net_address", lambda: IP(src="0.0.0.0", dst=EDGE4) / TCP(dport=80)),
    "source is multicast": ("net_address", lambda: IP(src="224.0.0.1", dst=EDGE4) / TCP(dport=80)),
    "source is loopback": ("net_address", lambda: IP(src="127.0.0.1", dst=EDGE4) / TCP(dport=80)),
    "not our address": ("net_not_for_us", lambda: IP(src=CLIENT4, dst="192.0.2.77") / TCP(dport=80)),
    "protocol 99": ("net_protocol", lambda: IP(src=CLIENT4, dst=EDGE4, proto=99) / Raw(b"x" * 40)),
    "TCP checksum": ("net_l4_checksum", lambda: syn4(chksum=0x1234)),
    "TCP data offset 4": ("net_tcp_offset", lambda: syn4(dataofs=4)),
    "TCP data offset beyond the end": ("net_tcp_offset", lambda: syn4(dataofs=15)),
    "TCP header cut off": ("net_l4_short", lambda: IP(src=CLIENT4, dst=EDGE4, proto=6) / Raw(b"\0\x50" * 5)),
    "TCP port 0": ("net_tcp_port", lambda: IP(src=CLIENT4, dst=EDGE4) / TCP(sport=0, dport=80, flags="S")),
    "TCP SYN and FIN": ("tcp_bad_segment", lambda: IP(src=CLIENT4, dst=EDGE4) / TCP(sport=4001, dport=80, flags="SF")),
    "TCP SYN and RST": ("tcp_bad_segment", lambda: IP(src=CLIENT4, dst=EDGE4) / TCP(sport=4001, dport=80, flags="SR")),
    "TCP no flags": ("tcp_bad_segment", lambda: IP(src=CLIENT4, dst=EDGE4) / TCP(sport=4001, dport=80, flags="")),
    "ICMP checksum": ("net_l4_checksum", lambda: IP(src=CLIENT4, dst=EDGE4) / ICMP(chksum=1)),
}
BAD6 = {
    "IPv6 payload length too long": ("net_ip6_length", lambda: changed(syn6(), 4, 1400, 2)),
    "IPv6 cut in the header": ("net_short_frame", lambda: bytes(syn6())[:30]),
    "IPv6 fragment": ("net_fragment", lambda: IPv6(src=CLIENT6, dst=EDGE6) / IPv6ExtHdrFragment(offset=0, m=1, id=7) /
                      TCP(dport=80)),
    "IPv6 long chain": ("net_ip6_extensions", lambda: long_chain()),
    "IPv6 extension runs over the end": ("net_ip6_extensions", lambda: changed(
        IPv6(src=CLIENT6, dst=EDGE6) / IPv6ExtHdrDestOpt() / TCP(dport=80), 41, 200)),
    "IPv6 source is multicast": ("net_address", lambda: IPv6(src="ff02::1", dst=EDGE6) / TCP(dport=80)),
    "IPv6 TCP checksum": ("net_l4_checksum", lambda: syn6(chksum=0x1234)),
    "IPv6 TCP SYN and FIN": ("tcp_bad_segment", lambda: IPv6(src=CLIENT6, dst=EDGE6) / TCP(dport=80, flags="SF")),
    "IPv6 TCP no flags": ("tcp_bad_segment", lambda: IPv6(src=CLIENT6, dst=EDGE6) / TCP(dport=80, flags="")),
    "IPv6 TCP data offset": ("net_tcp_offset", lambda: syn6(dataofs=2)),
    "ICMPv6 checksum": ("net_l4_checksum", lambda: IPv6(src=CLIENT6, dst=EDGE6) / ICMPv6EchoRequest(cksum=1)),
    "neighbour solicitation with hop limit 64": ("net_nd_bad", lambda: IPv6(
        src="2001:db8:1::fe", dst=EDGE6, hlim=64) / ICMPv6ND_NS(tgt=EDGE6)),
}


def long_chain():
    packet = IPv6(src=CLIENT6, dst=EDGE6) / IPv6ExtHdrHopByHop()
    for _ in range(30):
        packet = packet / IPv6ExtHdrDestOpt()
    return packet / TCP(sport=4000, dport=80, flags="S")


# Frames that the program in the driver leaves to the kernel: the build without DPDK never sees them.
FOR_THE_KERNEL = ("IPv4 cut in the header", "IPv6 cut in the header", "not our address")


def bad_frames():
    for cases, ethertype in ((BAD4, 0x0800), (BAD6, 0x86dd)):
        for name, (counter, make) in cases.items():
            marks = pytest.mark.dpdk if name in FOR_THE_KERNEL else ()
            yield pytest.param(ethertype, counter, make, id=name, marks=marks)


@pytest.mark.parametrize("ethertype,counter,make", bad_frames())
def test_bad_packet_is_counted(wire, ethertype, counter, make):
    frame = bytes(wire.ether(type=ethertype)) + bytes(make())
    with Counters() as counters:
        for _ in range(3):
            wire.send(frame)
        curl(URL + "/")  # sent behind it: once this is answered, the bad ones were seen
    copies = WORKERS if counter == "net_nd_bad" else 1  # neighbour discovery is shown to every worker
    assert counters[counter] == 3 * copies, counters.grew()
    assert counters["tcp_accepted"] == 1, "only curl's"


@pytest.mark.dpdk
def test_unknown_ethertype(wire):
    with Counters() as counters:
        wire.send(wire.ether(type=0x88b5) / Raw(b"x" * 60))
        curl(URL + "/")
    assert counters["net_ethertype"] >= 1


@pytest.mark.dpdk
def test_malformed_arp(wire):
    with Counters() as counters:
        wire.send(wire.ether(type=0x0806) / ARP(hwtype=7, psrc="192.0.2.254", pdst=EDGE4))
        wire.send(bytes(wire.ether(type=0x0806)) + b"\0\1\x08\0\6\4\0\1" + b"x" * 5)
        curl(URL + "/")
    assert counters["net_arp_bad"] + counters["net_short_frame"] == 2, counters.grew()


def test_ping(wire):
    """Good ones are answered: ICMP and ICMPv6 echo with the same bytes."""
    for packet, kind in ((IP(src="192.0.2.254", dst=EDGE4) / ICMP(id=7, seq=9) / Raw(b"tide" * 10), ICMP),
                         (IPv6(src="2001:db8:1::fe", dst=EDGE6) / ICMPv6EchoRequest(id=7, data=b"gate" * 10), None)):
        reply = wire.ask(wire.ether() / packet, lambda p: b"tidetide" in bytes(p) or b"gategate" in bytes(p))
        assert reply is not None
        if kind:
            assert reply[ICMP].type == 0 and reply[ICMP].id == 7
        else:
            assert bytes(reply)[54] == 129


def test_segment_for_no_connection_gets_a_reset(wire):
    """RFC 9293 s3.10.7.1: an ACK to nowhere is answered by RST with its own number."""
    packet = IP(src="192.0.2.254", dst=EDGE4) / TCP(sport=4321, dport=80, flags="A", seq=5, ack=77777)
    reply = wire.ask(wire.ether() / packet, lambda p: TCP in p and p[TCP].dport == 4321)
    assert reply is not None and "R" in str(reply[TCP].flags) and reply[TCP].seq == 77777


def test_bad_options_and_wild_segments(wire):
    """Random bytes behind valid headers: whatever they do, the edge goes on."""
    for n in range(300):
        payload = os.urandom(n % 100)
        options = os.urandom((n % 10) * 4)
        packet = IP(src=CLIENT4, dst=EDGE4) / TCP(sport=5000 + n, dport=80 if n % 2 else 443, flags=n % 256,
                                                  seq=n * 7919, ack=n * 104729, options=[(n % 256, options[:30])])
        wire.send(wire.ether() / packet / Raw(payload))
        wire.send(wire.ether(type=0x86dd if n % 2 else 0x0800) / Raw(os.urandom(20 + n)))
    assert curl(URL + "/").status == 200 and curl(HTTPS + "/").status == 200


def test_udp_is_not_for_us(wire):
    with Counters() as counters:
        wire.send(wire.ether() / IP(src=CLIENT4, dst=EDGE4) / UDP(sport=53, dport=53) / Raw(b"x" * 20))
        curl(URL + "/")
    assert counters["tcp_accepted"] == 1
    assert curl(URL + "/").status == 200
