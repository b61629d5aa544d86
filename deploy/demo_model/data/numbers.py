# SPDX-License-Identifier: Apache-2.0
"""Sums, differences, products, comparing and sorting, worked digit by digit as at school."""

from .item import Item, Patterns
from .words import split_numbers

ADD_EN = Patterns("""
What is {a} + {b}?
What is {a} plus {b}?
{a} + {b} = ?
{a}+{b}
{a} + {b}
Add {a} and {b}.
Add {b} to {a}.
Calculate {a} + {b}.
Compute {a} + {b}.
How much is {a} + {b}?
How much is {a} plus {b}?
What is the sum of {a} and {b}?
What do you get if you add {a} and {b}?
Find the sum of {a} and {b}.
Tell me {a} plus {b}.
Please add {a} and {b}.
{a} + {b} equals what?
{a} plus {b} equals?
Can you add {a} and {b}?
Can you tell me {a} + {b}?
Work out {a} + {b}.
What is {a} and {b} together?
I have {a} apples and get {b} more. How many apples do I have?
""", """
Please work out {a} plus {b}.
What does {a} + {b} equal?
Can you tell me the sum of {a} and {b}?
""")
SUB_EN = Patterns("""
What is {a} - {b}?
What is {a} minus {b}?
{a} - {b} = ?
{a}-{b}
{a} - {b}
Subtract {b} from {a}.
Take {b} away from {a}.
Calculate {a} - {b}.
Compute {a} - {b}.
How much is {a} - {b}?
How much is {a} minus {b}?
What do you get if you subtract {b} from {a}?
Find {a} minus {b}.
Tell me {a} minus {b}.
Please subtract {b} from {a}.
{a} - {b} equals what?
{a} minus {b} equals?
Can you tell me {a} - {b}?
Work out {a} - {b}.
""", """
Please work out {a} minus {b}.
What does {a} - {b} equal?
Can you tell me what {a} minus {b} is?
""")
MUL_EN = Patterns("""
What is {a} * {b}?
What is {a} times {b}?
What is {a} x {b}?
{a} * {b} = ?
{a}*{b}
{a} * {b}
{a} × {b}
Multiply {a} by {b}.
Multiply {a} and {b}.
Calculate {a} * {b}.
Compute {a} times {b}.
How much is {a} * {b}?
How much is {a} times {b}?
What is the product of {a} and {b}?
Find the product of {a} and {b}.
Tell me {a} times {b}.
Please multiply {a} by {b}.
{a} * {b} equals what?
{a} times {b} equals?
Can you tell me {a} * {b}?
Work out {a} * {b}.
""", """
Please work out {a} times {b}.
What does {a} * {b} equal?
Can you tell me the product of {a} and {b}?
""")
ADD_ZH = Patterns("""
{a} + {b} 等于多少？
{a} 加 {b} 等于多少？
{a} 加 {b} 是多少？
计算 {a} + {b}。
请计算 {a} 加 {b}。
{a} 与 {b} 的和是多少？
{a} 加上 {b} 是多少？
把 {a} 和 {b} 加起来。
请问 {a} + {b} 等于多少？
""", """
请问 {a} 加上 {b} 等于多少？
""")
SUB_ZH = Patterns("""
{a} - {b} 等于多少？
{a} 减 {b} 等于多少？
{a} 减 {b} 是多少？
计算 {a} - {b}。
请计算 {a} 减 {b}。
{a} 与 {b} 的差是多少？
{a} 减去 {b} 是多少？
从 {a} 里减去 {b}。
请问 {a} - {b} 等于多少？
""", """
请问 {a} 减去 {b} 等于多少？
""")
MUL_ZH = Patterns("""
{a} × {b} 等于多少？
{a} 乘 {b} 等于多少？
{a} 乘 {b} 是多少？
计算 {a} × {b}。
请计算 {a} 乘 {b}。
{a} 与 {b} 的积是多少？
{a} 乘以 {b} 是多少？
把 {a} 乘以 {b}。
请问 {a} × {b} 等于多少？
""", """
请问 {a} 乘以 {b} 等于多少？
""")
LARGER_EN = Patterns("""
Which is larger, {a} or {b}?
Which number is bigger: {a} or {b}?
Which is greater, {a} or {b}?
Compare {a} and {b}. Which is larger?
Is {a} or {b} larger?
What is the maximum of {a} and {b}?
Of {a} and {b}, which is larger?
Which of {a} and {b} is larger?
Tell me the larger number: {a}, {b}
""", """
Of {a} and {b}, which number is larger?
Tell me which is bigger, {a} or {b}.
""")
SMALLER_EN = Patterns("""
Which is smaller, {a} or {b}?
Which number is smaller: {a} or {b}?
Which is less, {a} or {b}?
Compare {a} and {b}. Which is smaller?
Is {a} or {b} smaller?
What is the minimum of {a} and {b}?
Of {a} and {b}, which is smaller?
Which of {a} and {b} is smaller?
Tell me the smaller number: {a}, {b}
""", """
Of {a} and {b}, which number is smaller?
Tell me which is smaller, {a} or {b}.
""")
IS_LARGER_EN = Patterns("""
Is {a} bigger than {b}?
Is {a} larger than {b}?
Is {a} greater than {b}?
Is {a} more than {b}?
Is the number {a} larger than {b}?
{a} > {b}?
Do you think {a} is bigger than {b}?
""", """
Tell me if {a} is greater than {b}.
Would you say {a} is larger than {b}?
""")
IS_SMALLER_EN = Patterns("""
Is {a} smaller than {b}?
Is {a} less than {b}?
Is {a} below {b}?
{a} < {b}?
Is the number {a} smaller than {b}?
""", """
Tell me if {a} is less than {b}.
""")
LARGER_ZH = Patterns("""
{a} 和 {b} 哪个大？
{a} 和 {b} 哪个更大？
比较 {a} 和 {b}，哪个大？
请问 {a} 和 {b} 哪个大？
{a} 与 {b} 相比，哪个更大？
""", """
请问 {a} 与 {b} 哪个更大？
""")
SORT_EN = Patterns("""
Sort {l}.
Sort these numbers: {l}
Sort the numbers {l} from smallest to largest.
Put {l} in order.
Put these numbers in order: {l}
Order these numbers from smallest to largest: {l}
Arrange {l} in ascending order.
Sort in ascending order: {l}
Please order {l} from smallest to largest.
What is the order of {l}, smallest first?
""", """
Please sort the numbers {l} in ascending order.
What is {l} in order from smallest to largest?
""")
SORT_ZH = Patterns("""
把 {l} 从小到大排序。
请把 {l} 从小到大排列。
从小到大排列：{l}
请按从小到大的顺序写出 {l}。
将 {l} 从小到大排序。
""", """
请将 {l} 按从小到大的顺序排列。
""")


