# SPDX-License-Identifier: Apache-2.0
"""Evaluates a served sluice-demo through the OpenAI HTTP API, with the sampling the server defaults to, on prompts whose
words, numbers and tool names training never saw, a fifth of them in sentence patterns it never saw.

  python3 deploy/demo_model/evaluate.py --url http://localhost:8000 --prompts 1000 --json table.json

Prints a row each: share of right answers with its 95 % interval, and a few wrong ones. With --beside evaluation.json also
a table of both, and ends with 1 where a row is worse than there: its interval wholly below. Needs tokenizers and jinja2.
"""

import argparse
import json
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tokenizers import Tokenizer

import judge
from train_tokenizer import alphabetic_pieces

TOKENIZER = Path(__file__).resolve().parent / "sluice-demo" / "tokenizer.json"


def ask(url, talk, seed):
    body = {"messages": [as_openai(m) for m in talk.messages], "seed": seed, "max_tokens": 600, **talk.kwargs}
    if talk.tools:
        body["tools"] = talk.tools
    request = urllib.request.Request(url + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=600) as response:
        return json.load(response)["choices"][0]["message"]


def as_openai(message):
    """Arguments of tool calls travel as JSON text."""
    if "tool_calls" not in message:
        return message
    calls = [{**c, "function": {**c["function"], "arguments": json.dumps(c["function"]["arguments"])}}
             for c in message["tool_calls"]]
    return {**message, "tool_calls": calls}


def judged_right(judged, talk, answer):
    if judged == "mode":
        return judge.obeyed(talk.mode, answer.get("reasoning_content"))
    if talk.expect["kind"] == "calls":
        calls = answer.get("tool_calls") or []
        try:
            made = [{"name": c["function"]["name"], "arguments": json.loads(c["function"]["arguments"])} for c in calls]
        except ValueError:
            return False
        return judge.right(talk.expect, made)
    return judge.right(talk.expect, answer.get("content") or "")


def beside(table, before):
    """Prints both as Markdown; returns the rows that are worse now."""
    of = {row["row"]: row["awq"] for row in before}
    print("| what | before | now | |\n|---|---|---|---|")
    worse = []
    for row in table:
        was = of[row["row"]]
        holds = row["high"] >= was["low"]
        if not holds:
            worse.append(row["row"])
        cells = [f"{each['right']:.1f} % ({each['low']:.1f}–{each['high']:.1f})" for each in (was, row)]
        print(f"| {row['row']} | {cells[0]} | {cells[1]} | {'holds' if holds else 'WORSE'} |")
    return worse


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--prompts", type=int, default=1000, help="a row")
    parser.add_argument("--rows", default="", help="names parted by semicolons; default: all")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--json", type=Path, help="write the table there")
    parser.add_argument("--beside", type=Path, help="a table to compare with: evaluation.json, which is the CPU's")
    a = parser.parse_args()
    pieces = alphabetic_pieces(Tokenizer.from_file(str(TOKENIZER)))
    names = [name.strip() for name in a.rows.split(";")] if a.rows else list(judge.rows(pieces))
    table = []
    for name in names:
        talks, judged = judge.prompts(name, pieces, a.prompts)
        with ThreadPoolExecutor(a.clients) as pool:
            answers = list(pool.map(lambda pair: ask(a.url, pair[1], pair[0]), enumerate(talks)))
        verdicts = [judged_right(judged, talk, answer) for talk, answer in zip(talks, answers)]
        low, high = judge.wilson(sum(verdicts), len(verdicts))
        row = {"row": name, "right": round(100 * sum(verdicts) / len(verdicts), 2), "low": round(low, 2),
               "high": round(high, 2), "prompts": len(verdicts), "novel": sum(t.novel for t in talks)}
        table.append(row)
        print(f"{name:24} {row['right']:6.2f} %  [{low:.2f}, {high:.2f}]  {row['prompts']} prompts, {row['novel']} in new patterns",
              flush=True)
        wrong = [(t, x) for t, x, good in zip(talks, answers, verdicts) if not good]
        for talk, answer in wrong[:3]:
            shown = answer.get("content") or [c["function"] for c in answer.get("tool_calls") or []]
            print(f"    {talk.messages[-1]['content']!r} -> {shown!r}, expected {talk.expect['value']!r}")
    if a.json:
        a.json.write_text(json.dumps(table, indent=2) + "\n")
    if a.beside and beside(table, json.loads(a.beside.read_text(encoding="utf-8"))):
        sys.exit(1)


if __name__ == "__main__":
    main()
