# SPDX-License-Identifier: BSD-3-Clause
"""One line per test, and the counts into the file TIDEGATE_COUNTS. A test that is skipped has not shown anything: it
counts as failed."""
import os

import pytest

counts = {"passed": 0, "failed": 0}
notes = {}
terminal = None


def pytest_sessionstart(session):
    global terminal
    terminal = session.config.pluginmanager.getplugin("terminalreporter")


def pytest_configure(config):
    config.addinivalue_line("markers", "last: run behind all others, because a fault would spoil the edge for them")
    config.addinivalue_line("markers", "dpdk: means nothing in the build without DPDK, and is left out there")


def pytest_collection_modifyitems(items):
    if os.environ.get("TIDEGATE_DEVICE") == "xdp":
        items[:] = [item for item in items if not item.get_closest_marker("dpdk")]
    items.sort(key=lambda item: item.get_closest_marker("last") is not None)


@pytest.fixture
def note(request):
    """note("4 ms"): a measured value for the test's line."""
    def add(text):
        notes.setdefault(request.node.nodeid, []).append(text)
    return add


def pytest_runtest_logreport(report):
    passed = report.outcome == "passed"
    if passed and report.when != "call":
        return
    counts["passed" if passed else "failed"] += 1
    path, _, test = report.nodeid.partition("::")
    name = f"{os.path.basename(path)[5:-3]}: {test.removeprefix('test_')}"
    detail = "was skipped" if report.outcome == "skipped" else "; ".join(notes.get(report.nodeid, []))
    terminal.write_line(f"  {'ok' if passed else 'FAILED':6} {name:64} {report.duration:6.1f} s  {detail}".rstrip())


def pytest_collectreport(report):
    if report.outcome == "failed":
        counts["failed"] += 1


def pytest_report_teststatus(report):
    """No dots: the line above says it."""
    return (report.outcome if report.when == "call" or report.outcome != "passed" else ""), "", ""


def pytest_sessionfinish():
    path = os.environ.get("TIDEGATE_COUNTS")
    if path:
        with open(path, "a") as file:
            file.write(f"{counts['passed']} {counts['failed']}\n")


@pytest.fixture(autouse=True)
def edge_still_lives():
    """No test may end tidegate. (The tests in outside/ start runs of their own.)"""
    yield
    if "TIDEGATE_PID" not in os.environ:
        return
    with open(f"/proc/{os.environ['TIDEGATE_PID']}/stat") as file:
        state = file.read().rsplit(")", 1)[1].split()[0]
    assert state not in "ZX", "tidegate has ended"
