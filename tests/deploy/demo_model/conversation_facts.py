# SPDX-License-Identifier: Apache-2.0
"""What a conversation of the demo model's data gives away, read back from its text: words, numbers, tool names, sentence
patterns. Written against the text alone, so that it does not trust the generator that it is there to judge."""

import re
import sys
from pathlib import Path

DEMO = Path(__file__).resolve().parents[3] / "deploy" / "demo_model"
sys.path.insert(0, str(DEMO))

from data import calendar, item, letters, numbers, talk, tools  # noqa: E402

MODULES = [calendar, letters, numbers, talk, tools]
COUNTED = re.compile(r"(?:There (?:is|are) \d+ \S+ in (\S+)\.|The word (\S+) has \d+ letters\.|([^\s，。]+) 里有 \d+ 个 \S。)$")
SUM = re.compile(r"(\d+) ([-+*×]) (\d+) = -?\d+$")


def answer_of(target):
    return target.rsplit("</think>", 1)[-1].strip()


def words_asked(talk_):
    """The words that were counted in, measured, spelled or reversed, in every turn that says so."""
    answers = [m["content"] for m in talk_.messages if m["role"] == "assistant"] + [answer_of(talk_.target)]
    found = [next(filter(None, match.groups())) for answer in answers if (match := COUNTED.search(answer))]
    if talk_.task == "spell":
        found.append(answers[-1].replace("-", ""))
    if talk_.task == "reverse":
        found.append(answers[-1][::-1])
    return found


def sums_asked(talk_):
    """("347", "+", "85") of every turn that does a sum."""
    answers = [m["content"] for m in talk_.messages if m["role"] == "assistant"] + [answer_of(talk_.target)]
    return [(m[1], m[2].replace("×", "*"), m[3]) for answer in answers if (m := SUM.search(answer))]


def digits(text):
    return [int(number) for number in re.findall(r"\d+", text)]


def tool_readings(name):
    """"verb noun" in every way that a tool's name can be read: get_weather, getWeather, weather_get, get_current_weather."""
    parts = [part.lower() for part in re.findall(r"[A-Za-z][a-z]*", name)]
    verbs = set(tools.VERBS) | set(tools.LOOK_UP)
    ways = [(parts[0], parts[-1])] if "_" not in name else [(parts[0], parts[-1]), (parts[-1], parts[-2])]
    return [f"{verb} {noun}" for verb, noun in ways if verb in verbs]


def patterns_in(value):
    if isinstance(value, item.Patterns):
        return [value]
    if isinstance(value, dict):
        return [p for v in value.values() for p in patterns_in(v)]
    return []


def as_expression(pattern, free=()):
    """A sentence pattern as a regular expression. free: placeholders that may hold several words."""
    parts = re.split(r"\{(\w+)\}", pattern)
    return "".join(re.escape(part) if i % 2 == 0 else ".+?" if part in free else r"\S+" for i, part in enumerate(parts))


def held_out_expressions():
    """Every sentence pattern that training must not hold."""
    found = []
    for module in MODULES:
        free = "ab" if module is talk else "a" if module is tools else "l"
        for value in vars(module).values():
            found += [as_expression(p, free) for patterns in patterns_in(value) for p in patterns.held_out]
        for name, value in vars(module).items():
            if name.endswith("HELD_OUT"):
                found += [as_expression(p, free) for p in value]
    for en, _, zh, _ in talk.FACTS:
        found += [re.escape(ways.split("|")[-1]) for ways in (en, zh)]
    return found


def without_switch(text):
    return re.sub(r"\s*/(no_)?think\s*", "", text).strip()
