# SPDX-License-Identifier: Apache-2.0
"""Random templates over the variables of jinja_snippets.CONTEXT: mostly valid, often failing at run time, since errors
must agree with Jinja2 too."""
import random

NAMES = ["s", "n", "f", "t", "no", "x", "l", "e", "es", "d", "u", "neg", "m", "ws", "words", "mixed", "missing", "i"]
LITERALS = ["0", "1", "2", "-1", "3", "1.5", "'a'", "'l'", "' '", "''", "'é🤖'", "true", "false", "none", "[]", "{}", "[1, 'b']", "{'a': 1}", "(1, 2)", "'\\n'"]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
FILTERS = ["upper", "lower", "title", "capitalize", "trim", "length", "string", "int", "float", "list", "first", "last", "reverse | list", "sort", "unique | list", "join", "join('-')", "tojson", "tojson(indent=1)", "default('z')", "default('z', true)", "abs", "round", "round(1)", "replace('l', 'L')", "map('string') | list", "map('upper') | list", "select | list", "reject('none') | list", "select('string') | list", "sum", "min", "max", "wordcount", "indent(1)", "truncate(5)", "center(7)", "items | list", "dictsort", "batch(2) | list", "e", "safe", "map(attribute='role') | list", "selectattr('role') | list", "d", "count"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "iterable", "sequence", "true", "false", "odd", "even", "upper", "lower", "divisibleby(2)", "eq 1", "in [1, 'a']", "callable", "escaped", "sameas none"]
METHODS = ["upper()", "lower()", "strip()", "strip('l')", "split()", "split('l')", "split('l', 1)", "rsplit('o', 1)", "replace('l', 'x')", "startswith('H')", "endswith('d')", "find('l')", "count('l')", "title()", "capitalize()", "swapcase()", "splitlines()", "partition('l')", "isdigit()", "isalpha()", "zfill(4)", "center(9, '*')", "join(['a', 'b'])", "items()", "keys()", "values()", "get('a')", "get('zz', 1)", "index(1)", "lstrip('\\n')", "rstrip()", "removeprefix('H')", "format(1)"]
SUBSCRIPTS = ["[0]", "[-1]", "[9]", "['a']", "['role']", "[1:]", "[:2]", "[::-1]", "[::2]", "[-2:]", ".a", ".role", ".items", ".zz", "[none]", "[t]", "[1:-1:2]"]


class SnippetMaker:
    def __init__(self, rng: random.Random):
        self.rng = rng

    def expression(self, depth: int) -> str:
        rng = self.rng
        if depth <= 0 or rng.random() < 0.15:
            return rng.choice(NAMES if rng.random() < 0.6 else LITERALS)
        kind = rng.randrange(10)
        inner = self.expression(depth - 1)
        if kind <= 1:
            op = rng.choice(BINARY)
            right = self.expression(depth - 1)
            return f"({inner}) {op} ({right})"
        if kind <= 3:
            return f"({inner}) | {rng.choice(FILTERS)}"
        if kind == 4:
            return f"({inner}) is {rng.choice(['', 'not '])}{rng.choice(TESTS)}"
        if kind == 5:
            return f"({inner}).{rng.choice(METHODS)}"
        if kind == 6:
            return f"({inner}){rng.choice(SUBSCRIPTS)}"
        if kind == 7:
            return f"({inner}) if ({self.expression(depth - 1)}) else ({self.expression(depth - 1)})"
        if kind == 8:
            return f"[{inner}, {self.expression(depth - 1)}]"
        return f"{rng.choice(['not ', '-'])}({inner})"

    def statements(self, depth: int) -> str:
        rng = self.rng
        parts = []
        for _ in range(rng.randint(1, 3)):
            parts.append(self.statement(depth))
            parts.append(rng.choice(["", " ", "\n", "\n  ", "text", " {# c #} ", "\n\n"]))
        return "".join(parts)

    def tag(self, body: str) -> str:
        rng = self.rng
        return "{%" + rng.choice(["", "-", "+", ""]) + f" {body} " + rng.choice(["", "-", "", "+"]) + "%}"

    def statement(self, depth: int) -> str:
        rng = self.rng
        kind = rng.randrange(8) if depth > 0 else 0
        if kind <= 1:
            return "{{" + rng.choice(["", "-"]) + f" {self.expression(2)} " + rng.choice(["", "-"]) + "}}"
        if kind == 2:
            return self.tag(f"if {self.expression(2)}") + self.statements(depth - 1) + self.tag("else") + self.statements(depth - 1) + self.tag("endif")
        if kind == 3:
            extra = f" if {self.expression(1)}" if rng.random() < 0.3 else ""
            return self.tag(f"for i in {self.expression(2)}{extra}") + self.statements(depth - 1) + "{{ loop.index }}" + self.tag("endfor")
        if kind == 4:
            return self.tag(f"set {rng.choice(['i', 'n', 's', 'q'])} = {self.expression(2)}")
        if kind == 5:
            return self.tag("set q") + self.statements(depth - 1) + self.tag("endset") + "{{ q }}"
        if kind == 6:
            return self.tag("macro f(i, n=2)") + self.statements(depth - 1) + self.tag("endmacro") + f"{{{{ f({self.expression(1)}) }}}}"
        return self.tag("for i in l") + self.statement(depth - 1) + self.tag("if i == 1") + self.tag(rng.choice(["break", "continue"])) + self.tag("endif") + self.tag("endfor")

    def snippet(self) -> str:
        if self.rng.random() < 0.5:
            return "{{ " + self.expression(3) + " }}"
        return self.statements(2)
