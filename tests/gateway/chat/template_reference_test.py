# SPDX-License-Identifier: Apache-2.0
"""The template engine against Jinja2 itself, on cases that no golden file holds still: a random sample of the goldens
derived again, fresh conversations, fresh snippets, and the case of every code point. Prints its seed; SLUICE_SEED
repeats a run. Exits 77 (skipped) where this Python has no jinja2."""
import json
import os
import pathlib
import random
import subprocess
import sys
import unicodedata
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests" / "reference"))

try:
    import jinja2  # noqa: F401
except ImportError:
    print("skipped: this Python has no `jinja2` package (pip install jinja2, or set SLUICE_PYTHON)")
    sys.exit(77)

import chat_template_golden
import conversations
import jinja_environment
import jinja_snippets
import random_snippets

# Where the engine says that it does less than Python; everything else must agree. (Slicing: Jinja2's compiler folds
# constants, and a folded slice of what has none is undefined, where the same slice at run time is an error.)
# What can never be called is refused when the template is compiled, also in a branch that does not run.
KNOWN_LIMITS = (
    "cannot be printed", "leaves the 64 bits", "identity of floats", "cannot be sliced", "unknown function", "unknown method",
    "have no sets",
)


class Engine:
    """Our engine, behind chat_render_tool."""

    def __init__(self):
        tool = pathlib.Path(os.environ.get("SLUICE_BINARY_DIR", ROOT / "build")) / "tests" / "chat_render_tool"
        self.process = subprocess.Popen([str(tool)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"the engine died on {json.dumps(request)}")
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


class Comparison:
    def __init__(self, engine: Engine):
        self.engine = engine
        self.failures = []
        self.counts = {}

    def check(self, kind: str, request: dict, expected: dict) -> None:
        answer = self.engine.ask(request)
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if any(limit in answer.get("error", "") for limit in KNOWN_LIMITS):
            return
        same = answer["output"] == expected["output"] if "output" in answer and "output" in expected else "error" in answer and "error" in expected
        if not same:
            self.failures.append(f"{kind}: {json.dumps(request, ensure_ascii=False)}\n  Jinja2: {expected}\n  engine: {answer}")


def load(name: str) -> dict:
    return json.loads((ROOT / "tests" / "golden" / "chat" / name).read_text(encoding="utf-8"))


def templates() -> dict:
    own = (ROOT / "deploy" / "demo_model" / "chat_template.jinja").read_text(encoding="utf-8")
    folder = pathlib.Path(os.environ.get("SLUICE_QWEN3_DIR") or ROOT.parent / "shared" / "qwen3")
    found = {"own": own}
    if folder.is_dir():
        found.update(chat_template_golden.public_templates(folder))
    else:
        print("the public templates are not compared: SLUICE_QWEN3_DIR is unset and ../shared/qwen3 is not there")
    return found


def check_golden_sample(comparison: Comparison, rng: random.Random) -> None:
    """The golden files say what Jinja2 says."""
    golden = load("jinja_snippets.json")
    for case in rng.sample(golden["cases"], 150):
        again = jinja_environment.render_snippet(case["template"], golden["context"])
        if again.get("output") != case.get("output") or ("error" in again) != ("error" in case):
            comparison.failures.append(f"the golden of {case['template']!r} is {case}, Jinja2 gives {again}")
    sources = templates()
    for case in rng.sample(load("conversations.json")["cases"], 60):
        for name in ("later", "older"):
            if name not in sources:
                continue
            golden_case = case["later"] if case[name] == "as later" else case[name]
            again = jinja_environment.render_chat(sources[name], case)
            if again.get("output") != golden_case.get("output"):
                comparison.failures.append(f"the golden of {case['messages']} is {golden_case}, Jinja2 gives {again}")


def check_conversations(comparison: Comparison, rng: random.Random) -> None:
    for name, source in templates().items():
        for _ in range(100):
            case = conversations.make_case(rng.getrandbits(48), conversations.random_levels(rng))
            expected = jinja_environment.render_chat(source, case)
            request = {key: value for key, value in case.items() if key != "levels"}
            comparison.check(f"conversation, {name} template", {"template": source, **request}, expected)


def check_snippets(comparison: Comparison, rng: random.Random, count: int) -> None:
    maker = random_snippets.SnippetMaker(rng)
    for _ in range(count):
        template = maker.snippet()
        expected = jinja_environment.render_snippet(template, jinja_snippets.CONTEXT)
        if " at 0x" in expected.get("output", ""):
            continue
        comparison.check("snippet", {"template": template, "context": jinja_snippets.CONTEXT}, expected)


def check_case_mappings(comparison: Comparison, rng: random.Random) -> None:
    """Every code point through the methods that depend on Unicode (whose version must be the engine's)."""
    complete = unicodedata.unidata_version == "14.0.0"
    points = [p for p in range(0x110000 if complete else 0x3000) if not 0xD800 <= p < 0xE000 and unicodedata.category(chr(p)) != "Cn"]
    calls = ["upper()", "lower()", "title()", "capitalize()", "swapcase()"]
    predicates = ["isalpha()", "isdigit()", "isdecimal()", "isspace()", "isupper()", "islower()"]
    chunks = [points[begin : begin + 4000] for begin in range(0, len(points), 4000)]
    if "SLUICE_SNIPPETS" not in os.environ:  # a long run takes all; every run takes the letters of most languages
        chunks = chunks[:4] + rng.sample(chunks[4:], min(6, len(chunks) - 4))
    for call in calls:
        template = "{% for c in s %}{{ ('a' ~ c ~ 'b ' ~ c)." + call + " }}|{{ c." + call + " }};{% endfor %}"
        for chunk in chunks:
            context = json.dumps({"s": "".join(map(chr, chunk))})
            comparison.check("case mapping", {"template": template, "context": context}, jinja_environment.render_snippet(template, context))
    template = "{% for c in s %}" + "".join("{{ 1 if c." + p + " else 0 }}" for p in predicates) + "{{ [c] }}{% endfor %}"
    for chunk in chunks:
        context = json.dumps({"s": "".join(map(chr, chunk))})
        comparison.check("predicate", {"template": template, "context": context}, jinja_environment.render_snippet(template, context))


def check_environment(comparison: Comparison, rng: random.Random) -> None:
    """Our copy of Transformers' environment is Transformers' environment, where both are here."""
    if jinja_environment.transformers is None:
        return
    for case in rng.sample(load("jinja_snippets.json")["cases"], 200):
        try:
            text = jinja_environment.own_environment().from_string(case["template"]).render(**json.loads(jinja_snippets.CONTEXT))
            text.encode()
            own = {"output": text}
        except Exception as error:
            own = {"error": type(error).__name__}
        if own.get("output") != case.get("output"):
            comparison.failures.append(f"environments differ on {case['template']!r}: {own} against {case}")


def main() -> int:
    seed = int(os.environ.get("SLUICE_SEED") or random.SystemRandom().getrandbits(32))
    snippets = int(os.environ.get("SLUICE_SNIPPETS") or 800)
    rng = random.Random(seed)
    warnings.simplefilter("ignore")  # Python comments on code that Jinja2 makes of odd snippets
    print(f"seed {seed}; SLUICE_SEED={seed} repeats this run")
    comparison = Comparison(Engine())
    check_golden_sample(comparison, rng)
    check_environment(comparison, rng)
    check_conversations(comparison, rng)
    check_snippets(comparison, rng, snippets)
    check_case_mappings(comparison, rng)
    comparison.engine.close()
    for failure in comparison.failures[:20]:
        print(failure)
    print(", ".join(f"{count} {kind}" for kind, count in comparison.counts.items()), "compared;", len(comparison.failures), "differ")
    return 1 if comparison.failures else 0


if __name__ == "__main__":
    sys.exit(main())
