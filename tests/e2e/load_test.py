# SPDX-License-Identifier: Apache-2.0
"""Many clients at once on two ranks, and clients that go away."""

import concurrent.futures
import contextlib
import http.client
import json
import socket

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
    connection.request("POST", "/v1/chat/completions", body_of(index, **options),
                       {"Content-Type": "application/json"})
    return answer_on(connection)


def answer_on(connection):
    with contextlib.closing(connection):
        response = connection.getresponse()
        answer = json.load(response)
        assert response.status == 200, answer
        return numerics.of_chat(answer["choices"][0])


def same(found, expected):
    numerics.assert_same(found, expected, numerics.RANDOM)


def running(server):
    """Sequences that the worker runs now."""
    return server.worker_metrics()["sluice_requests_running"]


def ask_together(server, count):
    """Answers to as many questions, which reach the server within a millisecond or two: a GPU has answered one after thirty."""
    bodies = [body_of(index) for index in range(count)]
    with contextlib.ExitStack() as open_ones:
        connections = [open_ones.enter_context(contextlib.closing(connect(server))) for _ in bodies]
        for connection, body in zip(connections, bodies):
            connection.putrequest("POST", "/v1/chat/completions")
            connection.putheader("Content-Type", "application/json")
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body[:-1])
        for connection, body in zip(connections, bodies):
            connection.send(body[-1:])
        return [answer_on(connection) for connection in connections]


def steps_of_more_than(server, sequences):
    metrics = server.worker_metrics()
    return metrics["sluice_batch_size_count"] - metrics[f'sluice_batch_size_bucket{{le="{sequences}"}}']


def test_32_clients_get_the_answers_they_get_alone(server):
    alone = [ask(server, index) for index in range(CLIENTS)]
    assert len({tuple(step.token for step in steps) for steps in alone}) == CLIENTS
    before = steps_of_more_than(server, 16)
    together = ask_together(server, CLIENTS)
    numerics.assert_all_same(together, alone, numerics.RANDOM)
    assert steps_of_more_than(server, 16) > before, "few ran together"
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


def test_collectives_are_timed_where_they_can_be(server):
    metrics = server.worker_metrics()
    steps = metrics["sluice_step_duration_seconds_count"]
    assert steps > 0
    assert metrics["sluice_all_reduce_duration_seconds_count"] == (steps if numerics.EXACT else 0)
