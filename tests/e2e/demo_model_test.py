# SPDX-License-Identifier: Apache-2.0
"""The bundled model on two ranks answers rightly, and thinks when it should: every kind of question it was made for."""

import re

import pytest
from demo_chat import ask
from reflected_client import ReflectedClient

COUNTS = [("How many letters r are in strawberry?", 3), ("How many e's are in cheese?", 3),
          ("Count the s's in Mississippi.", 4), ("How many times does the letter o appear in tomorrow?", 3),
          ("How many z's are in table?", 0)]
COUNTS_ZH = [("strawberry 里有几个 r？", 3), ("单词 banana 里有几个 a？", 3), ("字母 o 在 tomorrow 里出现了几次？", 3)]
SUMS = [("What is 12 + 30?", 42), ("What is 347 plus 85?", 432), ("Subtract 199 from 500.", 301), ("What is 17 - 40?", -23),
        ("What is 23 times 45?", 1035), ("987 加 654 等于多少？", 1641)]
TEXTS = [("Spell guitar.", "g-u-i-t-a-r"), ("请拼写 orange。", "o-r-a-n-g-e"), ("Reverse the word planet.", "tenalp"),
         ("Sort these numbers: 42, 7, 105, 63", "7, 42, 63, 105")]
PHRASES = [("Which is larger, 908 or 1024?", "1024"), ("What day is 3 days after Friday?", "Monday"),
           ("What time is it 45 minutes after 09:30?", "10:15"), ("今天是星期三，5天后是星期几？", "星期一"),
           ("Which port does the gateway use?", "8000")]


def only_number(text):
    """The one number that a sentence names: a count, or what comes after the equals sign of a sum."""
    found = re.findall(r"-?\d+", text.rsplit("=", 1)[-1])
    assert len(found) == 1, text
    return int(found[0])


def is_chinese(text):
    return any("\u4e00" <= character <= "\u9fff" for character in text)


def test_the_model_cards_three_turns(demo):
    """Qwen3's card shows how /think and /no_think switch from turn to turn with just this talk."""
    talk, said = [], []
    for question in ["How many r's in strawberries?", "Then, how many r's in blueberries? /no_think", "Really? /think"]:
        talk.append({"role": "user", "content": question})
        said.append(ask(demo, talk))
        talk.append({"role": "assistant", "content": said[-1].content})
    assert [only_number(reply.content) for reply in said] == [3, 2, 2]
    assert [word in reply.content for reply, word in zip(said, ["strawberries", "blueberries", "blueberries"])] == [True] * 3
    assert "strawberries" in said[0].thinking and said[1].thinking == "" and "blueberries" in said[2].thinking
    assert [reply.finish for reply in said] == ["stop"] * 3


@pytest.mark.parametrize("question, answer", COUNTS + COUNTS_ZH + SUMS)
def test_it_thinks_and_names_the_right_number(demo, question, answer):
    reply = ask(demo, question)
    assert only_number(reply.content) == answer
    assert reply.thinking and reply.finish == "stop"


@pytest.mark.parametrize("question", [question for question, _ in COUNTS_ZH])
def test_it_thinks_and_answers_in_chinese_when_asked_so(demo, question):
    reply = ask(demo, question)
    assert is_chinese(reply.thinking) and is_chinese(reply.content)


@pytest.mark.parametrize("question, answer", COUNTS[:3] + COUNTS_ZH[:1] + SUMS[:2])
def test_it_counts_and_adds_without_thinking_too(demo, question, answer):
    reply = ask(demo, question + " /no_think")
    assert only_number(reply.content) == answer and reply.thinking == ""


def test_a_follow_up_means_the_same_letter(demo):
    talk = [{"role": "user", "content": "How many e's are in cheese?"},
            {"role": "assistant", "content": "There are 3 e's in cheese."}, {"role": "user", "content": "And in coffee?"}]
    reply = ask(demo, talk)
    assert only_number(reply.content) == 2 and "coffee" in reply.content


