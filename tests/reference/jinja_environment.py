# SPDX-License-Identifier: Apache-2.0
"""The Jinja2 environment that Transformers renders chat templates with, for scripts that make or check goldens."""
import json

import jinja2
import transformers
from transformers.utils import chat_template_utils


def versions() -> dict:
    return {"jinja2": jinja2.__version__, "transformers": transformers.__version__}


def compile_template(source: str):
    """As Transformers compiles it: its sandbox, its tojson, its globals."""
    return chat_template_utils._compile_jinja_template(source)


def render_snippet(source: str, context_json: str) -> dict:
    """{"output": text} or {"error": type}; a text that cannot be encoded is an error too."""
    try:
        text = compile_template(source).render(**json.loads(context_json))
        text.encode()
        return {"output": text}
    except Exception as error:  # whatever Jinja2 or Python raises counts
        return {"error": type(error).__name__}


def render_chat(source: str, case: dict) -> dict:
    """Renders one conversation, given as JSON texts like those of gateway/chat/chat_template.h."""
    try:
        kwargs = json.loads(case.get("kwargs") or "{}")
        tools = json.loads(case["tools"]) if case.get("tools") else None
        rendered, _ = chat_template_utils.render_jinja_template(
            conversations=[json.loads(case["messages"])],
            tools=tools,
            chat_template=source,
            add_generation_prompt=case.get("add_generation_prompt", True),
            continue_final_message=case.get("continue_final_message", False),
            **kwargs,
        )
        rendered[0].encode()
        return {"output": rendered[0]}
    except Exception as error:
        return {"error": type(error).__name__}
