# SPDX-License-Identifier: BSD-3-Clause
"""http.cpu_xdp and http.cpu_tap: all CPU microseconds of a proxied keep-alive request where the appliance and the peers
stand on the same kernel, so that the kernel's work counts for both. Client (wrk) and origin (nginx) on processor 1, in one
network namespace; the proxy on processor 0: tidegate on a veth (its own AF_XDP back end) or a TAP of that namespace, nginx
and HAProxy on its loopback. perf samples them all by their CPU time; of a worker, which polls for ever, turns with work.

The parts: own (user space), calls (the kernel on our behalf), receive (the kernel on the receiver's behalf: it carries what
we send up to the socket of client or origin within our call; a proxy's own receiving is paid by its senders likewise, or, in
our case, is part of own)."""
import contextlib
import os
import shutil
import subprocess
import tempfile

import http_rows
from http_rows import BODY, CONNECTIONS, HAPROXY, NGINX_ORIGIN, NGINX_PROXY, write
from measure import BUILD, ROOT, children, hugepages, median, process, say, version, wait_until
from stage_rows import SECONDS, StageEdge, per_request, perf_record
from stages import KERNEL, RECEIVE, Attribution

ROUNDS = 3
VETH = ("ip link add tgk1 type veth peer name tgk0 && ethtool -K tgk1 tx off >/dev/null && ip link set tgk0 up && "
        "ip address add 192.0.2.254/24 dev tgk1 && ip link set tgk1 up")
TAP = "ip address add 192.0.2.254/24 dev tgk0 && ip link set tgk0 up"


@contextlib.contextmanager
def namespace():
    """A network namespace of this process; the words that run a command in it."""
    name = f"tg-bench-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    inside = ["nsenter", f"--net=/run/netns/{name}", "--"]
    try:
        subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True)
        yield inside
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


class KernelEdge(StageEdge):
    """tidegate on a device whose other end is the kernel's, with wrk as its load."""

    origin = ("192.0.2.254", "18080")
    program_below, device, before, after = None, None, None, None

    def __init__(self, folder, huge, inside):
        super().__init__(folder, huge, program=os.path.join(ROOT, self.program_below, "tests/bench/tidegate_turns"),
                         device=self.device, inside=inside)

    def shell(self, command):
        if command:
            subprocess.run([*self.inside, "sh", "-c", command], check=True)

    def run(self):
        self.shell(self.before)
        try:
            return super().run()
        finally:
            shutil.rmtree(os.path.join(self.folder, "state"), ignore_errors=True)
            if self.before:
                self.shell("ip link delete tgk1")

    def load_start(self):
        self.shell(self.after)
        return subprocess.Popen([*self.inside, "taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}",
                                 f"-d{SECONDS + 4}s", "http://192.0.2.1/"], stdout=subprocess.PIPE, text=True)


class XdpEdge(KernelEdge):
    program_below, device, before = "build-xdp", "tgk0", VETH


class TapEdge(KernelEdge):
    program_below, device, after = "build", "net_tap0,iface=tgk0", TAP


def parts(ns):
    """(own, calls, receive) microseconds."""
    kernel = {stage: sum(v for (s, _), v in ns.items() if s == stage) / 1000 for stage in (KERNEL, RECEIVE)}
    return sum(ns.values()) / 1000 - sum(kernel.values()), kernel[KERNEL], kernel[RECEIVE]


def ours(edge):
    samples, grown = edge.run()
    return parts(per_request(samples, grown["http_responses"]))


def peer(folder, inside, command, url):
    data = os.path.join(folder, "peer.data")
    with process([*inside, "taskset", "-c", "0", *command], os.path.join(folder, "peer.log")) as proxy:
        wait_until(f"{command[0]}'s start", lambda: subprocess.run(
            [*inside, "curl", "-s", "-o", "/dev/null", url]).returncode == 0)
        worker = (children(proxy.pid) or [proxy.pid])[-1]
        out = os.path.join(folder, "wrk.out")
        perf_record(worker, data, "sh", "-c", f"{' '.join(inside)} wrk -t1 -c{CONNECTIONS} -d{SECONDS}s {url} >{out}")
    with open(out) as f:
        requests = http_rows.wrk_requests(f.read(), url)
    return parts(per_request(Attribution(BUILD, command[0]).samples(data, None), requests))


def round_of(folder, huge, inside):
    nginx = write(folder, "proxy.conf", NGINX_PROXY.format(folder=folder))
    haproxy = write(folder, "haproxy.cfg", HAPROXY)
    return {"xdp": ours(XdpEdge(folder, huge, inside)),
            "nginx": peer(folder, inside, ["nginx", "-p", folder, "-c", nginx], "http://127.0.0.1:18081/"),
            "tap": ours(TapEdge(folder, huge, inside)),
            "haproxy": peer(folder, inside, ["haproxy", "-f", haproxy], "http://127.0.0.1:18082/")}


def measure(folder, huge, inside):
    origin = write(folder, "origin.conf", NGINX_ORIGIN.format(folder=folder, body=BODY, address="0.0.0.0"))
    rounds = []
    with process([*inside, "taskset", "-c", "1", "nginx", "-p", folder, "-c", origin],
                 os.path.join(folder, "origin.log")):
        for i in range(ROUNDS):
            rounds.append(round_of(folder, huge, inside))
            say(f"  round {i + 1}: us/request, own + calls + receive: " + ", ".join(
                f"{who} {sum(p):.2f} = {p[0]:.2f} + {p[1]:.2f} + {p[2]:.2f}" for who, p in rounds[-1].items()))
    return rounds


def run(rows):
    folder = tempfile.mkdtemp(prefix="tg-bench-")
    with hugepages(400) as huge, namespace() as inside:
        rounds = measure(folder, huge, inside)
    shutil.rmtree(folder, ignore_errors=True)
    for who in ("xdp", "tap"):
        for name in ("nginx", "haproxy"):
            rows.add(f"http.cpu_{who}", median([sum(r[who]) for r in rounds]), "us/request", name,
                     version([name, "-v"], name), median([sum(r[name]) for r in rounds]), True)
    for who in rounds[0]:
        for i, part in enumerate(("own", "calls", "receive")):
            rows.add_own(f"http.cpu_{who}_{part}", median([r[who][i] for r in rounds]), "us/request")
