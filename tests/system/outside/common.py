# SPDX-License-Identifier: BSD-3-Clause
"""What the labs of this folder share: where the programs are, waiting, HTTP over a unix socket, an origin of one page."""
import http.client
import os
import socket
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.environ.get("TIDEGATE_BUILD", os.path.join(TREE, "build"))
CLONE_NEWNET = 0x40000000


def wait_for(condition, seconds=20.0, step=0.02):
    """What condition() gives as soon as that is true; fails when the time is over."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition.__doc__ or condition}"
        time.sleep(step)
    return found


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("tidegate", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def origin_program(address, port, page):
    """The text of a program that answers every GET with this page."""
    return f"""
import http.server
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "{len(page)}")
        self.end_headers()
        self.wfile.write(b"{page}")
http.server.ThreadingHTTPServer(("{address}", {port}), Answer).serve_forever()
"""
