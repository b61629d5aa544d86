# SPDX-License-Identifier: Apache-2.0
"""Writes gateway/tokenizer/unicode_tables.cc: what Hugging Face Tokenizers knows of Unicode.

Truth is the library's behaviour, not a Unicode version: its regex engine (Oniguruma) and its normalizer carry tables
of different ages. So every code point is asked for its class (\\p{L}, \\p{N}, \\s), its decomposition and its
composition, and the order of combining marks is found by sorting them with the normalizer itself.

    python3 tests/reference/unicode_tables.py            write the file
    python3 tests/reference/unicode_tables.py --check    fail if the file differs from what would be written

Needs: pip install tokenizers==0.23.3
"""

import argparse
import functools
import pathlib
import sys

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUTPUT = ROOT / "gateway" / "tokenizer" / "unicode_tables.cc"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL_SYLLABLES = range(0xAC00, 0xD7A4)  # composed by arithmetic

NFC = normalizers.NFC()
NFD = normalizers.NFD()


def members(pattern):
    """The code points that a one-character regex matches."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    rest = set()
    for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS))):
        rest.update(map(ord, piece))
    return set(CODE_POINTS) - rest


def char_classes():
    classes = {}
    for name, pattern in (("kLetter", r"\p{L}"), ("kNumber", r"\p{N}"), ("kSpace", r"\s")):
        for c in members(pattern):
            assert c not in classes, f"U+{c:04X} has two classes"
            classes[c] = name
    return classes


def decompositions():
    found = {}
    for c in CODE_POINTS:
        text = NFD.normalize_str(chr(c))
        if text != chr(c) and c not in HANGUL_SYLLABLES:
            found[c] = [ord(x) for x in text]
            assert len(found[c]) <= 4
    for c in HANGUL_SYLLABLES:
        index = c - 0xAC00
        parts = [0x1100 + index // 588, 0x1161 + index % 588 // 28]
        parts += [0x11A7 + index % 28] if index % 28 else []
        text = "".join(map(chr, parts))
        assert NFD.normalize_str(chr(c)) == text and NFC.normalize_str(text) == chr(c)
    return found


def compositions(decomposed):
    """(first, second) -> composite, for each composite that NFC keeps."""
    found = {}
    for c, parts in decomposed.items():
        if NFC.normalize_str(chr(c)) != chr(c):
            continue
        first = NFC.normalize_str("".join(map(chr, parts[:-1])))
        assert len(first) == 1, f"U+{c:04X}"
        assert NFC.normalize_str(first + chr(parts[-1])) == chr(c), f"U+{c:04X}"
        found[(ord(first), parts[-1])] = c
    return found


def combining_order(decomposed):
    """Code point -> 1, 2, ...: equal numbers for equal combining classes, in their order. Starters are left out."""

    def swaps(a, b):
        return NFD.normalize_str(chr(a) + chr(b)) != chr(a) + chr(b)

    lowest, highest = 0x0334, 0x0345  # classes 1 and 240; every other mark swaps with at least one of them
    assert swaps(highest, lowest)
    marks = [c for c in CODE_POINTS
             if c not in decomposed and c not in HANGUL_SYLLABLES and (swaps(highest, c) or swaps(c, lowest))]
    marks.sort(key=functools.cmp_to_key(lambda a, b: -1 if swaps(b, a) else 1 if swaps(a, b) else a - b))
    order, rank = {}, 1
    for previous, mark in zip([None] + marks, marks):
        if previous is not None and swaps(mark, previous):
            rank += 1
        order[mark] = rank
    # Transitivity was assumed by the sort; check every mark against one of each class.
    for representative, r in {r: c for c, r in order.items()}.items():
        for mark, m in order.items():
            assert swaps(mark, r) == (m > representative), f"U+{mark:04X} after U+{r:04X}"
    return order


def ranges(values):
    """[(first, last, value)] of maximal runs."""
    runs = []
    for c in sorted(values):
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == values[c]:
            runs[-1][1] = c
        else:
            runs.append([c, c, values[c]])
    return runs


def table(declaration, entries):
    lines, line = [], "   "
    for entry in entries:
        if len(line) + len(entry) + 2 > 100:
            lines.append(line)
            line = "   "
        line += f" {entry},"
    return f"{declaration} = {{\n" + "\n".join(lines + [line]) + "\n};\n"


def render():
    classes = char_classes()
    decomposed = decompositions()
    composed = compositions(decomposed)
    order = combining_order(decomposed)
    hexed = "0x{:04X}".format
    parts = [
        "// SPDX-License-Identifier: Apache-2.0\n"
        "// Written by tests/reference/unicode_tables.py; do not edit. What Hugging Face Tokenizers "
        f"{tokenizers.__version__}\n// knows of Unicode, code point by code point.\n"
        '#include "gateway/tokenizer/unicode_tables.h"\n\n'
        "namespace sluice::gateway {\nnamespace {\n\n"
        "// clang-format off\n",
        table("constexpr ClassRange kClassRanges[]",
              [f"{{{hexed(a)}, {hexed(b)}, CharClass::{v}}}" for a, b, v in ranges(classes)]),
        table("\nconstexpr MarkRange kMarkRanges[]",
              [f"{{{hexed(a)}, {hexed(b)}, {v}}}" for a, b, v in ranges(order)]),
        table("\nconstexpr Decomposition kDecompositions[]",
              [f"{{{hexed(c)}, {{{', '.join(map(hexed, p))}}}}}" for c, p in sorted(decomposed.items())]),
        table("\nconstexpr Composition kCompositions[]",
              [f"{{{hexed(a)}, {hexed(b)}, {hexed(c)}}}" for (a, b), c in sorted(composed.items())]),
        "// clang-format on\n\n}  // namespace\n\n"
        "std::span<const ClassRange> ClassRanges() { return kClassRanges; }\n"
        "std::span<const MarkRange> MarkRanges() { return kMarkRanges; }\n"
        "std::span<const Decomposition> Decompositions() { return kDecompositions; }\n"
        "std::span<const Composition> Compositions() { return kCompositions; }\n\n"
        "}  // namespace sluice::gateway\n",
    ]
    return "".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    text = render()
    if not arguments.check:
        OUTPUT.write_text(text, encoding="utf-8")
        return 0
    if OUTPUT.read_text(encoding="utf-8") == text:
        return 0
    print(f"{OUTPUT} differs from what tokenizers {tokenizers.__version__} gives; run this script without --check")
    return 1


if __name__ == "__main__":
    sys.exit(main())
