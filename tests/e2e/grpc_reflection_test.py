# SPDX-License-Identifier: Apache-2.0
"""A gRPC client that has no .proto file: it learns sluice.v1.Inference from server reflection, as grpcurl does."""

import json
import time
import urllib.request

import grpc
import pytest
from reflected_client import ReflectedClient


@pytest.fixture(scope="module")
def client(server):
    made = ReflectedClient(server.grpc_address)
    yield made
    made.channel.close()


def ask(client, timeout=120, **fields):
    call, request = client.method("sluice.v1.Inference", "Chat")
    settings = {"messages": [{"role": "user", "content": "Tell me about rivers."}], "temperature": 0.0,
                "max_tokens": 24, "ignore_eos": True}
    return call(request(**(settings | fields)), timeout=timeout)


def refused(client, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        list(ask(client, **fields))
    return caught.value


def test_reflection_lists_the_services(client):
    assert {"sluice.v1.Inference", "grpc.health.v1.Health"} <= client.services()


def test_health(client):
    call, request = client.method("grpc.health.v1.Health", "Check")
    assert call(request(service=""), timeout=30).status == 1  # SERVING
    assert call(request(service="sluice.v1.Inference"), timeout=30).status == 1
    with pytest.raises(grpc.RpcError) as caught:
        call(request(service="no.such.Service"), timeout=30)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_health_watch_begins_with_the_state(client):
    call, request = client.method("grpc.health.v1.Health", "Watch")
    stream = call(request(service=""), timeout=30)
    assert next(stream).status == 1
    stream.cancel()


def test_chat_equals_http(client, server):
    responses = list(ask(client))
    assert "".join(r.content for r in responses).strip()
    assert [r.finish_reason for r in responses if r.finish_reason] == ["length"]
    assert responses[-1].usage.completion_tokens == 24
    assert not any(r.usage.total_tokens for r in responses[:-1])
    assert len({r.id for r in responses}) == 1 and responses[0].model == "tiny"
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "Tell me about rivers."}],
                       "temperature": 0, "max_tokens": 24, "ignore_eos": True}).encode()
    request = urllib.request.Request(f"{server.url}/v1/chat/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        over_http = json.load(answer)
    assert "".join(r.content for r in responses) == over_http["choices"][0]["message"]["content"]
    assert responses[-1].usage.prompt_tokens == over_http["usage"]["prompt_tokens"]


def test_choices_and_log_probabilities(client):
    responses = list(ask(client, n=2, temperature=1.0, seed=4, top_logprobs=3, max_tokens=6))
    for choice in (0, 1):
        entries = [entry for r in responses if r.choice == choice for entry in r.logprobs]
        assert len(entries) == 6
        assert all(len(entry.top) == 3 and entry.logprob <= 0 for entry in entries)
        text = "".join(r.content for r in responses if r.choice == choice)
        assert b"".join(entry.bytes for entry in entries).decode("utf-8", "replace") == text


@pytest.mark.parametrize("fields, name", [
    ({"temperature": -1.0}, "temperature"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
    ({"top_p": 1.5}, "top_p"),
    ({"top_logprobs": 21}, "top_logprobs"),
    ({"chat_template_kwargs_json": "{"}, "chat_template_kwargs"),
    ({"tools": [{"name": "f", "parameters_json": "["}]}, "parameters"),
])
def test_bad_requests_name_the_field(client, fields, name):
    error = refused(client, **fields)
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert name in error.details()


def test_an_unknown_model_is_not_found(client):
    assert refused(client, model="another").code() == grpc.StatusCode.NOT_FOUND


def test_a_deadline_ends_the_call(client):
    begin = time.monotonic()
    assert list(ask(client, max_tokens=1900))[-1].usage.completion_tokens == 1900
    seconds = time.monotonic() - begin  # which differ a hundredfold between devices
    assert refused(client, max_tokens=1900, timeout=seconds / 5).code() == grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_cancelled_call_leaves_the_channel_usable(client):
    stream = ask(client, max_tokens=1900)
    next(stream)
    stream.cancel()
    assert len([r for r in ask(client) if r.finish_reason]) == 1
