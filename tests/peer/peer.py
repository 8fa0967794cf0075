# SPDX-License-Identifier: BSD-3-Clause
"""Our TCP against the kernel's: peer.py [quick] RELEASE-BUILD XDP-BUILD [WORD...]. Needs root; scripts/test tcp-peer starts it.

The devices are a TAP and a veth pair by AF_XDP, both through DPDK, and the veth pair in the build without DPDK (that one
only in a short form). WORDs: only cases whose name has all of them.
"""
import os
import shutil
import signal
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/lib"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import peer_cases as cases
import peer_kernel
import peer_lab
import suite

SEED = 20261125
# Options of lossy_bridge, for both directions, and over how many connections at once a transfer goes: at 5 % loss CUBIC sends
# about 2 MB/s on one, ours and the kernel's.
LINES = {
    "a clean line": ("delay=0.1", 1),
    "1 % loss": ("delay=0.1,loss=1", 4),
    "5 % loss": ("delay=0.1,loss=5", 16),
    "10 % reordering": ("delay=0.1,reorder=10,reorder-delay=0.2", 1),
}
SLOW = "delay=25"  # FINs cross


def transfers(size, streams):
    """(name, function, arguments): both roles, both ways, each family in both roles."""
    mega = f"{size // 1000000} MB"
    for we_listen, role in ((True, "listen"), (False, "connect")):
        for to_us, way in ((True, "to us"), (False, "from us")):
            version = 4 if we_listen == to_us else 6
            yield f"{role}, {mega} {way}, IPv{version}", cases.transfer, (version, we_listen, to_us, streams)


def endings():
    for version in (4, 6):
        yield f"half-close by the kernel, IPv{version}", cases.half_close_by_kernel, (version,)
        yield f"half-close by us, IPv{version}", cases.half_close_by_us, (version,)
    yield "5,000 connections of the kernel, IPv4", cases.many_by_kernel, (4,)
    yield "5,000 connections of ours, IPv6", cases.many_by_us, (6,)


class Run:
    def __init__(self, quick, builds, words):
        self.size, self.pause = (20000000, 3) if quick else (1000000000, 60)
        self.builds, self.words = builds, words
        self.result = suite.Suite()
        self.directory = tempfile.mkdtemp(prefix="tidegate-peer.")
        self.payload = peer_kernel.Payload(f"{self.directory}/payload")
        self.namespaces = None  # the child's

    def plan(self, kind):
        """(bridge's options, [cases]) for a device."""
        for line, (options, streams) in LINES.items():
            found = [(f"{kind}, {line}: {name}", *rest) for name, *rest in transfers(self.size, streams)]
            if line == "5 % loss":
                found.append((f"{kind}, {line}: both ways at once, IPv6", cases.both_ways, (6, True)))
            if line == "a clean line":
                found += [(f"{kind}: {name}", *rest) for name, *rest in endings()]
                found.append((f"{kind}: zero window for {self.pause} s, IPv6", cases.zero_window, (6,)))
                found.append((f"{kind}: nmap -O", cases.nmap_finds_nothing, ()))
            yield options, found
        yield SLOW, [(f"{kind}: simultaneous close, IPv{v}", cases.simultaneous_close, (v,)) for v in (4, 6)]

    def try_case(self, bench, name, function, arguments):
        try:
            words = function(bench, *arguments)
            whole = bench.ours.status()["check"]
            cases.expect(whole == "whole", f"tcp_check: {whole}")
            self.result.report(name, 1, 0, words)
        except Exception as error:  # pylint: disable=broad-except
            what = str(error) if isinstance(error, peer_lab.Trouble) else repr(error)
            self.result.report(name, 0, 1, what, "\n".join(bench.ours.words[-10:]))

    def wanted(self, kind, every):
        for options, found in self.plan(kind):
            if not every:  # the short form of a device: the first case of a line
                found = found[:1]
            found = [case for case in found if all(word in case[0] for word in self.words)]
            if found:
                yield options, found

    def device(self, kind, every):
        plans = list(self.wanted(kind, every))
        if not plans:
            return
        ours = None
        try:
            ours = peer_lab.Ours(self.namespaces, kind, self.builds, self.payload.path)
            bench = cases.Bench(ours, self.payload, self.directory, self.size, self.pause)
            for options, found in plans:
                self.line(bench, options, found)
            status = ours.finish()
            cases.expect(status == 0, f"our program ended with status {status}")
        except (peer_lab.Trouble, OSError) as error:
            self.result.report(f"{kind}: the program", 0, 1, str(error))
        finally:
            if ours:
                ours.stop()

    def line(self, bench, options, found):
        bridge = peer_lab.Bridge(self.namespaces, f"{self.builds['release']}/tests/peer/lossy_bridge",
                                 bench.ours.device, ["--both", options], SEED)
        try:
            for case in found:
                self.try_case(bench, *case)
        finally:
            did = bridge.finish()
        for way in ("to_a", "to_b"):
            d = did[way]
            print(f"         {'to us' if way == 'to_a' else 'from us':8} {d['frames']} frames, {d['lost']} lost, "
                  f"{d['reordered']} reordered; not asked for: {d['missed']} missed, {d['refused']} refused, "
                  f"{d['too_long']} too long, {d['no_slot']} without room", flush=True)

    def all(self):
        child = 0
        try:
            for kind, every in (("tap", True), ("af-xdp", True), ("xdp", False)):
                child = os.fork()  # each device in a process, for this one must not leave its namespace
                if child == 0:
                    self.child(kind, every)
                _, status = os.waitpid(child, 0)
                child = 0
                self.take(status, kind)
        finally:
            if child:  # we were asked to stop: it tidies up first
                os.kill(child, signal.SIGTERM)
                os.waitpid(child, 0)
            shutil.rmtree(self.directory, ignore_errors=True)
        if os.environ.get("TIDEGATE_COUNTS"):  # as part of another suite (scripts/lib/suites.sh)
            with open(os.environ["TIDEGATE_COUNTS"], "a") as file:
                print(self.result.passed, self.result.failed, file=file)
        self.result.finish()

    def child(self, kind, every):
        """Never returns. The counts go to the parent by a file."""
        try:
            self.result = suite.Suite()
            self.namespaces = peer_lab.Namespaces()
            try:
                self.namespaces.up()
                self.namespaces.enter("kernel")
                self.device(kind, every)
            finally:
                self.namespaces.remove()
            with open(f"{self.directory}/counts", "w") as file:
                file.write(f"{self.result.passed} {self.result.failed}")
            os._exit(0)
        except BaseException as error:  # pylint: disable=broad-except
            print(f"  FAILED {kind}: {error!r}", flush=True)
        os._exit(1)

    def take(self, status, kind):
        if status:
            self.result.report(f"{kind}: the whole", 0, 1, "did not come to its end")
            return
        with open(f"{self.directory}/counts") as file:
            passed, failed = map(int, file.read().split())
        self.result.passed += passed
        self.result.failed += failed


def stop(*_):
    """SIGTERM and SIGHUP end us as Ctrl-C does, tidily; only the first counts."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    arguments = sys.argv[1:]
    quick = arguments[:1] == ["quick"]
    release, xdp, *words = arguments[quick:]
    try:
        Run(quick, {"release": release, "xdp": xdp}, words).all()
    except KeyboardInterrupt:
        print("  FAILED stopped from outside", flush=True)
        sys.exit(130)


main()
