# SPDX-License-Identifier: Apache-2.0
"""The official OpenAI Python client against Sluice. The model is random, so these assert protocol and equality."""

import asyncio

import openai
import pytest

PROMPT = [{"role": "user", "content": "Tell me about rivers."}]
WEATHER = {"type": "function", "function": {
    "name": "weather", "description": "The weather of a place",
    "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]}}}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def chat(client, **options):
    settings = {"model": "tiny", "messages": PROMPT, "max_tokens": 24, "temperature": 0,
                "extra_body": {"ignore_eos": True}}
    return client.chat.completions.create(**(settings | options))


def joined(stream):
    """Per choice: text, reasoning, finish reason; and the usage of the last chunk."""
    texts, thoughts, finishes, usage = {}, {}, {}, None
    for chunk in stream:
        assert chunk.object == "chat.completion.chunk"
        usage = chunk.usage or usage
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            thought = getattr(choice.delta, "reasoning_content", None) or ""
            thoughts[choice.index] = thoughts.get(choice.index, "") + thought
            if choice.finish_reason:
                assert choice.index not in finishes, "two finish reasons"
                finishes[choice.index] = choice.finish_reason
    return texts, thoughts, finishes, usage


def test_models(client):
    models = client.models.list()
    assert [model.id for model in models.data] == ["tiny"]
    assert models.data[0].object == "model"
    assert client.models.retrieve("tiny").id == "tiny"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("another")


def test_chat(client):
    answer = chat(client)
    assert answer.object == "chat.completion" and answer.model == "tiny" and answer.id
    choice = answer.choices[0]
    assert choice.index == 0 and choice.message.role == "assistant" and choice.finish_reason == "length"
    assert answer.usage.completion_tokens == 24
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + 24
    assert answer.usage.prompt_tokens > 8


def test_greedy_answers_repeat(client):
    assert chat(client).choices[0].message.content == chat(client).choices[0].message.content


@pytest.mark.parametrize("options", [
    {"temperature": 0},
    {"temperature": 1.0, "seed": 7, "top_p": 0.95},
    {"temperature": 0.7, "seed": 8, "n": 3, "max_tokens": 17},
    {"temperature": 1.5, "seed": 9, "presence_penalty": 0.5, "frequency_penalty": 0.5},
    {"temperature": 1.0, "seed": 10, "stop": ["a", "e"], "max_tokens": 64},
    {"temperature": 1.0, "seed": 11, "extra_body": {"chat_template_kwargs": {"enable_thinking": False}}},
    {"temperature": 1.0, "seed": 12, "extra_body": {"ignore_eos": True, "min_p": 0.02, "top_k": 50}},
])
def test_stream_equals_non_stream(client, options):
    whole = chat(client, **options)
    texts, thoughts, finishes, usage = joined(
        chat(client, stream=True, stream_options={"include_usage": True}, **options))
    assert len(whole.choices) == len(texts) == options.get("n", 1)
    for choice in whole.choices:
        assert (choice.message.content or "") == texts[choice.index]
        assert (getattr(choice.message, "reasoning_content", None) or "") == thoughts[choice.index]
        assert choice.finish_reason == finishes[choice.index]
    assert usage.model_dump() == whole.usage.model_dump()


def test_seeds_matter(client):
    def text(seed):
        return chat(client, temperature=1.0, seed=seed).choices[0].message.content
    assert text(1) == text(1)
    assert text(1) != text(2)


def test_n_gives_different_choices(client):
    answer = chat(client, n=3, temperature=1.0, seed=3)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in answer.choices}) == 3
    assert answer.usage.completion_tokens == 3 * 24


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(client, stream):
    options = {"logprobs": True, "top_logprobs": 5, "max_tokens": 8}
    if stream:
        entries = [entry for chunk in chat(client, stream=True, **options) for choice in chunk.choices
                   if choice.logprobs for entry in choice.logprobs.content or []]
    else:
        entries = chat(client, **options).choices[0].logprobs.content
    assert len(entries) == 8
    for entry in entries:
        assert entry.logprob <= 0
        assert len(entry.top_logprobs) == 5
        tops = [top.logprob for top in entry.top_logprobs]
        assert tops == sorted(tops, reverse=True)
        assert entry.logprob == tops[0] and entry.token == entry.top_logprobs[0].token  # greedy
    whole = chat(client, max_tokens=8).choices[0].message.content
    assert b"".join(bytes(entry.bytes) for entry in entries).decode("utf-8", "replace") == whole


