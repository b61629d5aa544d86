# SPDX-License-Identifier: Apache-2.0
"""Tool calls: choosing among given tools, arguments copied from the request, answers from results."""

import json
import re
from dataclasses import dataclass

from .words import held_out

VERBS = ["get", "find", "book", "send", "create", "delete", "update", "search", "check", "order", "cancel", "open", "close",
         "start", "stop", "play", "list", "read", "convert", "schedule", "track", "rent", "buy", "sell", "add", "remove",
         "move", "set", "show", "fetch", "reserve", "call", "print", "scan", "measure", "compare", "record", "share",
         "lock", "unlock", "translate", "repair", "pay", "count"]
NOUNS = ["weather", "room", "message", "email", "event", "order", "flight", "hotel", "table", "ticket", "song", "file", "task",
         "reminder", "alarm", "contact", "account", "payment", "invoice", "package", "price", "stock", "route", "train", "bus",
         "taxi", "movie", "book", "recipe", "photo", "note", "door", "light", "heater", "temperature", "sensor", "report",
         "document", "meeting", "appointment", "car", "bike", "parcel", "customer", "product", "device", "printer", "window",
         "currency", "image", "video", "playlist", "subscription", "license", "server", "job", "queue", "page", "worker",
         "engine", "pump", "valve", "garden", "lamp", "camera", "drone", "robot", "truck", "ship", "tank", "kitchen"]
CITIES = ["Paris", "London", "Berlin", "Rome", "Madrid", "Tokyo", "Beijing", "Shanghai", "Boston", "Chicago", "Denver", "Seattle",
          "Oslo", "Vienna", "Prague", "Lisbon", "Dublin", "Athens", "Cairo", "Mumbai", "Sydney", "Toronto", "Lima", "Seoul"]
# What stands before a noun in names such as get_current_weather; users may leave it out.
KINDS = ["current", "new", "next", "last", "daily", "calendar", "user", "stock", "web", "public", "local", "main", "nearest",
         "shared", "open", "default", "total", "live", "city", "work", "online", "saved", "weekly", "first"]
STATES_US = ["MA", "IL", "CO", "WA", "CA", "NY", "TX", "OR"]
PEOPLE = ["Anna", "Ben", "Carla", "David", "Emma", "Frank", "Grace", "Henry", "Ida", "Jack", "Kate", "Liam", "Maria", "Noah",
          "Olga", "Paul", "Rosa", "Sam", "Tina", "Victor"]
COLORS = ["red", "green", "blue", "yellow", "black", "white", "orange", "purple"]
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday", "tomorrow", "today"]


def word(rng, split):
    return split.words.draw(rng)


def integer(low, high):
    return lambda rng, split: rng.randint(low, high)


def choice(values):
    return lambda rng, split: rng.choice(values)


def decimal(rng, split):
    del split
    return rng.randint(1, 999) / 10


def code(rng, split):
    del split
    return rng.choice("ABCDEFGHKLMNPRSTXYZ") + str(rng.randint(10, 9999))


def place(rng, split):
    del split
    city = rng.choice(CITIES)
    return f"{city}, {rng.choice(STATES_US)}" if rng.random() < 0.2 else city


def two_words(rng, split):
    return f"{word(rng, split)} {word(rng, split)}"