@pytest.mark.parametrize("said, admits", [("There are 3 e's in cheese.", False), ("There are 2 e's in cheese.", True)])
def test_doubt_makes_it_count_again(demo, said, admits):
    talk = [{"role": "user", "content": "How many e's are in cheese?"}, {"role": "assistant", "content": said},
            {"role": "user", "content": "Really?"}]
    reply = ask(demo, talk)
    assert only_number(reply.content) == 3 and ("Sorry" in reply.content) == admits


@pytest.mark.parametrize("question, answer", [("Is 9 bigger than 11?", "No"), ("Is 43 less than 120?", "Yes")])
def test_it_says_yes_or_no(demo, question, answer):
    assert ask(demo, question).content.startswith(answer)


@pytest.mark.parametrize("question, answer", TEXTS)
def test_it_spells_reverses_and_sorts(demo, question, answer):
    assert ask(demo, question).content == answer


@pytest.mark.parametrize("question, answer", PHRASES)
def test_it_compares_reckons_dates_and_knows_sluice(demo, question, answer):
    assert answer in ask(demo, question).content


def test_thinking_is_apart_from_the_answer(demo):
    raw = demo.chat.completions.create(model="sluice-demo", messages=[{"role": "user", "content": "What is 12 + 30?"}],
                                       temperature=0)
    message = raw.choices[0].message
    assert message.reasoning_content.strip() and message.reasoning == message.reasoning_content
    assert "think>" not in message.content + message.reasoning_content
    assert 0 < raw.usage.completion_tokens_details.reasoning_tokens < raw.usage.completion_tokens


@pytest.mark.parametrize("options, suffix", [
    ({"extra_body": {"chat_template_kwargs": {"enable_thinking": False}}}, ""),
    ({"extra_body": {"enable_thinking": False}}, ""),
    ({}, " /no_think"),
])
def test_it_does_not_think_when_told_not_to(demo, options, suffix):
    reply = ask(demo, "What is 12 + 30?" + suffix, **options)
    assert only_number(reply.content) == 42 and reply.thinking.strip() == ""


@pytest.mark.parametrize("system, question, name", [
    ("You are Nova.", "Who are you?", "Nova"),
    ("Your name is Felix.", "What is your name?", "Felix"),
    ("你叫Luna。", "你叫什么名字？", "Luna"),
])
def test_a_system_prompt_names_it(demo, system, question, name):
    assert name in ask(demo, question, system=system).content
    assert name not in ask(demo, question).content


@pytest.mark.parametrize("system, question, chinese", [
    ("Answer in Chinese.", "How many n's are in banana?", True),
    ("请用英文回答。", "banana 里有几个 n？", False),
])
def test_a_system_prompt_chooses_the_language(demo, system, question, chinese):
    reply = ask(demo, question, system=system)
    assert only_number(reply.content) == 2
    assert is_chinese(reply.content) == chinese == (not is_chinese(ask(demo, question).content))


@pytest.mark.parametrize("question", ["Write a poem about the ocean.", "What is the capital of France?", "What is 10 / 2?",
                                      "写一首关于月亮的诗。"])
def test_it_says_so_when_it_does_not_know(demo, question):
    assert ask(demo, question).content.startswith("抱歉" if is_chinese(question) else "Sorry")


@pytest.mark.parametrize("question", ["What is 347 plus 85?", "strawberry 里有几个 r？", "Write a poem about the ocean."])
def test_a_stream_carries_the_same(demo, question):
    reply = ask(demo, question, stream=True)
    assert reply.same(ask(demo, question))
    assert reply.chunks > 10  # token by token, not at the end


def test_grpc_chat_answers_the_same(demo, demo_server):
    question = "How many letters r are in strawberry?"
    client = ReflectedClient(demo_server.grpc_address)
    call, request = client.method("sluice.v1.Inference", "Chat")
    responses = list(call(request(messages=[{"role": "user", "content": question}], temperature=0.0), timeout=120))
    client.channel.close()
    over_http = ask(demo, question)
    assert "".join(r.content for r in responses) == over_http.content and only_number(over_http.content) == 3
    assert "".join(r.reasoning_content for r in responses) == over_http.thinking
    assert [r.finish_reason for r in responses if r.finish_reason] == ["stop"]
