# SPDX-License-Identifier: BSD-3-Clause
"""Much data, many requests."""
import os
import re
import subprocess

import pytest

from support import CA, HTTPS, ORIGIN_DIR, URL, Counters, origin_file, run, sha256_file, tgctl, wrk_result

MEGABYTES = 100
EACH = pytest.mark.parametrize("url", [URL, HTTPS], ids=["plain", "tls"])


def rate(seconds):
    return f"{MEGABYTES / seconds:.0f} MB/s"


@EACH
def test_download(url, tmp_path, note):
    path = origin_file("big.bin", MEGABYTES * 1000000)
    got = tmp_path / "got"
    with Counters() as counters:
        done = run("curl", "-sS", "--cacert", CA, "--max-time", "120", "-o", str(got), "-w",
                   "%{http_code} %{time_total}", url + "/big.bin", timeout=130)
    status, seconds = done.stdout.split()
    assert done.returncode == 0 and status == "200", done.stderr
    assert sha256_file(got) == sha256_file(path)
    assert counters["net_super_segments_cut"] + counters["io_tx_tso_frames"] > 0
    note(rate(float(seconds)))


@EACH
@pytest.mark.parametrize("form", ["sized", "chunked"])
def test_upload(url, form, note):
    path = origin_file("big.bin", MEGABYTES * 1000000)
    name = f"upload/{form}-{'tls' if url == HTTPS else 'plain'}"
    options = ["-H", "Transfer-Encoding: chunked"] if form == "chunked" else []
    done = run("curl", "-sS", "--cacert", CA, "--max-time", "120", "-T", path, "-o", "/dev/null",
               "-H", "Content-Type: application/octet-stream", *options,
               "-w", "%{http_code} %{time_total}", f"{url}/{name}", timeout=130)
    status, seconds = done.stdout.split()
    assert done.returncode == 0 and status in ("201", "204"), f"{status} {done.stderr}"
    assert sha256_file(os.path.join(ORIGIN_DIR, name)) == sha256_file(path)
    note(rate(float(seconds)))


@EACH
def test_ten_thousand_requests(url, note):
    requests = 0
    for _ in range(20):
        done = run("wrk", "-t2", "-c50", "-d2s", "--timeout", "10s", url + "/", timeout=60)
        more, errors = wrk_result(done.stdout)
        assert not errors, done.stdout
        requests += more
        if requests >= 10000:
            break
    assert requests >= 10000, f"only {requests} requests in the time"
    note(f"{requests} requests, 0 errors, {re.search(r'Requests/sec: *([0-9.]+)', done.stdout)[1]} /s")


def test_slow_reader_gets_everything(tmp_path):
    """Back-pressure from the client to the origin, with a window that closes again and again."""
    path = origin_file("slow.bin", 3000000)
    got = tmp_path / "got"
    done = run("curl", "-sS", "--limit-rate", "1M", "--max-time", "60", "-o", str(got), URL + "/slow.bin")
    assert done.returncode == 0, done.stderr
    assert sha256_file(got) == sha256_file(path)


def test_side_by_side_downloads(tmp_path):
    path = origin_file("middle.bin", 5000000)
    want = sha256_file(path)
    processes = [subprocess.Popen(["curl", "-sS", "--cacert", CA, "--max-time", "60", "-o", str(tmp_path / str(n)),
                                   (HTTPS if n % 2 else URL) + "/middle.bin"]) for n in range(8)]
    assert [process.wait(70) for process in processes] == [0] * 8
    assert {sha256_file(tmp_path / str(n)) for n in range(8)} == {want}


def test_both_workers_serve(note):
    """One queue, two workers: the one with the queue hands over what is the other's."""
    with Counters() as counters:
        run("wrk", "-t2", "-c50", "-d2s", URL + "/")
    workers = tgctl("workers")
    each = [tgctl("stats", "-a", "-w", str(n))["counters"] for n in range(len(workers))]
    note("requests by worker: " + ", ".join(str(worker["requests"]) for worker in workers))
    assert all(worker["alive"] for worker in workers)
    assert [counters["tcp_accepted"] > 0 for counters in each] == [True] * len(workers)
    assert [worker["requests"] > 0 for worker in workers] == [True] * len(workers)
    assert counters["io_handoff_in"] > 0 and counters["io_handoff_full"] == 0
    assert len({worker["cpu"] for worker in workers}) == len(workers)
