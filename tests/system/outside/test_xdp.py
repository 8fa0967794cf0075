# SPDX-License-Identifier: BSD-3-Clause
"""The build without DPDK (-Dio=xdp): what it links, the tests of its back end and of its program in the driver (they need
root and namespaces, so they are no unit tests), and a running edge under floods (xdp_inside.py)."""
import os
import re
import subprocess

import pytest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BUILD = os.path.join(TREE, "build-xdp")
PROGRAMS = ("io_xdp_driver_test", "xdp_rules_test", "io_xdp_test", "io_xdp_threads_test", "io_xdp_open_test")


@pytest.fixture(scope="module", autouse=True)
def build():
    """By way of scripts/run, which makes the set-up and takes its lock."""
    subprocess.run([os.path.join(TREE, "scripts/run"), "--xdp", "--", "true"], check=True, capture_output=True, timeout=900)
    subprocess.run(["ninja", "-C", BUILD, *PROGRAMS], check=True, capture_output=True, timeout=300)


def test_no_dpdk_library():
    linked = subprocess.run(["ldd", os.path.join(BUILD, "dataplane/tidegate")], capture_output=True, text=True, check=True)
    assert "libxdp" in linked.stdout
    assert "librte" not in linked.stdout


@pytest.mark.parametrize("program", PROGRAMS)
def test_program(program, note):
    done = subprocess.run([os.path.join(BUILD, program)], capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    passed = re.search(r"PASSED\s+\] (\d+) test", said)
    assert passed and int(passed[1]) > 0, said
    note(f"{passed[1]} tests")


def test_running_edge(note):
    inside = os.path.join(TREE, "tests/system/outside/xdp_inside.py")
    done = subprocess.run([os.path.join(TREE, "scripts/run"), "--xdp", "--workers", "2", "--keep-build", "--",
                           "/usr/bin/python3", "-B", "-m", "pytest", "-q", "--no-header", "--tb=short", "-p",
                           "no:cacheprovider", f"--rootdir={os.path.dirname(inside)}", inside],
                          capture_output=True, text=True, timeout=300, env=dict(os.environ, TIDEGATE_COUNTS=""))
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-6000:]
    note(re.search(r"\d+ passed", said)[0])