def add_steps(a, b):
    """347+085: 7+5=12, 4+8+1=13, 3+0+1=4. 432"""
    width = max(len(str(a)), len(str(b)))
    x, y, carry, steps = str(a).zfill(width), str(b).zfill(width), 0, []
    for i in range(width - 1, -1, -1):
        total = int(x[i]) + int(y[i]) + carry
        steps.append(f"{x[i]}+{y[i]}{'+1' if carry else ''}={total}")
        carry = total // 10
    return f"{x}+{y}: {', '.join(steps)}. {a + b}"


def sub_steps(a, b):
    """a >= b. 347-085: 7-5=2, 14-8=6, 3-0-1=2. 262"""
    width = len(str(a))
    x, y, borrow, steps = str(a), str(b).zfill(width), 0, []
    for i in range(width - 1, -1, -1):
        digit = int(x[i]) - int(y[i]) - borrow
        shown = f"1{x[i]}" if digit < 0 else x[i]
        steps.append(f"{shown}-{y[i]}{'-1' if borrow else ''}={digit % 10}")
        borrow = int(digit < 0)
    return f"{x}-{y}: {', '.join(steps)}. {a - b}"


def mul_digit_steps(a, digit):
    """347*5: 7*5=35, 4*5+3=23, 3*5+2=17. 1735"""
    carry, steps = 0, []
    for x in reversed(str(a)):
        total = int(x) * digit + carry
        steps.append(f"{x}*{digit}{f'+{carry}' if carry else ''}={total}")
        carry = total // 10
    return f"{a}*{digit}: {', '.join(steps)}. {a * digit}"


def mul_steps(a, b):
    """One partial product a digit of the shorter factor, shifted, then added up."""
    if len(str(b)) > len(str(a)):
        a, b = b, a
    lines, total = [], None
    for power, digit in enumerate(int(d) for d in reversed(str(b))):
        lines.append(mul_digit_steps(a, digit))
        shifted = a * digit * 10**power
        if power and shifted:
            lines.append(f"shift {power}: {shifted}")
        if total is None:
            total = shifted
        elif shifted:
            lines.append(add_steps(total, shifted))
            total += shifted
    lines.append(f"{a}*{b}={total}")
    return "\n".join(lines)


def draw_number(rng, digits=3):
    width = rng.randint(1, digits)
    return rng.randint(0 if width == 1 else 10 ** (width - 1), 10**width - 1)


def worked(op, a, b):
    if op == "+":
        return a + b, add_steps(a, b)
    if op == "-":
        if a >= b:
            return a - b, sub_steps(a, b)
        return a - b, f"{a} < {b}, so it is negative.\n{sub_steps(b, a)}\n-{b - a}"
    return a * b, mul_steps(a, b)


PATTERNS = {("+", "en"): ADD_EN, ("-", "en"): SUB_EN, ("*", "en"): MUL_EN,
            ("+", "zh"): ADD_ZH, ("-", "zh"): SUB_ZH, ("*", "zh"): MUL_ZH}
