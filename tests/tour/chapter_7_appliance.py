# SPDX-License-Identifier: BSD-3-Clause
"""The DPDK node as a small image in qemu: a kernel, tidegate, tidegate-ctl, DPDK's driver for a virtio-net PCI device."""
import os
import re
import subprocess

from fleet import TREE
from frame import Outcome, check

NUMBER = 7
TITLE = "The appliance"
CODE = ["scripts/boot/image", "scripts/boot/init", "scripts/boot/run"]
# Inside scripts/boot/run, in its client's namespace: the page; then the machine off, and the page again.
INSIDE = r"""
curl -fsS --max-time 10 -o /dev/null -w 'on: %{http_code}\n' "$TIDEGATE_URL/"
grep -ao 'appliance: .*' "$TIDEGATE_CONSOLE"
for process in /proc/[0-9]*; do
    case $(cat "$process/comm" 2>/dev/null) in
    qemu*) grep -qz "$TIDEGATE_CONSOLE" "$process/cmdline" && kill -KILL "${process#/proc/}" ;;
    esac
done
curl -sS --max-time 4 -o /dev/null -w 'off: %{http_code}\n' "$TIDEGATE_URL/"
exit 0
"""


def boots(fleet):
    """The image boots in qemu, takes its virtio-net device by DPDK, and serves the origin's page"""
    program = os.path.join(TREE, "scripts/boot/run")
    check(os.path.exists(program), "there is no scripts/boot/run")
    done = subprocess.run([program, "--keep-build", "--", "sh", "-c", INSIDE], capture_output=True, text=True, timeout=400)
    said = done.stdout
    check(done.returncode == 0, f"scripts/boot/run: exit {done.returncode}: {(done.stderr or said).strip()[-600:]}")
    check("on: 200" in said, f"no page through the appliance: {said[-300:]}")
    check("off: 000" in said, f"with the appliance off a page came: {said[-300:]}")
    port = re.search(r"appliance: [\d.]+ s: (\S+ is with uio_pci_generic, for DPDK)", said)
    check(port, f"the appliance says nothing of a device for DPDK: {said[-300:]}")
    times = re.search(r"ready after ([\d.]+) s, the page after ([\d.]+) s", said)
    check(times, f"scripts/boot/run says no times: {said[-300:]}")
    return Outcome(f"curl gets 200, the page byte for byte the origin's; virtio-net {port[1]}",
                   "the machine off, the same curl: no connection",
                   f"under emulation ready after {times[1]} s, the page after {times[2]} s")


CLAIMS = [boots]
