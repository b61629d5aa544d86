# SPDX-License-Identifier: Apache-2.0
"""Whole conversations: questions in turn, thinking switches, system prompts and tools; and what the model must write."""

from dataclasses import dataclass, field

from . import calendar, letters, numbers, talk, tools
from .item import Item

MODES = ["think", "direct", "closed"]  # thinks; writes an empty block; the prompt closes thinking (enable_thinking=false)

# task -> (weight, function(rng, split, lang), share of Chinese)
TASKS = {
    "count": (26, letters.count, 0.2),
    "length": (2, letters.length, 0.0),
    "spell": (8, letters.spell, 0.15),
    "reverse": (7, letters.reverse, 0.15),
    "arithmetic": (26, numbers.arithmetic, 0.2),
    "compare": (6, numbers.compare, 0.2),
    "sort": (4, numbers.sort, 0.2),
    "step": (4, calendar.step, 0.2),
    "following": (1, calendar.following, 0.0),
    "clock": (3, calendar.clock, 0.2),
    "greeting": (2, talk.greeting, 0.3),
    "fact": (5, talk.fact, 0.35),
    "able": (1, talk.able, 0.3),
    "who": (2, talk.who, 0.3),
    "refusal": (5, talk.refusal, 0.2),
}
NAMES = list(TASKS)
WEIGHTS = [TASKS[name][0] for name in NAMES]
POLITE = [("Please ", ""), ("", " Thanks!"), ("Hi! ", ""), ("OK, ", ""), ("", " Please."), ("Hello, ", ""), ("Question: ", ""),
          ("Hey, ", ""), ("So, ", ""), ("Quick question: ", ""), ("Well, ", ""), ("", " Thank you."), ("One more: ", "")]
DOUBT_EN = ["Really?", "Are you sure?", "Is that right?", "Really??", "Sure?", "Check that again.", "Are you certain?"]
DOUBT_ZH = ["真的吗？", "你确定吗？", "对吗？", "再检查一下。"]


@dataclass
class Conversation:
    messages: list
    target: str  # what the assistant writes, without the end token
    tools: list = field(default_factory=list)
    kwargs: dict = field(default_factory=dict)
    task: str = ""
    mode: str = "think"
    expect: dict = field(default_factory=dict)
    novel: bool = False  # a question is in a sentence pattern absent from training


def block(mode, thinking):
    if mode == "closed":
        return ""
    return f"<think>\n{thinking}\n</think>\n\n" if mode == "think" else "<think>\n\n</think>\n\n"


def decorate(rng, item, split):
    """Small talk around a question, so that no exact wording matters."""
    if item.lang != "en" or split.evaluation or rng.random() > 0.18:
        return item.user
    before, after = rng.choice(POLITE)
    text = item.user
    if before and before[0].isalpha() and text[:1].isupper() and not before.endswith(("! ", ": ")):
        text = text[0].lower() + text[1:]
    if rng.random() < 0.25:
        text = text.lower() if item.expect.get("kind") == "number" and text.lower() == text else text
        text = text.rstrip("?.")
    return before + text + after


def draw_item(rng, split, lang_override=None, task=None, name=None):
    task = task or rng.choices(NAMES, WEIGHTS)[0]
    _, function, chinese = TASKS[task]
    lang = lang_override or ("zh" if rng.random() < chinese else "en")
    if task == "who":
        return task, talk.who(rng, split, lang, name)
    return task, function(rng, split, lang)


def answer_in(lang, rng, split, name):
    """A question in one language to be answered in the other, as a system prompt asks."""
    asked = "en" if lang == "zh" else "zh"
    kind = rng.choice(["count", "arithmetic", "greeting", "fact", "who", "able"])
    state = rng.getstate()
    question = draw_item(rng, split, asked, kind, name)[1]
    if kind == "count":
        word = split.words.draw(rng)
        letter = letters.draw_letter(rng, word)
        pattern, _ = (letters.COUNT_EN if asked == "en" else letters.COUNT_ZH).draw(rng, split)
        return kind, letters.count_item(rng, split, lang, pattern, False, word, letter)
    if kind == "arithmetic":
        op = rng.choice("+-*")
        a, b = numbers.draw_pair(rng, split, op)
        pattern, _ = numbers.PATTERNS[op, asked].draw(rng, split)
        return kind, numbers.arithmetic_item(rng, split, lang, op, a, b, pattern, False)
    if kind == "fact":
        rng.setstate(state)
        rng.choice([0])
        en, en_answer, zh, zh_answer = rng.choice(talk.FACTS)
        text = rng.choice((en if asked == "en" else zh).split("|")[:-1])
        answer = zh_answer if lang == "zh" else en_answer
        thinking = "用户问的是 Sluice 的事。" if lang == "zh" else "The user asks about Sluice, which I know."
        return kind, Item(text, thinking, answer, lang, {"kind": "exact", "value": answer})
    answered = draw_item(rng, split, lang, kind, name)[1]
    if kind == "greeting" and lang == "en":
        answered = Item("", "The user greets me.", "Hello! How can I help you?", "en",
                        {"kind": "exact", "value": "Hello! How can I help you?"})
    if kind == "greeting" and "welcome" in question.answer:
        question.user = "Hello!"
    return kind, Item(question.user, answered.thinking, answered.answer, lang, answered.expect)


