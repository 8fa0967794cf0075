# SPDX-License-Identifier: BSD-3-Clause
"""tls.full_p256, tls.resumed, tls.keyless_handshake: the server's CPU microseconds per TLS 1.3 handshake with an ECDSA
P-256 certificate (X25519), connection and its end included. Ours: the worker's busy time over net_tap, which is time by
the clock: what else runs on its processor meanwhile is in it. The keyless one signs at a key server in another
namespace, whose own CPU is not in it. Peer: nginx on loopback with the same certificate, user + system time. The
client (Python, OpenSSL) is on the other processor. In turns in one run, medians."""
import json
import os
import subprocess
import tempfile

from measure import ROOT, median, say, version

ROUNDS, HANDSHAKES = 5, 500


def measure():
    with tempfile.NamedTemporaryFile(prefix="tg-bench-", suffix=".json") as result:
        out = subprocess.run(
            ["taskset", "-c", "1", os.path.join(ROOT, "scripts/run"), "--tap", "--workers", "1", "--premises",
             "--keep-build", "--", "/usr/bin/python3", "-B", os.path.join(ROOT, "tests/bench/tls_client.py"),
             str(ROUNDS), str(HANDSHAKES), result.name], capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(f"bench: scripts/run failed:\n{out.stdout[-3000:]}{out.stderr[-3000:]}")
        return {name: median(values) for name, values in json.load(result).items()}


def run(rows):
    us = measure()
    say(f"tls: {ROUNDS} rounds of {HANDSHAKES} handshakes, us of the server's CPU each: " +
        ", ".join(f"{name} {value:.0f}" for name, value in us.items()))
    nginx = version(["nginx", "-v"], "nginx")
    unit = "us/handshake"
    rows.add("tls.full_p256", us["full"], unit, "nginx", nginx, us["nginx_full"], True)
    rows.add("tls.resumed", us["resumed"], unit, "nginx", nginx, us["nginx_resumed"], True)
    rows.add("tls.keyless_handshake", us["keyless"], unit, "tidegate, own key", "same run", us["full"], True)
    rows.add("tls.keyless_handshake", us["keyless"], unit, "nginx, own key", nginx, us["nginx_full"], True)
