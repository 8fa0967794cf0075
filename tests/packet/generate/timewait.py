# SPDX-License-Identifier: BSD-3-Clause
"""TIME-WAIT where it differs from the other synchronised states: RFC 1337 (a RST does not end it), RFC 6191 (a younger
SYN opens anew), the eighth step of RFC 9293 s3.10.7.4 (a FIN is acknowledged again).
"""
from script import FAR, OPTIONS, STATES, WINDOW, u32

STATE = STATES[-1]
R, S = STATE.rcv_nxt, STATE.snd_nxt
ACK = STATE.ack()


def segment(flags, seq, length=0, ack=S, more=""):
    acked = "" if ack is None else f" ack {u32(ack)}"
    return f"+.01 < {flags} {u32(seq)}:{u32(seq + length)}({length}){acked} win {WINDOW}{more}\n"


STAYS = STATE.alive()
NAMES = [
    ("rst_exact", "RST at RCV.NXT does not end it (RFC 1337 s3 fix F1)", segment("R", R, ack=None) + STAYS),
    ("rst_ack_exact", "RST with ACK does not end it", segment("R.", R) + STAYS),
    ("rst_inside", "RST inside of the window does not end it", segment("R", R + 100, ack=None) + STAYS),
    ("rst_left", "RST below the window does not end it", segment("R", R - 1, ack=None) + STAYS),
    ("rst_right", "RST beyond the window does not end it", segment("R", R + FAR, ack=None) + STAYS),
    ("fin_again", "the peer's FIN once more: acknowledged once more", segment("F.", R - 1) + ACK + STAYS),
    ("fin_with_data_again", "the peer's last bytes and FIN once more", segment("FP.", R - 11, 10) + ACK + STAYS),
    ("ack_exact", "the ACK of our FIN once more: no answer", segment(".", R) + STAYS),
    ("ack_left", "an ACK below RCV.NXT: acknowledged", segment(".", R - 1) + ACK + STAYS),
    ("ack_right", "an ACK beyond the window: acknowledged", segment(".", R + FAR) + ACK + STAYS),
    ("data_old", "old bytes: acknowledged", segment("P.", 1, 100) + ACK + STAYS),
    ("data_new", "new bytes: acknowledged, not taken", segment("P.", R, 10) + ACK + STAYS),
    ("data_right", "bytes beyond the window: acknowledged, not taken", segment("P.", R + FAR, 10) + ACK + STAYS),
    ("syn_old", "a SYN that is not younger: acknowledged (RFC 9293 s3.6.1)", segment("S", R - 50, ack=None) + ACK + STAYS),
    ("syn_same", "the very SYN of the former connection: acknowledged", segment("S", 0, ack=None) + ACK + STAYS),
    ("syn_ack", "SYN with ACK: acknowledged", segment("S.", R + 100) + ACK + STAYS),
    ("syn_fin", "SYN with FIN: dropped", segment("SF", R + 1, ack=None) + STAYS),
    ("syn_younger", "a younger SYN opens anew, above our last sequence number (RFC 6191)",
     f"+.01 < S {R + 1000}:{R + 1000}(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack {R + 1001} <...>\n"),
    ("ends", "after 2 MSL nobody is there", f"+61 < . {R}:{R}(0) ack {S} win {WINDOW}\n+0 > R {S}:{S}(0)\n"),
    ("lasts", "before 2 MSL are over it is there", f"+58 < F. {R - 1}:{R - 1}(0) ack {S} win {WINDOW}\n" + ACK),
]


def cases():
    for name, why, lines in NAMES:
        yield name, why, STATE.path + lines
