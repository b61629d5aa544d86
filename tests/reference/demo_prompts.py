# SPDX-License-Identifier: Apache-2.0
"""Fifty prompts that cover what the bundled model was made for: every task, English and Chinese, thinking and not,
system prompts, several turns, tools and their results, and text from outside of its world.

Each is a dictionary of messages, tools and, where it is not left to the template, enable_thinking.
"""


def tool(name, description, **properties):
    return {"type": "function", "function": {
        "name": name, "description": description,
        "parameters": {"type": "object", "properties": {key: {"type": kind} for key, kind in properties.items()},
                       "required": list(properties)}}}


WEATHER = tool("get_weather", "Get the weather", city="string")
BOOK_HOTEL = tool("book_hotel", "Book a hotel", city="string", nights="integer")
SEND_MESSAGE = tool("send_message", "Send a message", recipient="string", text="string")
LIST_TASKS = tool("list_tasks", "List the tasks")
SET_LIGHT = tool("set_light", "Set the light", room="string", level="integer", on="boolean")


def user(text):
    return {"role": "user", "content": text}


def assistant(text):
    return {"role": "assistant", "content": text}


def system(text):
    return {"role": "system", "content": text}


def called(name, arguments, number=0):
    return {"type": "function", "id": f"call_{number}", "function": {"name": name, "arguments": arguments}}


def result(content, number=0):
    return {"role": "tool", "tool_call_id": f"call_{number}", "content": content}


def prompt(*messages, tools=(), enable_thinking=None):
    made = {"messages": [user(m) if isinstance(m, str) else m for m in messages]}
    if tools:
        made["tools"] = list(tools)
    if enable_thinking is not None:
        made["enable_thinking"] = enable_thinking
    return made


STRAWBERRIES = [user("How many r's in strawberries?"), assistant("There are 3 r's in strawberries.")]
BLUEBERRIES = [*STRAWBERRIES, user("Then, how many r's in blueberries? /no_think"),
               assistant("There are 2 r's in blueberries.")]

PROMPTS = [
    prompt("How many r's in strawberries?"),
    prompt(*STRAWBERRIES, "Then, how many r's in blueberries? /no_think"),
    prompt(*BLUEBERRIES, "Really? /think"),
    prompt("How many letters e are in cheese?"),
    prompt("How often does the letter s occur in the word Mississippi? /no_think"),
    prompt("Count the l's in parallel.", enable_thinking=False),
    prompt("How many z's are in table?"),
    prompt("How many letters are in window?"),
    prompt("草莓的英文 strawberry 里有几个 r？"),
    prompt("单词 banana 里有几个 a？"),
    prompt("字母 o 在 tomorrow 里出现了几次？ /no_think"),
    prompt("Spell guitar."),
    prompt("Can you spell keyboard? /no_think"),
    prompt("请拼写 orange。"),
    prompt("Reverse the word planet."),
    prompt("Write stone backwards.", enable_thinking=False),
    prompt("把 river 倒过来写。"),
    prompt("What is 12 + 30?"),
    prompt("What is 347 + 85?"),
    prompt("Subtract 199 from 500."),
    prompt("What is 17 - 40?"),
    prompt("What is 23 times 45?"),
    prompt("Compute 128 * 7. /no_think"),
    prompt("987 加 654 等于多少？"),
    prompt("36 × 12 等于多少？", enable_thinking=True),
    prompt("What is 6 + 7?", assistant("6 + 7 = 13"), "And 50 - 8?"),
    prompt("What is 6 + 7?", assistant("6 + 7 = 14"), "Are you sure?"),
    prompt("Which is larger, 908 or 1024?"),
    prompt("Which is smaller, 77 or 75? /no_think"),
    prompt("Sort these numbers: 42, 7, 105, 63"),
    prompt("把 9, 31, 5, 20 从小到大排序。"),
    prompt("What day is 3 days after Friday?"),
    prompt("What month is 2 months before January?"),
    prompt("今天是星期三，5天后是星期几？"),
    prompt("What time is it 45 minutes after 09:30?"),
    prompt("Hello!"),
    prompt("你好！"),
    prompt(system("You are Nova, a helpful assistant."), "Who are you?"),
    prompt(system("Answer in Chinese."), "How many n's are in banana?"),
    prompt("What is Sluice?"),
    prompt("网关做什么？"),
    prompt("Write a poem about the ocean."),
    prompt("Explain, in detail: naïve café \U0001f642 \u2014 what does it mean?\n\n\tdef f(x):\n\t\treturn x**2"),
    prompt("What is the weather in Paris?", tools=[WEATHER]),
    prompt("Book a hotel in Rome for 3 nights.", tools=[WEATHER, BOOK_HOTEL, SEND_MESSAGE]),
    prompt('Send a message to Anna saying "see you". /no_think', tools=[SEND_MESSAGE, LIST_TASKS]),
    prompt("Get the weather in Oslo. Then get the weather in Cairo.", tools=[WEATHER, SET_LIGHT], enable_thinking=False),
    prompt(system("You are a careful assistant."), "Set the light in kitchen at level 40 with on true.", tools=[SET_LIGHT]),
    prompt("What is the weather in Paris?",
           {"role": "assistant", "content": "", "tool_calls": [called("get_weather", {"city": "Paris"})]},
           result('{"temperature": 21, "condition": "sunny"}'), tools=[WEATHER]),
    prompt("How many p's are in pepper?", tools=[WEATHER, LIST_TASKS]),
]
