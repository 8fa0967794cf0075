# SPDX-License-Identifier: BSD-3-Clause
"""What scripts/test tcp-peer tries. Each case is a function of a Bench; it returns a few words for people, or raises Trouble
(or AssertionError) that says what was different from what must be.
"""
import os
import re
import resource
import subprocess
import time
from xml.etree import ElementTree

import peer_kernel as kernel
from peer_lab import OURS, Trouble

TRANSFER_SECONDS = 600
STATE_CLOSING = 8  # enum tcp_state (dataplane/tcp/tcp.h)
MANY = 5000


class Bench:
    """What a case needs: our program, the payload, sizes."""

    def __init__(self, ours, payload, directory, size, pause):
        self.ours, self.payload, self.directory = ours, payload, directory
        self.size, self.pause = size, pause
        self.next_port, self.next_fifo = 5000, 0
        self.listening = set()

    def port(self):
        self.next_port += 1
        return self.next_port

    def fifo(self):
        self.next_fifo += 1
        path = f"{self.directory}/{self.ours.kind}-{self.next_fifo}"
        os.mkfifo(path)
        return path

    def listen(self, plan):
        port = self.port()
        self.ours.command(f"listen {port} {plan}")
        self.listening.add(port)
        return port

    def wait_live(self, count):
        """The last handshakes may still be on the line."""
        deadline = time.monotonic() + 10
        while (live := int(self.ours.status()["live"])) != count:
            expect(time.monotonic() < deadline, f"we have {live} connections instead of {count}")
            time.sleep(0.05)

    def same(self, got, size):
        expect(got[0] == size, f"{got[0]} of {size} bytes came")
        expect(got[1] == self.payload.digest(size), f"sha256 differs: {got[1]}, sent {self.payload.digest(size)}")

    def ended_well(self, port, **wanted):
        (error, fields), = self.ours.wait_ended(port, 30)
        if port in self.listening:
            self.ours.command(f"unlisten {port}")
            self.listening.remove(port)
        expect(error == "TG_END", f"our connection ended with {error}")
        for name, value in wanted.items():
            expect(fields[name] == value, f"we {name} {fields[name]} bytes instead of {value}")
        return fields


def expect(condition, otherwise):
    if not condition:
        raise Trouble(otherwise)


def open_pair(bench, version, we_listen, plan):
    """A connection between both sides: (kernel's socket, port by which our side names it)."""
    if we_listen:
        port = bench.listen(plan)
        return kernel.connect(version, port), port
    listener, port = kernel.listen(version)
    task = kernel.Task(kernel.accept, listener)
    bench.ours.command(f"connect {kernel.KERNEL[version]} {port} {plan}")
    return task.wait(60), port


class Stream:
    """One connection that carries `size` bytes one way, with equal sha256 and an orderly end on both sides."""

    def __init__(self, bench, version, we_listen, to_us, size):
        self.bench, self.to_us, self.size = bench, to_us, size
        fifo = bench.fifo() if to_us else ""
        self.reader = kernel.Task(kernel.read_fifo, fifo) if to_us else None
        self.sock, self.port = open_pair(bench, version, we_listen, f"sink={fifo}" if to_us else f"send={size}")
        self.work = kernel.Task(self.send if to_us else self.receive)

    def send(self):
        kernel.send(self.sock, self.bench.payload, self.size)
        self.sock.shutdown(kernel.socket.SHUT_WR)
        got = self.reader.wait(TRANSFER_SECONDS)
        expect(self.sock.recv(1) == b"", "bytes came back")
        return got

    def receive(self):
        got = kernel.receive(self.sock)
        self.sock.shutdown(kernel.socket.SHUT_WR)
        return got

    def finish(self):
        """How many segments the kernel sent again."""
        self.bench.same(self.work.wait(TRANSFER_SECONDS), self.size)
        again = kernel.retransmits(self.sock)
        received, sent = (self.size, 0) if self.to_us else (0, self.size)
        self.bench.ended_well(self.port, received=received, sent=sent)
        self.sock.close()
        return again


