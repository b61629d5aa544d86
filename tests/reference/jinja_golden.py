#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/chat/jinja_snippets.json: what Jinja2 renders for the snippets of jinja_snippets.py.

Usage: jinja_golden.py > tests/golden/chat/jinja_snippets.json   (needs transformers and jinja2)
"""
import json

from jinja_environment import render_snippet, versions
from jinja_snippets import CONTEXT, EXPRESSIONS, STATEMENTS


def main() -> None:
    templates = ["{{ " + expression + " }}" for expression in EXPRESSIONS] + STATEMENTS
    templates = list(dict.fromkeys(templates))
    cases = [{"template": template, **render_snippet(template, CONTEXT)} for template in templates]
    # Addresses of objects are nobody's expectation, and the engine does not print such objects.
    cases = [case for case in cases if " at 0x" not in case.get("output", "")]
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    print('{"generator": "tests/reference/jinja_golden.py", ' + json.dumps(versions())[1:-1] + ",")
    print(' "context": ' + json.dumps(CONTEXT) + ",")
    print(f' "cases": [\n{lines}\n ]}}')


if __name__ == "__main__":
    main()
