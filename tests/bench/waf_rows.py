# SPDX-License-Identifier: BSD-3-Clause
"""waf.get_plain: CPU microseconds per proxied keep-alive GET (the requests and the method of http.keepalive_100b, over
net_memif, in ordinary memory) with the WAF on and the rules of scripts/run loaded. Peers: the same without the WAF, and
nginx as a proxy without one. ModSecurity is not among the peers: it would have to run comparable rules. In turns in one
run, every other round in the other order, medians."""
import json
import os
import shutil
import tempfile

from http_rows import Edge, peers
from measure import ROOT, median, say, version

ROUNDS = 4


def measure(folder, waf):
    us = Edge(folder, False, waf).run()[0]
    shutil.rmtree(os.path.join(folder, "state"), ignore_errors=True)
    return us


def run(rows):
    folder = tempfile.mkdtemp(prefix="tg-bench-")
    with open(os.path.join(ROOT, "scripts/waf-rules.json")) as file:
        rules = json.load(file)
    on, off, nginx = [], [], []
    for i in range(ROUNDS):
        for waf in (True, False) if i % 2 == 0 else (False, True):
            (on if waf else off).append(measure(folder, waf))
        nginx.append(peers(folder)[0][0])
        say(f"  round {i + 1}: with {on[-1]:.2f}, without {off[-1]:.2f}, nginx {nginx[-1]:.2f} us/request")
    shutil.rmtree(folder, ignore_errors=True)
    count = len(rules["rules"] if isinstance(rules, dict) else rules)
    say(f"waf.get_plain: {count} rules, us/request: with {median(on):.2f}, without {median(off):.2f}: "
        f"added {median(on) - median(off):.2f}; nginx without a WAF {median(nginx):.2f}")
    rows.add("waf.get_plain", median(on), "us/request", "tidegate, WAF off", "same run", median(off), True)
    rows.add("waf.get_plain", median(on), "us/request", "nginx, no WAF", version(["nginx", "-v"], "nginx"),
             median(nginx), True)