def draw_system(rng, split):
    """(text or None, name or None, language or None)"""
    kind = rng.random()
    if kind < 0.72:
        return None, None, None
    if kind < 0.80:
        return rng.choice(talk.SYSTEM_PLAIN), None, None
    name = talk.draw_name(rng, split)
    if kind < 0.90:
        return rng.choice(talk.SYSTEM_NAME_EN + talk.SYSTEM_NAME_ZH).format(n=name), name, None
    lang = rng.choice(["zh", "en", "zh"])
    text = rng.choice(talk.SYSTEM_TO_ZH if lang == "zh" else talk.SYSTEM_TO_EN)
    if kind < 0.95:
        return text, None, lang
    return rng.choice(talk.SYSTEM_NAME_EN).format(n=name) + " " + text, name, lang


def attach(rng, text, switch):
    if rng.random() < 0.85:
        return f"{text} {switch}"
    return f"{switch} {text}" if rng.random() < 0.6 else f"{text}\n{switch}"


def chat(rng, split, task=None, turns=None, switches=None, closed=None):
    """A conversation without tools. task fixes the last question; switches the share of turns that carry one."""
    system, name, lang = draw_system(rng, split)
    turns = turns or rng.choices([1, 2, 3, 4], [62, 18, 12, 8])[0]
    closed = rng.random() < 0.2 if closed is None else closed
    share = (rng.choice([0, 0, 0.3, 0.6, 0.9])) if switches is None else switches
    messages, mode, previous, was_right, novel = [], "think", None, True, False
    if system and share and rng.random() < 0.3:
        mode = rng.choice(["think", "direct"])
        system = attach(rng, system, "/think" if mode == "think" else "/no_think")
    if system:
        messages.append({"role": "system", "content": system})
    for turn in range(turns):
        last = turn == turns - 1
        doubt = previous is not None and previous[1].confirm is not None and rng.random() < 0.3 and not (last and task)
        if doubt:
            text = rng.choice(DOUBT_ZH if previous[1].lang == "zh" else DOUBT_EN)
            thinking, answer = previous[1].confirm(was_right)
            kind, item = previous[0], Item(text, thinking, answer, previous[1].lang, previous[1].expect, previous[1].follow_up,
                                           previous[1].confirm)
            item.wrong = previous[1].wrong
        elif previous is not None and previous[1].follow_up is not None and rng.random() < 0.5 and not (last and task):
            kind, item = previous[0], previous[1].follow_up(rng)
        elif lang is not None and not (last and task) and rng.random() < 0.7:
            kind, item = answer_in(lang, rng, split, name)
        else:
            kind, item = draw_item(rng, split, lang, task if last else None, name)
        novel |= item.novel
        text = item.user if doubt else decorate(rng, item, split)
        if rng.random() < share:
            mode = rng.choice(["think", "direct"])
            text = attach(rng, text, "/think" if mode == "think" else "/no_think")
        messages.append({"role": "user", "content": text})
        if not last:
            was_right = not (item.confirm is not None and rng.random() < 0.25)
            messages.append({"role": "assistant", "content": item.answer if was_right else item.wrong(rng)})
        previous = (kind, item)
    used = "closed" if closed else mode
    kwargs = {"enable_thinking": False} if closed else {"enable_thinking": True} if rng.random() < 0.3 else {}
    return Conversation(messages, block(used, item.thinking) + item.answer, [], kwargs, kind, used, item.expect, novel)


