# SPDX-License-Identifier: Apache-2.0
"""The bundled model on two ranks calls the tool that a question asks for, with its arguments, and uses what it says."""

import json
import sys

import pytest
from demo_chat import ask
from reflected_client import ReflectedClient
from sluice_server import ROOT

sys.path.insert(0, str(ROOT / "tests" / "reference"))
import demo_prompts  # noqa: E402

HOTEL, MESSAGE = demo_prompts.BOOK_HOTEL, demo_prompts.SEND_MESSAGE
WEATHER = demo_prompts.tool("get_weather", "Get the current weather in a city", city="string")
EVENT = demo_prompts.tool("create_event", "Create an event", title="string", day="string", time="string")
LOCK, UNLOCK = demo_prompts.tool("lock_door", "Lock the door"), demo_prompts.tool("unlock_door", "Unlock the door")
PARIS = ("get_weather", {"city": "Paris"})
ROME = ("get_weather", {"city": "Rome"})
TWO_CITIES = ["What is the weather in Paris? And in Rome?", "Get the weather in Paris. Then get the weather in Rome.",
              "What is the weather in Paris and in Rome?", "What is the weather in Paris and Rome?"]


def made(reply):
    """The calls, parsed; arguments that name one key twice are no JSON object that anyone could use."""
    def parse(text):
        pairs = json.loads(text, object_pairs_hook=list)
        assert len({key for key, _ in pairs}) == len(pairs), text
        return dict(pairs)
    return [(call["name"], parse(call["arguments"])) for call in reply.calls]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("question, tools, calls", [
    ("What is the weather in Paris?", [WEATHER], [PARIS]),
    ("What is the weather in Paris? /no_think", [WEATHER, HOTEL], [PARIS]),
    ("What is the weather in Rome?", [HOTEL, WEATHER], [ROME]),
    ("Book a hotel in Rome for 3 nights.", [WEATHER, HOTEL], [("book_hotel", {"city": "Rome", "nights": 3})]),
    ('Send a message to Anna saying "see you".', [HOTEL, MESSAGE, WEATHER],
     [("send_message", {"recipient": "Anna", "text": "see you"})]),
    ('Create an event called "team lunch" on Monday at 09:30.', [EVENT, WEATHER],
     [("create_event", {"title": "team lunch", "day": "Monday", "time": "09:30"})]),
    ("Unlock the door.", [LOCK, UNLOCK], [("unlock_door", {})]),
    ("Lock the door.", [UNLOCK, LOCK], [("lock_door", {})]),
])
def test_the_right_tool_is_called(demo, question, tools, calls, stream):
    reply = ask(demo, question, tools=tools, stream=stream)
    assert made(reply) == calls
    assert reply.finish == "tool_calls" and reply.content == "" and all(call["id"] for call in reply.calls)
    assert bool(reply.thinking) == ("/no_think" not in question)


@pytest.mark.parametrize("question", TWO_CITIES)
def test_two_requests_are_two_calls(demo, question):
    reply = ask(demo, question, tools=[WEATHER])
    assert made(reply) == [PARIS, ROME]
    assert len({call["id"] for call in reply.calls}) == 2 and reply.finish == "tool_calls"


@pytest.mark.parametrize("question, answer", [("How many p's are in pepper?", "3"), ("What is 12 + 30?", "42"),
                                              ("Hello!", "help")])
def test_no_tool_is_called_where_none_is_asked_for(demo, question, answer):
    reply = ask(demo, question, tools=[WEATHER])
    assert reply.calls == [] and answer in reply.content and reply.finish == "stop"


@pytest.mark.parametrize("result, told", [
    ({"temperature": 21, "condition": "sunny"}, ["21", "sunny"]),
    ({"temperature": 8, "condition": "rainy"}, ["8", "rainy"]),
    ({"status": "failed"}, ["failed"]),
])
def test_the_answer_tells_what_the_tool_said(demo, result, told):
    question = {"role": "user", "content": "What is the weather in Paris?"}
    call = ask(demo, [question], tools=[WEATHER]).calls[0]
    history = [question,
               {"role": "assistant", "content": None, "tool_calls": [
                   {"id": call["id"], "type": "function",
                    "function": {"name": call["name"], "arguments": call["arguments"]}}]},
               {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(result)}]
    reply = ask(demo, history, tools=[WEATHER])
    assert all(word in reply.content for word in told) and reply.calls == [] and reply.finish == "stop"


def test_the_results_of_two_calls_are_told_in_order(demo):
    question = {"role": "user", "content": TWO_CITIES[0]}
    calls = ask(demo, [question], tools=[WEATHER]).calls
    turn = {"role": "assistant", "content": None, "tool_calls": [
        {"id": c["id"], "type": "function", "function": {"name": c["name"], "arguments": c["arguments"]}} for c in calls]}
    results = [{"role": "tool", "tool_call_id": call["id"], "content": json.dumps({"temperature": degrees})}
               for call, degrees in zip(calls, (21, 9))]
    reply = ask(demo, [question, turn, *results], tools=[WEATHER])
    assert 0 <= reply.content.find("21") < reply.content.find("9")


@pytest.mark.parametrize("question", [TWO_CITIES[0], "Book a hotel in Rome for 3 nights."])
def test_streamed_calls_are_the_same(demo, question):
    streamed = ask(demo, question, tools=[WEATHER, HOTEL], stream=True)
    assert streamed.calls and streamed.same(ask(demo, question, tools=[WEATHER, HOTEL]))


def test_grpc_chat_calls_the_same(demo, demo_server):
    question = "Book a hotel in Rome for 3 nights."
    client = ReflectedClient(demo_server.grpc_address)
    call, request = client.method("sluice.v1.Inference", "Chat")
    tools = [{"name": t["function"]["name"], "description": t["function"]["description"],
              "parameters_json": json.dumps(t["function"]["parameters"])} for t in (WEATHER, HOTEL)]
    responses = list(call(request(messages=[{"role": "user", "content": question}], tools=tools, temperature=0.0), timeout=120))
    client.channel.close()
    pieces = [piece for r in responses for piece in r.tool_calls]
    assert {piece.index for piece in pieces} == {0}
    assert "".join(piece.name for piece in pieces) == "book_hotel"
    assert json.loads("".join(piece.arguments for piece in pieces)) == {"city": "Rome", "nights": 3}
    over_http = ask(demo, question, tools=[WEATHER, HOTEL])
    assert "".join(r.reasoning_content for r in responses) == over_http.thinking
    assert [r.finish_reason for r in responses if r.finish_reason] == ["tool_calls"]
