# SPDX-License-Identifier: BSD-3-Clause
"""l34.drop_64b: our worker loop drops 64-byte UDP packets by a rule, beside testpmd that receives and
frees them without a look, on the same virtual device, interleaved on the same core."""
import json
import os
import re
import subprocess
import time

from measure import BUILD, hugepages, median, say, version

DEVICE = "net_null0,size=64"
ROUNDS, SECONDS = 5, 2


def ours(rules, huge):
    out = subprocess.run([os.path.join(BUILD, "tests/bench/l34_drop"), DEVICE, str(rules),
                          str(SECONDS), "0", "1" if huge else "0"],
                         capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: l34_drop failed: {out.stdout}{out.stderr}")
    return json.loads(out.stdout)["mpps"]


def testpmd(huge):
    """Mpps that testpmd's rxonly loop takes from the same device (its own statistics)."""
    memory = ["--in-memory"] if huge else ["--no-huge", "--no-shconf", "-m", "256"]
    command = ["dpdk-testpmd", "--lcores=1@1,0@0", "--main-lcore=1", "--no-pci", "--no-telemetry",
               "--file-prefix=tg-bench-pmd", f"--vdev={DEVICE}"] + memory + \
              ["--", "-i", "--forward-mode=rxonly", "--total-num-mbufs=8192"]
    pmd = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True)
    time.sleep(1)
    pmd.stdin.write("start\n")
    pmd.stdin.flush()
    began = time.monotonic()
    time.sleep(SECONDS)
    pmd.stdin.write("stop\n")
    elapsed = time.monotonic() - began
    out, _ = pmd.communicate("quit\n", timeout=20)
    found = re.search(r"RX-packets: (\d+)", out)
    if not found:
        raise SystemExit(f"bench: testpmd gave no figure:\n{out[-2000:]}")
    return int(found.group(1)) / elapsed / 1e6


def run(rows):
    with hugepages(200) as huge:
        say(f"l34.drop_64b: {ROUNDS} rounds, hugepages {'yes' if huge else 'no'}")
        one, many, peer = [], [], []
        for i in range(ROUNDS):
            one.append(ours(1, huge))
            many.append(ours(100, huge))
            peer.append(testpmd(huge))
            say(f"  round {i + 1}: 1 rule {one[-1]:.1f}, 100 rules {many[-1]:.1f}, "
                f"testpmd rxonly {peer[-1]:.1f} Mpps")
    name = "dpdk-testpmd rxonly"
    release = version(["dpkg-query", "-W", "-f", "${Version}", "dpdk-dev"], "DPDK")
    rows.add("l34.drop_64b", median(one), "Mpps", name, release, median(peer), False)
    rows.add("l34.drop_64b_100_rules", median(many), "Mpps", name, release, median(peer), False)
