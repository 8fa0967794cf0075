# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of segment in every synchronised state, by RFC 9293 s3.10.7.4 as RFC 5961 has changed it. Each function is
one event: it gets a State and returns (segment in, what we answer, what is true afterwards), or None where the event has
no meaning of its own.
"""
from script import FAR, TOO_OLD, WINDOW, u32

EVENTS = {}


def event(why):
    def register(function):
        EVENTS[function.__name__] = (why, function)
        return function
    return register


def segment(flags, seq, length=0, ack=None, window=WINDOW, more=""):
    acked = "" if ack is None else f" ack {u32(ack)}"
    return f"+.01 < {flags} {u32(seq)}:{u32(seq + length)}({length}){acked} win {window}{more}\n"


# --- RST ---------------------------------------------------------------------------------------------------------------

@event("RST at RCV.NXT ends the connection (RFC 5961 s3.2 case 2)")
def rst_exact(s):
    return segment("R", s.rcv_nxt, window=0), "", s.reset()


@event("RST with an ACK at RCV.NXT ends the connection, whatever it acknowledges")
def rst_ack_exact(s):
    return segment("R.", s.rcv_nxt, ack=s.snd_nxt, window=0), "", s.reset()


@event("RST at RCV.NXT that acknowledges what was never sent: the sequence number alone decides")
def rst_ack_future(s):
    return segment("R.", s.rcv_nxt, ack=s.snd_nxt + 1000, window=0), "", s.reset()


@event("RST with bytes at RCV.NXT: the bytes (an explanation, RFC 1122 s4.2.2.12) are ignored")
def rst_with_data(s):
    return segment("R", s.rcv_nxt, 10, window=0), "", s.reset()


@event("RST inside of the window, not at RCV.NXT: a challenge ACK (RFC 5961 s3.2 case 3)")
def rst_inside(s):
    return segment("R", s.rcv_nxt + 100, window=0), s.ack(), s.alive()


@event("RST with an ACK inside of the window: a challenge ACK")
def rst_ack_inside(s):
    return segment("R.", s.rcv_nxt + 1, ack=s.snd_nxt, window=0), s.ack(), s.alive()


@event("RST one below RCV.NXT: dropped without an answer (RFC 5961 s3.2 case 1)")
def rst_left(s):
    return segment("R", s.rcv_nxt - 1, window=0), "", s.alive()


@event("RST beyond the window: dropped without an answer")
def rst_right(s):
    return segment("R", s.rcv_nxt + FAR, window=0), "", s.alive()


@event("SYN with RST at RCV.NXT is judged as a RST")
def syn_rst_exact(s):
    return segment("SR", s.rcv_nxt, window=0), "", s.reset()


# --- SYN ---------------------------------------------------------------------------------------------------------------

@event("SYN at RCV.NXT: a challenge ACK (RFC 5961 s4.2)")
def syn_exact(s):
    return segment("S", s.rcv_nxt), s.ack(), s.alive()


@event("SYN inside of the window: a challenge ACK")
def syn_inside(s):
    return segment("S", s.rcv_nxt + 100), s.ack(), s.alive()


@event("SYN below the window: a challenge ACK, irrespective of the sequence number")
def syn_left(s):
    return segment("S", s.rcv_nxt - 50), s.ack(), s.alive()


@event("SYN beyond the window: a challenge ACK, irrespective of the sequence number")
def syn_right(s):
    return segment("S", s.rcv_nxt + FAR), s.ack(), s.alive()


@event("The SYN of this connection once more: a challenge ACK")
def syn_again(s):
    return segment("S", 0), s.ack(), s.alive()


@event("SYN with ACK at RCV.NXT: a challenge ACK")
def syn_ack_exact(s):
    return segment("S.", s.rcv_nxt, ack=s.snd_nxt), s.ack(), s.alive()


@event("SYN with ACK at the initial sequence number, as from a late simultaneous open: a challenge ACK")
def syn_ack_again(s):
    return segment("S.", 0, ack=1), s.ack(), s.alive()


@event("SYN with FIN opens and closes at once: only scanners send it; dropped without an answer")
def syn_fin(s):
    return segment("SF", s.rcv_nxt), "", s.alive()


# --- no ACK bit ------------------------------------------------------------------------------------------------------------

@event("Bytes without the ACK bit: dropped (fifth step)")
def data_without_ack(s):
    return segment("P", s.rcv_nxt, 10), "", s.alive()


@event("FIN without the ACK bit: dropped (fifth step)")
def fin_without_ack(s):
    return segment("F", s.rcv_nxt), "", s.alive()


@event("FIN, PSH, URG and no ACK, as scanners send: dropped")
def xmas(s):
    return segment("FPU", s.rcv_nxt, more=" urg 1"), "", s.alive()


# --- ACK -----------------------------------------------------------------------------------------------------------------

@event("The same ACK once more: no answer")
def ack_again(s):
    return segment(".", s.rcv_nxt, ack=s.snd_una), "", s.alive()


@event("An ACK of what was never sent: a challenge ACK, and the segment is dropped (RFC 5961 s5.2)")
def ack_future(s):
    return segment(".", s.rcv_nxt, ack=s.snd_nxt + 1), s.ack(), s.alive()


@event("An ACK half the sequence space ahead: a challenge ACK")
def ack_far_future(s):
    return segment(".", s.rcv_nxt, ack=s.snd_nxt + 0x7FFFFFF0), s.ack(), s.alive()


@event("An old ACK, inside of the largest window ever seen: ignored without an answer")
def ack_old(s):
    return segment(".", s.rcv_nxt, ack=s.snd_una - 50), "", s.alive()


@event("An ACK older than the largest window: a challenge ACK (RFC 5961 s5.2)")
def ack_too_old(s):
    return segment(".", s.rcv_nxt, ack=s.snd_una - TOO_OLD), s.ack(), s.alive()


@event("An ACK below the window, as a keep-alive probe is: an ACK")
def ack_left(s):
    return segment(".", s.rcv_nxt - 1, ack=s.snd_una), s.ack(), s.alive()


@event("An ACK beyond the window: an ACK, and it is dropped")
def ack_right(s):
    return segment(".", s.rcv_nxt + FAR, ack=s.snd_una), s.ack(), s.alive()


@event("An ACK that closes the window: no answer")
def ack_window_zero(s):
    if s.name == "CLOSE-WAIT":  # what is written then waits for the window
        return None
    return segment(".", s.rcv_nxt, ack=s.snd_una, window=0), "", s.alive()


# --- text ----------------------------------------------------------------------------------------------------------------

@event("Bytes at RCV.NXT: acknowledged and read; after a FIN they should not be, and are ignored (seventh step)")
def data_exact(s):
    if not s.receives:
        return segment("P.", s.rcv_nxt, 10, ack=s.snd_una), "", s.alive()
    return (segment("P.", s.rcv_nxt, 10, ack=s.snd_una), s.ack(s.rcv_nxt + 10), "+0 read(4, ..., 1000) = 10\n")


@event("Bytes that came before: an ACK that names them as a duplicate (RFC 2883), no bytes to read")
def data_again(s):
    return (segment("P.", 1, 100, ack=s.snd_una), s.ack(sack="1:101"), s.alive())


@event("Bytes of which half came before: the new half counts, the old one is named as a duplicate")
def data_overlap(s):
    if not s.receives:
        return None
    return (segment("P.", s.rcv_nxt - 50, 100, ack=s.snd_una), s.ack(s.rcv_nxt + 50, f"{s.rcv_nxt - 50}:{s.rcv_nxt}"), "+0 read(4, ..., 1000) = 50\n")


@event("Bytes ahead of a hole: a duplicate ACK that names them (RFC 2018), read when the hole is filled")
def data_early(s):
    if not s.receives:
        return None
    r = s.rcv_nxt
    return (segment("P.", r + 10, 10, ack=s.snd_una), s.ack(sack=f"{r + 10}:{r + 20}"),
            segment("P.", r, 10, ack=s.snd_una) + s.ack(r + 20) + "+0 read(4, ..., 1000) = 20\n")


@event("Bytes beyond the window: an ACK, and they are dropped")
def data_right(s):
    return segment("P.", s.rcv_nxt + FAR, 10, ack=s.snd_una), s.ack(), s.alive()


@event("Good bytes that acknowledge what was never sent: a challenge ACK, the bytes are dropped, too")
def data_future_ack(s):
    return segment("P.", s.rcv_nxt, 10, ack=s.snd_nxt + 1000), s.ack(), s.alive()


@event("Good bytes with an ACK older than the largest window: a challenge ACK, the bytes are dropped, too")
def data_too_old_ack(s):
    return segment("P.", s.rcv_nxt, 10, ack=s.snd_una - TOO_OLD), s.ack(), s.alive()


@event("Good bytes with an old ACK: the bytes count")
def data_old_ack(s):
    if not s.receives:
        return None
    return (segment("P.", s.rcv_nxt, 10, ack=s.snd_una - 50), s.ack(s.rcv_nxt + 10), "+0 read(4, ..., 1000) = 10\n")


@event("One byte without PSH: delivered all the same")
def data_one_byte(s):
    if not s.receives:
        return None
    return segment(".", s.rcv_nxt, 1, ack=s.snd_una), s.ack(s.rcv_nxt + 1), "+0 read(4, ..., 1000) = 1\n"


# --- URG: in line, whatever the pointer says (RFC 6093) ---------------------------------------------------------------------

def urgent(s, pointer):
    if not s.receives:
        return segment("PU.", s.rcv_nxt, 10, ack=s.snd_una, more=f" urg {pointer}"), "", s.alive()
    return (segment("PU.", s.rcv_nxt, 10, ack=s.snd_una, more=f" urg {pointer}"), s.ack(s.rcv_nxt + 10),
            "+0 read(4, ..., 1000) = 10\n")


@event("URG with pointer 0 (CVE-2019-12255): bytes in line")
def urg_zero(s):
    return urgent(s, 0)


@event("URG that points into the bytes: bytes in line")
def urg_inside(s):
    return urgent(s, 5)


@event("URG that points far beyond the bytes: bytes in line")
def urg_beyond(s):
    return urgent(s, 60000)


# --- FIN -----------------------------------------------------------------------------------------------------------------

@event("FIN at RCV.NXT: acknowledged, the end of the stream; a second end is ignored (eighth step)")
def fin_exact(s):
    if not s.receives:
        return segment("F.", s.rcv_nxt, ack=s.snd_una), "", s.alive()
    return segment("F.", s.rcv_nxt, ack=s.snd_una), s.ack(s.rcv_nxt + 1), "+0 read(4, ..., 1000) = 0\n"


@event("Bytes with FIN: one ACK for both, the bytes first, then the end")
def fin_with_data(s):
    if not s.receives:
        return None
    return (segment("FP.", s.rcv_nxt, 10, ack=s.snd_una), s.ack(s.rcv_nxt + 11),
            "+0 read(4, ..., 1000) = 10\n+0 read(4, ..., 1000) = 0\n")


@event("FIN, PSH, URG and ACK with bytes: as without URG")
def fin_with_urgent_data(s):
    if not s.receives:
        return None
    return (segment("FPU.", s.rcv_nxt, 10, ack=s.snd_una, more=" urg 10"), s.ack(s.rcv_nxt + 11),
            "+0 read(4, ..., 1000) = 10\n+0 read(4, ..., 1000) = 0\n")


@event("FIN ahead of a hole: it waits until the hole is filled")
def fin_early(s):
    if not s.receives:
        return None
    r = s.rcv_nxt
    return (segment("F.", r + 10, ack=s.snd_una), s.ack(), segment("P.", r, 10, ack=s.snd_una) + s.ack(r + 11) +
            "+0 read(4, ..., 1000) = 10\n+0 read(4, ..., 1000) = 0\n")


@event("The peer's FIN once more: our ACK was lost, here it is again")
def fin_again(s):
    if s.receives:
        return None
    return segment("F.", s.rcv_nxt - 1, ack=s.snd_una), s.ack(sack=f"{s.rcv_nxt - 1}:{s.rcv_nxt}"), s.alive()


@event("FIN below the window: an ACK")
def fin_left(s):
    return segment("F.", 50, ack=s.snd_una), s.ack(sack="50:51"), s.alive()


@event("FIN beyond the window: an ACK, and it is dropped")
def fin_right(s):
    return segment("F.", s.rcv_nxt + FAR, ack=s.snd_una), s.ack(), s.alive()


@event("FIN that acknowledges what was never sent: a challenge ACK, and it is dropped")
def fin_future_ack(s):
    return segment("F.", s.rcv_nxt, ack=s.snd_nxt + 1000), s.ack(), s.alive()
