# SPDX-License-Identifier: Apache-2.0
"""Many clients at once on two ranks, and clients that go away."""

import concurrent.futures
import http.client
import json
import socket
import threading

import numerics
import pytest
from sluice_server import wait_for

CLIENTS = 32
TOKENS = 64


def body_of(index, **options):
    settings = {"model": "tiny", "messages": [{"role": "user", "content": f"Question {index}: " + "why? " * index}],
                "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True, "logprobs": True, "top_logprobs": 10}
    return json.dumps(settings | options).encode()


def connect(server):
    host, port = server.addresses["http"].rsplit(":", 1)
    return http.client.HTTPConnection(host, int(port), timeout=600)


def ask(server, index, **options):
    connection = connect(server)
    try:
        connection.request("POST", "/v1/chat/completions", body_of(index, **options),
                           {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.load(response)
        assert response.status == 200, answer
        return numerics.of_chat(answer["choices"][0])
    finally:
        connection.close()


def same(found, expected):
    numerics.assert_same(found, expected, numerics.RANDOM)


def running(server):
    """Sequences that the worker runs now."""
    return server.worker_metrics()["sluice_requests_running"]


class RunningPeak:
    """Largest value of the running gauge while it is entered."""

    def __init__(self, server):
        self.server, self.peak, self.done = server, 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self.done.is_set():
            self.peak = max(self.peak, running(self.server))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def test_32_clients_get_the_answers_they_get_alone(server):
    alone = [ask(server, index) for index in range(CLIENTS)]
    assert len({tuple(step.token for step in steps) for steps in alone}) == CLIENTS
    with RunningPeak(server) as watch, concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        together = list(pool.map(lambda index: ask(server, index), range(CLIENTS)))
    numerics.assert_all_same(together, alone, numerics.RANDOM)
    assert watch.peak >= 16, f"at most {watch.peak} ran together"
    wait_for(lambda: running(server) == 0, "nothing runs any more")


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_frees_its_work(server, stream):
    wait_for(lambda: running(server) == 0, "nothing runs before the test")
    connection = connect(server)
    connection.request("POST", "/v1/chat/completions", body_of(1, max_tokens=1900, stream=stream, n=2),
                       {"Content-Type": "application/json"})
    wait_for(lambda: running(server) == 2, "both choices run")
    if stream:
        connection.getresponse().read(200)
    connection.close()
    # Far sooner than 1900 tokens take.
    wait_for(lambda: running(server) == 0, "the work of the client that left has ended", 10)
    assert ask(server, 3) == ask(server, 3)


def test_a_client_that_stops_reading_does_not_stop_the_others(server):
    host, port = server.addresses["http"].rsplit(":", 1)
    stuck = socket.create_connection((host, int(port)))
    stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    body = body_of(1, max_tokens=1900, stream=True, logprobs=True, top_logprobs=20)
    stuck.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    wait_for(lambda: running(server) == 1, "its request runs")
    expected = ask(server, 2)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: ask(server, 2), range(8)):
            same(found, expected)
    stuck.close()
    wait_for(lambda: running(server) == 0, "the stuck client's work has ended")


def test_work_that_left_gives_its_pages_back(server):
    wait_for(lambda: running(server) == 0, "nothing runs before the test")
    assert server.worker_metrics()["sluice_kv_pages_used"] == 0
