# SPDX-License-Identifier: Apache-2.0
"""The source files of the repository, as the hygiene checks see them."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE_SUFFIXES = {".h", ".cc", ".cu", ".cuh"}
SCRIPT_SUFFIXES = {".py", ".sh", ".cmake", ".mjs", ".js", ".proto"}
TOP_LEVEL = ["proto", "gateway", "worker", "kernels", "deploy", "helm", "tests", "docs"]


def files(suffixes, folders=TOP_LEVEL):
    """Paths relative to ROOT of files with one of the suffixes, sorted; build output is elsewhere."""
    found = []
    for folder in folders:
        for path in (ROOT / folder).rglob("*"):
            if "node_modules" in path.parts or "__pycache__" in path.parts:
                continue
            if path.is_file() and path.suffix in suffixes:
                found.append(path.relative_to(ROOT))
    return sorted(found)


def report(check, problems):
    """Prints the problems and returns the exit status of the check."""
    for problem in problems:
        print(f"{check}: {problem}")
    print(f"{check}: {len(problems)} problem(s)")
    return 1 if problems else 0
