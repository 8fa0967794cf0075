# SPDX-License-Identifier: BSD-3-Clause
"""The appliance image: boots in an emulated machine, serves a page of a real origin through DPDK's virtio driver, and
leaves nothing behind (scripts/boot/run)."""
import glob
import os
import re
import subprocess

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
TELL = """
cat "$TIDEGATE_CONSOLE"
curl -s -o /dev/null -w 'page %{http_code}\\n' "$TIDEGATE_URL/"
curl -s -o /dev/null -w 'absent %{http_code}\\n' "$TIDEGATE_URL/absent"
"""


def test_boots_and_serves(note):
    """About 10 s on a quiet machine; under emulation beside other work several times that, so the limit is wide."""
    with subprocess.Popen([os.path.join(TREE, "scripts/boot/run"), "--keep-build", "--", "sh", "-c", TELL], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=600)  # it may install packages; the boot has its own 120 s
        except subprocess.TimeoutExpired:
            process.terminate()
            raise
    assert process.returncode == 0, out + err
    assert re.search(r"appliance: [0-9.]+ s: 0000:00:03\.0 is with uio_pci_generic", out), out
    for line in ("page 200", "absent 404"):
        assert line in out.splitlines(), out
    note(re.search(r"^ready after .*$", out, re.MULTILINE)[0])
    assert not glob.glob(f"/run/netns/tg-{process.pid}-*") and not glob.glob(f"/tmp/tidegate-run.{process.pid}.*")
