# SPDX-License-Identifier: BSD-3-Clause
"""Both sites announce the same addresses by BGP. The route flips under living connections; packets that reach the wrong
site go through the tunnel to their owner."""
import os
import re
import signal
import socket
import statistics
import time

import flows
from fleet import RUN, SERVICE4, inside, run, run_in, wait_for
from frame import Outcome, check
from packets import Wire, altered, is_tunnel4

NUMBER = 1
TITLE = "Anycast and ownership"
CODE = ["dataplane/net/owner_cookie.h", "dataplane/steer/ladder.c", "dataplane/steer/tunnel.h", "docs/fleet/bird-site.conf"]
FLIPS = 20


def established(all_flows):
    """Each flow has moved something."""
    check(wait_for(lambda: all(f.moved or f.error for f in all_flows), 20), "connections do not come up: " +
          ", ".join(f.name for f in all_flows if not f.moved))
    failed = [f"{f.name}: {f.error}" for f in all_flows if f.error]
    check(not failed, f"before any flip: {failed}")


def forward(fleet, word):
    """Said at site a, in force at both."""
    fleet.a.tgctl("fleet", "forward", word)

    def heard():
        state = fleet.b.status()["fleet"]
        return state["forward"] == (word == "on") and state["in_force"] == state["revision"]
    check(wait_for(heard, 5), f"'tgctl fleet forward {word}' does not reach site b")


def reset_without_forwarding(fleet, make):
    """The same connections, forwarding off, the route flips once: how many end by RST, of how many."""
    all_flows = make()
    before = flows.resets()
    try:
        established(all_flows)
        forward(fleet, "off")
        fleet.move("b")
        time.sleep(0.3)
        for flow in all_flows:
            flow.finish()
        problems = [flow.problem() for flow in all_flows]
        reset = flows.resets() - before
    finally:
        forward(fleet, "on")
        fleet.move("a")
    survivors = [flow.name for flow, problem in zip(all_flows, problems) if not problem]
    check(not survivors, f"with forwarding off these lived on: {survivors}")
    check(reset == len(all_flows), f"with forwarding off {reset} of {len(all_flows)} ended by RST")
    return len(all_flows)


def flip(fleet, all_flows, times):
    """Flip the route under the flows, let them end by way of the stranger. (What broke, milliseconds of each move, counters)"""
    fleet.move("a")
    moved = []
    with fleet.a.counting() as a, fleet.b.counting() as b:
        try:
            established(all_flows)
            for n in range(times):
                moved.append(fleet.move("a" if n % 2 else "b"))
                time.sleep(0.15)
            at_the_end = [f.name for f in all_flows if not f.is_alive() and not f.error]
            fleet.move("b")
        finally:
            for flow in all_flows:
                flow.finish()
            broken = [f"{flow.name}: {problem}" for flow in all_flows if (problem := flow.problem())]
            fleet.move("a")
    check(not broken, f"{len(broken)} of {len(all_flows)} broke: {'; '.join(broken)}")
    check(not at_the_end, f"over before the last flip, so they show nothing: {at_the_end}")
    return moved, a, b


def flips(fleet):
    """Downloads, uploads, idle and busy keep-alive connections outlive 20 flips of the route"""
    fleet.move("a")
    all_flows = flows.all_kinds()
    moved, a, b = flip(fleet, all_flows, FLIPS)
    check(b["steer_tunnel_out"] > 100 and a["steer_tunnel_in"] > 100,
          f"site b sent {b['steer_tunnel_out']} packets to their owner, site a got {a['steer_tunnel_in']}")
    check(b["steer_by_timestamp"] > 100, f"by timestamp: {b['steer_by_timestamp']}")
    reset = reset_without_forwarding(fleet, flows.all_kinds)
    return Outcome(f"0 of {len(all_flows)} connections broken by {FLIPS} flips; site b sent {b['steer_tunnel_out']} strangers' "
                   f"packets to site a, all found by the timestamp", f"forwarding off: {reset} of {reset} broken at the first "
                   f"flip, by RST", f"route moved after {statistics.median(moved):.0f} ms (median, both families, with birdc's "
                   f"start)")


def timestamps(value):
    """Of the client's kernel, for new connections."""
    with open("/proc/sys/net/ipv4/tcp_timestamps", "w") as setting:
        setting.write(value)


