# SPDX-License-Identifier: BSD-3-Clause
"""Two nodes of one site and clients without timestamps, whose packets name the site and not the node: buckets lead to the owner,
those of a node that joins to their former owner, too. (test_fleet.py: the same with timestamps, and two sites.)"""
import os
import subprocess

import pytest

from anycast import Fleet, Request
from common import TREE

CONNECTIONS = 40
FEW = 6  # of 40, a share of one half is smaller once in 10^6 runs


@pytest.fixture(scope="module")
def fleet():
    if "TIDEGATE_BUILD" not in os.environ:
        subprocess.run([os.path.join(TREE, "scripts/build"), "release", "xdp"], check=True, capture_output=True, timeout=900)
    with Fleet() as fleet:
        fleet.timestamps(False)
        fleet.join()
        yield fleet


class Connection(Request):
    """owner: the node that its requests to the origin come from."""

    def __init__(self, fleet, family):
        super().__init__(fleet.connect(family))
        self.owner = self.get("/").decode()


def connections(fleet):
    fleet.flip(0)
    return [Connection(fleet, (4, 6)[i % 2]) for i in range(CONNECTIONS)]


def owned_by(node, all_of_them):
    return sum(connection.owner == node.own[4] for connection in all_of_them)


def all_go_on(fleet, all_of_them):
    """From either node, and it is the same that answers."""
    for node in (2, 0):
        fleet.flip(node)
        for connection in all_of_them:
            assert connection.get("/").decode() == connection.owner


class More:
    """more = More(nodes); more("name"): by how much a counter has grown at each of them."""

    def __init__(self, *nodes):
        self.nodes, self.before = nodes, [node.counters() for node in nodes]

    def __call__(self, name):
        return [node.counters()[name] - old[name] for node, old in zip(self.nodes, self.before)]


def test_buckets_are_shared(fleet, note):
    a, _, c = fleet.sites
    more = More(a, c)
    there = connections(fleet)
    assert owned_by(a, there) >= FEW and owned_by(c, there) >= FEW
    assert owned_by(a, there) + owned_by(c, there) == CONNECTIONS
    all_go_on(fleet, there)
    assert min(more("steer_by_bucket")) >= FEW and more("steer_rst") == more("steer_by_timestamp") == [0, 0]
    note(f"of {CONNECTIONS} by way of a, {owned_by(c, there)} are c's")


def test_a_node_joins(fleet, note):
    """It has no history, and knows whose its buckets were all the same."""
    a, _, c = fleet.sites
    for node in fleet.sites:
        node.tgctl("node", "del", "c")
    old = connections(fleet)
    assert owned_by(a, old) == CONNECTIONS
    for node in (c, *fleet.sites[:2]):
        fleet.tell(node)
    more = More(a, c)
    new = connections(fleet)
    assert owned_by(c, new) >= FEW, "c takes its share of what comes"
    all_go_on(fleet, old + new)
    assert more("steer_rst") == [0, 0]
    note(f"{CONNECTIONS} older than c's joining, {CONNECTIONS} younger: none broken")
