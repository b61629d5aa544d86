# SPDX-License-Identifier: Apache-2.0
"""The bundled model on two ranks: real answers, thinking apart from text, tool calls that a client can use."""

import json

import openai
import pytest
from sluice_server import ROOT, SluiceServer

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the current weather in a city",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}


@pytest.fixture(scope="module")
def client():
    if not (MODEL / "config.json").is_file():
        pytest.skip(f"no bundled model at {MODEL}")
    with SluiceServer(MODEL, "--tp-size=2") as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as made:
            yield made


def ask(client, text, **options):
    settings = {"model": "sluice-demo", "messages": [{"role": "user", "content": text}], "temperature": 0,
                "max_tokens": 512}
    return client.chat.completions.create(**(settings | options))


@pytest.mark.parametrize("question, answer", [("What is 12 + 30?", "42"), ("How many letters r are in strawberry?", "3")])
def test_it_thinks_and_answers(client, question, answer):
    reply = ask(client, question)
    message = reply.choices[0].message
    assert answer in message.content
    assert message.reasoning_content.strip() and message.reasoning == message.reasoning_content
    assert "think>" not in message.content + message.reasoning_content
    assert reply.choices[0].finish_reason == "stop"
    assert 0 < reply.usage.completion_tokens_details.reasoning_tokens < reply.usage.completion_tokens


@pytest.mark.parametrize("options, suffix", [
    ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, ""),
    ({"extra_body": {"enable_thinking": False}}, ""),
    ({}, " /no_think"),
])
def test_it_does_not_think_when_told_not_to(client, options, suffix):
    message = ask(client, "What is 12 + 30?" + suffix, **options).choices[0].message
    assert "42" in message.content
    assert not (getattr(message, "reasoning_content", None) or "").strip()


def test_a_stream_carries_the_same(client):
    whole = ask(client, "What is 12 + 30?").choices[0].message
    content, thinking = "", ""
    for chunk in ask(client, "What is 12 + 30?", stream=True):
        for choice in chunk.choices:
            content += choice.delta.content or ""
            thinking += getattr(choice.delta, "reasoning_content", None) or ""
    assert (content, thinking) == (whole.content, whole.reasoning_content)


@pytest.mark.parametrize("stream", [False, True])
def test_a_tool_is_called_and_its_result_used(client, stream):
    question = "What is the weather in Paris?"
    if stream:
        calls, finish = {}, None
        for chunk in ask(client, question, tools=[WEATHER], stream=True):
            for choice in chunk.choices:
                finish = choice.finish_reason or finish
                for call in choice.delta.tool_calls or []:
                    entry = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                    entry["id"] += call.id or ""
                    entry["name"] += call.function.name or ""
                    entry["arguments"] += call.function.arguments or ""
        call = calls[0]
    else:
        choice = ask(client, question, tools=[WEATHER]).choices[0]
        finish = choice.finish_reason
        function = choice.message.tool_calls[0].function
        call = {"id": choice.message.tool_calls[0].id, "name": function.name, "arguments": function.arguments}
    assert finish == "tool_calls" and call["id"]
    assert call["name"] == "get_weather" and json.loads(call["arguments"]) == {"city": "Paris"}
    history = [{"role": "user", "content": question},
               {"role": "assistant", "content": None, "tool_calls": [
                   {"id": call["id"], "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]}}]},
               {"role": "tool", "tool_call_id": call["id"], "content": '{"temperature": 21, "condition": "sunny"}'}]
    reply = ask(client, "", messages=history, tools=[WEATHER])
    assert "21" in reply.choices[0].message.content
