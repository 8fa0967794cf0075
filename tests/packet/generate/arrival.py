# SPDX-License-Identifier: BSD-3-Clause
"""Segments of one stream that arrive in every order: what the receiver must say after each (RFC 2018 s4, RFC 5681 s4.2),
from a model of its own: a set of byte ranges.
"""
import itertools

from script import ESTABLISHED, BASE, WINDOW

SIZE = 100


class Receiver:
    """Bytes that have come; the latest block first (RFC 2018 s4)."""

    def __init__(self, next_byte):
        self.next, self.blocks = next_byte, []

    def take(self, left, right):
        """Returns what our ACK says: (ack, blocks)."""
        merged = (left, right)
        rest = []
        for block in self.blocks:
            if block[1] < merged[0] or merged[1] < block[0]:
                rest.append(block)
            else:
                merged = (min(block[0], merged[0]), max(block[1], merged[1]))
        if merged[0] <= self.next:
            self.next = max(self.next, merged[1])
        else:
            rest.insert(0, merged)
        self.blocks = rest
        return self.next, rest[:4]


def order_script(order):
    """Segments of SIZE bytes in this order; all are read at the end."""
    receiver, lines = Receiver(BASE), []
    for index in order:
        left = BASE + index * SIZE
        ack, blocks = receiver.take(left, left + SIZE)
        sack = " ".join(f"{a}:{b}" for a, b in blocks)
        options = f" <nop,nop,sack {sack}>" if blocks else ""
        lines.append(f"+.001 < P. {left}:{left + SIZE}({SIZE}) ack {BASE} win {WINDOW}\n"
                     f"+0 > . {BASE}:{BASE}(0) ack {ack}{options}\n")
    return ESTABLISHED + "".join(lines) + f"+0 read(4, ..., 10000) = {SIZE * len(order)}\n"


def orders():
    """All of four segments, and of five those that begin with a hole and are not one of four with the fifth behind."""
    for order in itertools.permutations(range(4)):
        yield order
    for order in itertools.permutations(range(5)):
        if order[0] != 0 and order[-1] != 4:
            yield order


def cases():
    for order in orders():
        name = "order_" + "".join(str(i + 1) for i in order)
        yield name, "segments arrive in the order " + " ".join(str(i + 1) for i in order), order_script(order)
