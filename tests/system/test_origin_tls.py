# SPDX-License-Identifier: BSD-3-Clause
"""Origins behind TLS, with real peers: nginx that asks for a client certificate, openssl that refuses the handshake
without one, certificates that must not be believed; and the two ways to see and to close the way past the edge."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

from support import AUDIT, CLIENT4, Counters, EDGE4, EDGE6, URL, curl, run, tgctl, wait_for

NAME = "origin.example.test"
GUARDED, OPEN, EXPIRED, OPENSSL, NAMED = 9443, 9444, 9445, 9446, 9447
HOST = "pulls.tidegate.test"

NGINX = """
pid {dir}/pid; error_log {dir}/error.log; worker_processes 1; daemon off; user root;
events {{ worker_connections 64; }}
http {{
    access_log {dir}/access.log; client_body_temp_path {dir}/t1; proxy_temp_path {dir}/t2; fastcgi_temp_path {dir}/t3;
    uwsgi_temp_path {dir}/t4; scgi_temp_path {dir}/t5;
    server {{ listen {address}:{guarded} ssl; ssl_certificate {dir}/origin.pem; ssl_certificate_key {dir}/origin.key;
             ssl_verify_client on; ssl_client_certificate {dir}/edges.pem; ssl_session_cache off;
             location / {{ return 200 "guarded $ssl_client_s_dn $connection_requests\\n"; }} }}
    server {{ listen {address}:{open} ssl; ssl_certificate {dir}/origin.pem; ssl_certificate_key {dir}/origin.key;
             location / {{ return 200 "open\\n"; }} }}
    server {{ listen {address}:{expired} ssl; ssl_certificate {dir}/expired.pem; ssl_certificate_key {dir}/expired.key;
             location / {{ return 200 "expired\\n"; }} }}
}}
"""


class Files:
    def __init__(self, directory):
        self.dir = str(directory)
        for name in ("origins", "edges", "others"):
            self.openssl("req", "-x509", *self.key(name), "-days", "9", "-subj", f"/CN={name}", "-out", f"{name}.pem")
        server = f"subjectAltName=DNS:{NAME}\nextendedKeyUsage=serverAuth\n"
        self.certificate("origin", "origins", server)
        self.certificate("expired", "origins", server, "-days", "-1")
        self.certificate("edge", "edges", "extendedKeyUsage=clientAuth\n")
        self.certificate("attacker", "others", "extendedKeyUsage=clientAuth\n")

    def key(self, name):
        return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key")

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=self.dir)

    def certificate(self, name, ca, extensions, *days):
        with open(f"{self.dir}/{name}.ext", "w") as file:
            file.write(extensions)
        self.openssl("req", *self.key(name), "-subj", f"/CN={name}", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-CAcreateserial",
                     "-extfile", f"{name}.ext", "-out", f"{name}.pem", *(days or ("-days", "9")))

    def __getitem__(self, name):
        return os.path.join(self.dir, name)


def listens(port):
    return any(f":{port:04X} " in line and " 0A " in line for line in open("/proc/net/tcp"))


@pytest.fixture(scope="module")
def origins(tmp_path_factory):
    """nginx and openssl s_server in the client's namespace: the attacker's host and the origin's are one here."""
    files = Files(tmp_path_factory.mktemp("origins"))
    with open(files["nginx.conf"], "w") as conf:
        conf.write(NGINX.format(dir=files.dir, address=CLIENT4, guarded=GUARDED, open=OPEN, expired=EXPIRED))
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-p", files.dir, "-c", files["nginx.conf"], "-e", files["error.log"]])
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"{CLIENT4}:{OPENSSL}", "-cert", files["origin.pem"], "-key",
                               files["origin.key"], "-CAfile", files["edges.pem"], "-Verify", "1", "-verify_return_error",
                               "-www", "-quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert wait_for(lambda: all(listens(port) for port in (GUARDED, OPEN, EXPIRED, OPENSSL)), 10)
    yield files
    for process in (nginx, server):
        process.terminate()
        process.wait(10)
    shutil.rmtree(files.dir)


