# SPDX-License-Identifier: Apache-2.0
"""Bad input is answered with a 4xx that names what is wrong, and the server goes on serving."""

import http.client
import json
import select
import socket
import time

import pytest

GOOD = {"model": "tiny", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 2, "temperature": 0}
CHAT = "/v1/chat/completions"


def post(server, body, path=CHAT, headers=None):
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=120)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"} | (headers or {}))
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def connect(server):
    host, port = server.addresses["http"].rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=120)


def assert_serves(server):
    status, answer = post(server, json.dumps(GOOD).encode())
    assert status == 200, answer


def error_of(answer):
    error = json.loads(answer)["error"]
    assert set(error) >= {"message", "type", "param", "code"}
    return error


@pytest.fixture(autouse=True)
def goes_on_serving(server):
    yield
    assert_serves(server)


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b"3", b'"text"', b"{'a': 1}", b'{"messages": [}', b'{"a": 1} x', b"\x00" * 64,
    b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff\xfe"}]}',
    b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}], "max_tokens": 1, "a": \xc3}',
])
def test_a_malformed_body(server, body):
    status, answer = post(server, body)
    assert status == 400, answer
    assert error_of(answer)["type"] == "invalid_request_error"


def test_invalid_utf8_says_so(server):
    status, answer = post(server, b'{"model": "tiny", "messages": [{"role": "user", "content": "\xff"}]}')
    assert status == 400 and "UTF-8" in error_of(answer)["message"]


@pytest.mark.parametrize("change, field", [
    ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
    ({"messages": [{"content": "x"}]}, "role"),
    ({"messages": [{"role": "user"}]}, "content"),
    ({"messages": [{"role": "user", "content": 7}]}, "content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "content"),
    ({"messages": "hi"}, "messages"),
    ({"messages": [7]}, "messages"),
    ({"max_tokens": "many"}, "max_tokens"),
    ({"max_tokens": 10**30}, "max_tokens"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": -0.1}, "temperature"),
    ({"n": 1000000}, "n"),
    ({"stream": "yes"}, "stream"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"logit_bias": {"999999999": 1}}, "logit_bias"),
    ({"stop": [""]}, "stop"),
    ({"seed": 1.5}, "seed"),
])
def test_a_wrong_field_is_named(server, change, field):
    status, answer = post(server, json.dumps(GOOD | change).encode())
    assert status == 400, answer
    error = error_of(answer)
    assert field in (error["param"] or ""), error
    assert field in error["message"], error


def test_a_prompt_beyond_the_context(server):
    long_prompt = GOOD | {"messages": [{"role": "user", "content": "river " * 5000}]}
    status, answer = post(server, json.dumps(long_prompt).encode())
    assert status == 400 and "2048" in error_of(answer)["message"]


@pytest.mark.parametrize("opening, closing", [(b"[", b"]"), (b'{"a":', b"}")])
def test_json_nested_100000_deep(server, opening, closing):
    deep = opening * 100_000 + (b"1" if opening != b"[" else b"") + closing * 100_000
    for body in (deep, b'{"model": "tiny", "messages": %s}' % deep, b'{"model": "tiny", "extra": %s}' % deep):
        status, answer = post(server, body)
        assert status == 400, answer
        error_of(answer)


def test_nested_tool_schema(server):
    schema = {"type": "object"}
    for _ in range(300):
        schema = {"type": "object", "properties": {"a": schema}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    status, _ = post(server, json.dumps(GOOD | {"tools": [tool]}).encode())
    assert status in (200, 400)


def read_status(sock):
    """Status code of an answer on a raw connection."""
    data = b""
    while b"\r\n" not in data:
        piece = sock.recv(4096)
        if not piece:
            break
        data += piece
    return int(data.split()[1]) if data else None


def send_until_refused(sock, pieces):
    """Sends until the server answers or closes; the status it answered (None when it only closed) and what was sent."""
    sent = 0
    try:
        for piece in pieces:
            if select.select([sock], [], [], 0)[0]:
                break
            sock.sendall(piece)
            sent += len(piece)
        return read_status(sock), sent
    except (BrokenPipeError, ConnectionResetError):
        return None, sent


def test_a_100_mb_body_that_says_so(server):
    with connect(server) as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                     b"Content-Length: 100000000\r\n\r\n")
        assert read_status(sock) == 413  # before a byte of it is read


@pytest.mark.parametrize("chunked", [True, False])
def test_a_100_mb_body_that_is_sent(server, chunked):
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: 100000000"
    piece = b"x" * 100_000
    if chunked:
        piece = b"186A0\r\n" + piece + b"\r\n"

    def pieces():
        yield (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + framing +
               b"\r\n\r\n")
        for _ in range(1000):
            yield piece

    with connect(server) as sock:
        status, sent = send_until_refused(sock, pieces())
    assert status == 413
    assert sent < 30_000_000  # the limit is 16 MiB; the rest was on its way


def test_headers_that_never_end(server):
    def pieces():
        yield b"GET /v1/models HTTP/1.1\r\nHost: x\r\n"
        for i in range(100_000):
            yield b"X-Header-%d: %s\r\n" % (i, b"y" * 200)

    with connect(server) as sock:
        status, sent = send_until_refused(sock, pieces())
    assert status in (400, 431)
    assert sent < 1_000_000


def test_a_client_that_ignores_its_refusal_is_cut_off(server):
    with connect(server) as sock:
        try:
            sock.sendall(b"GET / HTTP/1.1\r\n")
            while True:  # the server reads on for a while, so that the answer is not lost, but not for ever
                sock.sendall(b"X: %s\r\n" % (b"y" * 1000))
                time.sleep(0.001)
        except (BrokenPipeError, ConnectionResetError):
            pass


@pytest.mark.parametrize("request_bytes", [
    b"\r\n\r\n", b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /v1/models HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
])
def test_what_is_not_http(server, request_bytes):
    with connect(server) as sock:
        sock.sendall(request_bytes)
        sock.shutdown(socket.SHUT_WR)
        try:
            status = read_status(sock)
        except ConnectionResetError:
            status = None
    assert status is None or 400 <= status < 600 and status != 500


@pytest.mark.parametrize("method, path, expected", [
    ("GET", "/no/such/path", 404), ("POST", "/no/such/path", 404), ("GET", CHAT, 405), ("DELETE", "/v1/models", 405),
])
def test_unknown_paths_and_methods(server, method, path, expected):
    host, port = server.addresses["http"].rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=60)
    connection.request(method, path)
    response = connection.getresponse()
    assert response.status == expected
    error_of(response.read())
    connection.close()


def test_clients_that_hang_up_at_once(server):
    for payload in (b"", b"P", b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: 50\r\n\r\n{"):
        for _ in range(50):
            with connect(server) as sock:
                sock.sendall(payload)


def test_tokenize_and_detokenize_refuse_too(server):
    for path, body in (("/tokenize", b"{"), ("/tokenize", b'{"model": "tiny"}'),
                       ("/detokenize", b'{"model": "tiny", "tokens": [-1]}'),
                       ("/detokenize", b'{"model": "tiny", "tokens": [99999999]}'),
                       ("/v1/completions", b'{"model": "tiny", "prompt": {}}')):
        status, answer = post(server, body, path)
        assert status == 400, (path, body, answer)
        error_of(answer)
