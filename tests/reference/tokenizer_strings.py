# SPDX-License-Identifier: Apache-2.0
"""Strings that a tokenizer gets wrong, by kind: what the goldens are made of and what the fuzzing test draws from.

Every kind is a function of a random.Random, so a seed gives the same strings on any machine and Python version
(random.Random.random, randrange and choice are stable; unicodedata is not used, its version differs).
"""


# First and last code point of blocks or parts of them; unassigned code points inside are wanted too.
SCRIPTS = {
    "latin": (0x0041, 0x024F), "ipa": (0x0250, 0x02FF), "latin_extended_d": (0xA720, 0xA7FF),
    "latin_additional": (0x1E00, 0x1EFF), "greek": (0x0370, 0x03FF), "greek_extended": (0x1F00, 0x1FFF),
    "coptic": (0x2C80, 0x2CFF), "cyrillic": (0x0400, 0x052F), "cyrillic_c": (0x1C80, 0x1C8F),
    "glagolitic": (0x2C00, 0x2C5F), "armenian": (0x0530, 0x058F), "georgian": (0x10A0, 0x10FF),
    "georgian_upper": (0x1C90, 0x1CBF), "hebrew": (0x0590, 0x05FF), "arabic": (0x0600, 0x06FF),
    "arabic_extended": (0x0860, 0x08FF), "arabic_forms": (0xFB50, 0xFDFF), "syriac": (0x0700, 0x074F),
    "thaana": (0x0780, 0x07BF), "nko": (0x07C0, 0x07FF), "samaritan": (0x0800, 0x083F), "devanagari": (0x0900, 0x097F),
    "bengali": (0x0980, 0x09FF), "gurmukhi": (0x0A00, 0x0A7F), "gujarati": (0x0A80, 0x0AFF), "oriya": (0x0B00, 0x0B7F),
    "tamil": (0x0B80, 0x0BFF), "telugu": (0x0C00, 0x0C7F), "kannada": (0x0C80, 0x0CFF), "malayalam": (0x0D00, 0x0D7F),
    "sinhala": (0x0D80, 0x0DFF), "thai": (0x0E00, 0x0E7F), "lao": (0x0E80, 0x0EFF), "tibetan": (0x0F00, 0x0FFF),
    "myanmar": (0x1000, 0x109F), "hangul_jamo": (0x1100, 0x11FF), "ethiopic": (0x1200, 0x137F),
    "cherokee": (0x13A0, 0x13FF), "canadian": (0x1400, 0x167F), "ogham": (0x1680, 0x169F), "runic": (0x16A0, 0x16FF),
    "khmer": (0x1780, 0x17FF), "mongolian": (0x1800, 0x18AF), "limbu": (0x1900, 0x194F), "tai_tham": (0x1A20, 0x1AAF),
    "balinese": (0x1B00, 0x1B7F), "vedic": (0x1CD0, 0x1CFF), "kana": (0x3040, 0x30FF), "bopomofo": (0x3100, 0x312F),
    "cjk": (0x4E00, 0x9FFF), "cjk_a": (0x3400, 0x4DBF), "cjk_b": (0x20000, 0x2A6DF), "cjk_f": (0x2CEB0, 0x2EBE0),
    "cjk_i": (0x2EBF0, 0x2EE5F), "cjk_compatibility": (0xF900, 0xFAFF), "cjk_supplement": (0x2F800, 0x2FA1F),
    "cjk_g": (0x30000, 0x3134F), "cjk_h": (0x31350, 0x323AF), "yi": (0xA000, 0xA4CF), "vai": (0xA500, 0xA63F),
    "bamum": (0xA6A0, 0xA6FF), "hangul": (0xAC00, 0xD7AF), "fullwidth": (0xFF00, 0xFFEF), "gothic": (0x10330, 0x1034F),
    "todhri": (0x105C0, 0x105FF), "nabataean": (0x10880, 0x108AF), "garay": (0x10D40, 0x10D8F),
    "yezidi": (0x10E80, 0x10EBF), "brahmi": (0x11000, 0x1107F), "chakma": (0x11100, 0x1114F),
    "tulu": (0x11380, 0x113FF), "dives_akuru": (0x11900, 0x1195F), "kawi": (0x11F00, 0x11F5F),
    "sunuwar": (0x11BC0, 0x11BFF), "cuneiform": (0x12000, 0x1247F), "hieroglyphs": (0x13000, 0x1345F),
    "hieroglyphs_extended": (0x13460, 0x143FF), "gurung_khema": (0x16100, 0x1613F), "kirat_rai": (0x16D40, 0x16D7F),
    "tangut": (0x17000, 0x187FF), "khitan": (0x18B00, 0x18CFF), "nushu": (0x1B170, 0x1B2FF),
    "mathematical": (0x1D400, 0x1D7FF), "nag_mundari": (0x1E4D0, 0x1E4FF), "ol_onal": (0x1E5D0, 0x1E5FF),
    "adlam": (0x1E900, 0x1E95F), "roman_numerals": (0x2150, 0x218F), "enclosed": (0x2460, 0x24FF),
    "letterlike": (0x2100, 0x214F), "superscripts": (0x2070, 0x209F), "legacy_computing": (0x1CC00, 0x1CCFF),
}
TELLING = [0xA7CB, 0xA7CC, 0xA7DA, 0x180E, 0x1C89, 0x1C8A, 0x017F, 0x212A, 0x0130, 0x0131, 0x00DF, 0x1E9E, 0xFB06, 0x0387,
           0x2126, 0x212B, 0x0344, 0x0958, 0x2ADC, 0xFB1D, 0x1D15E, 0x11938, 0x105C9, 0x16D68, 0x113C5]
