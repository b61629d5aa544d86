# SPDX-License-Identifier: Apache-2.0
"""Counts test cases after a CTest run and prints the closing line "N passed, N failed".

    python3 tests/count_results.py RESULTS_DIR

RESULTS_DIR holds ctest*.xml (CTest's own JUnit files) and, for tests that have cases of their own, NAME.json
(GoogleTest) or NAME.xml (pytest), where NAME is the CTest name. A test without such a file is one case. A test that
failed as a whole (crash, timeout) counts as a failure even when no case of it says so. Skipped cases are listed and
count as neither. Exit status 1 when something failed or nothing passed.
"""

import json
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


class Counts:
    def __init__(self):
        self.passed = 0
        self.failed = []
        self.skipped = []


def gtest_cases(path):
    """Yields (name, outcome) per case of a GoogleTest JSON file."""
    for suite in json.loads(path.read_text(encoding="utf-8"))["testsuites"]:
        for case in suite["testsuite"]:
            if case.get("failures"):
                outcome = "failed"
            elif case["result"] == "SKIPPED" or case["status"] == "NOTRUN":
                outcome = "skipped"
            else:
                outcome = "passed"
            yield f"{suite['name']}.{case['name']}", outcome


def junit_cases(path):
    """Yields (name, outcome) per case of a JUnit file, CTest's or pytest's."""
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = "failed"
        elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
            outcome = "skipped"
        else:
            outcome = "passed"
        yield case.get("name"), outcome


def cases_of(folder, name):
    """The cases of one CTest test, or None when it has none of its own."""
    for path, read in ((folder / f"{name}.json", gtest_cases), (folder / f"{name}.xml", junit_cases)):
        if path.is_file():
            try:
                return list(read(path))
            except (ValueError, KeyError, ElementTree.ParseError):
                return []  # cut off by a crash, which CTest reports
    return None


def add(counts, name, outcome):
    if outcome == "passed":
        counts.passed += 1
    elif outcome == "failed":
        counts.failed.append(name)
    else:
        counts.skipped.append(name)


def count(folder):
    counts = Counts()
    for path in sorted(folder.glob("ctest*.xml")):
        for name, outcome in junit_cases(path):
            cases = cases_of(folder, name)
            if cases is None:
                add(counts, name, outcome)
                continue
            for case, case_outcome in cases:
                add(counts, f"{name}: {case}", case_outcome)
            if outcome == "failed" and not any(o == "failed" for _, o in cases):
                add(counts, f"{name} as a whole", "failed")
    return counts


def main():
    counts = count(Path(sys.argv[1]))
    for title, names in (("skipped", counts.skipped), ("FAILED", counts.failed)):
        for name in names:
            print(f"{title}: {name}")
    if counts.skipped:
        print(f"{len(counts.skipped)} skipped (listed above)")
    print(f"{counts.passed} passed, {len(counts.failed)} failed")
    return 1 if counts.failed or counts.passed == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
