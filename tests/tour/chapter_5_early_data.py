# SPDX-License-Identifier: BSD-3-Clause
"""0-RTT: who came before may bring a GET in the first flight. What is recorded on the way and sent again is never executed
a second time, at no site."""
import os
import re
import signal
import subprocess
import time

from early import CountingOrigin, Relay, Visitor, replay
from fleet import NETNS, ORIGIN4, RUN, wait_for
from frame import Outcome, check

NUMBER = 5
TITLE = "TLS 1.3 and 0-RTT"
CODE = ["tls/tls_early.c", "tls/tls_replay.h", "dataplane/proxy/request.c"]
NAME = "early.tidegate.test"
PORT = 8081
PEER_PORT = 8443
REPLAYS = 100


def window_over(site):
    """A node takes no early data in its first seconds: it does not know what its predecessor executed."""
    with open(f"{RUN}/log/tidegate-{site.name}.log") as file:
        found = re.findall(r"early data: .* from (\d+) s after the start", file.read())
    check(found, f"tidegate at site {site.name} says nothing of early data")
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    with open(f"/proc/{site.tidegate.pid}/stat") as file:
        started = int(file.read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
    wait = started + int(found[-1]) + 1.5 - now
    if wait > 0:
        time.sleep(wait)


class EarlySite:
    """A site whose origin counts; one origin for all claims, as nodes keep their connections to it."""
    origin = None

    def __init__(self, fleet):
        self.fleet = fleet

    def __enter__(self):
        for site in self.fleet.sites:
            window_over(site)
        EarlySite.origin = EarlySite.origin or CountingOrigin(ORIGIN4, PORT)
        self.fleet.a.tgctl("origin", "add", "tour-count", "--address", ORIGIN4, "--port", str(PORT))
        self.fleet.a.tgctl("site", "add", "tour-early", "--host", NAME, "--origin", "tour-count")
        check(wait_for(lambda: any(s["name"] == "tour-early" for s in self.fleet.b.tgctl("site", "list")), 5),
              "the site does not reach b")
        return self.origin

    def __exit__(self, *_):
        self.fleet.a.tgctl("site", "del", "tour-early")
        self.fleet.a.tgctl("origin", "del", "tour-count")


def come_back(site, origin, method, path, early=True):
    """Second visit. (executed while the second flight is held back, executed in the end, what s_client says, first flight)"""
    visitor = Visitor(site.address4, 443, NAME)
    visitor.first_visit()
    relay = Relay(site.address4, 443)
    try:
        process = visitor.early_visit(relay, method, path)
        wait_for(lambda: origin.count(path) > 0, 0.7 if method == "POST" else 5)  # Finished is held back meanwhile
        held = origin.count(path)
        bytes_held = relay.early_bytes
        relay.release()
        said = visitor.outcome(process)
    finally:
        relay.close()
    return held, origin.count(path), said, relay.first_flight, bytes_held


def get_and_post(fleet):
    """An early GET is executed and answered before the handshake is over; an early POST waits for Finished"""
    with EarlySite(fleet) as origin:
        get_held, get_all, said, _, _ = come_back(fleet.a, origin, "GET", "/get")
        check("Early data was accepted" in said, f"early data of a GET: {said[-400:]}")
        check(get_held == 1 and get_all == 1, f"GET: executed {get_held} before Finished, {get_all} in all")
        check(" 200 OK" in said and "executed" in said, f"no answer to the early GET: {said[-300:]}")
        post_held, post_all, said_post, _, _ = come_back(fleet.a, origin, "POST", "/post")
        check(post_held == 0, f"the POST was executed {post_held} times before Finished")
        check(post_all == 1 and "executed" in said_post, f"POST: executed {post_all} times in all: {said_post[-300:]}")
    return Outcome("Finished held back on the way: the origin executed the GET meanwhile, and the answer was there",
                   "the same with a POST: executed 0 times while Finished was held back, once after it")


class EarlyPeer:
    """nginx with ssl_early_data, as an origin that terminates TLS itself; OpenSSL's own anti-replay keeps sessions in one
    server's memory, so whoever has several servers switches it off, as here."""

    def __enter__(self):
        self.dir = os.path.join(RUN, "tour-nginx")
        os.makedirs(self.dir, exist_ok=True)
        self.log = os.path.join(self.dir, "access.log")
        with open(os.path.join(self.dir, "conf"), "w") as file:
            file.write(f"""daemon off; master_process off; worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    log_format path "$request_uri"; access_log {self.log} path;
    client_body_temp_path {self.dir}/b; proxy_temp_path {self.dir}/p; fastcgi_temp_path {self.dir}/f;
    uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
    server {{
        listen {ORIGIN4}:{PEER_PORT} ssl; ssl_protocols TLSv1.3; ssl_early_data on;
        ssl_conf_command Options -AntiReplay;
        ssl_certificate {RUN}/tls/edge.pem; ssl_certificate_key {RUN}/tls/edge.key;
        location / {{ return 200 "executed"; }}
    }}
}}
""")
        self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", "nsenter", f"--net={NETNS}origin", "--",
                                         "/usr/sbin/nginx", "-p", self.dir, "-c", "conf", "-e", f"{self.dir}/error.log"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        check(wait_for(lambda: os.path.exists(f"{self.dir}/pid"), 5), "the peer nginx does not start")
        return self

    def count(self, path):
        with open(self.log) as file:
            return sum(line.strip() == path for line in file)

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def replays_at_peer():
    """How often nginx executes a GET whose first flight is sent REPLAYS times more."""
    with EarlyPeer() as peer:
        visitor = Visitor(ORIGIN4, PEER_PORT, NAME)
        visitor.first_visit()
        relay = Relay(ORIGIN4, PEER_PORT)
        relay.release()
        try:
            said = visitor.outcome(visitor.early_visit(relay, "GET", "/replayed"))
            check("Early data was accepted" in said, f"the peer takes no early data: {said[-300:]}")
        finally:
            relay.close()
        replay(relay.first_flight, [(ORIGIN4, PEER_PORT)], REPLAYS)
        return peer.count("/replayed")


def replayed(fleet):
    """A recorded first flight, sent 100 times more to both sites, is executed at most once in all"""
    targets = [(site.address4, 443) for site in fleet.sites]
    with EarlySite(fleet) as origin:
        _, first, said, flight, _ = come_back(fleet.a, origin, "GET", "/replayed")
        check("Early data was accepted" in said and first == 1, f"the visit itself: executed {first}: {said[-300:]}")
        replay(flight, targets, REPLAYS)
        delivered = origin.count("/replayed")
        check(delivered == 1, f"delivered and replayed {REPLAYS} times: executed {delivered} times")
        # the thief keeps it from its target and sends it himself
        visitor = Visitor(fleet.a.address4, 443, NAME)
        visitor.first_visit()
        relay = Relay(fleet.a.address4, 443, deliver=False)
        process = visitor.early_visit(relay, "GET", "/stolen")
        visitor.outcome(process)
        relay.close()
        replay(relay.first_flight, targets, REPLAYS)
        stolen = origin.count("/stolen")
        check(stolen <= 1, f"held back and replayed {REPLAYS} times: executed {stolen} times")
        _, _, said, flight, _ = come_back(fleet.a, origin, "POST", "/post-replayed")
        replay(flight, targets, REPLAYS)
        posts = origin.count("/post-replayed")
        check(posts == 1, f"a POST and {REPLAYS} replays of its first flight: executed {posts} times")
        fleet.both_serve()
    started = time.monotonic()
    peer = replays_at_peer()
    check(peer > 1, f"control: nginx executed the replayed GET {peer} times, so the replays show nothing")
    return Outcome(f"GET, then {REPLAYS} replays to a and b: executed once; flight held back, then {REPLAYS} times to a and b: "
                   f"{stolen} times; POST and {REPLAYS} replays: once",
                   f"nginx with ssl_early_data (tickets good at several servers): executed {peer} times of {REPLAYS + 1}",
                   f"{time.monotonic() - started:.1f} s for the peer's {REPLAYS} replays")


CLAIMS = [get_and_post, replayed]
