# SPDX-License-Identifier: Apache-2.0
"""Sampling parameters as clients meet them, on the bundled model: limits, stops, seeds, choices, and what usage counts."""

import concurrent.futures
import json
import math
import urllib.request

import numerics
import openai
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, ranks

QUESTION = [{"role": "user", "content": "How many letters r are in strawberry?"}]
COUNTED = ("prompt_tokens", "completion_tokens", "total_tokens")


@pytest.fixture(scope="module")
def grpc_chat(demo_server):
    made = ReflectedClient(demo_server.grpc_address)
    call, request = made.method("sluice.v1.Inference", "Chat")

    def ask(**fields):
        return list(call(request(**fields), timeout=120))
    yield ask
    made.channel.close()


def token_id(server, text):
    request = urllib.request.Request(f"{server.url}/tokenize", json.dumps({"prompt": text}).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        ids = json.load(answer)["tokens"]
    assert len(ids) == 1
    return ids[0]


def chat(client, messages=QUESTION, extra_body=None, **options):
    settings = {"model": "sluice-demo", "max_tokens": 24, "temperature": 0}
    return client.chat.completions.create(messages=messages, extra_body=extra_body or {}, **(settings | options))


def complete(client, prompt="Once upon a time", **options):
    settings = {"model": "sluice-demo", "max_tokens": 24, "temperature": 0}
    return client.completions.create(prompt=prompt, **(settings | options))


def test_the_end_of_sequence_id_waits_for_min_tokens(demo_server, demo):
    end = token_id(demo_server, "<|im_end|>")
    pushed = {"logit_bias": {str(end): 100}}
    at_once = complete(demo, **pushed)
    assert at_once.choices[0].finish_reason == "stop" and at_once.usage.completion_tokens == 1
    assert at_once.choices[0].text == ""
    later = complete(demo, **pushed, extra_body={"min_tokens": 5})
    assert later.choices[0].finish_reason == "stop" and later.usage.completion_tokens == 6
    never = complete(demo, **pushed, extra_body={"ignore_eos": True})
    assert never.choices[0].finish_reason == "length" and never.usage.completion_tokens == 24


def test_stop_token_ids_stop_even_with_ignore_eos(demo_server, demo):
    end, other = token_id(demo_server, "<|im_end|>"), token_id(demo_server, " a")
    pushed = {"logit_bias": {str(other): 100}}
    stopped = complete(demo, **pushed, extra_body={"ignore_eos": True, "stop_token_ids": [other, end], "min_tokens": 3})
    choice = stopped.choices[0]
    assert choice.finish_reason == "stop" and choice.stop_reason == other
    assert stopped.usage.completion_tokens == 4
    shown = complete(demo, **pushed, extra_body={"stop_token_ids": [other], "include_stop_str_in_output": True})
    assert shown.choices[0].text == " a"


@pytest.mark.parametrize("stream", [False, True])
def test_stop_strings_wait_for_min_tokens(demo_server, demo, stream):
    ids = [token_id(demo_server, word) for word in (" a", " the")]

    def text_of(extra=None, **options):
        answer = complete(demo, max_tokens=40, temperature=1, seed=1, stream=stream,
                          extra_body={"allowed_token_ids": ids} | (extra or {}), **options)
        if stream:
            choices = [choice for piece in answer for choice in piece.choices]
            return "".join(choice.text for choice in choices), choices[-1].finish_reason
        return answer.choices[0].text, answer.choices[0].finish_reason

    whole, finish = text_of()
    assert finish == "length"
    words = whole.split()
    assert len(words) == 40
    stop = words[0]
    assert text_of(stop=stop) == (" ", "stop")
    late, finish = text_of(stop=stop, extra={"min_tokens": 10})
    at = next(i for i in range(10, 40) if words[i] == stop)
    assert (late.split(), finish) == (words[:at], "stop")


def test_seeds_give_the_same_whatever_else_runs(demo):
    # From all ids; on a GPU from as many as the log probabilities show, to tell near ties by.
    shown = {"logprobs": 1, "extra_body": {"top_k": -1}} if numerics.EXACT else {"logprobs": 20, "extra_body": {"top_k": 20}}
    id_of = numerics.bundled_id_of()

    def answers(seed, n=1):
        answer = complete(demo, temperature=3, top_p=1, seed=seed, n=n, **shown)
        return [numerics.of_completion(choice) for choice in sorted(answer.choices, key=lambda choice: choice.index)]

    def same(found, expected, seed):
        for choice, (mine, theirs) in enumerate(zip(found, expected)):
            numerics.assert_same(mine, theirs, numerics.BUNDLED, numerics.Draws(id_of, seed, choice, True, 3.0))

    def different(all_of_them):
        return len({tuple(step.token for step in steps) for steps in all_of_them})

    alone = {seed: answers(seed) for seed in range(4)}
    assert different(answer for answer, in alone.values()) == 4
    assert {seed: answers(seed) for seed in range(4)} == alone, "the same steps, the same bits, on any device"
    three = answers(1, n=3)
    same(three[:1], alone[1], 1)
    assert different(three) == 3
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        together = [pool.submit(answers, seed, n) for seed in range(4) for n in (1, 3, 2)]
        for at, future in enumerate(together):
            seed, n = at // 3, (1, 3, 2)[at % 3]
            found = future.result()
            assert len(found) == n
            same(found[:1], alone[seed], seed)
            if seed == 1:
                same(found, three[:n], seed)


def test_tiny_temperatures_and_thresholds_are_greedy(demo):
    greedy = complete(demo).choices[0].text
    for options in ({"temperature": 1e-6, "seed": 2}, {"temperature": 1.0, "top_p": 1e-6, "seed": 3},
                    {"temperature": 1.0, "seed": 4, "extra_body": {"top_k": 1}},
                    {"temperature": 1.0, "seed": 5, "extra_body": {"min_p": 1.0}}):
        assert complete(demo, **options).choices[0].text == greedy


def thought(tokens):
    """Ids between the thinking tags."""
    if "<think>" not in tokens:
        return 0
    end = tokens.index("</think>") if "</think>" in tokens else len(tokens)
    return end - tokens.index("<think>") - 1


@pytest.mark.parametrize("n, max_tokens", [(1, 300), (3, 300), (3, 12)])
def test_usage_counts_thinking_over_all_choices(demo, grpc_chat, n, max_tokens):
    options = {"temperature": 1.0, "seed": 5, "n": n, "max_tokens": max_tokens}
    whole = chat(demo, logprobs=True, **options)
    tokens = [[entry.token for entry in choice.logprobs.content] for choice in whole.choices]
    usage = whole.usage
    assert usage.completion_tokens == sum(map(len, tokens))
    assert usage.completion_tokens_details.reasoning_tokens == sum(map(thought, tokens)) > 0
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_tokens_details.cached_tokens <= usage.prompt_tokens

    pieces = list(chat(demo, stream=True, stream_options={"include_usage": True}, **options))
    streamed = pieces[-1].usage
    assert pieces[-1].choices == [] and all(piece.usage is None for piece in pieces[:-1])
    for name in COUNTED:
        assert getattr(streamed, name) == getattr(usage, name)
    assert streamed.completion_tokens_details == usage.completion_tokens_details

    last = grpc_chat(messages=QUESTION, **options)[-1].usage
    for name in COUNTED:
        assert getattr(last, name) == getattr(usage, name)
    assert last.reasoning_tokens == usage.completion_tokens_details.reasoning_tokens


def test_usage_so_far_is_the_choices_own(demo):
    options = {"temperature": 1.0, "seed": 5, "max_tokens": 40, "stream": True,
               "stream_options": {"include_usage": True, "continuous_usage_stats": True}}
    pieces = list(chat(demo, **options))
    counts = [piece.usage.completion_tokens for piece in pieces if piece.choices]
    assert counts == sorted(counts) and counts[-1] == pieces[-1].usage.completion_tokens
    thinking = [piece.usage.completion_tokens_details.reasoning_tokens for piece in pieces]
    assert thinking == sorted(thinking)


def test_processed_log_probabilities_are_of_what_is_drawn_from(demo):
    options = {"temperature": 1.5, "top_p": 1, "seed": 1, "logprobs": 5, "echo": True, "extra_body": {"top_k": 3}}
    model = ROOT / "deploy" / "demo_model" / "sluice-demo"
    with SluiceServer(model, f"--tp-size={ranks(2)}", "--logprobs-mode=processed") as server:
        with openai.OpenAI(base_url=f"{server.url}/v1", api_key="unused", max_retries=0) as client:
            processed = complete(client, **options)
    raw = complete(demo, **options)
    assert processed.choices[0].text == raw.choices[0].text
    prompt = processed.usage.prompt_tokens
    found, unprocessed = processed.choices[0].logprobs, raw.choices[0].logprobs
    assert found.token_logprobs[:prompt] == unprocessed.token_logprobs[:prompt], "a prompt's are raw"
    for value, top, raw_top in zip(found.token_logprobs[prompt:], found.top_logprobs[prompt:],
                                   unprocessed.top_logprobs[prompt:], strict=True):
        assert len(top) == 3 and len(raw_top) >= 5
        assert value in top.values()
        assert math.isclose(sum(map(math.exp, top.values())), 1, rel_tol=1e-5)
        # Apart from a constant, the temperature is all that lies between the two.
        least = min(top, key=top.get)
        best = max(top, key=top.get)
        assert math.isclose((top[best] - top[least]) * 1.5, raw_top[best] - raw_top[least], rel_tol=1e-3, abs_tol=1e-3)