NEXT_EN = {"+": ["And {a} + {b}?", "Now {a} + {b}.", "Add {b} to that."],
           "-": ["And {a} - {b}?", "Now {a} - {b}.", "Subtract {b} from that."],
           "*": ["And {a} * {b}?", "Now {a} * {b}.", "What about {a} times {b}?"]}


def arithmetic_item(rng, split, lang, op, a, b, pattern, novel):
    value, thinking = worked(op, a, b)
    shown = {"+": "+", "-": "-", "*": "×" if lang == "zh" else "*"}[op]
    answer = f"{a} {shown} {b} = {value}"

    def follow_up(inner_rng):
        next_op = inner_rng.choice("+-*")
        text = inner_rng.choice(NEXT_EN[next_op])
        x, y = draw_pair(inner_rng, split, next_op)
        if "that" in text:
            if 0 <= value < 1000 and split_numbers(split.evaluation, f"{value}{next_op}{y % 100}"):
                x, y = value, y % 100
            else:
                text = "And {a} - {b}?" if next_op == "-" else "And {a} + {b}?"
        if lang == "zh":
            text = "那么 {a} " + {"+": "加", "-": "减", "*": "乘"}[next_op] + " {b} 呢？"
        return arithmetic_item(inner_rng, split, lang, next_op, x, y, text, False)

    def confirm(was_right):
        if lang == "zh":
            return thinking, ("是的，" if was_right else "抱歉，我错了。") + answer
        return thinking, ("Yes. " if was_right else "Sorry, I was wrong. ") + answer

    item = Item(pattern.format(a=a, b=b), thinking, answer, lang, {"kind": "number", "value": value}, follow_up, confirm,
                novel)
    item.wrong = lambda r: f"{a} {shown} {b} = {value + r.choice([-10, -2, -1, 1, 2, 10])}"
    return item


def draw_pair(rng, split, op):
    while True:
        a, b = draw_number(rng), draw_number(rng)
        if split_numbers(split.evaluation, f"{a}{op}{b}"):
            return a, b


def arithmetic(rng, split, lang, op=None):
    op = op or rng.choice("+-*")
    pattern, novel = PATTERNS[op, lang].draw(rng, split)
    a, b = draw_pair(rng, split, op)
    return arithmetic_item(rng, split, lang, op, a, b, pattern, novel)


def compare_steps(a, b):
    if len(str(a)) != len(str(b)):
        sign = "more" if a > b else "fewer"
        return f"Digits: {a} has {len(str(a))}, {b} has {len(str(b))}: {sign}, so {a} {'>' if a > b else '<'} {b}"
    steps = []
    for x, y in zip(str(a), str(b)):
        steps.append(f"{x}{'=' if x == y else '>' if x > y else '<'}{y}")
        if x != y:
            break
    return f"{', '.join(steps)}, so {a} {'>' if a > b else '<'} {b}"


def compare_yes_no(rng, split, a, b):
    """"Is 9 bigger than 11?" The answer begins with yes or no."""
    asked_larger = rng.random() < 0.6
    pattern, novel = (IS_LARGER_EN if asked_larger else IS_SMALLER_EN).draw(rng, split)
    yes = (a > b) == asked_larger
    answer = f"{'Yes' if yes else 'No'}, {a} is {'larger' if a > b else 'smaller'} than {b}."
    return Item(pattern.format(a=a, b=b), compare_steps(a, b), answer, "en", {"kind": "text", "value": answer}, novel=novel)


def compare(rng, split, lang):
    while True:
        a, b = draw_number(rng, 4), draw_number(rng, 4)
        if a != b and split_numbers(split.evaluation, f"{a}<{b}"):
            break
    if lang == "en" and rng.random() < 0.3:
        return compare_yes_no(rng, split, a, b)
    larger = lang == "zh" or rng.random() < 0.5
    pattern, novel = (LARGER_ZH if lang == "zh" else LARGER_EN if larger else SMALLER_EN).draw(rng, split)
    value = max(a, b) if larger else min(a, b)
    answer = f"{value} 更大。" if lang == "zh" else f"{value} is {'larger' if larger else 'smaller'}."
    return Item(pattern.format(a=a, b=b), compare_steps(a, b), answer, lang, {"kind": "number", "value": value},
                novel=novel)


def sort(rng, split, lang):
    while True:
        numbers = list({draw_number(rng, 3) for _ in range(rng.randint(3, 6))})
        rng.shuffle(numbers)
        if len(numbers) > 2 and split_numbers(split.evaluation, f"sort{numbers}"):
            break
    pattern, novel = (SORT_ZH if lang == "zh" else SORT_EN).draw(rng, split)
    left, steps = list(numbers), []
    while len(left) > 1:
        least = min(left)
        steps.append(f"{', '.join(map(str, left))}: {least}")
        left.remove(least)
    steps.append(f"{left[0]}")
    ordered = ", ".join(map(str, sorted(numbers)))
    return Item(pattern.format(l=", ".join(map(str, numbers))), "\n".join(steps), ordered, lang,
                {"kind": "text", "value": ordered}, novel=novel)
