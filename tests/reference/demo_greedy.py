# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/demo/greedy.json: what the bundled model answers to the prompts of demo_prompts.py, greedily, by
Transformers: its own tokenizer and template code on the folder's files, and Qwen3 in float32 with the weights that
awq_reader.py dequantizes. To run whenever deploy/demo_model/sluice-demo changes:

    python3 tests/reference/demo_greedy.py             write the golden (a minute)
    python3 tests/reference/demo_greedy.py --check 3   derive three of its answers again, drawn at random, and compare

Each answer holds, for every id, the gap between the two largest logits as a share of their range. Where it is below
NEAR_TIE another order of summation may choose otherwise: ids are compared up to there.

Needs: pip install torch==2.13.0 transformers==5.24.0 safetensors jinja2
"""

import argparse
import hashlib
import json
import pathlib
import random
import sys

import tokenizers
import torch
import transformers

from awq_reader import load_model
from demo_prompts import PROMPTS

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "deploy" / "demo_model" / "sluice-demo"
OUTPUT = ROOT / "tests" / "golden" / "demo" / "greedy.json"
MAX_TOKENS = 320
BATCH = 10
NEAR_TIE = 1e-4


class Reference:
    """The model, the tokenizer and the ids that end an answer, as Transformers reads them."""

    def __init__(self):
        self.model = load_model(MODEL)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
        self.ends = json.loads((MODEL / "generation_config.json").read_text(encoding="utf-8"))["eos_token_id"]

    def prompt_ids(self, prompt):
        options = {"enable_thinking": prompt["enable_thinking"]} if "enable_thinking" in prompt else {}
        text = self.tokenizer.apply_chat_template(prompt["messages"], tools=prompt.get("tools"), tokenize=False,
                                                  add_generation_prompt=True, **options)
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    @torch.no_grad()
    def batch(self, prompts):
        """Answers of prompts of about the same length, padded on the left."""
        ids = [self.prompt_ids(prompt) for prompt in prompts]
        width = max(map(len, ids))
        padded = torch.tensor([[self.ends[-1]] * (width - len(row)) + row for row in ids])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ids])
        output = self.model.generate(padded, attention_mask=mask, do_sample=False, max_new_tokens=MAX_TOKENS,
                                     eos_token_id=self.ends, pad_token_id=self.ends[-1], output_logits=True,
                                     return_dict_in_generate=True)
        logits = torch.stack(output.logits, dim=1)
        top = logits.topk(2).values
        gaps = ((top[..., 0] - top[..., 1]) / (logits.amax(-1) - logits.amin(-1))).tolist()
        for prompt, prompt_ids, row, row_gaps in zip(prompts, ids, output.sequences[:, width:].tolist(), gaps):
            length = next((i + 1 for i, token in enumerate(row) if token in self.ends), len(row))
            yield {**prompt, "prompt_ids": prompt_ids, "ids": row[:length],
                   "gaps": [float(f"{gap:.2e}") for gap in row_gaps[:length]], "text": self.tokenizer.decode(row[:length])}

    def answers(self, prompts):
        order = sorted(range(len(prompts)), key=lambda i: len(self.prompt_ids(prompts[i])))
        answers = [None] * len(prompts)
        for begin in range(0, len(order), BATCH):
            part = order[begin:begin + BATCH]
            for index, answer in zip(part, self.batch([prompts[i] for i in part])):
                answers[index] = answer
        return answers


def sha256_of_files():
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(MODEL.iterdir())}


def write():
    reference = Reference()
    answers = reference.answers(PROMPTS)
    head = {"made_by": "tests/reference/demo_greedy.py",
            "versions": {"torch": torch.__version__, "transformers": transformers.__version__,
                         "tokenizers": tokenizers.__version__},
            "files": sha256_of_files(), "max_tokens": MAX_TOKENS, "near_tie": NEAR_TIE}
    lines = ",\n".join("  " + json.dumps(answer, ensure_ascii=False) for answer in answers)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(head, indent=1)[:-2] + ',\n "prompts": [\n' + lines + "\n ]\n}\n", encoding="utf-8")
    gaps = [gap for answer in answers for gap in answer["gaps"]]
    near, cut = sum(gap < NEAR_TIE for gap in gaps), sum(len(a["ids"]) == MAX_TOKENS for a in answers)
    print(f"{OUTPUT.relative_to(ROOT)}: {len(answers)} answers, {len(gaps)} ids, {near} near ties, least gap {min(gaps):.1e}, "
          f"{cut} cut off at {MAX_TOKENS}")


def common_length(answer):
    """Ids that any correct float32 computation must share."""
    return next((i for i, gap in enumerate(answer["gaps"]) if gap < NEAR_TIE), len(answer["ids"]))


def check(number, rng):
    golden = json.loads(OUTPUT.read_text(encoding="utf-8"))
    if golden["files"] != sha256_of_files():
        sys.exit("the bundled model changed; regenerate with: python3 tests/reference/demo_greedy.py")
    chosen = rng.sample(range(len(PROMPTS)), number)
    for index, found in zip(chosen, Reference().answers([PROMPTS[i] for i in chosen])):
        prompt, expected = PROMPTS[index], golden["prompts"][index]
        length = common_length(expected)
        if any(expected[key] != value for key, value in prompt.items()) or found["prompt_ids"] != expected["prompt_ids"]:
            sys.exit(f"prompt {index} is not the golden's")
        if found["ids"][:length] != expected["ids"][:length]:
            sys.exit(f"prompt {index}: Transformers answers {found['text']!r}, the golden says {expected['text']!r}")
        print(f"prompt {index}: {length} of {len(expected['ids'])} ids compared, equal")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", metavar="N", type=int)
    arguments = parser.parse_args()
    if arguments.check:
        check(arguments.check, random.SystemRandom())
    else:
        write()


if __name__ == "__main__":
    main()