# name -> (JSON type, value, phrases; {v} is the value)
PARAMETERS = {
    "city": ("string", choice(CITIES), ["in {v}", "for {v}", "in the city of {v}"]),
    "location": ("string", place, ["in {v}", "for {v}", "at {v}"]),
    "origin": ("string", choice(CITIES), ["from {v}"]),
    "destination": ("string", choice(CITIES), ["to {v}"]),
    "name": ("string", choice(PEOPLE), ["for {v}", "named {v}", "with the name {v}"]),
    "recipient": ("string", choice(PEOPLE), ["to {v}"]),
    "person": ("string", choice(PEOPLE), ["for {v}", "with {v}"]),
    "day": ("string", choice(DAYS), ["on {v}", "for {v}"]),
    "date": ("string", lambda r, s: f"2026-{r.randint(1, 12):02d}-{r.randint(1, 28):02d}", ["on {v}", "for {v}"]),
    "time": ("string", lambda r, s: f"{r.randint(0, 23):02d}:{r.choice([0, 15, 30, 45]):02d}", ["at {v}"]),
    "color": ("string", choice(COLORS), ["in {v}", "with color {v}"]),
    "title": ("string", two_words, ['called "{v}"', 'with the title "{v}"', "titled {v}"]),
    "text": ("string", two_words, ['saying "{v}"', 'with the text "{v}"']),
    "query": ("string", two_words, ['for "{v}"', "about {v}"]),
    "id": ("string", code, ["with id {v}", "number {v}", "{v}"]),
    "count": ("integer", integer(1, 50), ["{v} times", "with count {v}"]),
    "people": ("integer", integer(1, 12), ["for {v} people"]),
    "nights": ("integer", integer(1, 21), ["for {v} nights"]),
    "minutes": ("integer", integer(1, 90), ["for {v} minutes", "in {v} minutes"]),
    "amount": ("number", decimal, ["for {v}", "of {v}", "with amount {v}"]),
    "level": ("integer", integer(1, 100), ["to level {v}", "at level {v}"]),
    "quantity": ("integer", integer(1, 500), ["quantity {v}", "with quantity {v}"]),
    "unit": ("string", choice(["celsius", "fahrenheit", "meters", "miles", "kilograms", "pounds"]), ["in {v}", "with unit {v}"]),
}
GENERIC = ["with {p} {v}", "with {p} {v}", "{p} {v}", "with {p} = {v}", "{p}: {v}", "where {p} is {v}", "using {p} {v}",
           "and {p} {v}", "with the {p} {v}"]
ASKS = ["{V} {n} {a}.", "{V} the {n} {a}.", "{V} a {n} {a}.", "Please {v} the {n} {a}.", "Please {v} a {n} {a}.",
        "Can you {v} the {n} {a}?", "Can you {v} a {n} {a}?", "I want to {v} a {n} {a}.", "I need to {v} the {n} {a}.",
        "Could you {v} the {n} {a}?", "{V} my {n} {a}, please.", "I would like you to {v} the {n} {a}.",
        "Would you please {v} the {n} {a}?", "Help me to {v} a {n} {a}.", "It would help to {v} the {n} {a}.",
        "I'd like to {v} a {n} {a}.", "Let's {v} the {n} {a}.", "We have to {v} the {n} {a}.", "Now {v} a {n} {a}.",
        "My boss wants me to {v} the {n} {a}.", "Go and {v} the {n} {a}.", "{v} {n} {a}", "Use a tool to {v} the {n} {a}."]
ASKS_HELD_OUT = ["I would like to {v} the {n} {a}.", "Would you {v} a {n} {a}?", "Help me {v} the {n} {a}."]
# Questions that name only the noun, for tools that look something up and where no other tool has that noun.
LOOK_UP = {"get", "find", "check", "show", "fetch", "read", "list", "search", "track"}
QUESTIONS = ["What is the {n} {a}?", "What's the {n} {a}?", "What is the {n} like {a}?", "How is the {n} {a}?",
             "Tell me the {n} {a}.", "Tell me about the {n} {a}.", "I need the {n} {a}.", "Do you know the {n} {a}?",
             "Can you tell me the {n} {a}?", "What about the {n} {a}?", "Give me the {n} {a}.", "Show me the {n} {a}.",
             "I want to know the {n} {a}.", "{n} {a}?", "{N} {a}", "Is there a {n} {a}?", "Which {n} is there {a}?"]
QUESTIONS_HELD_OUT = ["Please tell me what the {n} is {a}.", "Could I have the {n} {a}?"]
QUESTIONS_ZH = ["{n} 是什么，{a}？", "{n} 怎么样，{a}？", "告诉我 {n}，{a}。"]
ASKS_ZH = ["请帮我 {v} {n}，{a}。", "{v} {n}，{a}。", "我想 {v} {n}，{a}。"]
RESULT_KEYS = ["status", "result", "price", "total", "temperature", "condition", "time", "number", "code", "place", "name",
               "count", "speed", "weight", "size", "state", "level", "distance", "duration", "seat", "gate", "balance"]
STATES = ["ok", "done", "sunny", "rainy", "cloudy", "windy", "open", "closed", "ready", "sent", "booked", "failed", "full",
          "empty", "late", "on time", "confirmed", "pending"]


@dataclass
class Parameter:
    name: str
    type: str
    draw: object
    phrases: list
    enum: list = None
    required: bool = True


@dataclass
class Tool:
    name: str
    verb: str
    noun: str
    parameters: list
    schema: dict
    kind: str = ""  # "current" of get_current_weather

    def spoken(self, rng):
        """The noun as a user says it."""
        return f"{self.kind} {self.noun}" if self.kind and rng.random() < 0.5 else self.noun


