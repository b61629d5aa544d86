# SPDX-License-Identifier: Apache-2.0
"""One question with its worked thinking, its answer, and how an answer is judged."""

from dataclasses import dataclass, field


@dataclass
class Item:
    user: str
    thinking: str
    answer: str
    lang: str = "en"
    # What a judge looks for: {"kind": "number", "value": 3}, {"kind": "text", "value": "tac"}, ...
    expect: dict = field(default_factory=dict)
    # A topic that a short follow-up ("And in plums?", "Really?") can refer to: a function of (rng, words).
    follow_up: object = None
    # The answer given again when the user doubts it; None: doubts make no sense.
    confirm: object = None
    # Sentence pattern absent from training.
    novel: bool = False


# Words of a pattern that carry no meaning for the task, and words to put in their place: training sees many wordings,
# so that a new one is no surprise. Evaluation patterns are left as they stand.
EMPTY = set("what is the of how many does do can you tell me please find are there in a that i want to know say give for it "
            "this take look at here need word number times see use used these".split())
FILLERS = ("could would might may now just actually then maybe so like get should exactly total overall result answer question "
           "check determine figure out work kindly quickly simply again about within inside found present included report name "
           "show any some ever really only my our your his her their its with from by on if when where who why which and or "
           "also too well fine hello dear friend let us try explain state write down provide value equal equals gives makes "
           "discover every all one two first last whole given following below above together going anyone someone "
           "curious wonder wondering interested help helps think believe ask asking sure of course").split()
FILLERS_ZH = ["请", "请问", "麻烦", "帮我", "现在", "一下", "告诉我", "我想知道", "那么", "上", "去", "以", "的", "个数", "这个", "将", "按", "顺序",
              "如果", "再", "时间", "能", "吗", "呢", "一", "篇", "与", "关于"]


def with_fillers(rng, pattern):
    """The pattern with a few empty words replaced, dropped or added."""
    if any("\u4e00" <= c <= "\u9fff" for c in pattern):
        return rng.choice(FILLERS_ZH) + pattern if rng.random() < 0.7 else pattern
    out = []
    for word in pattern.split(" "):
        if word.lower() in EMPTY and rng.random() < 0.3:
            word = rng.choice(FILLERS) if rng.random() < 0.7 else ""
        if rng.random() < 0.06:
            out.append(rng.choice(FILLERS))
        if word:
            out.append(word)
    text = " ".join(out)
    return text[0].upper() + text[1:] if text and pattern[0].isupper() else text


class Patterns:
    """Sentence patterns of one kind of question in one language, some of which training never sees."""

    def __init__(self, train, held_out):
        self.train = [p for p in train.strip().split("\n") if p]
        self.held_out = [p for p in held_out.strip().split("\n") if p]

    def draw(self, rng, split):
        """A pattern and whether it is novel. Evaluation takes a fifth of its prompts from the held-out patterns."""
        if split.evaluation and rng.random() < 0.2:
            return rng.choice(self.held_out), True
        pattern = rng.choice(self.train)
        if not split.evaluation and rng.random() < 0.3:
            pattern = with_fillers(rng, pattern)
        return pattern, False


@dataclass
class Split:
    """Which side of the train/evaluation split is drawn, and its words."""

    evaluation: bool
    words: object
