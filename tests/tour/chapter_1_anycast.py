# SPDX-License-Identifier: BSD-3-Clause
"""Both sites announce the same addresses by BGP. The route flips under living connections; packets that reach the wrong
site go through the tunnel to their owner."""
import statistics
import time

import flows
from fleet import SERVICE4, run, wait_for
from frame import Outcome, check

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


def reset_without_forwarding(fleet):
    """The same connections, forwarding off, the route flips once: how many end by RST, of how many."""
    all_flows = flows.all_kinds()
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


def flips(fleet):
    """Downloads, uploads, idle and busy keep-alive connections outlive 20 flips of the route"""
    fleet.move("a")
    all_flows = flows.all_kinds()
    moved = []
    with fleet.a.counting() as a, fleet.b.counting() as b:
        try:
            established(all_flows)
            for n in range(FLIPS):
                moved.append(fleet.move("a" if n % 2 else "b"))
                time.sleep(0.15)
            at_the_end = [f.name for f in all_flows if not f.is_alive() and not f.error]
        finally:
            fleet.move("b")  # the last words of all of them go by way of the stranger, too
            for flow in all_flows:
                flow.finish()
            broken = [f"{flow.name}: {problem}" for flow in all_flows if (problem := flow.problem())]
            fleet.move("a")
    check(not broken, f"{len(broken)} of {len(all_flows)} broke: {'; '.join(broken)}")
    check(not at_the_end, f"over before the last flip, so they show nothing: {at_the_end}")
    check(b["steer_tunnel_out"] > 100 and a["steer_tunnel_in"] > 100,
          f"site b sent {b['steer_tunnel_out']} packets to their owner, site a got {a['steer_tunnel_in']}")
    reset = reset_without_forwarding(fleet)
    return Outcome(f"0 of {len(all_flows)} connections broken by {FLIPS} flips; site b sent {b['steer_tunnel_out']} strangers' "
                   f"packets to site a", f"forwarding off: {reset} of {reset} broken at the first flip, by RST",
                   f"route moved after {statistics.median(moved):.0f} ms (median, both families, with birdc's start), "
                   f"owner by timestamp {b['steer_by_timestamp']}")


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


CLAIMS = [flips, bird_restart]
