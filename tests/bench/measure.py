# SPDX-License-Identifier: BSD-3-Clause
"""What every bench needs: processes that end with us, CPU time of a process, medians, rows."""
import contextlib
import json
import os
import signal
import statistics
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, "build")
TICKS = os.sysconf("SC_CLK_TCK")


def say(text):
    print(f"bench: {text}", flush=True)


@contextlib.contextmanager
def process(command, log, **options):
    """Run a command beside us, its output in a file; ended by its id, whatever happens."""
    with open(log, "w") as out:
        child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, **options)
    try:
        yield child
    finally:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def cpu_seconds(pid):
    """User and system seconds of a process and its children that live (one level: workers)."""
    total = 0
    for p in [pid] + children(pid):
        with open(f"/proc/{p}/stat") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def children(pid):
    path = f"/proc/{pid}/task/{pid}/children"
    with open(path) as f:
        return [int(p) for p in f.read().split()]


def thread_ns(pid, tid):
    """Nanoseconds that a thread has run."""
    with open(f"/proc/{pid}/task/{tid}/schedstat") as f:
        return int(f.read().split()[0])


def worker_thread(pid):
    """tidegate's one worker: of the threads beside main's, the one that has run most."""
    return max((tid for tid in os.listdir(f"/proc/{pid}/task") if tid != str(pid)),
               key=lambda tid: thread_ns(pid, tid))


def version(command, word):
    """The first output word that holds a version number, behind `word`."""
    out = subprocess.run(command, capture_output=True, text=True)
    for token in (out.stdout + out.stderr).replace("/", " ").replace(",", " ").split():
        if token[:1].isdigit() and "." in token:
            return f"{word} {token}"
    return word


def wait_until(what, test, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if test():
            return
        time.sleep(0.05)
    raise SystemExit(f"bench: {what} did not happen within {seconds} s")


def file_holds(path, text):
    with contextlib.suppress(OSError), open(path) as f:
        return text in f.read()
    return False


def median(values):
    return statistics.median(values)


class Rows:
    """The table that is printed and written to build/bench.json."""

    def __init__(self):
        self.rows = []

    def add(self, name, value, unit, peer, peer_version, peer_value, smaller_is_better):
        ratio = peer_value / value if smaller_is_better else value / peer_value
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit, "peer": peer,
                          "peer_version": peer_version, "peer_value": round(peer_value, 3),
                          "ratio": round(ratio, 2)})

    def add_own(self, name, value, unit):
        """A part of a figure of ours, which has no peer."""
        self.rows.append({"name": name, "value": round(value, 3), "unit": unit, "peer": None, "peer_version": None,
                          "peer_value": None, "ratio": None})

    def write(self):
        path = os.path.join(BUILD, "bench.json")
        with open(path, "w") as f:
            json.dump(self.rows, f, indent=1)
        print(f"\n{'row':28} {'tidegate':>10} {'unit':14} {'peer':>10}  {'x better':>8}  peer")
        for r in self.rows:
            if r["peer"] is None:
                print(f"{r['name']:28} {r['value']:10.2f} {r['unit']}")
                continue
            print(f"{r['name']:28} {r['value']:10.2f} {r['unit']:14} {r['peer_value']:10.2f}  "
                  f"{r['ratio']:8.2f}  {r['peer']} ({r['peer_version']})")
        print(f"\nwritten: {path}")


HUGEPAGES = r"""
. scripts/lib/hugepages.sh
trap '' INT
if huge_reserve "$1"; then echo yes; else echo no; fi
read -r _
huge_release
"""


@contextlib.contextmanager
def hugepages(count):
    """Reserve at least `count` free 2 MB pages, in the book that scripts/run keeps, so that runs beside us are not
    disturbed; True when the system gave them. Given back afterwards, and, should we be killed, by the shell that ends with
    our pipe."""
    book = subprocess.Popen(["bash", "-c", HUGEPAGES, "hugepages", str(count)], cwd=ROOT, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        yield book.stdout.readline().strip() == "yes"
    finally:
        book.stdin.close()
        book.wait(30)
