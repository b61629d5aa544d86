# SPDX-License-Identifier: Apache-2.0
"""Clients that stay, stop, cancel, run out of time and vanish, all at once, on a server that refuses and preempts: every
request ends exactly once, as it may, and those that were left alone get the answers that they get alone.
"""

import collections
import concurrent.futures
import http.client
import json
import random
import time

import grpc
import numerics
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, kv_cache_memory, wait_for

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
CLIENTS = 20
SECONDS = 12
TOKENS = 110
QUESTIONS = ["Hello!", "What is the capital of France?", "Count from 1 to 20.", "Say the days of the week. " * 6]
# Twelve sequences at most, and eleven pages for the six that run, which want three or four each.
OPTIONS = ("--served-model-name=demo", "--max-num-seqs=6", "--max-queued-requests=6", "--max-model-len=512",
           kv_cache_memory(27 * 1024), "--max-batched-tokens=64")


@pytest.fixture(scope="module")
def server():
    with SluiceServer(MODEL, *OPTIONS) as running:
        yield running


class Client:
    """One client; `ends` counts how its requests ended, by fate and end. `texts` are the answers that requests get alone,
    and `alone_s` the seconds that one takes then."""

    def __init__(self, server, grpc_client, texts, alone_s, seed):
        self.server, self.texts, self.alone_s, self.random = server, texts, alone_s, random.Random(seed)
        self.call, self.request = grpc_client.method("sluice.v1.Inference", "Chat")
        self.ends = collections.Counter()

    def run(self, until):
        fates = [self.http_whole, self.http_stream, self.http_stop, self.http_leaves, self.http_leaves_at_once,
                 self.grpc_whole, self.grpc_cancels, self.grpc_out_of_time]
        while time.monotonic() < until:
            fate = self.random.choice(fates)
            end = fate(self.random.choice(QUESTIONS))
            self.ends[fate.__name__, end] += 1
            if end == "refused":
                time.sleep(self.random.uniform(0, 0.1))
        return self.ends

    # Over HTTP.
    def post(self, question, **options):
        host, port = self.server.addresses["http"].rsplit(":", 1)
        connection = http.client.HTTPConnection(host, int(port), timeout=300)
        body = {"messages": [{"role": "user", "content": question}], "max_tokens": TOKENS, "temperature": 0,
                "ignore_eos": True, "chat_template_kwargs": {"enable_thinking": False}, **options}
        connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
        return connection

    def refused(self, response):
        """The answer is a refusal, and a proper one; else it is a 200."""
        if response.status == 200:
            return False
        assert response.status == 429, (response.status, response.read())
        assert int(response.headers["Retry-After"]) >= 1 and 0 < int(response.headers["Retry-After-Ms"]) <= 30_000
        assert "queue is full" in json.load(response)["error"]["message"]
        return True

    def http_whole(self, question, **options):
        connection = self.post(question, **options)
        response = connection.getresponse()
        if self.refused(response):
            return "refused"
        choice, = json.load(response)["choices"]
        connection.close()
        expected = self.texts[question]
        if "stop" in options:
            expected = expected[:expected.index(options["stop"])]
        assert numerics.begins(choice["message"]["content"], expected)
        return choice["finish_reason"]

    def http_stop(self, question):
        text = self.texts[question]
        return self.http_whole(question, stop=text[len(text) // 2:len(text) // 2 + 6])

    def http_stream(self, question):
        connection = self.post(question, stream=True)
        response = connection.getresponse()
        if self.refused(response):
            return "refused"
        lines = [line for line in response.read().decode().splitlines() if line]
        connection.close()
        assert lines[-1] == "data: [DONE]" and lines.count("data: [DONE]") == 1
        choices = [choice for line in lines[:-1] for choice in json.loads(line.removeprefix("data: "))["choices"]]
        end, = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
        assert numerics.begins("".join(choice["delta"].get("content") or "" for choice in choices), self.texts[question])
        return end

    def http_leaves(self, question):
        connection = self.post(question, stream=True)
        response = connection.getresponse()
        if self.refused(response):
            return "refused"
        assert response.read(8)
        connection.close()
        response.close()
        return "left"

    def http_leaves_at_once(self, question):
        connection = self.post(question, stream=self.random.choice([True, False]))
        time.sleep(self.random.uniform(0, 0.2))
        connection.close()
        return "left"

    # Over gRPC.
    def ask(self, question, timeout, **options):
        return self.call(self.request(messages=[{"role": "user", "content": question}], max_tokens=TOKENS, temperature=0.0,
                                      ignore_eos=True, enable_thinking=False, **options), timeout=timeout)

    def end_of(self, stream, responses):
        """Reads to the end. One status, and with OK one finish reason."""
        try:
            responses += list(stream)
        except grpc.RpcError:
            pass
        finishes = [response.finish_reason for response in responses if response.finish_reason]
        if stream.code() == grpc.StatusCode.OK:
            end, = finishes
            return end
        assert not finishes
        if stream.code() == grpc.StatusCode.RESOURCE_EXHAUSTED:
            assert "queue is full" in stream.details() and not responses
            assert 0 < int(dict(stream.trailing_metadata())["sluice-retry-after-ms"]) <= 30_000
            return "refused"
        return stream.code().name

    def grpc_whole(self, question):
        responses = []
        end = self.end_of(self.ask(question, 300), responses)
        if end != "refused":
            assert numerics.begins("".join(response.content for response in responses), self.texts[question])
        return end

    def grpc_cancels(self, question):
        stream = self.ask(question, 300)
        responses = []
        try:
            responses.append(next(stream))
        except grpc.RpcError:
            pass
        stream.cancel()
        return self.end_of(stream, responses)

    def grpc_out_of_time(self, question):
        # Before it could be whole, or about when it is.
        return self.end_of(self.ask(question, self.alone_s * self.random.uniform(0.2, 1.2)), [])


MAY_END = {
    "http_whole": {"length", "refused"}, "http_stream": {"length", "refused"}, "http_stop": {"stop", "refused"},
    "http_leaves": {"left", "refused"}, "http_leaves_at_once": {"left"}, "grpc_whole": {"length", "refused"},
    "grpc_cancels": {"CANCELLED", "refused", "length"}, "grpc_out_of_time": {"DEADLINE_EXCEEDED", "refused", "length"}}
MUST_HAPPEN = {
    ("http_whole", "length"), ("http_stream", "length"), ("http_stop", "stop"), ("http_leaves", "left"),
    ("grpc_whole", "length"), ("grpc_cancels", "CANCELLED"), ("grpc_out_of_time", "DEADLINE_EXCEEDED"),
    ("http_whole", "refused"), ("grpc_whole", "refused")}


def total(metrics, name, label=""):
    return sum(value for key, value in metrics.items() if key.startswith(name) and label in key)


def test_every_request_ends_once(server):
    grpc_client = ReflectedClient(server.grpc_address)
    first = Client(server, grpc_client, {}, 0, 0)
    texts, alone_s = {}, []
    for question in QUESTIONS:
        begin = time.monotonic()
        responses = list(first.ask(question, 300, top_logprobs=2))
        alone_s.append(time.monotonic() - begin)
        texts[question] = numerics.certain_text(responses, numerics.BUNDLED)
        assert len(texts[question]) > 10
    wait_for(server.at_rest, "at rest before")
    before, worker_before = server.metrics(), server.worker_metrics()

    clients = [Client(server, grpc_client, texts, min(alone_s), seed) for seed in range(1, CLIENTS + 1)]
    until = time.monotonic() + SECONDS
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        ends = sum(pool.map(lambda client: client.run(until), clients), collections.Counter())
    wait_for(server.at_rest, "nothing is held for any of them", 30)
    print(dict(ends))

    for fate, end in ends:
        assert end in MAY_END[fate], (fate, end)
    assert MUST_HAPPEN <= set(ends), MUST_HAPPEN - set(ends)
    # The server has counted each once; a call may run out of time before it has reached the server.
    sent = sum(ends.values())
    late = ends["grpc_out_of_time", "DEADLINE_EXCEEDED"]
    counted = total(server.metrics(), "sluice_gateway_requests_total") - total(before, "sluice_gateway_requests_total")
    assert sent - late <= counted <= sent
    # So has the worker, but for those whose client had left before they were read.
    worker = server.worker_metrics()
    at_worker = total(worker, "sluice_requests_total") - total(worker_before, "sluice_requests_total")
    assert sent - late - ends["http_leaves_at_once", "left"] <= at_worker <= counted
    assert worker["sluice_preemptions_total"] > worker_before["sluice_preemptions_total"]

    after = Client(server, grpc_client, texts, min(alone_s), 0)
    for question in QUESTIONS:
        assert after.http_stream(question) == "length"
    grpc_client.channel.close()
