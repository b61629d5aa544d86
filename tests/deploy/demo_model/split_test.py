# SPDX-License-Identifier: Apache-2.0
"""The split of the demo model's data does not leak: what evaluation asks for, training never saw. Read back from the
conversations' text (conversation_facts.py), over many seeds."""

import random
import re
from collections import Counter

import conversation_facts as facts
import judge
import pytest
from data import conversation, item, tools, words
from tokenizers import Tokenizer
from train_tokenizer import alphabetic_pieces

SEEDS, CONVERSATIONS = 400, 20
PROMPTS = 1000
PIECES = alphabetic_pieces(Tokenizer.from_file(str(facts.DEMO / "sluice-demo" / "tokenizer.json")))
# Rows whose prompts are one question of one kind.
SINGLE = ["letters, thinking", "letters, not thinking", "arithmetic, thinking", "spelling", "reversing", "comparing", "sorting"]
HELD_OUT_PATTERN = re.compile("|".join(f"(?:{e})" for e in facts.held_out_expressions()))


def holds_held_out_pattern(text):
    return bool(HELD_OUT_PATTERN.fullmatch(facts.without_switch(text)))


def numbers_held_out(key):
    return words.held_out("numbers:" + key)


def users(talk):
    return [m["content"] for m in talk.messages if m["role"] == "user"]


def number_key(talk):
    """What the split of a question about numbers is keyed by, where its text alone tells."""
    found = facts.digits(facts.without_switch(users(talk)[-1]))
    if talk.task == "compare" and len(found) == 2:
        return f"{found[0]}<{found[1]}"
    return f"sort{found}" if talk.task == "sort" else None


@pytest.fixture(scope="module")
def training():
    split = item.Split(False, words.Words(False, PIECES))
    return [conversation.training(rng, split) for rng in map(random.Random, range(SEEDS)) for _ in range(CONVERSATIONS)]


@pytest.fixture(scope="module")
def evaluation():
    return {name: judge.prompts(name, PIECES, PROMPTS)[0] for name in judge.rows(PIECES)}


def test_training_asks_about_no_held_out_word(training):
    asked = Counter(word for talk in training for word in facts.words_asked(talk))
    assert len(asked) > 3000
    assert [word for word in asked if words.word_is_held_out(word)] == []


@pytest.mark.parametrize("word", sorted(words.ALWAYS_HELD_OUT))
def test_training_never_holds_the_model_cards_words(training, word):
    whole = (" ".join([*(str(m.get("content")) for m in talk.messages), talk.target]) for talk in training)
    assert not any(word in text.lower() for text in whole)


def test_training_asks_for_no_held_out_sum(training):
    sums = [pair for talk in training for pair in facts.sums_asked(talk)]
    assert len(sums) > 500
    assert [pair for pair in sums if numbers_held_out("".join(pair))] == []


def test_training_compares_and_sorts_no_held_out_numbers(training):
    keys = [key for talk in training if (key := number_key(talk))]
    assert len(keys) > 100
    assert [key for key in keys if numbers_held_out(key)] == []


def test_training_has_no_held_out_tool_or_parameter(training):
    schemas = [schema["function"] for talk in training for schema in talk.tools]
    readings = {s["name"]: facts.tool_readings(s["name"]) for s in schemas}
    assert len(readings) > 500
    assert [name for name, ways in readings.items() if all(words.held_out("tool:" + way, 5) for way in ways)] == []
    names = {name for s in schemas for name in s["parameters"]["properties"]} - set(tools.PARAMETERS)
    assert len(names) > 500
    assert [name for name in names if words.held_out("parameter:" + name, 5)] == []


def test_training_never_asks_in_a_held_out_pattern(training):
    assert [text for talk in training for text in users(talk) if holds_held_out_pattern(text)] == []


def test_evaluation_asks_only_about_held_out_words(evaluation):
    for name in ("spelling", "reversing"):
        for talk in evaluation[name]:
            word = talk.expect["value"].replace("-", "") if name == "spelling" else talk.expect["value"][::-1]
            assert words.word_is_held_out(word) and word in talk.messages[-1]["content"]
    for name in ("letters, thinking", "letters, not thinking"):
        for talk in evaluation[name]:
            spoken = re.findall(r"[A-Za-z]+", facts.without_switch(talk.messages[-1]["content"]))
            assert any(words.word_is_held_out(word) for word in spoken), talk.messages[-1]


