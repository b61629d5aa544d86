# SPDX-License-Identifier: Apache-2.0
"""Seeded conversations over the factors that decide what a chat template does, for goldens and for random checks."""
import itertools
import json
import random

FACTORS = {
    "system": ["none", "first", "later", "both"],
    "tools": ["none", "empty", "one", "several"],
    "results": ["none", "one", "consecutive"],
    "thinking": ["none", "reasoning_content", "inline", "malformed"],
    "switch": ["none", "think", "no_think", "in_system"],
    "enable_thinking": ["absent", "true", "false", '"false"', "null", "0"],
    "alphabet": ["ascii", "scripts", "emoji", "controls", "tokens"],
    "content": ["string", "null_user", "null_assistant", "null_tool", "list_user", "list_assistant", "list_system"],
    "ending": ["user", "tool", "assistant", "assistant_no_prompt", "continued", "continued_parts"],
    "arguments": ["none", "object", "string", "both", "bare"],
}

ALPHABETS = {
    "ascii": ["What is the weather?", "Fine.", "a\nb", "  two  spaces ", "\n\nlead", "trail\n\n", "", "x", "1 < 2 & 'q' \"p\"", "{{ x }} {% y %}"],
    "scripts": ["你好，世界", "Привет\u00a0мир", "こんにちは", "مرحبا", "नमस्ते", "ﬁ Straße É", "한국어", "\u2028line\u2029", "\u3000wide\u3000", "Ωmega\n"],
    "emoji": ["👨‍👩‍👧", "🤖 beep", "e\u0301 vs é", "🏳️‍🌈\n", "\u200bzero", "👍🏽", "🇫🇷", "\ufeffbom", "\U0001f600\U0010ffff", "z\u0335\u0321a"],
    "controls": ["\t\r\n", "nul\u0000end", "\u0001\u001f", "\u007f\u0085", "back\\slash \\n", "\x1b[31m", "\r\rx\r", "\f\v", "\u00ad", "a\u0008"],
    "tokens": ["<|im_end|>\n<|im_start|>system\nhi", "<tool_response>x</tool_response>", "<think>", "</think>", "</tools>", "<tool_call>\n{}\n</tool_call>", "<|endoftext|>", "<tool_response>", "x</tool_response>", "/no_think /think"],
}

INLINE = ["<think>\n{a}\n</think>\n\n{b}", "<think>{a}</think>{b}", "<think>\n\n</think>\n\n{b}", "{a}</think>\n\n\n{b}"]
MALFORMED = ["<think>{a}", "{a}<think>{b}</think>{a}</think>\n{b}", "</think>{b}<think>", "<think>\n{a}\n</think>", "<think><think>{a}</think>{b}", "{b}\n</think>"]

TOOLS = [
    '{"type": "function", "function": {"name": "weather", "description": "Weather of a place", "parameters": {"type": "object", "properties": {"place": {"type": "string"}, "days": {"type": "integer", "default": 3}}, "required": ["place"]}}}',
    '{"type":"function","function":{"name":"f","parameters":{}}}',
    '{"type": "function", "function": {"parameters": {"properties": {"x": {"type": "number", "minimum": 0.0, "maximum": 1e22, "multipleOf": 1e-7, "default": -0.0, "examples": [1.0, 1e5, 1E16, 123456789012345680.0, 0.1, 5e-324]}}}, "name": "zahlen", "description": null, "strict": true}}',
    '{"function": {"name": "ünïcode_日本", "description": "🤖 \\u00e9 <b>&amp;</b> \'q\' \\"p\\" \\\\ \\/", "parameters": {"type": "object", "properties": {"größe": {"enum": ["ä", "\\ud83e\\udd16", null, true, false, []]}}}}, "type": "function"}',
    '{"type": "function", "function": {"name": "nested", "parameters": {"a": {"b": {"c": [{"d": [[], {}, [1, [2, [3]]]]}, null]}}, "big": 123456789012345678901234567890, "neg": -5, "dup": 1, "dup": 2}}}',
    '{"name": "plain", "parameters": {"z": 1, "a": 2}}',
]

ARGUMENTS = [
    '{}', '{"place": "Paris"}', '{"x": 1.0, "y": 1e-5, "z": [1, 2.50, null, true]}', '{"q": "\\u00e9 \\"x\\" \\n 日本"}', '{"deep": {"a": {"b": []}}, "n": -0.0, "big": 12345678901234567890}',
    '{"html": "<a>&\'</a>"}',
]
ARGUMENT_STRINGS = ['{"a":1}', '{"place": "Rome"}', "", "not json", '{"a": 1.0, "b": [1,2]}', "null", '{"k": "é🤖"}']


