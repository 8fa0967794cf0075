# SPDX-License-Identifier: BSD-3-Clause
"""scripts/run itself, from outside: statuses, options, and that no way out leaves anything behind. What a run made is
known by its pid and its directory, so that other runs on the machine do not disturb."""
import glob
import json
import os
import random
import shutil
import signal
import subprocess
import time

import pytest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
RUN = os.path.join(TREE, "scripts/run")
started = []  # pids of this test's runs
TELL = "import json, os; print(json.dumps({k: v for k, v in os.environ.items() if k.startswith('TIDEGATE_')}), flush=True)"


@pytest.fixture(autouse=True)
def no_logs_left():
    """The logs that failing runs keep on purpose."""
    started.clear()
    yield
    for pid in started:
        for path in glob.glob(f"/tmp/tidegate-run.{pid}.*"):
            shutil.rmtree(path)


def start(*arguments, **more):
    process = subprocess.Popen([RUN, "--keep-build", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               text=True, **more)
    started.append(process.pid)
    return process


def finish(process, seconds=60):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def wait_for(condition, seconds=30.0):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def namespaces(pid):
    return [name for name in os.listdir("/run/netns") if name.startswith(f"tg-{pid}-")]


def processes(word):
    """Command lines of living processes that contain the word."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline") as file:
                command = file.read().replace("\0", " ")
        except OSError:
            continue
        if word in command and int(pid) != os.getpid():
            found.append(command)
    return found


def hugepages():
    with open("/proc/sys/vm/nr_hugepages") as file:
        return int(file.read())


def leftovers(pid, environment=None, logs=False):
    """What a run with this pid left; "" when nothing."""
    found = namespaces(pid)
    found += glob.glob(f"/dev/shm/tidegate-run.{pid}.*")
    if os.path.exists(f"/run/tidegate-hugepages/run-{pid}"):
        found.append("hugepages are still booked")
    if environment:
        directory = os.path.dirname(environment["TIDEGATE_CONF"])
        found += processes(directory)
        kept = sorted(os.listdir(directory)) if os.path.exists(directory) else []
        if kept and not (logs and all(name == "log" or name.endswith(".conf") for name in kept)):
            found.append(f"{directory} holds {kept}")
        if os.path.exists(f"/proc/{environment['TIDEGATE_PID']}"):
            found.append("tidegate lives")
    return ", ".join(found)


def test_status_and_nothing_left():
    before = hugepages()
    alone = not os.path.exists("/run/tidegate-hugepages")
    process = start("--", "python3", "-c", TELL)
    status, out, err = finish(process)
    assert status == 0, err
    assert leftovers(process.pid, json.loads(out)) == ""
    if alone and not os.path.exists("/run/tidegate-hugepages"):
        assert hugepages() == before


@pytest.mark.parametrize("device", ["--tap", "--af-xdp"])
def test_failing_command_keeps_logs_only(device):
    process = start(device, "--", "python3", "-c", TELL + "; raise SystemExit(7)")
    status, out, err = finish(process)
    environment = json.loads(out)
    assert status == 7
    assert leftovers(process.pid, environment, logs=True) == ""
    assert f"logs: {environment['TIDEGATE_LOG_DIR']}" in err


def test_command_without_a_program():
    process = start("--", "/nonexistent/program")
    status, _, err = finish(process)
    assert status == 127 and "/nonexistent/program" in err
    assert leftovers(process.pid) == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_while_the_command_runs(number):
    process = start("--", "python3", "-c", TELL + "; import time; time.sleep(60)", start_new_session=True)
    environment = json.loads(process.stdout.readline())
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    status, _, _ = finish(process)
    assert status == 128 + number
    assert leftovers(process.pid, environment, logs=number != signal.SIGINT) == ""


def test_interactive_until_ctrl_c():
    process = start(start_new_session=True)
    said = []
    for line in process.stderr:
        said.append(line)
        if "Ctrl-C ends it" in line:
            break
    text = "".join(said)
    assert "curl http://192.0.2.1/" in text and "rule add" in text and "kill -9" in text
    os.killpg(process.pid, signal.SIGINT)
    status, _, _ = finish(process)
    assert status == 130
    assert leftovers(process.pid) == ""


def test_interrupted_at_any_moment(note):
    """Ctrl-C during the start: ten random moments."""
    seed = random.randrange(1 << 32)
    note(f"seed {seed}")
    choice = random.Random(seed)
    for _ in range(10):
        process = start("--", "sleep", "60", start_new_session=True)
        time.sleep(choice.uniform(0, 1.5))
        os.killpg(process.pid, signal.SIGINT)
        status, _, err = finish(process)
        # the second: before the shell had read its traps; 2: bash 5.2.15 runs a trap while it still parses a $(...), and
        # takes the trap's text for a part of that
        broken = status == 2 and "interrupt trap: line" in err
        assert status in (130, -signal.SIGINT) or broken, err
        assert leftovers(process.pid) == ""


def test_killed_run_is_swept_by_the_next():
    process = start("--", "python3", "-c", TELL + "; import time; time.sleep(60)")
    environment = json.loads(process.stdout.readline())
    process.kill()
    process.wait()
    assert wait_for(lambda: not os.path.exists(f"/proc/{environment['TIDEGATE_PID']}")), "its programs end with it"
    second = start("--", "true")
    assert finish(second)[0] == 0
    assert leftovers(process.pid, environment, logs=True) == ""
    process.stdout.close()
    process.stderr.close()


def test_two_runs_side_by_side():
    runs = [start("--", "sh", "-c", "curl -fsS $TIDEGATE_URL/ && sleep 1 && curl -fsS $TIDEGATE_URL/")
            for _ in range(2)]
    for process in runs:
        status, out, err = finish(process)
        assert status == 0, err
        assert out.count("It works") == 2
        assert leftovers(process.pid) == ""


def test_own_origin():
    """--origin PORT: the command is the origin."""
    script = """
import http.server, os, threading, urllib.request
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "4"); self.end_headers(); self.wfile.write(b"mine")
server = http.server.ThreadingHTTPServer(("", 8099), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(urllib.request.urlopen(os.environ["TIDEGATE_URL"] + "/x", timeout=10).read().decode())
"""
    status, out, err = finish(start("--origin", "8099", "--", "python3", "-c", script))
    assert status == 0, err
    assert out == "mine\n"


@pytest.mark.parametrize("options", [["--no-huge"], ["--workers", "1"], ["--workers", "2", "--queues", "2"]],
                         ids=" ".join)
def test_option(options):
    status, out, err = finish(start(*options, "--", "sh", "-c", "curl -fsS $TIDEGATE_URL/; tgctl -o json workers"))
    assert status == 0, err
    assert "It works" in out
    workers = json.loads(out[out.index("["):])
    assert len(workers) == (1 if options == ["--workers", "1"] else 2)
    if options == ["--no-huge"]:
        assert "ordinary pages" in err


@pytest.mark.parametrize("arguments", [["--nonsense"], ["--workers"], ["--workers", "0"], ["--workers", "99"],
                                       ["--origin", "x"], ["--"], ["--af-xdp", "--queues", "2"]], ids=" ".join)
def test_wrong_options(arguments):
    status, _, err = finish(subprocess.Popen([RUN, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                             text=True))
    assert status == 2 and len(err.splitlines()) == 1 and "--help" in err


def test_without_rights(tmp_path):
    for directory in (tmp_path, *list(tmp_path.parents)[:2]):
        os.chmod(directory, 0o755)
    shutil.copytree(os.path.join(TREE, "scripts"), tmp_path / "scripts")  # the clone may lie where nobody can look
    command = ["setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "bash",
               str(tmp_path / "scripts/run"), "--keep-build"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1 and "sudo scripts/run" in done.stderr