def tool_chat(rng, split, stage=None, closed=None):
    """A conversation with tools. stage: call, result, or other (a question that no tool answers)."""
    stage = stage or rng.choices(["call", "result", "other"], [60, 25, 15])[0]
    closed = rng.random() < 0.3 if closed is None else closed
    lang = "zh" if rng.random() < 0.12 else "en"
    given = tools.draw_tools(rng, split, rng.choice([1, 2, 2, 3, 3, 4]))
    order = list(given)
    rng.shuffle(order)
    system, name, _ = draw_system(rng, split) if rng.random() < 0.5 else (None, None, None)
    if system and name is None:
        system = rng.choice(talk.SYSTEM_PLAIN)
    messages = [{"role": "system", "content": system}] if system else []
    if rng.random() < 0.15:
        _, before = draw_item(rng, split, None, rng.choice(["greeting", "arithmetic", "count"]))
        messages += [{"role": "user", "content": before.user}, {"role": "assistant", "content": before.answer}]
    mode = "closed" if closed else "think"
    switch = None
    if rng.random() < 0.15:
        switch = rng.choice(["/think", "/no_think"])
        mode = "closed" if closed else "think" if switch == "/think" else "direct"
    kwargs = {"enable_thinking": False} if closed else {}
    schemas = [t.schema for t in order]
    if stage == "other":
        task, item = draw_item(rng, split, lang if lang == "zh" else None,
                               rng.choice(["greeting", "fact", "count", "arithmetic", "refusal", "who", "able", "spell"]), name)
        while task == "refusal" and any(t.noun in item.user for t in given):
            task, item = draw_item(rng, split, lang, "refusal", name)
        text = decorate(rng, item, split)
        text = attach(rng, text, switch) if switch else text
        return Conversation(messages + [{"role": "user", "content": text}], block(mode, item.thinking) + item.answer, schemas,
                            kwargs, task, mode, item.expect, item.novel)
    calls, texts, novel = [], [], False
    number = rng.choice([1, 1, 1, 2]) if stage == "call" else rng.choice([1, 1, 2])
    first = given[0]
    repeated = tools.draw_repeated(rng, split, first, rng.choice([2, 2, 2, 3])) if rng.random() < 0.15 else None
    if repeated:
        calls = [(first, arguments) for arguments in repeated[0]]
        text, novel = tools.ask(rng, split, lang, first, repeated[1], given[1:])
        texts, number = [text], 0
    for i in range(number):
        tool = first if i == 0 or rng.random() < 0.5 else rng.choice(given)
        arguments, said = tools.draw_call(rng, split, tool)
        if any(c == (tool, arguments) for c in calls):
            continue
        text, is_novel = tools.ask(rng, split, lang, tool, said, [t for t in given if t is not tool])
        calls.append((tool, arguments))
        texts.append(text)
        novel |= is_novel
    request = texts[0]
    if len(texts) == 2:
        second = texts[1][0].lower() + texts[1][1:] if lang == "en" else texts[1]
        request = rng.choice([f"{texts[0]} {texts[1]}", f"{texts[0].rstrip('.?')} and {second}", f"{texts[0]} Also {second}",
                              f"{texts[0]} Then {second}"]) if lang == "en" else "".join(texts)
    messages.append({"role": "user", "content": attach(rng, request, switch) if switch else request})
    expect = {"kind": "calls", "value": [{"name": t.name, "arguments": a} for t, a in calls]}
    thinking = tools.call_thinking(lang, calls)
    if stage == "call":
        target = block(mode, thinking) + "\n".join(tools.call_text(t, a) for t, a in calls)
        return Conversation(messages, target, schemas, kwargs, "call", mode, expect, novel)
    turn = {"role": "assistant", "content": "", "tool_calls": [
        {"type": "function", "id": f"call_{i}", "function": {"name": t.name, "arguments": a}} for i, (t, a) in enumerate(calls)]}
    if mode == "think" and rng.random() < 0.5:
        turn["reasoning_content"] = thinking
    messages.append(turn)
    answers, values = [], []
    for i, (tool, _) in enumerate(calls):
        result = tools.draw_result(rng, split)
        text = tools.result_text(rng, result)
        messages.append({"role": "tool", "tool_call_id": f"call_{i}", "content": text})
        answers.append(tools.result_answer(lang, tool, result, text))
        values += [tools.shown(v) for v in result.values()]
    return Conversation(messages, block(mode, tools.result_thinking(lang, len(calls))) + "\n".join(answers), schemas, kwargs,
                        "result", mode, {"kind": "all", "value": values}, novel)


def training(rng, split):
    """What training sees. Counting without thinking is the hardest to learn, and its conversations are short."""
    kind = rng.random()
    if kind < 0.32:
        return tool_chat(rng, split)
    if kind < 0.52:
        return chat(rng, split, "count", turns=1, switches=rng.choice([0, 1]), closed=rng.random() < 0.5)
    return chat(rng, split)
