# SPDX-License-Identifier: BSD-3-Clause
"""The DPDK node as a small image in qemu."""
from frame import Failed

NUMBER = 7
TITLE = "The appliance"
CODE = ["scripts/boot"]


def boots(fleet):
    """The image boots in qemu, takes its virtio-net device by DPDK, and serves one curl"""
    raise Failed("there is no scripts/boot yet")


CLAIMS = [boots]
