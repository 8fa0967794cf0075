# SPDX-License-Identifier: BSD-3-Clause
"""The fleet store with a real etcd and two sites that serve pages: what is changed at one site is in force at the other;
with etcd gone, hanging, or gone before a site starts, the sites serve on with what they have, and catch up when it is
back; no change that was answered with 2xx is lost."""
import signal
import statistics
import time

import pytest

from common import wait_for
from fleet_site import PAGE, Fleet

SECONDS = 3.0  # for a change to arrive; the measured time is in the test's line
UDP = {"protocol": "udp", "source": "198.18.0.0/15"}  # a rule that touches nobody here


@pytest.fixture(scope="module")
def fleet():
    with Fleet() as fleet:
        fleet.etcd_start()
        for name in ("a", "b"):
            fleet.site(name).start()
        for site in fleet.sites:
            wait_for(site.connected)
        fleet.origin_start()
        yield fleet


@pytest.fixture(autouse=True)
def both_serve(fleet):
    """Before and after each test both sites are connected and serve."""
    all_well(fleet)
    yield
    all_well(fleet)


def all_well(fleet):
    for site in fleet.sites:
        wait_for(site.connected)
        assert site.page() == PAGE


def arrived(site, revision, since):
    """Milliseconds from `since` until the store's revision is in force on the site's workers."""
    wait_for(lambda: site.in_force(revision), SECONDS, 0.001)
    return (time.monotonic() - since) * 1000


def rules(site):
    """Numbers of the site's rules; they are in force on its worker."""
    generation = site.status()["generations"]["rules"]
    assert generation["applied"] == [generation["current"]] and not generation["pending"], generation
    return [rule["id"] for rule in site.get("/v1/rules")]


def change(site, method, number, rule=None):
    """A change that must work; its revision in the store."""
    answer = site.ask(method, f"/v1/rules/{number}", rule)
    assert answer.status in (200, 201, 204), answer
    assert answer.revision > 0, answer
    return answer.revision


def refused(fleet, site, present):
    """Changes, among them the deletion of a rule that is there, are refused, and the answer names the store and says that nothing was changed."""
    for method, number, rule in (("PUT", 90, UDP), ("DELETE", present, None)):
        began = time.monotonic()
        answer = site.ask(method, f"/v1/rules/{number}", rule)
        assert answer.status == 503 and answer.body["changed"] is False, answer
        assert answer.body["type"].endswith("fleet-store-unreachable") and fleet.endpoint in answer.body["detail"]
        assert time.monotonic() - began < 5


def disconnected(site):
    """the site's status says that the store is gone"""
    return not site.fleet_status()["connected"]


def test_rule_reaches_the_other_site(fleet, note):
    a, b = fleet.sites
    block = {"protocol": "tcp", "source": f"{b.client}/32"}
    began = time.monotonic()
    put_ms = arrived(b, change(a, "PUT", 7, block), began)
    assert rules(b) == [7] and b.page(0.5) is None, "b drops its client's packets by a rule written at a"
    assert a.page() == PAGE
    began = time.monotonic()
    delete_ms = arrived(b, change(a, "DELETE", 7), began)
    assert rules(b) == [] and b.page() == PAGE
    assert put_ms < 1000 and delete_ms < 1000
    note(f"put {put_ms:.1f} ms, delete {delete_ms:.1f} ms")


def test_writes_of_both_sites(fleet, note):
    """Forty writes, alternately at each site; each is in force at the other."""
    took = []
    for i in range(40):
        here, there = fleet.sites[i % 2], fleet.sites[1 - i % 2]
        began = time.monotonic()
        revision = change(here, "PUT" if i < 20 else "DELETE", 100 + i % 20, UDP if i < 20 else None)
        took.append(arrived(there, revision, began))
        if i == 19:
            assert rules(here) == rules(there) == list(range(100, 120))
    assert rules(fleet.sites[0]) == rules(fleet.sites[1]) == []
    note(f"median {statistics.median(took):.1f} ms, longest {max(took):.1f} ms")


def test_sites_serve_without_etcd(fleet, note):
    a, b = fleet.sites
    arrived(b, change(a, "PUT", 1, UDP), time.monotonic())
    fleet.etcd_end(signal.SIGKILL)
    for site in (a, b):
        wait_for(lambda site=site: disconnected(site), SECONDS)
        refused(fleet, site, 1)
        status = site.status()
        assert status["fleet"]["problem"] and status["workers_alive"] == 1, status
        assert site.page() == PAGE and rules(site) == [1]
    fleet.etcd_start()
    began = time.monotonic()
    for site in (a, b):
        wait_for(site.connected, 10)
        assert rules(site) == [1], "what was refused did not come later"
    note(f"connected again after {(time.monotonic() - began) * 1000:.0f} ms")
    arrived(a, change(b, "DELETE", 1), time.monotonic())
    assert rules(a) == []


def test_etcd_hangs_in_mid_watch(fleet, note):
    """Its sockets stay open and nothing comes: the sites must find that out by themselves."""
    a, b = fleet.sites
    arrived(b, change(a, "PUT", 2, UDP), time.monotonic())
    fleet.etcd.child.send_signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        for site in (a, b):
            wait_for(lambda site=site: disconnected(site), 8)
        note(f"noticed after {time.monotonic() - began:.1f} s")
        for site in (a, b):
            refused(fleet, site, 2)
            assert site.page() == PAGE and rules(site) == [2]
    finally:
        fleet.etcd.child.send_signal(signal.SIGCONT)
    for site in (a, b):
        wait_for(site.connected, 10)
    arrived(a, change(b, "DELETE", 2), time.monotonic())
    assert rules(a) == []


def test_etcd_killed_between_writes(fleet, note):
    """A stream of writes while etcd is killed and comes back: what was answered with 2xx is there at both sites, what was
    answered with "nothing was changed" is not."""
    a, b = fleet.sites
    stored, unsure = set(), set()
    for number in range(200, 260):
        if number == 230:
            fleet.etcd_end(signal.SIGKILL)
        if number == 240:
            fleet.etcd_start()
        answer = a.ask("PUT", f"/v1/rules/{number}", UDP)
        if answer.status in (200, 201):
            stored.add(number)
        elif answer.body["changed"] is not False:
            unsure.add(number)
    for site in (a, b):
        wait_for(site.connected, 10)
    assert len(stored) >= 30
    assert stored <= set(rules(a)) <= stored | unsure
    wait_for(lambda: rules(a) == rules(b), SECONDS)
    note(f"{len(stored)} of 60 stored, {len(unsure)} unsure")
    for number in rules(a):
        last = change(a, "DELETE", number)
    arrived(b, last, time.monotonic())
    assert rules(a) == rules(b) == []


def test_site_starts_without_etcd(fleet, note):
    """It serves from its own state, and gets what it missed when etcd is back."""
    a, b = fleet.sites
    arrived(b, change(a, "PUT", 3, UDP), time.monotonic())
    b.end()
    change(a, "PUT", 4, UDP)
    fleet.etcd_end(signal.SIGKILL)
    began = time.monotonic()
    b.start()
    assert b.page() == PAGE
    note(f"serves {time.monotonic() - began:.1f} s after its start")
    assert disconnected(b) and rules(b) == [3]
    refused(fleet, b, 3)
    fleet.etcd_start()
    wait_for(b.connected, 10)
    assert rules(b) == [3, 4]
    for number in (3, 4):
        last = change(b, "DELETE", number)
    arrived(a, last, time.monotonic())
    assert rules(a) == []
