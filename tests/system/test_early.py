# SPDX-License-Identifier: BSD-3-Clause
"""0-RTT from outside: openssl s_client comes back with a ticket and a request in its first flight, through a relay that
records the flight and holds back what follows it. What is recorded is sent again by whoever has it."""
import os
import socket
import subprocess
import threading
import time

import pytest

from support import CA, EDGE4, EDGE6, EDGE_PID, Counters, FakeOrigin, Reader, audit_of, parse_head, wait_for

WINDOW = 24  # seconds: REPLAY_WINDOW_S of tls/tls_replay.h
REPLAYS = 100


@pytest.fixture(scope="module", autouse=True)
def window_over():
    """In its first seconds an edge takes no early data: what its predecessor executed is forgotten."""
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    with open(f"/proc/{EDGE_PID}/stat") as file:
        started = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    time.sleep(max(0.0, started + WINDOW + 1.5 - now))


class Site(FakeOrigin):
    """Answers every request and remembers it: (request line, fields). With too_early those marked get 425."""

    def __init__(self, name, too_early=False, **settings):
        super().__init__(name, self.converse, **settings)
        self.seen = []
        self.too_early = too_early

    def converse(self, sock):
        reader = Reader(sock)
        while True:
            lines = reader.until(b"\r\n\r\n").decode().split("\r\n")
            fields = dict(line.lower().split(": ", 1) for line in lines[1:])
            reader.exactly(int(fields.get("content-length", 0)))
            self.seen.append((lines[0], fields))
            if self.too_early and "early-data" in fields:
                sock.sendall(b"HTTP/1.1 425 Too Early\r\nContent-Length: 0\r\n\r\n")
            else:
                sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nexecuted\n")

    def count(self, path):
        return sum(line.split(" ")[1] == path for line, _ in self.seen)


class Relay:
    """One connection by way of us. What the client sends after the edge's first bytes waits for release()."""

    def __init__(self, deliver=True):
        self.deliver = deliver
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.flight, self.held_bytes = b"", 0
        self.recorded, self.released = threading.Event(), threading.Event()
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        client, _ = self.listener.accept()
        with client:
            client.settimeout(0.2)  # silence that ends the first flight
            try:
                while piece := client.recv(65536):
                    self.flight += piece
            except TimeoutError:
                pass
            self.recorded.set()
            if self.deliver:
                self.pass_on(client)

    def pass_on(self, client):
        with socket.create_connection((EDGE4, 443), 5) as edge:
            edge.sendall(self.flight)
            client.settimeout(20)
            back = threading.Thread(target=self.back, args=(edge, client), daemon=True)
            back.start()
            self.released.wait(20)
            try:
                while piece := client.recv(65536):
                    edge.sendall(piece)
            except OSError:
                pass
            back.join(5)

    def back(self, edge, client):
        try:
            while piece := edge.recv(65536):
                if not self.released.is_set():
                    self.held_bytes += len(piece)
                client.sendall(piece)
        except OSError:
            pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.released.set()
        self.listener.close()