def test_stop_string(client):
    whole = chat(client, max_tokens=48).choices[0].message.content
    stop = whole[len(whole) // 2:len(whole) // 2 + 3]
    for stream in (False, True):
        answer = chat(client, max_tokens=48, stop=[stop], stream=stream)
        if stream:
            texts, _, finishes, _ = joined(answer)
            text, finish = texts[0], finishes[0]
        else:
            text, finish = answer.choices[0].message.content, answer.choices[0].finish_reason
        assert text == whole[:whole.index(stop)]
        assert finish == "stop"


def test_tools_reach_the_prompt(client):
    plain = chat(client)
    with_tools = chat(client, tools=[WEATHER])
    assert with_tools.usage.prompt_tokens > plain.usage.prompt_tokens + 50
    assert with_tools.choices[0].finish_reason == "length"


def test_tool_results_in_the_history(client):
    history = [*PROMPT,
               {"role": "assistant", "content": None, "tool_calls": [
                   {"id": "call_1", "type": "function",
                    "function": {"name": "weather", "arguments": '{"place": "Köln"}'}}]},
               {"role": "tool", "tool_call_id": "call_1", "content": "rain"}]
    assert chat(client, messages=history, tools=[WEATHER]).usage.completion_tokens == 24


def test_usage_comes_last_and_only_when_asked(client):
    chunks = list(chat(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 24
    assert all(chunk.usage is None for chunk in chunks[:-1])
    assert all(chunk.usage is None for chunk in chat(client, stream=True))


def test_max_completion_tokens(client):
    answer = client.chat.completions.create(model="tiny", messages=PROMPT, max_completion_tokens=5, temperature=0,
                                            extra_body={"ignore_eos": True})
    assert answer.usage.completion_tokens == 5


@pytest.mark.parametrize("options, field", [
    ({"temperature": -1}, "temperature"),
    ({"top_p": 0}, "top_p"),
    ({"n": 0}, "n"),
    ({"max_tokens": -1}, "max_tokens"),
    ({"messages": []}, "messages"),
    ({"messages": [{"role": "wizard", "content": "x"}]}, "role"),
    ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
    ({"stop": 7}, "stop"),
    ({"extra_body": {"min_p": 2}}, "min_p"),
    ({"extra_body": {"logit_bias": {"x": 1}}}, "logit_bias"),
])
@pytest.mark.parametrize("stream", [False, True])
def test_bad_requests_name_the_field(client, options, field, stream):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, stream=stream, **options)
    assert field in (caught.value.param or ""), caught.value
    assert caught.value.type == "invalid_request_error"


def test_an_unknown_model_is_not_found(client):
    with pytest.raises(openai.NotFoundError) as caught:
        chat(client, model="another")
    assert "another" in str(caught.value)


def test_a_prompt_beyond_the_context_names_both_numbers(client):
    with pytest.raises(openai.BadRequestError) as caught:
        chat(client, messages=[{"role": "user", "content": "river " * 3000}])
    assert "2048" in str(caught.value) and "30" in str(caught.value)


def test_completions(client):
    answer = client.completions.create(model="tiny", prompt="The river", max_tokens=12, temperature=0,
                                       extra_body={"ignore_eos": True})
    assert answer.object == "text_completion" and answer.usage.completion_tokens == 12
    pieces = client.completions.create(model="tiny", prompt="The river", max_tokens=12, temperature=0, stream=True,
                                       extra_body={"ignore_eos": True})
    assert "".join(choice.text for piece in pieces for choice in piece.choices) == answer.choices[0].text


def test_completions_logprobs_and_n(client):
    answer = client.completions.create(model="tiny", prompt="The river", max_tokens=6, temperature=1, seed=1, n=2,
                                       logprobs=3, extra_body={"ignore_eos": True})
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) == 6
        assert all(len(top) >= 3 for top in choice.logprobs.top_logprobs)
        assert choice.logprobs.text_offset[0] == 0


def test_completions_stop(client):
    whole = client.completions.create(model="tiny", prompt="The river", max_tokens=48, temperature=0,
                                      extra_body={"ignore_eos": True}).choices[0].text
    stop = whole[len(whole) // 2:len(whole) // 2 + 3]
    cut = client.completions.create(model="tiny", prompt="The river", max_tokens=48, temperature=0, stop=stop,
                                    extra_body={"ignore_eos": True}).choices[0]
    assert cut.text == whole[:whole.index(stop)] and cut.finish_reason == "stop"


def test_completions_of_ids_equal_completions_of_text(client, server):
    ids = client.post("/../tokenize", body={"model": "tiny", "prompt": "The river"}, cast_to=object)["tokens"]
    options = {"model": "tiny", "max_tokens": 8, "temperature": 0, "extra_body": {"ignore_eos": True}}
    assert client.completions.create(prompt=ids, **options).choices[0].text == \
        client.completions.create(prompt="The river", **options).choices[0].text


def test_the_async_client_streams_side_by_side(server):
    async def ask(client):
        stream = await chat(client, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def ask_all():
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
            return await asyncio.gather(*(ask(client) for _ in range(4)))

    assert len(set(asyncio.run(ask_all()))) == 1