def without_timestamps(fleet):
    """Clients whose TCP has no timestamps: the sequence numbers say whose connection it is"""
    timestamps("0")
    try:
        fleet.move("a")
        all_flows = flows.little_from_server()
        _, _, b = flip(fleet, all_flows, 6)
        reset = reset_without_forwarding(fleet, flows.little_from_server)
    finally:
        timestamps("1")
    check(b["steer_by_sequence"] > 100 and b["steer_by_timestamp"] == 0,
          f"by sequence {b['steer_by_sequence']}, by timestamp {b['steer_by_timestamp']}")
    return Outcome(f"0 of {len(all_flows)} broken by 6 flips; {b['steer_by_sequence']} packets found by sequence number",
                   f"forwarding off: {reset} of {reset} broken at the first flip, by RST")


def refused_by(site, wire, name, frame):
    """Send a frame 100 times: the counter grows by 100."""
    before = site.counters()[name]
    wire.send_frame(frame, 100)
    wait_for(lambda: site.counters()[name] - before >= 100, 2, 0.02)
    grown = site.counters()[name] - before
    check(grown == 100, f"{name} grew by {grown}, not by 100")
    return f"{name} {grown}"


def forged(fleet):
    """Forged, altered and old tunnel packets are refused, each by a counter that names it"""
    flow = flows.Upload(4, False, flows.source_make())
    flow.start()
    established([flow])
    fleet.move("b")
    try:
        with Wire("r1", "a", fleet.a.address4) as wire:
            with fleet.a.counting() as genuine:
                frame = wire.capture(is_tunnel4, 5)
                check(frame, "no tunnelled packet passes site a's router although the route points to b")
            captured = time.monotonic()
            said = [refused_by(fleet.a, wire, name, altered(frame, at, value)) for name, at, value in (
                ("steer_tunnel_bad_mac", 98, frame[98] ^ 1), ("steer_tunnel_bad_header", 47, frame[47] ^ 1),
                ("steer_tunnel_not_fleet", 29, 1))]
            flow.finish()
            problem = flow.problem()
            check(not problem, f"the upload: {problem}")
            wait_for(lambda: time.monotonic() > captured + 2.5, 5)
            with fleet.a.counting() as later:
                said.append(refused_by(fleet.a, wire, "steer_tunnel_old", frame))
            check(later["steer_tunnel_in"] == 0, f"{later['steer_tunnel_in']} replayed packets were taken")
    finally:
        fleet.move("a")
    check(genuine["steer_tunnel_in"] > 0, "the genuine ones are not taken either")
    return Outcome(f"100 of each sent to site a, 0 taken: {', '.join(said)}",
                   f"genuine ones, before they were recorded: {genuine['steer_tunnel_in']} taken, the upload whole")


def bird_restart(fleet):
    """BIRD at the nearer site is killed and started again under a download"""
    source = flows.source_make()
    fleet.move("a")
    flow = flows.Download(4, True, source)
    flow.start()
    established([flow])
    started = time.monotonic()
    fleet.a.bird.stop()
    check(wait_for(lambda: fleet.route_is("b"), 5), "site a's BIRD is gone, and its router still sends there")
    away = (time.monotonic() - started) * 1000
    new = run("curl", "-fsS", "--max-time", "3", f"http://{SERVICE4}/").stdout
    fleet.a.bird.start()
    check(wait_for(lambda: fleet.route_is("a"), 15), "site a's BIRD is back, but not its route")
    back = time.monotonic() - started
    flow.finish()
    problem = flow.problem()
    check(not problem, f"the download broke: {problem}")
    check("It works" in new, "no page meanwhile")
    alone = only_site(fleet)
    return Outcome("the download goes on, byte for byte; new connections go to the other site meanwhile", alone,
                   f"route away after {away:.0f} ms, back after {back:.1f} s")


def only_site(fleet):
    """The control: one site that announces the address, and its BIRD ends."""
    fleet.b.birdc("disable", '"service*"')
    try:
        check(wait_for(lambda: fleet.gateway(SERVICE4) == fleet.a.address4, 5), "site a does not announce the service")
        fleet.a.bird.stop()
        check(wait_for(lambda: fleet.gateway(SERVICE4) is None, 5), "the route stays although nobody announces it")
        done = run("curl", "-fsS", "--max-time", "1", f"http://{SERVICE4}/", check_status=False)
        check(done.returncode != 0, "a page came from an address that nobody announces")
        return f"with one site alone there is no route and no page (curl exit {done.returncode})"
    finally:
        fleet.b.birdc("enable", '"service*"')
        if not fleet.a.bird.lives():
            fleet.a.bird.start()
        check(wait_for(lambda: fleet.route_is("a"), 15), "the route does not come back")


def page(address):
    return run("curl", "-fsS", "-o", "/dev/null", "--max-time", "1", f"http://{address}/", check_status=False).returncode == 0


