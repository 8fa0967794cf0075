# SPDX-License-Identifier: BSD-3-Clause
"""tcp.*: the stack in memory, on one processor, without TLS; the figure is that of the median slice of half a
millisecond. "Own side": only our stack's cycles count, the peer is a generator (tcp_bench). "Both ends": two whole
stacks on one core, wire included, MTU 1500 (tcp_pair), beside Linux with both ends in one process over loopback, MTU
65536, by its processor time (tcp_peer). Where Linux cannot do the same, the peer column holds the goal or our own other
figure. tcp.recovery_*: one sender through 100 Mbit/s, 50 ms and a queue of 50 ms (tcp_recovery), ours in virtual time,
Linux with CUBIC in real time through the same path to the same receiver. tcp.bulk_tso: a sender's own side whose port
cuts super-segments, beside the same one whose port does not (tcp_tso). tcp.pool_recovery*: virtual time
from the moment when frames come back to the first new byte, beside the sender's RTO then (tcp_pool)."""
import json
import os
import platform
import subprocess

from measure import BUILD, median, say

ROUNDS, SECONDS, CPU = 3, 2, "1"
FLOWS = 10_000_000
CONNECTIONS = {"exchange": 64, "connect": 64, "bulk": 1}
FLOOD = 200_000  # SYNs a second
LINK = 100 * 1448 / 1514  # Mbit/s of payload that 100 Mbit/s carry
WIDE, NARROW = 4_000_000, 1_000_000  # receive windows: with the latter the queue never overflows


def program(name, *words):
    out = subprocess.run(["taskset", "-c", CPU, os.path.join(BUILD, "tests/bench", name), *map(str, words)],
                         capture_output=True, text=True)
    if out.returncode:
        raise SystemExit(f"bench: {name} {' '.join(map(str, words))}: {out.stdout}{out.stderr}")
    return json.loads(out.stdout)


def round_of_all():
    """Everything but what needs ten million connections, once, ours and Linux's in turn."""
    figures = {"exchange": program("tcp_bench", "exchange", 1000)["exchanges_per_second"],
               "connect": program("tcp_bench", "connect")["connections_per_second"],
               "flood": program("tcp_bench", "flood", FLOOD), "bulk": program("tcp_bench", "bulk")}
    for mode, connections in CONNECTIONS.items():
        figures[mode, "both"] = program("tcp_pair", mode, connections, SECONDS, CPU, 1)["both"]
        figures[mode, "linux"] = program("tcp_peer", mode, connections, SECONDS, CPU)["both"]
    return figures


def crowd(rows):
    """The rows of ten million connections. 2.1 GB of memory, half a minute each."""
    idle = program("tcp_bench", "idle", FLOWS)
    linux = program("tcp_peer", "idle", 9000)["bytes"]
    say(f"  {FLOWS} connections: {idle['gigabytes']:.3f} GB, {idle['bytes']:.1f} B each (Linux {linux:.0f}), "
        f"look-up {idle['lookup_ns']:.1f} ns, steer's {idle['owns_ns']:.1f} ns")
    rows.add("tcp.lookup_10m", idle["lookup_ns"], "ns", "goal", "issue 5", 30, True)
    rows.add("tcp.idle_bytes", idle["bytes"], "B/connection", "Linux", platform.release(), linux, True)
    rows.add("tcp.idle_10m", idle["gigabytes"], "GB", "goal", "issue 5", 2.6, True)
    few, many = [], []
    for _ in range(3):  # in turns: their ratio is the figure
        few.append(program("tcp_bench", "exchange", 1000)["exchanges_per_second"])
        many.append(program("tcp_bench", "exchange", FLOWS)["exchanges_per_second"])
    say(f"  exchange on {FLOWS} flows beside 1,000: {[round(m / f, 2) for m, f in zip(many, few)]}")
    few, many = median(few), median(many)
    rows.add("tcp.exchange_10m", many / 1e6, "M/s own side", "ours", "1,000 flows", few / 1e6, False)


def recovery(rows):
    seeds = range(1, 5)
    command = ["taskset", "-c", CPU, os.path.join(BUILD, "tests/bench/tcp_recovery")]
    linux = [subprocess.Popen([*command, "linux", "30", "10", "0", str(WIDE), str(seed)], stdout=subprocess.PIPE)
             for seed in seeds]  # at once: they wait for the path nearly always
    peer = [json.loads(p.communicate()[0])["mbit"] for p in linux]
    ours = [program("tcp_recovery", "ours", 120, 10, 0, WIDE, seed)["mbit"] for seed in seeds]
    fill = program("tcp_recovery", "ours", 60, 0, 0, WIDE, 1)
    overtaken = program("tcp_recovery", "ours", 60, 0, 50, NARROW, 1)
    cuts = overtaken["recoveries"] + overtaken["timeouts"] - overtaken["undone"]
    say(f"  1 % loss, seeds 1 to 4: ours {ours}, Linux {peer} Mbit/s; 5 % overtaken: {overtaken}")
    if overtaken["overtaken"] == 0 or cuts > 0:
        raise SystemExit(f"bench: reordering cut the window {cuts} times")
    mean = [sum(x) / len(x) for x in (ours, peer)]
    rows.add("tcp.recovery_1pct", mean[0], "Mbit/s", "Linux CUBIC", platform.release(), mean[1], False)
    rows.add("tcp.recovery_fill", fill["mbit"], "Mbit/s", "the link", "payload", LINK, False)
    rows.add("tcp.recovery_overtaken_5pct", overtaken["mbit"], "Mbit/s", "the link", "payload", LINK, False)


