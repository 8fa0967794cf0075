# SPDX-License-Identifier: BSD-3-Clause
"""The fleet that scripts/run --fleet started, as the chapters see it: sites, programs, routes. All names come from the
environment (scripts/run --help)."""
import contextlib
import ctypes
import json
import os
import re
import signal
import subprocess
import time

from frame import Failed, check

RUN = os.environ["TIDEGATE_RUN"]
NETNS = os.environ["TIDEGATE_NETNS"]
CA = os.environ["TIDEGATE_CA"]
ORIGIN_DIR = os.environ["TIDEGATE_ORIGIN_DIR"]
ORIGIN4 = os.environ["TIDEGATE_ORIGIN4"]
CLIENT4 = os.environ["TIDEGATE_CLIENT4"]
TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SERVICE4, SERVICE6 = "192.0.2.1", "2001:db8:1::1"
CLONE_NEWNET = 0x40000000


def run(*command, check_status=True, timeout=60, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, **more)
    if check_status and done.returncode != 0:
        raise Failed(f"'{' '.join(command)}': {(done.stderr or done.stdout).strip()[-400:]}")
    return done


def run_in(name, *command, **more):
    """In a namespace of the fleet: client, r1, r2, site-a, site-b, origin, premises, store."""
    return run("nsenter", f"--net={NETNS}{name}", "--", *command, **more)


def wait_for(condition, seconds, step=0.005):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(step)
    return True


