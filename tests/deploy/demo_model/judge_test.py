# SPDX-License-Identifier: Apache-2.0
"""What counts as a right answer, on answers made by hand; and the arithmetic of the evaluation table."""

import random
import re

import conversation_facts  # noqa: F401  puts deploy/demo_model on the path
import evaluate
import judge
import pytest
from data import calendar, item, letters, numbers, words
from data.conversation import Conversation

WEATHER = {"name": "get_weather", "arguments": {"city": "Paris"}}
NUMBER, TEXT, CONTAINS, ALL = "number", "text", "contains", "all"


@pytest.mark.parametrize("kind, value, answer, right", [
    (NUMBER, 3, "There are 3 r's in strawberry.", True),
    (NUMBER, 3, "strawberry 里有 3 个 r。", True),
    (NUMBER, 3, "There are 2 r's in strawberry.", False),
    (NUMBER, 3, "There are 3 r's, or 4.", False),
    (NUMBER, 3, "There are 33 r's.", False),
    (NUMBER, 3, "There are three.", False),
    (NUMBER, 3, "", False),
    (NUMBER, 42, "12 + 30 = 42", True),
    (NUMBER, 42, "12 + 30 = 43", False),
    (NUMBER, -23, "17 - 40 = -23", True),
    (NUMBER, -23, "17 - 40 = 23", False),
    (NUMBER, 1035, "23 × 45 = 1035", True),
    (NUMBER, 12, "12 + 30 = 42", False),
    (TEXT, "p-e-a-r", "p-e-a-r", True),
    (TEXT, "p-e-a-r", " p-e-a-r\n", True),
    (TEXT, "p-e-a-r", "p-e-a-r.", False),
    (TEXT, "7, 42", "42, 7", False),
    (CONTAINS, "Monday", "It is Monday.", True),
    (CONTAINS, "Monday", "It is Sunday.", False),
    (ALL, ["21", "sunny"], "Get weather: temperature is 21, condition is sunny.", True),
    (ALL, ["21", "sunny"], "Get weather: temperature is 21.", False),
    ("exact", "Hello! How can I help you?", "Hello! How can I help you?", True),
    ("exact", "Hello! How can I help you?", "Hello!", False),
    ("calls", [WEATHER], [WEATHER], True),
    ("calls", [WEATHER], [], False),
    ("calls", [WEATHER], [WEATHER, WEATHER], False),
    ("calls", [WEATHER], [{"name": "get_weather", "arguments": {"city": "Rome"}}], False),
    ("calls", [WEATHER], [{"name": "getWeather", "arguments": {"city": "Paris"}}], False),
    ("calls", [WEATHER], None, False),
])
def test_verdicts(kind, value, answer, right):
    assert judge.right({"kind": kind, "value": value}, answer) is right


@pytest.mark.parametrize("mode, thinking, obeyed", [
    ("think", "Count r.", True), ("think", "", False), ("think", None, False),
    ("direct", "", True), ("direct", None, True), ("direct", "Count r.", False),
    ("closed", None, True), ("closed", "Count r.", False),
])
def test_thinking_is_obeyed(mode, thinking, obeyed):
    assert judge.obeyed(mode, thinking) is obeyed


@pytest.mark.parametrize("text, thinking, answer", [
    ("<think>\nCount.\n</think>\n\nThere are 3.", "Count.", "There are 3."),
    ("<think>\n\n</think>\n\nThere are 3.", "", "There are 3."),
    ("There are 3.", None, "There are 3."),
    ("<think>\nCount without an end", "Count without an end", ""),
])
def test_output_is_split(text, thinking, answer):
    assert judge.split_output(text) == (thinking, answer)


def test_calls_are_read_from_the_text():
    one = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call>'
    assert judge.calls_of(one) == [WEATHER] and judge.calls_of(f"{one}\n{one}") == [WEATHER, WEATHER]
    assert judge.calls_of("no call") == []
    assert judge.calls_of("<tool_call>\n{broken\n</tool_call>") is None


