# SPDX-License-Identifier: BSD-3-Clause
"""A fleet of two sites with one service address, behind one router whose routes are flipped by hand, in namespaces that it
makes. Site 1: node a, the DPDK build on a TAP (so it runs in the router's namespace). Site 2: node b, the build without
DPDK on a veth. Node c may join site 1. Used by test_fleet.py. Root.

    client  198.51.100.1 ---- .254  router ---- TAP tgfa ---- 10.91.0.1  site a \\  203.0.113.80
            2001:db8:2:1::1  ::fe   origin :8080                                 }  2001:db8:5::80, the service
                                           ---- veth      ---- 10.92.0.1 site b /
"""
import ctypes
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

from common import BUILD, CLONE_NEWNET, TREE, wait_for

BUILD_XDP = os.environ.get("TIDEGATE_BUILD_XDP", os.path.join(TREE, "build-xdp"))
SERVICE = {4: "203.0.113.80", 6: "2001:db8:5::80"}
ORIGIN, ORIGIN_PORT = {4: "198.51.100.254", 6: "2001:db8:2:1::fe"}, 8080
LARGE_BYTES = 20 << 20
LARGE = random.Random(1).randbytes(LARGE_BYTES)
ORIGIN_PROGRAM = f"""
import hashlib, http.server, random, socket
LARGE = random.Random(1).randbytes({LARGE_BYTES})
class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_GET(self):
        self.answer(LARGE if self.path == "/large" else self.client_address[0].removeprefix("::ffff:").encode())
    def do_POST(self):
        left, digest = int(self.headers["Content-Length"]), hashlib.sha256()
        while left:
            piece = self.rfile.read(min(left, 65536))
            digest.update(piece)
            left -= len(piece)
        self.answer(digest.hexdigest().encode())
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
Server(("::", {ORIGIN_PORT}), Answer).serve_forever()
"""


def socket_in(netns, make):
    """A socket that make() opens in another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as mine, open(f"/run/netns/{netns}") as other:
        assert libc.setns(other.fileno(), CLONE_NEWNET) == 0
        try:
            return make()
        finally:
            assert libc.setns(mine.fileno(), CLONE_NEWNET) == 0


class Site:
    """A tidegate and its tidegate-ctl."""

    def __init__(self, fleet, name, number, site, build, device, router_device, netns):
        self.fleet, self.name, self.number, self.site, self.build, self.netns = fleet, name, number, site, build, netns
        self.router_device = router_device
        self.own = {4: f"10.9{number}.0.1", 6: f"2001:db8:{number}::1"}
        self.gateway = {4: f"10.9{number}.0.254", 6: f"2001:db8:{number}::fe"}
        self.folder = os.path.join(fleet.folder, name)
        os.mkdir(self.folder)
        self.socket = os.path.join(self.folder, "ctl.sock")
        self.config = os.path.join(self.folder, "tidegate.conf")
        self.programs, self.starts = [], 0
        with open(self.config, "w") as file:
            file.write(f"""
node = {{ name = "{name}"; slot = {number}; site = {site}; secrets = "{fleet.secrets}"; }};
region = "{self.folder}/region";
arena_mb = 16;
workers = 2;
cpus = [ 0, 1 ];
hugepages = false;
buffers = 4096;
ports = ( {{ device = "{device}"; addresses = [ "{self.own[4]}/24", "{self.own[6]}/64", "{SERVICE[4]}/32",
             "{SERVICE[6]}/128" ]; }} );
routes = ( {{ prefix = "0.0.0.0/0"; gateway = "{self.gateway[4]}"; port = 0; }},
           {{ prefix = "::/0"; gateway = "{self.gateway[6]}"; port = 0; }} );
