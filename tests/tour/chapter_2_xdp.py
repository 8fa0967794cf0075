# SPDX-License-Identifier: BSD-3-Clause
"""Floods end before they cost anything: at site b in the driver, at site a in the worker's first stage, by the same rule.
SYN floods are answered from cookies, without state."""
import re

from fleet import ORIGIN4, RUN, run, run_in, wait_for
from frame import Outcome, check
from packets import Asking, Wire, malformed_syns, spoofed_udp, syns

NUMBER = 2
TITLE = "XDP: floods end in the driver"
CODE = ["dataplane/io/io_xdp.bpf.c", "dataplane/io/io_xdp.c", "dataplane/filter/filter.c", "dataplane/tcp/tcp_cookie.c"]
FLOOD = 20000
SYNS, SYNS_PER_SECOND = 60000, 20000
COOKIES_SENT, COOKIES_TAKEN = "tcp_syn_cookies_sent", "tcp_syn_cookies_accepted"


def libraries(program):
    linked = run("ldd", f"{RUN}/bin/{program}").stdout
    return len(re.findall(r"librte_", linked)), "libxdp" in linked


def hugepages(program):
    """kB of hugepages that a process has mapped."""
    with open(f"/proc/{program.pid}/smaps") as file:
        return sum(int(n) for n in re.findall(r"^(?:Shared|Private)_Hugetlb: +(\d+)", file.read(), re.M))


def without_dpdk(fleet):
    """The XDP build serves without a DPDK library and without a hugepage"""
    dpdk, xdp = libraries("tidegate-xdp")
    pages = hugepages(fleet.b.tidegate)
    check(dpdk == 0 and xdp, f"ldd of the XDP build: {dpdk} librte_*, libxdp {xdp}")
    check(pages == 0, f"tidegate at site b has {pages} kB of hugepages")
    run("curl", "-fsS", "-o", "/dev/null", f"http://{fleet.b.address4}/")
    other, _ = libraries("tidegate")
    other_pages = hugepages(fleet.a.tidegate)
    check(other > 0, "the DPDK build links no librte_* either: the search is blind")
    return Outcome("site b: ldd shows libxdp and no librte_*, 0 kB of hugepages, curl gets 200",
                   f"site a, the DPDK build: {other} librte_* libraries, {other_pages} kB of hugepages")


def site_wire(site):
    return Wire(site.router, site.name, site.address4)


def flood(site, packets):
    """Send them while a client asks for pages; counters."""
    with site_wire(site) as wire, Asking(site.address4) as asking, site.counting() as counters:
        wire.send(packets)
        run("curl", "-sS", "-o", "/dev/null", "--max-time", "5", f"http://{site.address4}/", check_status=False)
        wait_for(lambda: len(asking.answers) >= 2, 10)
    return counters, asking


def spoofed(fleet):
    """A flood of UDP from spoofed sources is dropped by one rule, in the driver at site b; curl keeps getting 200"""
    packets = spoofed_udp(FLOOD)
    rule = fleet.a.tgctl("rule", "add", "--src", "198.18.0.0/15", "--proto", "udp")["id"]
    try:
        check(wait_for(lambda: any(r["id"] == rule for r in fleet.b.tgctl("rule", "list")), 5), "the rule does not reach b")
        dropped = {}
        for site in fleet.sites:
            counters, asking = flood(site, packets)
            check(asking.all_well(), f"site {site.name} under the flood: {asking.answers}")
            dropped[site.name] = counters["filter_rule"]
            check(counters["filter_rule"] > 0.9 * FLOOD, f"site {site.name} dropped {counters['filter_rule']} by the rule")
            if site is fleet.b:
                check(counters["io_driver_drops"] == counters["filter_rule"],
                      f"of {counters['filter_rule']} drops {counters['io_driver_drops']} were in the driver")
    finally:
        fleet.a.tgctl("rule", "del", str(rule))
    check(wait_for(lambda: not fleet.b.tgctl("rule", "list"), 5), "the rule's end does not reach b")
    control, _ = flood(fleet.b, packets)
    reached = control["io_rx_packets"] + control["io_rx_missed"]
    check(control["io_driver_drops"] == 0 and reached > 0.9 * FLOOD, f"without the rule {reached} reached the workers")
    return Outcome(f"of {FLOOD} packets site b dropped {dropped['b']} in the driver, site a {dropped['a']} in its filter; "
                   f"every curl beside it got 200", f"no rule: {reached} frames reached site b's worker, 0 dropped in the driver")


def malformed(fleet):
    """Malformed SYNs are dropped in the driver; well-formed ones are answered"""
    packets = malformed_syns(7000)
    seen = {}
    for site in fleet.sites:
        counters, asking = flood(site, packets)
        check(asking.all_well(), f"site {site.name} under malformed SYNs: {asking.answers}")
        seen[site.name] = sum(counters[name] for name in ("tcp_bad_segment", "net_tcp_offset", "net_tcp_port", "steer_drop"))
        check(seen[site.name] > 0.9 * len(packets), f"site {site.name} dropped {seen[site.name]} of {len(packets)}")
        if site is fleet.b:
            in_driver = counters["io_driver_drops"]
            check(in_driver == seen["b"], f"of {seen['b']} bad segments {in_driver} ended in the driver")
    control, _ = flood(fleet.b, syns(1000))
    check(control["io_driver_drops"] == 0, f"{control['io_driver_drops']} well-formed SYNs were dropped in the driver")
    return Outcome(f"of {len(packets)} site b dropped {in_driver} in the driver, site a {seen['a']} in the worker",
                   f"1,000 well-formed SYNs: 0 dropped in the driver, {control['tcp_in_segments']} reached TCP")


def syn_flood(fleet):
    """A SYN flood is answered from cookies, by both builds; curl keeps getting 200"""
    packets, said = syns(SYNS), []
    for site in fleet.sites:
        with site_wire(site) as wire, site.counting() as counters, Asking(site.address4) as asking:
            wire.send(packets, SYNS_PER_SECOND)
        check(asking.all_well() and len(asking.answers) >= 10, f"site {site.name} under the SYN flood: "
              f"{asking.failed()} of {len(asking.answers)} pages failed")
        cookies = counters[COOKIES_SENT]
        check(cookies > SYNS / 2, f"site {site.name} answered {cookies} of {SYNS} SYNs by cookie")
        said.append(f"site {site.name}: {len(asking.answers)} of {len(asking.answers)} curls got 200, {cookies} SYNs answered by "
                    f"cookie, {counters[COOKIES_TAKEN]} connections made from one")
    return Outcome("; ".join(said), without_cookies(), f"{SYNS} SYNs at {SYNS_PER_SECOND} a second for each site")


def without_cookies():
    """The same flood at a kernel whose SYN cookies are off: the origin's own."""
    setting = "/proc/sys/net/ipv4/tcp_syncookies"
    before = run_in("origin", "cat", setting).stdout.strip()
    run_in("origin", "sh", "-c", f"echo 0 >{setting}")
    try:
        with Wire("r2", "origin", ORIGIN4) as wire, Asking(ORIGIN4, 1) as asking:
            wire.send(syns(SYNS, ORIGIN4), SYNS_PER_SECOND)
    finally:
        run_in("origin", "sh", "-c", f"echo {before} >{setting}")
    check(asking.failed() > 0, "a kernel without SYN cookies served every page under the flood")
    return f"a Linux kernel with its SYN cookies off: {asking.failed()} of {len(asking.answers)} curls failed"


CLAIMS = [without_dpdk, spoofed, malformed, syn_flood]
