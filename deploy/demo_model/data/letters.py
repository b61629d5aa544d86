# SPDX-License-Identifier: Apache-2.0
"""Counting letters, spelling, reversing."""

from .item import Item, Patterns

COUNT_EN = Patterns("""
How many {c}'s in {w}?
How many {c}'s are in {w}?
How many {c}'s are there in {w}?
How many {c}s are in the word {w}?
How many {c} in {w}?
How many {c} are there in the word {w}?
How many letters {c} are in {w}?
How many times does {c} appear in {w}?
How many times does the letter {c} appear in {w}?
How many times does the letter {c} occur in the word {w}?
How often does {c} occur in {w}?
How often does the letter {c} appear in the word {w}?
How many {c}'s does {w} have?
How many {c}'s does the word {w} contain?
How many of the letters in {w} are {c}?
What is the number of {c}'s in {w}?
Count the {c}'s in {w}.
Count the letter {c} in {w}.
Count how many times {c} shows up in {w}.
Count all {c}'s in the word {w}
Tell me how many {c}'s {w} contains.
Tell me the number of times {c} is used in {w}.
Find the number of {c}'s in {w}.
In the word {w}, how many {c}'s are there?
In {w}, how many times do you see the letter {c}?
Look at {w}. How many {c}'s does it have?
Take the word {w}. How many {c}'s can you find?
{w}: how many {c}'s?
The letter {c} in {w}: how many?
number of {c} in {w}
Does {w} contain {c}? How many times?
I want to know how many {c}'s are in {w}.
Say how many {c}'s there are in {w}.
Here is a word: {w}. Count its {c}'s.
Give me the count of the letter {c} in {w}.
For the word {w}, what is the count of {c}?
In {w}, how often is the letter {c} used?
In the word {w}, count the {c}'s.
In {w}, find the letter {c} and count it.
Can you count the {c}'s in {w}?
Can you tell me how many {c}'s {w} has?
Can you see how many times {c} appears in {w}?
Could you count the letter {c} in the word {w}?
Do you see any {c}'s in {w}? How many?
My word is {w}. How many times do you find {c} in it?
Go through {w} and count each {c}.
Check {w} for the letter {c}. How many are there?
Look at the word {w} and say how many {c}'s are in it.
What is the total number of {c}'s in the word {w}?
How many occurrences of {c} are there in {w}?
Please count {c} in {w}.
Word: {w}. Letter: {c}. Count?
{c} in {w}?
""", """
The word is {w}. How many {c}'s do you see in it?
Can you find how many times {w} has the letter {c}?
What is the count of {c}'s in the word {w}?
Look for the letter {c} in {w} and tell me how many there are.
In {w}, count the letter {c}.
Do you know how many {c}'s the word {w} has?
""")
COUNT_ZH = Patterns("""
{w} 里有几个 {c}？
{w} 中有几个 {c}？
{w} 里有多少个 {c}？
单词 {w} 里有几个 {c}？
单词 {w} 中有多少个字母 {c}？
{w} 这个词里有几个字母 {c}？
{w} 这个单词里 {c} 出现了几次？
字母 {c} 在 {w} 里出现了几次？
字母 {c} 在 {w} 中出现多少次？
数一数 {w} 里的 {c}。
数一数 {w} 里有几个 {c}。
请数一下 {w} 里有多少个字母 {c}。
请告诉我 {w} 里有几个 {c}。
请问 {w} 中有多少个 {c}？
单词 {w} 中 {c} 的个数是多少？
{w} 里字母 {c} 的个数？
请数一数 {w} 里的字母 {c}。
""", """
请数一数单词 {w} 中字母 {c} 的个数。
请问 {w} 这个单词里有多少个 {c}？
""")
MORE_EN = ["Then, how many {c}'s in {w}?", "And how many {c}'s in {w}?", "What about {c} in {w}?", "Now {c} in {w}?",
           "Then how many {c}'s are in {w}?", "Next: how many {c}'s in {w}?", "OK, and {c} in {w}?"]
