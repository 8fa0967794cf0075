# SPDX-License-Identifier: BSD-3-Clause
"""Pieces of .pkt scripts: how a connection gets into a state, and how it is seen to be in it still, or gone. Used by the
generators of this folder. Sequence numbers are relative, as in every script: 0 is a SYN, 1 the first byte.

Before the state is reached both sides have sent 100 bytes and have them acknowledged, so that there are old sequence
numbers to be wrong with: the base is 101 in both directions.
"""

OPTIONS = "<mss 1000,sackOK,nop,nop,nop,wscale 7>"
WINDOW = 257  # scaled by 7: 32,896 bytes is the largest window that our side has seen
BASE = 101
FAR = 5_000_000  # beyond every window that we advertise
TOO_OLD = 40_000  # behind SND.UNA by more than the largest window


def u32(number):
    return number & 0xFFFFFFFF


LISTENING = f"""\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
"""

SYN_RECEIVED = LISTENING + f"""\
+.1 < S 0:0(0) win 32792 {OPTIONS}
+0 > S. 0:0(0) ack 1 <...>
"""

SYN_SENT = """\
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
"""

ESTABLISHED = SYN_RECEIVED + f"""\
+.01 < . 1:1(0) ack 1 win {WINDOW}
+0 accept(3, ..., ...) = 4
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+.01 < P. 1:101(100) ack 1 win {WINDOW}
+0 > . 1:1(0) ack 101
+0 read(4, ..., 1000) = 100
+0 write(4, ..., 100) = 100
+0 > P. 1:101(100) ack 101
+.01 < . 101:101(0) ack 101 win {WINDOW}
"""


class State:
    """A synchronised state: the script that leads there, RCV.NXT, SND.UNA, SND.NXT, whether text still counts."""

    def __init__(self, name, more, rcv_nxt, snd_una, snd_nxt, receives):
        self.name, self.path = name, ESTABLISHED + more
        self.rcv_nxt, self.snd_una, self.snd_nxt, self.receives = rcv_nxt, snd_una, snd_nxt, receives

    def ack(self, rcv_nxt=None, sack=None):
        """Our pure ACK."""
        options = f" <nop,nop,sack {sack}>" if sack else ""
        return f"+0 > . {self.snd_nxt}:{self.snd_nxt}(0) ack {self.rcv_nxt if rcv_nxt is None else rcv_nxt}{options}\n"

    def alive(self):
        """Lines that only a connection in this very state answers like this."""
        r, s = self.rcv_nxt, self.snd_nxt
        if self.name == "ESTABLISHED":
            return (f"+.02 < P. {r}:{r + 10}(10) ack {s} win {WINDOW}\n+0 > . {s}:{s}(0) ack {r + 10}\n"
                    "+0 read(4, ..., 1000) = 10\n")
        if self.name in ("FIN-WAIT-1", "FIN-WAIT-2"):
            return (f"+.02 < F. {r}:{r}(0) ack {s} win {WINDOW}\n+0 > . {s}:{s}(0) ack {r + 1}\n"
                    "+0 read(4, ..., 1000) = 0\n")
        if self.name == "CLOSE-WAIT":
            return f"+.02 write(4, ..., 10) = 10\n+0 > P. {s}:{s + 10}(10) ack {r}\n"
        if self.name == "CLOSING":
            return (f"+.02 < . {r}:{r}(0) ack {s} win {WINDOW}\n"
                    f"+0 < F. {r - 1}:{r - 1}(0) ack {s} win {WINDOW}\n+0 > . {s}:{s}(0) ack {r}\n")
        if self.name == "LAST-ACK":
            return (f"+.02 < . {r}:{r}(0) ack {s} win {WINDOW}\n" + self.gone(ack=s))
        if self.name == "TIME-WAIT":
            return f"+.7 < F. {r - 1}:{r - 1}(0) ack {s} win {WINDOW}\n+0 > . {s}:{s}(0) ack {r}\n"
        raise ValueError(self.name)

    def gone(self, ack=None):
        """Nobody has the connection: a stray ACK is answered with a RST out of its own ACK number."""
        s = self.snd_nxt if ack is None else ack
        return f"+.02 < . {self.rcv_nxt}:{self.rcv_nxt}(0) ack {s} win {WINDOW}\n+0 > R {s}:{s}(0)\n"

    def reset(self):
        """The user hears of it where there is one, and the connection is gone."""
        user = "" if self.name in ("LAST-ACK", "CLOSING", "TIME-WAIT") else \
            "+0 read(4, ..., 1000) = -1 ECONNRESET (Connection reset by peer)\n"
        return user + self.gone()


_FIN_WAIT_1 = f"+0 shutdown(4, SHUT_WR) = 0\n+0 > F. {BASE}:{BASE}(0) ack {BASE}\n"
_FIN_WAIT_2 = _FIN_WAIT_1 + f"+.01 < . {BASE}:{BASE}(0) ack {BASE + 1} win {WINDOW}\n"
_CLOSE_WAIT = f"+0 < F. {BASE}:{BASE}(0) ack {BASE} win {WINDOW}\n+0 > . {BASE}:{BASE}(0) ack {BASE + 1}\n"
_CLOSING = f"+0 close(4) = 0\n+0 > F. {BASE}:{BASE}(0) ack {BASE}\n+0 < F. {BASE}:{BASE}(0) ack {BASE} win {WINDOW}\n" \
    f"+0 > . {BASE + 1}:{BASE + 1}(0) ack {BASE + 1}\n"
_LAST_ACK = _CLOSE_WAIT + f"+0 close(4) = 0\n+0 > F. {BASE}:{BASE}(0) ack {BASE + 1}\n"
_TIME_WAIT = f"+0 close(4) = 0\n+0 > F. {BASE}:{BASE}(0) ack {BASE}\n" \
    f"+.01 < F. {BASE}:{BASE}(0) ack {BASE + 1} win {WINDOW}\n+0 > . {BASE + 1}:{BASE + 1}(0) ack {BASE + 1}\n"

STATES = [
    State("ESTABLISHED", "", BASE, BASE, BASE, True),
    State("FIN-WAIT-1", _FIN_WAIT_1, BASE, BASE, BASE + 1, True),
    State("FIN-WAIT-2", _FIN_WAIT_2, BASE, BASE + 1, BASE + 1, True),
    State("CLOSE-WAIT", _CLOSE_WAIT, BASE + 1, BASE, BASE, False),
    State("CLOSING", _CLOSING, BASE + 1, BASE, BASE + 1, False),
    State("LAST-ACK", _LAST_ACK, BASE + 1, BASE, BASE + 1, False),
    State("TIME-WAIT", _TIME_WAIT, BASE + 1, BASE + 1, BASE + 1, False),
]