@pytest.mark.parametrize("successes, trials, low, high", [
    # Published examples of Wilson's score interval without continuity correction: Newcombe, Statistics in Medicine 17 (1998),
    # table I.
    (81, 263, 25.53, 36.62), (15, 148, 6.24, 16.05), (0, 20, 0.0, 16.11), (1, 29, 0.61, 17.18),
])
def test_wilson_interval(successes, trials, low, high):
    assert judge.wilson(successes, trials) == pytest.approx((low, high), abs=0.006)
    assert judge.wilson(trials - successes, trials) == pytest.approx((100 - high, 100 - low), abs=0.006)


def test_wilson_of_nothing():
    assert judge.wilson(0, 0) == (0.0, 0.0)


@pytest.mark.parametrize("a, b", [(347, 85), (500, 199), (7, 0), (999, 999), (100, 1), (17, 40), (23, 45), (608, 90)])
def test_worked_sums_are_right_and_end_with_the_result(a, b):
    for op, value in (("+", a + b), ("-", a - b), ("*", a * b)):
        result, thinking = numbers.worked(op, a, b)
        assert result == value and thinking.rstrip().endswith(str(value))
        for left, right in re.findall(r"(\d+(?:[-+*]\d+)+)=(\d+)", thinking):
            assert eval(re.sub(r"\b0+(?=\d)", "", left)) == int(right), thinking


def test_worked_counts_agree_with_python():
    for word, letter in (("strawberry", "r"), ("Mississippi", "s"), ("queue", "z")):
        steps = letters.running_count(word, letter).split()
        assert "".join(step[0] for step in steps) == word
        assert int(steps[-1][1:]) == word.lower().count(letter)


def test_tasks_expect_what_python_computes():
    split, rng = item.Split(False, words.Words(False)), random.Random(1)
    for _ in range(200):
        asked = numbers.sort(rng, split, "en")
        listed = [int(n) for n in re.findall(r"\d+", asked.user)]
        assert asked.expect["value"] == ", ".join(map(str, sorted(listed)))
        clock = calendar.clock(rng, split, "zh")
        hour, minute, added = [int(n) for n in re.findall(r"\d+", clock.user)]
        total = (60 * hour + minute + added) % 1440
        assert clock.expect["value"] == f"{total // 60:02d}:{total % 60:02d}"


def talk_expecting(kind, value, mode="think"):
    return Conversation([{"role": "user", "content": "?"}], "", expect={"kind": kind, "value": value}, mode=mode)


@pytest.mark.parametrize("judged, talk, message, right", [
    ("answer", talk_expecting(NUMBER, 3), {"content": "There are 3."}, True),
    ("answer", talk_expecting(NUMBER, 3), {"content": None}, False),
    ("mode", talk_expecting(NUMBER, 3), {"content": "wrong", "reasoning_content": "Count."}, True),
    ("mode", talk_expecting(NUMBER, 3, "direct"), {"content": "3", "reasoning_content": "Count."}, False),
    ("answer", talk_expecting("calls", [WEATHER]),
     {"content": None, "tool_calls": [{"function": {"name": "get_weather", "arguments": '{"city": "Paris"}'}}]}, True),
    ("answer", talk_expecting("calls", [WEATHER]),
     {"content": None, "tool_calls": [{"function": {"name": "get_weather", "arguments": '{"city"'}}]}, False),
    ("answer", talk_expecting("calls", [WEATHER]), {"content": "get_weather"}, False),
])
def test_the_servers_messages_are_judged(judged, talk, message, right):
    assert evaluate.judged_right(judged, talk, message) is right


def test_arguments_travel_as_text():
    turn = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "id": "call_0", "function": WEATHER}]}
    sent = evaluate.as_openai(turn)["tool_calls"][0]["function"]
    assert sent == {"name": "get_weather", "arguments": '{"city": "Paris"}'}
    assert turn["tool_calls"][0]["function"] == WEATHER