def segmentation(rows):
    """The sending side with a port that cuts super-segments, beside itself without, in turn."""
    runs = [program("tcp_tso", 1, SECONDS, CPU) for _ in range(ROUNDS)]
    ways = ("with", "split", "without")
    gbit = {way: median([r[way]["gbit"] for r in runs]) for way in ways}
    cycles = {way: round(median([r[way]["cycles"]["tcp_out"] + r[way]["cycles"]["io"] for r in runs])) for way in ways}
    say(f"  super-segments of {median([r['with']['row'] for r in runs]):.1f} segments cut by the port, by net, none: "
        + ", ".join(f"{1000 / gbit[way]:.1f}" for way in ways) + " ms of a core a Gbit, "
        + ", ".join(str(cycles[way]) for way in ways) + " cycles a segment in tcp_out and io")
    rows.add("tcp.bulk_tso", gbit["with"], "Gbit/s own side", "ours", "without TSO", gbit["without"], False)


def pool(rows):
    """A pool of frames is empty for a second; the one of 1,001 connections that takes most of its RTO to move again, at five
    moments. tcp_pool itself fails when it takes more, or a connection ends."""
    for side, name in (("sender", "tcp.pool_recovery"), ("receiver", "tcp.pool_recovery_receiver")):
        runs = [program("tcp_pool", side, phase) for phase in range(0, 500, 100)]
        took, rto = max(((r[f"{who}_ms"], r[f"{who}_rto_ms"]) for r in runs for who in ("bulk", "worst")),
                        key=lambda pair: pair[0] / pair[1])
        say(f"  the {side}'s pool empty for 1 s, {runs[0]['connections']} connections: bulk again after "
            f"{[r['bulk_ms'] for r in runs]} ms, the slowest of all after {took} ms of {rto}")
        rows.add(name, took, "ms virtual", "one RTO", "of the sender then", rto, True)


def run(rows):
    say(f"tcp: {ROUNDS} rounds")
    rounds = []
    for i in range(ROUNDS):
        rounds.append(round_of_all())
        r = rounds[-1]
        say(f"  round {i + 1}: own side: exchange {r['exchange'] / 1e6:.2f} M/s, connect {r['connect'] / 1e6:.2f} M/s, "
            f"bulk {r['bulk']['send_gbit']:.1f} out {r['bulk']['receive_gbit']:.1f} in Gbit/s, goodput beside the flood "
            f"{r['flood']['goodput']:.1f} %; both ends, ours and Linux: "
            + ", ".join(f"{m} {r[m, 'both']:.3g} {r[m, 'linux']:.3g}" for m in CONNECTIONS))
    value = {key: median([r[key] for r in rounds]) for key in rounds[0] if key not in ("bulk", "flood")}
    for mode, name, unit, scale in (("exchange", "exchange", "M/s", 1e6), ("connect", "connect_close", "M/s", 1e6),
                                    ("bulk", "bulk", "Gbit/s", 1e9 / 8)):
        rows.add(f"tcp.{name}", value[mode, "both"] / scale, f"{unit} both ends", "Linux", platform.release(),
                 value[mode, "linux"] / scale, False)
    rows.add("tcp.exchange_own", value["exchange"] / 1e6, "M/s own side", "goal", "issue 5", 1.5, False)
    rows.add("tcp.connect_close_own", value["connect"] / 1e6, "M/s own side", "goal", "issue 5", 0.4, False)
    for way in ("send", "receive"):
        rows.add(f"tcp.bulk_{way}", median([r["bulk"][way + "_gbit"] for r in rounds]), "Gbit/s own side", "goal",
                 "issue 5", 40, False)
    kept = median([r["flood"]["goodput"] for r in rounds])
    if any(r["flood"]["frames_kept"] > 0 for r in rounds):
        raise SystemExit("bench: the flood holds frames")
    rows.add("tcp.synflood_goodput", kept, f"% at {FLOOD // 1000}K SYN/s", "goal", "issue 5", 90, False)
    segmentation(rows)
    crowd(rows)
    recovery(rows)
    pool(rows)
