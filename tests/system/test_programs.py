# SPDX-License-Identifier: BSD-3-Clause
"""The programs' own bad input: configuration, rights, a busy port. One sentence, the right exit status, and the running
edge is not disturbed."""
import os

import pytest

from support import CONF, EDGE_PID, URL, curl, run

BAD_KEYS = {
    "unknown key": ("workers = ", "wrokers = ", "wrokers"),
    "wrong type": ("workers = ", 'workers = "two"; #', "workers"),
    "out of range": ("workers = ", "workers = 99; #", "workers"),
    "bad address": ('"192.0.2.1/24"', '"192.0.2.1/99"', "addresses"),
    "unknown nested key": ("connections = ", "conections = ", "conections"),
    "syntax": ("workers = ", "workers = = ", ""),
}


@pytest.fixture
def open_path(tmp_path):
    """A directory that a program without rights can reach; pytest's own are closed to others."""
    for directory in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(directory, 0o755)
    return tmp_path


def config_with(tmp_path, old, new):
    with open(CONF) as file:
        text = file.read()
    assert old in text
    path = tmp_path / "wrong.conf"
    path.write_text(text.replace(old, new, 1))
    line = next(n for n, content in enumerate(path.read_text().splitlines(), 1) if new in content)
    return str(path), line


@pytest.mark.parametrize("program", ["tidegate", "tidegate-ctl"])
@pytest.mark.parametrize("name", BAD_KEYS)
def test_wrong_configuration(open_path, program, name):
    old, new, key = BAD_KEYS[name]
    path, line = config_with(open_path, old, new)
    done = run(program, "-c", path, timeout=20)
    assert done.returncode == 2
    assert f"{path}:{line}:" in done.stderr and key in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr


@pytest.mark.parametrize("program", ["tidegate", "tidegate-ctl"])
def test_configuration_is_not_there(program):
    done = run(program, "-c", "/nonexistent/tidegate.conf", timeout=20)
    assert done.returncode == 2 and "/nonexistent/tidegate.conf" in done.stderr


def in_edge_namespace(*command):
    return run("nsenter", f"--net=/proc/{EDGE_PID}/ns/net", "--", *command, timeout=20)


def private_config(tmp_path, **replaced):
    """The running configuration with files of its own."""
    with open(CONF) as file:
        text = file.read()
    for line in text.splitlines():
        if line.startswith("region = "):
            text = text.replace(line, f'region = "{tmp_path}/region";')
        if line.startswith("hugepages = "):
            text = text.replace(line, "hugepages = false;")
        for key, value in replaced.items():
            if line.startswith(f"{key} = "):
                text = text.replace(line, f"{key} = {value};")
    path = tmp_path / "second.conf"
    path.write_text(text)
    return str(path)


def assert_one_sentence(done):
    assert done.returncode not in (0, 2) and done.returncode > 0
    said = [line for line in done.stderr.strip().splitlines() if line.startswith("tidegate: ")]
    assert len(said) >= 1 and len(said[-1]) > 20, done.stderr
    return said[-1]


@pytest.mark.last
def test_busy_port(tmp_path, note):
    """A second tidegate on the same device."""
    said = assert_one_sentence(in_edge_namespace("tidegate", "-c", private_config(tmp_path)))
    note(said)
    assert "net_tap0" in said or "net_af_xdp0" in said or "tgt0" in said or "tgx0" in said
    assert curl(URL + "/").status == 200


@pytest.mark.last
def test_busy_region(note):
    """A second tidegate on the same region."""
    said = assert_one_sentence(in_edge_namespace("tidegate", "-c", CONF))
    note(said)
    assert curl(URL + "/").status == 200


@pytest.mark.dpdk
def test_missing_hugepages(tmp_path, note):
    path = private_config(tmp_path)
    with open(path) as file:
        text = file.read()
    text = text.replace("hugepages = false;", "hugepages = true;").replace("buffers = 16384", "buffers = 1048576")
    with open(path, "w") as file:
        file.write(text)
    said = assert_one_sentence(run("tidegate", "-c", path, timeout=60))
    note(said)
    assert "hugepages" in said


@pytest.mark.dpdk
@pytest.mark.last
def test_missing_rights(open_path, note):
    os.chmod(open_path, 0o777)
    path = private_config(open_path)
    program = os.path.realpath(run("which", "tidegate").stdout.strip())
    done = run("setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--", program, "-c", path)
    said = assert_one_sentence(done)
    note(said)
    assert "root" in said or "permission" in said.lower()


def test_usage():
    for program in ("tidegate", "tidegate-ctl", "tgctl"):
        done = run(program, "--help")
        assert done.returncode == 0 and "usage" in done.stdout
        assert run(program, "--nonsense").returncode == 2