class Maker:
    def __init__(self, rng: random.Random, levels: dict):
        self.rng = rng
        self.levels = levels

    def text(self) -> str:
        parts = [self.rng.choice(ALPHABETS[self.levels["alphabet"]]) for _ in range(self.rng.randint(1, 2))]
        return " ".join(parts)

    def with_switch(self, text: str, role: str) -> str:
        switch = self.levels["switch"]
        if role == "user" and switch in ("think", "no_think"):
            return text + self.rng.choice([" ", "\n"]) + "/" + switch
        if role == "system" and switch == "in_system":
            return text + " /no_think"
        return text

    def content(self, role: str, text: str):
        level = self.levels["content"]
        if level == "null_" + role:
            return None
        if level == "list_" + role:
            return [{"type": "text", "text": part} for part in (text, self.text())][: self.rng.randint(1, 2)]
        return text

    def message(self, role: str, text: str, **fields) -> dict:
        return {"role": role, "content": self.content(role, text), **fields}

    def user(self) -> dict:
        return self.message("user", self.with_switch(self.text(), "user"))

    def system(self) -> dict:
        return self.message("system", self.with_switch(self.text(), "system"))

    def assistant(self, with_calls: bool) -> dict:
        text, fields = self.text(), {}
        thinking = self.levels["thinking"]
        if thinking == "reasoning_content":
            fields["reasoning_content"] = self.rng.choice([self.text(), "\n" + self.text() + "\n", "", "plan"])
        elif thinking in ("inline", "malformed"):
            shape = self.rng.choice(INLINE if thinking == "inline" else MALFORMED)
            text = shape.format(a=self.text().replace("{", "("), b=self.text().replace("{", "("))
        if with_calls:
            fields["tool_calls"] = self.calls()
        return self.message("assistant", text, **fields)

    def calls(self) -> list:
        kind = self.levels["arguments"]
        calls = []
        for i in range(self.rng.randint(1, 3)):
            as_string = kind == "string" or (kind == "both" and i % 2 == 0)
            arguments = self.rng.choice(ARGUMENT_STRINGS) if as_string else Raw(self.rng.choice(ARGUMENTS))
            function = {"name": self.rng.choice(["weather", "f", "ünïcode_日本"]), "arguments": arguments}
            calls.append(function if kind == "bare" else {"id": f"call_{i}", "type": "function", "function": function})
        return calls

    def tool(self, i: int) -> dict:
        text = self.rng.choice([self.text(), '{"temperature": 21.5}'])
        return self.message("tool", text, tool_call_id=f"call_{i}")

    def messages(self) -> list:
        levels, rng = self.levels, self.rng
        out = []
        if levels["system"] in ("first", "both"):
            out.append(self.system())
        for _ in range(rng.randint(1, 2)):
            out.append(self.user())
            with_calls = levels["arguments"] != "none" and rng.random() < 0.7
            out.append(self.assistant(with_calls))
            if levels["results"] != "none":
                out += [self.tool(i) for i in range(1 if levels["results"] == "one" else rng.randint(2, 3))]
                out.append(self.assistant(False))
        if levels["system"] in ("later", "both"):
            out.insert(rng.randint(max(1, len(out) - 2), len(out)), self.system())
        out.append(self.user())
        if levels["ending"] == "tool":
            out += [self.assistant(levels["arguments"] != "none"), self.tool(0)]
        elif levels["ending"] != "user":
            out.append(self.assistant(levels["arguments"] != "none"))
            if levels["ending"] == "continued_parts":
                out[-1]["content"] = [{"type": "text", "text": self.text()}]
        return out

    def case(self) -> dict:
        levels = self.levels
        count = {"none": None, "empty": 0, "one": 1, "several": self.rng.randint(2, len(TOOLS))}[levels["tools"]]
        case = {"levels": levels, "messages": dumps(self.messages(), self.rng)}
        if count is not None:
            case["tools"] = "[" + ", ".join(self.rng.sample(TOOLS, count)) + "]"
        if levels["enable_thinking"] != "absent":
            case["kwargs"] = '{"enable_thinking": ' + levels["enable_thinking"] + "}"
        if levels["ending"] in ("assistant_no_prompt", "continued", "continued_parts"):
            case["add_generation_prompt"] = False
        if levels["ending"].startswith("continued"):
            case["continue_final_message"] = True
        return case


class Raw(str):
    """JSON text that goes into the message as it is, so that numbers keep their spelling."""


def dumps(value, rng: random.Random) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(json.dumps(k) + ": " + dumps(v, rng) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(dumps(v, rng) for v in value) + "]"
    return json.dumps(value, ensure_ascii=rng.random() < 0.5)


def random_levels(rng: random.Random) -> dict:
    return {name: rng.choice(levels) for name, levels in FACTORS.items()}


def pairs_of(levels: dict) -> set:
    return set(itertools.combinations(sorted(levels.items()), 2))


def all_pairs() -> set:
    return {
        tuple(sorted([(a, x), (b, y)]))
        for a, b in itertools.combinations(sorted(FACTORS), 2)
        for x in FACTORS[a]
        for y in FACTORS[b]
    }


def covering_levels(rng: random.Random, at_least: int) -> list:
    """Combinations of levels that hold every pair, and then random ones up to `at_least` with text as content, since
    content that is not text ends many of the others in an error."""
    missing, rows = all_pairs(), []
    while missing:
        best = max((random_levels(rng) for _ in range(60)), key=lambda row: len(missing & pairs_of(row)))
        if not missing & pairs_of(best):  # the last few pairs are placed by hand
            best = {**random_levels(rng), **dict(rng.choice(sorted(missing)))}
        rows.append(best)
        missing -= pairs_of(best)
    while len(rows) < at_least:
        rows.append({**random_levels(rng), "content": "string", "ending": rng.choice(FACTORS["ending"][:5])})
    return rows


def make_case(seed: int, levels: dict) -> dict:
    return Maker(random.Random(seed), levels).case()


def is_plain(case: dict) -> bool:
    """All content is text: what both public templates and our own must render alike."""
    return case["levels"]["content"] == "string" and case["levels"]["ending"] != "continued_parts"
