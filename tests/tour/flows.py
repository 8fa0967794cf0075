# SPDX-License-Identifier: BSD-3-Clause
"""Connections that last for as long as an experiment does, each in a thread: a download, an upload, an idle one, one that
asks all the time. After finish() they come to their end at full speed, and problem() says what went wrong, None for nothing."""
import hashlib
import os
import socket
import ssl
import threading
import time

from fleet import CA, ORIGIN_DIR, SERVICE4, SERVICE6

SIZE = 48 << 20
PIECE = 16384
PACE = 0.006  # seconds between two pieces until finish()


def resets():
    """Connections of the client's kernel that ended by RST, all time (TLS hides it from the program)."""
    with open("/proc/net/snmp") as file:
        names, values = [line.split()[1:] for line in file if line.startswith("Tcp:")]
    return int(values[names.index("EstabResets")])


def source_make():
    """The bytes of both transfers, in the origin's document root. Hexadecimal, as random bytes now and then look like an
    attack to the WAF."""
    path = os.path.join(ORIGIN_DIR, "tour-download")
    if not os.path.exists(path):
        with open(path, "wb") as file:
            for _ in range(SIZE >> 20):
                file.write(os.urandom(1 << 19).hex().encode())
    with open(path, "rb") as file:
        return file.read()


class Flow(threading.Thread):
    word = "connection"

    def __init__(self, family, tls=False):
        super().__init__(daemon=True)
        self.address = SERVICE4 if family == 4 else SERVICE6
        self.name = f"{self.word} IPv{family}" + (" TLS" if tls else "")
        self.context = ssl.create_default_context(cafile=CA) if tls else None
        self.error = None
        self.moved = 0  # bytes or answers so far
        self.finishing = threading.Event()

    def run(self):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 5)
        try:
            with self.connect() as sock:
                self.work(sock)
        except (OSError, AssertionError) as error:
            self.error = error

    def connect(self):
        sock = socket.create_connection((self.address, 443 if self.context else 80), 10)
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.context.wrap_socket(sock, server_hostname=self.address) if self.context else sock

    def head(self, sock):
        """Up to the blank line; what came behind it."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = sock.recv(65536)
            assert piece, "closed before the end of the head"
            data += piece
        head, _, rest = data.partition(b"\r\n\r\n")
        return head.decode("latin-1"), rest

    def get(self, sock):
        sock.sendall(b"GET / HTTP/1.1\r\nHost: tidegate.test\r\n\r\n")
        head, body = self.head(sock)
        assert head.startswith("HTTP/1.1 200 "), head
        length = int(head.lower().split("content-length:")[1].split()[0])
        while len(body) < length:
            piece = sock.recv(65536)
            assert piece, "closed in the page"
            body += piece
        assert b"It works" in body
        self.moved += 1

    def pause(self):
        if not self.finishing.is_set():
            time.sleep(PACE)

    def finish(self):
        self.finishing.set()

    def problem(self, seconds=60):
        self.join(seconds)
        if self.is_alive():
            return "hangs"
        return None if self.error is None else f"{type(self.error).__name__}: {self.error}"


class Download(Flow):
    word = "download"

    def __init__(self, family, tls=False, source=b""):
        super().__init__(family, tls)
        self.source = source

    def work(self, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131072)
        sock.sendall(b"GET /tour-download HTTP/1.1\r\nHost: tidegate.test\r\n\r\n")
        head, piece = self.head(sock)
        assert head.startswith("HTTP/1.1 200 "), head
        digest = hashlib.sha256()
        while True:
            digest.update(piece)
            self.moved += len(piece)
            if self.moved >= len(self.source):
                break
            self.pause()
            piece = sock.recv(PIECE)
            assert piece, f"closed after {self.moved} bytes"
        assert digest.digest() == hashlib.sha256(self.source).digest(), "the download differs from the origin's file"


class Upload(Flow):
    word = "upload"

    def __init__(self, family, tls=False, source=b""):
        super().__init__(family, tls)
        self.source = source
        self.path = os.path.join(ORIGIN_DIR, "upload", f"tour-{os.getpid()}-{id(self)}")

    def work(self, sock):
        name = os.path.basename(self.path)
        sock.sendall(b"PUT /upload/%s HTTP/1.1\r\nHost: tidegate.test\r\nContent-Length: %d\r\n\r\n" %
                     (name.encode(), len(self.source)))
        while self.moved < len(self.source):
            step = PIECE if not self.finishing.is_set() else 1 << 20
            sock.sendall(self.source[self.moved:self.moved + step])
            self.moved += min(step, len(self.source) - self.moved)
            self.pause()
        head, _ = self.head(sock)
        assert head.split()[1] in ("201", "204"), head
        with open(self.path, "rb") as file:
            assert file.read() == self.source, "the origin's file differs from the upload"
        os.unlink(self.path)


class Idle(Flow):
    """Asks once at the begin and once at the end."""
    word = "idle keep-alive"

    def work(self, sock):
        self.get(sock)
        self.finishing.wait()
        self.get(sock)


class Chat(Flow):
    word = "busy keep-alive"

    def work(self, sock):
        while not self.finishing.is_set():
            self.get(sock)
            time.sleep(0.03)
        self.get(sock)


def all_kinds():
    """Each kind over IPv4 and IPv6, started."""
    source = source_make()
    return started([kind(family, tls, source) for kind, tls in ((Download, False), (Upload, False), (Download, True))
                    for family in (4, 6)] +
                   [kind(family, tls) for kind, tls in ((Idle, False), (Idle, True), (Chat, False)) for family in (4, 6)])


def little_from_server():
    """Those to which a server sends less than 8 MiB."""
    source = source_make()
    return started([Upload(family, False, source) for family in (4, 6)] +
                   [kind(family, tls) for kind, tls in ((Idle, True), (Chat, False)) for family in (4, 6)])


def started(all_flows):
    for flow in all_flows:
        flow.start()
    return all_flows
