# SPDX-License-Identifier: BSD-3-Clause
"""What both sides may do is what both SYNs have offered: every set of options in a SYN (RFC 9293 s3.7.1, RFC 7323 s2.2 and
s3.2, RFC 2018 s2), in both directions; every MSS; every window scale. Layouts are Linux's.
"""
import itertools

from script import LISTENING, SYN_SENT

MSS = {4: 1460, 6: 1440}
DEFAULT_MSS = {4: 536, 6: 1220}  # of a peer that tells none (RFC 9293 s3.7.1)
NAMES = ("mss", "sackOK", "TS", "wscale")
ACCEPT = "+0 accept(3, ..., ...) = 4\n"
INITIAL_WINDOW = 10  # segments (RFC 6928), at most


def peer_options(offered):
    """The peer's list: an order of its own, which must not matter."""
    texts = {"mss": "mss 1000", "sackOK": "sackOK", "TS": "TS val 700 ecr ECR", "wscale": "wscale 5"}
    return [texts[name] for name in reversed(NAMES) if name in offered]


def angle(options):
    return f" <{','.join(options)}>" if options else ""


def answer_options(offered, mss):
    """Linux's order: MSS, SACK permitted (in the place of timestamps' NOPs when there are any), timestamps, scale."""
    out = [f"mss {mss}"]
    if "TS" in offered:
        out += ["sackOK"] if "sackOK" in offered else ["nop", "nop"]
        out += ["TS val 100 ecr 700"]
    elif "sackOK" in offered:
        out += ["nop", "nop", "sackOK"]
    if "wscale" in offered:
        out += ["nop", "wscale 7"]
    return out


def use(offered, fd):
    """Behind the handshake: a segment ahead of a hole is answered with what was agreed on, and nothing else."""
    stamp = ["nop", "nop", "TS val 720 ecr 100"] if "TS" in offered else []
    out = ["nop", "nop", "TS val 120 ecr 710"] if "TS" in offered else []
    full = ["nop", "nop", "TS val 120 ecr 720"] if "TS" in offered else []
    sack = ["nop", "nop", "sack 11:21"] if "sackOK" in offered else []
    window = 512 if "wscale" in offered else 65535
    return (f"+.01 < P. 11:21(10) ack 1 win 1000{angle(stamp)}\n"
            f"+0 > . 1:1(0) ack 1 win {window}{angle(out + sack)}\n"
            f"+0 < P. 1:11(10) ack 1 win 1000{angle(stamp)}\n"
            f"+0 > . 1:1(0) ack 21{angle(full)}\n"
            f"+0 read({fd}, ..., 100) = 20\n")


def passive(offered, version):
    peer = angle(peer_options(offered)).replace("ECR", "0")
    third = angle(["nop", "nop", "TS val 710 ecr 100"]) if "TS" in offered else ""
    return (f"{LISTENING}+.1 < S 0:0(0) win 32792{peer}\n"
            f"+0 > S. 0:0(0) ack 1 win 65535{angle(answer_options(offered, MSS[version]))}\n"
            f"+.01 < . 1:1(0) ack 1 win 1000{third}\n{ACCEPT}") + use(offered, 4)


def active(offered, version):
    syn = f"<mss {MSS[version]},sackOK,TS val 100 ecr 0,nop,wscale 7>"
    peer = angle(peer_options(offered)).replace("ECR", "100")
    third = angle(["nop", "nop", "TS val 110 ecr 700"]) if "TS" in offered else ""
    text = SYN_SENT.replace("<...>", f"win 65535 {syn}")
    stamped = use(offered, 3).replace("ecr 710", "ecr 700")
    return (f"{text}+.01 < S. 0:0(0) ack 1 win 32792{peer}\n"
            f"+0 > . 1:1(0) ack 1{third}\n") + stamped


def segments(mss, size):
    """A write of `size` bytes, all of it in flight."""
    lines = []
    for start in range(0, size, mss):
        end = min(start + mss, size)
        flags = "P." if end == size else "."
        lines.append(f"+0 > {flags} {1 + start}:{1 + end}({end - start}) ack 1\n")
    return "".join(lines)


def told_mss(told, version):
    """What a peer that tells an MSS gets: never more than our own path takes, never less than a sane packet."""
    option = "" if told is None else f" <mss {told}>"
    wanted = DEFAULT_MSS[version] if told is None else min(told, MSS[version])
    return (f"{LISTENING}+.1 < S 0:0(0) win 65535{option}\n+0 > S. 0:0(0) ack 1 <...>\n"
            f"+.01 < . 1:1(0) ack 1 win 65535\n{ACCEPT}+0 write(4, ..., 3000) = 3000\n") + segments(wanted, 3000)


def told_scale(scale):
    """The peer's window field, times what it has told (RFC 7323 s2.3: more than 14 counts as 14), or as it is. As many full
    segments leave as the window has room for; the rest waits for more of it (RFC 9293 s3.8.6.2.1)."""
    option = "" if scale is None else f",nop,wscale {scale}"
    shift = min(scale or 0, 14)
    field = max(1024 >> shift, 1)
    count = min((field << shift) // 1000, INITIAL_WINDOW)
    text = (f"{LISTENING}+.1 < S 0:0(0) win 65535 <mss 1000{option}>\n+0 > S. 0:0(0) ack 1 <...>\n"
            f"+.01 < . 1:1(0) ack 1 win {field}\n{ACCEPT}+0 write(4, ..., 20000) = 20000\n")
    for start in range(0, count * 1000, 1000):
        text += f"+0 > . {1 + start}:{1001 + start}(1000) ack 1\n"
    return text


def cases():
    """(name, why, text)"""
    for count in range(len(NAMES) + 1):
        for offered in itertools.combinations(NAMES, count):
            name = "_".join(offered).lower() or "none"
            words = " and ".join(offered) or "nothing"
            for version in (4, 6):
                head = f"--ip_version=ipv{version}\n"
                yield f"passive_{name}_{version}", f"the peer's SYN offers {words}", head + passive(offered, version)
                yield f"active_{name}_{version}", f"the peer's SYN-ACK takes {words}", head + active(offered, version)
    for version in (4, 6):
        for told in (None, 536, 1000, 1220, 1440, 1460, 1461, 9000, 65535):
            yield f"mss_{told or 'none'}_{version}", f"the peer tells {told or 'no MSS'}", \
                f"--ip_version=ipv{version}\n" + told_mss(told, version)
    for scale in (None, *range(16), 255):
        yield f"wscale_{'none' if scale is None else scale}", f"the peer tells a window scale of {scale}", told_scale(scale)
