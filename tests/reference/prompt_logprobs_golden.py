# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/prompt_logprobs.json: how likely Transformers' Qwen3 in float32 finds the ids of some prompts, on
the bundled model: the truth of prompt_logprobs and of echo.

    python3 tests/reference/prompt_logprobs_golden.py           write the golden
    python3 tests/reference/prompt_logprobs_golden.py --check   derive it again and compare

Needs: pip install torch==2.13.0 transformers==5.23.0 tokenizers safetensors numpy
"""

import hashlib
import json
import random
import sys

import tokenizers
import torch
import transformers

from awq_reader import load_model
from parity_checkpoint import ROOT

MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
OUT = ROOT / "tests" / "golden" / "prompt_logprobs.json"
TOP = 5
TEXTS = [
    "Hi",
    "<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n12 + 30 = 42.<|im_end|>",
    "The quick brown fox jumps over the lazy dog. " * 3 + "naïve café, 你好, 🙂 and \t tabs.",
]
RANDOM_IDS = 200  # a prompt that the model finds unlikely, longer than a chunk and three pages


def prompts():
    tokenizer = tokenizers.Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    found = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
    rng = random.Random(20261126)
    found.append([rng.randrange(4000) for _ in range(RANDOM_IDS)])
    return found


def score(model, ids):
    """Of every id but the first: its log probability, and the ids and log probabilities of the most likely."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0, :-1].double()
    logprobs = torch.log_softmax(logits, -1)
    # Equal logits are listed by lower id.
    top = torch.sort(logprobs, descending=True, stable=True)
    return {
        "ids": ids,
        "logprobs": [round(row[i], 6) for row, i in zip(logprobs.tolist(), ids[1:])],
        "top_ids": top.indices[:, :TOP].tolist(),
        "top_logprobs": [[round(value, 6) for value in row] for row in top.values[:, :TOP].tolist()],
    }


def make():
    model = load_model(MODEL)
    return {
        "made_by": "tests/reference/prompt_logprobs_golden.py",
        "versions": {"torch": torch.__version__.split("+")[0], "transformers": transformers.__version__},
        "model_sha256": hashlib.sha256((MODEL / "model.safetensors").read_bytes()).hexdigest(),
        "prompts": [score(model, ids) for ids in prompts()],
    }


def check():
    golden = json.loads(OUT.read_text(encoding="utf-8"))
    for old, new in zip(golden["prompts"], make()["prompts"], strict=True):
        assert old["ids"] == new["ids"]
        pairs = zip(old["logprobs"], new["logprobs"], strict=True)
        # Another version of torch may sum in another order.
        difference = max((abs(a - b) / max(1.0, abs(b)) for a, b in pairs), default=0.0)
        print(f"{len(new['ids'])} ids: differ by {difference:.1e}")
        if not difference < 2e-5:
            sys.exit("tests/golden/prompt_logprobs.json is not what Transformers computes")


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    made = make()
    head = json.dumps({key: value for key, value in made.items() if key != "prompts"})
    lines = ",\n".join(json.dumps(prompt, separators=(",", ":")) for prompt in made["prompts"])
    OUT.write_text(f'{head[:-1]}, "prompts": [\n{lines}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
