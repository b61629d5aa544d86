# SPDX-License-Identifier: Apache-2.0
"""Right or wrong: what evaluation means by a correct answer, and the rows of the evaluation table."""

import json
import math
import random
import re

from data import conversation, item, letters, numbers, words


def split_output(text):
    """(thinking or None, answer) of raw model output. None: no block at all."""
    if text.startswith("<think>"):
        thinking, end, answer = text[len("<think>"):].partition("</think>")
        return (thinking.strip(), answer.strip()) if end else (thinking.strip(), "")
    return None, text.strip()


def calls_of(text):
    calls = []
    for body in re.findall(r"<tool_call>\n(.*?)\n</tool_call>", text, re.DOTALL):
        try:
            calls.append(json.loads(body))
        except ValueError:
            return None
    return calls


def right(expect, answer):
    """answer: the visible content; for calls, a list of {"name", "arguments"}."""
    kind, value = expect["kind"], expect["value"]
    if kind == "calls":
        return answer == value
    if kind == "number":
        if re.fullmatch(r".*= ?-?\d+", answer.strip(), re.DOTALL):
            return int(answer.rsplit("=", 1)[1]) == value
        found = re.findall(r"-?\d+", answer)
        return len(found) == 1 and int(found[0]) == value
    if kind == "text":
        return answer.strip() == value
    if kind == "contains":
        return value in answer
    if kind == "all":
        return all(v in answer for v in value)
    return answer.strip() == value


def obeyed(mode, thinking):
    """Whether the output thought, or did not, as it was told."""
    return bool(thinking) if mode == "think" else not thinking


def wilson(successes, trials):
    """95 % interval of a proportion, in per cent."""
    if not trials:
        return 0.0, 0.0
    z, p = 1.959964, successes / trials
    middle = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return 100 * (middle - half), 100 * (middle + half)


def single(make, split, mode):
    """A one-turn prompt of one task in one mode, no system prompt and no tools."""

    def draw(rng):
        lang = "zh" if rng.random() < 0.2 else "en"
        question = make(rng, split, lang)
        text, kwargs, how = question.user, {}, mode
        if mode == "direct":
            how = rng.choice(["direct", "closed"])
            if how == "closed":
                kwargs = {"enable_thinking": False}
            else:
                text += " /no_think"
        return conversation.Conversation([{"role": "user", "content": text}], "", [], kwargs, "", how, question.expect,
                                         question.novel)

    return draw


def rows(pieces):
    """name -> (function(rng) -> Conversation, what is judged: answer or mode)"""
    split = item.Split(True, words.Words(True, pieces))
    return {
        "letters, thinking": (single(letters.count, split, "think"), "answer"),
        "letters, not thinking": (single(letters.count, split, "direct"), "answer"),
        "arithmetic, thinking": (single(numbers.arithmetic, split, "think"), "answer"),
        "switches over 4 turns": (lambda rng: conversation.chat(rng, split, turns=4, switches=0.6, closed=False), "mode"),
        "tool calls": (lambda rng: conversation.tool_chat(rng, split, "call"), "answer"),
        "tool results": (lambda rng: conversation.tool_chat(rng, split, "result"), "answer"),
        "spelling": (single(letters.spell, split, "think"), "answer"),
        "reversing": (single(letters.reverse, split, "think"), "answer"),
        "comparing": (single(numbers.compare, split, "think"), "answer"),
        "sorting": (single(numbers.sort, split, "think"), "answer"),
        "all else": (lambda rng: conversation.chat(rng, split), "answer"),
    }


def prompts(name, pieces, number, seed=20261124):
    draw, judged = rows(pieces)[name]
    rng = random.Random(f"{seed}:{name}")
    return [draw(rng) for _ in range(number)], judged
