# SPDX-License-Identifier: BSD-3-Clause
"""Whose time was it? The list that maps the appliance's symbols to the stages of a request's way, and the attribution
of perf's samples by it. Used by stage_rows.py; knows nothing of loads and rows.

A sample belongs to the innermost function of its call chain that has a stage. Helpers that everybody uses (base/, sums,
libc) have none: their time is their caller's."""
import collections
import fnmatch
import glob
import os
import re
import subprocess

CALLER = "(caller)"
UNKNOWN = "(unattributed)"
KERNEL, RECEIVE = "kernel", "kernel receive"
HARNESS = "(harness)"  # the bench's own clock around a turn: not counted

# First match wins. A symbol is named SOURCE:FUNCTION, its source from the root without "dataplane/"; one of a library
# that is not ours LIBRARY:FUNCTION; the kernel's kernel:FUNCTION. The names of the stages, and the rest by name.
STAGES = (
    (KERNEL, "kernel:*"),  # interrupts and the scheduler; system calls where a port is a file
    ("driver", "librte_net_*  libxdp*  libbpf*"),
    ("io", "io/*  librte_*"),
    (HARNESS, "tests/bench/*"),
    ("parse", "net/wire_parse*  filter/*"),
    ("look-up", "steer/*  tcp/tcp_demux.c:*  tcp/tcp.c:tcp_lookup*  tcp/tcp.c:tcp_flow_*  tcp/tcp.c:lookup_*"),
    (CALLER, "base/*  net/checksum.c:*  net/ip_addr.c:*  libc.so*  ld-linux*  [[]vdso]  tcp/tcp.c:tcp_list_*  tcp/tcp.c:tcp_pcb_find"),
    ("tcp out", "tcp/tcp_out.c:*  tcp/tcp_emit*  tcp/tcp_options.c:*emit*  tcp/tcp_segment.c:*  tcp/tcp_write.c:*  "
                "tcp/tcp_pace.c:*  tcp/tcp_owner.c:*  tcp/tcp_close.c:*  net/*"),
    ("tcp in", "tcp/*"),  # ACKs, reassembly, recovery, timers, reading, events
    ("http", "http/*"),
    ("tls", "tls/*  libcrypto*  libssl*"),
    ("waf", "waf/*  libhs*"),
    ("proxy", "proxy/*  route/*"),
    ("worker", "worker/*  contract/*  main.c:*  start.c:*  exception_tap.c:*"),  # the turn itself, reports, mail
)
# Where the port is a device of the kernel, it takes what we send to its receiver, TCP and all, before our call returns:
# a kernel sample with one of these in its chain.
RECEIVERS = {"net_rx_action", "process_backlog", "netif_receive_skb", "__netif_receive_skb", "__netif_receive_skb_core",
             "__netif_receive_skb_one_core", "netif_receive_skb_internal", "__netif_receive_skb_list_core"}

ORDER = ["driver", "io", "parse", "look-up", "tcp in", "http", "proxy", "tcp out", "tls", "waf", "worker", KERNEL,
         RECEIVE, UNKNOWN]

RULES = [(stage, pattern) for stage, patterns in STAGES for pattern in patterns.split()]


def stage_of(name):
    """The stage of SOURCE:FUNCTION."""
    for stage, pattern in RULES:
        if fnmatch.fnmatchcase(name, pattern if ":" in pattern else pattern + ":*"):
            return stage
    return UNKNOWN


def sources(build):
    """Function -> source file, from the objects of a build: our names are unique in a program."""
    objects = [o for o in glob.glob(os.path.join(build, "**/*.o"), recursive=True)
               if re.search(r"/(lib\w+\.a|tidegate|tidegate_turns)\.p/", o) and "/ctrlplane/" not in o]
    out = subprocess.run(["nm", "-A", "--defined-only", *objects], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in out.splitlines():
        path, kind, symbol = line.rsplit(":", 1)[0], *line.split()[-2:]
        if kind in "tTwW":
            folder, name = os.path.split(os.path.relpath(path, build))
            folder = os.path.dirname(folder).removeprefix("dataplane").lstrip("/")
            found[symbol] = os.path.join(folder, name.removesuffix(".o"))
    return found


TIME = re.compile(r"^\s*(\d+)\.(\d{9}):")
FRAME = re.compile(r"^\s+[0-9a-f]+ (.*) \((.*)\)$")


class Attribution:
    def __init__(self, build, program):
        self.sources = sources(build)
        self.program = os.path.basename(program)
        self.known = {}

    def name(self, symbol, image):
        """SOURCE:FUNCTION of a frame."""
        image = os.path.basename(image)
        if image.startswith("[kernel") or image.startswith("[guest.kernel") or image.endswith(".ko"):
            return f"{KERNEL}:{symbol}"
        if image == self.program:
            return f"{self.sources.get(symbol, '?')}:{symbol}"
        return f"{image}:{symbol}"

    def stage(self, frame):
        if frame not in self.known:
            name = self.name(*frame)
            self.known[frame] = (stage_of(name), name)
        return self.known[frame]

    def chain(self, frames):
        """(stage, name of the innermost frame) of a call chain, innermost first."""
        stage = UNKNOWN
        for frame in frames:
            stage = self.stage(frame)[0]
            if stage not in (CALLER, UNKNOWN):
                break
        leaf = self.stage(frames[0])[1] if frames else "?:?"
        if stage == KERNEL and any(symbol.split(".")[0] in RECEIVERS for symbol, _ in frames):
            stage = RECEIVE
        return (UNKNOWN if stage == CALLER else stage), leaf

    def samples(self, data, moments):
        """perf's file -> Counter of (stage, SOURCE:FUNCTION), in samples; of those at one of the moments (ns; None: all)."""
        script = subprocess.run(["perf", "script", "-i", data, "--ns", "-F", "time,ip,sym,dso"], capture_output=True,
                                text=True, check=True).stdout
        count = collections.Counter()
        for block in script.split("\n\n"):
            head, *lines = block.strip("\n").split("\n")
            time = TIME.match(head)
            if time and (moments is None or int(time.group(1)) * 10**9 + int(time.group(2)) in moments):
                count[self.chain([m.groups() for m in map(FRAME.match, lines) if m])] += 1
        return collections.Counter({key: n for key, n in count.items() if key[0] != HARNESS})
