# SPDX-License-Identifier: Apache-2.0
"""Fails on names that say nothing, on headers without the licence line or include guard, and on strays at the top."""

import re
import sys

from source_tree import CODE_SUFFIXES, ROOT, TOP_LEVEL, files, report

EMPTY_NAMES = re.compile(r"(^|_)(utils?|common|helpers?|misc|manager|stuff)($|_)")
TOP_FILES = {"CMakeLists.txt", "CMakePresets.json", "LICENSE", "README.md"}
# Made by builds and scripts, ignored by git.
OUTPUT = re.compile(r"^(build|build-.*|dist|models)$")
PRIVATE_WORDS = re.compile(r"/work/|/root/|deb\.debian\.org|pypi\.org|registry\.npmjs", re.IGNORECASE)
TEXT_SUFFIXES = {".md", ".py", ".sh", ".cmake", ".txt", ".yaml", ".yml", ".json", ".proto", ".mjs"} | CODE_SUFFIXES


def main():
    problems = []
    for entry in ROOT.iterdir():
        name = entry.name
        if name.startswith(".") or OUTPUT.match(name) or name in TOP_FILES or name in TOP_LEVEL:
            continue
        problems.append(f"{name} does not belong at the top level")
    for folder in TOP_LEVEL:
        for path in (ROOT / folder).rglob("*"):
            if "node_modules" in path.parts or "__pycache__" in path.parts:
                continue
            stem = path.name.split(".")[0].lower()
            if EMPTY_NAMES.search(stem):
                problems.append(f"{path.relative_to(ROOT)} has a name that says nothing")
    for path in files(CODE_SUFFIXES, ["proto", "gateway", "worker", "kernels", "tests"]):
        text = (ROOT / path).read_text(encoding="utf-8")
        if not text.startswith("// SPDX-License-Identifier: Apache-2.0"):
            problems.append(f"{path} does not begin with the licence line")
        if path.suffix in {".h", ".cuh"} and "#pragma once" not in text:
            problems.append(f"{path} has no #pragma once")
        if re.search(r"\b(TODO|FIXME|XXX)\b(?!\(#\d+\))", text):
            problems.append(f"{path} holds a TODO without an issue number")
    for path in files(TEXT_SUFFIXES):
        if path.as_posix().startswith(("tests/golden/", "tests/fuzz/corpus/", "tests/hygiene/")):
            continue
        match = PRIVATE_WORDS.search((ROOT / path).read_text(encoding="utf-8", errors="replace"))
        if match:
            problems.append(f"{path} mentions {match.group(0)}: no machine paths or registry addresses")
    return report("names", problems)


if __name__ == "__main__":
    sys.exit(main())