MARK_BLOCKS = [(0x0300, 0x036F), (0x0483, 0x0489), (0x0591, 0x05C7), (0x0610, 0x061A), (0x064B, 0x065F), (0x0730, 0x074A),
               (0x07EB, 0x07F3), (0x08CA, 0x08FF), (0x093A, 0x094F), (0x09BC, 0x09CD), (0x0C3C, 0x0C56), (0x0D3B, 0x0D4D),
               (0x0E31, 0x0E4E), (0x0EB1, 0x0ECD), (0x0F71, 0x0F84), (0x1037, 0x103A), (0x1AB0, 0x1ACE), (0x1CD0, 0x1CF9),
               (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x302A, 0x302F), (0x3099, 0x309A), (0xA8E0, 0xA8F1), (0xFE20, 0xFE2F),
               (0x10D24, 0x10D27), (0x10D69, 0x10D6D), (0x1133B, 0x1133C), (0x113CE, 0x113D2), (0x1D165, 0x1D182),
               (0x1E130, 0x1E136), (0x1E4EC, 0x1E4EF), (0x1E8D0, 0x1E8D6), (0x1E944, 0x1E94A)]
MARK_BASES = [(0x41, 0x5A), (0x61, 0x7A), (0xC0, 0xFF), (0x0391, 0x03CE), (0x1F00, 0x1F15), (0x0410, 0x044F), (0x05D0, 0x05EA),
              (0x0627, 0x064A), (0x0915, 0x0939), (0x0995, 0x09A8), (0x304B, 0x30FA), (0x1E00, 0x1EF9), (0x1100, 0x1112),
              (0x1161, 0x1175), (0x11A8, 0x11C2), (0xAC00, 0xAFFF), (0xF900, 0xFA6D), (0x1099, 0x10AB), (0x0F40, 0x0F6C)]
# Vowel signs that are no marks by class, and compose all the same.
COMPOSING_PAIRS = ["\u09c7\u09be", "\u09c7\u09d7", "\u0b47\u0b3e", "\u0b47\u0b56", "\u0b92\u0bd7", "\u0bc6\u0bbe", "\u0cbf\u0cd5",
                   "\u0cc6\u0cc2", "\u0d46\u0d3e", "\u0dd9\u0dcf", "\u1025\u102e", "\u1b05\u1b35", "\u1b3e\u1b35", "\U00011131\U00011127",
                   "\U00011347\U0001133e", "\U000114b9\U000114ba", "\U000115b8\U000115af", "\U00011935\U00011930"]
