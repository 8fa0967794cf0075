# SPDX-License-Identifier: BSD-3-Clause
"""Every kind of segment for a port that nobody listens on, for a listener, and in the middle of both handshakes, by RFC
9293 s3.10.7.1 to s3.10.7.4. Each entry: name, why, script lines behind the preamble.
"""
from script import FAR, LISTENING, OPTIONS, SYN_RECEIVED, SYN_SENT, u32

SYN_ACK = f"< S. 0:0(0) ack 1 win 32792 {OPTIONS}"
ACCEPT = "+0 accept(3, ..., ...) = 4\n+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n"
NOBODY = "+0 < . 1:1(0) ack 1 win 257\n+0 > R 1:1(0)\n"  # there is no connection any more
STILL_OPENS = "+.01 < . 1:1(0) ack 1 win 257\n" + ACCEPT  # the handshake goes on as if nothing had been

# A listener, and a port that nobody listens on, answer alike but for the SYN, and for what has neither SYN, ACK nor RST.
CLOSED = LISTENING + "+0 close(3) = 0\n"

CLOSED_CASES = [
    ("syn", "SYN: RST with an ACK of it", "+.1 < S 7:7(0) win 1000\n+0 > R. 0:0(0) ack 8\n"),
    ("syn_with_data", "SYN with bytes: the RST acknowledges both", "+.1 < S 7:17(10) win 1000\n+0 > R. 0:0(0) ack 18\n"),
    ("ack", "ACK: RST out of the ACK number", "+.1 < . 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("data_ack", "bytes with ACK: RST out of the ACK number", "+.1 < P. 7:17(10) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("syn_ack", "SYN with ACK: RST out of the ACK number", "+.1 < S. 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("fin_ack", "FIN with ACK: RST out of the ACK number", "+.1 < F. 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("rst", "RST: never answered", "+.1 < R 7:7(0) win 0\n+.1 < S 7:7(0) win 1000\n+0 > R. 0:0(0) ack 8\n"),
    ("rst_ack", "RST with ACK: never answered",
     "+.1 < R. 7:7(0) ack 50 win 0\n+.1 < S 7:7(0) win 1000\n+0 > R. 0:0(0) ack 8\n"),
    ("fin", "FIN alone: RST with an ACK of it", "+.1 < F 7:7(0) win 1000\n+0 > R. 0:0(0) ack 8\n"),
    ("data", "bytes without ACK: RST with an ACK of them", "+.1 < P 7:17(10) win 1000\n+0 > R. 0:0(0) ack 17\n"),
    ("xmas", "FIN, PSH and URG: RST with an ACK", "+.1 < FPU 7:7(0) win 1000 urg 1\n+0 > R. 0:0(0) ack 8\n"),
    ("syn_fin", "SYN with FIN: dropped", "+.1 < SF 7:7(0) win 1000\n+.1 < S 7:7(0) win 1000\n+0 > R. 0:0(0) ack 8\n"),
    ("wraps", "the ACK number of the answer wraps", "+.1 < S 4294967295:4294967295(0) win 1000\n+0 > R. 0:0(0) ack 0\n"),
]

OPENS = f"+.1 < S 0:0(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack 1 <...>\n" + STILL_OPENS

LISTEN_CASES = [
    ("rst", "RST is ignored (first step)", "+.1 < R 7:7(0) win 0\n" + OPENS),
    ("rst_ack", "RST with ACK is ignored", "+.1 < R. 7:7(0) ack 50 win 0\n" + OPENS),
    ("ack", "an ACK is bad: RST (second step)", "+.1 < . 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("data_ack", "bytes with ACK: RST", "+.1 < P. 7:17(10) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("syn_ack", "SYN with ACK: RST", "+.1 < S. 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("fin_ack", "FIN with ACK: RST", "+.1 < F. 7:7(0) ack 50 win 1000\n+0 > R 50:50(0)\n"),
    ("fin", "FIN alone: dropped (fourth step)", "+.1 < F 7:7(0) win 1000\n" + OPENS),
    ("data", "bytes alone: dropped (fourth step)", "+.1 < P 7:17(10) win 1000\n" + OPENS),
    ("xmas", "FIN, PSH and URG: dropped", "+.1 < FPU 7:7(0) win 1000 urg 1\n" + OPENS),
    ("syn_fin", "SYN with FIN: dropped", "+.1 < SF 7:7(0) win 1000\n" + OPENS),
    ("syn_rst", "SYN with RST is a RST: ignored", "+.1 < SR 7:7(0) win 1000\n" + OPENS),
    ("syn_ece_cwr", "a SYN that offers ECN opens", "+.1 < SEW 0:0(0) win 32792 <mss 1000>\n"
     "+0 > SE. 0:0(0) ack 1 <...>\n" + STILL_OPENS),
    ("syn_psh_urg", "PSH and URG in a SYN do not matter", "+.1 < SPU 0:0(0) win 32792 urg 9 <mss 1000>\n"
     "+0 > S. 0:0(0) ack 1 <...>\n" + STILL_OPENS),
    ("syn_with_data", "bytes in a SYN wait for the peer to send them again",
     "+.1 < S 0:10(10) win 32792 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n"
     "+.01 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n" + ACCEPT + "+0 read(4, ..., 1000) = 10\n"),
    ("syn_no_options_4", "a SYN without options gets an MSS only",
     "--ip_version=ipv4\n+.1 < S 0:0(0) win 8192\n+0 > S. 0:0(0) ack 1 <mss 1460>\n" + STILL_OPENS),
    ("syn_no_options_6", "a SYN without options gets an MSS only",
     "--ip_version=ipv6\n+.1 < S 0:0(0) win 8192\n+0 > S. 0:0(0) ack 1 <mss 1440>\n" + STILL_OPENS),
    ("syn_window_zero", "a SYN with window 0 opens; what is written waits for the window",
     "+.1 < S 0:0(0) win 0 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n+.01 < . 1:1(0) ack 1 win 0\n" + ACCEPT +
     "+0 write(4, ..., 10) = 10\n+.01 < . 1:1(0) ack 1 win 100\n+0 > P. 1:11(10) ack 1\n"),
]

SYN_SENT_OPENED = "+0 > . 1:1(0) ack 1\n+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n"
SYN_SENT_WAITS = f"+.01 {SYN_ACK}\n" + SYN_SENT_OPENED

SYN_SENT_CASES = [
    ("syn_ack", "SYN with the right ACK opens", f"+.01 {SYN_ACK}\n" + SYN_SENT_OPENED),
    ("syn_ack_low", "an ACK of nothing: RST out of it (first step)",
     "+.01 < S. 0:0(0) ack 0 win 1000\n+0 > R 0:0(0)\n" + SYN_SENT_WAITS),
    ("syn_ack_high", "an ACK of more than the SYN: RST out of it",
     "+.01 < S. 0:0(0) ack 2 win 1000\n+0 > R 2:2(0)\n" + SYN_SENT_WAITS),
    ("syn_ack_far", "an ACK of half the sequence space: RST out of it",
     "+.01 < S. 0:0(0) ack 2147483648 win 1000\n+0 > R 2147483648:2147483648(0)\n" + SYN_SENT_WAITS),
    ("ack", "a bare ACK of the SYN: dropped (fifth step)", "+.01 < . 0:0(0) ack 1 win 1000\n" + SYN_SENT_WAITS),
    ("ack_low", "a bare ACK of nothing: RST", "+.01 < . 0:0(0) ack 0 win 1000\n+0 > R 0:0(0)\n" + SYN_SENT_WAITS),
    ("ack_high", "a bare ACK of more than the SYN: RST", "+.01 < . 0:0(0) ack 9 win 1000\n+0 > R 9:9(0)\n" + SYN_SENT_WAITS),
    ("data_ack", "bytes with the right ACK: dropped", "+.01 < P. 1:11(10) ack 1 win 1000\n" + SYN_SENT_WAITS),
    ("fin_ack", "FIN with the right ACK: dropped", "+.01 < F. 0:0(0) ack 1 win 1000\n" + SYN_SENT_WAITS),
    ("fin", "FIN alone: dropped", "+.01 < F 0:0(0) win 1000\n" + SYN_SENT_WAITS),
    ("data", "bytes alone: dropped", "+.01 < P 1:11(10) win 1000\n" + SYN_SENT_WAITS),
    ("rst", "RST without ACK: dropped (second step; RFC 5961 s3.2)", "+.01 < R 0:0(0) win 0\n" + SYN_SENT_WAITS),
    ("rst_ack", "RST with the right ACK: refused",
     "+.01 < R. 0:0(0) ack 1 win 0\n+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0\n"),
    ("rst_ack_low", "RST with a wrong ACK: dropped", "+.01 < R. 0:0(0) ack 0 win 0\n" + SYN_SENT_WAITS),
    ("rst_ack_high", "RST with an ACK of more than the SYN: dropped", "+.01 < R. 0:0(0) ack 2 win 0\n" + SYN_SENT_WAITS),
    ("syn_fin", "SYN with FIN: dropped", "+.01 < SF 0:0(0) win 1000\n" + SYN_SENT_WAITS),
    ("syn_ack_fin", "SYN with ACK and FIN: dropped", "+.01 < SF. 0:0(0) ack 1 win 1000\n" + SYN_SENT_WAITS),
    ("syn_rst_ack", "SYN with RST and the right ACK: refused",
     "+.01 < SR. 0:0(0) ack 1 win 0\n+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [ECONNREFUSED], [4]) = 0\n"),
    ("syn_ack_with_data", "bytes with the SYN and ACK wait for the peer to send them again",
     f"+.01 < S. 0:10(10) ack 1 win 32792 {OPTIONS}\n" + SYN_SENT_OPENED),
    ("syn_ack_no_options_4", "an answer without options: none is used, and the MSS is 536",
     "--ip_version=ipv4\n+.01 < S. 0:0(0) ack 1 win 8192\n+0 > . 1:1(0) ack 1\n+0 write(3, ..., 1000) = 1000\n"
     "+0 > . 1:537(536) ack 1\n+0 > P. 537:1001(464) ack 1\n"),
    ("syn_ack_no_options_6", "an answer without options: none is used, and the MSS is 1220",
     "--ip_version=ipv6\n+.01 < S. 0:0(0) ack 1 win 8192\n+0 > . 1:1(0) ack 1\n+0 write(3, ..., 2000) = 2000\n"
     "+0 > . 1:1221(1220) ack 1\n+0 > P. 1221:2001(780) ack 1\n"),
    ("syn_simultaneous", "SYN without ACK: simultaneous open (s3.5 figure 8)",
     f"+.01 < S 0:0(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack 1 <...>\n"
     "+.01 < . 1:1(0) ack 1 win 257\n+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0\n"
     "+0 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n"),
    ("syn_simultaneous_syn_ack", "simultaneous open: the other's SYN with ACK opens, too",
     f"+.01 < S 0:0(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack 1 <...>\n"
     f"+.01 {SYN_ACK}\n+0 > . 1:1(0) ack 1\n+0 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n"),
    ("syn_simultaneous_rst", "simultaneous open, then RST: refused",
     f"+.01 < S 0:0(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack 1 <...>\n+.01 < R 1:1(0) win 0\n" + NOBODY),
]

SYN_RECEIVED_CASES = [
    ("ack", "the ACK of our SYN opens", STILL_OPENS),
    ("ack_low", "an ACK of nothing: RST out of it (fifth step)", "+.01 < . 1:1(0) ack 0 win 257\n+0 > R 0:0(0)\n" + STILL_OPENS),
    ("ack_high", "an ACK of more than the SYN: RST out of it", "+.01 < . 1:1(0) ack 2 win 257\n+0 > R 2:2(0)\n" + STILL_OPENS),
    ("data_ack", "bytes with the ACK open and are read",
     "+.01 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 11\n" + ACCEPT + "+0 read(4, ..., 1000) = 10\n"),
    ("fin_ack", "FIN with the ACK opens and ends", "+.01 < F. 1:1(0) ack 1 win 257\n+0 > . 1:1(0) ack 2\n" + ACCEPT +
     "+0 read(4, ..., 1000) = 0\n"),
    ("data_fin_ack", "bytes and FIN with the ACK", "+.01 < FP. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 12\n" + ACCEPT +
     "+0 read(4, ..., 1000) = 10\n+0 read(4, ..., 1000) = 0\n"),
    ("early_data_ack", "bytes ahead of a hole with the right ACK open; the hole is named",
     "+.01 < P. 11:21(10) ack 1 win 257\n+0 > . 1:1(0) ack 1 <nop,nop,sack 11:21>\n" + ACCEPT +
     "+.01 < P. 1:11(10) ack 1 win 257\n+0 > . 1:1(0) ack 21\n+0 read(4, ..., 1000) = 20\n"),
    ("data", "bytes without ACK: dropped", "+.01 < P 1:11(10) win 257\n" + STILL_OPENS),
    ("fin", "FIN without ACK: dropped", "+.01 < F 1:1(0) win 257\n" + STILL_OPENS),
    ("syn_again", "the SYN once more: the answer once more",
     f"+.05 < S 0:0(0) win 32792 {OPTIONS}\n+0 > S. 0:0(0) ack 1 <...>\n" + STILL_OPENS),
    ("syn_other", "another SYN inside of the window: a challenge ACK (RFC 5961 s4.2)",
     f"+.05 < S 100:100(0) win 32792 {OPTIONS}\n+0 > . 1:1(0) ack 1\n" + STILL_OPENS),
    ("syn_ack", "SYN with ACK: a challenge ACK", "+.05 < S. 1:1(0) ack 1 win 257\n+0 > . 1:1(0) ack 1\n" + STILL_OPENS),
    ("rst_exact", "RST at RCV.NXT: back to LISTEN (s3.10.7.4 second step)", "+.01 < R 1:1(0) win 0\n" + NOBODY),
    ("rst_ack_exact", "RST with ACK at RCV.NXT: back to LISTEN", "+.01 < R. 1:1(0) ack 1 win 0\n" + NOBODY),
    ("rst_inside", "RST inside of the window: a challenge ACK", "+.01 < R 100:100(0) win 0\n+0 > . 1:1(0) ack 1\n" + STILL_OPENS),
    ("rst_left", "RST below the window: dropped", "+.01 < R 0:0(0) win 0\n" + STILL_OPENS),
    ("rst_right", "RST beyond the window: dropped", f"+.01 < R {FAR}:{FAR}(0) win 0\n" + STILL_OPENS),
    ("ack_right", "an ACK beyond the window: an ACK, and it does not open",
     f"+.01 < . {FAR}:{FAR}(0) ack 1 win 257\n+0 > . 1:1(0) ack 1\n" + STILL_OPENS),
    ("ack_left", "an ACK below the window: an ACK, and it does not open",
     f"+.01 < . {u32(-50)}:{u32(-50)}(0) ack 1 win 257\n+0 > . 1:1(0) ack 1\n" + STILL_OPENS),
    ("retransmit", "no answer: the SYN with ACK again after 1 and after 2 more seconds",
     "+1 > S. 0:0(0) ack 1 <...>\n+2 > S. 0:0(0) ack 1 <...>\n" + STILL_OPENS),
    ("window_zero", "the ACK with window 0 opens", "+.01 < . 1:1(0) ack 1 win 0\n" + ACCEPT),
]

GROUPS = [
    ("closed", "a port that nobody listens on", CLOSED, CLOSED_CASES),
    ("listen", "LISTEN", LISTENING, LISTEN_CASES),
    ("syn_sent", "SYN-SENT", SYN_SENT, SYN_SENT_CASES),
    ("syn_received", "SYN-RECEIVED", SYN_RECEIVED, SYN_RECEIVED_CASES),
]