def draw_parameter(rng, split, taken):
    while True:
        if rng.random() < 0.5:
            name = rng.choice(sorted(PARAMETERS))
            kind, draw, phrases = PARAMETERS[name]
            parameter = Parameter(name, kind, draw, phrases + ["with " + name + " {v}"])
        else:
            name = word(rng, split)
            if rng.random() < 0.2:
                name += "_" + rng.choice(["id", "name", "code", "type", "size", "count"])
            spoken = name.replace("_", " ")
            phrases = [g.replace("{p}", spoken) for g in GENERIC]
            kind = rng.choice(["string", "string", "integer", "integer", "number", "boolean", "enum"])
            if kind == "enum":
                values = [word(rng, split) for _ in range(rng.randint(2, 4))]
                parameter = Parameter(name, "string", choice(values), phrases, enum=values)
            else:
                draw = {"string": rng.choice([word, word, two_words, code, choice(CITIES), choice(PEOPLE)]),
                        "integer": integer(0, rng.choice([9, 99, 999])), "number": decimal,
                        "boolean": choice([True, False])}[kind]
                parameter = Parameter(name, kind, draw, phrases)
        if name not in taken and (parameter.name in PARAMETERS or held_out("parameter:" + name, 5) == split.evaluation):
            return parameter


def draw_tool(rng, split, like=None):
    """like: a tool to be mistaken for; the new one shares its verb or its noun."""
    while True:
        verb = rng.choice(VERBS) if rng.random() < 0.7 else rng.choice(sorted(LOOK_UP))
        noun = rng.choice(NOUNS) if rng.random() < 0.6 else word(rng, split)
        if like and rng.random() < 0.5:
            verb, noun = (like.verb, noun) if rng.random() < 0.5 else (verb, like.noun)
        if held_out(f"tool:{verb} {noun}", 5) == split.evaluation and not (like and (verb, noun) == (like.verb, like.noun)):
            break
    style, kind = rng.random(), rng.choice(KINDS) if rng.random() < 0.15 else ""
    full = f"{kind} {noun}" if kind else noun
    if style < 0.8:
        name = f"{verb}_{full}".replace(" ", "_")
    else:
        name = verb + full.title().replace(" ", "") if style < 0.95 else f"{full}_{verb}".replace(" ", "_")
    parameters = []
    for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 2, 3, 3])):
        parameter = draw_parameter(rng, split, [p.name for p in parameters])
        parameter.required = rng.random() < 0.8
        parameters.append(parameter)
    properties = {}
    for p in parameters:
        spoken = p.name.replace("_", " ")
        properties[p.name] = {"type": p.type}
        if rng.random() < 0.6:
            properties[p.name]["description"] = rng.choice([f"The {spoken}", f"{spoken.capitalize()}", f"{spoken} of the {noun}",
                                                            f"The {spoken} to use", f"{spoken.capitalize()} for the {noun}."])
            if p.draw is place and rng.random() < 0.4:
                properties[p.name]["description"] = "The city and state, e.g. San Francisco, CA"
        if p.enum:
            properties[p.name]["enum"] = p.enum
    description = rng.choice([f"{verb.capitalize()} the {full}", f"{verb.capitalize()} a {full}", f"{verb.capitalize()} {full}",
                              f"{verb.capitalize()}s the {full}", f"Use this to {verb} a {full}",
                              f"{verb.capitalize()} the {full} in a given {parameters[0].name}." if parameters else
                              f"{verb.capitalize()} the {full}."])
    function = {"name": name, "description": description,
                "parameters": {"type": "object", "properties": properties,
                               "required": [p.name for p in parameters if p.required]}}
    return Tool(name, verb, noun, parameters, {"type": "function", "function": function}, kind)


def draw_tools(rng, split, number):
    tools = [draw_tool(rng, split)]
    while len(tools) < number:
        tool = draw_tool(rng, split, like=rng.choice(tools))
        if all(t.name != tool.name and (t.verb, t.noun) != (tool.verb, tool.noun) for t in tools):
            tools.append(tool)
    return tools


def shown(value):
    return json.dumps(value) if isinstance(value, bool) else str(value)


def draw_call(rng, split, tool):
    """Arguments for one call and the words a user would say for them."""
    arguments, said = {}, []
    for p in tool.parameters:
        if p.required or rng.random() < 0.5:
            arguments[p.name] = p.draw(rng, split)
            said.append((p.name, rng.choice(p.phrases).format(v=shown(arguments[p.name]))))
    if rng.random() < 0.25:
        rng.shuffle(said)  # the arguments keep the schema's order
    joint = rng.choice([" ", " ", ", ", " and "])
    return arguments, joint.join(phrase for _, phrase in said)