def transfer(bench, version, we_listen, to_us, streams):
    """`size` bytes one way, over so many connections at once."""
    before = bench.ours.counters().get("tcp_retransmits", 0)
    started = time.monotonic()
    size = bench.size // streams
    running = [Stream(bench, version, we_listen, to_us, size) for _ in range(streams)]
    again = sum(stream.finish() for stream in running)
    seconds = time.monotonic() - started
    if not to_us:
        again = bench.ours.counters().get("tcp_retransmits", 0) - before
    return f"{size * streams / seconds / 1e6:.0f} MB/s, {again} segments sent again"


def both_ways(bench, version, we_listen):
    """A tenth of `size` each way at once, on one connection."""
    size = bench.size // 10
    fifo = bench.fifo()
    reader = kernel.Task(kernel.read_fifo, fifo)
    started = time.monotonic()
    sock, port = open_pair(bench, version, we_listen, f"send={size} sink={fifo}")
    receiver = kernel.Task(kernel.receive, sock)
    kernel.send(sock, bench.payload, size)
    sock.shutdown(kernel.socket.SHUT_WR)
    bench.same(reader.wait(TRANSFER_SECONDS), size)
    bench.same(receiver.wait(TRANSFER_SECONDS), size)
    seconds = time.monotonic() - started
    bench.ended_well(port, received=size, sent=size)
    sock.close()
    return f"{2 * size / seconds / 1e6:.0f} MB/s in sum"


def half_close_by_kernel(bench, version):
    """The kernel sends its FIN first; all of ours still arrives."""
    size = min(bench.size, 20000000)
    sock, port = open_pair(bench, version, True, f"send={size}")
    sock.shutdown(kernel.socket.SHUT_WR)
    bench.same(kernel.receive(sock), size)
    bench.ended_well(port, received=0, sent=size)
    sock.close()
    return f"{size} bytes after its FIN"


def half_close_by_us(bench, version):
    """Our FIN first; all of the kernel's still arrives."""
    size = min(bench.size, 20000000)
    fifo = bench.fifo()
    reader = kernel.Task(kernel.read_fifo, fifo)
    sock, port = open_pair(bench, version, False, f"send=1000 sink={fifo}")
    bench.same(kernel.receive(sock), 1000)
    kernel.send(sock, bench.payload, size)
    sock.shutdown(kernel.socket.SHUT_WR)
    bench.same(reader.wait(120), size)
    bench.ended_well(port, received=size, sent=1000)
    sock.close()
    return f"{size} bytes after our FIN"


def simultaneous_close(bench, version):
    """Both FINs cross (the line is slow): both sides pass through CLOSING."""
    for _ in range(5):
        sock, port = open_pair(bench, version, True, "hold=1 watch=1 send=100")
        expect(sock.recv(100, kernel.socket.MSG_WAITALL) == bytes(bench.payload.block[:100]), "100 bytes")
        time.sleep(0.2)
        bench.ours.command("release")
        sock.shutdown(kernel.socket.SHUT_WR)
        seen, deadline = set(), time.monotonic() + 0.5
        while time.monotonic() < deadline:
            seen.add(kernel.tcp_state(sock))
        fields = bench.ended_well(port, received=0, sent=100)
        sock.close()
        if kernel.CLOSING in seen and fields["states"] >> STATE_CLOSING & 1:
            return "both were in CLOSING"
    raise Trouble(f"the FINs did not cross: kernel's states {sorted(seen)}, ours {fields['states']:#x}")


