# SPDX-License-Identifier: Apache-2.0
"""Writes the goldens of sampling: what the documented steps make of rows of logits, computed with NumPy in float64.

The steps restate vLLM's (vllm/v1/sample: sampler.py, ops/penalties.py, ops/topk_topp_sampler.py,
logits_processor/builtin.py) independently of kernels/cpu/sampling and of the worker.

- tests/golden/sampling.json: random small rows under random parameters, with the exact draws.
- tests/golden/sampling_recorded.json: rows that the bundled model really produced (sampling_recorded.f32) under
  parameters chosen one by one and together, extremes included: what is left to draw from and how likely it is, and the
  raw and the processed log probabilities.

Cases where a float32 implementation could rightly differ (a decision within a margin of its bound) are thrown away,
except exact ties, which are wanted.

    python3 tests/reference/sampling_golden.py            write both (needs numpy)
    python3 tests/reference/sampling_golden.py --check    derive them again and compare
    python3 tests/reference/sampling_golden.py --record   record the rows anew, then write (needs torch, transformers)
"""

import json
import pathlib
import random
import sys

import numpy

VOCAB, ROW = 90, 96  # of the random rows: six padding rows
MASKED = -numpy.inf
MARGIN = 1e-5
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"
RANDOM, RECORDED, ROWS = (GOLDEN / name for name in ("sampling.json", "sampling_recorded.json", "sampling_recorded.f32"))
RECORDED_ROW = 4096  # embedding rows of the bundled model
RECORDED_VOCAB = 4090  # a tokenizer that is smaller, so that padding is masked
PROMPTS = [  # Followed by one row each.
    "<|im_start|>user\nHow many letters r are in strawberry?<|im_end|>\n<|im_start|>assistant\n",
    "<|im_start|>user\nWhat is 12 + 30?<|im_end|>\n<|im_start|>assistant\n<think>\n",
    "Once upon a time there was a",
    "The",
]
GREEDY_BELOW = 1e-5


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


def log_softmax(x):
    shifted = x - x.max()
    return shifted - numpy.log(numpy.exp(shifted).sum())


def softmax(x):
    return numpy.exp(log_softmax(x))


def close(values, bound, margin):
    """Whether a finite value lies near the bound without being equal to it."""
    d = numpy.abs(values - bound)
    return bool(((d < margin) & (d > 0) & numpy.isfinite(values)).any())


def penalized(raw, case):
    """Logits after masks, bias and penalties; ids beyond the vocabulary are gone."""
    x = raw[:case["vocab_size"]].copy()
    if case["allowed_ids"]:
        mask = numpy.ones(len(x), dtype=bool)
        mask[case["allowed_ids"]] = False
        x[mask] = MASKED
    x[case["banned_ids"]] = MASKED
    if case["output_position"] < case["min_tokens"]:
        x[case["stop_ids"]] = MASKED
    for i, bias in case["logit_bias"]:
        x[i] += bias
    counts = numpy.bincount(numpy.array(case["output"], dtype=int), minlength=len(x)).astype(float)
    seen = counts > 0
    repeated = seen.copy()
    repeated[case["prompt"]] = True
    penalty = numpy.where(repeated, case["repetition_penalty"], 1.0)
    x = numpy.where(x > 0, x / penalty, x * penalty)
    return x - case["frequency_penalty"] * counts - case["presence_penalty"] * seen


def truncated(x, case, margin):
    """Logits that are drawn from: after temperature, min_p, top_k and top_p. None where float32 may decide otherwise."""
    x = x / case["temperature"]
    if case["min_p"] > 0:
        ratio = softmax(x) / softmax(x).max()
        if close(ratio, case["min_p"], margin):
            return None
        x = numpy.where(ratio < case["min_p"], MASKED, x)
    if 0 < case["top_k"] < len(x):
        kth = numpy.sort(x)[-case["top_k"]]
        x = numpy.where(x < kth, MASKED, x)
    if case["top_p"] < 1.0:
        order = numpy.argsort(-x, kind="stable")
        probs = softmax(x)[order]
        before = probs.cumsum() - probs
        if close(before, case["top_p"], margin):
            return None
        drop = before >= case["top_p"]
        drop[0] = False
        x[order[drop]] = MASKED
    return x


def draw(probs, u, margin):
    cumulative = probs.cumsum()
    return None if close(cumulative, u, margin) else int(numpy.argmax(cumulative > u))


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


