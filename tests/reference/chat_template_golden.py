#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/chat/conversations.json: conversations that cover every pair of factor levels, and what
Transformers renders for them with both public Qwen3 templates. The templates themselves are not in this repository.

Usage: SLUICE_QWEN3_DIR=... chat_template_golden.py > tests/golden/chat/conversations.json
"""
import hashlib
import json
import os
import pathlib
import random
import sys

import conversations
from jinja_environment import render_chat, versions

SEED = 20261124
AT_LEAST = 330


def public_templates(folder: pathlib.Path) -> dict:
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    return {
        "later": (folder / "chat_template.jinja").read_text(encoding="utf-8"),
        "older": config["chat_template"],
    }


def main() -> None:
    folder = os.environ.get("SLUICE_QWEN3_DIR")
    if not folder:
        sys.exit("set SLUICE_QWEN3_DIR to the folder with the public Qwen3 files")
    templates = public_templates(pathlib.Path(folder))
    rows = conversations.covering_levels(random.Random(SEED), AT_LEAST)
    cases = []
    for i, levels in enumerate(rows):
        case = conversations.make_case(SEED + i, levels)
        case["plain"] = conversations.is_plain(case)
        for name, source in templates.items():
            case[name] = render_chat(source, case)
        if case["older"] == case["later"]:
            case["older"] = "as later"
        cases.append(case)
    hashes = {name: hashlib.sha256(source.encode()).hexdigest() for name, source in templates.items()}
    lines = ",\n".join("  " + json.dumps(case, ensure_ascii=False) for case in cases)
    print('{"generator": "tests/reference/chat_template_golden.py", "seed": %d, %s,' % (SEED, json.dumps(versions())[1:-1]))
    print(' "template_sha256": ' + json.dumps(hashes) + ",")
    print(f' "cases": [\n{lines}\n ]}}')


if __name__ == "__main__":
    main()