SAME_EN = ["And in {w}?", "What about {w}?", "And {w}?", "Then {w}?", "How about {w}?", "The same for {w}, please."]
MORE_ZH = ["那么 {w} 里有几个 {c}？", "那 {w} 里呢？", "{w} 里的 {c} 呢？"]
LENGTH_EN = Patterns("""
How many letters are in {w}?
How many letters does {w} have?
What is the length of the word {w}?
Count the letters in {w}.
How long is the word {w}?
What is the number of letters in {w}?
Tell me the length of {w}.
""", """
Tell me how many letters the word {w} has.
""")
SPELL_EN = Patterns("""
Spell {w}.
How do you spell {w}?
Spell the word {w}.
Can you spell {w}?
Write {w} letter by letter.
Please spell {w} for me.
List the letters of {w}.
Can you list the letters of {w}?
Tell me the letters of the word {w}.
Which letters does {w} have?
Go through {w} letter by letter.
Could you write the word {w} letter by letter?
What letters are in {w}?
What letters make up {w}?
Which are the letters of {w}?
Show me the letters of the word {w}.
Name the letters in {w} one by one.
Give me the letters of {w}.
How is {w} spelled?
How is the word {w} written, letter by letter?
Spell out {w}.
I need the letters of {w}, please.
""", """
Could you spell the word {w} letter by letter?
What are the letters of {w}?
""")
SPELL_ZH = Patterns("""
请拼写 {w}。
{w} 怎么拼写？
把 {w} 的字母一个一个写出来。
请把 {w} 拼写出来。
把单词 {w} 拼出来。
""", """
请把单词 {w} 拼写出来。
""")
REVERSE_EN = Patterns("""
Reverse the word {w}.
Reverse {w}.
Write {w} backwards.
What is {w} backwards?
Spell {w} backwards.
What is {w} in reverse?
What do you get when you reverse {w}?
Can you reverse the word {w}?
Can you spell {w} backwards?
How do you write {w} backwards?
Read {w} in reverse.
Turn {w} around.
""", """
Can you write the word {w} backwards?
How does {w} read in reverse?
""")
REVERSE_ZH = Patterns("""
把 {w} 倒过来写。
{w} 倒过来是什么？
请把单词 {w} 反过来写。
把 {w} 的字母反过来写。
请倒过来写 {w}。
""", """
请把 {w} 的字母倒过来写。
""")
WORD_QUOTES = ["{}"] * 5 + ['"{}"', '"{}"', "'{}'", "**{}**"]
WORD_QUOTES_ZH = ["{}"] * 3 + ["“{}”", '"{}"']
LETTER_QUOTES = ["{}"] * 5 + ['"{}"', "'{}'"]


def spelled(word):
    return " ".join(word)


def running_count(word, letter):
    """s0 t0 r1 ...: each letter with how many matches there are so far."""
    count, steps = 0, []
    for c in word:
        count += c.lower() == letter.lower()
        steps.append(f"{c}{count}")
    return " ".join(steps)


def draw_letter(rng, word):
    if rng.random() < 0.8:
        return rng.choice(word.lower())
    return rng.choice("abcdefghijklmnopqrstuvwxyz")


def draw_word(rng, split):
    word = split.words.draw(rng)
    if rng.random() < 0.06:
        word = word.capitalize()
    return word


def count_answer(word, letter, lang):
    return count_answer_with(word, letter, lang, word.lower().count(letter))


def count_thinking(word, letter, lang):
    n = word.lower().count(letter)
    if lang == "zh":
        return f"一个一个数 {word} 里的 {letter}：\n{running_count(word, letter)}\n一共 {n} 个。"
    return f"Count {letter} in {word}, letter by letter:\n{running_count(word, letter)}\nThe total is {n}."


