# SPDX-License-Identifier: BSD-3-Clause
"""A tidegate with an exception TAP, the kernel behind it and a router before it, each in a namespace of its own. Used by
test_exception.py. Root.

    router                                     tidegate                      kernel
    198.51.100.30, 2001:db8:a::30 -- port -- 198.51.100.17, ::17 -- tgx0 -- 198.51.100.18, 2001:db8:a::18
    203.0.113.1: origin

"af-xdp": the port is a veth, served by net_af_xdp, and tidegate runs in the kernel's namespace, as on a real machine.
"tap": the port is net_tap, whose other end is the router's interface; so tidegate runs there, and tgx0 moves away.
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from common import BUILD, UnixConnection, origin_program, wait_for

OURS4, KERNEL4, ROUTER4 = "198.51.100.17", "198.51.100.18", "198.51.100.30"
OURS6, KERNEL6, ROUTER6 = "2001:db8:a::17", "2001:db8:a::18", "2001:db8:a::30"
ORIGIN = "203.0.113.1"
TAP = "tgx0"
PYTHON = "/usr/bin/python3"


def config(folder, device, exception=TAP, workers=1):
    return f"""
node = {{ name = "a"; exception = "{exception}"; }};
region = "{folder}/region";
arena_mb = 16;
workers = {workers};
cpus = [ 0, 1 ];
hugepages = false;
buffers = 8192;
ports = ( {{ device = "{device}"; addresses = [ "{OURS4}/28", "{OURS6}/64" ]; }} );
routes = ( {{ prefix = "0.0.0.0/0"; gateway = "{ROUTER4}"; port = 0; }},
           {{ prefix = "::/0"; gateway = "{ROUTER6}"; port = 0; }} );
