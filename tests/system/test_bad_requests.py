# SPDX-License-Identifier: BSD-3-Clause
"""Requests and origins that break the rules: a clean 4xx or 5xx, a counter, and the edge goes on."""
import socket
import time

import pytest

from support import CLIENT4, URL, Counters, FakeOrigin, Reader, connect, curl, raw, run, tgctl

GET = b"GET / HTTP/1.1\r\n"
HOST = b"Host: x\r\n"
END = b"\r\n"

# name -> (bytes, statuses that are right)
MALFORMED = {
    "no version": (b"GET /\r\n\r\n", {400}),
    "version 2.0": (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", {505}),
    "version 1.2": (b"GET / HTTP/1.2\r\nHost: x\r\n\r\n", {200, 505}),
    "version in lower case": (b"GET / http/1.1\r\nHost: x\r\n\r\n", {400, 505}),
    "method with a space": (b"GE T / HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "bare line feeds": (b"GET / HTTP/1.1\nHost: x\n\n", {400}),
    "NUL in the target": (b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", {400}),
    "control character in a value": (GET + HOST + b"A: b\x01\r\n\r\n", {400}),
    "no Host": (GET + END, {400}),
    "two Hosts": (GET + HOST + b"Host: y\r\n\r\n", {400}),
    "malformed Host": (GET + b"Host: a b\r\n\r\n", {400}),
    "space before the colon": (GET + HOST + b"A : b\r\n\r\n", {400}),
    "folded line": (GET + HOST + b"A: b\r\n c\r\n\r\n", {400}),
    "field without a name": (GET + HOST + b": b\r\n\r\n", {400}),
    "field without a colon": (GET + HOST + b"nonsense\r\n\r\n", {400}),
    "two lengths": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", {400}),
    "length list": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na", {400}),
    "negative length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
    "length with plus": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na", {400}),
    "huge length": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", {400, 413}),
    "length and chunked": (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
                           b"0\r\n\r\n", {400}),
    "unknown coding": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", {501}),
    "chunked twice": (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", {400, 501}),
    "chunked with 1.0": (b"POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400, 501}),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", {400, 501}),
    "long target": (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {414}),
    "long field": (GET + HOST + b"A: " + b"b" * 20000 + b"\r\n\r\n", {431}),
    "many fields": (GET + HOST + b"".join(b"A%d: b\r\n" % n for n in range(200)) + END, {431}),
    "TLS on the plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x80" * 32 + b"\r\n\r\n", {400}),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request(name):
    request, right = MALFORMED[name]
    with Counters() as counters:
        answer = raw(request)
    assert answer.status in right
    if answer.status != 200:
        assert answer.fields["x-request-id"]
        assert counters["http_status_4xx"] + counters["http_status_5xx"] == 1
        assert counters["origin_connects"] + counters["origin_reused"] == 0, "never forwarded"
    if answer.status in (400, 505) and name != "CONNECT":
        assert counters["http_bad_request"] == 1
    if answer.status in (414, 431):
        assert counters["http_too_large"] == 1


CHUNKS = {
    "no hex": b"xyz\r\n",
    "negative": b"-1\r\nabc\r\n",
    "too long a size": b"11111111111111111\r\n",
    "no line end behind the data": b"3\r\nabcdef\r\n",
    "bare line feed": b"3\nabc\n0\n\n",
}


@pytest.mark.parametrize("name", CHUNKS)
def test_broken_chunks(name):
    head = b"PUT /upload/broken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert raw(head + CHUNKS[name]).status == 400


def test_refused_request_closes_the_connection():
    """Where the next request begins cannot be told: nothing behind a refused head is answered."""
    with connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nBad Field: 1\r\n\r\n" + GET + HOST + END)
        reader = Reader(sock)
        answer = reader.answer()
        assert answer.status == 400 and answer.fields["connection"] == "close"
        assert reader.at_end()


def test_client_leaves_in_every_phase():
    half = b"PUT /upload/gone HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"
    for part in (b"", b"G", GET, GET + HOST, half):
        with connect() as sock:
            sock.sendall(part)
        sock = connect()
        sock.sendall(part)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()  # RST
    assert curl(URL + "/").status == 200


def test_client_that_reads_nothing():
    """It asks for much and goes away without reading: the origin's data does not pile up."""
    def answer(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
        sent = 0
        while sent < 100000000:
            sent += sock.send(b"x" * 65536)

    with FakeOrigin("flood", answer) as origin:
        socks = []
        for _ in range(4):
            sock = connect()
            sock.sendall(b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n" % origin.host.encode())
            socks.append(sock)
        time.sleep(0.5)
        assert curl(URL + "/").status == 200
        for sock in socks:
            sock.close()
    assert curl(URL + "/").status == 200


# --- origins ----------------------------------------------------------------------------------------------------

def test_origin_down():
    with socket.create_server((CLIENT4, 0)) as unused:
        port = unused.getsockname()[1]
    tgctl("origin", "add", "down", "--address", CLIENT4, "--port", str(port))
    tgctl("site", "add", "down", "--host", "down.tidegate.test", "--origin", "down")
    with Counters() as counters:
        answer = curl(URL + "/", "-H", "Host: down.tidegate.test")
    tgctl("site", "del", "down")
    tgctl("origin", "del", "down")
    assert answer.status == 502
    assert counters["origin_connect_failed"] == 1


def test_origin_unreachable():
    """Nobody answers the SYN: 504 after the connect timeout."""
    tgctl("origin", "add", "away", "--address", "203.0.113.200", "--port", "80", "--connect-timeout", "300")
    tgctl("site", "add", "away", "--host", "away.tidegate.test", "--origin", "away")
    with Counters() as counters:
        answer = curl(URL + "/", "-H", "Host: away.tidegate.test")
    tgctl("site", "del", "away")
    tgctl("origin", "del", "away")
    assert answer.status in (502, 504)
    assert counters["origin_connect_failed"] == 1


def test_origin_slow():
    def answer(sock):
        Reader(sock).until(b"\r\n\r\n")
        time.sleep(5)

    with FakeOrigin("slow", answer, response_timeout=300) as origin:
        with Counters() as counters:
            assert origin.get().status == 504
        assert counters["origin_timeout"] == 1


NONSENSE = {
    "no HTTP": b"hello, world\r\n\r\n",
    "HTTP/0.9": b"<html>it works</html>",
    "bad status": b"HTTP/1.1 2000 OK\r\n\r\n",
    "bad version": b"HTTP/3.0 200 OK\r\n\r\n",
    "bad field": b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "endless head": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "binary": bytes(range(256)) * 80,
}


@pytest.mark.parametrize("name", NONSENSE)
def test_origin_talks_nonsense(name):
    def answer(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(NONSENSE[name])

    with FakeOrigin("nonsense", answer) as origin:
        with Counters() as counters:
            assert origin.get().status == 502
        assert counters["origin_bad_response"] + counters["origin_aborted"] == 1


def test_origin_leaves_before_it_answers():
    with FakeOrigin("leaves", lambda sock: Reader(sock).until(b"\r\n\r\n")) as origin:
        assert origin.get().status == 502


def cut_off(sock, head):
    Reader(sock).until(b"\r\n\r\n")
    sock.sendall(head + b"half of it")


@pytest.mark.parametrize("head", [b"Content-Length: 100\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n64\r\n"],
                         ids=["sized", "chunked"])
def test_origin_leaves_in_the_body(head):
    """A truncated answer must look like one."""
    with FakeOrigin("cut", lambda sock: cut_off(sock, b"HTTP/1.1 200 OK\r\n" + head)) as origin:
        with Counters() as counters:
            done = run("curl", "-sS", "--max-time", "10", "-H", f"Host: {origin.host}", URL + "/")
        assert done.returncode in (18, 52, 56), "curl tells a partial answer from a whole one"
        assert counters["origin_aborted"] == 1


def test_stale_pooled_connection_is_retried():
    """The origin closes idle connections at once; the next request on the pooled one must not fail."""
    def answer(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with FakeOrigin("stale", answer) as origin:
        assert [origin.get().status for _ in range(20)] == [200] * 20
