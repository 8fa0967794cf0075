# SPDX-License-Identifier: BSD-3-Clause
"""Client half of the tls rows: runs in the client's namespace under scripts/run --premises, on processor 1; makes
handshakes with the appliance and with an nginx of its own on loopback, both on processor 0, in turns, and writes the
server's CPU microseconds per handshake of each to a file. Arguments: ROUNDS HANDSHAKES RESULT."""
import contextlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import time

from measure import cpu_seconds, process, wait_until

EDGE, PEER = (os.environ["TIDEGATE_URL"].removeprefix("http://"), 443), ("127.0.0.1", 18443)
NAME, KEYLESS_NAME = "tidegate.test", "ec.keyless.test"
NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/err;
events {{ worker_connections 1024; }}
http {{ access_log off;
  server {{ listen 127.0.0.1:18443 ssl; ssl_certificate {tls}/edge.pem; ssl_certificate_key {tls}/edge.key;
    ssl_protocols TLSv1.3; ssl_session_tickets on; location / {{ return 200 "x"; }} }} }}
"""


def counters():
    out = subprocess.run(["tgctl", "-s", os.environ["TIDEGATE_SOCKET"], "stats", "-a", "-o", "json"],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)["counters"]


def context():
    made = ssl.create_default_context(cafile=os.environ["TIDEGATE_CA"])
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    return made


def handshake(client, address, name, session=None):
    """One connection that ends after its handshake; True when it was a resumed one."""
    with socket.create_connection(address, 10) as plain:
        with client.wrap_socket(plain, server_hostname=name, session=session) as tls:
            return tls.session_reused


def ticket(client, address):
    """A session to resume: its ticket comes behind the handshake."""
    with socket.create_connection(address, 10) as plain:
        with client.wrap_socket(plain, server_hostname=NAME) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
            while tls.recv(65536):
                pass
            return tls.session


def handshakes(count, address, name, resumed):
    client = context()
    session = ticket(client, address) if resumed else None
    for _ in range(count):
        if handshake(client, address, name, session) != resumed:
            raise SystemExit(f"bench: a handshake with {address} was {'not ' if resumed else ''}resumed")


def edge(count, name, resumed):
    """The worker's busy microseconds: polls that found work, packet I/O inside. The one connection that fetches a
    ticket is of no weight."""
    time.sleep(0.05)
    before = counters()
    handshakes(count, EDGE, name, resumed)
    time.sleep(0.05)
    after = counters()
    if after["tls_handshakes"] - before["tls_handshakes"] < count:
        raise SystemExit("bench: the appliance has not finished all handshakes")
    return (after["worker_busy_ns"] - before["worker_busy_ns"]) / count / 1000


def peer(pid, count, resumed):
    before = cpu_seconds(pid)
    handshakes(count, PEER, NAME, resumed)
    return (cpu_seconds(pid) - before) / count * 1e6


@contextlib.contextmanager
def nginx():
    with tempfile.TemporaryDirectory(prefix="tg-bench-tls-") as folder:
        config = os.path.join(folder, "nginx.conf")
        with open(config, "w") as file:
            file.write(NGINX.format(folder=folder, tls=os.path.dirname(os.environ["TIDEGATE_CA"])))
        command = ["taskset", "-c", "0", "nginx", "-p", folder, "-c", config]
        with process(command, os.path.join(folder, "log")) as child:
            def answers():
                with contextlib.suppress(OSError), socket.create_connection(PEER, 1):
                    return True
            wait_until("nginx's start", answers)
            yield child.pid


def main():
    rounds, count = int(sys.argv[1]), int(sys.argv[2])
    figures = {name: [] for name in ("full", "resumed", "keyless", "nginx_full", "nginx_resumed")}
    with nginx() as pid:
        for _ in range(rounds):
            figures["full"].append(edge(count, NAME, False))
            figures["nginx_full"].append(peer(pid, count, False))
            figures["keyless"].append(edge(count, KEYLESS_NAME, False))
            figures["resumed"].append(edge(count, NAME, True))
            figures["nginx_resumed"].append(peer(pid, count, True))
    with open(sys.argv[3], "w") as file:
        json.dump(figures, file)


main()