CONTROLS = [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x034F, 0x061C, 0x115F, 0x1680, 0x17B4, 0x180B, 0x180E, *range(0x2000, 0x2010),
            *range(0x2028, 0x2030), 0x205F, *range(0x2060, 0x2070), 0x3000, 0x3164, 0xFE00, 0xFE0F, 0xFEFF, 0xFFA0,
            *range(0xFFF0, 0x10000), 0x1BCA0, 0x1D173, 0xE0001, *range(0xE0020, 0xE0028), 0xE0100, 0xF0000, 0x10FFFF]
SPACES = [" ", " ", " ", "\n", "\n", "\r\n", "\r", "\t", "\v", "\f", "\u0085", "\u00a0", "\u2003", "\u2028", "\u2029", "\u3000"]
WORDS = """the of and a to in is you that it he was for on are as with his they I at be this have from or one had by word but
not what all were we when your can said there use an each which she do how their if will up other about out many then them
these so some her would make like him into time has look two more write go see number no way could people my than first water
been call who oil its now find long down day did get come made may part tokenizer internationalization unbelievable
Schadenfreude naive rendezvous antidisestablishmentarianism HTTP GPU Qwen3 JavaScript Zurich""".split()
CODE = ["def {a}({b}, *, {c}=None):\n    return {a}[{b}:{n}]\n", "for (int {a} = 0; {a} < {n}; ++{a}) {{\n\t{b}[{a}] += {c};\n}}\n",
        "if ({a}->{b} != nullptr && {c} <= 0x{n}) {{ return -{n}; }}", "SELECT {a}, COUNT(*) FROM {b} WHERE {c} >= {n} GROUP BY 1;",
        "<div class=\"{a}\" id='{b}'>{c}&nbsp;{n}</div>", "{{\"{a}\": [{n}, null, true], \"{b}\": \"{c}\\n\"}}",
        "#include <{a}/{b}.h>\r\n#define {c} ({n}u << 3)\r\n", "let mut {a}: Vec<{b}> = {c}.iter().map(|x| x * {n}).collect();",
        "const {a} = async ({b}) => {{ await {c}?.[{n}] ?? `${{{b}}}`; }};", "\\begin{{{a}}} \\frac{{{b}}}{{{c}}} = {n} \\end{{{a}}}",
        "$ {a} --{b}={n} | grep -E '^{c}+$' > /dev/null 2>&1 &&", "    # {a}: {b}'s {c} isn't {n}%\n\n\n        pass  # noqa\n",
        "@{a}.{b}(\"{c}\")\n@@ -{n},7 +{n},9 @@ {a}\n-{b}\n+{c}\n", "/* {a} **{b}** */ //{c}//{n}\n\t\t\t\t}}\n\t\t\t}}\n\t\t}}\n"]
EMOJI_BASES = [*range(0x1F600, 0x1F650), *range(0x1F300, 0x1F380), *range(0x1F440, 0x1F480), *range(0x1F680, 0x1F6D0),
               *range(0x1F900, 0x1FA00), *range(0x1FA70, 0x1FAF9), *range(0x2600, 0x2700), 0x2764, 0x2B50, 0x203C, 0x1FAE9]
EMOJI_JOINED = [0x1F468, 0x1F469, 0x1F9D1, 0x1F466, 0x1F467, 0x2764, 0x1F48B, 0x1F308, 0x1F3F3, 0x2695, 0x1F4BB, 0x1F692]


def draw(rng, block):
    """A code point of an inclusive range, never a surrogate."""
    first, last = block
    c = first + rng.randrange(last - first + 1)
    return chr(c if not 0xD800 <= c < 0xE000 else 0xFFFD)


def scripts(rng):
    out = []
    blocks = list(SCRIPTS.values())
    block = rng.choice(blocks)
    for _ in range(1 + rng.randrange(8)):
        if rng.random() < 0.2:
            block = rng.choice(blocks)
        out.append("".join(draw(rng, block) for _ in range(1 + rng.randrange(7))))
        if rng.random() < 0.15:
            out.append(chr(rng.choice(TELLING)))
        out.append(rng.choice([" ", " ", " ", "", ", ", "。", "1", "'s ", "\n", "—"]))
    return "".join(out)


