# SPDX-License-Identifier: BSD-3-Clause
"""TLS at the edge: versions, names, ALPN, certificates changed under load, broken records."""
import os
import socket
import ssl
import struct

import pytest

from support import CA, EDGE4, HTTPS, URL, Counters, Load, Reader, Wrk, connect, curl, run, tgctl, tls_context

PLAIN_GET = b"GET / HTTP/1.1\r\nHost: tidegate.test\r\n\r\n"
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


def make_certificate(directory, name, key="ec", names=("tidegate.test",)):
    """A leaf signed by the CA of this run: (chain file, key file)."""
    ca_key = os.path.join(os.path.dirname(CA), "ca.key")
    pem, key_file, extensions = directory / f"{name}.pem", directory / f"{name}.key", directory / f"{name}.ext"
    alternatives = ",".join(f"DNS:{n}" for n in names) + f",IP:{EDGE4}"
    extensions.write_text(f"subjectAltName={alternatives}\n")
    new_key = ["rsa:2048"] if key == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    request = run("openssl", "req", "-newkey", *new_key, "-nodes", "-subj", f"/CN={name}", "-keyout", str(key_file))
    signed = run("openssl", "x509", "-req", "-CA", CA, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
                 "-extfile", str(extensions), "-out", str(pem), input=request.stdout)
    assert signed.returncode == 0, signed.stderr
    return str(pem), str(key_file)


def subject(sock):
    """The common name of the certificate that the edge showed."""
    return dict(item for group in sock.getpeercert()["subject"] for item in group)["commonName"]


@pytest.mark.parametrize("version", VERSIONS)
def test_version(version):
    context = tls_context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])
    with connect(context) as sock:
        assert sock.version() == version
        sock.sendall(PLAIN_GET)
        assert Reader(sock).answer().status == 200


@pytest.mark.parametrize("option", ["-tls1", "-tls1_1"])
def test_old_version_is_refused(option):
    done = run("openssl", "s_client", option, "-cipher", "ALL:@SECLEVEL=0", "-connect", f"{EDGE4}:443", input="")
    assert done.returncode != 0 and "protocol version" in done.stderr


def test_alpn():
    context = tls_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with connect(context) as sock:
        assert sock.selected_alpn_protocol() == "http/1.1"
    context = tls_context()
    context.set_alpn_protocols(["h2"])
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        connect(context)


def test_sni_chooses_the_certificate(tmp_path):
    chain, key = make_certificate(tmp_path, "other", names=("other.example", "*.other.example"))
    tgctl("cert", "add", "other", "--names", "other.example,*.other.example", "--chain", chain, "--key", key)
    try:
        for name, common in (("other.example", "other"), ("a.other.example", "other"),
                             ("tidegate.test", "tidegate.test"), ("a.tidegate.test", "tidegate.test")):
            with connect(tls_context(), name=name) as sock:
                assert subject(sock) == common, name
        context = tls_context(check_hostname=False)
        with connect(context, name="unknown.example") as sock:
            assert subject(sock) == "tidegate.test", "the default one"
    finally:
        tgctl("cert", "del", "other")


@pytest.mark.parametrize("version", VERSIONS)
def test_rsa_certificate(tmp_path, version):
    chain, key = make_certificate(tmp_path, "rsa", key="rsa", names=("rsa.example",))
    tgctl("cert", "add", "rsa", "--names", "rsa.example", "--chain", chain, "--key", key)
    try:
        context = tls_context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])
        with connect(context, name="rsa.example") as sock:
            sock.sendall(PLAIN_GET)
            assert Reader(sock).answer().status == 200
    finally:
        tgctl("cert", "del", "rsa")


def test_session_resumption():
    context = tls_context()
    with connect(context) as sock:
        sock.sendall(PLAIN_GET)
        assert Reader(sock).answer().status == 200
        session = sock.session
    with socket.create_connection((EDGE4, 443), 10) as plain:
        with context.wrap_socket(plain, server_hostname=EDGE4, session=session) as sock:
            sock.sendall(PLAIN_GET)
            assert Reader(sock).answer().status == 200