def zero_window(bench, version):
    """Neither side reads for a while: windows close, probes go, then all bytes come."""
    size = min(bench.size, 40000000)
    fifo = bench.fifo()
    reader = kernel.Task(kernel.read_fifo, fifo)
    before = bench.ours.counters()
    sock, port = open_pair(bench, version, True, f"sink={fifo} pause={bench.pause * 1000} after=100000")
    other, other_port = open_pair(bench, version, False, f"send={size}")
    for end in (sock, other):
        end.settimeout(bench.pause + kernel.STALL_SECONDS)
    receiver = kernel.Task(kernel.receive, other, lambda: time.sleep(bench.pause))
    started = time.monotonic()
    kernel.send(sock, bench.payload, size)
    sock.shutdown(kernel.socket.SHUT_WR)
    bench.same(reader.wait(bench.pause + 60), size)
    took = time.monotonic() - started
    bench.same(receiver.wait(60), size)
    expect(took >= bench.pause, f"the kernel was through after {took:.1f} s: the window did not close")
    other.shutdown(kernel.socket.SHUT_WR)
    bench.ended_well(port, received=size)
    bench.ended_well(other_port, sent=size)
    sock.close()
    other.close()
    probes = bench.ours.counters().get("tcp_zero_window_probes", 0) - before.get("tcp_zero_window_probes", 0)
    expect(probes > 0, "we sent no probe into the kernel's closed window")
    return f"{bench.pause} s, {probes} probes by us"


def raise_file_limit():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < MANY + 500:
        resource.setrlimit(resource.RLIMIT_NOFILE, (MANY + 500, max(hard, MANY + 500)))


def many_by_kernel(bench, version):
    """5,000 connections of the kernel to our echo, all at once; each says something else and hears it again."""
    raise_file_limit()
    port = bench.listen("echo=1")
    started = time.monotonic()
    socks = [kernel.connect(version, port) for _ in range(MANY)]
    bench.wait_live(MANY)
    for number, sock in enumerate(socks):
        sock.sendall(b"%099d\n" % number)
    for number, sock in enumerate(socks):
        expect(sock.recv(100, kernel.socket.MSG_WAITALL) == b"%099d\n" % number, f"connection {number} heard something else")
    for sock in socks:
        sock.shutdown(kernel.socket.SHUT_WR)
    for sock in socks:
        expect(sock.recv(1) == b"", "bytes after the end")
        sock.close()
    ended = bench.ours.wait_ended(port, 60, MANY)
    bad = [error for error, fields in ended if error != "TG_END" or fields["received"] != 100 or fields["sent"] != 100]
    expect(not bad, f"{len(bad)} connections did not end in order")
    return f"{MANY} in {time.monotonic() - started:.1f} s"


def many_by_us(bench, version):
    """5,000 connections of ours to the kernel's echo, all at once."""
    raise_file_limit()
    server = kernel.EchoServer(version)
    started = time.monotonic()
    bench.ours.command(f"connect {kernel.KERNEL[version]} {server.port} send=1000 hold=1 count={MANY}", 60)
    deadline = time.monotonic() + 60
    while server.living < MANY and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(server.living == MANY, f"the kernel has {server.living} connections")
    bench.wait_live(MANY)
    bench.ours.command("release", 60)
    ended = bench.ours.wait_ended(server.port, 60, MANY)
    server.finish()
    bad = [error for error, fields in ended if error != "TG_END" or fields["received"] != 1000]
    expect(not bad, f"{len(bad)} connections did not end in order")
    expect(server.broken == 0 and server.ended == MANY, f"the kernel saw {server.broken} broken ones")
    return f"{MANY} in {time.monotonic() - started:.1f} s"


def nmap_finds_nothing(bench):
    """nmap -O: the ISNs are hard to predict, and IP IDs are no counter."""
    bench.listen("echo=1")
    done = subprocess.run(["nmap", "-n", "-Pn", "-O", "-p", f"{bench.next_port},9", "-oX", "-", OURS[4]],
                          capture_output=True, text=True, timeout=120)
    expect(done.returncode == 0, f"nmap: {done.stderr.strip()}")
    host = ElementTree.fromstring(done.stdout).find("host")
    sequence = host.find("tcpsequence") if host is not None else None
    expect(sequence is not None, f"nmap found no open port: {re.sub('<[^>]*>', ' ', done.stdout)[-300:]}")
    ip_ids = host.find("ipidsequence")
    ip_id = "none" if ip_ids is None else ip_ids.get("class")
    words = f"TCP sequence index {sequence.get('index')} ({sequence.get('difficulty')}), IP ID: {ip_id}"
    expect(int(sequence.get("index")) >= 240, words)
    expect(ip_id in ("none", "All zeros", "Randomized"), words)
    return words
