# SPDX-License-Identifier: Apache-2.0
"""Half of 500 clients vanish in the middle of their answers, over HTTP and gRPC: the other half gets whole answers, and the
server is afterwards what it was before."""

import asyncio
import concurrent.futures
import json
import socket
import struct
from pathlib import Path

import grpc
import numerics
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, processes_in_session, wait_for

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
HTTP_CLIENTS, GRPC_CLIENTS = 440, 60
CLIENTS = HTTP_CLIENTS + GRPC_CLIENTS
QUESTIONS = ["hi", "two?", "sky", "sea", "go"]
TOKENS = 8
MAX_ROUNDS = 6
ENDLESS = 2000  # far more than is ever computed, should the work of a client that left go on


@pytest.fixture(scope="module")
def server():
    with SluiceServer(MODEL, "--served-model-name=demo", "--max-num-seqs=64") as running:
        yield running


def settings(index, max_tokens, **options):
    return {"messages": [{"role": "user", "content": QUESTIONS[index % len(QUESTIONS)]}], "max_tokens": max_tokens,
            "temperature": 0, "ignore_eos": True} | options


def request_bytes(index, max_tokens):
    body = json.dumps(settings(index, max_tokens) | {"stream": True, "stream_options": {"include_usage": True}}).encode()
    return (b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


def text_of(stream):
    """What a whole event stream says, reasoning included. It must be whole."""
    assert stream.count(b"data: [DONE]") == 1 and stream.split(b"\r\n", 1)[0].endswith(b"200 OK"), stream
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]
    assert not any("error" in event for event in events), events
    choices = [choice for event in events for choice in event["choices"]]
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["length"]
    assert events[-1]["usage"]["completion_tokens"] == TOKENS
    return "".join((choice["delta"].get("reasoning_content") or "") + (choice["delta"].get("content") or "")
                   for choice in choices)


async def read_whole(address, index):
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request_bytes(index, TOKENS))
    stream = await reader.read()
    writer.close()
    return text_of(stream)


async def vanish(address, index):
    """Leaves once its answer has begun: by an orderly close, or by a reset."""
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request_bytes(index, ENDLESS))
    head = b""
    while b"data: {" not in head:
        piece = await reader.read(4096)
        assert piece, head
        head += piece
    if index % 4 == 0:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.close()


async def http_round(address):
    return await asyncio.gather(*[(vanish if index % 2 == 0 else read_whole)(address, index)
                                  for index in range(HTTP_CLIENTS)])


def grpc_client(client, index):
    call, request = client.method("sluice.v1.Inference", "Chat")
    leaves = index % 2 == 0
    stream = call(request(**settings(index, ENDLESS if leaves else TOKENS)), timeout=300)
    if leaves:
        next(stream)
        stream.cancel()
        with pytest.raises(grpc.RpcError):
            list(stream)
        assert stream.code() == grpc.StatusCode.CANCELLED
        return None
    responses = list(stream)
    assert [r.finish_reason for r in responses if r.finish_reason] == ["length"]
    assert responses[-1].usage.completion_tokens == TOKENS
    return "".join(r.reasoning_content + r.content for r in responses)


def alone(client, index):
    """What the client of that index gets in whatever company."""
    call, request = client.method("sluice.v1.Inference", "Chat")
    responses = list(call(request(**settings(index, TOKENS, top_logprobs=2)), timeout=300))
    return numerics.certain_text(responses, numerics.BUNDLED)


def one_round(server, client):
    """All clients at once; texts by index, None of those that left."""
    host, port = server.addresses["http"].rsplit(":", 1)
    with concurrent.futures.ThreadPoolExecutor(GRPC_CLIENTS) as pool:
        over_grpc = [pool.submit(grpc_client, client, index) for index in range(GRPC_CLIENTS)]
        over_http = asyncio.run(http_round((host, int(port))))
        return over_http + [future.result() for future in over_grpc]


def held(server):
    """File descriptors, threads and MiB of private memory of the server's processes, by name."""
    sums = {}
    for pid in processes_in_session(server.session):
        folder = Path(f"/proc/{pid}")
        status = dict(line.split(":\t", 1) for line in (folder / "status").read_text().splitlines())
        own = {"files": len(list((folder / "fd").iterdir())), "threads": int(status["Threads"]),
               "memory": int(status["RssAnon"].split()[0]) / 1024}
        before = sums.get(status["Name"], dict.fromkeys(own, 0))  # of other ranks
        sums[status["Name"]] = {each: before[each] + own[each] for each in own}
    return sums


def grown(before, after):
    """What of `held` is more than it was: {process: what}. gRPC opens and closes a few of its own as it likes; a leak of every client
    would be of hundreds, and 24 MiB are 50 kB of each."""
    allowed = {"files": 16, "threads": 16, "memory": 24}
    return {name: what for name, held_before in before.items()
            if (what := [each for each, more in allowed.items() if after[name][each] > held_before[each] + more])}


def outcomes(server):
    return {name: value for name, value in server.metrics().items() if name.startswith("sluice_gateway_requests_total")
            and "chat" in name.lower()}


def test_clients_that_vanish_take_nothing_with_them(server):
    client = ReflectedClient(server.grpc_address)
    expected = [alone(client, index) for index in range(len(QUESTIONS))]
    # These are near ties from the first words on, so on a GPU little is certain.
    assert len(set(expected)) >= 3 and (all if numerics.EXACT else any)(expected)
    wait_for(server.at_rest, "at rest before")
    # The first rounds fill allocators' pools and gRPC's threads, of which it makes as many as it finds it needs; then a round must
    # add nothing to them. What leaks is more after every round.
    after = []
    while len(after) < 2 or (len(after) < MAX_ROUNDS and grown(*after[-2:])):
        before, counted = server.metrics()["sluice_gateway_cancelled_requests_total"], sum(outcomes(server).values())
        texts = one_round(server, client)
        for index, text in zip([*range(HTTP_CLIENTS), *range(GRPC_CLIENTS)], texts, strict=True):
            assert text is None if index % 2 == 0 else numerics.begins(text, expected[index % len(QUESTIONS)])
        wait_for(server.at_rest, "no page, sequence, call or connection is left", 30)
        assert server.metrics()["sluice_gateway_cancelled_requests_total"] - before == CLIENTS // 2
        assert sum(outcomes(server).values()) - counted == CLIENTS
        after.append(held(server))
    assert not grown(*after[-2:]), after
    assert numerics.begins(grpc_client(client, 1), expected[1])
    client.channel.close()