def answer(case):
    """The expected results of a random row, or None where float32 may differ."""
    raw = numpy.array(case["logits"])
    logprobs = log_softmax(raw)
    x = penalized(raw, case)
    if numpy.isneginf(x).all():
        return None
    top = numpy.argsort(-logprobs[:VOCAB], kind="stable")[:20]
    out = {"logprobs": [round(v, 9) for v in logprobs.tolist()], "top_ids": top.tolist()}
    if case["temperature"] == 0.0:
        out["id"] = int(x.argmax())
        return out
    x = truncated(x, case, MARGIN)
    if x is None:
        return None
    probs = softmax(x)
    kept = numpy.flatnonzero(numpy.isfinite(x))
    out["kept"] = kept.tolist()
    out["probs"] = [round(v, 12) for v in probs[kept].tolist()]
    out["draws"] = [draw(probs, uniform(case["seed"], case["choice"], position), MARGIN) for position in range(40)]
    return None if None in out["draws"] else out


def random_golden():
    rng = random.Random(20261124)
    cases = []
    while len(cases) < 80:
        case = make_case(rng, ties=len(cases) % 3 == 0)
        expected = answer(case)
        if expected is not None:
            cases.append({"params": case, "expected": expected})
    return cases


OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "repetition_penalty": 1.0, "presence_penalty": 0.0,
       "frequency_penalty": 0.0, "logit_bias": [], "allowed_ids": [], "banned_ids": [], "stop_ids": [], "min_tokens": 0,
       "prompt": [], "output": []}


def recorded_cases(rows):
    """Name, row and parameters. `best(row, n)`: the ids a row likes best, so that what is asked for matters."""
    def best(row, count):
        return numpy.argsort(-rows[row][:RECORDED_VOCAB], kind="stable")[:count].tolist()

    everything = list(range(RECORDED_VOCAB))
    a, b, c, d = (best(row, 12) for row in range(4))
    return [
        ("plain", 2, {}),
        ("temperature 0", 0, {"temperature": 0.0}),
        ("temperature 1e-6 is greedy", 2, {"temperature": 1e-6}),
        ("temperature 0.01", 2, {"temperature": 0.01}),
        ("temperature 0.5", 3, {"temperature": 0.5}),
        ("temperature 2", 2, {"temperature": 2.0}),
        ("temperature 100 is all but flat", 0, {"temperature": 100.0}),
        ("top_k 1", 2, {"top_k": 1}),
        ("top_k 1, tied", 4, {"top_k": 1}),
        ("top_k 4, tied at the border", 4, {"top_k": 4}),
        ("top_k 20", 3, {"top_k": 20, "temperature": 2.0}),
        ("top_k beyond the vocabulary", 3, {"top_k": 100000}),
        ("top_p 1e-6", 3, {"top_p": 1e-6, "temperature": 2.0}),
        ("top_p 1e-6, tied", 4, {"top_p": 1e-6}),
        ("top_p 0.5", 3, {"top_p": 0.5, "temperature": 2.0}),
        ("top_p 0.95", 3, {"top_p": 0.95}),
        ("min_p 0.05", 3, {"min_p": 0.05}),
        ("min_p 1", 4, {"min_p": 1.0}),
        ("logit_bias", 2, {"logit_bias": [[c[0], -100.0], [c[5], 4.0], [RECORDED_VOCAB - 1, 100.0], [c[1], -1.5]]}),
        ("a bias against everything but one", 3, {"logit_bias": [[i, -100.0] for i in d[:11]]}),
        ("allowed ids", 3, {"allowed_ids": d[1:8]}),
        ("one allowed id", 2, {"allowed_ids": [4000]}),
        ("banned ids", 2, {"banned_ids": c[:4]}),
        ("all ids banned but one", 2, {"banned_ids": [i for i in everything if i != 77]}),
        ("allowed and banned", 3, {"allowed_ids": d[:6], "banned_ids": d[:2]}),
        ("min_tokens masks stop ids", 0, {"stop_ids": a[:2], "min_tokens": 3, "output": [1, 2]}),
        ("min_tokens reached", 0, {"stop_ids": a[:2], "min_tokens": 3, "output": [1, 2, 3]}),
        ("repetition over the prompt", 2, {"repetition_penalty": 1.5, "prompt": [c[0], c[0], c[1]]}),
        ("repetition over the output", 2, {"repetition_penalty": 1.5, "output": [c[0], c[0], c[1]]}),
        ("repetition below 1", 3, {"repetition_penalty": 0.8, "prompt": d[2:4], "output": d[4:6]}),
        ("repetition 100", 2, {"repetition_penalty": 100.0, "output": c[:2]}),
        ("presence is of the output", 2, {"presence_penalty": 1.5, "prompt": [c[1]], "output": [c[0], c[0], c[0]]}),
        ("presence below 0", 3, {"presence_penalty": -2.0, "output": [d[3], d[3]]}),
        ("frequency is of the output", 2, {"frequency_penalty": 0.5, "prompt": [c[1]], "output": [c[0]] * 3 + [c[2]]}),
        ("frequency -2", 3, {"frequency_penalty": -2.0, "output": [d[5], d[5]]}),
        ("all penalties", 2, {"repetition_penalty": 1.2, "presence_penalty": 0.4, "frequency_penalty": 0.3,
                              "prompt": c[2:5], "output": [c[0], c[0], c[1], c[4]]}),
        ("a model card's advice", 1, {"temperature": 0.6, "top_p": 0.95, "top_k": 20}),
        ("everything", 3, {"temperature": 1.3, "top_k": 40, "top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1,
                           "presence_penalty": 0.5, "frequency_penalty": 0.25, "logit_bias": [[d[6], 1.5]],
                           "banned_ids": [d[3]], "stop_ids": [d[2]], "min_tokens": 8, "prompt": d[4:6],
                           "output": [d[0], d[0], d[7]]}),
        ("greedy with penalties", 2, {"temperature": 0.0, "repetition_penalty": 1.3, "output": c[:1]}),
        ("greedy, tied", 4, {"temperature": 0.0}),
    ]


