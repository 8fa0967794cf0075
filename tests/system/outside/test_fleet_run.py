# SPDX-License-Identifier: BSD-3-Clause
"""scripts/run --fleet from outside: the service at both sites, the route that moves by BGP, nothing left behind. What a fleet
can do is the tour's to show (scripts/test article)."""
import json
import signal
import subprocess

from test_run import RUN, finish, leftovers, no_logs_left, start  # noqa: F401 (a fixture)

INSIDE = r"""
set -eu
page() { curl -fsSg --cacert "$TIDEGATE_CA" --max-time 5 "$1" | grep -q 'It works'; }
page "$TIDEGATE_URL/" && page "$TIDEGATE_URL6/" && page "$TIDEGATE_HTTPS/"
page "http://$TIDEGATE_A_ADDRESS4/" && page "http://[$TIDEGATE_B_ADDRESS6]/"
r1() { nsenter --net="${TIDEGATE_NETNS}r1" -- "$@"; }
r1 ip route get 192.0.2.1 | grep -q "via $TIDEGATE_A_ADDRESS4 "
birdc -s "$TIDEGATE_RUN/bird/a.ctl" disable '"service*"' >/dev/null
for i in $(seq 100); do
    r1 ip route get 192.0.2.1 | grep -q 'via 198.51.100.50 ' && r1 ip route get 2001:db8:1::1 | grep -q 'dev to-r2 ' && break
    sleep 0.05
done
requests() { tgctl -s "$TIDEGATE_B_SOCKET" -o json stats -a | sed -n 's/.*"http_requests": *\([0-9]*\).*/\1/p'; }
before=$(requests)
page "$TIDEGATE_URL/" && page "$TIDEGATE_URL6/"
test $(($(requests) - before)) -eq 2
"""
TELL = "\nexec python3 -c 'import json, os; print(json.dumps(dict(os.environ)))'"


def test_service_at_both_sites_and_nothing_left():
    process = start("--fleet", "--", "sh", "-c", INSIDE + TELL)
    status, out, err = finish(process)
    assert status == 0, err
    assert leftovers(process.pid, json.loads(out)) == ""


def test_signal_while_the_command_runs():
    process = start("--fleet", "--", "sh", "-c", f"({TELL.replace('exec', '')}); exec sleep 60", start_new_session=True)
    environment = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGTERM)
    status, _, _ = finish(process)
    assert status == 128 + signal.SIGTERM
    assert leftovers(process.pid, environment, logs=True) == ""


def test_fleet_has_its_own_devices():
    done = subprocess.run([RUN, "--fleet", "--af-xdp"], capture_output=True, text=True)
    assert done.returncode == 2 and "--help" in done.stderr
