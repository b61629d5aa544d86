# SPDX-License-Identifier: Apache-2.0
"""The bundled model's greedy answers to fifty prompts, id for id as Transformers gives them (tests/golden/demo/greedy.json):
from text through template, tokenizer, AWQ weights and two ranks, to ids again.

The golden holds for each id how far the two largest logits were apart. Where that is a near tie, another order of
float32 summation may choose the other one, so ids are compared up to there. A GPU's bf16 makes more ties near, but it must
say most answers whole.
"""

import hashlib
import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import numerics
import pytest
from reflected_client import ReflectedClient
from sluice_server import ROOT, SluiceServer, needs_ranks

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
GOLDEN = json.loads((ROOT / "tests" / "golden" / "demo" / "greedy.json").read_text(encoding="utf-8"))
CLIENTS = 8  # at a time, so that answers are batched together


def test_the_golden_is_of_this_model():
    hashes = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in MODEL.iterdir()}
    assert hashes == GOLDEN["files"], "the bundled model changed; regenerate with: python3 tests/reference/demo_greedy.py"


def test_the_golden_holds_fifty_whole_answers_of_every_kind():
    prompts = GOLDEN["prompts"]
    assert len(prompts) == 50
    assert all(len(p["gaps"]) == len(p["ids"]) <= GOLDEN["max_tokens"] for p in prompts)
    assert sum(common_length(p) for p in prompts) > 0.9 * sum(len(p["ids"]) for p in prompts)
    texts = [p["text"] for p in prompts]
    assert sum("<tool_call>" in text for text in texts) >= 5
    assert sum("<think>\n\n</think>" in text or "<think>" not in text for text in texts) >= 10
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts) >= 5


def common_length(answer, near_tie=GOLDEN["near_tie"]):
    return next((i for i, gap in enumerate(answer["gaps"]) if gap < near_tie), len(answer["ids"]))


@pytest.fixture(scope="module", params=[1, 2], ids=["one rank", "two ranks"])
def server(request):
    needs_ranks(request.param)
    with SluiceServer(MODEL, f"--tp-size={request.param}") as running:
        yield running


def test_prompts_become_the_same_ids(server):
    for prompt in GOLDEN["prompts"]:
        body = {"messages": prompt["messages"], "tools": prompt.get("tools")}
        if "enable_thinking" in prompt:
            body["chat_template_kwargs"] = {"enable_thinking": prompt["enable_thinking"]}
        request = urllib.request.Request(f"{server.url}/tokenize", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as response:
            assert json.load(response)["tokens"] == prompt["prompt_ids"], prompt["messages"][-1]


def as_grpc(message):
    """A message in the fields of the proto: tool calls are flat, their arguments JSON text."""
    calls = [{"id": call["id"], "name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])}
             for call in message.get("tool_calls", [])]
    return {**message, "tool_calls": calls} if calls else message


def test_answers_are_the_same_ids(server):
    client = ReflectedClient(server.grpc_address)
    call, request = client.method("sluice.v1.Inference", "Chat")

    def answer(prompt):
        tools = [{"name": t["function"]["name"], "description": t["function"]["description"],
                  "parameters_json": json.dumps(t["function"]["parameters"])} for t in prompt.get("tools", [])]
        options = {"enable_thinking": prompt["enable_thinking"]} if "enable_thinking" in prompt else {}
        responses = list(call(request(messages=[as_grpc(m) for m in prompt["messages"]], tools=tools, temperature=0.0,
                                      top_logprobs=0, max_tokens=GOLDEN["max_tokens"], **options), timeout=300))
        return [entry.id for r in responses for entry in r.logprobs], responses[-1].usage

    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = list(pool.map(answer, GOLDEN["prompts"]))
    client.channel.close()
    near_tie = GOLDEN["near_tie"] if numerics.EXACT else numerics.LOGIT_ERROR[numerics.BUNDLED]
    assert sum(ids == prompt["ids"] for prompt, (ids, _) in zip(GOLDEN["prompts"], answers)) >= 0.9 * len(answers)
    for prompt, (ids, usage) in zip(GOLDEN["prompts"], answers):
        length = common_length(prompt, near_tie)
        assert ids[:length] == prompt["ids"][:length], (prompt["messages"][-1], prompt["text"])
        if length == len(prompt["ids"]):
            assert ids == prompt["ids"] and usage.completion_tokens == len(prompt["ids"])
        assert usage.prompt_tokens == len(prompt["prompt_ids"])
