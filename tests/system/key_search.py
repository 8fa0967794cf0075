# SPDX-License-Identifier: BSD-3-Clause
"""A search for a private key where it must not be: in the memory of processes and in files. Used by test_keyless.py and by
the tour's chapter 4. Reading another process's memory needs root."""
import base64
import re
import subprocess


def der_integers(der):
    """The INTEGERs of the outermost SEQUENCE (RSAPrivateKey), or the OCTET STRING behind the first (ECPrivateKey)."""
    def head(at):
        length, size = der[at + 1], 2
        if length & 0x80:
            size = 2 + (length & 0x7f)
            length = int.from_bytes(der[at + 2:at + size], "big")
        return der[at], at + size, length
    _, at, _ = head(0)
    found = []
    while at < len(der):
        tag, start, length = head(at)
        if tag in (2, 4):
            found.append(der[start:start + length].lstrip(b"\0"))
        at = start + length
    return found


def secrets_of(path):
    """What would betray a private key: its secret numbers as bytes and as libcrypto keeps them in memory (least
    significant byte first), and the lines of its PEM."""
    with open(path) as file:
        lines = re.search("-----BEGIN (?:EC |RSA |)PRIVATE KEY-----\n(.*?)\n-----END", file.read(), re.S)[1].split("\n")
    told = subprocess.run(["openssl", "pkey", "-in", path, "-traditional"], check=True, capture_output=True, text=True)
    der = base64.b64decode("".join(told.stdout.split("KEY-----")[1].split("-----END")[0].split()))
    numbers = der_integers(der)
    secret = [numbers[1]] if len(numbers) < 6 else numbers[3:6]  # EC: the scalar; RSA: d, p, q
    assert all(len(s) >= 31 for s in secret)
    found = [s[-48:] for s in secret] + [s[::-1][:48] for s in secret]
    return found + [line.encode() for line in lines if len(line) >= 60]


def holds_any(chunk, needles):
    return any(needle in chunk for needle in needles)


def memory_holds(pid, needles):
    """Does any readable page of a process hold one of them?"""
    with open(f"/proc/{pid}/maps") as file:
        maps = [line.split(maxsplit=5) for line in file]
    searched = 0
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for fields in maps:
            if fields[1][0] != "r" or fields[-1].strip() in ("[vvar]", "[vsyscall]"):
                continue
            start, end = (int(x, 16) for x in fields[0].split("-"))
            for at in range(start, end, 16 << 20):
                try:
                    memory.seek(at)
                    chunk = memory.read(min((16 << 20) + 4096, end - at))
                except (OSError, ValueError):
                    continue
                searched += len(chunk)
                if holds_any(chunk, needles):
                    return True
    assert searched > 1 << 20, f"only {searched} bytes of {pid} can be read"
    return False


def file_holds(path, needles):
    try:
        with open(path, "rb") as file:
            return holds_any(file.read(), needles)
    except OSError:
        return False  # a socket
