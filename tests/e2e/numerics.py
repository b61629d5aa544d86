# SPDX-License-Identifier: Apache-2.0
"""What the device under test promises of its numbers, in one place.

The CPU: the same bits whatever else runs, however a prompt is cut into steps, on any number of ranks. GPUs: the same bits
for the same steps, so for the same request alone. In other company a row goes through other kernels, whose bf16 roundings
differ; then log probabilities agree within LOGIT_ERROR, and answers until the first near tie. Tests compare answers as
lists of Step by assert_same, which asks for equality on the CPU, and on a GPU shows that each divergence is a near tie.
"""

import collections
import json
import lzma
import math
import re

from sluice_server import DEVICE, ROOT

EXACT = DEVICE == "cpu"

# Largest difference of a logit by model, and so the widest near tie: what tests/worker/executor/cuda/cuda_parity_test.cc
# allows between a GPU and the CPU, twice the largest that was seen (docs/adr/0009).
RANDOM, BUNDLED = "random", "bundled"
LOGIT_ERROR = {RANDOM: 0.1, BUNDLED: 0.25}
# How far such errors may move the boundaries between ids in the distribution of a draw. They are independent of each
# other and mostly far smaller than the largest (rms 0.02), so their effects on a sum of probabilities cancel.
DRAW_SHIFT = 0.05
# The least part of many answers' steps that is the same until they part. The random models are near ties all the way: with
# errors of rms 0.01 added to their log probabilities, a fifth of the steps of load_test.py would come before one.
LEAST_COMMON = {RANDOM: 0.05, BUNDLED: 0.5}

# One id of an answer: a key that tells ids apart, its log probability, those of the most likely by key.
Step = collections.namedtuple("Step", "token logprob top")


def of_chat(choice):
    """Steps of a chat choice, a dictionary or one of the OpenAI client's."""
    choice = choice if isinstance(choice, dict) else choice.model_dump()
    return [step_of(bytes(entry["bytes"]), entry["logprob"],
                    {bytes(top["bytes"]): top["logprob"] for top in entry["top_logprobs"]})
            for entry in choice["logprobs"]["content"]]


def of_completion(choice):
    """The same of a text completion; the first id of an echoed prompt has no log probability."""
    found = choice["logprobs"] if isinstance(choice, dict) else choice.logprobs.model_dump()
    tops = found["top_logprobs"] or [None] * len(found["tokens"])
    return [step_of(as_bytes(token), logprob, {as_bytes(name): value for name, value in (top or {}).items()})
            for token, logprob, top in zip(found["tokens"], found["token_logprobs"], tops, strict=True)]


def step_of(token, logprob, top):
    """The id that ends an answer is none of its text, so only the list of the most likely names it."""
    return Step(token or next((name for name, value in top.items() if value == logprob), token), logprob, top)


def of_grpc(responses, choice=0):
    """The same of gRPC's responses; the keys are ids."""
    return [Step(entry.id, entry.logprob, {top.id: top.logprob for top in entry.top})
            for response in responses if response.choice == choice for entry in response.logprobs]


def as_bytes(token):
    """A completion's token; one that is no text is written as 'bytes:\\xe4\\xbd'."""
    if not re.fullmatch(r"bytes:(\\x[0-9a-f]{2})+", token):
        return token.encode()
    return bytes.fromhex(token.removeprefix("bytes:").replace("\\x", ""))


class Draws:
    """The draws of a sampled answer, and what they pick (kernels/host/philox.h, kernels/cpu/sampling/sampling.h).

    The log probabilities of its steps are those of what was drawn from; or, with whole, they list all that top_k left to
    draw from, and may lack the temperature.
    """

    def __init__(self, id_of, seed, choice=0, whole=False, temperature=1.0):
        assert whole or temperature == 1.0
        self.id_of, self.seed, self.choice, self.whole, self.temperature = id_of, seed, choice, whole, temperature

    def uniform(self, position):
        words, key = [position & 0xFFFFFFFF, position >> 32, self.choice, 0], [self.seed & 0xFFFFFFFF, self.seed >> 32]
        for _ in range(10):
            a, b = 0xD2511F53 * words[0], 0xCD9E8D57 * words[2]
            words = [(b >> 32) ^ words[1] ^ key[0], b & 0xFFFFFFFF, (a >> 32) ^ words[3] ^ key[1], a & 0xFFFFFFFF]
            key = [(key[0] + 0x9E3779B9) & 0xFFFFFFFF, (key[1] + 0xBB67AE85) & 0xFFFFFFFF]
        return ((words[0] << 32 | words[1]) >> 11) * 2.0 ** -53

    def distance(self, step, token, position):
        """How far the draw is from picking this token in the distribution of that step, and how far it may be wrong about
        that: what is not listed, and the least likely id, which top_k or top_p may keep or drop."""
        weights = {self.id_of(name): math.exp(value / self.temperature) for name, value in step.top.items()}
        listed = sum(weights.values())
        total = listed if self.whole else 1.0
        slack = max(0.0, total - listed) + min(weights.values()) / total
        if token not in step.top:
            return 1.0, slack
        chosen = self.id_of(token)
        below = sum(weight for candidate, weight in weights.items() if candidate < chosen) / total
        u = self.uniform(position)
        return max(below - u, u - below - weights[chosen] / total, 0.0), slack


