# SPDX-License-Identifier: Apache-2.0
"""Days of the week, months, and times of the day."""

from .item import Item, Patterns
from .words import split_numbers

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DAYS_ZH = ["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
          "November", "December"]
NAMES = {("day", "en"): DAYS, ("day", "zh"): DAYS_ZH, ("month", "en"): MONTHS}
AFTER = {
    ("day", "en"): Patterns("""
What day is {n} {unit} after {d}?
Which day comes {n} {unit} after {d}?
What day of the week is {n} {unit} after {d}?
If today is {d}, what day is it in {n} {unit}?
Today is {d}. What day is it in {n} {unit}?
{n} {unit} after {d} is which day?
""", """
It is {d} today. Which day will it be in {n} {unit}?
"""),
    ("month", "en"): Patterns("""
What month is {n} {unit} after {d}?
Which month comes {n} {unit} after {d}?
If it is {d}, what month is it in {n} {unit}?
{n} {unit} after {d} is which month?
""", """
It is {d} now. Which month will it be in {n} {unit}?
"""),
    ("day", "zh"): Patterns("""
{d}之后第{n}天是星期几？
今天是{d}，{n}天后是星期几？
{d}过{n}天是星期几？
""", """
如果今天是{d}，再过{n}天是星期几？
"""),
}
BEFORE = {
    "day": Patterns("""
What day is {n} {unit} before {d}?
Which day comes {n} {unit} before {d}?
If today is {d}, what day was it {n} {unit} ago?
Today is {d}. What day was it {n} {unit} ago?
""", """
It is {d} today. Which day was it {n} {unit} ago?
"""),
    "month": Patterns("""
What month is {n} {unit} before {d}?
Which month comes {n} {unit} before {d}?
If it is {d}, what month was it {n} {unit} ago?
""", """
It is {d} now. Which month was it {n} {unit} ago?
"""),
}
NEXT = Patterns("""
What {kind} comes after {d}?
Which {kind} comes after {d}?
What {kind} follows {d}?
Which {kind} is next after {d}?
""", """
Tell me the {kind} that comes after {d}.
""")
TIME_EN = Patterns("""
What time is it {n} minutes after {t}?
What time is {n} minutes after {t}?
It is {t}. What time is it in {n} minutes?
If it is {t} now, what time is it in {n} minutes?
Add {n} minutes to {t}.
""", """
The clock shows {t}. What time is it in {n} minutes?
""")
TIME_ZH = Patterns("""
{t} 过 {n} 分钟是几点？
现在是 {t}，{n} 分钟后是几点？
""", """
现在时间是 {t}，再过 {n} 分钟是几点？
""")


def step(rng, split, lang):
    kind = "day" if lang == "zh" else rng.choice(["day", "month"])
    names = NAMES[kind, lang]
    before = lang == "en" and rng.random() < 0.35
    while True:
        start, n = rng.randrange(len(names)), rng.randint(1, 9)
        if split_numbers(split.evaluation, f"{kind}{start}{before}{n}"):
            break
    sign = -1 if before else 1
    pattern, novel = (BEFORE[kind] if before else AFTER[kind, lang]).draw(rng, split)
    walk = ", ".join(f"{i} {names[(start + sign * i) % len(names)]}" for i in range(n + 1))
    value = names[(start + sign * n) % len(names)]
    unit = kind if n == 1 else kind + "s"
    answer = f"是{value}。" if lang == "zh" else f"It is {value}."
    return Item(pattern.format(n=n, d=names[start], unit=unit), walk, answer, lang, {"kind": "contains", "value": value},
                novel=novel)


def following(rng, split, lang):
    del lang
    kind = rng.choice(["day", "month"])
    names = NAMES[kind, "en"]
    start = rng.randrange(len(names))
    pattern, novel = NEXT.draw(rng, split)
    value = names[(start + 1) % len(names)]
    return Item(pattern.format(kind=kind, d=names[start]), f"0 {names[start]}, 1 {value}", f"{value} comes after {names[start]}.",
                "en", {"kind": "contains", "value": value}, novel=novel)


def clock(rng, split, lang):
    while True:
        hour, minute, n = rng.randint(0, 23), rng.randint(0, 59), rng.randint(1, 90)
        if split_numbers(split.evaluation, f"{hour}:{minute}+{n}"):
            break
    pattern, novel = (TIME_ZH if lang == "zh" else TIME_EN).draw(rng, split)
    total, h, lines = minute + n, hour, [f"{minute}+{n}={minute + n}"]
    while total >= 60:
        lines.append(f"{total}-60={total - 60}, hour {h}+1={h + 1}")
        total, h = total - 60, h + 1
    if h >= 24:
        lines.append(f"hour {h}-24={h - 24}")
        h -= 24
    value = f"{h:02d}:{total:02d}"
    answer = f"是 {value}。" if lang == "zh" else f"It is {value}."
    return Item(pattern.format(t=f"{hour:02d}:{minute:02d}", n=n), "\n".join(lines), answer, lang,
                {"kind": "contains", "value": value}, novel=novel)