def draw_repeated(rng, split, tool, number):
    """Calls that differ in one argument, and the words for all of them: "in Paris and in Rome". None: the tool cannot."""
    varied = [p for p in tool.parameters if p.required and p.type != "boolean"]
    if not varied:
        return None
    p = rng.choice(varied)
    first, said = {}, []
    for other in tool.parameters:
        if other is p or other.required:
            first[other.name] = other.draw(rng, split)
            if other is not p:
                said.append(rng.choice(other.phrases).format(v=shown(first[other.name])))
    values = [first[p.name]]
    for _ in range(20):
        value = p.draw(rng, split)
        if value not in values:
            values.append(value)
        if len(values) == number:
            break
    if len(values) < 2:
        return None
    phrase = rng.choice(p.phrases)
    if '"' in phrase or rng.random() < 0.4:
        parts = [phrase.format(v=shown(v)) for v in values]
        repeated = ", ".join(parts[:-1]) + " and " + parts[-1]
    else:
        repeated = phrase.format(v=", ".join(shown(v) for v in values[:-1]) + " and " + shown(values[-1]))
    said.insert(rng.randint(0, len(said)), repeated)
    return [{**first, p.name: value} for value in values], " ".join(said)


def ask(rng, split, lang, tool, said, others=()):
    """The request for one call. others: the other tools that are given."""
    novel = split.evaluation and rng.random() < 0.2
    if tool.verb in LOOK_UP and all(tool.noun != t.noun for t in others) and rng.random() < 0.5:
        pattern = rng.choice(QUESTIONS_ZH if lang == "zh" else QUESTIONS_HELD_OUT if novel else QUESTIONS)
    else:
        pattern = rng.choice(ASKS_ZH if lang == "zh" else ASKS_HELD_OUT if novel else ASKS)
    noun = tool.spoken(rng)
    text = pattern.format(V=tool.verb.capitalize(), v=tool.verb, n=noun, N=noun.capitalize(), a=said)
    return re.sub(r" +([.?,])", r"\1", text).replace("，。", "。").replace("，？", "？").strip(), novel and lang == "en"


def call_thinking(lang, calls):
    """Names the tool by its noun, which every request holds, and its verb only within the tool's name."""
    lines = []
    for tool, arguments in calls:
        stated = ", ".join(f"{k} = {shown(v)}" for k, v in arguments.items())
        if lang == "zh":
            lines.append(f"用户要的是 {tool.noun}：调用 {tool.name}" + (f"，{stated}。" if stated else "。"))
        else:
            lines.append(f"For the {tool.noun} I call {tool.name}" + (f" with {stated}." if stated else "."))
    return "\n".join(lines)


def call_text(tool, arguments):
    return ('<tool_call>\n{"name": "' + tool.name + '", "arguments": ' + json.dumps(arguments, ensure_ascii=False)
            + "}\n</tool_call>")


def draw_result(rng, split):
    result = {}
    for _ in range(rng.choice([1, 1, 2, 2, 3])):
        key = rng.choice(RESULT_KEYS) if rng.random() < 0.7 else word(rng, split)
        result[key] = rng.choice([lambda: rng.randint(0, 999), lambda: decimal(rng, split), lambda: rng.choice(STATES),
                                  lambda: word(rng, split), lambda: code(rng, split), lambda: rng.choice(CITIES),
                                  lambda: rng.choice([True, False])])()
    return result


def result_text(rng, result):
    """What a tool hands back: JSON, mostly."""
    if len(result) == 1 and rng.random() < 0.15:
        return shown(next(iter(result.values())))
    return json.dumps(result, ensure_ascii=False)


def result_answer(lang, tool, result, text):
    if not text.startswith("{"):
        return f"{tool.verb} {tool.noun} 的结果是 {text}。" if lang == "zh" else f"{tool.verb.capitalize()} {tool.noun}: {text}."
    if lang == "zh":
        return f"{tool.verb} {tool.noun} 的结果：" + "，".join(f"{k} 是 {shown(v)}" for k, v in result.items()) + "。"
    return f"{tool.verb.capitalize()} {tool.noun}: " + ", ".join(f"{k} is {shown(v)}" for k, v in result.items()) + "."


def result_thinking(lang, number):
    if lang == "zh":
        return "工具返回了结果，我把它告诉用户。"
    return "The tool answered. I tell the user the result." if number == 1 else "The tools answered. I tell the user the results."