def test_certificate_changes_50_times_under_load(tmp_path, note):
    """Each handshake verifies; each of the two certificates is seen."""
    pairs = [make_certificate(tmp_path, name, names=("tidegate.test", "*.tidegate.test")) for name in ("one", "two")]
    names = "tidegate.test,*.tidegate.test"
    seen = set()
    load, wrk = Load(tls=True), Wrk(HTTPS + "/")
    try:
        for n in range(50):
            chain, key = pairs[n % 2]
            tgctl("cert", "add", "edge", "--names", names, "--chain", chain, "--key", key, "--default")
            with connect(tls_context()) as sock:
                assert subject(sock) == ("one", "two")[n % 2], "a 200 means: in force on every worker"
                seen.add(subject(sock))
    finally:
        requests, errors = wrk.stop()
        done, failures = load.stop()
        directory = os.path.dirname(CA)
        tgctl("cert", "add", "edge", "--names", names, "--chain", f"{directory}/edge.pem",
              "--key", f"{directory}/edge.key", "--default")
    note(f"{requests + done} requests")
    assert not errors and not failures, f"{errors} {failures[:3]}"
    assert seen == {"one", "two"} and requests > 500 and done > 50


def test_bad_certificate_is_refused(tmp_path):
    chain, key = make_certificate(tmp_path, "a")
    _, wrong_key = make_certificate(tmp_path, "b")
    done = run("tgctl", "cert", "add", "edge", "--names", "tidegate.test", "--chain", chain, "--key", wrong_key)
    assert done.returncode == 1 and "key" in done.stderr
    with connect(tls_context()) as sock:
        assert subject(sock) == "tidegate.test"


def alert_of(data):
    """(level, description) of the alert record at the end of what the edge sent, in clear."""
    assert len(data) >= 7 and data[-7] == 21, f"no alert: {data!r}"
    return data[-2], data[-1]


def read_all(sock):
    data = b""
    try:
        while piece := sock.recv(4096):
            data += piece
    except ConnectionResetError:
        pass
    return data


BROKEN = {
    "unknown record type": b"\x63\x03\x01\x00\x05hello",
    "oversized record": struct.pack(">BHH", 22, 0x0301, 0xffff) + b"\x01" * 20000,
    "empty handshake records": struct.pack(">BHH", 22, 0x0301, 0) * 40,
    "handshake type of a server": struct.pack(">BHH", 22, 0x0301, 8) + b"\x02\x00\x00\x04" + b"\x00" * 4,
    "lying handshake length": struct.pack(">BHH", 22, 0x0301, 8) + b"\x01\xff\xff\xff" + b"\x00" * 4,
    "garbled client hello": struct.pack(">BHH", 22, 0x0301, 50) + b"\x01\x00\x00\x2e" + b"\xee" * 46,
    "application data first": struct.pack(">BHH", 23, 0x0303, 5) + b"hello",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_record_gets_an_alert(name):
    with Counters() as counters:
        with connect(port=443) as sock:
            sock.sendall(BROKEN[name])
            level, _ = alert_of(read_all(sock))
    assert level == 2, "fatal"
    assert counters["tls_handshakes_failed"] + counters["tls_bad_records"] >= 1


@pytest.mark.parametrize("words", [b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
                         ids=["ssh", "http"])
def test_what_is_not_tls_is_closed_at_once(words):
    """Without an alert, which such a peer could not read."""
    with Counters() as counters:
        with connect(port=443) as sock:
            sock.sendall(words)
            assert read_all(sock) == b""
    assert counters["tls_handshakes_failed"] + counters["tls_bad_records"] >= 1


def test_record_changed_under_way():
    """A record whose authentication fails ends the connection, and nothing of it is used."""
    with Counters() as counters:
        plain = socket.create_connection((EDGE4, 443), 10)
        context = tls_context()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=EDGE4)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
        plain.sendall(outgoing.read())
        tls.write(PLAIN_GET)
        record = bytearray(outgoing.read())
        record[-1] ^= 1
        plain.sendall(record)
        rest = read_all(plain)
        plain.close()
    assert b"HTTP/1.1" not in rest
    assert counters["tls_bad_records"] == 1 and counters["http_requests"] == 0


def test_connection_cut_in_the_handshake():
    for cut in (1, 5, 50, 200):
        with connect(port=443) as sock:
            hello = ssl.MemoryBIO()
            tls = tls_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname=EDGE4)
            with pytest.raises(ssl.SSLWantReadError):
                tls.do_handshake()
            sock.sendall(hello.read()[:cut])
    assert curl(HTTPS + "/").status == 200


def test_tls_on_the_plain_port():
    assert run("curl", "-sSk", "--max-time", "5", f"https://{EDGE4}:80/").returncode == 35, "a clean error, no hang"
    assert curl(URL + "/").status == 200