listen = {{ http = [ 80 ]; https = [ ]; }};
limits = {{ connections = 512; requests = 128; }};
control = {{ socket = "{self.socket}"; state = "{self.folder}/state"; audit = "{self.folder}/audit.jsonl"; }};
""")

    def program(self, name, *words):
        with open(os.path.join(self.folder, f"{name}.log"), "ab") as out:
            child = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.netns}", "--", *words],
                                     stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.programs.append(child)
        return child

    def log(self, name):
        with open(os.path.join(self.folder, f"{name}.log")) as file:
            return file.read()

    def start_edge(self):
        self.starts += 1
        self.edge = self.program("tidegate", os.path.join(self.build, "dataplane/tidegate"), "-c", self.config)

    def edge_ready(self):
        """tidegate says that it is ready"""
        assert self.edge.poll() is None, self.log("tidegate")[-2000:]
        return self.log("tidegate").count("tidegate: ready") == self.starts

    def start_control(self):
        self.control = self.program("ctl", os.path.join(BUILD, "ctrlplane/tidegate-ctl"), "-c", self.config)

    def control_ready(self):
        """tidegate-ctl answers and its workers run"""
        assert self.control.poll() is None, self.log("ctl")[-2000:]
        done = self.tgctl("status", check=False)
        return done.returncode == 0 and json.loads(done.stdout)["workers_alive"] == 2

    def tgctl(self, *words, check=True):
        done = subprocess.run([os.path.join(BUILD, "ctrlplane/tgctl"), "-s", self.socket, "-o", "json", *words],
                              capture_output=True, text=True, timeout=20)
        assert not check or done.returncode == 0, f"{self.name}: tgctl {' '.join(words)}: {done.stderr}"
        return done

    def applied(self):
        """the fleet's owners are in force on both workers"""
        owners = json.loads(self.tgctl("status").stdout)["generations"]["owners"]
        return owners["applied"] == [owners["current"]] * 2

    def generation(self):
        return json.loads(self.tgctl("status").stdout)["generations"]["owners"]["current"]

    def counters(self):
        return json.loads(self.tgctl("stats", "-a").stdout)["counters"]

    def control_end(self):
        self.control.kill()
        self.control.wait()

    def end(self):
        for child in reversed(self.programs):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.programs:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


class Fleet:
    """with Fleet() as fleet: both sites serve; the service is at site a."""

    def __init__(self):
        self.prefix = f"tgf-{os.getpid()}"
        self.router, self.client = f"{self.prefix}-router", f"{self.prefix}-client"
        self.namespaces = [self.router, self.client, f"{self.prefix}-b", f"{self.prefix}-c"]
        self.sites, self.origin = [], None

    def ip(self, netns, *commands):
        done = subprocess.run(["ip", "-n", netns, "-batch", "-"], input="\n".join(commands), text=True, capture_output=True)
        assert done.returncode == 0, done.stderr

    def address(self, netns, device, address4, address6):
        self.ip(netns, f"address add {address4} dev {device}", f"address add {address6} dev {device} nodad",
                f"link set {device} up")

    def net_up(self):
        for netns in self.namespaces:
            subprocess.run(["ip", "netns", "add", netns], check=True)
            self.ip(netns, "link set lo up")
        subprocess.run(["nsenter", f"--net=/run/netns/{self.router}", "--", "sh", "-c",
                        "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding"], check=True)
        self.ip(self.router, f"link add client type veth peer name eth0 netns {self.client}")
        for name in "bc":
            self.ip(self.router, f"link add tgf{name}1 type veth peer name tgf{name}0 netns {self.prefix}-{name}")
            self.ip(f"{self.prefix}-{name}", f"link set tgf{name}0 up")
            # AF_XDP wants whole checksums
            subprocess.run(["nsenter", f"--net=/run/netns/{self.router}", "--", "ethtool", "-K", f"tgf{name}1", "tx", "off"],
                           check=True, capture_output=True)
        self.address(self.router, "client", "198.51.100.254/24", "2001:db8:2:1::fe/64")
        self.address(self.client, "eth0", "198.51.100.1/24", "2001:db8:2:1::1/64")
        self.ip(self.client, "route add default via 198.51.100.254", "route add default via 2001:db8:2:1::fe")

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="tidegate-anycast.")
        self.secrets = os.path.join(self.folder, "secrets")
        try:
            self.start()
        except BaseException:
            self.end()
            print(f"logs: {self.folder}")
            raise
        return self

    def start(self):
        subprocess.run([os.path.join(BUILD, "ctrlplane/tgctl"), "fleet", "keygen", "--out", self.secrets], check=True,
                       capture_output=True)
        self.net_up()
        self.sites = [Site(self, "a", 1, 1, BUILD, "net_tap0,iface=tgfa", "tgfa", self.router),
                      Site(self, "b", 2, 2, BUILD_XDP, "tgfb0", "tgfb1", f"{self.prefix}-b")]
        for site in self.sites:
            site.start_edge()
        self.origin = subprocess.Popen(["nsenter", f"--net=/run/netns/{self.router}", "--", "/usr/bin/python3", "-c",
                                        ORIGIN_PROGRAM])
        for site in self.sites:
            self.connect_site(site)
        for site in self.sites:
            wait_for(site.control_ready)
            self.configure(site)
        self.flip(0)
        wait_for(lambda: self.page(4) and self.page(6))

    def connect_site(self, site):
        wait_for(site.edge_ready)
        self.address(self.router, site.router_device, f"{site.gateway[4]}/24", f"{site.gateway[6]}/64")
        site.start_control()

    def join(self):
        """Another node at the first site; all are told of it."""
        self.sites.append(Site(self, "c", 3, 1, BUILD_XDP, "tgfc0", "tgfc1", f"{self.prefix}-c"))
        site = self.sites[-1]
        site.start_edge()
        self.connect_site(site)
        wait_for(site.control_ready)
        self.configure(site)
        for other in self.sites[:-1]:
            self.tell(other)

    def configure(self, site):
        for family, more in ((4, ["--default"]), (6, [])):
            site.tgctl("origin", "add", f"o{family}", "--address", ORIGIN[family], "--port", str(ORIGIN_PORT))
            site.tgctl("site", "add", f"s{family}", "--host", f"origin{family}.test", "--origin", f"o{family}", *more)
        self.tell(site)

    def tell(self, site):
        """All nodes to one of them."""
        for node in self.sites:
            site.tgctl("node", "add", node.name, "--slot", str(node.number), "--site", str(node.site), "--address4",
                       node.own[4], "--address6", node.own[6])

    def flip(self, to, on_link=False):
        """The router's routes to the service lead to this node; on_link: by the service address's own ARP and ND."""
        site = self.sites[to]
        if on_link:
            self.ip(self.router, *(f"route replace {SERVICE[family]} dev {site.router_device}" for family in (4, 6)))
            return
        self.ip(self.router, f"route replace {SERVICE[4]}/32 via {site.own[4]}",
                f"route replace {SERVICE[6]}/128 via {site.own[6]}")

    def timestamps(self, on):
        subprocess.run(["nsenter", f"--net=/run/netns/{self.client}", "--", "sh", "-c",
                        f"echo {int(on)} >/proc/sys/net/ipv4/tcp_timestamps"], check=True)

    def connect(self, family, timeout=20):
        return socket_in(self.client, lambda: socket.create_connection((SERVICE[family], 80), timeout))

    def page(self, family):
        try:
            return Request(self.connect(family)).get("/")
        except OSError:
            return None

    def end(self):
        for site in self.sites:
            site.end()
        if self.origin:
            self.origin.kill()
            self.origin.wait()
        for netns in self.namespaces:
            subprocess.run(["ip", "netns", "del", netns], capture_output=True)

    def __exit__(self, *error):
        self.end()
        if error[0]:
            print(f"logs: {self.folder}")
        else:
            shutil.rmtree(self.folder)


