# SPDX-License-Identifier: Apache-2.0
"""Answers, log probabilities and usage are the same with and without speculation; where text repeats it saves steps."""

import concurrent.futures
import json
import urllib.request

import numerics
import pytest
from sluice_server import ROOT, SluiceServer, needs_ranks

DEMO = ROOT / "deploy" / "demo_model" / "sluice-demo"
LOOP = "Count the r's in strawberry. " * 12
SAMPLINGS = [{"temperature": 0}, {"temperature": 0.8, "top_p": 0.9, "top_k": 40, "seed": 3},
             {"temperature": 1.0, "seed": 4, "frequency_penalty": 0.2, "presence_penalty": 0.1, "logit_bias": {"17": 2}}]
# A GPU's answers are compared as far as their log probabilities, of what was drawn from, show near ties.
LISTED, OPTIONS = ({}, []) if numerics.EXACT else ({"logprobs": 20}, ["--logprobs-mode=processed"])
CHATS = ["How many letters r are in strawberry?", "Spell guitar. /no_think", "What is 347 plus 85?", "Hello!"]


def bodies():
    """Paths and bodies: chats that end by themselves, and raw text that goes on up to a limit or a stop id."""
    for index, sampling in enumerate(SAMPLINGS):
        for chat in CHATS:
            yield "/v1/chat/completions", {"messages": [{"role": "user", "content": chat}], "logprobs": True,
                                           "top_logprobs": LISTED.get("logprobs", 3), "max_tokens": 300, **sampling}
        yield "/v1/completions", {"prompt": LOOP, "max_tokens": 150 + index, "ignore_eos": True, "logprobs": 2, **sampling,
                                  **LISTED}
        yield "/v1/completions", {"prompt": LOOP, "max_tokens": 20, "echo": True, "logprobs": 1, **sampling, **LISTED}
        yield "/v1/completions", {"prompt": LOOP, "max_tokens": 200, "min_tokens": 30, "stop": [" r"], **sampling,
                                  **LISTED}


def post(server, path, body):
    request = urllib.request.Request(f"{server.url}{path}", json.dumps({"model": "sluice-demo", **body}).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as response:
        answer = json.load(response)
    return {"choices": answer["choices"], "completion_tokens": answer["usage"]["completion_tokens"]}


def serve(tp_size, *options):
    """Answers one after the other, then all at once; and the leader's metrics in between and at the end."""
    with SluiceServer(DEMO, f"--tp-size={tp_size}", *OPTIONS, *options) as server:
        alone = [post(server, path, body) for path, body in bodies()]
        between = server.worker_metrics()
        with concurrent.futures.ThreadPoolExecutor(16) as pool:
            together = list(pool.map(lambda args: post(server, *args), bodies()))
        return alone, together, between, server.worker_metrics()


def same(found, expected):
    """The same answers to all of them: whole on the CPU, on a GPU up to near ties."""
    if numerics.EXACT:
        for mine, theirs in zip(found, expected, strict=True):
            assert mine == theirs
        return
    id_of = numerics.bundled_id_of()
    drawn, ours, theirs = [], [], []
    for (path, body), mine, other in zip(bodies(), found, expected, strict=True):
        drawn.append(numerics.Draws(id_of, body["seed"]) if body["temperature"] else None)
        for steps, answer in ((ours, mine), (theirs, other)):
            (choice,) = answer["choices"]
            steps.append(numerics.of_chat(choice) if "chat" in path else numerics.of_completion(choice))
        if body.get("echo"):  # a prompt's log probabilities are of no draws
            prompt = len(theirs[-1]) - other["completion_tokens"]
            numerics.assert_same(ours[-1][:prompt], theirs[-1][:prompt], numerics.BUNDLED)
            ours[-1], theirs[-1] = ours[-1][prompt:], theirs[-1][prompt:]
    numerics.assert_all_same(ours, theirs, numerics.BUNDLED, drawn)


@pytest.fixture(scope="module")
def plain():
    return serve(1, "--speculation=off")


def count(metrics, name):
    return metrics[f"sluice_speculation_{name}_tokens_total"]


def test_off_is_off(plain):
    alone, together, _, after = plain
    same(together, alone)
    assert count(after, "drafted") == count(after, "accepted") == 0
    assert len({json.dumps(answer) for answer in alone}) >= len(CHATS) + 4, "answers that are all alike prove nothing"


@pytest.mark.parametrize("options", [
    [1, "--speculation=prompt-lookup"],
    [1, "--speculation=prompt-lookup", "--speculative-tokens=3", "--speculation-max-rows=64"],
    [2, "--speculation=prompt-lookup", "--speculation-max-rows=64"],
])
def test_answers_are_the_same_in_fewer_steps(plain, options):
    needs_ranks(options[0])
    alone, together, between, after = serve(*options)
    same(alone, plain[0])
    same(together, plain[0])
    assert 0 < count(between, "accepted") < count(between, "drafted")
    assert between["sluice_step_duration_seconds_count"] < sum(answer["completion_tokens"] for answer in alone)
    assert count(after, "accepted") >= count(between, "accepted")
