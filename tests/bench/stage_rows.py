# SPDX-License-Identifier: BSD-3-Clause
"""http.stage_*: the nanoseconds that a proxied keep-alive request (the load of http.keepalive_100b, over net_memif) spends
in each stage of its way through the appliance; stages.py has the list of what belongs to which.

perf samples the worker's thread by its CPU time, call chains included, 4,000 times a second; busy_turns.c writes down when
turns of the worker began and ended that found work, and only samples within them count. So this is what the row sums up as
worker_busy_ns, less the time in which others had the processor."""
import bisect
import collections
import json
import os
import shutil
import struct
import subprocess
import tempfile

from http_rows import CONNECTIONS, Edge, counters
from measure import BUILD, hugepages, say, wait_until, worker_thread
from stages import ORDER, UNKNOWN, Attribution

PROGRAM = os.path.join(BUILD, "tests/bench/tidegate_turns")
HERTZ, SECONDS = 4000, 10
UNATTRIBUTED_MAX = 0.05
SEEN_MIN = 0.1  # of busy time by the clock; on a machine that others use, most of it may be theirs


def perf_record(tid, data, *command):
    """Samples of a thread into a file while a command runs, on the other processor."""
    subprocess.run(["taskset", "-c", "1", "perf", "record", "-q", "-F", str(HERTZ), "-k", "CLOCK_MONOTONIC", "-e",
                    "cpu-clock", "-g", "-t", str(tid), "-o", data, "--", *command], check=True)


def record_turns(tid, data, socket):
    """Samples of a worker for some seconds; returns what the counters grew by meanwhile."""
    before, after = data + ".before", data + ".after"
    stats = f"{BUILD}/ctrlplane/tgctl -s {socket} stats -a -o json"
    perf_record(tid, data, "sh", "-c", f"{stats} >{before}; sleep {SECONDS}; {stats} >{after}")
    with open(before) as b, open(after) as a:
        old, new = json.load(b)["counters"], json.load(a)["counters"]
    return {name: new[name] - old[name] for name in new}


class BusyTurns:
    """What busy_turns.c wrote: is a moment within a turn that found work?"""

    def __init__(self, path):
        with open(path, "rb") as f:
            pairs = list(struct.iter_unpack("=QQ", f.read()))
        if pairs[-1][0]:
            raise SystemExit("bench: more turns than busy_turns.c has room for")
        pairs = [pair for pair in pairs if pair[0]]
        self.starts, self.ends = [p[0] for p in pairs], [p[1] for p in pairs]

    def __contains__(self, ns):
        i = bisect.bisect_right(self.starts, ns) - 1
        return i >= 0 and ns <= self.ends[i]


class StageEdge(Edge):
    """The appliance of http.keepalive_100b; measure() returns samples by (stage, function) within turns that found work,
    and the counters' growth."""

    def __init__(self, folder, huge, program=PROGRAM, **options):
        super().__init__(folder, huge, program=program, **options)
        self.turns = os.environ["TG_TURNS"] = os.path.join(folder, "turns")

    def load_start(self):
        return subprocess.Popen(
            [os.path.join(BUILD, "tests/bench/http_load"),
             f"net_memif0,role=client,id=0,socket=@{self.folder},rsize=11", str(CONNECTIONS), str(SECONDS + 4), "1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)

    def measure(self):
        data = os.path.join(self.folder, "perf.data")
        before = counters(self.socket)["http_responses"]
        load = self.load_start()
        try:
            wait_until("the load's start", lambda: counters(self.socket)["http_responses"] > before + 1000)
            grown = record_turns(worker_thread(self.process.pid), data, self.socket)
        finally:
            out = load.communicate()[0]
        if load.returncode or "Non-2xx" in out or "Socket errors" in out:
            raise SystemExit(f"bench: the load failed: {out}")
        build = os.path.dirname(os.path.dirname(os.path.dirname(self.program)))
        samples = Attribution(build, self.program).samples(data, BusyTurns(self.turns))
        seen, busy = sum(samples.values()) * 1e9 / HERTZ, grown["worker_busy_ns"]
        if seen < SEEN_MIN * busy:
            raise SystemExit(f"bench: perf saw {seen / 1e9:.2f} s of the {busy / 1e9:.2f} s in which the worker was busy")
        return samples, grown


def per_request(samples, requests):
    return {key: count * 1e9 / HERTZ / requests for key, count in samples.items()}


def print_stages(ns, busy):
    total = sum(ns.values())
    by_stage = collections.defaultdict(dict)
    for (stage, function), value in ns.items():
        by_stage[stage][function] = value
    print(f"\n{'stage':16} {'ns/request':>10} {'share':>6}  most of it")
    for stage in ORDER:
        functions = by_stage[stage]
        value = sum(functions.values())
        top = sorted(functions, key=functions.get, reverse=True)[:4]
        names = ", ".join(f"{name.split(':')[1]} {functions[name]:.0f}" for name in top if functions[name] > 1)
        print(f"{stage:16} {value:10.0f} {value / total:6.1%}  {names}")
    print(f"{'sum':16} {total:10.0f}         the worker's clock says {busy:.0f} (what ran beside it included)")


def run(rows):
    folder = tempfile.mkdtemp(prefix="tg-bench-")
    with hugepages(400) as huge:
        samples, grown = StageEdge(folder, huge).run()
    shutil.rmtree(folder, ignore_errors=True)
    requests = grown["http_responses"]
    ns = per_request(samples, requests)
    say(f"http.stage_*: {sum(samples.values())} samples, {requests} requests, "
        f"{requests / grown['worker_polls_busy']:.1f} requests a turn")
    print_stages(ns, grown["worker_busy_ns"] / requests)
    total = sum(ns.values())
    for stage in ORDER:
        value = sum(v for (s, _), v in ns.items() if s == stage)
        if stage == UNKNOWN and value > UNATTRIBUTED_MAX * total:
            raise SystemExit(f"bench: {value:.0f} of {total:.0f} ns have no stage: tests/bench/stages.py")
        rows.add_own("http.stage_" + stage.strip("()").replace(" ", "_").replace("-", "_"), value, "ns/request")
    rows.add_own("http.stage_sum", total, "ns/request")