def assert_same(found, expected, model, draws=None):
    """That two answers are the same as far as the device promises it: `draws` are those of a sampled one. Returns how many
    steps they have in common."""
    if EXACT:
        assert found == expected
        return len(expected)
    error = LOGIT_ERROR[model]
    for at, (mine, theirs) in enumerate(zip(found, expected)):
        if mine.token != theirs.token:
            assert_near_tie(at, mine, theirs, error, draws)
            return at
        if mine.logprob is None or theirs.logprob is None:
            assert mine.logprob is theirs.logprob
            continue
        assert abs(mine.logprob - theirs.logprob) <= error, (at, mine, theirs)
        for token in mine.top.keys() & theirs.top.keys():
            assert abs(mine.top[token] - theirs.top[token]) <= error, (at, token, mine, theirs)
    assert len(found) == len(expected)
    return len(expected)


def assert_all_same(found, expected, model, draws=None):
    """The same of many answers, which must have LEAST_COMMON of their steps in common."""
    draws = draws or [None] * len(expected)
    common = [assert_same(mine, theirs, model, drawn) for mine, theirs, drawn in zip(found, expected, draws, strict=True)]
    steps = sum(map(len, expected))
    whole = sum(at == len(steps_of) for at, steps_of in zip(common, expected))
    print(f"{whole} of {len(expected)} answers are the same, and {sum(common)} of {steps} steps until others part")
    assert sum(common) >= LEAST_COMMON[model] * steps, (common, steps)


def assert_near_tie(at, mine, theirs, error, draws):
    for step, other in ((mine, theirs), (theirs, mine)):
        if draws is None:
            assert other.token in step.top, ("not among the most likely", at, mine, theirs)
            gap = step.top[step.token] - step.top[other.token]
            assert gap <= error, ("no near tie", gap, at, mine, theirs)
        else:
            distance, slack = draws.distance(at_the_cut(step, other, error) if draws.whole else step, other.token, at)
            assert distance <= DRAW_SHIFT + slack, ("the draw is far from it", distance, slack, at, mine, theirs)


def at_the_cut(step, other, error):
    """step with the other's token in place of its least likely id, where the two are a near tie: top_k may keep either."""
    least = min(step.top, key=step.top.get)
    if other.token in step.top or abs(other.logprob - step.top[least]) > error:
        return step
    kept = {name: value for name, value in step.top.items() if name != least}
    return step._replace(top=kept | {other.token: step.top[least]})


def certain(steps, model):
    """How many of a greedy answer's first steps no company changes: all on the CPU, on a GPU those before a near tie."""
    if EXACT:
        return len(steps)
    for at, step in enumerate(steps):
        first, second = sorted(step.top.values(), reverse=True)[:2]
        if first - second <= LOGIT_ERROR[model]:
            return at
    return len(steps)


def certain_text(responses, model):
    """The beginning of a greedy answer over gRPC that no company changes. Needs top_logprobs of at least 2."""
    text = ""
    for response in responses:
        steps = of_grpc([response], response.choice)
        if certain(steps, model) < len(steps):
            break
        text += response.reasoning_content + response.content
    return text


def begins(found, text):
    """Whether a text is the one expected: all of it on the CPU, on a GPU as far as certain_text went."""
    return found == text if EXACT else found.startswith(text)


def assert_near(ours, theirs, model, exact_tolerance):
    """Log probabilities against those of another implementation. exact_tolerance: relative, of float32."""
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert abs(a - b) <= (exact_tolerance * max(1.0, abs(b)) if EXACT else LOGIT_ERROR[model]), (a, b)
    if not EXACT and len(ours) >= 30:  # of a few, all may be at the far end
        rms = math.sqrt(sum((a - b) ** 2 for a, b in zip(ours, theirs)) / len(ours))
        assert rms <= LOGIT_ERROR[model] / 4, rms


def vocabulary(tokenizer_json):
    """Ids by the bytes that they stand for, of a byte-level tokenizer."""
    tokenizer = json.loads(tokenizer_json)
    # GPT-2's alphabet: printable bytes stand for themselves, the others for the code points from 256 on.
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    alphabet |= {chr(256 + index): byte for index, byte in enumerate(sorted(set(range(256)) - set(printable)))}
    ids = {bytes(alphabet[letter] for letter in token): index for token, index in tokenizer["model"]["vocab"].items()}
    return ids | {token["content"].encode(): token["id"] for token in tokenizer["added_tokens"]}


def bundled_id_of():
    """A function from a token's bytes to its id in the bundled model."""
    path = ROOT / "deploy" / "demo_model" / "sluice-demo" / "tokenizer.json"
    return vocabulary(path.read_text(encoding="utf-8")).__getitem__


def random_id_of():
    """The same of the random models."""
    with lzma.open(ROOT / "tests" / "golden" / "qwen3" / "tokenizer.json.xz") as file:
        return vocabulary(file.read()).__getitem__