@contextlib.contextmanager
def inside(name):
    """The calling thread, for what it opens, in another namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net") as mine, open(NETNS + name) as other:
        check(libc.setns(other.fileno(), CLONE_NEWNET) == 0, f"no way into the namespace {name}")
        try:
            yield
        finally:
            check(libc.setns(mine.fileno(), CLONE_NEWNET) == 0, "no way back into our namespace")


class Program:
    """One of the fleet's programs by its name in $TIDEGATE_RUN/start."""
    ours = {}  # the ones that the tour started itself, by name

    def __init__(self, name):
        self.name = name

    @property
    def pid(self):
        with open(f"{RUN}/pid/{self.name}") as file:
            return int(file.read())

    def lives(self):
        if self.name in self.ours and self.ours[self.name].poll() is not None:
            return False
        try:
            with open(f"/proc/{self.pid}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] not in "ZX"
        except OSError:
            return False

    def stop(self, number=signal.SIGTERM):
        os.kill(self.pid, number)
        check(wait_for(lambda: not self.lives(), 10), f"{self.name} does not end")

    def start(self):
        """Again; it ends with the tour at the latest."""
        with open(f"{RUN}/log/{self.name}.log", "ab") as log:
            child = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", f"{RUN}/start/{self.name}"],
                                     stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.ours[self.name] = child
        with open(f"{RUN}/pid/{self.name}", "w") as file:
            file.write(str(child.pid))


class Counting:
    """with site.counting() as c: ...; then c["waf_blocked"] is by how much it grew."""

    def __init__(self, site):
        self.site = site

    def __enter__(self):
        self.before = self.site.counters()
        return self

    def __exit__(self, *_):
        self.after = self.site.counters()

    def __getitem__(self, name):
        return self.after[name] - self.before[name]


class Site:
    def __init__(self, name):
        prefix = f"TIDEGATE_{name.upper()}_"
        self.name = name
        self.address4 = os.environ[prefix + "ADDRESS4"]
        self.address6 = os.environ[prefix + "ADDRESS6"]
        self.socket = os.environ[prefix + "SOCKET"]
        self.audit = os.environ[prefix + "AUDIT"]
        self.router = os.environ[prefix + "ROUTER"]
        self.gateways = os.environ[prefix + "ROUTER4"], os.environ[prefix + "ROUTER6"]
        self.kernel = {word: os.environ[prefix + "KERNEL" + more] for word, more in
                       (("4", "4"), ("6", "6"), ("DEVICE", "_DEVICE"))}
        self.tidegate = Program(f"tidegate-{name}")
        self.ctl = Program(f"ctl-{name}")
        self.bird = Program(f"bird-{name}")

    def tgctl(self, *words, check_status=True):
        """What it answers as JSON; with check_status=False the finished process."""
        done = run("tgctl", "-s", self.socket, "-o", "json", *words, check_status=check_status)
        if not check_status:
            return done
        try:
            return json.loads(done.stdout)
        except ValueError:
            return {}

    def status(self):
        return self.tgctl("status")

    def counters(self):
        return self.tgctl("stats", "-a")["counters"]

    def counting(self):
        return Counting(self)

    def audit_line(self, request_id, seconds=5):
        """The WAF's line about a request; it arrives a little later than the answer."""
        found = []

        def look():
            with open(self.audit) as file:
                found[:] = [line for line in map(json.loads, file) if line.get("request_id") == request_id]
            return found
        wait_for(look, seconds, 0.02)
        return found[0] if found else None

    def tidegate_start(self):
        """The data plane again: ready, its kernel's addresses on the TAP that it makes, the tables in force."""
        log = f"{RUN}/log/{self.tidegate.name}.log"
        begun = os.path.getsize(log)
        self.tidegate.start()

        def said_ready():
            with open(log) as file:
                file.seek(begun)
                return "tidegate: ready" in file.read()
        check(wait_for(said_ready, 30), f"{self.tidegate.name} is not ready")
        device = self.kernel["DEVICE"]
        if device != "eth0":
            check(wait_for(lambda: run_in(f"site-{self.name}", "ip", "link", "show", device, check_status=False).returncode == 0,
                           5), f"{device} is not there")
            for words in (("address", "add", self.kernel["4"] + "/28", "dev", device),
                          ("-6", "address", "add", self.kernel["6"] + "/64", "dev", device, "nodad"),
                          ("link", "set", device, "up"), ("route", "replace", "default", "via", self.gateways[0]),
                          ("-6", "route", "replace", "default", "via", self.gateways[1])):
                run_in(f"site-{self.name}", "ip", *words)
        check(wait_for(lambda: self.tgctl("status", check_status=False).returncode == 0 and
                       self.status()["workers_alive"] == 1, 20, 0.05), f"{self.ctl.name} does not find the new data plane")

    def birdc(self, *words):
        done = run("birdc", "-s", f"{RUN}/bird/{self.name}.ctl", *words)
        return done.stdout


class Fleet:
    def __init__(self):
        self.a, self.b = Site("a"), Site("b")
        self.sites = (self.a, self.b)
        self.etcd = Program("etcd")

    def gateway(self, service):
        """Where the client's router sends the service's packets."""
        shown = run_in("r1", "ip", "route", "get", service, check_status=False).stdout
        found = re.search(r" via (\S+)", shown)
        return found[1] if found else None

    def route_is(self, where):
        wanted = (self.a.address4, self.a.address6) if where == "a" else ("198.51.100.50", None)
        seen4, seen6 = self.gateway(SERVICE4), self.gateway(SERVICE6)
        return seen4 == wanted[0] and (seen6 == wanted[1] if where == "a" else seen6 not in (None, self.a.address6))

    def move(self, where):
        """The service's route to one site, by BGP: site a, the nearer one, announces it or not. Milliseconds."""
        word = "enable" if where == "a" else "disable"
        started = time.monotonic()
        self.a.birdc(word, '"service*"')
        check(wait_for(lambda: self.route_is(where), 10, 0.001), f"BGP does not move the route to site {where}")
        return (time.monotonic() - started) * 1000

    def both_serve(self):
        """The page through each site's own address."""
        for site in self.sites:
            done = run("curl", "-fsS", "--max-time", "3", f"http://{site.address4}/", check_status=False)
            check(done.returncode == 0 and "It works" in done.stdout, f"site {site.name} does not serve: {done.stderr}")
