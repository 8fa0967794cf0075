# SPDX-License-Identifier: BSD-3-Clause
"""Keyless TLS: the sites' private keys lie at a key server on a customer's premises (scripts/run --premises) and nowhere
else. Handshakes through the edge, the key server gone or frozen, and a search for the keys in all that the node has."""
import concurrent.futures
import json
import os
import re
import signal
import ssl
import statistics
import subprocess
import threading
import time

import pytest

from key_search import file_holds, memory_holds, secrets_of
from support import (CA, CLIENT4, CONF, EDGE_PID, LOG_DIR, Counters, Reader, connect, control_pid, run, tgctl, tls_context,
                     wait_for)

if "TIDEGATE_PREMISES" not in os.environ:
    pytest.skip("scripts/run without --premises", allow_module_level=True)

PREMISES = os.environ["TIDEGATE_PREMISES"]
NETNS = os.environ["TIDEGATE_PREMISES_NETNS"]
AUDIT = os.path.join(LOG_DIR, "keyserver.jsonl")
TLS = os.path.dirname(CA)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
DEADLINE = 2.0  # of a key operation, seconds


def context_of(version):
    return tls_context(minimum_version=VERSIONS[version], maximum_version=VERSIONS[version])


def visit(site, version="1.3", context=None):
    """A new connection, verified, and the page; seconds that the handshake took."""
    started = time.monotonic()
    with connect(context or context_of(version), name=site) as sock:
        took = time.monotonic() - started
        sock.sendall(b"GET / HTTP/1.1\r\nHost: " + site.encode() + b"\r\n\r\n")
        answer = Reader(sock).answer()
    assert answer.status == 200 and b"It works" in answer.body
    return took


def refused(site, version="1.3", cafile=CA):
    """The handshake ends with an alert: its name, and the seconds until it came."""
    started = time.monotonic()
    context = context_of(version)
    context.load_verify_locations(cafile)
    with pytest.raises(ssl.SSLError) as error:
        connect(context, name=site).close()
    return error.value.reason, time.monotonic() - started


def audit_lines(**wanted):
    with open(AUDIT) as file:
        lines = [json.loads(line) for line in file]
    return [line for line in lines if all(line.get(k) == v for k, v in wanted.items())]


# --- the key server's life ------------------------------------------------------------------------------------------