def emoji(rng):
    out = []
    for _ in range(1 + rng.randrange(6)):
        shape = rng.randrange(7)
        if shape == 0:
            out.append("\u200d".join(chr(rng.choice(EMOJI_JOINED)) for _ in range(2 + rng.randrange(3))))
        elif shape == 1:
            out.append(chr(rng.choice(EMOJI_BASES)) + chr(0x1F3FB + rng.randrange(5)))
        elif shape == 2:
            out.append("".join(chr(0x1F1E6 + rng.randrange(26)) for _ in range(rng.choice([1, 2, 2, 2, 3]))))
        elif shape == 3:
            out.append(rng.choice("0123456789#*") + "\ufe0f\u20e3")
        elif shape == 4:
            out.append("\U0001F3F4" + "".join(chr(0xE0061 + rng.randrange(26)) for _ in range(5)) + "\U000E007F")
        elif shape == 5:
            out.append(chr(rng.choice(EMOJI_BASES)) + rng.choice(["\ufe0f", "\ufe0e", "\u200d", ""]))
        else:
            out.append(chr(rng.choice(EMOJI_BASES)) * (1 + rng.randrange(4)))
        out.append(rng.choice(["", "", " ", "!", "x", "\n", "中", "\u200d"]))
    return "".join(out)


def marks(rng):
    out = []
    for _ in range(1 + rng.randrange(6)):
        out.append(draw(rng, rng.choice(MARK_BASES)))
        for _ in range(rng.randrange(5)):
            out.append(draw(rng, rng.choice(MARK_BLOCKS if rng.random() < 0.6 else MARK_BLOCKS[:1])))
        if rng.random() < 0.2:
            out.append(chr(rng.choice(TELLING)))
        if rng.random() < 0.2:
            out.append(draw(rng, (0x1100, 0x11FF)) + draw(rng, (0x1161, 0x1176)) + draw(rng, (0x11A7, 0x11C3)))
        if rng.random() < 0.2:
            out.append(rng.choice(COMPOSING_PAIRS) + rng.choice(["", "\u0301", "\u0ccd", "\u0dca"]))
        if rng.random() < 0.3:
            out.append(rng.choice([" ", "1", "'", "ab", "\n"]))
    return "".join(out)


def controls(rng):
    return "".join(chr(rng.choice(CONTROLS)) if rng.random() < 0.6 else rng.choice(["a", "Z", " ", "7", ".", "é", "字", "'s"])
                   for _ in range(1 + rng.randrange(24)))


def code(rng):
    out = []
    for _ in range(1 + rng.randrange(4)):
        names = [rng.choice(WORDS) + rng.choice(["", "_", "2", "_" + rng.choice(WORDS), rng.choice(WORDS).title()]) for _ in range(3)]
        text = rng.choice(CODE).format(a=names[0], b=names[1], c=names[2], n=rng.randrange(100000))
        out.append(text if rng.random() < 0.7 else text.replace("\n", "\n" + " " * (4 * rng.randrange(6))))
    return "".join(out)


def runs(rng):
    out = []
    for _ in range(1 + rng.randrange(3)):
        if rng.random() < 0.5:
            c = chr(33 + rng.randrange(94))
        else:
            c = rng.choice([draw(rng, rng.choice(list(SCRIPTS.values()))), rng.choice(SPACES), chr(rng.choice(CONTROLS)), "\u0301"])
        out.append(c * (1 + rng.randrange(1 + rng.randrange(700))))
        out.append(rng.choice(["", "", " ", "\n", "x"]))
    return "".join(out)


