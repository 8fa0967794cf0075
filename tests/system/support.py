# SPDX-License-Identifier: BSD-3-Clause
"""What the system tests share. They run inside scripts/run, in the client's namespace, with its environment."""
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import threading
import time

URL = os.environ["TIDEGATE_URL"]
URL6 = os.environ["TIDEGATE_URL6"]
HTTPS = os.environ["TIDEGATE_HTTPS"]
CA = os.environ["TIDEGATE_CA"]
ORIGIN_DIR = os.environ["TIDEGATE_ORIGIN_DIR"]
AUDIT = os.environ["TIDEGATE_AUDIT"]
CONF = os.environ["TIDEGATE_CONF"]
CTL_PID = os.environ["TIDEGATE_CTL_PID"]
EDGE_PID = int(os.environ["TIDEGATE_PID"])
LOG_DIR = os.environ["TIDEGATE_LOG_DIR"]
CLIENT4 = os.environ["TIDEGATE_CLIENT4"]
CLIENT6 = os.environ["TIDEGATE_CLIENT6"]
ORIGIN4 = os.environ["TIDEGATE_ORIGIN4"]
WORKERS = int(os.environ["TIDEGATE_WORKERS"])
EDGE4 = URL.removeprefix("http://")
EDGE6 = URL6.removeprefix("http://").strip("[]")
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
WAF_RULES = os.path.join(TREE, "scripts/waf-rules.json")

ALL_URLS = {"http4": URL, "http6": URL6, "https4": HTTPS, "https6": URL6.replace("http:", "https:")}


def run(*command, **more):
    return subprocess.run(command, capture_output=True, text=True, timeout=more.pop("timeout", 60), **more)