def test_evaluation_asks_only_for_held_out_numbers(evaluation):
    for talk in evaluation["arithmetic, thinking"]:
        a, b = facts.digits(talk.messages[-1]["content"])
        value = talk.expect["value"]
        ways = [f"{x}{op}{y}" for x, y in ((a, b), (b, a))
                for op, of in (("+", x + y), ("-", x - y), ("*", x * y)) if of == value]
        assert any(map(numbers_held_out, ways)), talk.messages[-1]
    for talk in evaluation["comparing"]:
        a, b = facts.digits(talk.messages[-1]["content"])
        assert numbers_held_out(f"{a}<{b}"), talk.messages[-1]
    for talk in evaluation["sorting"]:
        assert numbers_held_out(f"sort{facts.digits(talk.messages[-1]['content'])}"), talk.messages[-1]


def test_evaluation_gives_only_held_out_tools(evaluation):
    for name in ("tool calls", "tool results"):
        for schema in (schema["function"] for talk in evaluation[name] for schema in talk.tools):
            assert any(words.held_out("tool:" + way, 5) for way in facts.tool_readings(schema["name"])), schema["name"]
            made_up = set(schema["parameters"]["properties"]) - set(tools.PARAMETERS)
            assert all(words.held_out("parameter:" + parameter, 5) for parameter in made_up)


def test_a_fifth_of_evaluation_is_in_held_out_patterns(evaluation):
    for name, talks in evaluation.items():
        if name == "switches over 4 turns":
            continue  # whether it thinks is judged there, not what it answers
        if name == "all else":  # follow-ups and doubts refer to what was said before, and answers in another language to it
            talks = [talk for talk in talks if len(talk.messages) == 1]
        share = sum(talk.novel for talk in talks) / len(talks)
        deviation = (0.2 * 0.8 / len(talks)) ** 0.5
        assert abs(share - 0.2) < 4 * deviation, (name, share)
    for name in SINGLE:
        assert all(talk.novel == holds_held_out_pattern(talk.messages[-1]["content"]) for talk in evaluation[name]), name


def test_evaluation_is_the_same_every_time(evaluation):
    again = judge.prompts("tool calls", PIECES, PROMPTS)[0]
    assert [talk.messages for talk in again] == [talk.messages for talk in evaluation["tool calls"]]


def test_a_leak_would_be_seen():
    """The reader finds what it is there to find, in conversations drawn from the other side."""
    split = item.Split(True, words.Words(True, PIECES))
    talks = [conversation.training(rng, split) for rng in map(random.Random, range(300))]
    assert any(words.word_is_held_out(word) for talk in talks for word in facts.words_asked(talk))
    assert any(numbers_held_out("".join(pair)) for talk in talks for pair in facts.sums_asked(talk))
    assert any(holds_held_out_pattern(text) for talk in talks for text in users(talk))
    assert any(key and numbers_held_out(key) for key in map(number_key, talks))
    names = {schema["function"]["name"] for talk in talks for schema in talk.tools}
    assert any(all(words.held_out("tool:" + way, 5) for way in facts.tool_readings(name)) for name in names)


def test_every_tokens_spelling_is_seen_in_training():
    """Words are also put together from the tokenizer's pieces, so that none is left whose letters training never told."""
    tokenizer = Tokenizer.from_file(str(facts.DEMO / "sluice-demo" / "tokenizer.json"))
    source, training_words = random.Random(5), words.Words(False, PIECES)
    drawn = " ".join(training_words.draw(source) for _ in range(60000))
    assert [piece for piece in PIECES if piece not in drawn] == []
    lower = {i for token, i in tokenizer.get_vocab().items() if re.fullmatch("Ġ?[a-z]+", token)}
    unseen = lower - set(tokenizer.encode(drawn).ids)
    # A few stand only for words that are put into sentences and are in no list of words ("nights").
    assert len(unseen) < 0.005 * len(lower), [tokenizer.id_to_token(i) for i in unseen]