class Request:
    """Requests over one connection that stays open."""

    def __init__(self, sock):
        self.sock, self.file = sock, sock.makefile("rb")

    def head(self):
        status = self.file.readline()
        assert status.startswith(b"HTTP/1.1 200 "), status
        return int(http.client.parse_headers(self.file)["content-length"])

    def get(self, path, host="fleet.test"):
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return self.file.read(self.head())

    def close(self):
        self.file.close()
        self.sock.close()


class Flow(threading.Thread):
    """A transfer of LARGE over one connection, in no less than so many seconds, and not to its end before finish.set(). result:
    the digest of what arrived; error: how it broke."""

    def __init__(self, fleet, family, upload, seconds):
        super().__init__(daemon=True)
        self.upload, self.seconds = upload, seconds
        self.result = self.error = None
        self.done = 0
        self.finish = threading.Event()
        self.request = Request(fleet.connect(family, 30))
        self.start()

    def run(self):
        try:
            self.result = self.send() if self.upload else self.receive()
        except OSError as error:
            self.error = error

    def pace(self, began, n):
        self.done += n
        ahead = began + self.seconds * self.done / LARGE_BYTES - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        if self.done > 0.9 * LARGE_BYTES:
            self.finish.wait(60)

    def receive(self):
        self.request.sock.sendall(b"GET /large HTTP/1.1\r\nHost: fleet.test\r\n\r\n")
        assert self.request.head() == LARGE_BYTES
        digest, began = hashlib.sha256(), time.monotonic()
        while self.done < LARGE_BYTES:
            piece = self.request.file.read1(65536)
            if not piece:
                raise ConnectionResetError("closed in the middle")
            digest.update(piece)
            self.pace(began, len(piece))
        return digest.hexdigest()

    def send(self):
        self.request.sock.sendall(f"POST /up HTTP/1.1\r\nHost: fleet.test\r\nContent-Length: {LARGE_BYTES}\r\n\r\n".encode())
        began = time.monotonic()
        while self.done < LARGE_BYTES:
            piece = LARGE[self.done:self.done + 65536]
            self.request.sock.sendall(piece)
            self.pace(began, len(piece))
        return self.request.file.read(self.request.head()).decode()