def wait_for(condition, seconds=5.0, step=0.02):
    """True as soon as condition() is true; False when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(step)


# --- HTTP ---------------------------------------------------------------------------------------------------------

class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = fields  # name in lower case -> value
        self.body = body

    def __repr__(self):
        return f"Answer({self.status}, {self.fields}, {self.body[:200]!r})"


def curl(url, *options, timeout=30):
    """One request by curl; certificates are verified against the CA of this run."""
    done = subprocess.run(["curl", "-sSg", "-i", "--cacert", CA, "--max-time", str(timeout), *options, url],
                          capture_output=True, timeout=timeout + 10)
    assert done.returncode == 0, f"curl {url}: {done.stderr.decode()}"
    rest = done.stdout
    while True:  # 1xx heads come before the final one
        head, _, rest = rest.partition(b"\r\n\r\n")
        status, fields = parse_head(head)
        if status >= 200:
            return Answer(status, fields, rest)


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    match = re.match(r"HTTP/1\.1 (\d{3}) ", lines[0])
    assert match, f"not a status line: {lines[0]!r}"
    fields = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        fields[name.lower()] = value.strip()
    return int(match[1]), fields


def connect(tls=None, port=None, address=EDGE4, name=None, timeout=15):
    """A TCP connection to the edge; with tls (an SSLContext) the handshake is done too."""
    sock = socket.create_connection((address, port or (443 if tls else 80)), timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return tls.wrap_socket(sock, server_hostname=name or address) if tls else sock


def tls_context(**settings):
    context = ssl.create_default_context(cafile=CA)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class Reader:
    """Reads messages from a socket, byte exact."""

    def __init__(self, sock):
        self.sock = sock
        self.bytes = b""

    def more(self):
        piece = self.sock.recv(65536)
        self.bytes += piece
        return len(piece) > 0

    def until(self, mark):
        while mark not in self.bytes:
            assert self.more(), f"closed before {mark!r}; got {self.bytes[-200:]!r}"
        found, _, self.bytes = self.bytes.partition(mark)
        return found

    def exactly(self, n):
        while len(self.bytes) < n:
            assert self.more(), f"closed after {len(self.bytes)} of {n} bytes"
        found, self.bytes = self.bytes[:n], self.bytes[n:]
        return found

    def head(self):
        return parse_head(self.until(b"\r\n\r\n"))

    def answer(self, method="GET"):
        """The final response; 1xx ones before it are left out."""
        status = 100
        while status < 200:
            status, fields = self.head()
        body = b""
        if method == "HEAD" or status in (204, 304):
            pass
        elif fields.get("transfer-encoding") == "chunked":
            while (size := int(self.until(b"\r\n"), 16)) > 0:
                body += self.exactly(size)
                assert self.exactly(2) == b"\r\n"
            assert self.exactly(2) == b"\r\n"
        else:
            body = self.exactly(int(fields["content-length"]))
        return Answer(status, fields, body)

    def at_end(self):
        """True when the peer closes, in order or by reset, without another byte."""
        try:
            return not self.bytes and not self.more()
        except ConnectionResetError:
            return True


def raw(request, tls=None, method="GET"):
    """Send bytes, read one answer."""
    with connect(tls) as sock:
        sock.sendall(request)
        return Reader(sock).answer(method)


# --- files --------------------------------------------------------------------------------------------------------

def sha256_file(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def origin_file(name, size):
    """A file of random bytes in the document root."""
    path = os.path.join(ORIGIN_DIR, name)
    if not os.path.exists(path):
        with open("/dev/urandom", "rb") as source, open(path, "wb") as target:
            left = size
            while left:
                left -= target.write(source.read(min(left, 1 << 20)))
    return path


# --- control plane ------------------------------------------------------------------------------------------------

def tgctl(*words, check=True):
    done = run("tgctl", "-o", "json", *words)
    if check:
        assert done.returncode == 0, f"tgctl {' '.join(words)}: {done.stderr}{done.stdout}"
    try:
        return json.loads(done.stdout)
    except ValueError:
        return {}


def stats():
    """All counters, summed over the workers."""
    return tgctl("stats", "-a")["counters"]


class Counters:
    """with Counters() as c: ...; then c["tcp_aborted"] is by how much it grew."""

    def __enter__(self):
        self.before = stats()
        return self

    def __exit__(self, *_):
        self.after = stats()

    def __getitem__(self, name):
        return self.after[name] - self.before[name]

    def grew(self):
        return {name: self[name] for name in self.after if self[name]}


def control_pid():
    with open(CTL_PID) as file:
        return int(file.read())


def control_start():
    """Start tidegate-ctl anew; scripts/run ends it by the pid that we leave."""
    log = open(os.path.join(LOG_DIR, "tidegate-ctl.log"), "ab")
    process = subprocess.Popen(["tidegate-ctl", "-c", CONF], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                               start_new_session=True)
    with open(CTL_PID, "w") as file:
        file.write(str(process.pid))
    assert wait_for(lambda: run("tgctl", "status").returncode == 0, 10), "tidegate-ctl does not come back"


def audit_lines():
    try:
        with open(AUDIT) as file:
            return [json.loads(line) for line in file]
    except FileNotFoundError:
        return []


def audit_of(request_id):
    """The audit lines of a request; they arrive a little later than its answer."""
    found = []

    def look():
        found[:] = [line for line in audit_lines() if line["request_id"] == request_id]
        return found
    wait_for(look, 5)
    return found


# --- load ---------------------------------------------------------------------------------------------------------

class Wrk:
    """wrk in the background until stop(); it prints its summary at SIGINT. Nice, because the control plane works
    meanwhile on the same few processors."""

    def __init__(self, url, connections=2, seconds=600):
        self.process = subprocess.Popen(["nice", "-n", "15", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", url],
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def stop(self):
        """(requests, sentence about errors or "")"""
        self.process.send_signal(signal.SIGINT)
        text, _ = self.process.communicate(timeout=30)
        return wrk_result(text)


def wrk_result(text):
    match = re.search(r"(\d+) requests in", text)
    assert match, f"wrk did not finish: {text}"
    errors = re.findall(r"Socket errors:.*|Non-2xx or 3xx responses:.*", text)
    return int(match[1]), "; ".join(errors)


class Load:
    """Threads that ask for the page until stop(), half of them with a new connection each time. Every answer that is
    not 200 with the page, every broken connection and every failed handshake is a failure."""

    def __init__(self, threads=4, tls=False):
        self.done = 0
        self.failures = []
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(i % 2 == 0, tls)) for i in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self, fresh, tls):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 15)
        sock = None
        while not self.stopping.is_set():
            try:
                if sock is None:
                    sock = connect(tls_context() if tls else None)
                    reader = Reader(sock)
                sock.sendall(b"GET / HTTP/1.1\r\nHost: tidegate.test\r\n\r\n")
                answer = reader.answer()
                problem = None if answer.status == 200 and b"It works" in answer.body else repr(answer)
            except (OSError, AssertionError) as error:
                problem = repr(error)
            with self.lock:
                self.done += 1
                if problem:
                    self.failures.append(problem)
            if (problem or fresh) and sock is not None:
                sock.close()
                sock = None
            time.sleep(0.005)  # the test's own thread wants the interpreter too
        if sock is not None:
            sock.close()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        return self.done, self.failures


# --- origins that misbehave ---------------------------------------------------------------------------------------

class FakeOrigin:
    """An origin of our own in the client's namespace with a site of its own: answer(sock) is called for every
    connection."""

    def __init__(self, name, answer, waf=False, **settings):
        self.name = name
        self.host = f"{name}.tidegate.test"
        self.answer = answer
        self.listener = socket.create_server((CLIENT4, 0))
        self.port = self.listener.getsockname()[1]
        self.settings = [word for key, value in settings.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        self.waf = ["--waf"] if waf else []

    def __enter__(self):
        threading.Thread(target=self.serve, daemon=True).start()
        tgctl("origin", "add", self.name, "--address", CLIENT4, "--port", str(self.port), *self.settings)
        tgctl("site", "add", self.name, "--host", self.host, "--origin", self.name, *self.waf)
        return self

    def serve(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.one, args=(sock,), daemon=True).start()

    def one(self, sock):
        with sock:
            sock.settimeout(20)
            try:
                self.answer(sock)
            except (OSError, AssertionError):
                pass

    def get(self, path="/", *options):
        return curl(URL + path, "-H", f"Host: {self.host}", *options)

    def __exit__(self, *_):
        self.listener.close()
        tgctl("site", "del", self.name)
        tgctl("origin", "del", self.name)
