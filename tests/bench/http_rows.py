# SPDX-License-Identifier: BSD-3-Clause
"""http.keepalive_100b and http.keepalive_100b_tap: CPU microseconds per proxied keep-alive request with a
100-byte body. Ours: the worker's busy time (polls that found work, packet I/O inside) over net_memif to
clients and origin on our own stack on the other core, and over net_tap to wrk and nginx. Peers: nginx and
HAProxy as proxies over loopback, user + system time of the proxy process, wrk and the origin on the other
core. All in one run, interleaved, medians.

Busy time is taken from the clock. Over memif the worker never sleeps, so the share of the time that it had its
processor turns it into CPU time (what takes the processor away does not ask whether a poll finds work)."""
import json
import os
import shutil
import subprocess
import tempfile
import time

from measure import (BUILD, ROOT, cpu_seconds, file_holds, hugepages, median, process, say, thread_ns, version,
                     wait_until, worker_thread)

ROUNDS, SECONDS, CONNECTIONS = 3, 4, 64
BODY = "7".rjust(100, "0")


def tgctl(socket, *words):
    out = subprocess.run([os.path.join(BUILD, "ctrlplane/tgctl"), "-s", socket, *words],
                         capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: tgctl {' '.join(words)}: {out.stderr}{out.stdout}")
    return out.stdout


def counters(socket):
    return json.loads(tgctl(socket, "stats", "-a", "-o", "json"))["counters"]


class Edge:
    """A real tidegate with one worker on processor 0 and one port (memif, unless device says otherwise), and its control
    plane. waf: the site's requests go through the WAF with the rules of scripts/run. program: tidegate, or what is tidegate
    otherwise. inside: words before its command, for a namespace."""

    origin = ("192.0.2.20", "8080")

    def __init__(self, folder, huge, waf=False, program=os.path.join(BUILD, "dataplane/tidegate"), device=None,
                 inside=()):
        self.folder, self.huge, self.waf, self.program, self.inside = folder, huge, waf, program, inside
        self.socket = os.path.join(folder, "ctl.sock")
        self.config = os.path.join(folder, "tidegate.conf")
        device = device or f"net_memif0,role=server,id=0,socket=@{folder},rsize=11"
        with open(self.config, "w") as f:
            f.write(f"""
node = {{ name = "bench"; }};
region = "{folder}/region";
workers = 1; cpus = [ 0 ]; hugepages = {"true" if huge else "false"}; idle_sleep = false;
ports = ( {{ device = "{device}";
            addresses = [ "192.0.2.1/24" ]; }} );
listen = {{ http = [ 80 ]; }};
control = {{ socket = "{self.socket}"; state = "{folder}/state"; audit = "{folder}/audit.jsonl"; }};
""")

    def run(self):
        log = os.path.join(self.folder, "tidegate.log")
        with process([*self.inside, self.program, "-c", self.config], log) as self.process:
            wait_until(f"tidegate's start (see {log})", lambda: file_holds(log, "tidegate: ready"))
            ctl_log = os.path.join(self.folder, "ctl.log")
            with process(["taskset", "-c", "1", os.path.join(BUILD, "ctrlplane/tidegate-ctl"), "-c",
                          self.config], ctl_log):
                wait_until(f"tidegate-ctl's start (see {ctl_log})",
                           lambda: os.path.exists(self.socket))
                address, port = self.origin
                tgctl(self.socket, "origin", "add", "bench", "--address", address, "--port", port)
                tgctl(self.socket, "site", "add", "bench", "--host", "bench.test", "--origin",
                      "bench", "--default", *(["--waf"] if self.waf else []))
                if self.waf:
                    tgctl(self.socket, "waf", "load", os.path.join(ROOT, "scripts/waf-rules.json"))
                return self.measure()

    def measure(self):
        worker = worker_thread(self.process.pid)
        ran, start = thread_ns(self.process.pid, worker), time.monotonic_ns()
        before = counters(self.socket)
        load = subprocess.run(
            [os.path.join(BUILD, "tests/bench/http_load"),
             f"net_memif0,role=client,id=0,socket=@{self.folder},rsize=11", str(CONNECTIONS),
             str(SECONDS), "1"], capture_output=True, text=True)
        after = counters(self.socket)
        share = (thread_ns(self.process.pid, worker) - ran) / (time.monotonic_ns() - start)
        if load.returncode:
            raise SystemExit(f"bench: http_load failed: {load.stdout}{load.stderr}")
        requests = after["http_responses"] - before["http_responses"]
        busy = after["worker_busy_ns"] - before["worker_busy_ns"]
        inspected = after["waf_inspected"] - before["waf_inspected"]
        if (self.waf and inspected < requests) or (not self.waf and inspected):
            raise SystemExit(f"bench: the WAF saw {inspected} of {requests} requests")
        return busy * share / requests / 1000, requests / SECONDS


NGINX_ORIGIN = """
worker_processes 1; daemon off; pid {folder}/origin.pid; error_log {folder}/origin.err;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000;
  server {{ listen {address}:18080; location / {{ return 200 "{body}"; }} }} }}
"""
NGINX_PROXY = """
worker_processes 1; daemon off; pid {folder}/proxy.pid; error_log {folder}/proxy.err;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000;
  upstream origin {{ server 127.0.0.1:18080; keepalive 256; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:18081; location / {{ proxy_pass http://origin;
    proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
"""
HAPROXY = """
global
  nbthread 1
defaults
  mode http
  timeout client 30s
  timeout server 30s
  timeout connect 5s
  http-reuse always
frontend f
  bind 127.0.0.1:18082
  default_backend b
backend b
  server o 127.0.0.1:18080
"""


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def wrk(url, seconds=SECONDS):
    """Requests done; every error counts as a failure of the bench."""
    out = subprocess.run(["taskset", "-c", "1", "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", url],
                         capture_output=True, text=True).stdout
    return wrk_requests(out, url)


def wrk_requests(out, url):
    """The number of requests in wrk's words."""
    if "Socket errors" in out or "Non-2xx" in out or "requests in" not in out:
        raise SystemExit(f"bench: wrk met errors at {url}:\n{out}")
    return int(out.split(" requests in")[0].split()[-1])


def peer(folder, command, url, log):
    with process(["taskset", "-c", "0", *command], os.path.join(folder, log)) as proxy:
        wait_until(f"{command[0]}'s start", lambda: subprocess.run(
            ["curl", "-s", "-o", "/dev/null", url]).returncode == 0)
        wrk(url, 1)
        before = cpu_seconds(proxy.pid)
        requests = wrk(url)
        return (cpu_seconds(proxy.pid) - before) / requests * 1e6, requests / SECONDS


def peers(folder):
    origin = write(folder, "origin.conf", NGINX_ORIGIN.format(folder=folder, body=BODY, address="127.0.0.1"))
    nginx = write(folder, "proxy.conf", NGINX_PROXY.format(folder=folder))
    haproxy = write(folder, "haproxy.cfg", HAPROXY)
    with process(["taskset", "-c", "1", "nginx", "-p", folder, "-c", origin],
                 os.path.join(folder, "origin.log")):
        return (peer(folder, ["nginx", "-p", folder, "-c", nginx], "http://127.0.0.1:18081/", "n.log"),
                peer(folder, ["haproxy", "-f", haproxy], "http://127.0.0.1:18082/", "h.log"))


def over_tap(folder):
    """The same appliance on net_tap, one worker on processor 0; wrk and nginx on processor 1."""
    result = os.path.join(folder, "tap.json")
    out = subprocess.run(
        ["taskset", "-c", "1", os.path.join(ROOT, "scripts/run"), "--tap", "--workers", "1",
         "--keep-build", "--", "/usr/bin/python3", os.path.join(ROOT, "tests/bench/tap_client.py"),
         str(SECONDS), str(CONNECTIONS), result], capture_output=True, text=True)
    if out.returncode or not os.path.exists(result):
        raise SystemExit(f"bench: scripts/run failed:\n{out.stdout[-3000:]}{out.stderr[-3000:]}")
    with open(result) as f:
        row = json.load(f)
    os.unlink(result)
    return row["us_per_request"], row["requests_per_second"]


def run(rows):
    folder = tempfile.mkdtemp(prefix="tg-bench-")
    memif, tap, nginx, haproxy = [], [], [], []
    with hugepages(400) as huge:
        say(f"http.keepalive_100b: {ROUNDS} rounds, hugepages {'yes' if huge else 'no'}")
        for i in range(ROUNDS):
            memif.append(Edge(folder, huge).run())
            n, h = peers(folder)
            nginx.append(n)
            haproxy.append(h)
            tap.append(over_tap(folder))
            shutil.rmtree(os.path.join(folder, "state"), ignore_errors=True)
            say(f"  round {i + 1}: us/request (requests/s): memif {memif[-1][0]:.2f} "
                f"({memif[-1][1]:.0f}), tap {tap[-1][0]:.2f} ({tap[-1][1]:.0f}), nginx "
                f"{n[0]:.2f} ({n[1]:.0f}), haproxy {h[0]:.2f} ({h[1]:.0f})")
    for name, ours in (("http.keepalive_100b", memif), ("http.keepalive_100b_tap", tap)):
        value = median([r[0] for r in ours])
        for who, command, figures in (("nginx", ["nginx", "-v"], nginx),
                                      ("HAProxy", ["haproxy", "-v"], haproxy)):
            rows.add(name, value, "us/request", who, version(command, who),
                     median([r[0] for r in figures]), True)
    shutil.rmtree(folder, ignore_errors=True)