@pytest.fixture
def site(origins):
    """site(port, *options of tgctl origin add): a site with such an origin."""
    def add(port, *options, name=NAME, ca="origins"):
        trust = ["--server-name", name, "--ca", origins[f"{ca}.pem"]] if ca else []
        tgctl("origin", "add", "pulls", "--address", CLIENT4, "--port", str(port), "--tls", *trust, *options)
        tgctl("site", "add", "pulls", "--host", HOST, "--origin", "pulls")
    yield add
    tgctl("site", "del", "pulls", check=False)
    tgctl("origin", "del", "pulls", check=False)


def ask():
    return curl(f"{URL}/", "-H", f"Host: {HOST}")


def pull_options(origins, who="edge"):
    return ["--chain", origins[f"{who}.pem"], "--key", origins[f"{who}.key"]]


def told(*words):
    """A line of the audit file has all of these."""
    return wait_for(lambda: any(all(w in line for w in words) for line in open(AUDIT)))


def test_edge_is_let_in(origins, site, note):
    site(GUARDED, *pull_options(origins))
    with Counters() as counters:
        answers = [ask() for _ in range(5)]
    assert [a.status for a in answers] == [200] * 5, answers
    assert all(b"guarded CN=edge" in a.body for a in answers), answers[0]
    assert counters["origin_reused"] >= 3  # two workers, a pool each
    note(answers[-1].body.decode().strip())
    one = tgctl("origin", "list")
    shown = next(o for o in one if o["name"] == "pulls")
    assert shown["tls"] is True and "key_pem" not in shown


def test_edge_without_its_certificate_is_not(origins, site):
    """nginx accepts the handshake and answers 400: the client sees what the origin said."""
    site(GUARDED)
    answer = ask()
    assert answer.status == 400 and b"No required SSL certificate" in answer.body


@pytest.mark.parametrize("pull", ["edge", "attacker", None])
def test_handshake_is_refused(origins, site, pull, note):
    """openssl ends the handshake of whoever does not convince it."""
    site(OPENSSL, *(pull_options(origins, pull) if pull else []))
    with Counters() as counters:
        status = ask().status
    if pull == "edge":
        assert status == 200
        return
    assert status == 502
    assert counters["origin_tls_refused"] >= 1
    assert told('"origin":"pulls"', "certificate required" if pull is None else "unknown")


@pytest.mark.parametrize("port,name,ca,why", [
    (EXPIRED, NAME, "origins", "certificate has expired"),
    (OPEN, "other.example.test", "origins", "ostname mismatch"),
    (OPEN, CLIENT4, "origins", "mismatch"),
    (OPEN, NAME, "others", "unable to get local issuer certificate")], ids=["expired", "name", "address", "authority"])
def test_origin_is_not_believed(origins, site, port, name, ca, why):
    site(port, name=name, ca=ca)
    with Counters() as counters:
        assert ask().status == 502
    assert counters["origin_tls_certificate"] >= 1
    assert told('"origin":"pulls"', why)


def test_unverified_must_be_said(origins, site):
    site(EXPIRED, "--no-verify", ca=None)
    assert ask().body == b"expired\n"


@pytest.mark.parametrize("options,pointer", [
    (["--server-name", NAME], "/ca_pem"), (["--ca", "origins.pem"], "/server_name"),
    (["--server-name", "a b", "--ca", "origins.pem"], "/server_name"),
    (["--server-name", NAME, "--ca", "origin.key"], "/ca_pem"),
    (["--server-name", NAME, "--ca", "origins.pem", "--chain", "edge.pem"], "/key_pem"),
    (["--server-name", NAME, "--ca", "origins.pem", "--key", "edge.key"], "/chain_pem"),
    (["--no-verify", "--ca", "origins.pem"], "/verify")])
def test_api_names_the_field(origins, options, pointer):
    words = [origins[w] if w.endswith((".pem", ".key")) else w for w in options]
    done = run("tgctl", "-o", "json", "origin", "add", "wrong", "--address", CLIENT4, "--port", "1", "--tls", *words)
    assert done.returncode == 1 and pointer in done.stderr + done.stdout, done


