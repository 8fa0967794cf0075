# SPDX-License-Identifier: BSD-3-Clause
"""An origin that wants to see a certificate before it talks, in the origin's namespace, and the certificates for it: a CA for
origins, a CA for the edge's pulls."""
import http.server
import os
import socket
import socketserver
import ssl
import subprocess
import threading

from fleet import RUN, inside

DIR = os.path.join(RUN, "tour-pulls")
NAME = "origin.example.test"  # in the origin's certificate


def openssl(*words):
    subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=DIR)


def authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9", "-subj",
            f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def certificate(name, ca, extensions, *more):
    """name.key and name.pem; more: other options of openssl x509, its days say."""
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
            f"{name}.key", "-out", f"{name}.csr")
    with open(f"{DIR}/{name}.ext", "w") as file:
        file.write(extensions)
    openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial", "-extfile",
            f"{name}.ext", "-out", f"{name}.pem", *(more or ("-days", "9")))


def files_make():
    if os.path.exists(DIR):
        return
    os.mkdir(DIR)
    for name in ("origins-ca", "pulls-ca", "attacker-ca"):
        authority(name)
    certificate("origin", "origins-ca", f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n")
    certificate("expired", "origins-ca", f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n", "-days", "-1")
    certificate("edge", "pulls-ca", "extendedKeyUsage=clientAuth\n")
    certificate("attacker", "attacker-ca", "extendedKeyUsage=clientAuth\n")


def path(name):
    return os.path.join(DIR, name)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "7")
        self.end_headers()
        self.wfile.write(b"secret\n")

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Handshakes in the connections' own threads; what they refuse is counted."""
    daemon_threads = True
    server_bind = socketserver.TCPServer.server_bind  # HTTPServer's asks DNS for its own name
    refused = 0
    context = None

    def finish_request(self, request, client_address):
        try:
            request.settimeout(10)
            request = self.context.wrap_socket(request, server_side=True)
        except (ssl.SSLError, OSError):
            self.refused += 1
            return
        Handler(request, client_address, self)

    def handle_error(self, *_):
        pass


def origin_start(address, port, name="origin", guard=True):
    """An origin with one of the certificates; guard: it demands a client's certificate from the pulls' CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path(f"{name}.pem"), path(f"{name}.key"))
    if guard:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(path("pulls-ca.pem"))
    with inside("origin"):
        server = Server((address, port), Handler)
    server.context = context
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def direct(address, port, certificate_name=None):
    """The attacker's request straight to the origin: its answer's first bytes, or what refused it."""
    context = ssl.create_default_context(cafile=path("origins-ca.pem"))
    if certificate_name:
        context.load_cert_chain(path(f"{certificate_name}.pem"), path(f"{certificate_name}.key"))
    try:
        with socket.create_connection((address, port), 2) as plain, context.wrap_socket(plain, server_hostname=NAME) as sock:
            sock.settimeout(0.3)  # TLS 1.3: what the server thinks of our certificate comes after the handshake
            try:
                sock.recv(1)
            except TimeoutError:
                pass
            sock.settimeout(2)
            sock.sendall(b"GET /?id=1'%20OR%20'1'='1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            got = b""
            while piece := sock.recv(65536):
                got += piece
        return got.decode("latin-1").split("\r\n")[0] if got else "closed"
    except ssl.SSLError as error:
        return error.reason or str(error)
    except OSError as error:
        return "no connection: " + (error.strerror or type(error).__name__)
