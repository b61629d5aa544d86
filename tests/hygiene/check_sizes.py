# SPDX-License-Identifier: Apache-2.0
"""Fails on a source above 800 lines, a top-level CMakeLists.txt above 150, and large files outside golden data."""

import sys

from source_tree import CODE_SUFFIXES, ROOT, SCRIPT_SUFFIXES, TOP_LEVEL, files, report

MAX_LINES = 800
MAX_BYTES = 1 << 20
# Data may be larger: goldens, fuzz corpora, and the model that is served by default.
DATA = ("tests/golden/", "tests/fuzz/corpus/", "deploy/demo_model/")
# Tables that a committed generator writes; nobody reads them line by line.
GENERATED = "_tables.cc"


def main():
    problems = []
    for path in files(CODE_SUFFIXES | SCRIPT_SUFFIXES):
        if path.name.endswith(GENERATED):
            continue
        lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
        if lines > MAX_LINES:
            problems.append(f"{path} has {lines} lines, at most {MAX_LINES} are allowed")
    if (ROOT / "CMakeLists.txt").read_text(encoding="utf-8").count("\n") > 150:
        problems.append("CMakeLists.txt has more than 150 lines; helpers go to deploy/cmake/")
    for folder in TOP_LEVEL:
        for path in (ROOT / folder).rglob("*"):
            name = path.relative_to(ROOT).as_posix()
            if "node_modules" in path.parts or not path.is_file() or name.startswith(DATA):
                continue
            if path.stat().st_size > MAX_BYTES:
                problems.append(f"{name} has {path.stat().st_size} bytes, at most {MAX_BYTES} are allowed there")
    return report("sizes", problems)


if __name__ == "__main__":
    sys.exit(main())
