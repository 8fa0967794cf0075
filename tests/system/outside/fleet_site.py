# SPDX-License-Identifier: BSD-3-Clause
"""Small fleets for tests and benches: a network namespace with an etcd, an origin and sites, each a tidegate (one worker)
with its tidegate-ctl. A site's port is a TAP, whose other end in the namespace stands for clients and the way to the
origin. Used by test_fleet_store.py and by tests/bench/fleet_rows.py. Root.

    client and gateway  10.9.N.254 ---- TAP tgsN ---- 10.9.N.1  site N          203.0.113.1  origin, on loopback
"""
import json
import os
import shutil
import signal
import subprocess
import tempfile

from common import BUILD, UnixConnection, origin_program, wait_for

ETCD_PORT = 2379
ORIGIN, ORIGIN_PORT = "203.0.113.1", 8080
PAGE = "a page of the origin"


class Process:
    """A program in the namespace, its output in a file."""

    def __init__(self, netns, log, *command):
        with open(log, "ab") as out:
            self.child = subprocess.Popen(["nsenter", f"--net=/run/netns/{netns}", "--", *command],
                                          stdin=subprocess.DEVNULL, stdout=out, stderr=out)

    def alive(self):
        return self.child.poll() is None

    def end(self, number=signal.SIGTERM):
        if self.alive():
            self.child.send_signal(number)
        try:
            self.child.wait(20)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
            raise


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.revision = int(response.headers.get("Tidegate-Fleet-Revision", "0"))
        self.body = json.loads(response.read())

    def __repr__(self):
        return f"Answer({self.status}, {self.body})"


class Site:
    """A tidegate and its tidegate-ctl."""

    def __init__(self, fleet, name, slot, workers=1):
        self.fleet, self.name = fleet, name
        self.folder = os.path.join(fleet.folder, name)
        os.mkdir(self.folder)
        self.socket = os.path.join(self.folder, "ctl.sock")
        self.config = os.path.join(self.folder, "tidegate.conf")
        self.slot, self.address, self.client = slot, f"10.9.{slot}.1", f"10.9.{slot}.254"
        self.edge = self.ctl = None
        with open(self.config, "w") as file:
            file.write(f"""
node = {{ name = "{name}"; slot = {slot}; }};
region = "{self.folder}/region";
arena_mb = 16;
workers = {workers};
cpus = [ {slot % os.cpu_count()} ];
hugepages = false;
buffers = 2048;
ports = ( {{ device = "net_tap{slot},iface=tgs{slot}"; addresses = [ "{self.address}/24" ]; }} );
routes = ( {{ prefix = "0.0.0.0/0"; gateway = "{self.client}"; port = 0; }} );
listen = {{ http = [ 80 ]; }};
limits = {{ connections = 256; requests = 64; }};
control = {{ socket = "{self.socket}"; state = "{self.folder}/state"; audit = "{self.folder}/audit.jsonl";
             fleet = "lab"; etcd = [ "http://127.0.0.1:{ETCD_PORT}" ]; }};
""")

    def start(self):
        self.edge_start()
        self.ctl_start()

    def edge_start(self):
        log = os.path.join(self.folder, "tidegate.log")
        begun = os.path.getsize(log) if os.path.exists(log) else 0
        self.edge = Process(self.fleet.netns, log, os.path.join(BUILD, "dataplane/tidegate"), "-c", self.config)

        def ready():
            """tidegate says that it is ready"""
            assert self.edge.alive(), open(log).read()[-2000:]
            return "tidegate: ready" in open(log).read()[begun:]
        wait_for(ready)
        for words in (("address", "add", f"{self.client}/24", "dev", f"tgs{self.slot}"),
                      ("link", "set", f"tgs{self.slot}", "up")):
            subprocess.run(["ip", "-n", self.fleet.netns, *words], check=True)

    def ctl_start(self):
        self.ctl = Process(self.fleet.netns, self.log(), os.path.join(BUILD, "ctrlplane/tidegate-ctl"), "-c",
                           self.config)

        def answers():
            """tidegate-ctl answers and its worker runs"""
            assert self.ctl.alive(), self.log_text()[-2000:]
            try:
                return self.status()["workers_alive"]
            except OSError:
                return False
        wait_for(answers)

    def log(self):
        return os.path.join(self.folder, "tidegate-ctl.log")

    def log_text(self):
        with open(self.log()) as file:
            return file.read()

    def ask(self, method, path, body=None, timeout=20):
        connection = UnixConnection(self.socket, timeout)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return answer.body

    def status(self):
        return self.get("/v1/status")

    def fleet_status(self):
        return self.status()["fleet"]

    def connected(self):
        """connected to etcd, with all of it in force"""
        fleet = self.fleet_status()
        return fleet["connected"] and fleet["in_force"] > 0 and fleet["in_force"] == fleet["revision"]

    def in_force(self, revision):
        """True as soon as the store's revision is in force on the site's workers."""
        return self.fleet_status()["in_force"] >= revision

    def page(self, seconds=2):
        """The page that a client gets through the site; None: no answer in time."""
        done = self.fleet.run("curl", "-fsS", "--max-time", str(seconds), f"http://{self.address}/", check=False)
        return done.stdout if done.returncode == 0 else None

    def end(self):
        for process in (self.ctl, self.edge):
            if process:
                process.end()


