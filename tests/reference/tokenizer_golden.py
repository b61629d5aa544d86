# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/tokenizer/strings.jsonl.xz: what Hugging Face Tokenizers makes of more than 5,000 strings.

The first line is the manifest: versions, the tokenizer's sha256, the seed, the counts. Each other line is a case:

    {"kind", "text", "ids"}                            ids of a text
    {"kind", "repeat": [text, n], "count", "sha256"}   of a long one: their number, and sha256 of them as int32, little endian
    {"kind": "decode", "ids", "skip_special", "text"}  text of ids: Python's bytes.decode(errors="replace")

    python3 tests/reference/tokenizer_golden.py [--per-kind N]

Needs: pip install tokenizers==0.23.3
"""

import argparse
import array
import hashlib
import json
import lzma
import os
import pathlib
import platform
import random
import sys

import tokenizers
import tokenizer_strings as strings

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "tests" / "golden" / "tokenizer" / "strings.jsonl.xz"
SEED = 20261124
LONG = 200_000  # characters
LONG_CHARS = ["a", " ", "=", "\n", "\t", "0", "-", "é", "字", "\u0301", "\U0001F600", "\u3000", "ab", "<", "e\u0301", " a", "\r\n"]


def find_tokenizer():
    """tokenizer.json of SLUICE_QWEN3_DIR, of ../shared/qwen3, or the committed one."""
    for folder in (os.environ.get("SLUICE_QWEN3_DIR"), ROOT.parent / "shared" / "qwen3"):
        if folder and (pathlib.Path(folder) / "tokenizer.json").exists():
            return (pathlib.Path(folder) / "tokenizer.json").read_bytes()
    return lzma.decompress((ROOT / "tests" / "golden" / "qwen3" / "tokenizer.json.xz").read_bytes())


def added_contents(tokenizer):
    return [token.content for _, token in sorted(tokenizer.get_added_tokens_decoder().items())]


def every_added_token(contents):
    """Each added token in each odd place."""
    for i, token in enumerate(contents):
        other = contents[(i + 1) % len(contents)]
        middle = len(token) // 2
        yield from (token, token * 3, token + other, "word" + token + "word", " " + token + " ", "\n\n" + token + "\n", token[1:],
                    token[:-1], token[:middle] + other + token[middle:], token[:middle] + " " + token[middle:], "<" + token + ">",
                    token[:-1] + token, token.upper(), "e" + token + "\u0301", "'s" + token + "'s", "\u017f" + token + "é字")


def ids_digest(ids):
    packed = array.array("i", ids)
    if sys.byteorder == "big":
        packed.byteswap()
    return hashlib.sha256(packed.tobytes()).hexdigest()


def token_bytes(tokenizer):
    """id -> bytes, from the vocabulary's spelling by GPT-2's byte-level alphabet."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(b): b for b in plain}
    alphabet.update({chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in plain)})
    added = tokenizer.get_added_tokens_decoder()
    return {i: added[i].content.encode() if i in added else bytes(alphabet[c] for c in spelling)
            for spelling, i in tokenizer.get_vocab(with_added_tokens=True).items()}


def random_ids(rng, table, special):
    """Ids that meet in the middle of characters more often than text would make them."""
    broken = random_ids.broken
    return [rng.choice(special) if rng.random() < 0.05 else rng.choice(broken) if rng.random() < 0.5 else rng.randrange(len(table))
            for _ in range(1 + rng.randrange(24))]


def decode_case(tokenizer, table, special, ids, skip_special):
    text = b"".join(table[i] for i in ids if not (skip_special and i in special)).decode(errors="replace")
    assert text == tokenizer.decode(ids, skip_special_tokens=skip_special)
    return {"kind": "decode", "ids": ids, "skip_special": skip_special, "text": text}


def encode_cases(tokenizer, per_kind, rng):
    contents = added_contents(tokenizer)
    seen = set()
    texts = [("added_tokens", text) for text in every_added_token(contents)]
    texts += [("scripts", chr(c) * 2 + " " + chr(c)) for c in strings.TELLING]
    for kind in strings.ALL_KINDS:
        for _ in range(per_kind):
            texts.append((kind, strings.one(kind, rng, contents)))
    for kind, text in texts:
        if text not in seen:
            seen.add(text)
            yield {"kind": kind, "text": text, "ids": tokenizer.encode(text).ids}
    for text in LONG_CHARS:
        ids = tokenizer.encode(text * (LONG // len(text))).ids
        yield {"kind": "long_runs", "repeat": [text, LONG // len(text)], "count": len(ids), "sha256": ids_digest(ids)}


def decode_cases(tokenizer, per_kind, rng):
    table = token_bytes(tokenizer)
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    random_ids.broken = [i for i, b in sorted(table.items()) if b.decode(errors="replace").encode() != b]
    for i in range(per_kind):
        ids = random_ids(rng, table, sorted(special))
        yield decode_case(tokenizer, table, special, ids, i % 2 == 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-kind", type=int, default=450)
    arguments = parser.parse_args()
    data = find_tokenizer()
    tokenizer = tokenizers.Tokenizer.from_str(data.decode())
    rng = random.Random(SEED)
    cases = [*encode_cases(tokenizer, arguments.per_kind, rng), *decode_cases(tokenizer, arguments.per_kind, rng)]
    counts = {}
    for case in cases:
        counts[case["kind"]] = counts.get(case["kind"], 0) + 1
    manifest = {"generator": "tests/reference/tokenizer_golden.py", "tokenizers": tokenizers.__version__,
                "python": platform.python_version(), "tokenizer_sha256": hashlib.sha256(data).hexdigest(), "seed": SEED, "counts": counts}
    lines = [json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in [manifest, *cases]]
    OUTPUT.write_bytes(lzma.compress(("\n".join(lines) + "\n").encode(), preset=9 | lzma.PRESET_EXTREME))
    print(f"{OUTPUT}: {OUTPUT.stat().st_size} bytes, {counts}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
