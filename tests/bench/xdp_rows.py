# SPDX-License-Identifier: BSD-3-Clause
"""xdp.drop_64b: the program in the driver drops a 64-byte UDP frame by a rule, beside xdp-filter that drops it by its
source address, interleaved, by BPF_PROG_TEST_RUN (which itself costs what `drop all` shows)."""
import json
import os
import subprocess

from measure import ROOT, median, say, version

PROGRAM = os.path.join(ROOT, "build-xdp/tests/bench/xdp_drop")


def run(rows):
    out = subprocess.run([PROGRAM], capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: xdp_drop failed: {out.stderr}")
    rounds = [json.loads(line) for line in out.stdout.splitlines()]
    ns = {name: median([r[name] for r in rounds]) for name in rounds[0]}
    say(f"xdp.drop_64b: {len(rounds)} rounds; ns a packet: drop all {ns['all']}, a port {ns['port']}, SYN+FIN "
        f"{ns['malformed']}, no rule and to the worker {ns['pass']}")
    release = version(["dpkg-query", "-W", "-f", "${Version}", "libxdp1"], "xdp-tools")
    rows.add("xdp.drop_64b", ns["prefix"], "ns", "xdp-filter ip", release, ns["xdp_filter"], True)
    rows.add("xdp.drop_64b_1024_rules", ns["prefixes"], "ns", "xdp-filter ip", release, ns["xdp_filter"], True)
