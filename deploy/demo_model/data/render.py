# SPDX-License-Identifier: Apache-2.0
"""A conversation to the text the model sees, through the same Jinja template that Sluice serves with."""

import json
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

TEMPLATE = Path(__file__).resolve().parents[1] / "chat_template.jinja"


def load_template(path=TEMPLATE):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                                extensions=["jinja2.ext.loopcontrols"])
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(path.read_text(encoding="utf-8"))


def prompt_text(template, conversation):
    return template.render(messages=conversation.messages, tools=conversation.tools or None, add_generation_prompt=True,
                           **conversation.kwargs)