def recorded_answer(raw, case):
    """What is drawn from (the likeliest ids, and the rest as one), raw and processed log probabilities."""
    x = penalized(raw, case)
    if case["temperature"] < GREEDY_BELOW:
        processed = log_softmax(x)
        kept = [int(x.argmax())]
        probs = [1.0]
        left = 1
    else:
        x = truncated(x, case, margin=1e-7)
        assert x is not None, "float32 may decide otherwise: choose other parameters"
        processed = log_softmax(x)
        left = int(numpy.isfinite(processed).sum())
        kept = numpy.argsort(-processed, kind="stable")[:min(left, 40)].tolist()
        probs = numpy.exp(processed[kept]).tolist()
    listed = numpy.argsort(-processed, kind="stable")[:min(20, int(numpy.isfinite(processed).sum()))]
    logprobs = log_softmax(raw)
    top = numpy.argsort(-raw[:case["vocab_size"]], kind="stable")[:20]
    return {
        "left": left, "ids": kept, "probs": [float(f"{p:.9g}") for p in probs],
        "raw_top_ids": top.tolist(), "raw_top": [round(v, 6) for v in logprobs[top].tolist()],
        "processed_top_ids": listed.tolist(), "processed_top": [round(v, 6) for v in processed[listed].tolist()],
    }


def recorded_golden():
    rows = numpy.fromfile(ROWS, dtype="<f4").reshape(-1, RECORDED_ROW).astype(float)
    # The last row is the third with its four best ids made equal: ties of a real row.
    tied = rows[2].copy()
    best = numpy.argsort(-tied[:RECORDED_VOCAB], kind="stable")
    tied[best[:3]] = tied[best[0]]
    tied[best[3:6]] = tied[best[3]]
    rows = numpy.vstack([rows, tied])
    cases = []
    for name, row, params in recorded_cases(rows):
        case = OFF | params | {"vocab_size": RECORDED_VOCAB, "output_position": len(params.get("output", []))}
        shown = {key: value for key, value in params.items()}
        if len(shown.get("banned_ids", [])) > 100:  # "all but": too long to write down
            shown["all_banned_but"] = sorted(set(range(RECORDED_VOCAB)) - set(shown.pop("banned_ids")))
        cases.append({"name": name, "row": row, "params": shown, "expected": recorded_answer(rows[row], case)})
    return cases


def record():
    import tokenizers
    import torch

    from awq_reader import load_model
    folder = GOLDEN.parents[1] / "deploy" / "demo_model" / "sluice-demo"
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = load_model(folder)
    rows = []
    with torch.no_grad():
        for prompt in PROMPTS:
            ids = tokenizer.encode(prompt, add_special_tokens=False).ids
            rows.append(model(input_ids=torch.tensor([ids])).logits[0, -1].float().numpy())
    ROWS.write_bytes(numpy.array(rows, dtype="<f4").tobytes())


def text_of(cases, **header):
    head = {"made_by": "tests/reference/sampling_golden.py"} | header
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    return f'{{"header":{json.dumps(head)},\n"cases":[\n{lines}\n]}}\n'


def same(a, b):
    """Equal, but for the last digits of numbers."""
    if isinstance(a, float) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-8 + 1e-8 * abs(a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return a == b


def make():
    return {RANDOM: text_of(random_golden()),
            RECORDED: text_of(recorded_golden(), vocab_size=RECORDED_VOCAB, row=RECORDED_ROW)}


def check():
    for path, text in make().items():
        if not same(json.loads(text)["cases"], json.loads(path.read_text(encoding="utf-8"))["cases"]):
            sys.exit(f"tests/golden/{path.name} is not what the steps give")
        print(f"{path.name}: derived again")


def main():
    if sys.argv[1:] == ["--check"]:
        return check()
    if sys.argv[1:] == ["--record"]:
        record()
    for path, text in make().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