def count_item(rng, split, lang, pattern, novel, word, letter):
    quoted_word = rng.choice(WORD_QUOTES_ZH if lang == "zh" else WORD_QUOTES).format(word)
    shown_letter = letter.upper() if rng.random() < 0.03 else letter
    quoted_letter = rng.choice(LETTER_QUOTES).format(shown_letter)
    n = word.lower().count(letter)

    def follow_up(inner_rng):
        next_word = draw_word(inner_rng, split)
        if inner_rng.random() < 0.5:
            return count_item(inner_rng, split, lang, inner_rng.choice(MORE_ZH if lang == "zh" else SAME_EN), False,
                              next_word, letter)
        next_letter = draw_letter(inner_rng, next_word)
        more = MORE_ZH[0] if lang == "zh" else inner_rng.choice(MORE_EN)
        return count_item(inner_rng, split, lang, more, False, next_word, next_letter)

    def confirm(was_right):
        answer = count_answer(word, letter, lang)
        if lang == "zh":
            return count_thinking(word, letter, lang), ("是的，" if was_right else "抱歉，我错了。") + answer
        return count_thinking(word, letter, lang), ("Yes. " if was_right else "Sorry, I was wrong. ") + answer

    item = Item(pattern.format(c=quoted_letter, w=quoted_word), count_thinking(word, letter, lang),
                count_answer(word, letter, lang), lang, {"kind": "number", "value": n}, follow_up, confirm, novel)
    item.wrong = lambda r: count_answer_with(word, letter, lang, max(0, n + r.choice([-1, 1])))
    return item


def count_answer_with(word, letter, lang, n):
    if lang == "zh":
        return f"{word} 里有 {n} 个 {letter}。"
    return f"There is 1 {letter} in {word}." if n == 1 else f"There are {n} {letter}'s in {word}."


def count(rng, split, lang):
    pattern, novel = (COUNT_ZH if lang == "zh" else COUNT_EN).draw(rng, split)
    word = draw_word(rng, split)
    return count_item(rng, split, lang, pattern, novel, word, draw_letter(rng, word))


def length(rng, split, lang):
    del lang
    pattern, novel = LENGTH_EN.draw(rng, split)
    word = draw_word(rng, split)
    steps = " ".join(f"{c}{i}" for i, c in enumerate(word, 1))
    return Item(pattern.format(w=rng.choice(WORD_QUOTES).format(word)), f"Number the letters of {word}:\n{steps}",
                f"The word {word} has {len(word)} letters.", "en", {"kind": "number", "value": len(word)}, novel=novel)


def spell(rng, split, lang):
    pattern, novel = (SPELL_ZH if lang == "zh" else SPELL_EN).draw(rng, split)
    word = draw_word(rng, split)
    quotes = WORD_QUOTES_ZH if lang == "zh" else WORD_QUOTES
    dashed = "-".join(word)
    thinking = f"{word} 的字母是：{spelled(word)}" if lang == "zh" else f"The letters of {word} are: {spelled(word)}"
    return Item(pattern.format(w=rng.choice(quotes).format(word)), thinking, dashed, lang,
                {"kind": "text", "value": dashed}, novel=novel)


def reverse(rng, split, lang):
    pattern, novel = (REVERSE_ZH if lang == "zh" else REVERSE_EN).draw(rng, split)
    word = draw_word(rng, split).lower()
    quotes = WORD_QUOTES_ZH if lang == "zh" else WORD_QUOTES
    back = word[::-1]
    if lang == "zh":
        thinking = f"{word} 的字母是：{spelled(word)}\n倒过来：{spelled(back)}"
    else:
        thinking = f"The letters of {word} are: {spelled(word)}\nBackwards: {spelled(back)}"
    return Item(pattern.format(w=rng.choice(quotes).format(word)), thinking, back, lang,
                {"kind": "text", "value": back}, novel=novel)
