# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/sampling.json: what vLLM's sampling steps do to random rows, computed with torch in float64.

The steps restate vllm/v1/sample (sampler.py, ops/penalties.py, ops/topk_topp_sampler.py, logits_processor/builtin.py)
independently of kernels/cpu/sampling. Rows where a float32 implementation could rightly differ (a decision within
1e-5 of its bound) are thrown away, except exact ties, which are wanted.

Usage: python3 tests/reference/sampling_golden.py   (needs torch 2.13.0)
"""

import json
import pathlib
import random

import torch

VOCAB, ROW = 90, 96  # six padding rows
MASKED = float("-inf")
MARGIN = 1e-5
OUT = pathlib.Path(__file__).resolve().parents[1] / "golden" / "sampling.json"


def philox(counter, key):
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def uniform(seed, choice, position):
    bits = philox([position & 0xFFFFFFFF, position >> 32, choice, 0], [seed & 0xFFFFFFFF, seed >> 32])
    return ((bits[0] << 32 | bits[1]) >> 11) * 2.0**-53


def make_case(rng, ties):
    logits = [rng.gauss(0, 3) for _ in range(ROW)]
    # Short decimals that float32 holds exactly; coarse ones make ties.
    step = 0.5 if ties else 2.0**-10
    logits = [round(x / step) * step for x in logits]

    def sometimes(make, off):
        return make() if rng.random() < 0.4 else off

    def ids(count):
        return rng.sample(range(VOCAB), count)

    return {
        "logits": logits,
        "vocab_size": VOCAB,
        "temperature": rng.choice([0.0, 0.25, 0.5, 1.0, 1.0, 2.0]),
        "top_k": sometimes(lambda: rng.choice([1, 2, 5, 20, 60, 200]), 0),
        "top_p": sometimes(lambda: rng.choice([0.125, 0.5, 0.75, 0.9375]), 1.0),
        "min_p": sometimes(lambda: rng.choice([0.0625, 0.25, 0.5]), 0.0),
        "repetition_penalty": sometimes(lambda: rng.choice([0.5, 1.25, 2.0]), 1.0),
        "presence_penalty": sometimes(lambda: rng.choice([-0.75, 1.5]), 0.0),
        "frequency_penalty": sometimes(lambda: rng.choice([-0.25, 0.5]), 0.0),
        "logit_bias": sometimes(lambda: [[i, rng.choice([-100.0, -1.5, 2.0, 8.0])] for i in ids(5)], []),
        "allowed_ids": sometimes(lambda: ids(30), []),
        "banned_ids": sometimes(lambda: ids(10), []),
        "stop_ids": ids(3),
        "min_tokens": rng.choice([0, 0, 4]),
        "output_position": 3,
        "prompt": [rng.randrange(VOCAB) for _ in range(12)],
        "output": [rng.randrange(VOCAB // 3) for _ in range(20)],
        "seed": rng.getrandbits(64),
        "choice": rng.randrange(4),
    }


def close(values, bound):
    """Whether a finite value lies near the bound without being equal to it."""
    d = (values - bound).abs()
    return bool(((d < MARGIN) & (d > 0) & torch.isfinite(values)).any())


def answer(case):
    """The expected results, or None where float32 may differ."""
    raw = torch.tensor(case["logits"], dtype=torch.float64)
    logprobs = torch.log_softmax(raw, -1)
    x = raw[: case["vocab_size"]].clone()
    if case["allowed_ids"]:
        mask = torch.ones_like(x, dtype=torch.bool)
        mask[case["allowed_ids"]] = False
        x.masked_fill_(mask, MASKED)
    x[case["banned_ids"]] = MASKED
    if case["output_position"] < case["min_tokens"]:
        x[case["stop_ids"]] = MASKED
    for i, bias in case["logit_bias"]:
        x[i] += bias
    counts = torch.bincount(torch.tensor(case["output"]), minlength=len(x)).double()
    seen = counts > 0
    repeated = seen.clone()
    repeated[case["prompt"]] = True
    penalty = torch.where(repeated, case["repetition_penalty"], 1.0).double()
    x = torch.where(x > 0, x / penalty, x * penalty)
    x = x - case["frequency_penalty"] * counts
    x = x - case["presence_penalty"] * seen
    if torch.isneginf(x).all():
        return None
    top = torch.sort(torch.where(torch.arange(ROW) < VOCAB, logprobs, MASKED), descending=True, stable=True)
    out = {
        "logprobs": [round(v, 9) for v in logprobs.tolist()],
        "top_ids": top.indices[:20].tolist(),
    }
    if case["temperature"] == 0.0:
        out["id"] = int((x == x.max()).nonzero()[0])
        return out
    x = x / case["temperature"]
    if case["min_p"] > 0:
        probs = torch.softmax(x, -1)
        if close(probs / probs.max(), case["min_p"]):
            return None
        x = x.masked_fill(probs < case["min_p"] * probs.max(), MASKED)
    if 0 < case["top_k"] < len(x):
        kth = torch.topk(x, case["top_k"]).values[-1]
        x = x.masked_fill(x < kth, MASKED)
    if case["top_p"] < 1.0:
        sort = torch.sort(x, descending=True, stable=True)
        probs = torch.softmax(sort.values, -1)
        before = probs.cumsum(-1) - probs
        if close(before, case["top_p"]):
            return None
        drop = before >= case["top_p"]
        drop[0] = False
        x = x.clone()
        x[sort.indices[drop]] = MASKED
    probs = torch.softmax(x, -1)
    kept = torch.isfinite(x).nonzero().flatten()
    cumulative = probs.cumsum(-1)
    out["kept"] = kept.tolist()
    out["probs"] = [round(v, 12) for v in probs[kept].tolist()]
    out["draws"] = []
    for position in range(40):
        u = uniform(case["seed"], case["choice"], position)
        if close(cumulative, u):
            return None
        out["draws"].append(int((cumulative > u).nonzero()[0]))
    return out


def main():
    rng = random.Random(20261124)
    cases = []
    while len(cases) < 80:
        case = make_case(rng, ties=len(cases) % 3 == 0)
        expected = answer(case)
        if expected is not None:
            cases.append({"params": case, "expected": expected})
    header = {"made_by": "tests/reference/sampling_golden.py", "torch": torch.__version__.split("+")[0]}
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases)
    OUT.write_text(f'{{"header":{json.dumps(header)},\n"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