listen = {{ http = [ 80 ]; https = [ ]; }};
limits = {{ connections = 256; requests = 64; }};
control = {{ socket = "{folder}/ctl.sock"; state = "{folder}/state"; audit = "{folder}/audit.jsonl"; }};
"""


class Lab:
    """with Lab("tap") as lab: everything runs, and the origin's page is served."""

    def __init__(self, kind, workers=1, number=0):
        self.kind, self.workers = kind, workers
        self.names = {role: f"tg-exc-{os.getpid()}-{number}-{role}" for role in ("kernel", "router")}
        self.children = []
        self.tidegate = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="tidegate-exception.")
        try:
            self.namespaces()
            self.start()
            self.pages()
        except BaseException:
            self.end(keep=True)
            raise
        return self

    def __exit__(self, *error):
        self.end(keep=error[0] is not None)

    # --- namespaces and programs ---------------------------------------------------------------

    def ip(self, role, *words, check=True):
        return subprocess.run(["ip", "-n", self.names[role], *words], check=check, capture_output=True, text=True).stdout

    def inside(self, role, *command):
        return ["nsenter", f"--net=/run/netns/{self.names[role]}", "--", *command]

    def run(self, role, *command, check=True, timeout=60):
        return subprocess.run(self.inside(role, *command), check=check, capture_output=True, text=True, timeout=timeout)

    def spawn(self, role, log, *command, **more):
        with open(os.path.join(self.folder, log), "ab") as out:
            child = subprocess.Popen(self.inside(role, *command), stdin=subprocess.DEVNULL, stderr=out,
                                     stdout=more.pop("stdout", out), **more)
        self.children.append(child)
        return child

    def python(self, role, program, *arguments):
        """A program that prints one line when it is ready."""
        child = self.spawn(role, "python.log", PYTHON, "-u", "-c", program, *arguments, stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline(), open(os.path.join(self.folder, "python.log")).read()
        return child

    def log(self, name):
        with open(os.path.join(self.folder, name)) as file:
            return file.read()

    def namespaces(self):
        for role, name in self.names.items():
            subprocess.run(["ip", "netns", "add", name], check=True)
            self.ip(role, "link", "set", "lo", "up")
        self.ip("router", "address", "add", f"{ORIGIN}/32", "dev", "lo")
        if self.kind == "af-xdp":
            self.device, self.router_interface = "net_af_xdp0,iface=eth0,start_queue=0,queue_count=1", "eth0"
            self.ip("kernel", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns",
                    self.names["router"])
            # it has the TAP's hardware address: the kernel must not answer by it
            self.run("kernel", "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/eth0/disable_ipv6")
            self.run("router", "ethtool", "-K", "eth0", "tx", "off")
            self.ip("kernel", "link", "set", "eth0", "up")
            self.router_up()
        else:
            self.device, self.router_interface = "net_tap0,iface=tgt0", "tgt0"

    def router_up(self):
        interface = self.router_interface
        self.ip("router", "address", "add", f"{ROUTER4}/28", "dev", interface)
        self.ip("router", "-6", "address", "add", f"{ROUTER6}/64", "dev", interface, "nodad")
        self.ip("router", "link", "set", interface, "up")

    def kernel_up(self):
        if self.kind == "tap":
            self.ip("router", "link", "set", TAP, "netns", self.names["kernel"])
        self.ip("kernel", "link", "set", TAP, "up")
        self.ip("kernel", "address", "add", f"{KERNEL4}/28", "dev", TAP)
        self.ip("kernel", "-6", "address", "add", f"{KERNEL6}/64", "dev", TAP, "nodad")

    def start(self):
        self.config = os.path.join(self.folder, "tidegate.conf")
        with open(self.config, "w") as file:
            file.write(config(self.folder, self.device, workers=self.workers))
        role = "kernel" if self.kind == "af-xdp" else "router"
        self.tidegate = self.spawn(role, "tidegate.log", os.path.join(BUILD, "dataplane/tidegate"), "-c", self.config)

        def ready():
            """tidegate says that it is ready"""
            assert self.tidegate.poll() is None, self.log("tidegate.log")[-2000:]
            return "tidegate: ready" in self.log("tidegate.log")
        wait_for(ready)
        if self.kind == "tap":
            self.router_up()
        self.kernel_up()

    def pages(self):
        """The control plane, an origin behind the router, and the site that leads there."""
        self.spawn("router", "origin.log", PYTHON, "-c", origin_program(ORIGIN, 8080, "page"))
        self.spawn("kernel", "ctl.log", os.path.join(BUILD, "ctrlplane/tidegate-ctl"), "-c", self.config)

        def alive():
            """tidegate-ctl sees the workers"""
            try:
                return self.ask("GET", "/v1/status")["workers_alive"] == self.workers
            except OSError:
                return False
        wait_for(alive)
        self.ask("PUT", "/v1/origins/o", {"address": ORIGIN, "port": 8080})
        self.ask("PUT", "/v1/sites/s", {"origin": "o", "hosts": ["x.test"], "default": True})

        def served():
            """the origin's page through tidegate"""
            return self.page(OURS4) == "200"
        wait_for(served)

    def ask(self, method, path, body=None):
        connection = UnixConnection(os.path.join(self.folder, "ctl.sock"))
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            assert response.status < 300, (response.status, response.read())
            return json.loads(response.read())
        finally:
            connection.close()

    def counters(self):
        return self.ask("GET", "/v1/stats")["counters"]

    def page(self, address):
        """The status that curl gets at the router's place; "000": none."""
        host = f"[{address}]" if ":" in address else address
        return self.run("router", "curl", "-s", "-g", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5",
                        f"http://{host}/", check=False).stdout

    def mac(self):
        """The port's hardware address, which is the TAP's."""
        return json.loads(self.ip("kernel", "-j", "link", "show", TAP))[0]["address"]

    def end(self, keep=False):
        for child in reversed(self.children):
            if child.poll() is None:
                child.send_signal(signal.SIGTERM)
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout:
                child.stdout.close()
        for name in self.names.values():
            if os.path.exists(f"/run/netns/{name}"):
                subprocess.run(["ip", "netns", "del", name], check=False)
        if keep:
            print(f"logs: {self.folder}")
        else:
            shutil.rmtree(self.folder)
