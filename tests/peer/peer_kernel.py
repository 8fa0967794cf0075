# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's side of scripts/test tcp-peer: plain sockets; and the payload, whose digest both sides must have."""
import fcntl
import hashlib
import os
import selectors
import socket
import struct
import threading

from peer_lab import KERNEL, OURS, Trouble

STALL_SECONDS = 60  # without a byte: the transfer has failed
PIPE_SIZE = 1031    # F_SETPIPE_SZ (include/uapi/linux/fcntl.h)
CLOSING = 11        # in tcpi_state (include/net/tcp_states.h)


class Payload:
    """A random block of odd length, sent over and over: no two places near one another look alike."""

    def __init__(self, path):
        self.path = path
        self.block = os.urandom(16 * 1024 * 1024 + 12345)
        self.digests = {}
        with open(path, "wb") as file:
            file.write(self.block)

    def pieces(self, size, at=0):
        view = memoryview(self.block)
        while at < size:
            begin = at % len(view)
            piece = view[begin:begin + min(1 << 18, size - at)]
            yield piece
            at += len(piece)

    def digest(self, size):
        if size not in self.digests:
            sha = hashlib.sha256()
            for piece in self.pieces(size):
                sha.update(piece)
            self.digests[size] = sha.hexdigest()
        return self.digests[size]


class Task(threading.Thread):
    """A function in a thread; wait() gives its result or raises what it raised."""

    def __init__(self, function, *arguments):
        super().__init__(daemon=True)
        self.function, self.arguments = function, arguments
        self.result = self.error = None
        self.start()

    def run(self):
        try:
            self.result = self.function(*self.arguments)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def wait(self, seconds):
        self.join(seconds)
        if self.is_alive():
            raise Trouble(f"not done after {seconds} s")
        if self.error:
            raise Trouble(f"the kernel's side: {self.error!r}")
        return self.result


def tune(sock, congestion="cubic"):
    # by root a congestion control need not be in tcp_allowed_congestion_control
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    sock.settimeout(STALL_SECONDS)
    return sock


def family(version):
    return socket.AF_INET if version == 4 else socket.AF_INET6


def connect(version, port):
    sock = tune(socket.socket(family(version)))
    sock.connect((OURS[version], port))
    return sock


def listen(version, backlog=16):
    sock = tune(socket.socket(family(version)))
    sock.bind((KERNEL[version], 0))
    sock.listen(backlog)
    return sock, sock.getsockname()[1]


def accept(listener):
    sock, _ = listener.accept()
    listener.close()
    return tune(sock)


def send(sock, payload, size):
    for piece in payload.pieces(size):
        sock.sendall(piece)


def receive(sock, pause=None):
    """(bytes, digest) up to the peer's FIN. pause() is called once, after the first bytes."""
    room = bytearray(1 << 20)
    view, sha, size = memoryview(room), hashlib.sha256(), 0
    while True:
        got = sock.recv_into(room)
        if not got:
            return size, sha.hexdigest()
        sha.update(view[:got])
        size += got
        if pause:
            pause()
            pause = None


def read_fifo(path):
    """(bytes, digest) of what our program writes into its sink."""
    sha, size = hashlib.sha256(), 0
    with open(path, "rb", buffering=0) as file:
        fcntl.fcntl(file, PIPE_SIZE, 1 << 20)
        while True:
            piece = file.read(1 << 20)
            if not piece:
                return size, sha.hexdigest()
            sha.update(piece)
            size += len(piece)


def tcp_state(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 8)[0]


def retransmits(sock):
    """tcpi_total_retrans (include/uapi/linux/tcp.h)."""
    return struct.unpack_from("I", sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104), 100)[0]


class EchoServer:
    """Sends back what comes on any number of connections, in a thread; counts those that live and those that ended by FIN."""

    def __init__(self, version):
        self.listener, self.port = listen(version, 4096)
        self.listener.setblocking(False)
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.listener, selectors.EVENT_READ)
        self.living = self.ended = self.broken = 0
        self.stop = False
        self.task = Task(self.serve)

    def serve(self):
        while not self.stop:
            for key, _ in self.selector.select(0.1):
                if key.fileobj is self.listener:
                    self.take()
                else:
                    self.answer(key.fileobj)
        self.selector.close()

    def take(self):
        try:
            while True:
                sock, _ = self.listener.accept()
                sock.setblocking(False)
                self.selector.register(sock, selectors.EVENT_READ)
                self.living += 1
        except BlockingIOError:
            pass

    def answer(self, sock):
        try:
            piece = sock.recv(65536)
            if piece:
                sock.sendall(piece)
                return
            self.ended += 1
        except OSError:
            self.broken += 1
        self.living -= 1
        self.selector.unregister(sock)
        sock.close()

    def finish(self):
        self.stop = True
        self.task.wait(5)
        self.listener.close()