def test_key_must_fit(origins):
    done = run("tgctl", "origin", "add", "wrong", "--address", CLIENT4, "--port", "1", "--tls", "--server-name", NAME, "--ca",
               origins["origins.pem"], "--chain", origins["edge.pem"], "--key", origins["attacker.key"])
    assert done.returncode == 1 and "wrong" in done.stderr and "key" in done.stderr, done


def test_plain_origin_has_no_tls_members(origins):
    done = run("tgctl", "origin", "add", "wrong", "--address", CLIENT4, "--port", "1", "--server-name", NAME)
    assert done.returncode == 1 and "/server_name" in done.stderr, done


@pytest.mark.parametrize("port,tls,verdict,why", [
    (GUARDED, True, "closed", "wants a client certificate"), (OPENSSL, True, "closed", "TLS refused"),
    (OPEN, True, "OPEN", "answers 200 without a client certificate"), (GUARDED, False, "OPEN", "answers 400"),
    (9, False, "closed", "no connection")])
def test_audit(origins, port, tls, verdict, why, note):
    """tgctl alone, without tidegate-ctl, as from an attacker's host."""
    done = run("tgctl", "-s", "/nowhere", "-o", "json", "origin", "audit", "--address", CLIENT4, "--port", str(port),
               *(["--tls"] if tls else []))
    found = json.loads(done.stdout)[0]
    assert found["verdict"] == verdict and why in found["why"], found
    assert done.returncode == (4 if verdict == "OPEN" else 0)
    note(found["why"])


def audit(*words, timeout=3000):
    """(verdict, why, exit code) of tgctl alone, over TLS."""
    done = run("tgctl", "-s", "/nowhere", "-o", "json", "origin", "audit", "--tls", "--timeout", str(timeout), *words)
    found = json.loads(done.stdout)[0]
    return found["verdict"], found["why"], done.returncode


@pytest.mark.parametrize("behaviour,verdict,why", [
    ("http", "OPEN", "answers 400"), ("silent", "unclear", "timed out"), ("reset", "closed", "reset by peer")])
def test_audit_tells_no_tls_from_closed(behaviour, verdict, why):
    """A port that takes connections is closed only when it breaks them off: not when it speaks no TLS, nor when it waits."""
    def answer():
        sock, _ = listener.accept()
        with sock:
            if behaviour == "silent":
                time.sleep(1)
                return
            sock.recv(4096)
            if behaviour == "http":
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_server((CLIENT4, 0)) as listener:
        asks = 2 if behaviour == "http" else 1  # without TLS it asks again
        threads = [threading.Thread(target=answer, daemon=True) for _ in range(asks)]
        for thread in threads:
            thread.start()
        found = audit("--address", CLIENT4, "--port", str(listener.getsockname()[1]), timeout=500)
        for thread in threads:
            thread.join(5)
    assert found[0] == verdict and why in found[1], found
    assert found[2] == (0 if verdict == "closed" else 4)


