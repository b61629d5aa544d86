# SPDX-License-Identifier: Apache-2.0
"""Prompt scoring on the bundled model, two ranks: what evaluation harnesses do, against Transformers' numbers."""

import hashlib
import json
import math
import urllib.request

import numerics
import openai
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, ranks

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
GOLDEN = json.loads((ROOT / "tests" / "golden" / "prompt_logprobs.json").read_text(encoding="utf-8"))
PROMPTS = GOLDEN["prompts"]
TOLERANCE = 1e-4  # relative, of float32
# Apart by so much, the order of two ids is certain.
CERTAIN = 10 * TOLERANCE if numerics.EXACT else numerics.LOGIT_ERROR[numerics.BUNDLED]


@pytest.fixture(scope="module")
def demo():
    digest = hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest()
    assert digest == GOLDEN["model_sha256"], "another model: run tests/reference/prompt_logprobs_golden.py"
    # Chunks of 64 tokens: a prompt takes several steps.
    with SluiceServer(MODEL, f"--tp-size={ranks(2)}", "--max-batched-tokens=64", "--max-num-seqs=16") as server:
        yield server


@pytest.fixture(scope="module")
def client(demo):
    with openai.OpenAI(base_url=f"{demo.url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def post(server, path, body):
    request = urllib.request.Request(server.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


def near(ours, theirs):
    numerics.assert_near(ours, theirs, numerics.BUNDLED, TOLERANCE)


@pytest.mark.parametrize("max_tokens", [0, 1])
def test_a_harness_scores_continuations(demo, max_tokens):
    """The request of lm-evaluation-harness' local-completions: a batch of id lists, echo, one log probability; and what
    it makes of the answer: the sum over a continuation, and whether greedy decoding would have said it."""
    context = 5  # ids of each prompt that are not scored
    batch = [prompt["ids"] for prompt in PROMPTS if len(prompt["ids"]) > context]
    answer = post(demo, "/v1/completions", {
        "model": "sluice-demo", "prompt": batch, "temperature": 0, "max_tokens": max_tokens, "logprobs": 1,
        "seed": 1234, "echo": True})
    choices = sorted(answer["choices"], key=lambda choice: choice["index"])
    assert len(choices) == len(batch) == 3
    golden = [prompt for prompt in PROMPTS if len(prompt["ids"]) > context]
    for choice, prompt in zip(choices, golden):
        found = choice["logprobs"]
        end = -1 if max_tokens else None  # the harness drops the generated one
        values, tops = found["token_logprobs"][context:end], found["top_logprobs"][context:end]
        near(values, prompt["logprobs"][context - 1:])
        # On a GPU a sum's error is that of one, times the root of how many there are.
        error = 1e-2 if numerics.EXACT else math.sqrt(len(values)) * numerics.LOGIT_ERROR[numerics.BUNDLED] / 4
        assert abs(sum(values) - sum(prompt["logprobs"][context - 1:])) < error
        # Where the two most likely are apart, greedy or not is certain.
        for at, (value, top) in enumerate(zip(values, tops), start=context - 1):
            first, second = prompt["top_logprobs"][at][:2]
            if first - second > CERTAIN:
                assert (value == max(top.values())) == (prompt["top_ids"][at][0] == prompt["ids"][at + 1])
    assert answer["usage"]["prompt_tokens"] == sum(map(len, batch))
    assert answer["usage"]["completion_tokens"] == max_tokens * len(batch)


def test_an_echo_has_openais_shape(client):
    text = "The quick brown fox, 你好 🙂, jumps."
    whole = client.completions.create(model="sluice-demo", prompt=text, max_tokens=4, temperature=0, echo=True,
                                      logprobs=2, extra_body={"ignore_eos": True})
    choice = whole.choices[0]
    found = choice.logprobs
    assert choice.text.startswith(text) and len(choice.text) > len(text)
    count = whole.usage.prompt_tokens + 4
    assert len(found.tokens) == len(found.token_logprobs) == len(found.top_logprobs) == len(found.text_offset) == count
    assert found.token_logprobs[0] is None and found.top_logprobs[0] is None
    assert all(value <= 0 for value in found.token_logprobs[1:])
    assert all(2 <= len(top) <= 3 for top in found.top_logprobs[1:])
    for token, begin in zip(found.tokens[:whole.usage.prompt_tokens], found.text_offset):
        if not token.startswith("bytes:"):
            assert choice.text[begin:begin + len(token)] == token
    plain = client.completions.create(model="sluice-demo", prompt=text, max_tokens=4, temperature=0,
                                      extra_body={"ignore_eos": True})
    assert choice.text == text + plain.choices[0].text
    assert plain.usage == whole.usage
    pieces = list(client.completions.create(model="sluice-demo", prompt=text, max_tokens=4, temperature=0, echo=True,
                                            logprobs=2, stream=True, extra_body={"ignore_eos": True}))
    parts = [piece.choices[0] for piece in pieces]
    assert "".join(part.text for part in parts) == choice.text
    logprobs = [part.logprobs for part in parts if part.logprobs]
    assert [value for part in logprobs for value in part.token_logprobs] == found.token_logprobs
    assert [value for part in logprobs for value in part.text_offset] == found.text_offset


def test_an_echo_without_log_probabilities_is_text(client):
    answer = client.completions.create(model="sluice-demo", prompt=["Hi", "<|im_start|>user\n"], max_tokens=0, echo=True)
    assert [choice.text for choice in answer.choices] == ["Hi", "<|im_start|>user\n"]
    assert [choice.finish_reason for choice in answer.choices] == ["length", "length"]
    assert all(choice.logprobs is None for choice in answer.choices)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: f"{len(prompt['ids'])}_ids")
def test_prompt_logprobs_are_transformers_own(demo, prompt):
    answer = post(demo, "/v1/completions", {"prompt": prompt["ids"], "max_tokens": 1, "prompt_logprobs": 5, "n": 2})
    for choice in answer["choices"]:
        scores = choice["prompt_logprobs"]
        assert scores[0] is None and len(scores) == len(prompt["ids"])
        near([score[str(i)]["logprob"] for score, i in zip(scores[1:], prompt["ids"][1:])], prompt["logprobs"])
        for score, top_ids, top in zip(scores[1:], prompt["top_ids"], prompt["top_logprobs"]):
            ranked = sorted((entry["rank"], entry["logprob"]) for entry in score.values() if entry["rank"])
            assert [rank for rank, _ in ranked] == [1, 2, 3, 4, 5]
            near([value for _, value in ranked], top)
            if top[0] - top[1] > CERTAIN:
                assert score[str(top_ids[0])]["rank"] == 1


def test_a_chat_scores_its_rendered_prompt(demo):
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1, "prompt_logprobs": 0}
    answer = post(demo, "/v1/chat/completions", body)
    ids = post(demo, "/tokenize", {"messages": body["messages"]})["tokens"]
    scores = answer["prompt_logprobs"]
    assert scores[0] is None
    assert [list(score) for score in scores[1:]] == [[str(i)] for i in ids[1:]]
    client = ReflectedClient(demo.grpc_address)
    call, request = client.method("sluice.v1.Inference", "Chat")
    responses = list(call(request(messages=body["messages"], max_tokens=1, prompt_logprobs=2, n=2), timeout=120))
    client.channel.close()
    told = [entry for response in responses for entry in response.prompt_logprobs]
    assert [entry.id for entry in told] == ids
    assert [entry.HasField("logprob") for entry in told] == [False] + [True] * (len(ids) - 1)
    assert all(len(entry.top) == 2 for entry in told[1:])
    near([entry.logprob for entry in told[1:]], [score[str(i)]["logprob"] for score, i in zip(scores[1:], ids[1:])])
    raw = post(demo, "/v1/completions", {"prompt": ids, "max_tokens": 0, "echo": True, "logprobs": 0})
    assert raw["choices"][0]["logprobs"]["token_logprobs"][1:] == [
        score[str(i)]["logprob"] for score, i in zip(scores[1:], ids[1:])]


def test_scores_do_not_depend_on_what_else_runs(demo):
    """Alone and in a batch, whatever the chunks were: on the CPU bit for bit."""
    longest = max(PROMPTS, key=lambda prompt: len(prompt["ids"]))["ids"]
    ask = {"max_tokens": 0, "echo": True, "logprobs": 3}
    alone = post(demo, "/v1/completions", {"prompt": longest, **ask})["choices"][0]
    again = post(demo, "/v1/completions", {"prompt": longest, **ask})["choices"][0]
    assert again == alone, "the same steps, the same bits, on any device"
    alone = numerics.of_completion(alone)
    batch = post(demo, "/v1/completions", {"prompt": [longest[:n] for n in (200, 7, 150, 64, 65)], **ask})["choices"]
    for choice, n in zip(sorted(batch, key=lambda choice: choice["index"]), (200, 7, 150, 64, 65)):
        numerics.assert_same(numerics.of_completion(choice), alone[:n], numerics.BUNDLED)
