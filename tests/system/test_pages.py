# SPDX-License-Identifier: BSD-3-Clause
"""A page through the edge: both address families, plain and TLS, and what HTTP/1.1 clients do."""
import os

import pytest

from support import (ALL_URLS, CLIENT4, HTTPS, ORIGIN_DIR, URL, FakeOrigin, Reader, connect, curl, raw,
                     run, tls_context)


@pytest.mark.parametrize("which", ALL_URLS)
def test_page(which):
    answer = curl(ALL_URLS[which] + "/")
    with open(os.path.join(ORIGIN_DIR, "index.html"), "rb") as file:
        assert answer.body == file.read()
    assert answer.status == 200
    assert "1.1 edge1" in answer.fields["via"]
    assert len(answer.fields["x-request-id"]) == 16


def test_not_found_comes_from_origin():
    answer = curl(URL + "/nothing-here")
    assert answer.status == 404 and b"nginx" in answer.body


def test_head_has_no_body():
    answer = raw(b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method="HEAD")
    assert answer.status == 200 and int(answer.fields["content-length"]) > 0


def test_what_the_origin_sees():
    answer = curl(URL + "/echo?a=b", "-H", "Host: shop.example")
    lines = answer.body.decode().splitlines()
    assert lines[0] == "GET /echo?a=b"
    seen = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    assert seen["host"] == "shop.example"
    assert seen["via"] == "1.1 edge1"
    assert seen["x-forwarded-for"] == CLIENT4
    assert seen["x-request-id"] == answer.fields["x-request-id"]


def test_forwarded_proto_https():
    assert b"x-forwarded-proto: https" in curl(HTTPS + "/echo").body
    assert b"x-forwarded-proto: http\n" in curl(URL + "/echo").body


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_keep_alive(tls):
    with connect(tls_context() if tls else None) as sock:
        reader = Reader(sock)
        for _ in range(100):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: tidegate.test\r\n\r\n")
            assert reader.answer().status == 200


def test_http10_closes():
    with connect() as sock:
        sock.sendall(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n")
        reader = Reader(sock)
        assert reader.answer().status == 200
        assert reader.at_end()


def test_connection_close_closes():
    with connect() as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        reader = Reader(sock)
        assert reader.answer().status == 200
        assert reader.at_end()


def test_pipelining_keeps_order():
    requests = b"".join(b"GET /echo?n=%d HTTP/1.1\r\nHost: x\r\n\r\n" % n for n in range(50))
    with connect() as sock:
        sock.sendall(requests)
        reader = Reader(sock)
        for n in range(50):
            assert f"GET /echo?n={n}\n".encode() in reader.answer().body


def test_head_in_single_bytes():
    with connect() as sock:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            sock.sendall(bytes([byte]))
        assert Reader(sock).answer().status == 200


def test_chunked_upload():
    pieces = [os.urandom(n).hex().encode() for n in (1, 10, 1000, 65536, 7)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    answer = raw(b"PUT /upload/chunked HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    assert answer.status in (201, 204)
    with open(os.path.join(ORIGIN_DIR, "upload/chunked"), "rb") as file:
        assert file.read() == b"".join(pieces)


def test_expect_continue():
    with connect() as sock:
        sock.sendall(b"PUT /upload/expect HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
        reader = Reader(sock)
        assert reader.head()[0] == 100
        sock.sendall(b"hello")
        assert reader.answer().status in (201, 204)
    with open(os.path.join(ORIGIN_DIR, "upload/expect"), "rb") as file:
        assert file.read() == b"hello"


def test_chunked_and_until_close_responses():
    def chunked(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for n in range(20):
            sock.sendall(b"5\r\nhello\r\n")
        sock.sendall(b"0\r\n\r\n")

    def until_close(sock):
        Reader(sock).until(b"\r\n\r\n")
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"hello" * 20)

    for answer in (chunked, until_close):
        with FakeOrigin(answer.__name__.replace("_", "-"), answer) as origin:
            got = origin.get()
            assert got.status == 200
            assert got.fields["transfer-encoding"] == "chunked"
            done = run("curl", "-sS", "-H", f"Host: {origin.host}", URL + "/")
            assert done.stdout == "hello" * 20


def test_hop_by_hop_fields_stay_behind():
    seen = []

    def answer(sock):
        seen.append(Reader(sock).until(b"\r\n\r\n").lower())
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: X-Hop\r\nX-Hop: 1\r\nX-End: 1\r\n\r\n")

    with FakeOrigin("hop", answer) as origin:
        got = origin.get("/", "-H", "Connection: X-Mine", "-H", "X-Mine: 1", "-H", "X-Yours: 1", "-H", "TE: trailers")
    assert b"x-mine" not in seen[0] and b"\nte:" not in seen[0] and b"x-yours: 1" in seen[0]
    assert "x-hop" not in got.fields and got.fields["x-end"] == "1"


def test_default_site_takes_any_name():
    assert curl(URL + "/", "-H", "Host: anything.example").status == 200


def test_no_listener_answers_reset():
    with pytest.raises(ConnectionRefusedError):
        connect(port=81)