def test_audit_asks_for_the_name(origins):
    """An origin that refuses strangers' names is open to whoever knows its own: SNI has it."""
    server = subprocess.Popen(["openssl", "s_server", "-accept", f"{CLIENT4}:{NAMED}", "-cert", origins["origin.pem"], "-key",
                               origins["origin.key"], "-cert2", origins["origin.pem"], "-key2", origins["origin.key"],
                               "-servername", NAME, "-servername_fatal", "-www", "-quiet"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        assert wait_for(lambda: listens(NAMED), 10)
        at = ["--address", CLIENT4, "--port", str(NAMED), "--server-name"]
        assert audit(*at, NAME)[::2] == ("OPEN", 4)
        verdict, why, code = audit(*at, "other.example.test")
        assert (verdict, code) == ("unclear", 4) and "unrecognized name" in why
    finally:
        server.terminate()
        server.wait(10)


@pytest.mark.parametrize("words", [["--port", "443"], ["--address", "192.0.2.1"], ["--address", "origin.test", "--port", "443"],
                                   ["--address", "192.0.2.1", "--port", "443x"], ["--address", "192.0.2.1", "--port", "0"],
                                   ["name", "--address", "192.0.2.1", "--port", "1"], ["--timeout", "x"]])
def test_audit_refuses(words):
    """A typing error never ends as closed."""
    assert run("tgctl", "-s", "/nowhere", "origin", "audit", *words).returncode == 2


def test_audit_asks_for_all_origins(origins, site):
    site(GUARDED, *pull_options(origins))
    done = run("tgctl", "-o", "json", "origin", "audit", "pulls")
    assert done.returncode == 0 and json.loads(done.stdout)[0]["verdict"] == "closed", done
    done = run("tgctl", "origin", "audit")  # the plain origin of this run answers everybody
    assert done.returncode == 4 and "OPEN" in done.stdout and "closed" in done.stdout, done
    assert run("tgctl", "origin", "audit", "nobody").returncode == 1


class Listed:
    """The open origin behind an address list; `use(addresses)` puts another one in front of it."""

    def __init__(self, origins, format):
        self.dir, self.format = origins.dir, format
        self.link = json.loads(run("ip", "-j", "route", "get", URL.removeprefix("http://")).stdout)[0]["dev"]

    def __enter__(self):
        tgctl("origin", "add", "listed", "--address", CLIENT4, "--port", str(OPEN), "--tls", "--no-verify", "--connect-timeout",
              "500", "--response-timeout", "500")
        tgctl("site", "add", "listed", "--host", HOST, "--origin", "listed")
        return self

    def use(self, addresses):
        done = run("tgctl", "-s", "/nowhere", "origin", "addresses", "--port", f"{OPEN},{GUARDED}", "--from", addresses,
                   "--format", self.format)
        assert done.returncode == 0, done
        if self.format == "nftables":
            assert run("nft", "-f", "-", input=done.stdout).returncode == 0
            return
        source = os.path.join(self.dir, "guard.bpf.c")
        with open(source, "w") as file:
            file.write(done.stdout)
        built = run("clang", "-O2", "-g", "-Wall", "-Werror", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu",
                    "-c", source, "-o", f"{source}.o")
        assert built.returncode == 0, built.stderr
        there = run("ip", "-force", "link", "set", "dev", self.link, "xdpgeneric", "obj", f"{source}.o", "sec", "xdp")
        assert there.returncode == 0, there.stderr

    def __exit__(self, *_):
        if self.format == "nftables":
            run("nft", "delete", "table", "inet", "tidegate_origin")
        else:
            run("ip", "link", "set", "dev", self.link, "xdpgeneric", "off")
        tgctl("site", "del", "listed", check=False)
        tgctl("origin", "del", "listed", check=False)


def test_address_list_of_an_origin(site):
    """Its port, and without a fleet this node's own addresses."""
    site(OPEN)
    rules = run("tgctl", "origin", "addresses", "pulls").stdout
    assert f"tcp dport {{ {OPEN} }} ip saddr @edges4 accept" in rules
    assert EDGE4 in rules and EDGE6 in rules
    assert run("tgctl", "origin", "addresses", "nobody").returncode == 1


@pytest.mark.parametrize("format", ["nftables", "xdp"])
def test_address_list_closes_the_port(origins, format):
    """The list in the origin's place: the edge's address gets through, another's does not, other ports stay open."""
    with Listed(origins, format) as listed:
        assert ask().status == 200
        listed.use("198.51.100.77,2001:db8::77")
        assert ask().status == 504
        assert curl(f"{URL}/").status == 200
        listed.use(f"198.51.100.77,{URL.removeprefix('http://')},2001:db8::77")
        assert ask().status == 200


@pytest.mark.parametrize("words", [
    ["--port", "x"], ["--port", "1,"], ["--port", "1,,2"], ["--port", "0443"], ["--port", "65536"], ["--port", "4294967739"],
    ["--port", "1", "--from", "here"], ["--port", "1", "--format", "json"], ["name", "--port", "1"], []])
def test_address_list_refuses(words):
    assert run("tgctl", "origin", "addresses", *words).returncode == 2
