# SPDX-License-Identifier: BSD-3-Clause
"""Frames that no client's kernel would send, put on the wire between a router and its site."""
import random
import re
import socket
import struct
import threading
import time

from fleet import SERVICE4, inside, run, run_in, wait_for
from frame import check


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xffff)
    return ~(total + (total >> 16)) & 0xffff


def ip4(source, proto, payload, to=SERVICE4):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 0, 0, 64, proto, 0, socket.inet_aton(source),
                       socket.inet_aton(to))
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(source, sport, dport, data=bytes(22)):
    return ip4(source, 17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data)


def tcp(source, sport, dport, flags, offset=5, options=b"", seq=1, to=SERVICE4):
    """A segment with a right checksum; flags as in RFC 9293: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32."""
    offset += len(options) // 4
    segment = struct.pack("!HHIIBBHHH", sport, dport, seq, 0, offset << 4, flags, 1024, 0, 0) + options
    pseudo = socket.inet_aton(source) + socket.inet_aton(to) + struct.pack("!BBH", 0, 6, len(segment))
    return ip4(source, 6, segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:], to)


def spoofed_udp(count):
    draw = random.Random(1)
    return [udp(f"198.18.{draw.randrange(256)}.{draw.randrange(1, 255)}", draw.randrange(1, 65536), 53) for _ in range(count)]


def malformed_syns(count):
    """SYN+FIN, SYN+RST, a header of 16 bytes, port 0 at either end."""
    kinds = [tcp("198.51.100.1", 4000, 80, 3), tcp("198.51.100.1", 4000, 80, 6), tcp("198.51.100.1", 4000, 80, 2, offset=4),
             tcp("198.51.100.1", 0, 80, 2), tcp("198.51.100.1", 4000, 0, 2)]
    return kinds * (count // len(kinds))


def syns(count, to=SERVICE4):
    """SYNs as a Linux client's, from sources that nobody has."""
    draw = random.Random(2)
    options = b"\x02\x04\x05\xb4\x04\x02\x08\x0a" + struct.pack("!II", 12345, 0) + b"\x01\x03\x03\x07"
    return [tcp(f"198.18.{draw.randrange(256)}.{draw.randrange(1, 255)}", draw.randrange(1024, 65536), 80, 2,
                options=options, seq=draw.randrange(1 << 32), to=to) for _ in range(count)]


class Wire:
    """A router's interface to a site or to the origin. with Wire(router, name, address) as wire: wire.send(packets)"""

    def __init__(self, router, name, address):
        self.router, self.device, self.address = router, f"to-{name}", address

    def __enter__(self):
        device = self.device
        with inside(self.router), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.sendto(b"", (self.address, 9))  # so that the router asks for the hardware address
        wait_for(lambda: "lladdr" in run_in(self.router, "ip", "neigh", "show", self.address, "dev", device).stdout, 2)
        shown = run_in(self.router, "ip", "neigh", "show", self.address, "dev", device).stdout
        found = re.search(r"lladdr (\S+)", shown)
        check(found, f"the router does not know the hardware address of {self.address}: {shown}")
        self.head = bytes.fromhex(found[1].replace(":", "")) + b"\x02\0\0\0\0\x01\x08\0"
        with inside(self.router):
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.sock.bind((device, 0))
        return self

    def capture(self, wanted, seconds):
        """The first frame that goes over this wire and is wanted(frame), before the time is over; None."""
        deadline = time.monotonic() + seconds
        with inside(self.router):
            ear = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))  # ETH_P_ALL: what is sent, too
            ear.bind((self.device, 3))
        with ear:
            ear.settimeout(0.2)
            while time.monotonic() < deadline:
                try:
                    frame = ear.recv(65536)
                except TimeoutError:
                    continue
                if wanted(frame):
                    return frame
        return None

    def send_frame(self, frame, times):
        for _ in range(times):
            self.sock.send(frame)

    def send(self, packets, per_second=40000):
        """In batches, so that the site's one small queue is a queue and no lottery."""
        started, batch = time.monotonic(), 64
        for at in range(0, len(packets), batch):
            for packet in packets[at:at + batch]:
                try:
                    self.sock.send(self.head + packet)
                except OSError:  # the interface's queue is full: a flood does not care
                    pass
            ahead = (at + batch) / per_second - (time.monotonic() - started)
            if ahead > 0:
                time.sleep(ahead)

    def __exit__(self, *_):
        self.sock.close()


def is_tunnel4(frame):
    """A tunnelled packet over IPv4, of full size."""
    return frame[12:14] == b"\x08\0" and frame[23] == 17 and frame[36:38] == struct.pack("!H", 6080) and len(frame) > 500


def altered(frame, at, value):
    """One byte changed; the IPv4 header's checksum set right, the UDP one to "none"."""
    frame = bytearray(frame)
    check(frame[at] != value, "nothing would be altered")
    frame[at] = value
    frame[24:26] = frame[40:42] = b"\0\0"
    frame[24:26] = struct.pack("!H", checksum(bytes(frame[14:34])))
    return bytes(frame)


class Asking:
    """A client asks a site for the page, each time on a new connection, until the end of the block."""

    def __init__(self, address, patience=5):
        self.patience = patience
        self.url = f"http://{address}/"
        self.answers = []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.work)

    def work(self):
        while not self.stopping.is_set():
            started = time.monotonic()
            done = run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", str(self.patience), self.url,
                       check_status=False)
            self.answers.append((done.stdout, time.monotonic() - started))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join()

    def all_well(self):
        return len(self.answers) >= 2 and all(status == "200" for status, _ in self.answers)

    def failed(self):
        return sum(status != "200" for status, _ in self.answers)

    def longest(self):
        return max(seconds for _, seconds in self.answers)
