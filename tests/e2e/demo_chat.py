# SPDX-License-Identifier: Apache-2.0
"""Asks the bundled model greedily, whole or streamed, and hands back one message either way."""

from dataclasses import dataclass, field


@dataclass
class Reply:
    content: str = ""
    thinking: str = ""
    calls: list = field(default_factory=list)  # {"id", "name", "arguments"}, arguments as JSON text
    finish: str = None
    chunks: int = 0  # that carried something, when it was streamed

    def same(self, other):
        """Equal but for the calls' ids, which each request draws anew."""
        def told(reply):
            return reply.content, reply.thinking, reply.finish, [(c["name"], c["arguments"]) for c in reply.calls]
        return told(self) == told(other)


def ask(client, prompt, *, system=None, **options):
    """prompt: the text of a user's turn, or a whole list of messages."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    if system:
        messages = [{"role": "system", "content": system}, *messages]
    answer = client.chat.completions.create(
        **{"model": "sluice-demo", "messages": messages, "temperature": 0, "max_tokens": 512, **options})
    return streamed(answer) if options.get("stream") else whole(answer)


def whole(answer):
    choice = answer.choices[0]
    message = choice.message
    calls = [{"id": c.id, "name": c.function.name, "arguments": c.function.arguments} for c in message.tool_calls or []]
    return Reply(message.content or "", getattr(message, "reasoning_content", None) or "", calls, choice.finish_reason)


def streamed(chunks):
    reply, calls = Reply(), {}
    for chunk in chunks:
        for choice in chunk.choices:
            content, thinking = choice.delta.content or "", getattr(choice.delta, "reasoning_content", None) or ""
            reply.content += content
            reply.thinking += thinking
            reply.finish = choice.finish_reason or reply.finish
            reply.chunks += bool(content or thinking or choice.delta.tool_calls)
            for call in choice.delta.tool_calls or []:
                entry = calls.setdefault(call.index, {"id": "", "name": "", "arguments": ""})
                entry["id"] += call.id or ""
                entry["name"] += call.function.name or ""
                entry["arguments"] += call.function.arguments or ""
    assert list(calls) == list(range(len(calls)))
    reply.calls = list(calls.values())
    return reply
