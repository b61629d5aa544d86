# SPDX-License-Identifier: Apache-2.0
"""Fails when a test, fuzzer or bench source lies in tests/ but in no CMakeLists.txt, or is commented out there."""

import re
import sys

from source_tree import ROOT, files, report

KINDS = re.compile(r"(_test|_fuzz|_bench)\.(cc|cu|py|mjs)$")


def main():
    registered = []
    for cmake in (ROOT / "tests").rglob("CMakeLists.txt"):
        for line in cmake.read_text(encoding="utf-8").splitlines():
            registered += [(cmake.parent, word) for word in re.split(r"[\s()\"']+", line.split("#")[0])]
    problems = []
    for path in files({".cc", ".cu", ".py", ".mjs"}, ["tests"]):
        if not KINDS.search(path.name):
            continue
        if path.suffix in {".py", ".mjs"} and "_bench" in path.name:
            continue  # bench scripts are run by hand, see docs/performance.md
        if not any(word.endswith(path.name) or word.endswith(path.stem) for _, word in registered):
            problems.append(f"{path} is not registered in any CMakeLists.txt")
    for path in files({".cc"}, ["tests"]):
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            if re.match(r"\s*(//\s*TEST(_[FP])?\(|TEST(_[FP])?\(\w+,\s*DISABLED_)", line):
                problems.append(f"{path}:{number} holds a disabled test")
    return report("tests_registered", problems)


if __name__ == "__main__":
    sys.exit(main())