class Fleet:
    """with Fleet() as fleet: an etcd, and sites by fleet.site(name)."""

    def __init__(self):
        self.netns = f"tg-fleet-{os.getpid()}"
        self.sites = []
        self.etcd = self.origin = None
        self.endpoint = f"http://127.0.0.1:{ETCD_PORT}"

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="tidegate-fleet.")
        subprocess.run(["ip", "netns", "add", self.netns], check=True)
        subprocess.run(["ip", "-n", self.netns, "link", "set", "lo", "up"], check=True)
        return self

    def etcd_start(self, data="etcd"):
        url, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
        self.etcd = Process(self.netns, os.path.join(self.folder, "etcd.log"), "etcd", "--data-dir",
                            os.path.join(self.folder, data), "--listen-client-urls", url, "--advertise-client-urls",
                            url, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                            "--initial-cluster", f"default={peer}", "--logger", "zap", "--log-level", "warn")

        def healthy():
            """etcd is healthy"""
            assert self.etcd.alive(), open(os.path.join(self.folder, "etcd.log")).read()[-2000:]
            return self.run("curl", "-fs", f"{url}/health", check=False).returncode == 0
        wait_for(healthy)

    def origin_start(self):
        """The origin, and a site in the store whose pages come from there."""
        subprocess.run(["ip", "-n", self.netns, "address", "add", f"{ORIGIN}/32", "dev", "lo"], check=True)
        self.origin = Process(self.netns, os.path.join(self.folder, "origin.log"), "/usr/bin/python3", "-c",
                              origin_program(ORIGIN, ORIGIN_PORT, PAGE))
        for path, body in (("origins/o", {"address": ORIGIN, "port": ORIGIN_PORT}),
                           ("sites/s", {"origin": "o", "hosts": ["fleet.test"], "default": True})):
            answer = self.sites[0].ask("PUT", f"/v1/{path}", body)
            assert answer.status == 201, answer
        for site in self.sites:
            wait_for(lambda site=site: site.page() == PAGE)

    def etcd_end(self, number=signal.SIGKILL):
        self.etcd.end(number)

    def run(self, *command, check=True, **more):
        return subprocess.run(["nsenter", f"--net=/run/netns/{self.netns}", "--", *command], check=check,
                              capture_output=True, text=True, timeout=30, **more)

    def etcdctl(self, *words):
        return self.run("etcdctl", "--endpoints", f"127.0.0.1:{ETCD_PORT}", *words,
                        env=dict(os.environ, ETCDCTL_API="3")).stdout

    def site(self, name):
        site = Site(self, name, len(self.sites))
        self.sites.append(site)
        return site

    def __exit__(self, *error):
        for site in self.sites:
            site.end()
        for process in (self.etcd, self.origin):
            if process:
                process.end(signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.netns], check=True)
        if error[0]:
            print(f"logs: {self.folder}")
        else:
            shutil.rmtree(self.folder)
