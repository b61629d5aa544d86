# SPDX-License-Identifier: Apache-2.0
"""The Jinja2 environment that Transformers renders chat templates with, for scripts that make or check goldens.

Goldens are made with Transformers itself. Checks also run where only Jinja2 is installed: then the environment is set
up here with the same options, and test_environment of compare_with_jinja2.py compares the two where both exist.
"""
import json
from datetime import datetime

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

try:
    import transformers
    from transformers.utils import chat_template_utils
except ImportError:
    transformers = None

TAG = "CONTINUE_FINAL_MESSAGE_TAG "


class Generation(jinja2.ext.Extension):
    """{% generation %}: renders its body."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_render"), [], [], body).set_lineno(line)

    def _render(self, caller):
        return caller()


class Namespace(jinja2.utils.Namespace):
    def __init__(*args, **kwargs):
        self, args = args[0], args[1:]
        attributes = dict(*args, **kwargs)
        for name in attributes:
            Namespace.check(name)
        jinja2.utils.Namespace.__init__(self, attributes)

    def __setitem__(self, name, value):
        Namespace.check(name)
        jinja2.utils.Namespace.__setitem__(self, name, value)

    @staticmethod
    def check(name):
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.exceptions.SecurityError(name)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def own_environment():
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    environment.globals["namespace"] = Namespace
    return environment


_compiled = {}


def compile_template(source: str):
    """As Transformers compiles it: its sandbox, its tojson, its globals."""
    if source not in _compiled:
        if len(_compiled) > 5000:
            _compiled.clear()
        _compiled[source] = (
            own_environment().from_string(source)
            if transformers is None
            else chat_template_utils._cached_compile_jinja_template(source)
        )
    return _compiled[source]


def versions() -> dict:
    return {"jinja2": jinja2.__version__, "transformers": transformers.__version__}


def render_snippet(source: str, context_json: str) -> dict:
    """{"output": text} or {"error": type}; a text that cannot be encoded is an error too."""
    try:
        text = compile_template(source).render(**json.loads(context_json))
        text.encode()
        return {"output": text}
    except Exception as error:  # whatever Jinja2 or Python raises counts
        return {"error": type(error).__name__}


def _render_own(source: str, messages, tools, add_generation_prompt, continue_final_message, kwargs) -> str:
    """transformers' render_jinja_template for one conversation."""
    final = None
    if continue_final_message:
        final = messages[-1]["content"]
        if isinstance(final, list):
            block = next(block for block in reversed(final) if "text" in block)
            final = block["text"]
            block["text"] += TAG
        else:
            messages[-1]["content"] = final + TAG
    text = compile_template(source).render(
        messages=messages, tools=tools, documents=None, add_generation_prompt=add_generation_prompt, **kwargs
    )
    if final is None:
        return text
    if final.strip() not in text or TAG.strip() not in text:
        raise ValueError("the final message does not appear")
    end = text.rindex(TAG.strip())
    return text[:end] if text[end : end + len(TAG)] == TAG else text[:end].rstrip()


def render_chat(source: str, case: dict) -> dict:
    """Renders one conversation, given as JSON texts like those of gateway/chat/chat_template.h."""
    try:
        messages = json.loads(case["messages"])
        tools = json.loads(case["tools"]) if case.get("tools") else None
        kwargs = json.loads(case.get("kwargs") or "{}")
        prompt = case.get("add_generation_prompt", True)
        goes_on = case.get("continue_final_message", False)
        if transformers is None:
            text = _render_own(source, messages, tools, prompt, goes_on, kwargs)
        else:
            rendered, _ = chat_template_utils.render_jinja_template(
                conversations=[messages],
                tools=tools,
                chat_template=source,
                add_generation_prompt=prompt,
                continue_final_message=goes_on,
                **kwargs,
            )
            text = rendered[0]
        text.encode()
        return {"output": text}
    except Exception as error:
        return {"error": type(error).__name__}
