# SPDX-License-Identifier: Apache-2.0
"""Compares the C++ tokenizer with Hugging Face Tokenizers where it runs: the goldens cannot be bent to fit a bug.

Derives a random sample of the goldens again, and encodes and decodes fresh random strings with both. Every run draws anew; the
seed is printed, and SLUICE_TEST_SEED repeats a run. Ends with 77 (skipped) where the `tokenizers` package is missing.
"""

import json
import lzma
import os
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "reference"))

try:
    import tokenizers
except ImportError:
    print("skipped: this Python has no `tokenizers` package (pip install tokenizers, or set SLUICE_PYTHON)")
    sys.exit(77)

import tokenizer_golden as golden  # noqa: E402
import tokenizer_strings as strings  # noqa: E402

SAMPLE = 1500
FRESH_PER_KIND = 200


def hexed(text):
    return text.encode().hex() or "-"


def run_pipe(binary, tokenizer_json, requests):
    result = subprocess.run([binary, tokenizer_json], input="".join(line + "\n" for line in requests), capture_output=True, text=True,
                            check=True, timeout=240)
    answers = result.stdout.splitlines()
    assert len(answers) == len(requests), f"{len(requests)} requests, {len(answers)} answers"
    return answers


def golden_checks(tokenizer, rng, problems):
    """The goldens themselves against the library."""
    table = golden.token_bytes(tokenizer)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    lines = lzma.decompress(golden.OUTPUT.read_bytes()).decode().rstrip("\n").split("\n")
    cases = [json.loads(line) for line in lines[1:]]
    for case in rng.sample(cases, min(SAMPLE, len(cases))):
        if case["kind"] == "decode":
            same = case == golden.decode_case(tokenizer, table, special, case["ids"], case["skip_special"])
        elif "repeat" in case:
            ids = tokenizer.encode(case["repeat"][0] * case["repeat"][1]).ids
            same = (len(ids), golden.ids_digest(ids)) == (case["count"], case["sha256"])
        else:
            same = tokenizer.encode(case["text"]).ids == case["ids"]
        if not same:
            problems.append(f"golden {ascii(case)[:300]} is not what tokenizers {tokenizers.__version__} gives")


def fresh_requests(tokenizer, rng):
    """(request, expected answer) of random strings and ids."""
    contents = golden.added_contents(tokenizer)
    for kind in strings.ALL_KINDS:
        for _ in range(FRESH_PER_KIND):
            text = strings.one(kind, rng, contents)
            yield f"e {hexed(text)}", " ".join(map(str, tokenizer.encode(text).ids)), f"{kind}: {text!a}"
    table = golden.token_bytes(tokenizer)
    special = sorted(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)
    golden.random_ids.broken = [i for i, b in sorted(table.items()) if b.decode(errors="replace").encode() != b]
    for i in range(2 * FRESH_PER_KIND):
        ids = golden.random_ids(rng, table, special)
        case = golden.decode_case(tokenizer, table, set(special), ids, i % 2 == 0)
        yield f"{'s' if case['skip_special'] else 'd'} {' '.join(map(str, ids))}", case["text"].encode().hex(), f"decode: {ids}"


def plain_requests(tokenizer, rng):
    """Texts whose added tokens lie in plain ranges: they must come out as if the tokenizer had none."""
    plain = json.loads(tokenizer.to_str())
    plain["added_tokens"] = []
    without = tokenizers.Tokenizer.from_str(json.dumps(plain))
    contents = golden.added_contents(tokenizer)
    for _ in range(FRESH_PER_KIND):
        text = strings.one("added_tokens", rng, contents)
        yield f"e {hexed(text)} 0-{len(text.encode())}", " ".join(map(str, without.encode(text).ids)), f"plain: {text!a}"


def main():
    seed = int(os.environ.get("SLUICE_TEST_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"SLUICE_TEST_SEED={seed}")
    rng = random.Random(seed)
    data = golden.find_tokenizer().decode()
    tokenizer = tokenizers.Tokenizer.from_str(data)
    problems = []
    golden_checks(tokenizer, rng, problems)

    binary = pathlib.Path(os.environ.get("SLUICE_BINARY_DIR", ROOT / "build")) / "tests" / "tokenizer_pipe"
    cases = [*fresh_requests(tokenizer, rng), *plain_requests(tokenizer, rng)]
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        file.write(data)
        file.flush()
        answers = run_pipe(str(binary), file.name, [request for request, _, _ in cases])
    for (_, expected, what), answer in zip(cases, answers):
        if answer != expected:
            problems.append(f"{what[:300]}\n  expected {expected[:300]}\n  actual   {answer[:300]}")
    for problem in problems[:10]:
        print(problem)
    print(f"{len(cases)} fresh cases and {SAMPLE} goldens, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