def kernel_refuses(address):
    """A kernel answers for a port that nobody listens on."""
    try:
        socket.create_connection((address, 9), 2).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass
    return False


def exception(fleet):
    """BIRD runs over the exception TAP; when tidegate is killed, BFD over it ends, and the route with it"""
    fleet.move("a")
    with fleet.a.counting() as counters:
        with inside("r1"):
            refused = sum(kernel_refuses(fleet.a.kernel["4"]) for _ in range(3))
    check(refused == 3 and counters["exception_in"] >= 3 and counters["exception_out"] >= 3,
          f"the kernel answered {refused} of 3, by the TAP {counters['exception_in']} in, {counters['exception_out']} out")
    started = time.monotonic()
    fleet.a.tidegate.stop(signal.SIGKILL)
    try:
        check(wait_for(lambda: fleet.route_is("b"), 15, 0.001), "tidegate at site a is dead, and its router still sends there")
        took = (time.monotonic() - started) * 1000
        check(page(SERVICE4), "no page by way of site b")
    finally:
        fleet.a.tidegate_start()
    check(wait_for(lambda: fleet.route_is("a"), 20), "site a is back, but not its route")
    check(wait_for(lambda: page(fleet.a.address4), 10, 0.1), "site a does not serve after its start")
    check(took < 6000, f"the route went after {took:.0f} ms, so by BGP's hold time and not by BFD")
    stays = kernel_interface_stays(fleet)
    return Outcome(f"packets for the kernel's address go to it by the TAP; tidegate killed: route away after {took:.0f} ms, "
                   f"the next page comes from site b", stays,
                   f"exception_in {counters['exception_in']}, exception_out {counters['exception_out']} around 3 connections "
                   f"to a closed port of the kernel's")


def kernel_interface_stays(fleet):
    """The control: site b's route lies on an interface of the kernel's, which outlives its tidegate."""
    fleet.b.tidegate.stop(signal.SIGKILL)
    try:
        time.sleep(3)
        shown = run_in("r2", "ip", "route", "get", SERVICE4).stdout
        check(f"via {fleet.b.address4} " in shown, f"site b's route went, too: {shown}")
        check(not page(fleet.b.address4), "a page came from a dead site")
    finally:
        fleet.b.tidegate_start()
    check(wait_for(lambda: page(fleet.b.address4), 10, 0.1), "site b does not serve after its start")
    return "site b's route lies on a veth, which outlives tidegate: still announced after 3 s, and no page comes"


def busy(program, seconds=2.0):
    """Share of a processor that a program takes, all its threads."""
    def ticks():
        with open(f"/proc/{program.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])
    before = ticks()
    time.sleep(seconds)
    return (ticks() - before) / os.sysconf("SC_CLK_TCK") / seconds


def idle_sleep(site, value):
    """A new tidegate with another setting."""
    path = f"{RUN}/tidegate-{site.name}.conf"
    with open(path) as file:
        text = file.read()
    changed = re.sub(r"^idle_sleep = \w+;", f"idle_sleep = {value};", text, flags=re.M)
    check(f"idle_sleep = {value};" in changed, "the configuration says nothing of idle_sleep")
    with open(path, "w") as file:
        file.write(changed)
    site.tidegate.stop()
    site.tidegate_start()


def idle(fleet):
    """An idle node sleeps, so that two nodes, etcd, four BIRDs and the client share two processors"""
    said = []
    for site in fleet.sites:
        with site.counting() as counters:
            share = busy(site.tidegate)
        check(counters["io_waits"] > 1000, f"site {site.name}, idle, slept {counters['io_waits']} times in 2 s")
        said.append(f"site {site.name} slept {counters['io_waits']} times in 2 s, {share:.0%} of a processor")
    idle_sleep(fleet.b, "false")
    try:
        with fleet.b.counting() as counters:
            share = busy(fleet.b.tidegate)
        check(counters["io_waits"] == 0 and counters["worker_polls"] > 1000,
              f"without idle_sleep it slept {counters['io_waits']} times in {counters['worker_polls']} turns")
    finally:
        idle_sleep(fleet.b, "true")
    check(wait_for(lambda: page(fleet.b.address4), 10, 0.1), "site b does not serve after its start")
    return Outcome("; ".join(said), f"idle_sleep = false at site b: slept 0 times in {counters['worker_polls']} turns, "
                   f"{share:.0%} of a processor, "
                   f"all that it could get beside the machine's other load")


CLAIMS = [flips, without_timestamps, forged, bird_restart, exception, idle]