class KeyServer:
    """The one that scripts/run started, until a test stops it; then ones of our own."""
    pid = int(os.environ["TIDEGATE_KEYSERVER_PID"])
    process = None

    @classmethod
    def stop(cls):
        os.kill(cls.pid, signal.SIGTERM)
        if cls.process:
            assert cls.process.wait(10) == 0
        else:
            assert wait_for(lambda: not os.path.exists(f"/proc/{cls.pid}"), 10)

    @classmethod
    def start(cls):
        log = open(os.path.join(LOG_DIR, "keyserver.log"), "ab")
        cls.process = subprocess.Popen(["nsenter", f"--net={NETNS}", "--", "tidegate-keyserver", "-c",
                                        os.path.join(PREMISES, "keyserver.conf")],
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        cls.pid = cls.process.pid


@pytest.fixture(scope="module", autouse=True)
def our_key_server_ends():
    yield
    if KeyServer.process:
        KeyServer.process.kill()
        KeyServer.process.wait()


# --- handshakes -----------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("site", ["ec", "rsa"])
@pytest.mark.parametrize("version", VERSIONS)
def test_handshake(site, version, note):
    name = f"{site}.keyless.test"
    before = len(audit_lines())
    with Counters() as counters:
        took = visit(name, version)
    assert counters["keyless_requests"] == counters["keyless_answers"] == 1
    assert counters["tls_handshakes"] == 1 and counters["tls_handshakes_failed"] == 0
    line, = audit_lines()[before:]
    op = {"ec": "ecdsa-sha256", "rsa": "rsa-pss-sha256"}[site]
    assert (line["result"], line["op"], line["key"]) == ("ok", op, f"{site}.key")
    assert (line["sni"], line["visitor"], line["client"]) == (name, CLIENT4, "CN=edge1,O=tidegate")
    note(f"{took * 1000:.1f} ms")


@pytest.mark.parametrize("bits", [256, 384, 512])
def test_rsa_pkcs1_signature(bits):
    """TLS 1.2 with a client that knows no PSS."""
    before = len(audit_lines())
    done = run("openssl", "s_client", "-connect", "192.0.2.1:443", "-servername", "rsa.keyless.test", "-CAfile", CA,
               "-verify_return_error", "-tls1_2", "-sigalgs", f"RSA+SHA{bits}", input="")
    assert done.returncode == 0 and "Peer signature type: RSA\n" in done.stdout, done.stdout + done.stderr
    line, = audit_lines()[before:]
    assert line["op"] == f"rsa-sha{bits}" and line["result"] == "ok"


def test_300_handshakes_at_once(note):
    """20 clients side by side. Beside them the same with a key at home."""
    failures, times = [], {"ec.keyless.test": [], "rsa.keyless.test": [], "tidegate.test": []}

    def client(n):
        try:
            for i in range(5):
                for site, took in times.items():
                    took.append(visit(site, "1.2" if (n + i) % 2 else "1.3"))
        except (OSError, AssertionError) as error:
            failures.append(repr(error))
    with Counters() as counters:
        threads = [threading.Thread(target=client, args=(n,)) for n in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures
    assert counters["keyless_requests"] == counters["keyless_answers"] == 200
    assert counters["keyless_timeouts"] == counters["keyless_errors"] == counters["keyless_late"] == 0
    note(", ".join(f"{site} p50 {statistics.median(took) * 1000:.0f} ms" for site, took in times.items()))


def test_key_of_another_client(tmp_path):
    """The key server has this key too, but not for this edge: it does not say so, and the handshake ends."""
    chain = str(tmp_path / "other.pem")
    run("openssl", "req", "-x509", "-new", "-key", f"{PREMISES}/keys/other.key", "-subj", "/CN=other", "-days", "9",
        "-addext", "subjectAltName=DNS:other.keyless.test", "-out", chain, check=True)
    tgctl("cert", "add", "keyless-other", "--names", "other.keyless.test", "--chain", chain, "--keyserver", "premises")
    try:
        with Counters() as counters:
            reason, _ = refused("other.keyless.test", cafile=chain)
    finally:
        tgctl("cert", "del", "keyless-other")
    assert reason == "TLSV1_ALERT_INTERNAL_ERROR"
    assert counters["keyless_errors"] == counters["tls_handshakes_failed"] == 1
    assert audit_lines(key="other.key")[-1]["why"] == "not this client's key"
    assert "keyless_lost" not in counters.grew()


def test_connections_stay_when_certificates_change():
    """Ten generations of certificates, and no new connection to the key server."""
    with Counters() as counters:
        for n in range(10):
            tgctl("cert", "add", "keyless-ec", "--names", "ec.keyless.test" + (",x.keyless.test" if n % 2 == 0 else ""),
                  "--chain", f"{TLS}/keyless-ec.pem", "--keyserver", "premises")
            visit("ec.keyless.test")
    assert counters["keyless_answers"] == 10
    assert counters["keyless_connects"] == counters["keyless_lost"] == 0


# --- the key server as a program ------------------------------------------------------------------------------------

def test_key_server_has_no_rights():
    with open(f"/proc/{KeyServer.pid}/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    assert "0" not in status["Uid"].split() and "0" not in status["Gid"].split()
    assert int(status["CapEff"], 16) == int(status["CapPrm"], 16) == 0
    assert run("cat", f"/proc/{KeyServer.pid}/limits").stdout.split("Max core file size")[1].split()[:2] == ["0", "0"]


def test_key_server_reload():
    """Without rights it cannot read the keys again: it says so and goes on with what it has."""
    with open(os.path.join(LOG_DIR, "keyserver.log")) as log:
        log.seek(0, os.SEEK_END)
        os.kill(KeyServer.pid, signal.SIGHUP)
        assert wait_for(lambda: "not reloaded, the old configuration stays: " in log.read(), 5)
    visit("ec.keyless.test")


@pytest.mark.parametrize("line,said", [
    ("port = 0;", "1: port: must be in 1..65535"),
    ("colour = 1;", "1: colour: unknown key"),
    ("user = \"nobody-here\";", " user: does not exist"),
    ("user = \"\";", " user: started as root: name the user to become"),
    ("user = \"root\";", " user: is root: name another one"),
    ("audit = \"/nowhere/x\";", "/nowhere/x: cannot be opened for appending"),
])
def test_key_server_refuses_its_configuration(tmp_path, line, said):
    path = tmp_path / "k.conf"
    with open(f"{PREMISES}/keyserver.conf") as file:
        rest = re.sub(line.split()[0] + " = [^;]*;", "", file.read()).replace("port = 2407;", "port = 2408;")
    path.write_text(line + "\n" + rest.replace('address = "198.18.0.1"', 'address = "127.0.0.1"'))
    done = run("tidegate-keyserver", "-c", str(path), timeout=10)
    assert done.returncode == 2 and said in done.stderr.splitlines()[-1], done.stderr
    assert run("tidegate-keyserver", "-c", str(tmp_path / "none.conf")).returncode == 2
    assert run("tidegate-keyserver").returncode == 2


# --- where the key is not -------------------------------------------------------------------------------------------

def node_files():
    """Everything that a run keeps for the node: state, logs, TLS files, the shared region. Not the premises."""
    with open(CONF) as file:
        yield re.search(r'^region = "(.*)";', file.read(), re.M)[1]
    for folder, folders, files in os.walk(os.path.dirname(CONF)):
        folders[:] = [f for f in folders if os.path.join(folder, f) not in (PREMISES, os.path.dirname(CONF) + "/bin")]
        yield from (os.path.join(folder, f) for f in files)


def places(needles):
    found = [path for path in node_files() if file_holds(path, needles)]
    found += [name for name, pid in (("tidegate", EDGE_PID), ("tidegate-ctl", control_pid())) if memory_holds(pid, needles)]
    return found


def test_the_node_does_not_have_the_keys(note):
    for site in ("ec", "rsa"):
        visit(f"{site}.keyless.test")
        needles = secrets_of(f"{PREMISES}/keys/{site}.key")
        assert places(needles) == [], f"the private key of {site}.keyless.test is on the node"
        assert memory_holds(KeyServer.pid, needles), "where it should be it is not found: the search is blind"
    # the same search for a key that is on the node
    found = places(secrets_of(f"{TLS}/edge.key"))
    assert "tidegate" in found and any(path.endswith("/region") for path in found)
    assert any("/state/" in path for path in found)
    note(f"the key of tidegate.test lies in {len(found)} places")


# --- the key server gone --------------------------------------------------------------------------------------------

def home_visits(seconds, out):
    """Somebody visits the site with its key at home all the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            out.append(visit("tidegate.test"))
        except (OSError, AssertionError) as error:
            out.append(repr(error))


def failing_visits(note, deadline):
    """Every keyless handshake ends with an alert in time, and nobody else notices. They wait side by side."""
    home = []
    other = threading.Thread(target=home_visits, args=(3, home))
    other.start()
    with concurrent.futures.ThreadPoolExecutor(4) as visitors:
        ends = list(visitors.map(lambda visit: refused(f"{visit[0]}.keyless.test", visit[1]),
                                 [("ec", "1.3"), ("rsa", "1.3"), ("ec", "1.2"), ("rsa", "1.2")]))
    for reason, took in ends:
        assert reason == "TLSV1_ALERT_INTERNAL_ERROR"
        assert took < deadline
        note(f"{took * 1000:.0f} ms")
    other.join()
    assert home and all(isinstance(took, float) and took < 1 for took in home), home


def test_key_server_frozen(note):
    """It is there and answers nothing: the deadline of a key operation ends the handshake."""
    os.kill(KeyServer.pid, signal.SIGSTOP)
    try:
        with Counters() as counters:
            failing_visits(note, DEADLINE + 0.5)
    finally:
        os.kill(KeyServer.pid, signal.SIGCONT)
    assert counters["keyless_timeouts"] + counters["keyless_errors"] == counters["keyless_requests"] == 4
    assert counters["keyless_timeouts"] >= 1
    assert wait_for(lambda: not isinstance(try_visit("ec.keyless.test"), str), 5)


def try_visit(site):
    try:
        return visit(site)
    except (OSError, AssertionError) as error:
        return repr(error)


def test_key_server_stopped_and_started(note):
    context = tls_context()
    with connect(context, name="ec.keyless.test") as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: ec.keyless.test\r\n\r\n")
        assert Reader(sock).answer().status == 200
        session = sock.session
    KeyServer.stop()
    with Counters() as counters:
        failing_visits(note, DEADLINE + 0.5)
    assert counters["keyless_errors"] + counters["keyless_timeouts"] == 4
    # who was there before needs no key
    with connect(None, port=443) as plain:
        with context.wrap_socket(plain, server_hostname="ec.keyless.test", session=session) as sock:
            assert sock.session_reused
            sock.sendall(b"GET / HTTP/1.1\r\nHost: ec.keyless.test\r\n\r\n")
            assert Reader(sock).answer().status == 200
    KeyServer.start()
    assert wait_for(lambda: not isinstance(try_visit("ec.keyless.test"), str), 5)
    visit("rsa.keyless.test", "1.2")