class Client:
    """openssl s_client with the session of a first visit."""

    def __init__(self, site, directory):
        self.site, self.directory = site, directory
        self.session = str(directory / "session.pem")
        done = subprocess.run(self.command(EDGE4, 443, "-sess_out", self.session), capture_output=True, timeout=20,
                              input=self.request("GET", "/first").encode())
        assert b" 200 OK" in done.stdout, done.stdout[-300:] + done.stderr[-300:]
        assert b"Max Early Data: 16384" in done.stdout

    def command(self, host, port, *more):
        return ["openssl", "s_client", "-connect", f"{host}:{port}", "-servername", "tidegate.test", "-CAfile", CA,
                "-tls1_3", "-ign_eof", *more]

    def request(self, method, path):
        body = "a=1" if method == "POST" else ""
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        return f"{method} {path} HTTP/1.1\r\nHost: {self.site.host}\r\nConnection: close\r\n{length}\r\n{body}"

    def come_back(self, relay, method, path):
        """Start the second visit; the first flight is recorded when this returns."""
        file = self.directory / f"request-{time.monotonic_ns()}"
        file.write_text(self.request(method, path))
        process = subprocess.Popen(self.command("127.0.0.1", relay.port, "-sess_in", self.session, "-early_data", str(file)),
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert relay.recorded.wait(10)
        return process


def said(process):
    """What s_client printed; one whose early data was refused waits for ever, as it does not send it again."""
    try:
        out, err = process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
    return out.decode("latin-1") + err.decode("latin-1")


def visit(site, client, method, path):
    """Second visit: (executed while Finished was held back, what s_client said, first flight)."""
    with Relay() as relay:
        process = client.come_back(relay, method, path)
        wait_for(lambda: site.count(path) > 0, 0.7)
        held = site.count(path)
        relay.released.set()
        return held, said(process), relay.flight


def replay(flight, times=REPLAYS):
    """On new connections, to both addresses; none is closed before all have had time."""
    socks = []
    try:
        for n in range(times):
            socks.append(socket.create_connection((EDGE6 if n % 2 else EDGE4, 443), 5))
            socks[-1].sendall(flight)
        time.sleep(1)
    finally:
        for sock in socks:
            sock.close()


def test_get_runs_before_finished(tmp_path):
    with Site("early-get") as site:
        client = Client(site, tmp_path)
        with Counters() as counters:
            held, text, _ = visit(site, client, "GET", "/get")
        assert held == 1 and site.count("/get") == 1
        assert "Early data was accepted" in text and " 200 OK" in text and "executed" in text
        assert site.seen[-1][1]["early-data"] == "1"
        assert "early-data" not in site.seen[0][1], "the first visit was a whole handshake"
        assert counters["tls_early_accepted"] == 1 and counters["http_early_executed"] == 1
        assert counters["http_early_waited"] == 0


def test_post_waits_for_finished(tmp_path):
    with Site("early-post") as site:
        client = Client(site, tmp_path)
        with Counters() as counters:
            held, text, _ = visit(site, client, "POST", "/post")
        assert held == 0, "executed while Finished was held back"
        assert site.count("/post") == 1 and "executed" in text
        assert "early-data" not in site.seen[-1][1]
        assert counters["http_early_waited"] == 1 and counters["http_early_executed"] == 0


def test_recorded_get_runs_once(tmp_path, note):
    with Site("early-replay") as site:
        client = Client(site, tmp_path)
        _, text, flight = visit(site, client, "GET", "/replayed")
        assert "Early data was accepted" in text and site.count("/replayed") == 1
        with Counters() as counters:
            replay(flight)
        assert site.count("/replayed") == 1
        assert counters["tls_early_accepted"] == 0 and counters["tls_early_replayed"] == REPLAYS
    note(f"{REPLAYS} replays refused")


def test_stolen_get_runs_once(tmp_path):
    """The thief keeps the flight from the edge and sends it himself, many times at once."""
    with Site("early-stolen") as site:
        client = Client(site, tmp_path)
        with Relay(deliver=False) as relay:
            said(client.come_back(relay, "GET", "/stolen"))
        with Counters() as counters:
            replay(relay.flight)
        assert site.count("/stolen") == 1, "the flight itself was good"
        assert counters["tls_early_accepted"] == 1 and counters["tls_early_replayed"] == REPLAYS - 1


def test_recorded_post_never_runs_early(tmp_path):
    with Site("early-replay-post") as site:
        client = Client(site, tmp_path)
        with Relay(deliver=False) as relay:
            said(client.come_back(relay, "POST", "/stolen"))
        replay(relay.flight)
        assert site.count("/stolen") == 0


def test_too_early_is_asked_again(tmp_path):
    with Site("early-425", too_early=True) as site:
        client = Client(site, tmp_path)
        with Counters() as counters:
            held, text, _ = visit(site, client, "GET", "/again")
        assert held == 1 and site.count("/again") == 2
        assert "executed" in text and "425" not in text
        assert counters["http_early_425"] == 1


def test_early_request_is_inspected(tmp_path):
    with Site("early-waf", waf=True) as site:
        client = Client(site, tmp_path)
        path = "/?id=1+UNION+SELECT+name,password+FROM+users"
        held, text, _ = visit(site, client, "GET", path)
        assert held == 0 and site.count(path) == 0
        status, fields = parse_head(text[text.index("HTTP/1.1 403"):].partition("\r\n\r\n")[0].encode())
        assert status == 403
        lines = audit_of(fields["x-request-id"])
        assert lines and all(line["early"] is True and line["blocked"] for line in lines)
