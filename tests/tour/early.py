# SPDX-License-Identifier: BSD-3-Clause
"""0-RTT from outside: openssl s_client as the visitor, a relay before it that holds back and records what the visitor sends,
an origin that counts what is executed, and replays of what was recorded."""
import http.server
import os
import socket
import socketserver
import subprocess
import threading
import time

from fleet import CA, RUN, inside, wait_for
from frame import check


class CountingOrigin:
    """An origin in the origin's namespace: how often was each path asked for?"""

    def __init__(self, address, port):
        self.counts = {}
        counts, lock = self.counts, threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    counts[self.path] = counts.get(self.path, 0) + 1
                self.send_response(200)
                self.send_header("Content-Length", "9")
                self.end_headers()
                self.wfile.write(b"executed\n")

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            server_bind = socketserver.TCPServer.server_bind  # HTTPServer's asks DNS for its own name

        with inside("origin"):
            self.server = Server((address, port), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def count(self, path):
        return self.counts.get(path, 0)


class Relay:
    """A connection by way of us. The visitor's first flight is recorded whole, then sent on; what it sends after the
    server's first bytes waits for release()."""

    def __init__(self, address, port, deliver=True):
        self.target, self.deliver = (address, port), deliver
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.first_flight = b""
        self.recorded, self.released = threading.Event(), threading.Event()
        self.answered_at = None  # bytes of the server before the visitor's second flight
        self.early_bytes = 0
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        visitor, _ = self.listener.accept()
        with visitor:
            visitor.settimeout(0.15)  # silence that ends the first flight
            try:
                while piece := visitor.recv(65536):
                    self.first_flight += piece
            except TimeoutError:
                pass
            self.recorded.set()
            if not self.deliver:
                return
            with socket.create_connection(self.target, 5) as server:
                server.sendall(self.first_flight)
                visitor.settimeout(20)
                back = threading.Thread(target=self.back, args=(server, visitor), daemon=True)
                back.start()
                self.released.wait(20)
                try:
                    while piece := visitor.recv(65536):
                        server.sendall(piece)
                except OSError:
                    pass
                back.join(5)

    def back(self, server, visitor):
        try:
            while piece := server.recv(65536):
                if not self.released.is_set():
                    self.early_bytes += len(piece)
                visitor.sendall(piece)
        except OSError:
            pass

    def release(self):
        self.released.set()

    def close(self):
        self.released.set()
        self.listener.close()


class Visitor:
    """openssl s_client with a session of an earlier visit."""

    def __init__(self, address, port, name, ca=CA):
        self.address, self.port, self.name, self.ca = address, port, name, ca
        self.session = os.path.join(RUN, f"tour-session-{port}-{name}.pem")

    def command(self, port, *more, host="127.0.0.1"):
        return ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", self.name, "-CAfile", self.ca, "-tls1_3",
                "-ign_eof", *more]

    def first_visit(self):
        """A whole visit; its ticket is kept."""
        request = f"GET /first HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n\r\n"
        done = subprocess.run(self.command(self.port, "-sess_out", self.session, host=self.address), input=request.encode(),
                              capture_output=True, timeout=20)
        said = done.stdout.decode("latin-1")
        check(" 200 OK" in said, f"first visit: {said[-300:]}{done.stderr.decode()[-300:]}")
        check("Max Early Data: 0" not in said and "Max Early Data:" in said, "the ticket allows no early data")

    def early_visit(self, relay, method, path):
        """Come back with the request in the first flight, by way of the relay; the running process."""
        body = "a=1" if method == "POST" else ""
        request = os.path.join(RUN, f"tour-early-{time.monotonic_ns()}")
        with open(request, "w") as file:
            file.write(f"{method} {path} HTTP/1.1\r\nHost: {self.name}\r\nConnection: close\r\n"
                       f"Content-Length: {len(body)}\r\n\r\n{body}")
        process = subprocess.Popen(self.command(relay.port, "-sess_in", self.session, "-early_data", request),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        check(relay.recorded.wait(10), "s_client sends nothing")
        os.unlink(request)
        return process

    @staticmethod
    def outcome(process):
        try:
            out, err = process.communicate(timeout=8)
        except subprocess.TimeoutExpired:  # early data was refused, and s_client does not send it again
            process.kill()
            out, err = process.communicate()
        return out.decode("latin-1") + err.decode("latin-1")


def replay(flight, targets, times):
    """The recorded flight on `times` new connections, in turns to the targets; none is closed before all had a second."""
    open_ones = []
    try:
        for n in range(times):
            sock = socket.create_connection(targets[n % len(targets)], 5)
            open_ones.append(sock)
            sock.sendall(flight)
        deadline = time.monotonic() + 1.5
        for sock in open_ones:  # each is answered by something, if only an alert
            sock.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                sock.recv(65536)
            except OSError:
                pass
        wait_for(lambda: time.monotonic() > deadline, 3, 0.05)
    finally:
        for sock in open_ones:
            sock.close()