def added_tokens(rng, contents):
    """`contents`: the added tokens of the tokenizer under test."""
    out = []
    for _ in range(1 + rng.randrange(6)):
        token = rng.choice(contents)
        shape = rng.randrange(9)
        if shape == 0:
            out.append(token + rng.choice(contents))
        elif shape == 1:
            cut = 1 + rng.randrange(len(token) - 1)
            out.append(token[:cut] + rng.choice(["", " ", "x", rng.choice(contents)]) + token[cut:])
        elif shape == 2:
            out.append(rng.choice(WORDS) + token + rng.choice(WORDS))
        elif shape == 3:
            out.append(token[: 1 + rng.randrange(len(token))])
        elif shape == 4:
            out.append(rng.choice([token.upper(), token.title(), token.swapcase(), token[0] + token, token + token[-1]]))
        elif shape == 5:
            out.append("".join(rng.choice(SPACES) for _ in range(rng.randrange(4))) + token + rng.choice(SPACES))
        elif shape == 6:
            out.append(rng.choice(["e", "<", "<|", "'", "\u1100"]) + token + rng.choice(["\u0301", "|>", "s", "'s", "\u1161"]))
        else:
            out.append(token + rng.choice(["", "\n", " ", rng.choice(WORDS)]))
    return "".join(out)


def random_bytes(rng):
    out = bytearray()
    for _ in range(1 + rng.randrange(12)):
        shape = rng.randrange(4)
        if shape == 0:
            out += bytes(rng.randrange(256) for _ in range(1 + rng.randrange(8)))
        elif shape == 1:
            out += bytes(0x80 + rng.randrange(128) for _ in range(1 + rng.randrange(6)))
        elif shape == 2:
            whole = draw(rng, rng.choice(list(SCRIPTS.values()))).encode()
            out += whole[: 1 + rng.randrange(len(whole))]
        else:
            out += rng.choice(WORDS).encode()
    return bytes(out).decode("utf-8", errors="replace")


def contractions(rng):
    out = []
    endings = ["s", "t", "re", "ve", "m", "ll", "d", "\u017f", "S", "T", "RE", "rE", "Ve", "M", "LL", "lL", "D", "\u212a", "k", "r", "l",
               "v\u0301e", "l\u017f", "st", "\ufb06", "es", "dd", "re\u017f"]
    for _ in range(1 + rng.randrange(5)):
        out.append(rng.choice(["", " ", "I", "you", "don", "É", "字", "9", ".", "''", "\n", "\u017f"]))
        out.append(rng.choice(["'", "'", "'", "'", "\u2019", "`", "''"]) + rng.choice(endings))
        out.append(rng.choice(["", "", " ", "a", "s", "1", "'", "\u0301", "!", "\n", "'s"]))
    return "".join(out)


def spaces(rng):
    out = []
    for _ in range(1 + rng.randrange(8)):
        out.append("".join(rng.choice(SPACES) for _ in range(rng.randrange(6))))
        out.append(rng.choice(["", "a", "Word", "1", "12", ".", "...", "'s", "é", "中文", "\u0301", "\u180e", "\u200b", "-", "\U0001F600"]))
    return "".join(out)


def prose(rng):
    out = []
    for _ in range(3 + rng.randrange(25)):
        word = rng.choice(WORDS)
        out.append(rng.choice([word, word, word, word.title(), word.upper(), word + "s", "un" + word, word + "'s", word[: 1 + rng.randrange(9)]]))
        out.append(rng.choice([" ", " ", " ", " ", " ", ", ", ". ", "; ", "-", " (", ") ", "\n", "\n\n", "  ", str(rng.randrange(3000))]))
    return "".join(out)


def any_code_points(rng):
    return "".join(draw(rng, rng.choice([(0, 0x7F), (0x80, 0x7FF), (0x800, 0xFFFF), (0x10000, 0x10FFFF), (0x10000, 0x1FFFF)]))
                   for _ in range(1 + rng.randrange(20)))


KINDS = {"scripts": scripts, "emoji": emoji, "marks": marks, "controls": controls, "code": code, "runs": runs,
         "added_tokens": added_tokens, "random_bytes": random_bytes, "contractions": contractions, "spaces": spaces,
         "prose": prose, "any_code_points": any_code_points}


def one(kind, rng, contents):
    """A string of a kind, or a mixture of several for "mixed"."""
    if kind == "mixed":
        return "".join(one(rng.choice(list(KINDS)), rng, contents)[:80] for _ in range(2 + rng.randrange(3)))
    if kind == "added_tokens":
        return added_tokens(rng, contents)
    return KINDS[kind](rng)


ALL_KINDS = [*KINDS, "mixed"]
